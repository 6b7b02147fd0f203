"""Contact to the transcription start: the formula worked by hand on seven pixels, settings, and the real map."""

import ast
import gc
import os
import pickle
import re
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from contact_maps import run_alone, write_map

from model_core.errors import InputError
from model_core.signals import hic_cache
from model_core.signals.cooler_rows import CoolerRows
from model_core.signals.hic import HicSignal, PowerLaw
from model_core.window import Window

SIZES = {"chr1": 42_000, "chr2": 10_000}  # 9 bins of 5 kb, the last of 2 kb, and 2 bins
PIXELS = [(0, 3, 1), (2, 3, 4), (3, 3, 9), (3, 4, 2), (3, 6, 5), (8, 8, 7), (7, 7, 3)]
TSS = 17_000  # in bin 3
PSEUDOCOUNT = 0.001229  # exp(-4.80 + 11.63 * 0.87 - 0.87 ln(1,000,001)), worked on paper


@pytest.fixture(params=["x.cool", "x.hic"])
def path(request, tmp_path):
    return write(tmp_path / request.param)


def write(path, pixels=PIXELS):
    return write_map(path, SIZES, pixels, [5_000, 10_000])


def weighted(path, **columns):
    """The cooler with weights added to its bins, as balancing tools do."""
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


# Reading a .cool in this process


def test_a_row_is_that_of_the_whole_matrix(tmp_path):
    pairs = np.random.default_rng(0).integers(0, 11, (40, 2))
    pixels = {(int(min(pair)), int(max(pair))): i + 1 for i, pair in enumerate(pairs)}  # both chromosomes, and between
    matrix = np.zeros((11, 11))
    for (one, two), count in pixels.items():
        matrix[one, two] = matrix[two, one] = count
    path = write(tmp_path / "x.cool", [(*pair, count) for pair, count in pixels.items()])
    rows = CoolerRows(path, 5_000)
    for chrom, start, bins in (("chr1", 0, 9), ("chr2", 9, 2)):
        for first in range(bins):
            for anchor in range(first, bins):
                for last in range(anchor + 1, bins + 1):
                    expected = matrix[start + anchor, start + first : start + last]
                    assert rows.row(chrom, anchor, first, last).tolist() == expected.tolist()


def test_a_column_tells_itself_whether_it_divides_and_others_are_no_normalisation(tmp_path):
    path = weighted(write(tmp_path / "x.cool"), GC=np.ones(11), mine=np.full(11, 2.0), GW_ICE=np.full(11, 2.0))
    with h5py.File(path, "r+") as file:
        file["bins/mine"].attrs["divisive_weights"] = True
    assert CoolerRows(path, 5_000, "mine").row("chr1", 3, 3, 4).tolist() == [9 / 4]
    assert CoolerRows(path, 5_000, "GW_ICE").row("chr1", 3, 3, 4).tolist() == [9 * 4]
    with pytest.raises(InputError, match="expected one of NONE, GW_ICE, mine;"):
        _ = CoolerRows(path, 5_000, "GC").sizes


def test_a_weight_of_zero_that_divides_leaves_its_bin_out(tmp_path):
    path = weighted(write(tmp_path / "x.cool"), VC=np.arange(-2.0, 9.0))
    assert CoolerRows(path, 5_000, "VC").row("chr1", 3, 2, 5).tolist() == [0, 9, 1]


def test_a_map_of_both_triangles_or_of_no_bin_size_is_refused(tmp_path):
    for name, value, found in (
        ("storage-mode", "square", "storage-mode 'square'"),
        ("bin-size", "null", "various sizes"),
    ):
        path = write(tmp_path / "x.cool")
        with h5py.File(path, "r+") as file:
            file.attrs[name] = value
        with pytest.raises(InputError, match=found):
            _ = HicSignal("HiC", path, normalisation="NONE").sizes


# Reading a .hic through a map made of it

# Only a .hic's own reader calls this; of a .cool, which a test can give weights, it makes the same.
BAND = """
import sys, hictkpy
from model_core.signals import hic_reader
hic_reader._PIXELS = {pixels}
hic_reader.write_band(hictkpy.File(sys.argv[1]), "{normalisation}", {reach}, sys.argv[2])
"""


def test_a_hic_is_converted_once_and_tells_how_far_it_is(tmp_path, monkeypatch):
    path, told = write(tmp_path / "x.hic"), []
    cache = tmp_path / "made" / "here"
    signal = HicSignal("HiC", path, normalisation="NONE", cache=cache)
    signal.prepare(told.append)
    assert told == pytest.approx([9 / 11, 1])
    assert [made.suffix for made in sorted(cache.iterdir())] == [".cool", ".lock"]

    monkeypatch.setattr(hic_cache, "_ask", lambda *_: pytest.fail("the file was read again"))
    again = HicSignal("HiC", path, normalisation="NONE", cache=cache)
    assert again.sizes == SIZES
    assert np.array_equal(read(again, 0, 42_000), read(signal, 0, 42_000))


def test_another_file_in_its_place_is_converted_anew(tmp_path):
    path = write(tmp_path / "x.hic")
    signal = HicSignal("HiC", path, normalisation="NONE", pseudocount=0)
    assert read(signal, 15_000, 15_001) == pytest.approx([np.log10(1 + 9)])
    write(path, [(3, 3, 99)])
    assert read(signal, 15_000, 15_001) == pytest.approx([np.log10(1 + 99)])


def test_another_file_of_the_same_length_and_time_is_converted_anew(tmp_path):
    contents = [write(tmp_path / "x.hic", [(3, 3, count)]).read_bytes() for count in (9, 99)]
    path, signals = tmp_path / "x.hic", []
    for content, count in zip(contents, (9, 99), strict=True):
        path.write_bytes(content.ljust(max(map(len, contents)), b"\0"))
        os.utime(path, (1, 1))
        signals.append(HicSignal("HiC", path, normalisation="NONE", pseudocount=0))
        for signal in signals:  # one that has read the other, and a new one
            assert read(signal, 15_000, 15_001) == pytest.approx([np.log10(1 + count)])


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_damaged_map_is_made_anew(tmp_path, share):
    path = write(tmp_path / "x.hic")
    whole = read(HicSignal("HiC", path, normalisation="NONE"), 0, 42_000)
    (made,) = (tmp_path / "cache").glob("*.cool")
    gc.collect()  # HDF5 shares what is open, and would not look at the file again
    content = made.read_bytes()
    made.write_bytes(content[: int(share * len(content))])
    signal = HicSignal("HiC", path, normalisation="NONE")
    assert signal.sizes == SIZES
    assert read(signal, 0, 42_000).tolist() == whole.tolist()


def test_another_rule_of_the_map_takes_over_no_old_one(tmp_path, monkeypatch):
    path = write(tmp_path / "x.hic")
    for rule in (1, 2):
        monkeypatch.setattr(hic_cache, "_RULE", rule)
        HicSignal("HiC", path, normalisation="NONE").prepare()
    assert len(list((tmp_path / "cache").glob("*.cool"))) == 2


def test_a_longer_window_gets_a_map_that_reaches_further(tmp_path):
    sizes, pixels = {"chr1": 1_000_000}, [(20, 20, 9), (20, 45, 3), (20, 99, 4)]
    path = write_map(tmp_path / "x.hic", sizes, pixels, [10_000])
    signal = HicSignal("HiC", path, 10_000, "NONE", 0, tmp_path / "cache")
    for length, expected in ((200_000, 0), (600_000, 3), (1_800_000, 3)):
        assert signal.read(Window("chr1", 200_000, "+", length)).shape == (length,)
        rows = signal._rows.within(length // 2)
        assert rows.row("chr1", 20, 20, 100)[25] == expected
    assert signal.read(Window("chr1", 200_000, "+", 1_800_000))[-110_000] == pytest.approx(np.log10(1 + 4))
    assert len(list((tmp_path / "cache").glob("*.cool"))) == 3


def test_what_is_made_of_a_hic_is_normalised_and_cooler_reads_it(tmp_path):
    cooler = pytest.importorskip("cooler")
    weights = np.array([1, 2, 3, 4, 5, np.nan, np.nan, 8, 9, 1, 1])
    path = weighted(write(tmp_path / "x.cool", [*PIXELS, (3, 9, 1)]), VC=weights)
    run_alone(BAND.format(pixels="1 << 22", normalisation="VC", reach=2), path, tmp_path / "made.cool")
    made = cooler.Cooler(str(tmp_path / "made.cool"))
    assert made.chromsizes.to_dict() == SIZES
    assert made.bins()[:].equals(cooler.Cooler(str(path)).bins()[["chrom", "start", "end"]][:])
    expected = [[2, 3, 4 / 12], [3, 3, 9 / 16], [3, 4, 2 / 20], [7, 7, 3 / 64], [8, 8, 7 / 81]]
    assert made.pixels()[:].to_numpy() == pytest.approx(np.array(expected))


def test_a_long_chromosome_is_converted_piece_by_piece(tmp_path):
    path = write(tmp_path / "x.cool")
    run_alone(BAND.format(pixels=6, normalisation="NONE", reach=3), path, tmp_path / "made.cool")
    for anchor in range(9):
        first, last = max(anchor - 3, 0), min(anchor + 4, 9)
        one, two = (CoolerRows(file, 5_000).row("chr1", anchor, first, last) for file in (path, tmp_path / "made.cool"))
        assert one.tolist() == two.tolist()


def test_a_cache_that_cannot_be_written_is_told_and_another_folder_taken(tmp_path, monkeypatch, capsys):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    HicSignal("HiC", write(tmp_path / "x.hic"), normalisation="NONE").prepare()
    assert "cannot be written (file exists): the contact map of x.hic is kept in" in capsys.readouterr().err
    assert len(list(tmp_path.glob("seq2exp-viz-*/*.cool"))) == 1


def test_a_reader_that_dies_is_an_unreadable_file_and_leaves_nothing(tmp_path, monkeypatch):
    signal = HicSignal("HiC", write(tmp_path / "x.hic"), normalisation="NONE")
    assert signal.sizes == SIZES
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(InputError, match=r"no readable Hi-C \(its reader ended with code 1\)"):
        signal.prepare()
    assert not list(tmp_path.glob("cache/*.cool"))
    assert not list(tmp_path.glob("cache/.*"))


# What reading costs the process


def test_only_the_reader_of_hic_files_imports_hictkpy():
    importing = set()
    for folder in ("model_core", "seq2exp_viz"):
        for path in (Path(__file__).parents[1] / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(
                    name.split(".")[0] in ("hictkpy", "hic_reader") or name.endswith("hic_reader") for name in names
                ):
                    importing.add(path.name)
    assert importing == {"hic_reader.py"}


IDLE = """
import sys, threading, time
from model_core.signals.hic import HicSignal
from model_core.window import Window
signal = HicSignal("HiC", sys.argv[1], normalisation="NONE")
assert signal.read(Window("chr1", 17_000, "+", 10_000)).any()
assert "hictkpy" not in sys.modules
assert threading.active_count() == 1
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before)
"""


def test_an_idle_process_that_has_read_contacts_burns_no_time(path):
    assert float(run_alone(IDLE, path)) < 0.1


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
    with pytest.raises(InputError, match="found chromosome 'chr1'; expected '1'"):
        signal.read(Window("1", 5, "+", 4))
    for tss in (-1, 42_000):
        with pytest.raises(InputError, match="1 to 42,000 on chr1"):
            signal.read(Window("chr1", tss, "+", 4))


def test_a_chromosome_that_the_map_does_not_list_has_no_contact(path):
    signal = HicSignal("HiC", path, normalisation="NONE")
    assert signal.absent(["chr1", "chr77"]) == ["chr77"]
    assert signal.read(Window("chr77", 5, "+", 4)).tolist() == [0] * 4


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


def test_a_hic_without_chr_in_its_names_serves_a_genome_that_has_it(tmp_path):
    pixels = [(10, 12, 7), (12, 12, 50), (12, 14, 5)]
    bare = write_map(tmp_path / "bare.hic", {"1": 200_000}, pixels, [5_000])
    same = write_map(tmp_path / "same.hic", {"chr1": 200_000}, pixels, [5_000])
    window = Window("chr1", 62_000, "+", 40_000)
    signals = [HicSignal("Hi-C", path, 5_000, "NONE", cache=tmp_path / "cache") for path in (bare, same)]
    assert signals[0].sizes["chr1"] == 200_000
    assert np.array_equal(signals[0].read(window), signals[1].read(window))
    assert signals[0].read(window).max() > 0
