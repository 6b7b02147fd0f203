"""Bases of an indexed FASTA at an address, plain or bgzipped, read by ranges with its .fai and .gzi."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from model_core.errors import InputError
from model_core.remote.address import RemotePath
from model_core.remote.ranges import Ranges
from model_core.remote.remote_file import open_ranges
from model_core.remote.whole_files import local_copy
from model_core.study.fasta_index import Record, read_fai, read_gzi

_BGZIP_BLOCK = 1 << 16  # bytes that a block unpacks to, at most
_HEADER = 1 << 10  # bytes before a sequence in which its header is looked for
_GZIP = b"\x1f\x8b"


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
    _, records = read_fai(_beside(path, ".fai"))
    file = open_ranges(path)
    read: Callable[[int, int], bytes]
    if file.read_at(0, min(2, file.size)) == _GZIP:
        read = partial(_unpacked, file, read_gzi(_beside(path, ".gzi")))
    else:
        read = partial(_plain, file)
    checked: set[str] = set()

    def fetch(chrom: str, first: int, last: int) -> str:
        record = records[chrom]
        if chrom not in checked:
            _check_header(path, record, read)
            checked.add(chrom)
        start, end = (_place(record, base) for base in (first, last - 1))
        return read(start, end + 1).replace(b"\n", b"").replace(b"\r", b"").decode("latin-1")

    return {name: record.length for name, record in records.items()}, fetch


def _beside(path: RemotePath, ending: str) -> Path:
    try:
        return local_copy(RemotePath(f"{path}{ending}"))
    except InputError as error:
        if getattr(error.__cause__, "status", 0) not in (403, 404, 410):
            raise
        fix = "give an address that has its index beside it, or a .2bit file"
        raise InputError(str(path), found=f"no {path.name}{ending}", expected="its index", fix=fix) from None


def _place(record: Record, base: int) -> int:
    row, column = divmod(base, record.line_bases)
    return record.offset + row * record.line_bytes + column


def _plain(file: Ranges, start: int, end: int) -> bytes:
    return file.read_at(start, end - start)


def _unpacked(file: Ranges, blocks: np.ndarray, start: int, end: int) -> bytes:
    """Return the unpacked bytes start to end of a bgzip file, from the blocks that cover them."""
    first = int(np.searchsorted(blocks[:, 1], start, "right")) - 1
    last = int(np.searchsorted(blocks[:, 1], end, "left")) - 1
    begin = int(blocks[first, 0])
    stop = int(blocks[last + 1, 0]) if last + 1 < len(blocks) else file.size
    content = file.read_at(begin, stop - begin)
    parts: list[bytes] = []
    while content and len(parts) <= last - first:
        member = zlib.decompressobj(31)
        try:
            parts.append(member.decompress(content, _BGZIP_BLOCK + 1))
        except zlib.error:
            parts.append(b"")
        if not member.eof or len(parts[-1]) > _BGZIP_BLOCK:
            found = f"a damaged block after byte {begin:,}"
            raise InputError(file.name, found=found, expected="a complete bgzip file", fix="use another copy of it")
        content = member.unused_data
    skipped = start - int(blocks[first, 1])
    return b"".join(parts)[skipped : skipped + end - start]


def _check_header(path: RemotePath, record: Record, read: Callable[[int, int], bytes]) -> None:
    """Raise InputError unless the header of a sequence stands before its first base."""
    before = read(max(record.offset - _HEADER, 0), record.offset)
    lines = before.split(b"\n")
    if len(lines) < 2 or (len(lines) == 2 and record.offset > _HEADER):
        return  # a header of more than _HEADER bytes
    words = lines[-2].removesuffix(b"\r")[1:].split(maxsplit=1)
    if lines[-1] or not lines[-2].startswith(b">") or not words or words[0] != record.name.encode():
        found = f"no header of {record.name!r} before byte {record.offset:,}"
        raise InputError(str(path), found=found, expected="the file of its .fai", fix="use another copy of both")
