"""Reading of a file by ranges of bytes, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from model_core.errors import InputError
from model_core.input_file import open_input


class Ranges(Protocol):
    """A file that is read by ranges; safe for threads and for forked processes.

    Attributes
    ----------
    name : str
        Its path or address, for messages.
    size : int
        Bytes of the whole file.
    """

    name: str
    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the `length` bytes from `offset`.

        Raises
        ------
        InputError
            The range is not inside the file, or cannot be read.
        """
        ...

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of several ranges (offset, length), in as few requests as is sensible."""
        ...


class LocalRanges:
    """A file on this disk, as `Ranges`; it is opened for each read.

    Parameters
    ----------
    path : str or Path
        A regular file.
    """

    def __init__(self, path: str | Path):
        self.path, self.name = Path(path), str(path)
        with open_input(self.path) as file:
            self.size = os.fstat(file.fileno()).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the `length` bytes from `offset`; see `Ranges`."""
        require_inside(self, offset, length)
        with open_input(self.path) as file:
            return os.pread(file.fileno(), length, offset)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of several ranges; see `Ranges`."""
        return [self.read_at(*piece) for piece in ranges]


def require_inside(file: Ranges, offset: int, length: int) -> None:
    """Raise InputError unless a range lies inside the file."""
    if offset < 0 or length < 0 or offset + length > file.size:
        found = f"bytes {offset:,} to {offset + length:,} of a file of {file.size:,}"
        raise InputError(file.name, found=found, expected="a complete file", fix="copy or make it again")
