"""Values of a bigWig read by ranges: of a region only the nodes of the index and the blocks that hold it are read.

For files at an address. Everything that is followed is checked first, as in `bigwig_layout`.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from model_core.errors import InputError
from model_core.remote.address import InputPath
from model_core.remote.remote_file import open_ranges
from model_core.signals.bigwig_layout import (
    Damage,
    index_types,
    read_chromosomes,
    read_header,
    section_items,
    unpacked_block,
)

_INDEX_HEADER = 48  # bytes
_INDEX = 0x2468ACE0
_MOST_NODES = 1_000_000  # of an index that one region may lead to
_ZOOM = np.dtype(
    [("chrom", "u4"), ("start", "u4"), ("end", "u4"), ("covered", "u4")]
    + [(name, "f4") for name in ("low", "high", "total", "squares")]
)


class Zoomed(NamedTuple):
    """Summary of a chromosome from a zoom level: covered bases, their sum, least and largest value."""

    covered: int
    total: float
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
        if not self._header.main_index:
            return found
        order = self._header.order
        try:
            for block in self._blocks(self._header.main_index, chrom, first, last):
                number, starts, ends, values = section_items(block, order)
                if number == self._numbers[chrom]:
                    _paint(found, starts - first, ends - first, values)
        except Damage as damage:
            raise self._damaged(damage) from None
        return found

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

    def zoomed(self, chrom: str) -> Zoomed | None:
        """Return the summary of a chromosome by the widest zoom level; None where the file has none."""
        if not self._header.zooms:
            return None
        *_, place = self._header.zooms[-1]
        parts = []
        try:
            for block in self._blocks(place, chrom, 0, self._sizes[chrom]):
                if len(block) % _ZOOM.itemsize:
                    raise Damage(f"a block of {len(block)} bytes in a zoom level")
                parts.append(np.frombuffer(block, _ZOOM.newbyteorder(self._header.order)))
        except Damage as damage:
            raise self._damaged(damage) from None
        records = np.concatenate([*parts, np.empty(0, _ZOOM)])
        records = records[(records["chrom"] == self._numbers[chrom]) & (records["covered"] > 0)]
        if not len(records):
            return Zoomed(0, 0.0, 0.0, 0.0)
        covered, total = (int(records["covered"].sum(dtype=np.int64)), float(records["total"].sum(dtype=np.float64)))
        return Zoomed(covered, total, float(records["low"].min()), float(records["high"].max()))

    def _blocks(self, index: int, chrom: str, first: int, last: int) -> list[bytes]:
        """Return the unpacked blocks of an index that overlap a region, in the file's order."""
        if struct.unpack(self._header.order + "I", self._read(index, 4))[0] != _INDEX:
            raise Damage(f"no index at byte {index:,}")
        number, types, found = self._numbers[chrom], index_types(self._header.order), []
        level, seen = [index + _INDEX_HEADER], set[int]()
        while level:
            seen.update(level)
            if len(seen) > _MOST_NODES:
                raise Damage("an index that does not end")
            heads = self._read_many([(place, 4) for place in level])
            shapes = [struct.unpack(self._header.order + "BxH", head) for head in heads]
            pieces = [
                (place + 4, count * types[bool(is_leaf)].itemsize)
                for place, (is_leaf, count) in zip(level, shapes, strict=True)
            ]
            below: list[int] = []
            for (is_leaf, _), content in zip(shapes, self._read_many(pieces), strict=True):
                items = np.frombuffer(content, types[bool(is_leaf)])
                wanted = items[_overlap(items, number, first, last)]
                if is_leaf:
                    found += list(zip(wanted["offset"].tolist(), wanted["size"].tolist(), strict=True))
                else:
                    below += wanted["offset"].tolist()
            if not seen.isdisjoint(below) or len(set(below)) < len(below):
                raise Damage("an index that leads back")
            level = below
        blocks = self._read_many(sorted(found))
        return [unpacked_block(block, self._header.unpacked) for block in blocks]

    def _read(self, offset: int, length: int) -> bytes:
        return self._read_many([(offset, length)])[0]

    def _read_many(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        for offset, length in ranges:
            if offset + length > self._file.size:
                raise Damage(f"bytes {offset:,} to {offset + length:,} of a file of {self._file.size:,}")
        if sum(length for _, length in ranges) > self._file.size:
            raise Damage("an index of more data than the file holds")
        return self._file.read_many(ranges)

    def _damaged(self, damage: Damage) -> InputError:
        found, fix = f"a damaged file ({damage})", "use another copy of it"
        return InputError(str(self._path), found=found, expected="a complete bigWig", fix=fix)


def _overlap(items: Any, number: int, first: int, last: int) -> np.ndarray:
    """Return which items of a node may hold bases first to last of a chromosome."""
    first_chrom, last_chrom = items["first_chrom"], items["last_chrom"]
    after = (last_chrom < number) | ((last_chrom == number) & (items["end"] <= first))
    before = (first_chrom > number) | ((first_chrom == number) & (items["start"] >= last))
    return ~(after | before)


def _paint(found: np.ndarray, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> None:
    """Write each value over its bases, as far as they lie in the array."""
    starts, ends = np.clip(starts, 0, len(found)), np.clip(ends, 0, len(found))
    inside = ends > starts
    starts, values = starts[inside], values[inside]
    lengths = ends[inside] - starts
    before = np.cumsum(lengths) - lengths
    places = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
    found[places] = np.repeat(values, lengths)
