"""Bases of an indexed FASTA at an address, plain or bgzipped, read by ranges with its .fai and .gzi.

An index of another file silently gives wrong bases: of each sequence the header and the first line are compared with
the index, and all line ends of a region; of a bgzip file the sizes of its blocks.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from model_core.errors import InputError
from model_core.remote.address import RemotePath
from model_core.remote.ranges import Ranges
from model_core.remote.remote_file import open_ranges
from model_core.study.fasta_index import Record, read_fai, read_gzi
from model_core.study.whole_inputs import read_whole

T = TypeVar("T")
_BLOCK = 1 << 16  # bytes of a bgzip block, packed or not, at most
_HEADERS = (1 << 10, 1 << 20)  # bytes before a sequence in which its header is looked for
_LONGEST_LINE = 1 << 16  # bytes of a first line that is compared with the index
_GZIP = b"\x1f\x8b"
_ANOTHER = "use another copy of both"


def open_fasta_ranges(path: RemotePath) -> tuple[dict[str, int], Callable[[str, int, int], str]]:
    """Open a FASTA at an address.

    Parameters
    ----------
    path : RemotePath
        Its address; the index lies beside it (address + ".fai", and ".gzi" where it is bgzipped).

    Returns
    -------
    dict[str, int]
        Length in bp of each sequence.
    callable
        (chrom, first, last) -> bases, 0-based half-open, inside the sequence.

    Raises
    ------
    InputError
        It or its index cannot be read, or the index belongs to another file.
    """
    _, records = _beside(path, ".fai", read_fai)
    file = open_ranges(path)
    read: Callable[[int, int], bytes]
    if file.read_at(0, min(2, file.size)) == _GZIP:
        blocks = _beside(path, ".gzi", read_gzi)
        steps = np.diff(blocks, axis=0)
        if (steps < [1, 0]).any() or (steps > _BLOCK).any() or blocks[-1, 0] >= file.size:
            raise _misfit(path, f"{path.name}.gzi of other blocks")
        read = partial(_unpacked, file, blocks)
    else:
        if max(record.end for record in records.values()) > file.size:
            raise _misfit(path, f"{file.size:,} bytes where {path.name}.fai describes more")
        read = partial(_plain, file)
    checked: set[str] = set()

    def fetch(chrom: str, first: int, last: int) -> str:
        record = records[chrom]
        if chrom not in checked:
            _check_record(path, record, read)
            checked.add(chrom)
        start, end = (_place(record, base) for base in (first, last - 1))
        return _bases(path, record, first, last, read(start, end + 1)).decode("latin-1")

    return {name: record.length for name, record in records.items()}, fetch


def _beside(path: RemotePath, ending: str, read: Callable[[Path, str], T]) -> T:
    """Return what `read` makes of the index beside a FASTA."""
    try:
        return read_whole(path.with_ending(ending), lambda index: read(index, "use another copy of it"))
    except InputError as error:
        if getattr(error.__cause__, "status", 0) not in (403, 404, 410):
            raise
        fix = "give an address that has its index beside it, or a .2bit file"
        raise InputError(str(path), found=f"no {path.name}{ending}", expected="its index", fix=fix) from None


def _place(record: Record, base: int) -> int:
    row, column = divmod(base, record.line_bases)
    return record.offset + row * record.line_bytes + column


def _bases(path: RemotePath, record: Record, first: int, last: int, text: bytes) -> bytes:
    """Return bases first to last of a record from its text, whose line ends must be where the index says."""
    lines = (last - 1) // record.line_bases - first // record.line_bases
    ends = record.line_bases - first % record.line_bases + record.line_bytes * np.arange(lines)
    ends = ends[:, None] + np.arange(record.line_bytes - record.line_bases if lines else 0)
    bases = text.translate(None, b"\r\n")
    whole = len(text) == last - first + ends.size and len(bases) == last - first and b">" not in bases
    if not whole or not np.isin(np.frombuffer(text, np.uint8)[ends], list(b"\r\n")).all():
        raise _misfit(path, f"other lines than the index describes at {record.name}:{first + 1:,}-{last:,}")
    return bases


def _check_record(path: RemotePath, record: Record, read: Callable[[int, int], bytes]) -> None:
    """Raise InputError unless the header of a sequence stands before its first base, and its first line is whole."""
    line = record.line_bytes if record.rows > 1 else record.length
    if record.rows > 1 and not 1 <= record.line_bytes - record.line_bases <= 2:
        raise _misfit(path, f"lines of {record.line_bases:,} bases in {record.line_bytes:,} bytes")
    for length in _HEADERS:
        begin = max(record.offset - length, 0)
        text = read(begin, record.offset + min(line, _LONGEST_LINE))
        *lines, after = text[: record.offset - begin].split(b"\n")
        if len(lines) > 1 or not begin:
            break
    words = lines[-1][1:].split(maxsplit=1) if lines and not after and lines[-1].startswith(b">") else []
    if not words or words[0] != record.name.encode():
        raise _misfit(path, f"no header of {record.name!r} before byte {record.offset:,}")
    if record.rows > 1 and line <= _LONGEST_LINE:
        _bases(path, record, 0, record.line_bases, text[record.offset - begin :][: record.line_bases])
        if text[record.offset - begin :][record.line_bases : line] not in (b"\n", b"\r\n"):
            raise _misfit(path, f"lines of {record.name!r} of another length than {record.line_bases:,} bases")


def _plain(file: Ranges, start: int, end: int) -> bytes:
    return file.read_at(start, end - start)


def _unpacked(file: Ranges, blocks: np.ndarray, start: int, end: int) -> bytes:
    """Return the unpacked bytes start to end of a bgzip file, from the blocks that cover them; fewer at its end.

    Parameters
    ----------
    blocks : ndarray
        From `read_gzi`, in ascending order.
    """
    first = int(np.searchsorted(blocks[:, 1], start, "right")) - 1
    last = int(np.searchsorted(blocks[:, 1], end, "left")) - 1
    places = [*blocks[first : last + 2, 0].tolist(), min(int(blocks[last, 0]) + _BLOCK, file.size)][: last - first + 2]
    begins = [*blocks[first : last + 2, 1].tolist(), None][: last - first + 2]
    content = file.read_at(places[0], places[-1] - places[0])
    parts = []
    for number in range(last - first + 1):
        member = zlib.decompressobj(31)
        packed = content[places[number] - places[0] : places[number + 1] - places[0]]
        try:
            text = member.decompress(packed, _BLOCK + 1)
        except zlib.error:
            text = b""
        following = begins[number + 1]
        length = len(text) if following is None else following - begins[number]
        if not member.eof or len(text) > _BLOCK or len(text) != length:
            found = f"a damaged block, or another than its index says, at byte {places[number]:,}"
            raise InputError(file.name, found=found, expected="a bgzip file and its own .gzi", fix=_ANOTHER)
        parts.append(text)
    skipped = start - begins[0]
    return b"".join(parts)[skipped : skipped + end - start]


def _misfit(path: RemotePath, found: str) -> InputError:
    return InputError(str(path), found=found, expected="the file of its index", fix=_ANOTHER)
