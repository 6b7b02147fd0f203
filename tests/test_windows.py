"""Windows around start sites: their edges, what is read in them, and reading in many processes and threads."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from contact_maps import write_map
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.signals.hic import HicSignal
from model_core.signals.signal import BigWigSignal
from model_core.study.genome import Genome
from model_core.study.windows import WindowReader
from model_core.window import Window

BASES = "ACGTN" * 8  # 40 bp


# Python 3.12 warns of forks where any library has threads; none of ours holds a lock then.
forking = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    (folder / "genome.fa").write_text(f">chr1\n{BASES}\n>chr2\nAAAA\n")
    file = pyBigWig.open(str(folder / "DNase.bw"), "w")
    file.addHeader([("chr1", 40), ("chr2", 4)])
    file.addEntries(["chr1"] * 40, list(range(40)), ends=list(range(1, 41)), values=[float(i) for i in range(40)])
    file.close()
    write_map(folder / "x.cool", {"chr1": 40, "chr2": 4}, [(0, 1, 9), (1, 1, 99), (2, 2, 5)], [10])
    hic = HicSignal("HiC", folder / "x.cool", resolution=10, normalisation="NONE", pseudocount=0)
    blacklist = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [5, 0], "end": [8, 1], "name": "x"})
    return WindowReader(Genome(folder / "genome.fa"), [BigWigSignal("DNase", folder / "DNase.bw"), hic], blacklist)


def test_window_runs_from_half_its_length_before_the_tss():
    window = Window("chr1", 1_000_000, "-", 200_000)
    assert (window.start, window.end) == (900_000, 1_100_000)
    assert (Window("chr1", 10, "+", 5).start, Window("chr1", 10, "+", 5).end) == (8, 13)


def test_a_window_holds_sequence_signals_and_blacklist_in_the_same_places(reader):
    data = reader.read(Window("chr1", 12, "+", 16))  # bases 4 to 19
    assert (data.sequence.dtype, data.signals.dtype, data.blacklist.dtype) == (np.uint8, np.float32, bool)
    assert (data.sequence.shape, data.signals.shape, data.blacklist.shape) == ((16, 4), (16, 2), (16,))
    assert ["ACGTN"[code] for code in np.where(data.sequence.any(1), data.sequence.argmax(1), 4)] == list(BASES[4:20])
    assert data.signals[:, 0].tolist() == list(range(4, 20))
    assert data.signals[:, 1] == pytest.approx(np.repeat([1, 2], [6, 10]))
    assert np.flatnonzero(data.blacklist).tolist() == [1, 2, 3]


def test_beyond_the_chromosome_everything_is_zero(reader):
    data = reader.read(Window("chr1", 0, "+", 20))
    assert not data.sequence[:10].any()
    assert not data.signals[:10].any()
    assert not data.blacklist[:10].any()
    assert data.signals[10:, 0].tolist() == list(range(10))
    assert np.flatnonzero(data.blacklist).tolist() == [15, 16, 17]


def test_the_strand_does_not_turn_the_window_round(reader):
    forward, reverse = (reader.read(Window("chr1", 12, strand, 16)) for strand in "+-")
    assert all(np.array_equal(one, other) for one, other in zip(forward, reverse, strict=True))


def test_a_study_may_have_neither_signals_nor_blacklist(reader):
    data = WindowReader(reader.genome, []).read(Window("chr2", 2, "+", 4))
    assert data.signals.shape == (4, 0)
    assert data.sequence.tolist() == [[1, 0, 0, 0]] * 4
    assert not data.blacklist.any()


@given(tss=st.integers(0, 39), length=st.integers(1, 100))
@settings(deadline=None, max_examples=60)
def test_any_site_and_length_give_a_piece_of_the_padded_chromosome(reader, tss, length):
    data = reader.read(Window("chr1", tss, "+", length))
    places = np.arange(tss - length // 2, tss - length // 2 + length)
    inside = (places >= 0) & (places < 40)
    assert data.sequence.sum(1).tolist() == [
        int(i and BASES[p] != "N") for i, p in zip(inside, places % 40, strict=True)
    ]
    assert data.signals[:, 0].tolist() == np.where(inside, places, 0).tolist()
    assert data.blacklist.tolist() == ((places >= 5) & (places < 8)).tolist()


def test_site_off_the_chromosome_is_refused(reader):
    for tss in (-1, 40):
        with pytest.raises(InputError, match=r"found TSS .*; expected 1 to 40 on chr1"):
            reader.read(Window("chr1", tss, "+", 10))


def test_unknown_chromosome_names_its_other_spelling(reader):
    with pytest.raises(InputError, match=r"genome\.fa: found chromosome 'chr1'; expected '1'"):
        reader.read(Window("1", 5, "+", 10))


def test_window_without_length_is_refused(reader):
    with pytest.raises(InputError, match="at least 1 bp"):
        reader.read(Window("chr1", 5, "+", 0))


# Many readers at once


def same(data, other):
    return all(np.array_equal(one, two) for one, two in zip(data, other, strict=True))


@forking
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_worker_processes_read_the_same_after_files_were_opened_here(reader, start):
    windows = [Window("chr1", tss, "+", 30) for tss in range(40)]
    expected = [reader.read(window) for window in windows]
    with ProcessPoolExecutor(2, multiprocessing.get_context(start)) as pool:
        found = list(pool.map(reader.read, windows, chunksize=4))
    assert all(same(*pair) for pair in zip(found, expected, strict=True))


def test_threads_read_the_same(reader):
    windows = [Window("chr1", tss, "+", 30) for tss in range(40)] * 5
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(reader.read, windows))
    assert all(same(data, reader.read(window)) for data, window in zip(found, windows, strict=True))


def test_reader_can_be_pickled_and_its_pickle_is_small(reader):
    reader.read(Window("chr1", 12, "+", 16))
    dumped = pickle.dumps(reader)
    assert len(dumped) < 5_000
    assert same(pickle.loads(dumped).read(Window("chr1", 12, "+", 16)), reader.read(Window("chr1", 12, "+", 16)))


@pytest.fixture(scope="module")
def real(shared_data):
    signals = [
        BigWigSignal("DNase", shared_data / "K562.DNase.reconstructed.bigWig"),
        HicSignal("HiC", shared_data / "K562.hic.chr22.mcool", normalisation="weight"),
    ]
    return WindowReader(Genome(shared_data / "hg38.chr22.partial.fa.gz"), signals)


@forking
def test_forked_workers_read_real_files_at_once_as_one_process_does(real):
    windows = [Window("chr22", tss, "+", 200_000) for tss in range(20_000_000, 50_000_000, 1_000_000)]
    expected = [real.read(window) for window in windows]
    with ProcessPoolExecutor(3, multiprocessing.get_context("fork")) as pool:
        found = list(pool.map(real.read, windows))
    assert all(same(*pair) for pair in zip(found, expected, strict=True))
    assert all(data.signals.any(axis=0)[1] for data in expected)


def test_real_gene_costs_one_window(real):
    data = real.read(Window("chr22", 30_000_000, "+", 200_000))
    assert data.sequence.nbytes + data.signals.nbytes + data.blacklist.nbytes == 200_000 * (4 + 2 * 4 + 1)


@given(start=st.integers(-50, 50), length=st.integers(1, 50))
def test_a_window_between_two_places_begins_and_ends_there(start, length):
    window = Window.between("chr1", start, start + length)
    assert (window.start, window.end, window.length) == (start, start + length, length)
