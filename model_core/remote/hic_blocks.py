"""Blocks of a matrix of a .hic file: which hold a row's pixels, and the pixels of a block.

The numbers of blocks and the layout of a block are those of the format's versions 8 and 9
(https://github.com/aidenlab/hic-format).
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np

MOST_UNPACKED = 1 << 26  # bytes; a block of 1,000 x 1,000 bins of float32 takes 4 MB
_NO_COUNT = np.iinfo(np.int16).min  # in place of a whole number where a dense block has no pixel


class Damage(Exception):
    """Block that cannot be unpacked, or contradicts itself."""


class Pixels(NamedTuple):
    """Pixels of a block.

    Attributes
    ----------
    bin1, bin2 : ndarray
        int64; bins of the chromosome, bin1 <= bin2 in a sound file.
    counts : ndarray
        float32.
    """

    bin1: np.ndarray
    bin2: np.ndarray
    counts: np.ndarray


def block_numbers(version: int, block_bins: int, columns: int, anchor: int, first: int, last: int) -> np.ndarray:
    """Return the numbers of the blocks that hold the pixels of bin `anchor` with the bins first to last - 1.

    Version 8 numbers squares of block_bins x block_bins by row and column. Version 9 numbers, within a chromosome,
    strips along the diagonal whose width doubles with their distance from it, by depth and position.

    Parameters
    ----------
    version : int
        8 or 9.
    block_bins, columns : int
        Bins on a side of a block, and columns of blocks, as the matrix states them.
    anchor, first, last : int
        Bins of the chromosome.

    Returns
    -------
    ndarray
        int64, sorted, each once.
    """
    others = np.arange(first, last, dtype=np.int64)
    low, high = np.minimum(others, anchor), np.maximum(others, anchor)
    if version < 9:
        return np.unique(high // block_bins * columns + low // block_bins)
    depth = np.log2(1 + (high - low) / np.sqrt(2) / block_bins).astype(np.int64)
    return np.unique(depth * columns + (low + high) // 2 // block_bins)


def block_pixels(packed: bytes, version: int) -> Pixels:
    """Return the pixels of a block.

    Parameters
    ----------
    packed : bytes
        The block, as it is stored.
    version : int
        8 or 9.

    Raises
    ------
    Damage
        It cannot be unpacked, has more than MOST_UNPACKED bytes, or ends before its pixels do.
    """
    block = _unpacked(packed)
    try:
        records, offset1, offset2 = struct.unpack_from("<3i", block)
        flags = struct.unpack_from("4B" if version > 8 else "2B", block, 12)
    except struct.error:
        raise Damage(f"a block of {len(block)} bytes") from None
    whole_counts, *short, kind = flags
    counts = np.dtype("<f4" if whole_counts else "<i2")
    width1, width2 = (np.dtype("<i4" if flag else "<i2") for flag in short or (0, 0))
    place = 12 + len(flags)
    if kind == 1:
        found = _listed(block, place, width1, width2, counts, records)
    elif kind == 2:
        found = _dense(block, place, counts)
    else:
        raise Damage(f"a block of kind {kind}")
    return Pixels(found.bin1 + offset1, found.bin2 + offset2, found.counts)


def _listed(block: bytes, place: int, width1: np.dtype, width2: np.dtype, counts: np.dtype, records: int) -> Pixels:
    """Return the pixels of a block of kind 1: for each row (bin2) a list of bins (bin1) and counts."""
    item = np.dtype([("bin", width1), ("count", counts)])
    head1, head2 = (struct.Struct("<h" if width.itemsize == 2 else "<i") for width in (width1, width2))
    rows, lengths, items = [], [], []
    try:
        (count,) = head2.unpack_from(block, place)
        place += head2.size
        if count > records:
            raise Damage(f"a block of {count:,} rows and {records:,} pixels")
        for _ in range(count):
            (row,) = head2.unpack_from(block, place)
            (length,) = head1.unpack_from(block, place + head2.size)
            if length < 0:
                raise Damage(f"a row of {length:,} pixels")
            place += head2.size + head1.size
            items.append(np.frombuffer(block, item, length, place))
            rows.append(row)
            lengths.append(length)
            place += length * item.itemsize
    except (struct.error, ValueError):  # of frombuffer: fewer bytes than items
        raise Damage("a block that ends before its pixels do") from None
    found = np.concatenate(items) if items else np.empty(0, item)
    bin2 = np.repeat(np.array(rows, np.int64), lengths)
    return Pixels(found["bin"].astype(np.int64), bin2, found["count"].astype(np.float32))


def _dense(block: bytes, place: int, counts: np.dtype) -> Pixels:
    """Return the pixels of a block of kind 2: all counts of a rectangle, row (bin2) after row."""
    try:
        number, width = struct.unpack_from("<ih", block, place)
    except struct.error:
        raise Damage("a block that ends before its pixels do") from None
    if not 0 <= number * counts.itemsize <= len(block) - place - 6 or width < 1:
        raise Damage(f"a block of {number:,} pixels, {width} in a row")
    found = np.frombuffer(block, counts, number, place + 6)
    held = np.flatnonzero(~np.isnan(found) if counts.kind == "f" else found != _NO_COUNT)
    return Pixels(held % width, held // width, found[held].astype(np.float32))


def _unpacked(packed: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        block = unpacking.decompress(packed, MOST_UNPACKED)
        # The checksum is compared only once all is read.
        more = unpacking.decompress(unpacking.unconsumed_tail, 1)
    except zlib.error:
        raise Damage("a block that cannot be unpacked") from None
    if not unpacking.eof or more:
        raise Damage(f"a block cut short, or of more than {MOST_UNPACKED:,} bytes")
    return block
