"""Reading of a file by ranges of bytes, wherever it lies."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

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


class PartRanges:
    """A part of a file, as `Ranges`.

    Parameters
    ----------
    whole : Ranges
        The file.
    name : str
        Of the part, for messages.
    start, size : int
        Offset of its first byte in the file, and its bytes.
    """

    def __init__(self, whole: Ranges, name: str, start: int, size: int):
        require_inside(whole, start, size)
        self.whole, self.name, self.start, self.size = whole, name, start, size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the `length` bytes from `offset`; see `Ranges`."""
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of several ranges; see `Ranges`."""
        for piece in ranges:
            require_inside(self, *piece)
        return self.whole.read_many([(self.start + offset, length) for offset, length in ranges])


class RangesFile(io.RawIOBase):
    """A seekable file object over ranges.

    Parameters
    ----------
    file : Ranges
        What is read.
    """

    def __init__(self, file: Ranges):
        self.file, self._place = file, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place, as `io.IOBase.seek`."""
        place = offset + (0, self._place, self.file.size)[whence]
        if place < 0:
            raise OSError(f"a place before the beginning ({place})")
        self._place = place
        return place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, or what of it the file reaches."""
        length = max(min(len(buffer), self.file.size - self._place), 0)
        buffer[:length] = self.file.read_at(self._place, length) if length else b""
        self._place += length
        return length


def require_inside(file: Ranges, offset: int, length: int) -> None:
    """Raise InputError unless a range lies inside the file."""
    if offset < 0 or length < 0 or offset + length > file.size:
        found = f"bytes {offset:,} to {offset + length:,} of a file of {file.size:,}"
        raise InputError(file.name, found=found, expected="a complete file", fix="copy or make it again")
