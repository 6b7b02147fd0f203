"""The genome's bases, read in pieces from an indexed FASTA, plain or bgzipped, or from a .2bit file.

Plain files are read by pyfaidx, bgzipped ones by pysam, which takes two thirds of the time of pyfaidx with biopython
except in runs of N (benchmarks/genome.py). Neither writes an index: both get the one that `fasta_index` made or
checked.
"""

import locale
import os
import tempfile
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pysam

from model_core.errors import InputError
from model_core.intervals import match_chromosomes
from model_core.remote.address import InputPath, RemotePath, input_path
from model_core.signals.file_handles import LazyHandle, quiet_htslib
from model_core.study.fasta_index import FastaIndex, fasta_index
from model_core.study.fasta_ranges import open_fasta_ranges
from model_core.study.two_bit import TwoBit, is_two_bit

_PIECE = 8_000_000  # bases read at once where a whole chromosome is read
_CODES = np.zeros((256, 4), np.uint8)
for _column, _letters in enumerate(("Aa", "Cc", "Gg", "Tt")):
    _CODES[list(_letters.encode()), _column] = 1


class Genome:
    """Indexed FASTA file. It can be pickled; each process and thread opens the file on first use.

    Parameters
    ----------
    path : str, Path or RemotePath
        FASTA, plain or bgzipped, or .2bit; a path or an address. The index (.fai, .gzi) of a FASTA on the disk is
        written next to it where it is missing or belongs to another file (`fasta_index`); at an address it must be
        there.
    """

    def __init__(self, path: str | Path | RemotePath):
        self.path = input_path(path)
        self._fasta = LazyHandle(partial(_open_fasta, self.path))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome, in the index's order.

        Raises
        ------
        InputError
            As `fasta_index`.
        """
        return self._fasta.get().sizes

    def sequence(self, chrom: str, start: int, end: int) -> str:
        """Read the end - start upper-case bases of chrom:start-end, 0-based half-open; "N" beyond the ends.

        Raises
        ------
        InputError
            As `sizes`, no such chromosome, start after end, or damage inside the file.
        """
        match_chromosomes(self.sizes, chrom, self.path)
        if start > end:
            found = f"the region {chrom}:{start}-{end}"
            raise InputError(self.path, found=found, expected="start <= end", fix="swap start and end")
        first, last = (min(max(edge, 0), self.sizes[chrom]) for edge in (start, end))
        bases = self._fetch(chrom, first, last).upper() if first < last else ""
        left = min(max(-start, 0), end - start)
        return "N" * left + bases + "N" * (end - start - left - len(bases))

    def known_bases(self, chrom: str) -> int:
        """Count the bases A, C, G and T of a chromosome; all of it is read, except of a .2bit, which lists its N.

        Raises
        ------
        InputError
            As `sequence`.
        """
        match_chromosomes(self.sizes, chrom, self.path)
        if (unknown := self._fasta.get().unknown) is not None:
            return self.sizes[chrom] - unknown(chrom)
        count, size = 0, self.sizes[chrom]
        for first in range(0, size, _PIECE):
            bases = self._fetch(chrom, first, min(first + _PIECE, size)).upper()
            count += sum(bases.count(letter) for letter in "ACGT")
        return count

    def _fetch(self, chrom: str, first: int, last: int) -> str:
        fasta = self._fasta.get()
        try:
            bases = fasta.fetch(chrom, first, last)
        except InputError:  # which is a ValueError
            raise
        except (OSError, ValueError, LookupError):
            bases = ""
        # A file that is truncated while it is open gives fewer bases; one that is rewritten may give header lines.
        if len(bases) != last - first or ">" in bases:
            found = f"{len(bases)} bases at {chrom}:{first}-{last}"
            advice = "the file is damaged or was changed while it was read: copy it again, or restart"
            raise InputError(self.path, found=found, expected=f"{last - first} bases", fix=advice)
        return bases


class _OpenFasta(NamedTuple):
    sizes: dict[str, int]  # bp
    fetch: Callable[[str, int, int], str]  # (chrom, first, last) -> bases, 0-based half-open, inside the chromosome
    unknown: Callable[[str], int] | None = None  # chrom -> number of N, where the file lists them


def one_hot(sequence: str) -> np.ndarray:
    """Return one-hot rows in the order A, C, G, T, uint8 (L, 4).

    Either case; N and any other letter give rows of zeros.
    """
    letters = np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)
    # A row of four bytes is looked up as one 32-bit word: six times faster than by rows.
    return _CODES.view(np.uint32)[:, 0][letters].view(np.uint8).reshape(-1, 4)


def _open_fasta(path: InputPath) -> _OpenFasta:
    if is_two_bit(path):
        two_bit = TwoBit(path)
        return _OpenFasta(two_bit.sizes, two_bit.fetch, two_bit.unknown)
    if isinstance(path, RemotePath):
        return _OpenFasta(*open_fasta_ranges(path))
    index = fasta_index(path)
    try:
        fetch = _bgzipped(path) if index.compressed else _plain(path, index)
    except (OSError, ValueError) as error:
        raise InputError(
            path, found=f"no readable file ({error})", expected="a FASTA with its index", fix="copy it again"
        ) from None
    return _OpenFasta({name: record.length for name, record in index.records.items()}, fetch)


def _bgzipped(path: Path) -> Callable[[str, int, int], str]:
    with quiet_htslib():
        return pysam.FastaFile(str(path)).fetch


def _plain(path: Path, index: FastaIndex) -> Callable[[str, int, int], str]:
    import pyfaidx  # takes 0.15 s and is needed only where bases are read

    # pyfaidx goes by the file extension, and silently rebuilds an index that is older than the file: it gets a link
    # and a copy of the checked index with the file's time. It needs neither once it is open.
    with tempfile.TemporaryDirectory() as folder:
        link, copy = Path(folder, "genome.fa"), Path(folder, "genome.fa.fai")
        link.symlink_to(path.absolute())
        copy.write_text(index.text, encoding=locale.getencoding())  # as pyfaidx reads it
        changed = path.stat().st_mtime_ns
        os.utime(copy, ns=(changed, changed))
        settings = {"as_raw": True, "strict_bounds": True, "rebuild": False, "build_index": False}
        faidx: Any = pyfaidx.Faidx(str(link), **settings)
    return lambda chrom, first, last: faidx.fetch(chrom, first + 1, last)
