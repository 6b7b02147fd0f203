"""Bases of a .2bit file, read by ranges: of a region only its packed bases and its chromosome's gaps are read.

The format: genome.ucsc.edu/FAQ/FAQformat.html#format7. Lower case is not kept. The lengths of all sequences stand in
their records, all over the file; a file NAME.chrom.sizes beside NAME.2bit has them together, as at UCSC.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from model_core.errors import InputError
from model_core.input_file import read_input
from model_core.remote.address import InputPath, RemotePath, input_path
from model_core.remote.fields import Fields
from model_core.remote.ranges import Ranges
from model_core.remote.remote_file import open_ranges
from model_core.remote.session import UnreachableError
from model_core.remote.whole_files import local_copy

_MAGIC = 0x1A412743
_MOST_INDEX = 1 << 28  # bytes
_MOST_GAPS = 1 << 26
_MOST_SIZES = 1 << 26
_FEW = 1_000  # sequences of a file at an address whose lengths are read from their records
_EXPECTED = "a .2bit file"
_BASES = np.frombuffer(b"TCAG", np.uint8)
_LETTERS = _BASES[np.arange(256)[:, None] >> np.array([6, 4, 2, 0]) & 3]  # (256, 4): the bases of each byte


class _Record(NamedTuple):
    length: int  # bases
    gaps: np.ndarray  # int64 (n, 2): starts and lengths of runs of N
    packed: int  # offset of the packed bases


class TwoBit:
    """A .2bit file.

    Parameters
    ----------
    path : InputPath
        Path or address.

    Raises
    ------
    InputError
        It cannot be read, or contradicts itself.
    """

    def __init__(self, path: InputPath):
        self.path = path
        self._file = open_ranges(path)
        self._order, self._places = _index(self._file)
        self._ends = _ends(self._places, self._file.size)
        self.sizes = self._all_sizes()
        self._record(max(self._places, key=self._places.__getitem__))  # whose end is that of a whole file

    def fetch(self, chrom: str, first: int, last: int) -> str:
        """Return the upper-case bases first to last of a sequence, 0-based half-open, inside it; N in its gaps."""
        record = self._record(chrom)
        start, end = first // 4, -(-last // 4)
        packed = np.frombuffer(self._file.read_at(record.packed + start, end - start), np.uint8)
        bases = _LETTERS[packed].ravel()[first - 4 * start : last - 4 * start]
        starts, lengths = record.gaps.T
        here = slice(np.searchsorted(starts + lengths, first, "right"), np.searchsorted(starts, last))
        for begin, length in record.gaps[here].tolist():
            bases[max(begin - first, 0) : max(begin + length - first, 0)] = ord("N")
        return bases.tobytes().decode("ascii")

    def unknown(self, chrom: str) -> int:
        """Return the number of N of a sequence."""
        return int(self._record(chrom).gaps[:, 1].sum())

    @lru_cache(maxsize=32)  # noqa: B019  a genome lives as long as its process, and has few chromosomes
    def _record(self, chrom: str) -> _Record:
        fields = Fields(self._file, self._places[chrom], _MOST_GAPS, _EXPECTED, self._order)
        length = fields.number("I")
        gaps = fields.count(8, "I")
        starts, lengths = (np.frombuffer(fields.raw(4 * gaps), f"{self._order}u4").astype(np.int64) for _ in range(2))
        masks = fields.count(8, "I")
        fields.skip(8 * masks + 4)
        if length != self.sizes[chrom]:
            found = f"{chrom} of {length:,} bp, and of {self.sizes[chrom]:,} bp in the list of lengths"
            raise InputError(str(self.path), found=found, expected="one length", fix="use another copy of the file")
        end, most = fields.place - (-length // 4), self._ends[chrom]
        if end > most or end < most == self._file.size:
            raise fields.damage(f"{length:,} bases of {chrom} in {most - fields.place:,} bytes")
        if gaps and ((starts[1:] < (starts + lengths)[:-1]).any() or starts[-1] + lengths[-1] > length):
            raise fields.damage(f"runs of N in {chrom} that overlap or leave it")
        return _Record(length, np.stack([starts, lengths], axis=1), fields.place)

    def _all_sizes(self) -> dict[str, int]:
        listed = _listed_sizes(self.path, needed=len(self._places) > _FEW)
        if listed is not None:
            missing = [name for name in self._places if name not in listed]
            if missing:
                found, expected = f"no length of {missing[0]}", "lengths of all sequences of the .2bit"
                fix = "make it with `twoBitInfo`"
                raise InputError(f"{self.path} chrom.sizes", found=found, expected=expected, fix=fix)
            return {name: listed[name] for name in self._places}
        if len(self._places) > _FEW and isinstance(self.path, RemotePath):
            found = f"{len(self._places):,} sequences, and no list of their lengths beside it"
            fix = f"put the output of `twoBitInfo` there as {_sizes_name(self.path.name)}"
            raise InputError(str(self.path), found=found, expected=_sizes_name(self.path.name), fix=fix)
        pieces = self._file.read_many([(place, 4) for place in self._places.values()])
        return {
            name: struct.unpack(f"{self._order}I", piece)[0] for name, piece in zip(self._places, pieces, strict=True)
        }


def _index(file: Ranges) -> tuple[Literal["<", ">"], dict[str, int]]:
    """Return the byte order, and the offset of each sequence's record."""
    swapped = file.size >= 16 and file.read_at(0, 4) == struct.pack(">I", _MAGIC)
    order: Literal["<", ">"] = ">" if swapped else "<"
    fields = Fields(file, 0, _MOST_INDEX, _EXPECTED, order)
    magic, version = fields.take("II") if file.size >= 16 else (0, 0)
    if magic != _MAGIC or version > 1:
        raise InputError(file.name, found="another format", expected=_EXPECTED, fix="check the path")
    wide = version == 1
    count = fields.count(1 + 4 + 4 * wide, "I")
    fields.skip(4)
    places: dict[str, int] = {}
    for _ in range(count):
        name = fields.raw(fields.number("B")).decode("latin-1")
        place = fields.number("Q" if wide else "I")
        if not name or name in places or place > file.size - 16:
            raise fields.damage(f"a sequence {name[:40]!r} at byte {place:,}")
        places[name] = place
    if not places:
        raise fields.damage("no sequences")
    return order, places


def _ends(places: dict[str, int], size: int) -> dict[str, int]:
    """Return where the next record of each sequence begins; of the last one, where the file ends."""
    order = sorted(places, key=places.__getitem__)
    return dict(zip(order, [*(places[name] for name in order[1:]), size], strict=True))


def _sizes_name(name: str) -> str:
    return f"{name[: -len('.2bit')]}.chrom.sizes"


def _listed_sizes(path: InputPath, needed: bool) -> dict[str, int] | None:
    """Return the lengths of NAME.chrom.sizes beside NAME.2bit; None where there is no such file.

    None, too, where its server cannot be reached, unless it is needed: the kept blocks of the .2bit have the lengths.
    """
    beside: InputPath
    if isinstance(path, RemotePath):
        beside = path.with_ending(".chrom.sizes", instead_of=path.suffix)
        try:
            place = local_copy(beside)
        except InputError as error:
            unreachable = isinstance(error.__cause__, UnreachableError)
            if getattr(error.__cause__, "status", 0) in (403, 404, 410) or (unreachable and not needed):
                return None
            raise
    else:
        beside = place = path.with_name(_sizes_name(path.name))
        if not place.is_file():
            return None
    expected = "names and lengths, separated by tabs"
    text = read_input(place, _MOST_SIZES, expected).decode("utf-8", "replace")
    sizes = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("\t")
        if len(words) < 2 or not (words[1].isascii() and words[1].isdecimal() and len(words[1]) < 14):
            where = f"{beside} line {number}"
            raise InputError(where, found=repr(line[:40]), expected=expected, fix="make it with `twoBitInfo`")
        sizes[words[0]] = int(words[1])
    return sizes


def is_two_bit(path: str | Path | RemotePath) -> bool:
    """Return whether a path or address is named as .2bit files are."""
    return input_path(path).suffix.lower() == ".2bit"
