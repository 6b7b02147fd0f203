"""Signals from bigWig files: what is read where, transforms, sums, and files that are damaged or no bigWig."""

import pickle
import re
import struct
from types import SimpleNamespace

import numpy as np
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.signals.hic import HicSignal
from model_core.signals.open import open_signal
from model_core.signals.signal import TRANSFORMS, BamSignal, BigWigSignal
from model_core.window import Window

SIZES = {"chr1": 1000, "chr2": 500}


def bigwig(folder, *spans, sizes=SIZES, name="x.bw"):
    """A bigWig of spans (chrom, start, end, value)."""
    path = folder / name
    file = pyBigWig.open(str(path), "w")
    file.addHeader(list(sizes.items()))
    if spans:
        chroms, starts, ends, values = zip(*spans, strict=True)
        file.addEntries(list(chroms), list(starts), ends=list(ends), values=[float(value) for value in values])
    file.close()
    return path


def window(start, end, chrom="chr1"):
    return Window(chrom, start + (end - start) // 2, "+", end - start)


def test_window_is_read_base_by_base_with_gaps_as_zero(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 10, 12, 1.5), ("chr1", 13, 14, 4)))
    values = signal.read(window(9, 15))
    assert values.dtype == np.float32
    assert values.tolist() == [0, 1.5, 1.5, 0, 4, 0]


def test_beyond_either_end_the_signal_is_zero(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 0, 1000, 2)))
    assert signal.read(window(-3, 3)).tolist() == [0, 0, 0, 2, 2, 2]
    assert signal.read(window(998, 1002)).tolist() == [2, 2, 0, 0]
    assert signal.read(window(-5, -1)).tolist() == signal.read(window(1500, 1504)).tolist() == [0] * 4


def test_nan_written_as_a_value_is_zero_and_left_out_of_sums(tmp_path):
    path = bigwig(tmp_path, ("chr1", 0, 4, 1.5), ("chr1", 4, 8, np.nan), ("chr1", 8, 10, -0.5), ("chr2", 0, 1, 3))
    signal = BigWigSignal("DNase", path)
    assert signal.read(window(3, 9)).tolist() == [1.5, 0, 0, 0, 0, -0.5]
    assert signal.total() == 8
    assert signal.summary("chr1") == (6, 5.0, 5 / 6, -0.5, 1.5)


@pytest.mark.parametrize(
    ("transform", "expected"), [("none", 6), ("log1p", np.log(7)), ("log10p1", np.log10(7)), ("sqrt", 6**0.5)]
)
def test_scale_comes_before_the_transform(tmp_path, transform, expected):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 0, 1, 3)), transform, scale=2)
    assert signal.read(window(0, 1)) == pytest.approx([expected])


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_transform_keeps_zero_and_order(transform):
    values = np.array([0, 0.1, 1, 1000])
    moved = TRANSFORMS[transform](values)
    assert moved[0] == 0
    assert (np.diff(moved) > 0).all()


@pytest.mark.parametrize("transform", ["log1p", "log10p1", "sqrt"])
def test_negative_value_is_refused_with_its_place_where_the_transform_cannot_take_it(tmp_path, transform):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 4, 5, -0.25)), transform)
    with pytest.raises(InputError, match=re.escape("found -0.25 at chr1:5; expected no negative values")):
        signal.read(window(0, 10))


def test_negative_value_is_read_as_it_is_without_a_transform(tmp_path):
    path = bigwig(tmp_path, ("chr1", 4, 5, -0.25))
    assert BigWigSignal("DNase", path).read(window(4, 5)).tolist() == [-0.25]
    assert BigWigSignal("DNase", path, "arcsinh").read(window(4, 5)) == pytest.approx([np.arcsinh(-0.25)])


def test_infinite_value_is_refused_with_its_place(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 4, 5, np.inf)))
    with pytest.raises(InputError, match="an infinite value at chr1:5"):
        signal.read(window(0, 10))


def test_unknown_transform_is_refused(tmp_path):
    with pytest.raises(InputError, match="one of none, log1p"):
        BigWigSignal("DNase", tmp_path / "x.bw", "log2")


def test_total_is_not_rounded(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 0, 3, 0.25), ("chr2", 0, 1, 0.5)))
    assert signal.total() == 1.25
    assert signal.summary() == (4, 1.25, 0.3125, 0.25, 0.5)


def test_mean_over_counts_uncovered_bases_as_zero(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 0, 3, 8)), "sqrt", scale=100)
    assert signal.mean_over("chr1", 1, 5) == 4
    assert signal.mean_over("chr1", -2, 2) == 4


def test_chromosome_summary_tells_cover_and_extremes(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 0, 100, 1), ("chr1", 200, 300, 3)))
    assert signal.summary("chr1") == (200, 400, 2, 1, 3)
    assert signal.summary("chr2") == (0, 0, 0, 0, 0)


def test_bigwig_without_any_data_is_all_zero(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path))
    assert signal.read(window(0, 5)).tolist() == [0] * 5
    assert signal.summary() == signal.summary("chr2") == (0, 0, 0, 0, 0)


def test_quantiles_are_of_the_transformed_signal_over_the_windows(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 0, 100, 4)), "sqrt")
    windows = [window(0, 100), window(100, 200)]
    assert signal.quantiles(windows, [0, 0.25, 0.75, 1], every=10).tolist() == [0, 0, 2, 2]


def test_a_chromosome_that_the_file_does_not_list_is_0(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 0, 4, 2)), "sqrt", scale=8)
    assert signal.read(window(0, 5, "chr7")).tolist() == [0] * 5
    assert signal.values("chr7", -5, 5).tolist() == [0] * 10
    assert signal.mean_over("chr7", 0, 10) == 0
    assert signal.summary("chr7") == (0, 0, 0, 0, 0)
    assert signal.absent(["chr1", "chr7", "chr2", "chr8"]) == ["chr7", "chr8"]
    assert signal.quantiles([window(0, 4), window(0, 4, "chr7")], [0, 1], every=1).tolist() == [0, 4]
    nan = BigWigSignal("NaN", bigwig(tmp_path, ("chr1", 0, 4, np.nan), name="nan.bw"))
    assert nan.summary("chr7") == (0, 0, 0, 0, 0)


def test_missing_chromosome_names_its_other_spelling(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("22", 0, 1, 1), sizes={"22": 10}))
    with pytest.raises(InputError, match=r"x\.bw: found chromosome '22'; expected 'chr22'.*bedGraphToBigWig"):
        signal.read(window(0, 5, "chr22"))


def test_signal_can_be_pickled_after_use(tmp_path):
    signal = BigWigSignal("DNase", bigwig(tmp_path, ("chr1", 0, 1, 3)), "sqrt", scale=3)
    signal.read(window(0, 1))
    assert pickle.loads(pickle.dumps(signal)).read(window(0, 1)).tolist() == [3]


@given(
    values=st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=30),
    start=st.integers(-10, 40),
    length=st.integers(1, 30),
)
@settings(deadline=None, max_examples=50)
def test_any_stretch_is_a_piece_of_the_padded_values(tmp_path_factory, values, start, length):
    folder = tmp_path_factory.getbasetemp()
    path = bigwig(folder, *(("chr1", i, i + 1, value) for i, value in enumerate(values)), sizes={"chr1": 35})
    padded = np.zeros(100, np.float32)
    padded[10 : 10 + len(values)] = values
    found = BigWigSignal("DNase", path).values("chr1", start, start + length)
    assert np.array_equal(found, padded[10 + start : 10 + start + length])


# Damaged files


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_bigwig_cut_off_anywhere_is_refused(tmp_path, share):
    spans = [("chr1", start, start + 1, start % 7) for start in range(0, 1000, 2)]
    path = bigwig(tmp_path, *spans)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    for use in (BigWigSignal.total, lambda signal: signal.read(window(0, 5))):
        with pytest.raises(InputError, match=r"truncated|another format"):
            use(BigWigSignal("DNase", path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "another format"),
        (
            b"chr1\t0\t1\t5\n" * 20,
            "found a bedGraph file .values.; expected a bigWig; convert it with bedGraphToBigWig",
        ),
        (struct.pack("<I", 0x8789F2EB) + bytes(100), "found a bigBed file; expected a bigWig"),
        (struct.pack("<I", 0x888FFC26) + bytes(10), "truncated"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "x.bw"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        BigWigSignal("DNase", path).read(window(0, 5))


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        BigWigSignal("DNase", tmp_path / "none.bw").read(window(0, 5))


def test_damage_inside_the_data_is_refused_with_its_place(tmp_path):
    path = bigwig(tmp_path, *(("chr1", start, start + 1, start % 7) for start in range(0, 1000, 2)))
    whole = bytearray(path.read_bytes())
    (data,) = struct.unpack("<Q", whole[16:24])
    whole[data + 8 : data + 200] = bytes(192)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="damaged data at chr1:1-999: a block that cannot be unpacked"):
        BigWigSignal("DNase", path).read(window(0, 1000))


# Which class a study's entry becomes


def test_signal_is_chosen_by_the_ending(tmp_path):
    hic = {"resolution": 10_000, "normalisation": "KR", "pseudocount": 0}
    for ending, kind, more in [
        (".bigWig", BigWigSignal, {"transform": "sqrt", "scale": 3.0}),
        (".bam", BamSignal, {"transform": "sqrt", "scale": 2.0, "extend": 150, "shift": -75}),
        (".mcool", HicSignal, {**hic, "transform": "none"}),
        (".hic", HicSignal, hic),
    ]:
        spec = {"name": "a", "path": tmp_path / f"x{ending}", "prior": None, **more}
        for form in (spec, SimpleNamespace(**spec)):
            signal = open_signal(form, tmp_path / "cache")
            assert type(signal) is kind
            assert all(
                getattr(signal, key) == value for key, value in more.items() if key != "transform" or value != "none"
            )


def test_settings_that_are_none_mean_the_defaults(tmp_path):
    spec = {"name": "a", "path": tmp_path / "x.mcool", "resolution": None, "normalisation": None, "pseudocount": None}
    signal = open_signal(spec, tmp_path)
    assert (signal.resolution, signal.normalisation) == (5_000, "VC")


def test_unknown_ending_and_transformed_contact_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"found the file extension '\.bed'"):
        open_signal({"name": "a", "path": "x.bed"}, tmp_path)
    with pytest.raises(InputError, match=re.escape("contact is read as log10(1 + x)")):
        open_signal({"name": "a", "path": "x.hic", "transform": "sqrt"}, tmp_path)


def test_real_signal_is_strong_at_promoters(shared_data):
    signal = BigWigSignal("DNase", shared_data / "K562.DNase.reconstructed.bigWig")
    with (shared_data / "genes.chr22.tsv").open() as lines:
        header, *genes = (line.rstrip("\n").split("\t") for line in lines)
    sites = [int(row[header.index("tss")]) for row in genes if "protein_coding" in row]
    at_promoters = np.mean([signal.mean_over("chr22", site - 500, site + 500) for site in sites])
    assert len(sites) == 418
    assert at_promoters == pytest.approx(32.5, abs=0.1)  # as told in the data's README
    assert signal.total() == pytest.approx(268_173 * 150, rel=0.01)
    assert signal.summary("chr22").mean == pytest.approx(signal.summary().mean, rel=0.01)
