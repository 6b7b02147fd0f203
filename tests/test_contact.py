"""Contact to the transcription start: the formula worked by hand on seven pixels, settings, and the real map."""

import pickle
import re

import hictkpy
import numpy as np
import pandas as pd
import pytest

from model_core.contact import HicSignal, PowerLaw
from model_core.errors import InputError
from model_core.windows import Window

SIZES = {"chr1": 42_000, "chr2": 10_000}  # 9 bins of 5 kb, the last of 2 kb, and 2 bins
PIXELS = pd.DataFrame(
    [(0, 3, 1), (2, 3, 4), (3, 3, 9), (3, 4, 2), (3, 6, 5), (8, 8, 7), (7, 7, 3)],
    columns=["bin1_id", "bin2_id", "count"],
)
TSS = 17_000  # in bin 3
PSEUDOCOUNT = 0.001229  # exp(-4.80 + 11.63 * 0.87 - 0.87 ln(1,000,001)), worked on paper


@pytest.fixture(params=["x.cool", "x.hic"])
def path(request, tmp_path):
    return write(tmp_path / request.param)


def write(path):
    if path.suffix == ".hic":
        writer = hictkpy.hic.FileWriter(path, SIZES, [5_000, 10_000])
    else:
        writer = hictkpy.cooler.FileWriter(path, SIZES, 5_000)
    writer.add_pixels(PIXELS.sort_values(["bin1_id", "bin2_id"]))
    writer.finalize()
    return path


def weighted(path, **columns):
    """The cooler with weights added to its bins, as balancing tools do."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "r+") as file:
        for name, values in columns.items():
            file["bins"].create_dataset(name, data=np.asarray(values, float))
    return path


def window(start, end, tss=TSS, chrom="chr1"):
    found = Window(chrom, tss, "+", 2 * max(tss - start, end - tss))
    return found, slice(start - found.start, end - found.start)


def read(signal, start, end, tss=TSS, chrom="chr1"):
    whole, part = window(start, end, tss, chrom)
    return signal.read(whole)[part]


def test_power_law_is_the_constant_of_the_paper_within_1_mb():
    law = PowerLaw()
    assert law(np.array([0, 5_000, 100_000, 1_000_000])) == pytest.approx(np.full(4, PSEUDOCOUNT), abs=1e-6)
    assert law.expected(5_000) == pytest.approx(np.exp(5.3181 - 0.87 * np.log(5_001)))
    assert law.expected(0) == law.expected(5_000)


def test_power_law_falls_beyond_1_mb():
    law = PowerLaw()
    assert law(np.array([3e6]))[0] == pytest.approx(np.exp(5.3181 - 0.87 * np.log(3_000_001)))


def test_every_base_has_the_contact_of_its_bin_plus_the_pseudocount(path):
    vector = read(HicSignal("HiC", path, normalisation="NONE"), 0, 42_000)
    counts = np.repeat([1, 0, 4, 9, 2, 0, 5, 0, 0], 5_000)[:42_000]
    assert vector.dtype == np.float32
    assert vector == pytest.approx(np.log10(1 + counts + PSEUDOCOUNT), abs=1e-6)


def test_beyond_the_chromosome_the_vector_is_zero_and_not_the_pseudocount(path):
    vector = HicSignal("HiC", path, normalisation="NONE").read(Window("chr1", TSS, "+", 60_000))
    assert vector.shape == (60_000,)
    assert (vector[:13_000] == 0).all()
    assert (vector[13_000:55_000] > 0).all()
    assert (vector[55_000:] == 0).all()


@pytest.mark.parametrize(("tss", "counts"), [(35_000, [3, 0]), (41_999, [0, 7])])
def test_the_short_last_bin_is_read_like_any_other(path, tss, counts):
    vector = read(HicSignal("HiC", path, normalisation="NONE", pseudocount=0), 35_000, 42_000, tss)
    assert vector == pytest.approx(np.log10(1 + np.repeat(counts, [5_000, 2_000])))


def test_gene_without_contact_around_its_start_has_no_vector(path):
    signal = HicSignal("HiC", path, normalisation="NONE")
    assert (read(signal, 0, 42_000, tss=7_000) == 0).all()  # bin 1 has no counts at all
    assert (read(signal, 0, 10_000, tss=5_000, chrom="chr2") == 0).all()


def test_contact_within_500_bp_of_the_start_counts_even_in_the_next_bin(tmp_path):
    signal = HicSignal("HiC", write(tmp_path / "x.cool"), normalisation="NONE")
    # Bin 4 has contact with bin 3 and none with itself; 19,999, the last base of bin 3, is 499 bp from 20,498.
    assert read(signal, 15_000, 42_000, tss=20_498)[0] > 0
    assert (read(signal, 15_000, 42_000, tss=20_499) == 0).all()


def test_pseudocount_can_be_switched_off_or_chosen(path):
    for pseudocount, expected in [(0, 0.0), (2.5, 2.5), (PowerLaw(gamma=1, scale=0), 1 / 1_000_001)]:
        signal = HicSignal("HiC", path, normalisation="NONE", pseudocount=pseudocount)
        assert read(signal, 25_000, 25_001) == pytest.approx([np.log10(1 + expected)], rel=1e-2)


def test_resolution_is_a_setting(tmp_path):
    signal = HicSignal("HiC", write(tmp_path / "x.hic"), 10_000, "NONE", 0)
    # Bins 2 and 3 of 5 kb are one bin of 10 kb: 4 + 9 contacts with itself.
    assert read(signal, 10_000, 20_000) == pytest.approx(np.full(10_000, np.log10(14)))


def test_vc_weights_divide_and_balancing_weights_multiply(tmp_path):
    weights = np.arange(1.0, 12.0)
    path = weighted(write(tmp_path / "x.cool"), VC=weights, weight=weights)
    for normalisation, expected in [("VC", 4 / (3 * 4)), ("weight", 4 * (3 * 4))]:
        signal = HicSignal("HiC", path, normalisation=normalisation, pseudocount=0)
        assert read(signal, 10_000, 10_001) == pytest.approx([np.log10(1 + expected)])


def test_vc_is_the_default(tmp_path):
    path = weighted(write(tmp_path / "x.cool"), VC=np.full(11, 3.0))
    assert read(HicSignal("HiC", path), 15_000, 15_001) == pytest.approx([np.log10(1 + 9 / 9 + PSEUDOCOUNT)], abs=1e-6)


def test_bins_that_balancing_left_out_count_as_zero(tmp_path):
    weights = np.ones(11)
    weights[2] = np.nan
    path = weighted(write(tmp_path / "x.cool"), weight=weights)
    vector = read(HicSignal("HiC", path, normalisation="weight", pseudocount=0), 10_000, 20_000)
    assert vector[[0, 5_000]].tolist() == pytest.approx([0, 1])


def test_signal_can_be_pickled_after_use(path):
    signal = HicSignal("HiC", path, normalisation="NONE", pseudocount=PowerLaw(gamma=0.9))
    before = read(signal, 0, 42_000)
    assert np.array_equal(read(pickle.loads(pickle.dumps(signal)), 0, 42_000), before)


# What goes wrong


def test_missing_resolution_lists_those_there_are(tmp_path):
    with pytest.raises(InputError, match="no bins of 2000 bp; expected one of 5000, 10000"):
        read(HicSignal("HiC", write(tmp_path / "x.hic"), 2_000), 0, 1)
    with pytest.raises(InputError, match="no bins of 2000 bp; expected one of 5000;"):
        read(HicSignal("HiC", write(tmp_path / "x.cool"), 2_000), 0, 1)


def test_missing_normalisation_lists_those_there_are(path):
    with pytest.raises(InputError, match="no normalisation 'VC' at 5,000 bp; expected one of NONE;"):
        read(HicSignal("HiC", path), 0, 1)
    if path.suffix == ".cool":
        weighted(path, weight=np.ones(11))
        with pytest.raises(InputError, match="expected one of NONE, weight;"):
            read(HicSignal("HiC", path), 0, 1)


def test_missing_chromosome_and_start_beyond_its_end_are_refused(path):
    signal = HicSignal("HiC", path, normalisation="NONE")
    with pytest.raises(InputError, match="has no chromosome '1', it has 'chr1'"):
        signal.read(Window("1", 5, "+", 4))
    for tss in (-1, 42_000):
        with pytest.raises(InputError, match="1 to 42,000 on chr1"):
            signal.read(Window("chr1", tss, "+", 4))


def test_missing_cut_off_and_other_files_are_refused(path, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        _ = HicSignal("HiC", tmp_path / "none.hic").sizes
    content = path.read_bytes()
    for cut in (0, 3, len(content) // 3):
        path.write_bytes(content[:cut])
        with pytest.raises(InputError, match=re.escape(path.name)):
            HicSignal("HiC", path, normalisation="NONE").read(Window("chr1", TSS, "+", 1000))


# The real map


def test_real_map_agrees_with_cooler(shared_data):
    cooler = pytest.importorskip("cooler")
    path = shared_data / "K562.hic.chr22.mcool"
    tss, half = 30_000_000, 100_000
    for normalisation, balance in (("NONE", False), ("weight", True)):
        matrix = cooler.Cooler(f"{path}::/resolutions/5000").matrix(balance=balance)
        row = matrix.fetch(("chr22", tss, tss + 5_000), ("chr22", tss - half, tss + half))[0]
        expected = np.log10(1 + np.repeat(np.nan_to_num(row), 5_000) + PSEUDOCOUNT)
        signal = HicSignal("HiC", path, normalisation=normalisation)
        assert signal.read(Window("chr22", tss, "+", 2 * half)) == pytest.approx(expected, abs=1e-6)


def test_real_map_decays_with_distance_and_is_empty_in_the_short_arm(shared_data):
    signal = HicSignal("HiC", shared_data / "K562.hic.chr22.mcool", normalisation="weight")
    vector = signal.read(Window("chr22", 30_000_000, "+", 200_000))
    assert vector[100_000] > 5 * vector[160_000] > 0
    assert (signal.read(Window("chr22", 5_000_000, "+", 200_000)) == 0).all()
