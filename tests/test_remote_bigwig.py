"""Values of a bigWig at an address: those that pyBigWig reads from the local file, from few requests."""

import random
import struct
import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pybigtools
import pyBigWig
import pytest
from damaged_files import TINY, written
from dense_bigwig import write_dense
from mirror_server import serve_mirror
from range_server import serve_ranges, suppress_named

from model_core.errors import InputError
from model_core.remote import session
from model_core.remote.address import RemotePath
from model_core.signals import bigwig_ranges
from model_core.signals.bigwig import zoomed_summary
from model_core.signals.bigwig_ranges import BigWigRanges
from model_core.signals.signal import BigWigSignal
from model_core.window import Window

SIZES = {"chr1": 300_000, "chr2": 90_000, "chrEmpty": 1_000}


def write(path, seed: int, items: int = 4_000, zooms: int = 5) -> None:
    """A bigWig with all three kinds of sections."""
    rng = random.Random(seed)
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(list(SIZES.items()), maxZooms=zooms)
        for chrom in ("chr1", "chr2"):
            place = rng.randrange(200)
            while place < SIZES[chrom] - 30_000:
                count, kind = rng.randrange(1, max(items // 20, 2)), rng.randrange(3)
                values = [rng.choice([0.0, 1.5, -2.25, rng.random() * 100]) for _ in range(count)]
                if kind == 0:
                    steps = [rng.randrange(1, 90) for _ in range(2 * count)]
                    edges = np.cumsum([place, *steps]).tolist()
                    file.addEntries([chrom] * count, edges[:-1:2], ends=edges[1::2], values=values)
                    place = edges[-1]
                elif kind == 1:
                    starts = np.cumsum([place, *[rng.randrange(7, 60) for _ in range(count)]]).tolist()
                    file.addEntries(chrom, starts[:-1], span=7, values=values)
                    place = starts[-1]
                else:
                    span, step = rng.randrange(1, 9), rng.randrange(9, 40)
                    file.addEntries(chrom, place, span=span, step=step, values=values)
                    place += count * step
                place += rng.randrange(1, 900)


@pytest.mark.parametrize("seed", range(12))
def test_values_are_those_of_pybigwig(tmp_path, seed):
    path = tmp_path / "a.bw"
    write(path, seed, zooms=seed % 3)
    rng, ours = random.Random(seed), BigWigRanges(path)
    with pyBigWig.open(str(path)) as theirs:
        assert ours.chroms() == theirs.chroms()
        for _ in range(25):
            chrom = rng.choice(list(SIZES))
            first = rng.randrange(SIZES[chrom])
            last = min(first + rng.choice([1, 10, 4_000, 100_000]), SIZES[chrom])
            np.testing.assert_array_equal(
                ours.values(chrom, first, last), np.asarray(theirs.values(chrom, first, last, numpy=True), np.float32)
            )


@pytest.mark.parametrize("zooms", range(6))
def test_summaries_of_a_chromosome_are_those_of_pybigwig_to_the_last_bit(tmp_path, zooms):
    for seed in range(4):
        path = tmp_path / f"{seed}.bw"
        write(path, seed, items=2_000, zooms=zooms)
        with pyBigWig.open(str(path)) as theirs:
            for chrom, size in SIZES.items():
                ours = zoomed_summary(BigWigRanges(path), path, chrom, size)
                assert ours == zoomed_summary(theirs, path, chrom, size)


@pytest.mark.parametrize("seed", range(2))
def test_values_of_files_of_pybigtools_are_those_of_pybigwig(tmp_path, seed):
    rng, path = np.random.default_rng(seed), tmp_path / "a.bw"
    sizes = {f"chr{number:03}": 20_000 + number for number in range(100)}
    edges = {chrom: np.sort(rng.choice(size, 40, replace=False)).tolist() for chrom, size in sizes.items()}
    values = (
        (chrom, start, end, float(rng.normal()))
        for chrom, places in edges.items()
        for start, end in zip(places[::2], places[1::2], strict=True)
    )
    pybigtools.open(str(path), "w").write(sizes, values)
    ours = BigWigRanges(path)
    with pyBigWig.open(str(path)) as theirs:
        assert ours.chroms() == theirs.chroms()
        for chrom in rng.choice(list(sizes), 20):
            first = int(rng.integers(0, 10_000))
            wanted = np.asarray(theirs.values(chrom, first, 20_000, numpy=True), np.float32)
            np.testing.assert_array_equal(ours.values(chrom, first, 20_000), wanted)
            assert zoomed_summary(ours, path, chrom, sizes[chrom]) == zoomed_summary(theirs, path, chrom, sizes[chrom])


@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order_is_read(tmp_path, order):
    path = tmp_path / "a.bw"
    path.write_bytes(written(order))
    file = BigWigRanges(path)
    assert file.chroms() == TINY
    wanted = np.full(30, np.nan, np.float32)
    wanted[10:20] = 2.5
    np.testing.assert_array_equal(file.values("chr1", 0, 30), wanted)
    assert file.values("chr2", 4, 6).tolist()[0] == 2.5
    assert file.statistics("chr2") == (5 / 500, 2.5, 2.5, 2.5)


@pytest.mark.parametrize("seed", range(30))
def test_of_items_over_the_same_base_the_last_one_counts(seed):
    rng = np.random.default_rng(seed)
    length, count = int(rng.integers(1, 70)), int(rng.integers(0, 40))
    starts = rng.integers(-20, 80, count)
    ends, values = starts + rng.integers(1, 60, count), rng.normal(size=count).astype(np.float32)
    found, wanted = np.full((2, length), np.nan, np.float32)
    for start, end, value in zip(starts, ends, values, strict=True):
        wanted[max(start, 0) : max(end, 0)] = value
    bigwig_ranges._paint(found, starts, ends, values)
    np.testing.assert_array_equal(found, wanted)


def test_items_that_all_cover_a_window_cost_no_memory_of_their_own():
    count, found = 65_535, np.full(200_000, np.nan, np.float32)
    bigwig_ranges._paint(found, np.zeros(count, int), np.full(count, 200_000), np.arange(count, dtype=np.float32))
    assert (found == count - 1).all()


def test_a_block_that_unpacks_to_more_than_a_section_holds_is_refused(tmp_path):
    path = tmp_path / "a.bw"
    bomb = zlib.compress(bytes(20_000_000), 9)
    place = written().index(struct.pack("<III", 1, 0, 5))  # of the section on chr2, as the index has it
    content = bytearray(written(size=len(bomb)).replace(struct.pack("<QQ", place, len(bomb)), b"?" * 16))
    moved = struct.pack("<QQ", len(content), len(bomb))
    content = content.replace(b"?" * 16, moved)
    content[52:56] = struct.pack("<I", 1 << 30)  # bytes of an unpacked block, as the header claims
    path.write_bytes(content + bomb)
    with pytest.raises(InputError, match="of more than 786,444 bytes"):
        BigWigRanges(path).values("chr2", 0, 10)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"child": 64}, "damaged"),
        ({"leaf_end": 15}, "other places than the index states"),
        ({"count": 2}, "a section of type 1"),
        ({"size": 10**9}, "beyond the file's end"),
    ],
)
def test_an_index_that_contradicts_its_data_is_refused(tmp_path, changed, words):
    (tmp_path / "a.bw").write_bytes(written(**changed))

    def read():
        file = BigWigRanges(tmp_path / "a.bw")
        return [file.values(chrom, 0, size) for chrom, size in TINY.items()]

    with pytest.raises(InputError, match=words):
        read()


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)
    write(tmp_path / "a.bw", 3)
    with serve_ranges({"/a.bw": (tmp_path / "a.bw").read_bytes()}) as server:
        yield server, tmp_path / "a.bw"


def test_a_signal_at_an_address_has_the_numbers_of_the_local_one(served):
    server, path = served
    local, remote = (
        BigWigSignal("s", path, "arcsinh", 2.0),
        BigWigSignal("s", RemotePath(server.url("/a.bw")), "arcsinh", 2.0),
    )
    for window in (
        Window("chr1", 150_000, "+", 100_000),
        Window("chr2", 10, "-", 4_000),
        Window("chrEmpty", 5, "+", 100),
    ):
        assert local.read(window).tobytes() == remote.read(window).tobytes()
    assert local.total() == remote.total()
    assert local.summary() == remote.summary()
    assert local.mean_over("chr1", 5_000, 6_000) == remote.mean_over("chr1", 5_000, 6_000)
    for chrom in SIZES:
        assert local.summary(chrom) == remote.summary(chrom)
    windows = [Window("chr1", place, "+", 4_000) for place in (10_000, 150_000)]
    levels = (0.1, 0.5, 0.99)
    assert local.quantiles(windows, levels).tobytes() == remote.quantiles(windows, levels).tobytes()


def test_a_signal_can_be_sent_to_another_process(served):
    import pickle

    server, path = served
    window = Window("chr1", 150_000, "+", 10_000)
    remote = BigWigSignal("s", RemotePath(server.url("/a.bw")))
    remote.read(window)
    sent = pickle.loads(pickle.dumps(remote))
    assert sent.read(window).tobytes() == BigWigSignal("s", path).read(window).tobytes()


@pytest.mark.parametrize("megabases", [2, pytest.param(60, marks=pytest.mark.nightly)])  # 10 and 310 MB
def test_a_window_of_a_dense_file_costs_few_requests_and_bytes(tmp_path, monkeypatch, megabases):
    (tmp_path / "host").mkdir()
    path = tmp_path / "host" / f"dense{megabases}.bw"
    write_dense(path, megabases)
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    with serve_mirror(tmp_path) as mirror:
        monkeypatch.setenv("SEQ2EXP_MIRROR", mirror.url())
        window = Window("chr1", megabases * 500_000, "+", 200_000)
        local, remote = BigWigSignal("s", path), BigWigSignal("s", RemotePath(f"https://host/{path.name}"))
        assert remote.read(window).tobytes() == local.read(window).tobytes()
        assert len(mirror.asked) <= 4
        assert sum(mirror.sent.values()) <= 2_000_000
        assert remote.summary() == local.summary()
        assert remote.summary("chr1") == local.summary("chr1")
        assert len(mirror.asked) <= 6
        mirror.forget()
        promoters = [("chr1", start, start + 1_000) for start in range(100_000, 1_800_000, 17_000)]
        remote.read_ahead(promoters)
        requests = len(mirror.asked)
        assert requests < len(promoters) / 3
        assert [remote.mean_over(*place) for place in promoters] == [local.mean_over(*place) for place in promoters]
        assert len(mirror.asked) == requests


@cache
def some_file(seed: int) -> bytes:
    with TemporaryDirectory() as folder:
        write(Path(folder, "a.bw"), seed, items=1_000)
        return Path(folder, "a.bw").read_bytes()


@pytest.mark.parametrize("seed", range(80))
def test_a_damaged_file_ends_in_words(tmp_path, seed):
    path = tmp_path / "a.bw"
    rng, damaged = random.Random(seed), bytearray(some_file(seed % 5))
    for _ in range(rng.choice([1, 5, 50])):
        damaged[rng.randrange(rng.choice([64, 700, len(damaged)]))] = rng.choice([0, 1, 127, 255])
    path.write_bytes(damaged[: rng.choice([len(damaged), len(damaged), rng.randrange(len(damaged))])])
    with suppress_named(path):
        file = BigWigRanges(path)
        for chrom, size in file.chroms().items():
            last = min(size, 300_000)
            assert len(file.values(chrom, 0, last)) == last
            file.statistics(chrom)
        file.summary()
