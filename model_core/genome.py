"""The genome's bases: an indexed FASTA, plain or bgzipped, read piece by piece."""

from functools import cached_property
from pathlib import Path

import numpy as np


class Genome:
    """An indexed FASTA file. It can be pickled; the file is opened on first use in each process.

    Args:
        path: FASTA, plain or bgzipped; its index (.fai, .gzi) is written beside it where missing.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome, in the file's order."""
        raise NotImplementedError

    def sequence(self, chrom: str, start: int, end: int) -> str:
        """The end - start upper-case bases of chrom:start-end, 0-based half-open; "N" beyond the ends."""
        raise NotImplementedError


def one_hot(sequence: str) -> np.ndarray:
    """uint8 (L, 4): one-hot rows in the order A, C, G, T, either case; N and any other letter all zero."""
    raise NotImplementedError
