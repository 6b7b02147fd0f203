"""Small .hic files of version 8 and 9, with normalisation vectors, and both kinds of blocks.

hictk's writer makes version 9 only, without vectors, and chooses itself how a block is stored. The layout is that of
https://github.com/aidenlab/hic-format, read back by hictk in tests/test_hic_file.py.
"""

import math
import struct
import zlib
from typing import NamedTuple

import numpy as np


class Layout(NamedTuple):
    """How the pixels are stored: version, bins on a side of a block, kinds of blocks in turn, widths of numbers."""

    version: int = 9
    block_bins: int = 50
    kinds: tuple[int, ...] = (1,)  # 1: lists of pixels, 2: all counts of a rectangle
    whole_counts: bool = False  # int16 instead of float32
    wide_bins: tuple[bool, bool] = (False, False)  # int32 instead of int16; version 9 only
    unit: str = "BP"


def write_hic(path, sizes, pixels, vectors=None, layout=None):
    """Write a .hic.

    Parameters
    ----------
    path
        The file.
    sizes
        bp by chromosome.
    pixels
        {resolution: {chromosome: (bin1, bin2, count)}}, three arrays, bin1 <= bin2.
    vectors
        {(normalisation, resolution): {chromosome: values}}.
    layout
        How it is stored; None: as `Layout()`.
    """
    layout = layout or Layout()
    names = ["All", *sizes]
    vectors = vectors or {}
    wide = layout.version > 8
    body = bytearray(_header(layout.version, 0, 0, 0, sizes, pixels))
    master = {}
    for chrom in sizes:
        held = {size: matrix[chrom] for size, matrix in pixels.items() if chrom in matrix}
        if held:
            number = names.index(chrom)
            start = len(body)
            body += _matrix(
                number,
                {size: _blocks(found, layout, sizes[chrom], size) for size, found in held.items()},
                layout,
                sizes[chrom],
                start,
            )
            master[f"{number}_{number}"] = (start, len(body) - start)
    footer = len(body)
    first = struct.pack("<i", len(master))
    for key, (start, length) in master.items():
        first += _text(key) + struct.pack("<qi", start, length)
    first += _expected([(_text("BP"), size) for size in pixels], wide, len(names))
    body += struct.pack("<q" if wide else "<i", len(first)) + first
    body += _expected([(_text(name) + _text("BP"), size) for name, size in vectors], wide, len(names))
    index, length = len(body), 4
    entries = [
        (name, names.index(chrom), size, values)
        for (name, size), each in vectors.items()
        for chrom, values in each.items()
    ]
    length += sum(len(_text(name) + _text("BP")) + (24 if wide else 20) for name, *_ in entries)
    place, table, data = index + length, struct.pack("<i", len(entries)), b""
    for name, number, size, values in entries:
        content = (
            struct.pack("<q" if wide else "<i", len(values)) + np.asarray(values, "<f4" if wide else "<f8").tobytes()
        )
        table += _text(name) + struct.pack("<i", number) + _text("BP")
        table += struct.pack("<iqq" if wide else "<iqi", size, place + len(data), len(content))
        data += content
    assert len(table) == length
    body += table + data
    head = _header(layout.version, footer, index, length, sizes, pixels)
    body[: len(head)] = head
    path.write_bytes(body)
    return path


def _text(words):
    return words.encode() + b"\0"


def _header(version, footer, index, length, sizes, resolutions):
    head = b"HIC\0" + struct.pack("<iq", version, footer) + _text("hg0")
    head += struct.pack("<qq", index, length) if version > 8 else b""
    head += struct.pack("<i", 1) + _text("software") + _text("a test " * 2_000)
    head += struct.pack("<i", 1 + len(sizes))
    for name, size in {"All": sum(sizes.values()) // 1_000, **sizes}.items():
        head += _text(name) + struct.pack("<q" if version > 8 else "<i", size)
    head += struct.pack(f"<i{len(resolutions)}i", len(resolutions), *resolutions)
    return head + struct.pack("<i", 0)  # no resolutions in fragments


def _columns(size, resolution, block_bins):
    return -(-size // resolution) // block_bins + 1


def _number(one, two, layout, columns):
    if layout.version < 9:
        return two // layout.block_bins * columns + one // layout.block_bins
    depth = int(math.log(1 + (two - one) / math.sqrt(2) / layout.block_bins) / math.log(2))
    return depth * columns + (one + two) // 2 // layout.block_bins


def _blocks(found, layout, size, resolution):
    """{number: packed block}."""
    columns = _columns(size, resolution, layout.block_bins)
    parts = {}
    for one, two, count in zip(*(np.asarray(column).tolist() for column in found), strict=True):
        parts.setdefault(_number(one, two, layout, columns), []).append((two, one, count))
    packed = {}
    for turn, (number, pixels) in enumerate(sorted(parts.items())):
        packed[number] = zlib.compress(_block(sorted(pixels), layout, layout.kinds[turn % len(layout.kinds)]))
    return packed


def _block(pixels, layout, kind):
    twos, ones, _ = zip(*pixels, strict=True)
    first1, first2 = min(ones), min(twos)
    wide1, wide2 = layout.wide_bins if layout.version > 8 else (False, False)
    count_code = "h" if layout.whole_counts else "f"
    block = struct.pack("<3iB", len(pixels), first1, first2, not layout.whole_counts)
    block += struct.pack("<2B", wide1, wide2) if layout.version > 8 else b""
    block += struct.pack("<B", kind)
    if kind == 2:
        width, height = max(ones) - first1 + 1, max(twos) - first2 + 1
        empty = -32768 if layout.whole_counts else np.nan
        table = np.full((height, width), empty, "<i2" if layout.whole_counts else "<f4")
        for two, one, count in pixels:
            table[two - first2, one - first1] = count
        return block + struct.pack("<ih", table.size, width) + table.tobytes()
    rows = {}
    for two, one, count in pixels:
        rows.setdefault(two, []).append((one, count))
    code1, code2 = "i" if wide1 else "h", "i" if wide2 else "h"
    number = int if layout.whole_counts else float
    block += struct.pack(f"<{code2}", len(rows))
    for two, row in rows.items():
        block += struct.pack(f"<{code2}", two - first2) + struct.pack(f"<{code1}", len(row))
        for one, count in row:
            block += struct.pack(f"<{code1}{count_code}", one - first1, number(count))
    return block


def _matrix(number, blocks, layout, size, start):
    """The places of the blocks at each resolution, and the blocks."""
    head = struct.pack("<3i", number, number, len(blocks))
    length = len(head) + sum(len(_text(layout.unit)) + 36 + 16 * len(each) for each in blocks.values())
    place, data = start + length, b""
    for turn, (resolution, each) in enumerate(blocks.items()):
        head += _text(layout.unit) + struct.pack("<i4f", turn, 1, 1, 1, 1)
        columns = _columns(size, resolution, layout.block_bins)
        head += struct.pack("<4i", resolution, layout.block_bins, columns, len(each))
        for block, packed in each.items():
            head += struct.pack("<iqi", block, place + len(data), len(packed))
            data += packed
    assert len(head) == length
    return head + data


def _expected(kinds, wide, chromosomes):
    """A list of expected values, each with some bytes that a reader must leave out."""
    found = struct.pack("<i", len(kinds))
    for names, size in kinds:
        values = np.ones(1_000 + size % 7, "<f4" if wide else "<f8")
        found += names + struct.pack("<iq" if wide else "<ii", size, len(values)) + values.tobytes()
        found += struct.pack("<i", chromosomes)
        for number in range(chromosomes):
            found += struct.pack("<if" if wide else "<id", number, 1)
    return found
