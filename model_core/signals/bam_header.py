"""Header of a BAM, read without a library: the length of each chromosome."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from model_core.errors import InputError
from model_core.track_formats import TO_SIGNAL, require_format

BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_MOST_TEXT = 1 << 28  # bytes of the text in a header
_MOST_NAME = 1 << 16
_PIECE = 1 << 16


class _Cut(Exception):
    """The file ends inside its header, or is damaged there."""


def bam_sizes(bam: Path) -> dict[str, int]:
    """Return the length in bp of each chromosome in a BAM's header; the end mark of the file is checked, too.

    Raises
    ------
    InputError
        Missing, not a BAM, truncated, damaged, or without chromosomes.
    """
    require_format(bam, ("BAM",), "a BAM", TO_SIGNAL)
    fix = "copy or make it again"
    try:
        with bam.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - len(BGZF_END), 0))
            if file.read() != BGZF_END:
                raise _Cut("a truncated file (no end-of-file mark)")
            file.seek(0)
            sizes = _sizes(_Unpacked(file))
    except FileNotFoundError:
        raise InputError(bam, found="no such file", expected="a BAM", fix="check the path") from None
    except (OSError, _Cut) as error:
        raise InputError(bam, found=str(error), expected="a complete BAM", fix=fix) from None
    if not sizes:
        found = "no chromosomes in the header"
        raise InputError(bam, found=found, expected="aligned reads", fix="align the reads first")
    return sizes


class _Unpacked:
    """Unpacked content of a file of gzip members, read from its start in pieces."""

    def __init__(self, file: BinaryIO):
        self._file, self._member, self._held = file, zlib.decompressobj(31), b""

    def read(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        parts = []
        while length:
            if not self._held:
                self._fill()
            parts.append(self._held[:length])
            length -= len(parts[-1])
            self._held = self._held[len(parts[-1]) :]
        return b"".join(parts)

    def skip(self, length: int) -> None:
        """Pass over `length` bytes."""
        for start in range(0, length, _PIECE):
            self.read(min(_PIECE, length - start))

    def _fill(self) -> None:
        rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        rest = rest or self._file.read(_PIECE)
        if not rest:
            raise _Cut("a truncated file (it ends inside its header)")
        if self._member.eof:
            self._member = zlib.decompressobj(31)
        try:
            self._held = self._member.decompress(rest, _PIECE)
        except zlib.error:
            raise _Cut("a damaged file (its header cannot be unpacked)") from None


def _sizes(content: _Unpacked) -> dict[str, int]:
    magic, text = struct.unpack("<4si", content.read(8))
    if magic != b"BAM\1" or not 0 <= text <= _MOST_TEXT:
        raise _Cut(f"a damaged file (a header with {text:,} bytes of text)")
    content.skip(text)
    (count,) = struct.unpack("<i", content.read(4))
    if count < 0:
        raise _Cut(f"a damaged file ({count:,} chromosomes)")
    sizes: dict[str, int] = {}
    for _ in range(count):
        (letters,) = struct.unpack("<i", content.read(4))
        if not 1 < letters <= _MOST_NAME:
            raise _Cut(f"a damaged file (a chromosome's name of {letters:,} letters)")
        name, (length,) = content.read(letters), struct.unpack("<i", content.read(4))
        text_name = name[:-1].decode("ascii", errors="replace")
        if name[-1:] != b"\0" or b"\0" in name[:-1] or text_name in sizes or length < 0:
            raise _Cut(f"a damaged file (a chromosome {text_name[:40]!r} of {length:,} bp)")
        sizes[text_name] = length
    return sizes
