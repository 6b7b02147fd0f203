"""Rows of a bigBed, as the lines of the BED file that it was made from."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from model_core.errors import InputError
from model_core.input_file import open_input
from model_core.signals.bigwig_layout import Damage, leaves, read_chromosomes, read_header, reader_of, unpacked_block

_MOST_BLOCK = 1 << 26  # bytes, unpacked; programs write 512 rows into one


def bigbed_lines(path: Path) -> Iterator[str]:
    """Yield the rows of a bigBed in the order of the file: chromosome, start, end and further columns, with tabs.

    Every offset, count and length is checked before it is used, and one block is held at a time.

    Parameters
    ----------
    path : Path
        A regular file.

    Raises
    ------
    InputError
        No bigBed, or it contradicts itself.
    """
    with open_input(path, "a bigBed") as file:
        read, size = reader_of(file)
        try:
            header = read_header(read, size)
            if header.kind != "bigBed":
                raise Damage("a bigWig")
            sizes = read_chromosomes(read, header)
            names, most = list(sizes), min(header.unpacked, _MOST_BLOCK)
            blocks = leaves(read, header, header.main_index, len(names)).tolist() if header.main_index else []
            for first, _, last, _, offset, length in blocks:
                for number, start, end, rest in _rows(unpacked_block(read(offset, length), most), header.order):
                    if not first <= number <= last or not start <= end <= sizes[names[number]]:
                        raise Damage(f"a row at {start:,} to {end:,} of chromosome {number:,}")
                    yield "\t".join([names[number], str(start), str(end), *([rest] if rest else [])])
        except Damage as damage:
            found, fix = f"a damaged file ({damage})", "copy or make it again"
            raise InputError(path, found=found, expected="a complete bigBed", fix=fix) from None


def _rows(block: bytes, order: str) -> Iterator[tuple[int, int, int, str]]:
    """Yield (chromosome, start, end, further columns) of the rows of a block."""
    place = 0
    while place < len(block):
        end = block.find(b"\0", place + 12)
        if end < 0:
            raise Damage("a row without an end")
        try:
            rest = block[place + 12 : end].decode()
        except UnicodeDecodeError:
            raise Damage("a row that is not text") from None
        if "\n" in rest or "\r" in rest:
            raise Damage("a row of several lines")
        yield *struct.unpack_from(order + "III", block, place), rest
        place = end + 1
