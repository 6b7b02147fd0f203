"""Index of a FASTA (.fai, and .gzi where it is bgzipped): made where missing, and checked against the file.

An index of another file, or of an earlier state of this one, silently gives wrong bases. The check costs a few reads
per record, never the whole file; its result is remembered while none of the files changes.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pysam

from model_core.errors import InputError, Problem
from model_core.input_file import open_input, read_input
from model_core.signals.bam_header import BGZF_END
from model_core.signals.file_handles import quiet_htslib

_LONGEST_HEADER = 1 << 20  # bytes between two records; if there are more, the index lacks a record
_MOST_BYTES = 1 << 30  # of an index
_PLACES = 100  # lines, and blocks of a bgzip file, that are checked, evenly over the file
_FORM = "an index written by samtools faidx"


class Record(NamedTuple):
    """Line of a .fai.

    Attributes
    ----------
    name : str
        The sequence's name.
    length : int
        Number of bases.
    offset : int
        Byte of the first base.
    line_bases, line_bytes : int
        Bases and bytes of each full line.
    """

    name: str
    length: int
    offset: int
    line_bases: int
    line_bytes: int

    @property
    def rows(self) -> int:
        """Number of lines that the bases take."""
        return -(-self.length // self.line_bases) if self.length else 0

    @property
    def end(self) -> int:
        """Byte after the last base."""
        return self.offset + self.length + max(self.rows - 1, 0) * (self.line_bytes - self.line_bases)


class FastaIndex(NamedTuple):
    """Index that was found to belong to its FASTA."""

    compressed: bool
    text: str  # of the .fai
    records: dict[str, Record]  # in the order of the .fai


class _Misfit(Exception):
    """Index that belongs to another file; the text says what was found."""


class _OtherEnd(Exception):
    """Records are where the index says, but the file does not end with the last one."""


def fasta_index(path: Path) -> FastaIndex:
    """Return the index of a FASTA, plain or bgzipped.

    Made where it is missing. Made again where it contradicts the FASTA, with a warning on standard error, and where it
    is older than the FASTA, as it may then describe only a part of it. A file that ends before or after the last record
    of an index that fits otherwise is rejected: it may be truncated, or still be written.

    Raises
    ------
    InputError
        No such file, not FASTA, plain gzip, truncated, damaged; or an index that is not a FASTA index, or that is
        missing or wrong where none can be written.
    """
    compressed = _check_format(path)
    files = _index_files(path, compressed)
    known, problem = None, ""
    if all(file.exists() for file in files):
        try:
            known = _checked(path, compressed, *map(_stamp, (path, *files)))
        except _Misfit as misfit:
            problem = f"an index of another file ({misfit})"
        except _OtherEnd as misfit:
            do = f"delete {files[0].name} if the FASTA was changed on purpose, else copy it again: it is truncated"
            raise InputError(path, found=str(misfit), expected="an index that fits", fix=do) from None
        if known is not None and all(_stamp(file)[1] >= _stamp(path)[1] for file in files):
            return known
    try:
        _write_index(path, compressed)
    except OSError as error:
        if known is not None:
            return known  # older than the file, but all that was checked fits
        found = f"{problem or 'no index'}, and none can be written ({error.strerror})"
        raise InputError(
            path, found=found, expected=f"{files[0].name} next to it", fix="run samtools faidx on it"
        ) from None
    try:
        index = _checked(path, compressed, *map(_stamp, (path, *files)))
    except (_Misfit, _OtherEnd) as misfit:
        for file in files:
            file.unlink(missing_ok=True)  # it lacks records: samtools skips a repeated name
        do = "give each sequence one header with a unique name"
        raise InputError(
            path, found=f"malformed FASTA: {misfit}", expected="records that can be indexed", fix=do
        ) from None
    if known not in (None, index):
        problem = "an index older than the file, with other records"
    if problem:
        print(
            f"warning: {Problem(path, found=problem, expected='its own index', fix='the index was made again')}",
            file=sys.stderr,
            flush=True,
        )
    return index


def _index_files(path: Path, compressed: bool) -> list[Path]:
    return [Path(f"{path}{suffix}") for suffix in ((".fai", ".gzi") if compressed else (".fai",))]


def _stamp(path: Path) -> tuple[int, int, int, int]:
    """Return (size in bytes, modification time in ns, change time in ns, inode) of a file.

    The change time is set by the system: a copy that keeps another file's modification time has its own change time.
    """
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _check_format(path: Path) -> bool:
    """Return whether the FASTA is bgzipped.

    Raises
    ------
    InputError
        Missing, not FASTA, plain gzip or truncated.
    """
    expected = "FASTA, plain or bgzipped"
    with open_input(path, expected) as file:
        try:
            start = file.read(64)
            file.seek(max(file.seek(0, os.SEEK_END) - len(BGZF_END), 0))
            end = file.read()
        except OSError as error:
            found = (error.strerror or str(error)).lower()
            raise InputError(path, found=found, expected=expected, fix="check the disk") from None
    if not start.startswith(b"\x1f\x8b"):
        if not start.lstrip().startswith((b">", b";")):
            raise InputError(
                path,
                found=f"{start[:20]!r} at the start",
                expected=f"{expected}, beginning with '>name'",
                fix="check the path",
            )
        return False
    if not (start[3] & 4 and start[12:14] == b"BC"):
        advice = f"run `gunzip {path.name} && bgzip {path.stem}`"
        raise InputError(path, found="plain gzip, which has no random access", expected="bgzip", fix=advice)
    if end != BGZF_END:
        raise InputError(
            path, found="a truncated file (no end-of-file mark)", expected="a complete bgzip file", fix="copy it again"
        )
    return True


def _write_index(path: Path, compressed: bool) -> None:
    """Write the index next to the FASTA, completely or not at all, and not older than the FASTA.

    Raises
    ------
    OSError
        It cannot be written there.
    InputError
        Malformed FASTA.
    """
    files = _index_files(path, compressed)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".index-") as folder:
        fai, gzi = Path(folder, "fai"), Path(folder, "gzi")
        changed = path.stat().st_mtime_ns
        try:
            with quiet_htslib():
                pysam.faidx("--fai-idx", str(fai), "--gzi-idx", str(gzi), str(path))
        except pysam.SamtoolsError:
            expected = "sequences in lines of one length, none of them empty"
            fix = f"rewrite it with `seqkit seq -w 60 {path.name}`"
            raise InputError(path, found="malformed FASTA", expected=expected, fix=fix) from None
        for new, file in reversed(list(zip((fai, gzi), files, strict=False))):  # the .fai last: programs look for it
            latest = max(changed, new.stat().st_mtime_ns)  # a file may come from a clock that is ahead
            os.utime(new, ns=(latest, latest))
            os.replace(new, file)


@lru_cache(maxsize=16)
def _checked(path: Path, compressed: bool, *_stamps: tuple[int, ...]) -> FastaIndex:
    """Read the index of files in this state and check it against the FASTA; a failure is not remembered.

    Raises
    ------
    _Misfit, _OtherEnd
        It does not belong to the FASTA.
    InputError
        It is not an index, or the FASTA is damaged.
    """
    fai, *gzi = _index_files(path, compressed)
    text, records = read_fai(fai)
    in_order = sorted(records.values(), key=lambda record: record.offset)
    with path.open("rb") as file:
        if compressed:
            blocks = read_gzi(gzi[0])
            held = _check_blocks(file, blocks, gzi[0])
            read = partial(_read_blocks, lru_cache(maxsize=4)(partial(_block, file)), blocks)
        else:
            held = file.seek(0, os.SEEK_END)
            read = partial(_read_plain, file)
        _check_records(read, in_order)
        indexed = in_order[-1].end
        # After the last base come a line end and perhaps empty lines.
        if not indexed <= held <= indexed + _LONGEST_HEADER or read(indexed, held).strip():
            raise _OtherEnd(f"{held:,} bytes where {fai.name} describes {indexed:,}")
    return FastaIndex(compressed, text, records)


def read_fai(index: Path, fix: str = "delete it") -> tuple[str, dict[str, Record]]:
    """Read a .fai; return its text and its records. `fix` is what to do with one that is none.

    Raises
    ------
    InputError
        It cannot be read, or is no index.
    """
    try:
        text = read_input(index, _MOST_BYTES, _FORM, fix).decode("utf-8")
        rows = [line.split("\t") for line in text.splitlines()]
        records = [Record(name, *map(_number, numbers)) for name, *numbers in rows]
    except InputError:  # which is a ValueError
        raise
    except (ValueError, TypeError):
        raise InputError(index, found="not a FASTA index", expected=_FORM, fix=fix) from None
    sound = all(
        min(record[1:]) >= 0 and record.line_bytes >= record.line_bases and (record.line_bases or not record.length)
        for record in records
    )
    if not records or not sound or len({record.name for record in records}) < len(records):
        raise InputError(index, found="not a FASTA index", expected=_FORM, fix=fix)
    return text, {record.name: record for record in records}


def _number(text: str) -> int:
    """Parse a number of a .fai: digits, at most 13 of them; ValueError for another text."""
    if not (text.isascii() and text.isdigit() and len(text) <= 13):
        raise ValueError(f"{text[:20]!r}")
    return int(text)


# Lines that the index describes


def _check_records(read: Callable[[int, int], bytes], records: list[Record]) -> None:
    """Raise _Misfit unless each record has its header and its lines where the index says.

    The first and the last line of each record are read, and some lines evenly over all, from left to right, so that
    adjacent ones come from one block.

    Parameters
    ----------
    read : callable
        Returns the bytes start to end of the (uncompressed) file; fewer where it ends.
    records : list[Record]
        Sorted by offset.
    """
    ends = np.cumsum([record.length for record in records])
    places = np.linspace(0, ends[-1], _PLACES, endpoint=False).astype(np.int64)
    owners = np.searchsorted(ends, places, "right")
    before = 0
    for number, record in enumerate(records):
        if not _check_header(read, record, before):
            return
        if record.length:
            within = places[owners == number] - (ends[number] - record.length)
            rows = {0, record.rows - 1, *(within // record.line_bases).tolist()}
            for row in sorted(rows):
                _check_line(read, record, row)
        before = record.end


def _check_header(read: Callable[[int, int], bytes], record: Record, before: int) -> bool:
    """Raise _Misfit unless the bytes from `before`, the end of another record, are line ends and the header.

    Returns False where the file ends before that, which its size shows.
    """
    readable = 0 < record.offset - before <= _LONGEST_HEADER
    gap = read(before, record.offset) if readable else b""
    if readable and len(gap) < record.offset - before:
        return False
    lines = [line for line in gap.split(b"\n") if line.strip() and not line.startswith(b";")]
    words = lines[0][1:].split(maxsplit=1) if len(lines) == 1 and lines[0].startswith(b">") else []
    if not words or words[0] != record.name.encode() or not gap.endswith(b"\n"):
        raise _Misfit(f"no header of {record.name!r} before byte {record.offset:,}")
    if before and gap[:1] not in (b"\n", b"\r"):
        raise _Misfit(f"no line end at byte {before:,}, before {record.name!r}")
    return True


def _check_line(read: Callable[[int, int], bytes], record: Record, row: int) -> None:
    line_end = record.line_bytes - record.line_bases
    start = record.offset + row * record.line_bytes
    bases = min(record.line_bases, record.length - row * record.line_bases)
    text = read(start - 1, start + bases + line_end)
    if len(text) <= bases:
        return  # the file ends before: its size is checked later
    inside, behind = text[1 : bases + 1], text[bases + 1 :]
    whole = text.startswith(b"\n") and not any(sign in inside for sign in (b"\n", b"\r", b">"))
    last = row == record.rows - 1
    if not whole or (behind[:1] not in (b"", b"\n", b"\r") if last else behind != b"\r\n"[2 - line_end :]):
        raise _Misfit(f"lines of {record.name!r} of another length than {record.line_bases:,} bases")


def _read_plain(file: BinaryIO, start: int, end: int) -> bytes:
    """Read the bytes start to end of a plain file; fewer where it ends."""
    file.seek(start)
    return file.read(end - start)


# Blocks that the .gzi describes


def _read_blocks(block: Callable[[int], tuple[bytes, int]], blocks: np.ndarray, start: int, end: int) -> bytes:
    """Read the uncompressed bytes start to end of a bgzip file; fewer where it ends.

    Parameters
    ----------
    block : callable
        `_block` of the file, by the block's first byte.
    blocks : ndarray
        From `read_gzi`.
    start, end : int
        Uncompressed bytes, 0-based half-open.
    """
    number = int(np.searchsorted(blocks[:, 1], start, "right")) - 1
    first = int(blocks[number, 1])
    text = b""
    while first + len(text) < end and number < len(blocks):
        text += block(int(blocks[number, 0]))[0]
        number += 1
    return text[start - first : end - first]


def read_gzi(index: Path, fix: str = "delete it") -> np.ndarray:
    """Read a .gzi: the first byte of each block in the file, and its first uncompressed byte; int64 (n, 2).

    `fix` is what to do with one that is none.

    Raises
    ------
    InputError
        It cannot be read, or is no index.
    """
    content = read_input(index, _MOST_BYTES, "an index written by bgzip -r", fix)
    if len(content) < 8 or len(content) != 8 + 16 * struct.unpack("<Q", content[:8])[0]:
        raise InputError(index, found="not a block index", expected="an index written by bgzip -r", fix=fix)
    blocks = np.frombuffer(content[8:], "<i8").reshape(-1, 2)
    return np.concatenate([np.zeros((1, 2), np.int64), blocks])  # the file leaves the first block out


def _check_blocks(file: BinaryIO, blocks: np.ndarray, index: Path) -> int:
    """Return the uncompressed size in bytes; raise _Misfit unless blocks begin and end where the .gzi says.

    Some blocks evenly over the file are read, among them the first and the last.
    """
    last = len(blocks) - 1
    steps = np.diff(blocks, axis=0)
    if (steps[:, 0] <= 0).any() or (steps[:, 1] < 0).any():
        raise _Misfit(f"{index.name} is out of order")
    place, held = 0, 0
    for number in sorted(set(np.linspace(0, last, _PLACES).astype(int).tolist())):
        text, size = _block(file, int(blocks[number, 0]))
        place, held = int(blocks[number, 0]) + size, int(blocks[number, 1]) + len(text)
        if number < last and (place, held) != tuple(blocks[number + 1].tolist()):
            raise _Misfit(f"{index.name} describes other blocks from byte {blocks[number, 0]:,} on")
    length = file.seek(0, os.SEEK_END)
    while place < length:  # empty blocks mark the end
        text, size = _block(file, place)
        if text:
            raise _Misfit(f"{index.name} lacks the blocks from byte {place:,} on")
        place += size
    return held


def _block(file: BinaryIO, start: int) -> tuple[bytes, int]:
    """Read (uncompressed bytes, number of bytes in the file) of the bgzip block that begins at `start`.

    Raises
    ------
    _Misfit
        No block begins there.
    InputError
        The block is damaged.
    """
    file.seek(start)
    header = file.read(18)
    if len(header) < 18 or header[:4] != b"\x1f\x8b\x08\x04" or header[12:14] != b"BC":
        raise _Misfit(f"no block begins at byte {start:,}")
    size = struct.unpack("<H", header[16:18])[0] + 1
    content = file.read(size - 18)
    try:
        text = zlib.decompress(content[:-8], -15)
        if struct.pack("<II", zlib.crc32(text), len(text)) == content[-8:]:
            return text, size
    except zlib.error:
        pass
    raise InputError(
        file.name, found=f"a damaged block at byte {start:,}", expected="a complete bgzip file", fix="copy it again"
    )
