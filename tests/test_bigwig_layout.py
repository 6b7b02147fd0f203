"""What is checked in a bigWig or bigBed before a library opens it, and that no valid one is refused."""

import os
import struct
import sys
import zlib

import numpy as np
import pybigtools
import pyBigWig
import pytest
from contact_maps import run_alone
from damaged_files import TINY, tiny, written
from track_files import bigbed, bigwig

from model_core.errors import InputError
from model_core.run_folder.tracks import summary
from model_core.signals import bigwig_layout
from model_core.signals.bigwig import open_bigwig
from model_core.signals.bigwig_layout import check_layout
from model_core.signals.checked_files import check_once
from seq2exp_viz.runs.user_tracks import check_bigwig, check_bigwig_file

CHROMS = [("chr1", 100_000), ("chr2", 50_000)]
ENTRIES = {
    "without values": lambda _file: None,
    "bedGraph": lambda file: file.addEntries(["chr1"] * 3, [0, 10, 30], ends=[5, 20, 60], values=[1.0, -2.0, 3.0]),
    "variableStep": lambda file: file.addEntries("chr1", [500, 600, 635], values=[-2.0, 150.0, 25.0], span=20),
    "fixedStep": lambda file: file.addEntries("chr1", 900, values=[-5.0, -20.0, 25.0], span=20, step=30),
    "NaN": lambda file: file.addEntries("chr1", 0, values=[1.0, float("nan"), 3.0], span=1, step=1),
    "infinity": lambda file: file.addEntries("chr1", 0, values=[1.0, float("inf"), 3.0], span=1, step=1),
    "zeros": lambda file: file.addEntries("chr2", 0, values=[0.0] * 5000, span=1, step=1),
    "falling values": lambda file: file.addEntries("chr2", 0, values=np.linspace(9, -3, 5000), span=10, step=10),
    "beyond the end": lambda file: file.addEntries("chr1", 99_990, values=[1.0] * 100, span=1, step=1),
    "several kinds": lambda file: [ENTRIES[name](file) for name in ("bedGraph", "variableStep", "fixedStep", "zeros")],
}


def by_pybigwig(path, name, zooms):
    file = pyBigWig.open(str(path), "w")
    file.addHeader(CHROMS, maxZooms=zooms)
    ENTRIES[name](file)
    file.close()
    return path


@pytest.mark.parametrize("zooms", [0, 10])
@pytest.mark.parametrize("name", ENTRIES)
def test_a_bigwig_of_pybigwig_passes(tmp_path, name, zooms):
    path = by_pybigwig(tmp_path / "x.bw", name, zooms)
    check_layout(path)
    assert check_bigwig_file(path, dict(CHROMS))["kind"] == "bigwig"


def test_files_of_pybigtools_pass_with_many_chromosomes_and_overlapping_rows(tmp_path):
    rng = np.random.default_rng(0)
    names = {f"scaffold{number:04}": 1000 + number for number in range(600)}
    values = ((name, start, start + 5, 1.5) for name in names for start in (0, 100))
    pybigtools.open(str(tmp_path / "many.bw"), "w").write(names, values)
    starts, lengths = np.sort(rng.integers(0, 900_000, 3000)), rng.integers(1, 90_000, 3000)
    rows = sorted(("chr1", int(a), int(a + n), f"row{a}") for a, n in zip(starts, lengths, strict=True))
    pybigtools.open(str(tmp_path / "rows.bb"), "w").write({"chr1": 1_000_000}, rows)
    for name in ("many.bw", "rows.bb"):
        check_layout(tmp_path / name)


def test_real_bigwigs_pass(shared_data):
    paths = sorted(shared_data.glob("*.bigWig"))
    for path in paths:
        check_layout(path)
    assert len(paths) >= 8


@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order_is_read(tmp_path, order):
    (tmp_path / "x.bw").write_bytes(written(order))
    check_layout(tmp_path / "x.bw")
    assert check_bigwig(written(order), written(order)[-4:], "x", TINY) == {
        "kind": "bigwig",
        "aliases": {},
        "notes": [],
    }
    if order == "<":
        with open_bigwig(tmp_path / "x.bw") as file:
            assert file.intervals("chr2") == ((0, 5, 2.5),)


@pytest.mark.parametrize(
    "content",
    [
        tiny(),
        tiny(value=0xFFFFFFFF),
        tiny(items=0x7FFFFFFFFFFFFFFF),
        tiny(key=4, items=2**63),
        tiny(key=4, items=1, count=65_535),
        tiny(key=4, items=1, leaf=0),
        tiny(key=0, items=1),
        tiny(key=4, items=1, leaf=7),
    ],
)
def test_a_tree_that_claims_more_than_the_file_holds_is_refused_without_a_library(tmp_path, content, monkeypatch):
    monkeypatch.setattr(pybigtools, "open", lambda *_: pytest.fail("opened"))
    monkeypatch.setattr(pyBigWig, "open", lambda *_: pytest.fail("opened"))
    path = tmp_path / "x.bw"
    path.write_bytes(content)
    for read in (
        lambda: check_bigwig(content, content[-4:], "x", TINY),
        lambda: check_bigwig_file(path, TINY),
        lambda: open_bigwig(path),
        lambda: summary(path, "chr1", 0, 10, 2),
    ):
        with pytest.raises(InputError, match="damaged"):
            read()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"child": 64 + 32 + 4 + 24 + 4 + 72 + 48}, "leads back"),  # the root itself
        ({"child": 2**63}, "bytes 9,223"),
        ({"count": 2}, "damaged data at chr2:1-5: a section of type 1 with 2 items in 36 bytes"),
        ({"count": 65_535}, "65,535 items"),
        ({"leaf_end": 19}, "damaged data at chr1:11-19: other places than the index states"),
        ({"leaf_end": 9}, "contradicts itself"),
        ({"size": 2**40}, "beyond the file's end"),
        ({"size": 2**63}, "beyond the file's end"),
        ({"size": 0}, "beyond the file's end"),
        ({"key": 2**31}, "names of 2,147,483,648 letters"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_contradicts_the_files_size_or_its_data_is_refused(tmp_path, order, changed, words):
    (tmp_path / "x.bw").write_bytes(written(order, **changed))
    with pytest.raises(InputError, match=words):
        check_layout(tmp_path / "x.bw")


def test_a_block_that_unpacks_to_more_than_the_header_says_is_refused_before_it_fills_the_memory():
    bomb = zlib.compress(bytes(50_000_000), 9)
    with pytest.raises(bigwig_layout.Damage, match="more than 32,768 bytes"):
        bigwig_layout.unpacked_block(bomb, 32_768)
    assert bigwig_layout.unpacked_block(zlib.compress(b"x" * 32_768), 32_768) == b"x" * 32_768


def test_a_changed_value_or_summary_is_seen(tmp_path):
    path = by_pybigwig(tmp_path / "x.bw", "falling values", 10)
    content = path.read_bytes()
    (at,) = struct.unpack("<Q", content[44:52])
    for place in (at, at + 8, at + 24):  # covered bases, least value, sum
        changed = bytearray(content)
        changed[place + 6] ^= 1
        path.write_bytes(changed)
        with pytest.raises(InputError, match="a summary that its values contradict"):
            check_layout(path)


def test_of_a_large_file_blocks_are_sampled_but_every_node_and_section_is_checked(tmp_path, monkeypatch):
    unpacked = []
    before = bigwig_layout.unpacked_block
    monkeypatch.setattr(bigwig_layout, "unpacked_block", lambda *given: unpacked.append(1) or before(*given))
    monkeypatch.setattr(bigwig_layout, "WHOLE_COUNT", 1)
    for changed in ({}, {"count": 2}):
        (tmp_path / "x.bw").write_bytes(written(**changed))
        if changed:
            with pytest.raises(InputError, match="2 items"):
                check_layout(tmp_path / "x.bw")
        else:
            check_layout(tmp_path / "x.bw")
            assert len(unpacked) == 1


READ = """
import signal, sys
from pathlib import Path
from damaged_files import damaged
from model_core.errors import InputError
from model_core.run_folder.tracks import summary
from model_core.signals.signal import BigWigSignal
from seq2exp_viz.runs.user_tracks import check_bigwig

signal.alarm(60)
path, refused = Path(sys.argv[1]), 0
wholes = [Path(name).read_bytes() for name in sys.argv[2:]]
for seed in range(60):
    content = damaged(wholes[seed % len(wholes)], seed)
    path.write_bytes(content)
    try:
        read = BigWigSignal("x", path)
        for chrom, size in read.sizes.items():
            read.values(chrom, 0, min(size, 100_000))
            read.summary(chrom)
            summary(path, chrom, 0, min(size, 100_000), 50)
    except InputError:
        refused += 1
    try:
        check_bigwig(content[:1000], content[-4:], "x", {"chr1": 100_000}, len(content))
    except InputError:
        pass
print(refused)
"""


def test_no_damaged_bigwig_ends_or_hangs_the_process_that_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), *sys.path]))
    wholes = [by_pybigwig(tmp_path / f"{name}.bw", name, 10) for name in ("bedGraph", "several kinds")]
    refused = int(run_alone(READ, tmp_path / "damaged.bw", *wholes))
    assert 30 < refused < 60


def test_a_dropped_file_whose_chromosomes_are_not_in_its_head_is_told_what_to_do(tmp_path):
    content = bigbed({"chr1": 40_000})
    (tree,) = struct.unpack("<Q", content[8:16])
    head = content[: tree + 10]
    with pytest.raises(InputError, match=r"open it from a folder on the server \(serve --allow\)"):
        check_bigwig(head, content[-4:], "x.bb", {"chr1": 40_000}, len(content))
    with pytest.raises(InputError, match="damaged header"):
        check_bigwig(head, content[-4:], "x.bb", {"chr1": 40_000}, len(head))


def test_a_check_is_made_once_for_each_state_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    path, made = tmp_path / "x.bw", []
    path.write_bytes(bigwig({"chr1": 40_000}))
    for _ in range(3):
        check_once(path, "test", made.append)
    assert made == [path]
    os.utime(path, (1, 1))
    check_once(path, "test", made.append)
    assert made == [path, path]
    assert not (tmp_path / "cache").exists()  # it took no time

    def fails(_path):
        made.append("failed")
        raise InputError(path, found="x", expected="y", fix="z")

    os.utime(path, (2, 2))
    for _ in range(2):
        with pytest.raises(InputError):
            check_once(path, "test", fails)
    assert made[2:] == ["failed", "failed"]


def test_a_long_check_is_remembered_by_other_processes(tmp_path, monkeypatch):
    from model_core.signals import checked_files

    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checked_files, "_LONG", -1)
    path, made = tmp_path / "x.bw", []
    path.write_bytes(b"x")
    check_once(path, "test", made.append)
    monkeypatch.setattr(checked_files, "_passed", set())
    check_once(path, "test", made.append)
    assert made == [path]
