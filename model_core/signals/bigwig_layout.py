"""Layout of bigWig and bigBed files, checked before a library opens one.

The libraries that read these files follow every offset, count and size in them: a damaged or hostile one makes them
allocate without bound, read beyond their memory, or never end, and ends the process. Here everything that they follow
is compared with the file's size and with the data. The format: Kent et al. 2010, doi:10.1093/bioinformatics/btq351,
supplement.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np

from model_core.errors import InputError

MAGIC = {0x888FFC26: "bigWig", 0x8789F2EB: "bigBed"}
WHOLE_BLOCKS, WHOLE_COUNT = 64_000_000, 100_000  # bytes and number of blocks that are unpacked; of more, evenly spread
_TREE, _INDEX = 0x78CA8C91, 0x2468ACE0
_HEADER, _ZOOM, _TREE_HEADER, _INDEX_HEADER, _SUMMARY, _SECTION = 64, 24, 32, 48, 40, 24
_ZOOM_RECORD, _BED_ROW = 32, 13  # bytes: of a zoom level; of a row of a bigBed without further columns, at least
_MOST_UNPACKED = 1 << 30  # bytes of one block; libraries allocate as much as the header claims
_MOST_SQL = 1 << 16
_ITEM = {1: 12, 2: 8, 3: 4}  # type of a section -> bytes of an item: bedGraph, variableStep, fixedStep
LONGEST_SECTION = _SECTION + 65_535 * _ITEM[1]  # bytes
_PLACES = [("first_chrom", "u4"), ("start", "u4"), ("last_chrom", "u4"), ("end", "u4")]
_BRANCHES = [*_PLACES, ("offset", "u8")]
_LEAVES = [*_BRANCHES, ("size", "u8")]
_RECORDS = [("chrom", "u4"), ("start", "u4"), ("end", "u4"), ("rest", "V20")]

Read = Callable[[int, int], bytes]  # (offset, length) -> that many bytes


class Damage(Exception):
    """Something in a file that cannot be; the text says what."""


class Header(NamedTuple):
    """Header of a bigWig or bigBed.

    Attributes
    ----------
    kind : "bigWig" or "bigBed"
        By the magic number.
    order : "<" or ">"
        Byte order of all numbers in the file.
    size : int
        Bytes of the whole file.
    zooms : tuple[tuple[int, int, int], ...]
        bp per record, offset of the data and offset of the index of each zoom level.
    tree, data, main_index, sql, summary : int
        Offsets in bytes; 0 where `sql` and `summary` are missing.
    unpacked : int
        Most bytes of an unpacked block; 0 where blocks are not packed.
    """

    kind: Literal["bigWig", "bigBed"]
    order: Literal["<", ">"]
    size: int
    zooms: tuple[tuple[int, int, int], ...]
    tree: int
    data: int
    main_index: int
    sql: int
    summary: int
    unpacked: int


class _Node(NamedTuple):
    place: int  # its first byte
    is_leaf: bool
    items: np.ndarray  # uint8 (items, bytes of one)


class _Totals:
    """Covered bases, sum, sum of the sizes and least value of all blocks, to compare with the header's summary."""

    def __init__(self) -> None:
        self.covered, self.total, self.size, self.low = 0, 0.0, 0.0, np.inf

    def add(self, bases: np.ndarray | int, values: np.ndarray) -> None:
        """Add the items of a section: their bases, one number or an array as long as `values`."""
        weighted = values * bases
        self.covered += int(np.sum(np.broadcast_to(bases, values.shape), dtype=np.int64))
        self.total += float(weighted.sum())
        self.size += float(np.abs(weighted).sum())
        self.low = min(self.low, float(values.min()))


def check_layout(path: Path) -> None:
    """Check everything in a bigWig or bigBed that a reader follows: header, chromosomes, zoom levels, indexes, blocks.

    All nodes of all indexes are read. Blocks are unpacked: all, or about WHOLE_BLOCKS bytes or WHOLE_COUNT blocks,
    evenly spread, of a larger file. Where all are, the summary in the header is compared with the values. Not checked:
    names and lengths of chromosomes, the width of the zoom levels, the rows of a bigBed, and, in a file whose blocks
    are not compressed, values that agree with the summary.

    Parameters
    ----------
    path : Path
        A regular file.

    Raises
    ------
    InputError
        Something in it cannot be.
    OSError
        It cannot be read.
    """
    kind = "bigWig"
    with path.open("rb") as file:
        read, size = reader_of(file)
        try:
            header = read_header(read, size)
            kind = header.kind
            _check(read, header)
        except Damage as damage:
            fix = "copy or make it again"
            raise InputError(path, found=f"a damaged file ({damage})", expected=f"a complete {kind}", fix=fix) from None


def reader_of(file: BinaryIO) -> tuple[Read, int]:
    """Return a function that reads pieces of an open file, and the file's size in bytes."""
    size = os.fstat(file.fileno()).st_size

    def read(offset: int, length: int) -> bytes:
        content = os.pread(file.fileno(), length, offset) if offset + length <= size else b""
        if len(content) < length:
            raise Damage(f"bytes {offset:,} to {offset + length:,} of a file of {size:,}")
        return content

    return read, size


def read_header(read: Read, size: int) -> Header:
    """Return the header of a bigWig or bigBed whose offsets lie inside the file.

    Parameters
    ----------
    read : callable
        Returns `length` bytes from `offset`, or raises Damage.
    size : int
        Bytes of the whole file.

    Raises
    ------
    Damage
        It is neither, or an offset lies outside the file.
    """
    start = read(0, _HEADER)
    for order in ("<", ">"):
        magic, _, levels, tree, data, index, _, _, sql, summary, unpacked, _ = struct.unpack(
            order + "IHHQQQHHQQIQ", start
        )
        if magic in MAGIC:
            break
    else:
        raise Damage("neither a bigWig's nor a bigBed's first bytes")
    places = [("chromosomes", tree, _TREE_HEADER + 4), ("data", data, 0)]
    places += [("index", index, _INDEX_HEADER + 4)] if index else []  # pyBigWig writes none where there is no value
    places += [("summary", summary, _SUMMARY)] if summary else []
    places += [("autoSql", sql, 1)] if sql else []
    zooms = tuple(struct.iter_unpack(order + "I4xQQ", read(_HEADER, levels * _ZOOM)))
    for number, (_, zoom_data, zoom_index) in enumerate(zooms, 1):
        places += [(f"zoom level {number}", zoom_data, 4), (f"zoom index {number}", zoom_index, _INDEX_HEADER + 4)]
    first = _HEADER + levels * _ZOOM
    for what, place, length in places:
        if not first <= place <= size - length:
            raise Damage(f"{what} at byte {place:,} of {size:,}")
    steps = [step for step, *_ in zooms]
    if 0 in steps or any(step >= wider for step, wider in pairwise(steps)):
        raise Damage("zoom levels that do not widen")
    if unpacked > _MOST_UNPACKED:
        raise Damage(f"blocks of {unpacked:,} bytes")
    return Header(MAGIC[magic], order, size, zooms, tree, data, index, sql, summary, unpacked)  # type: ignore[arg-type]  # MAGIC's values are these two


def read_chromosomes(read: Read, header: Header) -> dict[str, int]:
    """Return the length in bp of each chromosome, in the order of their numbers.

    Parameters
    ----------
    read : callable
        As `read_header`.
    header : Header
        Of the same file.

    Raises
    ------
    Damage
        The tree of chromosomes contradicts itself or the file's size.
    """
    order, size = header.order, header.size
    magic, _, key, value, count = struct.unpack(order + "IIIIQ", read(header.tree, 24))
    if magic != _TREE or value != 8 or not key or count * (key + 8) > size:
        raise Damage(f"a tree of {count:,} chromosomes with names of {key:,} letters")
    found: dict[int, tuple[str, int]] = {}
    for node in _nodes(read, header, header.tree + _TREE_HEADER, key + 8, key + 8):
        for item in map(bytes, node.items if node.is_leaf else ()):
            name, (number, length) = item[:key].rstrip(b"\0"), struct.unpack(order + "II", item[key:])
            if number in found or number >= count or not name or b"\0" in name:
                raise Damage(f"a chromosome {number:,} of {count:,} named {name[:40]!r}")
            try:
                found[number] = name.decode(), length
            except UnicodeDecodeError:
                raise Damage(f"a chromosome named {name[:40]!r}") from None
    if len(found) != count or len({name for name, _ in found.values()}) < count:
        raise Damage(f"{len({name for name, _ in found.values()}):,} chromosomes where {count:,} are claimed")
    return dict(found[number] for number in range(count))


def read_auto_sql(read: Read, header: Header) -> str:
    """Return the description of a bigBed's columns (autoSql); "" where there is none.

    Raises
    ------
    Damage
        It has no end within 64 kB.
    """
    if not header.sql:
        return ""
    for length in (1 << 10, _MOST_SQL):
        text, end, _ = read(header.sql, min(length, header.size - header.sql)).partition(b"\0")
        if end:
            return text.decode("utf-8", errors="replace")
    raise Damage("an autoSql without an end")


def _nodes(read: Read, header: Header, root: int, leaf_bytes: int, branch_bytes: int) -> Iterator[_Node]:
    """Yield the nodes of a tree from left to right, each once.

    Parameters
    ----------
    read, header
        As `read_chromosomes`.
    root : int
        Offset of the first node.
    leaf_bytes, branch_bytes : int
        Bytes of an item of a leaf, and of a node above, which ends with the offset of the node below.
    """
    waiting, seen = [root], {root}
    while waiting:
        place = waiting.pop()
        is_leaf, count = struct.unpack(header.order + "BxH", read(place, 4))
        if is_leaf > 1:
            raise Damage(f"no node of a tree at byte {place:,}")
        width = leaf_bytes if is_leaf else branch_bytes
        items = np.frombuffer(read(place + 4, count * width), np.uint8).reshape(count, width)
        yield _Node(place, bool(is_leaf), items)
        if not is_leaf:
            below = np.ascontiguousarray(items[:, -8:]).view(header.order + "u8").ravel().tolist()
            if not seen.isdisjoint(below) or len(set(below)) < len(below):
                raise Damage(f"a node of a tree at byte {place:,} that leads back")
            seen.update(below)
            waiting += reversed(below)


def _check(read: Read, header: Header) -> None:
    names = list(read_chromosomes(read, header))
    read_auto_sql(read, header)
    main = leaves(read, header, header.main_index, len(names)) if header.main_index else np.empty(0, _LEAVES)
    levels = [leaves(read, header, place, len(names)) for _, _, place in header.zooms]
    size, count = (sum(int(total) for total in each) for each in zip(*map(_extent, (main, *levels)), strict=True))
    every = max(-(-size // WHOLE_BLOCKS), -(-count // WHOLE_COUNT), 1)  # one of so many blocks is unpacked
    totals = _Totals()
    check = _section if header.kind == "bigWig" else _rows
    _check_blocks(read, header, names, main[::every], partial(check, totals=totals))
    for level in levels:
        _check_blocks(read, header, names, level[::every], _zoomed)
    if header.kind == "bigWig" and every > 1 and not header.unpacked:
        for *_, offset, length in main.tolist():
            _section_header(read(offset, min(length, _SECTION)), length, header.order)
    if header.kind == "bigWig" and every == 1 and header.summary:
        _check_summary(read, header, totals)


def _extent(blocks: np.ndarray) -> tuple[int, int]:
    """Return (bytes, number) of blocks."""
    return int(blocks["size"].sum()), len(blocks)


def _check_blocks(
    read: Read,
    header: Header,
    names: list[str],
    blocks: np.ndarray,
    check: Callable[[bytes, str], tuple[int, int, int, int]],
) -> None:
    """Unpack blocks, and check them and whether they hold places that the index states."""
    for first, start, last, end, offset, size in blocks.tolist():
        where = f"{names[first]}:{start + 1:,}-{f'{names[last]}:' if first != last else ''}{end:,}"
        try:
            found = check(unpacked_block(read(offset, size), header.unpacked), header.order)
        except Damage as damage:
            raise Damage(f"damaged data at {where}: {damage}") from None
        if (first, start) > found[:2] or found[2:] > (last, end) or found[2] >= len(names):
            raise Damage(f"damaged data at {where}: other places than the index states")


def leaves(read: Read, header: Header, place: int, chromosomes: int) -> np.ndarray:
    """Return the places and blocks of all leaves of an index: first_chrom, start, last_chrom, end, offset, size.

    Parameters
    ----------
    read, header
        As `read_chromosomes`.
    place : int
        Offset of the index.
    chromosomes : int
        Number of chromosomes in the file.

    Raises
    ------
    Damage
        The index contradicts itself, the chromosomes or the file's size.
    """
    if struct.unpack(header.order + "I", read(place, 4))[0] != _INDEX:
        raise Damage(f"no index at byte {place:,}")
    types = index_types(header.order)
    root = place + _INDEX_HEADER
    above = {root: (0, 2**64 - 1)}  # node -> places that the node above states
    parts: list[np.ndarray] = [np.empty(0, _LEAVES)]
    for node in _nodes(read, header, root, types[True].itemsize, types[False].itemsize):
        items = np.ascontiguousarray(node.items).view(types[node.is_leaf]).ravel()
        starts, ends = (
            places(items[chrom], items[base]) for chrom, base in (("first_chrom", "start"), ("last_chrom", "end"))
        )
        first, last = above[node.place]
        if len(items) and (
            (starts > ends).any() or (starts[1:] < starts[:-1]).any() or starts[0] < first or ends.max() > last
        ):
            raise Damage(f"an index that contradicts itself at byte {node.place:,}")
        if node.is_leaf:
            parts.append(items.astype(_LEAVES))
        else:
            above.update(zip(items["offset"].tolist(), zip(starts.tolist(), ends.tolist(), strict=True), strict=True))
    found = np.concatenate(parts)
    begin, length = found["offset"].astype(float), found["size"].astype(float)  # exact below 2^53 bytes
    if len(found) and ((begin + length).max() > header.size or length.sum() > header.size or length.min() < 1):
        raise Damage("an index of data beyond the file's end")
    if len(found) and found["last_chrom"].max() >= chromosomes:
        raise Damage("an index of more chromosomes than the file holds")
    return found


def index_types(order: Literal["<", ">"]) -> dict[bool, np.dtype]:
    """Return the dtype of an item of an index's leaf (True) and of a node above (False)."""
    return {leaf: np.dtype(fields).newbyteorder(order) for leaf, fields in ((True, _LEAVES), (False, _BRANCHES))}


def section_items(block: bytes, order: Literal["<", ">"]) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Return the items of a section of a bigWig.

    Parameters
    ----------
    block : bytes
        The section, unpacked.
    order : "<" or ">"
        Byte order.

    Returns
    -------
    int
        Number of the chromosome.
    ndarray, ndarray
        int64 (n,), start and end of each item.
    ndarray
        float32 (n,), its value.

    Raises
    ------
    Damage
        The section contradicts itself.
    """
    chrom, start, _, step, span, kind, count = _section_header(block, len(block), order)
    items = np.frombuffer(block, order + "u4", offset=_SECTION).reshape(count, _ITEM[kind] // 4)
    values = np.ascontiguousarray(items[:, -1]).view(order + "f4").astype(np.float32)
    starts = start + step * np.arange(count, dtype=np.int64) if kind == 3 else items[:, 0].astype(np.int64)
    ends = items[:, 1].astype(np.int64) if kind == 1 else starts + span
    if (ends <= starts).any():
        raise Damage("an item that ends before it starts")
    return chrom, starts, ends, values


def places(chrom: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return places in the order of the file as one number, uint64."""
    return chrom.astype(np.uint64) << np.uint64(32) | base.astype(np.uint64)


def unpacked_block(content: bytes, most: int) -> bytes:
    """Return a block unpacked, of at most `most` bytes; 0 where blocks are not packed.

    Raises
    ------
    Damage
        It cannot be unpacked, or is longer.
    """
    if not most:
        return content
    packed = zlib.decompressobj()
    try:
        unpacked = packed.decompress(content, most + 1)
        # The checksum is compared only once all is read.
        unpacked += packed.decompress(packed.unconsumed_tail, 1) if len(unpacked) <= most else b""
    except zlib.error:
        raise Damage("a block that cannot be unpacked") from None
    if not packed.eof or len(unpacked) > most:
        raise Damage(f"a block cut short, or of more than {most:,} bytes")
    return unpacked


def _section_header(start: bytes, size: int, order: str) -> tuple[int, ...]:
    """Return chromosome, start, end, step, span, type and number of items of a section that fills `size` bytes."""
    if len(start) < _SECTION:
        raise Damage(f"a section of {size} bytes")
    *places, kind, count = struct.unpack(order + "IIIIIBxH", start[:_SECTION])
    if kind not in _ITEM or size != _SECTION + count * _ITEM[kind]:
        raise Damage(f"a section of type {kind} with {count:,} items in {size:,} bytes")
    return *places, kind, count


def _section(block: bytes, order: str, totals: _Totals) -> tuple[int, int, int, int]:
    """Return (chromosome, start, chromosome, end) of a section of a bigWig, and add its values."""
    chrom, start, end, step, span, kind, count = _section_header(block, len(block), order)
    if not count:  # pyBigWig writes such sections between others
        return chrom, start, chrom, end
    items = np.frombuffer(block, order + "u4", offset=_SECTION).reshape(count, -1)
    values = np.ascontiguousarray(items[:, -1]).view(order + "f4").astype(float)
    bases: np.ndarray | int = span
    if kind == 1:
        bases = items[:, 1].astype(np.int64) - items[:, 0]
        start, end = int(items[:, 0].min()), int(items[:, 1].max())
    elif kind == 2:
        start = int(items[:, 0].min())
    if np.min(bases) < 1 or (kind == 3 and count > 1 and not step):
        raise Damage("an item that ends before it starts")
    totals.add(bases, values)
    return chrom, start, chrom, end


def _rows(block: bytes, order: str, totals: _Totals) -> tuple[int, int, int, int]:
    """Return (chromosome, start, chromosome, start) of the first row of a bigBed's block; the others are not read."""
    if len(block) < _BED_ROW or block[-1:] != b"\0":
        raise Damage(f"a block of {len(block)} bytes")
    chrom, start = struct.unpack(order + "II", block[:8])
    return chrom, start, chrom, start


def _zoomed(block: bytes, order: str) -> tuple[int, int, int, int]:
    """Return the first and last place of a block of a zoom level."""
    if not block or len(block) % _ZOOM_RECORD:
        raise Damage(f"a block of {len(block)} bytes in a zoom level")
    records = np.frombuffer(block, np.dtype(_RECORDS).newbyteorder(order))  # type: ignore[arg-type]  # str, but < or >
    starts, ends = places(records["chrom"], records["start"]), places(records["chrom"], records["end"])
    if (starts > ends).any():
        raise Damage("a zoom level's record that ends before it starts")
    first, last = int(starts.min()), int(ends.max())
    return first >> 32, first & 0xFFFFFFFF, last >> 32, last & 0xFFFFFFFF


def _check_summary(read: Read, header: Header, totals: _Totals) -> None:
    """Check that the summary agrees with the values, unless one of them is NaN or infinite.

    The largest value is not compared: pyBigWig writes another one where values fall.
    """
    covered, low, _, total, _ = struct.unpack(header.order + "Qdddd", read(header.summary, _SUMMARY))
    if not math.isfinite(total) or not math.isfinite(totals.total):
        return
    close = abs(total - totals.total) <= 1e-4 * totals.size + 1e-3
    if covered != totals.covered or not close or (covered and low != totals.low):
        raise Damage("a summary that its values contradict")
