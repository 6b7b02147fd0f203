"""Files that crash, hang or fill the memory of the library that reads them: in a child process, and told in words."""

import gzip
import os
import struct
import sys
import time

import h5py
import numpy as np
import pysam
import pytest
from damaged_files import damaged
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.signals import hdf5_files, reader_process
from model_core.signals.bam_header import BGZF_END, bam_sizes
from model_core.signals.cooler_rows import CoolerRows
from model_core.signals.hdf5_files import open_hdf5
from model_core.signals.reader_process import Limits, ask
from model_core.track_formats import format_of_head
from seq2exp_viz.runs.user_tracks import read_track

NONE = Limits()
READER = """
import os, signal, sys, time
from model_core.errors import InputError
from model_core.signals.reader_process import answer, say

def work(task):
    if task == "done":
        print("words of a library", flush=True)
        say(share=0.5)
        return {"a": [1]}
    if task == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "end":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "memory":
        bytes(2 << 30)
    if task == "processor":
        while True:
            pass
    if task == "silence":
        time.sleep(60)
    if task == "words":
        raise InputError("x", found="one thing", expected="another", fix="do this")
    raise RuntimeError("unknown")

answer(work, sys.argv[1:])
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    (folder / "reader_of_the_test.py").write_text(READER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))
        yield lambda task, limits=NONE, progress=None: ask(
            "reader_of_the_test", [task], "file.x", "HDF5", "a map", limits, progress
        )


def test_a_child_answers_and_says_how_far_it_is(reader):
    shares = []
    assert reader("done", progress=shares.append) == {"a": [1]}
    assert shares == [0.5]


@pytest.mark.parametrize(
    ("task", "limits", "words"),
    [
        ("crash", Limits(), r"a damaged file: the library that reads it crashed \(signal 11\); expected a map"),
        ("end", Limits(), r"no readable HDF5 \(its reader was ended by SIGKILL"),
        ("memory", Limits(memory=1), "a damaged file: reading it takes too much memory"),
        ("processor", Limits(cpu=0), "a damaged file: reading it takes too long"),
        ("silence", Limits(silence=0.5), "a damaged file: reading it did not go on for 0.5 seconds"),
        ("words", Limits(), "x: found one thing; expected another; do this"),
        ("other", Limits(), r"no readable HDF5 \(RuntimeError: unknown\)"),
    ],
)
def test_what_a_file_does_to_its_reader_is_told_in_words(reader, task, limits, words):
    with pytest.raises(InputError, match=words):
        reader(task, limits)


# HDF5


def cool(path):
    with h5py.File(path, "w") as file:
        file.attrs.update({"bin-size": 10, "format": "HDF5::Cooler"})
        file["chroms/name"], file["chroms/length"] = np.array([b"chr1"]), np.array([1000])
        file["bins/start"] = np.arange(0, 1000, 10)
        file["indexes/chrom_offset"], file["indexes/bin1_offset"] = np.array([0, 100]), np.arange(101)
        options = {"compression": "gzip", "chunks": (20,)}
        for name, values in (("bin1_id", np.arange(100)), ("bin2_id", np.arange(100)), ("count", np.ones(100))):
            file.create_dataset(f"pixels/{name}", data=values, **options)
    return path


def test_hdf5_is_tried_in_a_child_once_and_opened_here_only_then(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(hdf5_files, "ask", lambda *given: asked.append(given[0]))
    path = cool(tmp_path / "x.cool")
    for _ in range(3):
        open_hdf5(path, "a map").close()
    assert asked == ["model_core.signals.hdf5_files"]

    def crashed(*_):
        raise InputError(path, found="a damaged file: it crashed", expected="x", fix="y")

    monkeypatch.setattr(hdf5_files, "ask", crashed)
    os.utime(path, (1, 1))
    monkeypatch.setattr(h5py, "File", lambda *_args, **_more: pytest.fail("opened"))
    with pytest.raises(InputError, match="it crashed"):
        open_hdf5(path, "a map")


def test_a_trial_reads_every_chunk_of_a_small_file_and_some_of_a_large_one(tmp_path, monkeypatch):
    path = cool(tmp_path / "x.cool")
    with h5py.File(path) as file:
        dataset = file["pixels/count"].id
        places = [dataset.get_chunk_info(number).byte_offset for number in range(5)]
    hdf5_files.read_on_trial(str(path), "a map", "HDF5")
    whole = path.read_bytes()
    for place in places:
        path.write_bytes(whole[: place + 2] + b"\xff" * 8 + whole[place + 10 :])
        with pytest.raises(InputError, match="no readable HDF5"):
            hdf5_files.read_on_trial(str(path), "a map", "HDF5")
    monkeypatch.setattr(hdf5_files, "WHOLE_BYTES", 1)
    monkeypatch.setattr(hdf5_files, "_SMALL_PIECE", 1)
    hdf5_files.read_on_trial(str(path), "a map", "HDF5")  # the last chunk is not among the pieces


def test_a_hdf5_file_that_claims_more_than_it_can_hold_is_read_in_part(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", shape=(2**50,), dtype="f8", chunks=(1 << 20,))
    began = time.process_time()
    hdf5_files.read_on_trial(str(tmp_path / "x.h5"), "nothing", "HDF5")
    assert time.process_time() - began < 5


@pytest.mark.parametrize(("name", "values"), [("indexes/bin1_offset", -1), ("indexes/bin1_offset", 2**60)])
def test_an_index_of_pixels_that_are_not_there_is_refused(tmp_path, name, values):
    path = cool(tmp_path / "x.cool")
    with h5py.File(path, "r+") as file:
        file[name][50] = values
    with pytest.raises(InputError, match="no rows of pixels of the bins 45 to 50"):
        CoolerRows(path, 10).row("chr1", 50, 45, 55)


# BAM


def bam(path, sizes):
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": name, "LN": size} for name, size in sizes.items()]}
    pysam.AlignmentFile(str(path), "wb", header=header).close()
    return path


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_]{1,40}", fullmatch=True), st.integers(1, 2**31 - 1), min_size=1))
def test_a_bams_header_is_read_as_pysam_reads_it(tmp_path_factory, sizes):
    assert bam_sizes(bam(tmp_path_factory.mktemp("bam") / "x.bam", sizes)) == sizes


def test_any_damage_of_a_bams_header_gives_sizes_or_words(tmp_path):
    path = bam(tmp_path / "x.bam", {f"chr{number}": 1000 for number in range(30)})
    plain, refused = gzip.decompress(path.read_bytes()), 0
    for seed in range(200):
        path.write_bytes(gzip.compress(damaged(plain, seed)) + BGZF_END)
        try:
            assert len(bam_sizes(path)) <= 30
        except InputError:
            refused += 1
    assert refused > 50
    for text, count, words in ((2**31 - 1, 0, "bytes of text"), (0, 2**31 - 1, "truncated"), (0, -1, "-1 chromosomes")):
        path.write_bytes(gzip.compress(struct.pack("<4sii", b"BAM\1", text, count)) + BGZF_END)
        with pytest.raises(InputError, match=words):
            bam_sizes(path)


# Text


@pytest.mark.parametrize(
    "content",
    [
        b"A" * 60_000,
        b"1" * 60_000,
        b'chr1\t.\tgene\t1\t2\t.\t+\t.\tgene_id "x"; ' + b"a" * 60_000 + b"\n",
        b"chr1\t1\t2\ta\t" + b"1" * 60_000 + b"x\n",
    ],
)
def test_the_time_of_reading_text_grows_with_its_length_not_with_the_square(content):
    began = time.process_time()
    format_of_head(content)
    with pytest.raises(InputError):
        read_track(content + b"chrQ\tx", "x", {"chr2": 9})
    assert time.process_time() - began < 2


def test_rows_of_a_dropped_file_are_counted_before_they_are_parsed(monkeypatch):
    monkeypatch.setattr("seq2exp_viz.runs.user_tracks._features", lambda *_: pytest.fail("parsed"))
    with pytest.raises(InputError, match="1,000,000 rows; expected at most 50,000"):
        read_track(b"chr1\t1\t2\n" * 1_000_000, "x.bed", {"chr1": 100})


def test_limits_keep_below_those_that_are_set_already():
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        reader_process._lower(resource, resource.RLIMIT_CORE, 1 << 40)
        assert resource.getrlimit(resource.RLIMIT_CORE)[1] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
