"""Values of a bigWig read by ranges: of a region only the nodes of the index and the blocks that hold it are read.

For files at an address. Everything that is followed is checked first, as in `bigwig_layout`, and what one region may
lead to is bounded: nodes and depth of the index, blocks, and bytes of a block. Overlapping items, and the choice and
the sums of a zoom level, are those of libBigWig, so that the numbers are those of the local file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from model_core.errors import InputError
from model_core.remote.address import InputPath
from model_core.remote.remote_file import open_ranges
from model_core.signals.bigwig_layout import (
    LONGEST_SECTION,
    Damage,
    index_types,
    places,
    read_chromosomes,
    read_header,
    section_items,
    unpacked_block,
)

_INDEX_HEADER = 48  # bytes
_INDEX = 0x2468ACE0
_DEEPEST = 32  # levels of an index; of 256 items a node, 4 hold all blocks of a genome
_MOST_NODES = 200_000  # of an index that one question may lead to
_NODES_AT_ONCE = 128  # a node of 65,535 items, more than any program writes, has 2 MB
_BYTES_AT_ONCE = 8_000_000  # packed
_MOST_EMPTY = 10_000  # blocks beyond one a base that a region may have, as some programs write empty ones
_ZOOM = np.dtype(
    [("chrom", "u4"), ("start", "u4"), ("end", "u4"), ("covered", "u4")]
    + [(name, "f4") for name in ("low", "high", "total", "squares")]
)


class Statistics(NamedTuple):
    """Share of a chromosome's bases that have a value, and mean, least and largest value over these; 0 of none."""

    share: float
    mean: float
    low: float
    high: float


class BigWigRanges:
    """A bigWig that is read by ranges.

    Parameters
    ----------
    path : InputPath
        Path or address.

    Raises
    ------
    InputError
        It cannot be read, is no bigWig, or contradicts itself.
    """

    def __init__(self, path: InputPath):
        self._path, self._file = path, open_ranges(path)
        try:
            self._header = read_header(self._read, self._file.size)
            if self._header.kind != "bigWig":
                raise Damage("a bigBed")
            self._sizes = read_chromosomes(self._read, self._header)
        except Damage as damage:
            raise self._damaged(damage) from None
        self._numbers = {name: number for number, name in enumerate(self._sizes)}

    def chroms(self) -> dict[str, int]:
        """Return the length in bp of each chromosome."""
        return self._sizes

    def values(self, chrom: str, first: int, last: int, numpy: bool = True) -> np.ndarray:
        """Return the value of each base, 0-based half-open and inside the chromosome.

        Returns
        -------
        ndarray
            float32 (last - first,); NaN where there is none.
        """
        found = np.full(last - first, np.nan, np.float32)
        try:
            for starts, ends, values in self._items(chrom, first, last):
                _paint(found, starts - first, ends - first, values)
        except Damage as damage:
            raise self._damaged(damage) from None
        return found

    def read_ahead(self, regions: Sequence[tuple[str, int, int]]) -> None:
        """Bring the blocks of many regions (chromosome, first, last) into the cache in few requests."""
        if not self._header.main_index or not regions:
            return
        try:
            blocks = self._leaves(self._header.main_index, regions)
            for part in _parts(blocks):
                self._read_many(list(zip(part["offset"].tolist(), part["size"].tolist(), strict=True)))
        except Damage as damage:
            raise self._damaged(damage) from None

    def summary(self) -> tuple[int, float, float, float]:
        """Return (covered bases, sum, least, largest value) of the whole file; NaN where its header has none."""
        if not self._header.summary:
            return 0, np.nan, np.nan, np.nan
        try:
            block = self._read(self._header.summary, 40)
        except Damage as damage:
            raise self._damaged(damage) from None
        covered, low, high, total, _ = struct.unpack(self._header.order + "Qdddd", block)
        return covered, total, low, high

    def statistics(self, chrom: str) -> Statistics:
        """Return the statistics of a chromosome by the widest zoom level of at most half its length.

        By all its values where there is no such level, as in a file without zoom levels.
        """
        size = self._sizes[chrom]
        levels = [place for step, _, place in self._header.zooms if step <= size // 2]
        try:
            return self._zoomed(levels[-1], chrom) if levels else self._by_values(chrom)
        except Damage as damage:
            raise self._damaged(damage) from None

    def _zoomed(self, index: int, chrom: str) -> Statistics:
        size, number = self._sizes[chrom], self._numbers[chrom]
        parts = [np.empty(0, _ZOOM)]
        for _, block in self._blocks(index, chrom, 0, size):
            if len(block) % _ZOOM.itemsize:
                raise Damage(f"a block of {len(block)} bytes in a zoom level")
            records = np.frombuffer(block, _ZOOM.newbyteorder(self._header.order)).astype(_ZOOM)
            parts.append(records[(records["chrom"] == number) & (records["start"] < size) & (records["end"] > 0)])
        records = np.concatenate(parts)
        starts, ends = (records[name].astype(np.int64) for name in ("start", "end"))
        if (starts >= ends).any():
            raise Damage("a zoom level's record that ends before it starts")
        inside = (np.minimum(ends, size) - starts) / (ends - starts)
        return _statistics(
            records["covered"] * inside, records["total"] * inside, records["low"], records["high"], size
        )

    def _by_values(self, chrom: str) -> Statistics:
        size = self._sizes[chrom]
        covered, totals, kept = [], [], []
        for starts, ends, values in self._items(chrom, 0, size):
            bases = np.minimum(ends, size) - starts
            covered.append(bases)
            totals.append(bases * values.astype(float))
            kept.append(values)
        values, none = np.concatenate([*kept, np.empty(0, np.float32)]), np.empty(0)
        return _statistics(np.concatenate([*covered, none]), np.concatenate([*totals, none]), values, values, size)

    def _items(self, chrom: str, first: int, last: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (starts, ends, values) of the items of each block that overlap a region."""
        if not self._header.main_index or first >= last:
            return
        for place, block in self._blocks(self._header.main_index, chrom, first, last):
            number, starts, ends, values = section_items(block, self._header.order)
            if not len(starts):
                continue
            stated = (place["first_chrom"], place["start"]), (place["last_chrom"], place["end"])
            if stated[0] > (number, starts.min()) or (number, ends.max()) > stated[1]:
                raise Damage(f"damaged data at {chrom}:{first + 1:,}-{last:,}: other places than the index states")
            here = (starts < last) & (ends > first) & (number == self._numbers[chrom])
            yield starts[here], ends[here], values[here]

    def _blocks(self, index: int, chrom: str, first: int, last: int) -> Iterator[tuple[np.void, bytes]]:
        """Yield the index's entry and the unpacked bytes of each block that overlaps a region, in the index's order."""
        most = min(self._header.unpacked, LONGEST_SECTION)
        blocks = self._leaves(index, [(chrom, first, last)])
        if len(blocks) > last - first + _MOST_EMPTY:
            raise Damage(f"{len(blocks):,} blocks of {last - first:,} bp")
        for part in _parts(blocks):
            pieces = self._read_many(list(zip(part["offset"].tolist(), part["size"].tolist(), strict=True)))
            for place, content in zip(part, pieces, strict=True):
                yield place, unpacked_block(content, most)

    def _leaves(self, index: int, regions: Sequence[tuple[str, int, int]]) -> np.ndarray:
        """Return the leaves of an index that overlap any of these regions, in its order."""
        if struct.unpack(self._header.order + "I", self._read(index, 4))[0] != _INDEX:
            raise Damage(f"no index at byte {index:,}")
        wanted = _merged([(self._numbers[chrom], first, last) for chrom, first, last in regions])
        level, seen, leaves = [index + _INDEX_HEADER], set[int](), [np.empty(0, index_types(self._header.order)[True])]
        for _ in range(_DEEPEST):
            below: list[int] = []
            for start in range(0, len(level), _NODES_AT_ONCE):
                for is_leaf, items in self._nodes(level[start : start + _NODES_AT_ONCE]):
                    items = items[_overlap(items, *wanted)]
                    if is_leaf:
                        leaves.append(items)
                    else:
                        below += items["offset"].tolist()
                if len(below) + len(seen) > _MOST_NODES or sum(map(len, leaves)) > self._file.size:
                    raise Damage("an index that does not end")
            if not seen.isdisjoint(below) or len(set(below)) < len(below):
                raise Damage("an index that leads back")
            seen.update(below)
            level = below
        if level:
            raise Damage(f"an index of more than {_DEEPEST} levels")
        found = np.concatenate(leaves)
        begin, length = found["offset"].astype(float), found["size"].astype(float)  # exact below 2^53 bytes
        if len(found) and ((begin + length).max() > self._file.size or length.sum() > self._file.size):
            raise Damage("an index of data beyond the file's end")
        if len(found) and not 1 <= length.min() <= length.max() <= 2 * LONGEST_SECTION:
            raise Damage(f"a block of {int(length.max()):,} bytes")
        return found

    def _nodes(self, nodes: list[int]) -> Iterator[tuple[bool, np.ndarray]]:
        """Yield whether it is a leaf, and the items, of nodes of an index."""
        types = index_types(self._header.order)
        shapes = [
            struct.unpack(self._header.order + "BxH", head) for head in self._read_many([(place, 4) for place in nodes])
        ]
        if any(is_leaf > 1 for is_leaf, _ in shapes):
            raise Damage("an index with another kind of node")
        pieces = [
            (place + 4, count * types[bool(is_leaf)].itemsize)
            for place, (is_leaf, count) in zip(nodes, shapes, strict=True)
        ]
        for (is_leaf, _), content in zip(shapes, self._read_many(pieces), strict=True):
            yield bool(is_leaf), np.frombuffer(content, types[bool(is_leaf)])

    def _read(self, offset: int, length: int) -> bytes:
        return self._read_many([(offset, length)])[0]

    def _read_many(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        for offset, length in ranges:
            if offset + length > self._file.size:
                raise Damage(f"bytes {offset:,} to {offset + length:,} of a file of {self._file.size:,}")
        return self._file.read_many(ranges)

    def _damaged(self, damage: Damage) -> InputError:
        found, fix = f"a damaged file ({damage})", "use another copy of it"
        return InputError(str(self._path), found=found, expected="a complete bigWig", fix=fix)


def _parts(blocks: np.ndarray) -> Iterator[np.ndarray]:
    """Yield leaves in parts of about _BYTES_AT_ONCE packed bytes."""
    if len(blocks):
        number = np.cumsum(blocks["size"].astype(np.int64)) // _BYTES_AT_ONCE
        yield from np.split(blocks, np.flatnonzero(np.diff(number)) + 1)


def _merged(regions: Sequence[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends, as `places`, of regions (chromosome, first, last), sorted and without overlaps."""
    chroms, firsts, lasts = np.array(sorted(regions), np.int64).T
    starts, ends = places(chroms, firsts), np.maximum.accumulate(places(chroms, lasts))
    apart = starts[1:] > ends[:-1]
    return starts[np.r_[True, apart]], ends[np.r_[apart, True]]


def _overlap(items: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return which items of a node may hold bases of sorted regions without overlaps."""
    first, last = places(items["first_chrom"], items["start"]), places(items["last_chrom"], items["end"])
    return np.searchsorted(starts, last, "left") > np.searchsorted(ends, first, "right")


def _paint(found: np.ndarray, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> None:
    """Write each value over its bases, as far as they lie in the array; the last of several over the same base."""
    starts, ends = np.clip(starts, 0, len(found)), np.clip(ends, 0, len(found))
    if (starts[1:] < ends[:-1]).any():
        last = _last_item(starts, ends, len(found))
        found[last >= 0] = values[last[last >= 0]]
        return
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    found[np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))] = np.repeat(values, lengths)


def _last_item(starts: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """Return the number of the last item over each of `length` bases, -1 where there is none; int64 (length,).

    Each item is two runs of a power of two bases, and each run halves from level to level: the time does not grow with
    the bases of the items.
    """
    lengths = ends - starts
    sizes = np.frexp(lengths)[1] - 1  # exponent of the largest power of two within; -1 of an empty item
    last = np.full(length, -1)
    for exponent in range(int(sizes.max(initial=-1)), -1, -1):
        half = 1 << exponent
        last[half:] = np.maximum(last[half:], last[: max(length - half, 0)])
        numbers = np.flatnonzero(sizes == exponent)
        np.maximum.at(last, starts[numbers], numbers)
        np.maximum.at(last, ends[numbers] - half, numbers)
    return last


def _statistics(covered: np.ndarray, totals: np.ndarray, low: np.ndarray, high: np.ndarray, size: int) -> Statistics:
    """Return the statistics of records; sums in their order, as libBigWig adds."""
    bases = float(np.cumsum(covered)[-1]) if len(covered) else 0.0
    if not bases:
        return Statistics(0.0, 0.0, 0.0, 0.0)
    return Statistics(bases / size, float(np.cumsum(totals)[-1]) / bases, float(low.min()), float(high.max()))
