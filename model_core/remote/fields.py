"""Fields of a binary file, read one after the other over ranges."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

from model_core.errors import InputError
from model_core.remote.ranges import Ranges

_FIRST, _LARGEST = 1 << 12, 1 << 20  # bytes of the first piece that is read, and of the largest


class Fields:
    """Fields from a place of a file on.

    The pieces that are read grow while the reading goes on, and are small again after a `skip`.

    Parameters
    ----------
    file : Ranges
        The file.
    start : int
        Offset of the first field.
    most : int
        Bytes that may be read in all; a file that claims more is damaged.
    expected : str
        What the file should be, for messages.
    order : "<" or ">"
        Byte order.
    """

    def __init__(self, file: Ranges, start: int, most: int, expected: str, order: str = "<"):
        self._file, self._most, self._expected, self._order = file, most, expected, order
        self._begin, self._piece, self._at = start, b"", 0  # the piece begins at byte `_begin`
        self._next = _FIRST

    @property
    def place(self) -> int:
        """Offset in the file of the next field."""
        return self._begin + self._at

    @property
    def left(self) -> int:
        """Bytes from the next field to the end of the file."""
        return self._file.size - self.place

    def take(self, layout: str) -> tuple[Any, ...]:
        """Return the next fields, whose layout is that of `struct`, without byte order.

        Raises
        ------
        InputError
            The file ends before, or more than `most` bytes were read.
        """
        fields = _layout(self._order + layout)
        self._have(fields.size)
        values = fields.unpack_from(self._piece, self._at)
        self._at += fields.size
        return values

    def number(self, layout: str = "i") -> int:
        """Return the next field, a whole number."""
        return self.take(layout)[0]

    def count(self, width: int, layout: str = "i") -> int:
        """Return the next field, a number of items of at least `width` bytes each that follow.

        Raises
        ------
        InputError
            Below 0, or more than the rest of the file can hold.
        """
        found = self.number(layout)
        if not 0 <= found * width <= self.left:
            raise self.damage(f"a list of {found:,} items in the last {self.left:,} bytes")
        return found

    def text(self, longest: int) -> str:
        """Return the next field, a text that ends with a zero byte.

        Raises
        ------
        InputError
            No zero byte within `longest` bytes, or no UTF-8.
        """
        while (end := self._piece.find(b"\0", self._at)) < 0 and len(self._piece) - self._at < min(longest, self.left):
            self._have(len(self._piece) - self._at + 1)
        if not 0 <= end - self._at <= longest:
            raise self.damage(f"a text without an end at byte {self.place:,}")
        found, self._at = self._piece[self._at : end], end + 1
        try:
            return found.decode()
        except UnicodeDecodeError:
            raise self.damage(f"a text that is not UTF-8 ({found[:40]!r})") from None

    def skip(self, count: int) -> None:
        """Leave out the next bytes.

        Raises
        ------
        InputError
            The file ends before.
        """
        if not 0 <= count <= self.left:
            raise self.damage(f"{count:,} bytes where {self.left:,} are left")
        self._at += count
        if self._at > len(self._piece):
            self._begin, self._piece, self._at, self._next = self.place, b"", 0, _FIRST

    def raw(self, count: int) -> bytes:
        """Return the next bytes as they are."""
        self._have(count)
        self._at += count
        return self._piece[self._at - count : self._at]

    def damage(self, found: str) -> InputError:
        """Return the error of a file that contradicts itself."""
        return InputError(
            self._file.name, found=f"a damaged file: {found}", expected=self._expected, fix="use another copy of it"
        )

    def _have(self, count: int) -> None:
        """Read on until `count` bytes of the piece are left."""
        missing = count - (len(self._piece) - self._at)
        if missing <= 0:
            return
        if count > self.left:
            raise self.damage(f"an end after {self._file.size:,} bytes")
        if missing > self._most:
            raise self.damage(f"more to read than its kind holds, at byte {self.place:,}")
        end = self._begin + len(self._piece)
        length = min(max(missing, self._next), self._file.size - end, self._most)
        more = self._file.read_at(end, length)
        self._begin, self._piece, self._at = self.place, self._piece[self._at :] + more, 0
        self._most -= length
        self._next = min(2 * self._next, _LARGEST)


@lru_cache(maxsize=64)
def _layout(layout: str) -> struct.Struct:
    return struct.Struct(layout)
