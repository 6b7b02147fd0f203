"""Values of a bigWig at an address: those that pyBigWig reads from the local file, from few requests."""

import random

import numpy as np
import pyBigWig
import pytest
from range_server import serve_ranges, suppress_named

from model_core.remote import session
from model_core.remote.address import RemotePath
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
    near, far = remote.summary("chr1"), local.summary("chr1")
    np.testing.assert_allclose(near, far, rtol=0.02)


def test_a_signal_can_be_sent_to_another_process(served):
    import pickle

    server, path = served
    window = Window("chr1", 150_000, "+", 10_000)
    remote = BigWigSignal("s", RemotePath(server.url("/a.bw")))
    remote.read(window)
    sent = pickle.loads(pickle.dumps(remote))
    assert sent.read(window).tobytes() == BigWigSignal("s", path).read(window).tobytes()


@pytest.mark.parametrize("seed", range(80))
def test_a_damaged_file_ends_in_words(tmp_path, seed):
    path = tmp_path / "a.bw"
    write(path, seed % 5)
    rng, damaged = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 5, 50])):
        damaged[rng.randrange(rng.choice([64, 700, len(damaged)]))] = rng.choice([0, 1, 127, 255])
    path.write_bytes(damaged[: rng.choice([len(damaged), len(damaged), rng.randrange(len(damaged))])])
    with suppress_named(path):
        file = BigWigRanges(path)
        for chrom, size in file.chroms().items():
            last = min(size, 300_000)
            assert len(file.values(chrom, 0, last)) == last
            file.zoomed(chrom)
        file.summary()
