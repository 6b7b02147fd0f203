"""Contact of one bin with its neighbours, read from a .hic file over ranges.

Read are the header, the footer with the places of the matrices, of one matrix the places of its blocks, a piece of a
normalisation vector, and the blocks that hold the row: versions 8 and 9 of the format
(https://github.com/aidenlab/hic-format). The numbers are those of hictk, whose library reads local files.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from model_core.errors import InputError
from model_core.remote.fields import Fields
from model_core.remote.hic_blocks import MOST_UNPACKED, Damage, block_numbers, block_pixels
from model_core.remote.ranges import Ranges

WHOLE = "a complete .hic file of version 8 or 9"
VERSIONS = (8, 9)
_UNIT = "BP"  # bins of equal length; the other unit, FRAG, is bins of equal numbers of fragments
_NAME, _SENTENCE = 1 << 12, 1 << 24  # characters of a name, and of an attribute: Juicer keeps its statistics there
_MOST_HEADER, _MOST_FOOTER, _MOST_INDEX = 1 << 25, 1 << 25, 1 << 26  # bytes read of each
_MOST_RESOLUTIONS, _MOST_ATTRIBUTES = 1_000, 10_000
_MOST_BLOCKS = 1 << 27  # bytes of all packed blocks of one row
_BLOCK = np.dtype([("number", "<i4"), ("place", "<i8"), ("size", "<i4")])


class HicHeader(NamedTuple):
    """Header of a .hic.

    Attributes
    ----------
    version : int
        One of VERSIONS.
    footer : int
        Offset of the footer.
    vectors : int
        Offset of the index of normalisation vectors, 0 where there is none; of version 9 only.
    sizes : dict[str, int]
        Length in bp of each chromosome; without the pseudo-chromosome "All".
    numbers : dict[str, int]
        Number of each chromosome in the file.
    resolutions : list[int]
        bp per bin, ascending.
    """

    version: int
    footer: int
    vectors: int
    sizes: dict[str, int]
    numbers: dict[str, int]
    resolutions: list[int]


class _Footer(NamedTuple):
    matrices: dict[str, int]  # "2_2" -> offset
    end: int  # of the list of matrices


class _Matrix(NamedTuple):
    block_bins: int
    columns: int
    blocks: np.ndarray  # _BLOCK


class HicFile:
    """A .hic file of version 8 or 9.

    It can be pickled. What was read of header, footer and indexes is kept as long as this object.

    Parameters
    ----------
    file : Ranges
        The file.
    """

    def __init__(self, file: Ranges):
        self.file = file
        self._matrices: dict[tuple[str, int], _Matrix | None] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return HicFile, (self.file,)  # without what was read: the file may have changed where it is opened again

    @cached_property
    def header(self) -> HicHeader:
        """The header.

        Raises
        ------
        InputError
            No .hic of version 8 or 9, or a damaged one.
        """
        fields = self._fields(0, _MOST_HEADER)
        magic, version, footer = fields.take("4siq")
        if magic != b"HIC\0":
            raise fields.damage("other first bytes")
        if version not in VERSIONS:
            fix = "download it and name the local file, or convert it with hictk"
            raise InputError(self.file.name, found=f"a .hic file of version {version}", expected=WHOLE, fix=fix)
        if not 0 < footer < self.file.size:
            raise fields.damage(f"a footer at byte {footer:,} of {self.file.size:,}")
        fields.text(_NAME)  # name of the genome
        vectors = fields.take("qq")[0] if version > 8 else 0
        if not vectors < self.file.size:
            raise fields.damage(f"normalisation vectors at byte {vectors:,} of {self.file.size:,}")
        attributes = fields.count(2)
        if attributes > _MOST_ATTRIBUTES:
            raise fields.damage(f"{attributes:,} attributes")
        for _ in range(2 * attributes):
            fields.text(_SENTENCE)
        sizes, numbers = self._chromosomes(fields, "q" if version > 8 else "i")
        resolutions = fields.take(f"{fields.count(4)}i")
        if min(resolutions, default=0) < 1:
            raise fields.damage("no sizes of bins")
        return HicHeader(version, footer, max(vectors, 0), sizes, numbers, sorted(set(resolutions)))

    def _chromosomes(self, fields: Fields, length: str) -> tuple[dict[str, int], dict[str, int]]:
        """Return length and number of each chromosome, from its list in the header."""
        sizes: dict[str, int] = {}
        numbers: dict[str, int] = {}
        for number in range(fields.count(5)):
            name = fields.text(_NAME)
            size = fields.number(length)
            if name.lower() == "all":
                continue
            if not name or name in sizes or not 0 < size < 1 << 32:
                raise fields.damage(f"a chromosome {name[:40]!r} of {size:,} bp")
            sizes[name], numbers[name] = size, number
        if not sizes:
            raise fields.damage("no chromosomes")
        return sizes, numbers

    def normalisations(self, resolution: int) -> list[str]:
        """Return the names of the normalisations that a chromosome has at a resolution, in bp.

        Raises
        ------
        InputError
            A damaged file.
        """
        return sorted({name for name, _, size in self._vectors if size == resolution})

    def row(self, chrom: str, resolution: int, normalisation: str, anchor: int, first: int, last: int) -> np.ndarray:
        """Return the normalised contact of the bins first to last - 1 with the bin `anchor`.

        Parameters
        ----------
        chrom : str
            One of `header.sizes`.
        resolution : int
            bp per bin; one of `header.resolutions`.
        normalisation : str
            One of `normalisations`, or "NONE".
        anchor, first, last : int
            0-based bins of the chromosome, first <= anchor < last <= their number.

        Returns
        -------
        ndarray
            float64 (last - first,); 0 where there is no contact, for bins that the normalisation leaves out, and for a
            chromosome without normalisation vector.

        Raises
        ------
        InputError
            A damaged file.
        """
        row = np.zeros(last - first, np.float32)
        matrix = self._matrix(chrom, resolution)
        weights = None if normalisation == "NONE" else self._weights(chrom, resolution, normalisation, first, last)
        if matrix is None or (weights is None and normalisation != "NONE"):
            return row.astype(float)
        for block in self._blocks(matrix, anchor, first, last):
            try:
                pixels = block_pixels(block, self.header.version)
            except Damage as damage:
                raise self._damage(f"{damage} ({chrom}, {resolution:,} bp)") from None
            right = np.flatnonzero((pixels.bin1 == anchor) & (pixels.bin2 >= anchor) & (pixels.bin2 < last))
            row[pixels.bin2[right] - first] = pixels.counts[right]
            left = np.flatnonzero((pixels.bin2 == anchor) & (pixels.bin1 >= first) & (pixels.bin1 <= anchor))
            row[pixels.bin1[left] - first] = pixels.counts[left]
        if weights is not None:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                row = row / (weights * weights[anchor - first]).astype(np.float32)  # the rounding of hictk
        return np.nan_to_num(row.astype(float), nan=0, posinf=0, neginf=0)

    def _matrix(self, chrom: str, resolution: int) -> _Matrix | None:
        """Return where the blocks of a chromosome's own matrix are; None where there is no matrix."""
        if (chrom, resolution) not in self._matrices:
            number = self.header.numbers[chrom]
            place = self._footer.matrices.get(f"{number}_{number}")
            self._matrices[chrom, resolution] = None if place is None else self._read_matrix(number, place, resolution)
        return self._matrices[chrom, resolution]

    def _read_matrix(self, number: int, place: int, resolution: int) -> _Matrix:
        fields = self._fields(place, _MOST_INDEX)
        one, two, count = fields.take("3i")
        if one != number or two != number or not 0 <= count <= _MOST_RESOLUTIONS:
            raise fields.damage(f"a matrix of the chromosomes {one} and {two} at {count:,} resolutions")
        for _ in range(count):
            unit = fields.text(_NAME)
            *_, size, block_bins, columns = fields.take("i4f3i")
            blocks = fields.count(_BLOCK.itemsize)
            if unit != _UNIT or size != resolution:
                fields.skip(blocks * _BLOCK.itemsize)
                continue
            if block_bins < 1 or columns < 1:
                raise fields.damage(f"blocks of {block_bins:,} bins in {columns:,} columns")
            return _Matrix(block_bins, columns, np.frombuffer(fields.raw(blocks * _BLOCK.itemsize), _BLOCK))
        raise fields.damage(f"no blocks of {resolution:,} bp for chromosome {number}")

    def _blocks(self, matrix: _Matrix, anchor: int, first: int, last: int) -> list[bytes]:
        """Return the packed blocks that hold the pixels of a row."""
        numbers = block_numbers(self.header.version, matrix.block_bins, matrix.columns, anchor, first, last)
        wanted = matrix.blocks[np.isin(matrix.blocks["number"], numbers) & (matrix.blocks["size"] != 0)]
        places = sorted((int(place), int(size)) for _, place, size in wanted)
        for place, size in places:
            if size < 1 or not 0 <= place <= self.file.size - size or size > MOST_UNPACKED:
                raise self._damage(f"a block of {size:,} bytes at byte {place:,} of {self.file.size:,}")
        if len(places) > len(numbers) or sum(size for _, size in places) > _MOST_BLOCKS:
            raise self._damage(f"{len(places):,} blocks where a row has {len(numbers):,}")
        return self.file.read_many(places) if places else []

    def _weights(self, chrom: str, resolution: int, normalisation: str, first: int, last: int) -> np.ndarray | None:
        """Return the divisors of the bins first to last - 1, float64; None where the chromosome has none."""
        place = self._vectors.get((normalisation, self.header.numbers[chrom], resolution))
        if place is None:
            return None
        bins = -(-self.header.sizes[chrom] // resolution)
        head, value = (
            (np.dtype("<i8"), np.dtype("<f4")) if self.header.version > 8 else (np.dtype("<i4"), np.dtype("<f8"))
        )
        end = place + head.itemsize + bins * value.itemsize
        if place < 0 or end > self.file.size:
            raise self._damage(f"a vector of {bins:,} values at byte {place:,} of {self.file.size:,}")
        start, length = place + head.itemsize + first * value.itemsize, (last - first) * value.itemsize
        count, values = self.file.read_many([(place, head.itemsize), (start, length)])
        held = int(np.frombuffer(count, head)[0])
        if held < bins:
            raise self._damage(f"a vector '{normalisation}' of {held:,} values for {bins:,} bins of {chrom}")
        return np.frombuffer(values, value).astype(float)

    @cached_property
    def _footer(self) -> _Footer:
        fields = self._fields(self.header.footer, _MOST_FOOTER)
        fields.skip(8 if self.header.version > 8 else 4)  # length of the footer's first part
        own = {f"{number}_{number}" for number in self.header.numbers.values()}
        matrices = {}
        for _ in range(fields.count(13)):
            name = fields.text(_NAME)
            place = fields.take("qi")[0]
            if name in own:
                if not 0 <= place < self.file.size:
                    raise fields.damage(f"a matrix at byte {place:,} of {self.file.size:,}")
                matrices[name] = place
        return _Footer(matrices, fields.place)

    @cached_property
    def _vectors(self) -> dict[tuple[str, int, int], int]:
        """Offset of each normalisation vector, by name, number of the chromosome and bp per bin."""
        version = self.header.version
        fields = self._fields(self.header.vectors if version > 8 else self._footer.end, _MOST_FOOTER)
        if version > 8 and not self.header.vectors:
            return {}
        if version < 9:
            for names in (1, 2):  # expected values, then those of each normalisation
                if not fields.left:
                    return {}
                _skip_expected(fields, names)
            if not fields.left:
                return {}
        found: dict[tuple[str, int, int], int] = {}
        for _ in range(fields.count(22)):
            name = fields.text(_NAME)
            number = fields.number()
            unit = fields.text(_NAME)
            size, place, _ = fields.take("iqq" if version > 8 else "iqi")
            if unit == _UNIT:
                found.setdefault((name, number, size), place)
        return found

    def _fields(self, start: int, most: int) -> Fields:
        return Fields(self.file, start, most, WHOLE)

    def _damage(self, found: str) -> InputError:
        return self._fields(0, 0).damage(found)


def _skip_expected(fields: Fields, names: int) -> None:
    """Leave out a list of expected values of version 8; each has so many names: a normalisation, and the unit."""
    for _ in range(fields.count(12)):
        for _ in range(names):
            fields.text(_NAME)
        fields.number()  # bp per bin
        fields.skip(8 * fields.count(8))
        fields.skip(12 * fields.count(12))  # a factor of each chromosome
