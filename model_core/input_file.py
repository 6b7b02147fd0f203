"""Opening of files that are read: regular files only, and never more of them than their readers can hold.

A pipe or a device in place of a file is refused: reading it could wait for ever, and inputs are read more than once
(for their format, for their checks, for their content), which a pipe does not allow.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
from pathlib import Path
from typing import IO, BinaryIO, cast

from model_core.errors import InputError

GZIP = b"\x1f\x8b"
LONGEST_LINE = 1 << 26  # bytes
MOST_UNPACKED = 1 << 26  # bytes that any gzip file may unpack to; a larger one up to MOST_RATIO times its size
MOST_RATIO = 200  # tables and annotations are packed 3 to 40 times; deflate reaches 1,032
_BUFFER = 1 << 16
_KINDS = (
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_input(path: str | Path, expected: str = "a readable file", fix: str = "check the path") -> BinaryIO:
    """Open a regular file for reading bytes.

    Parameters
    ----------
    path : str or Path
        The file, or a link to it.
    expected, fix : str
        For the message.

    Raises
    ------
    InputError
        Missing, no regular file, not readable, or a path that no file can have.
    """
    try:
        if kind := _other_kind(os.stat(path).st_mode):
            do = fix if kind == "is a directory" else "save its content to a file and give that"
            raise InputError(path, found=kind, expected=f"{expected}, in a regular file", fix=do)
        return Path(path).open("rb")
    except InputError:  # which is a ValueError
        raise
    except FileNotFoundError:
        raise InputError(path, found="no such file", expected=expected, fix=fix) from None
    except OSError as error:
        found = (error.strerror or str(error)).lower()
        raise InputError(path, found=found, expected=expected, fix=fix) from None
    except ValueError:  # the system's calls take no NUL byte
        raise InputError(repr(str(path)), found="a NUL byte in the path", expected=expected, fix=fix) from None


def is_regular(path: str | Path) -> bool:
    """Return whether a path is a regular file, or a link to one."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def read_input(path: str | Path, most: int, expected: str = "a readable file", fix: str = "check the path") -> bytes:
    """Read a whole regular file.

    Parameters
    ----------
    path, expected, fix
        As `open_input`.
    most : int
        Bytes that the file may hold.

    Raises
    ------
    InputError
        As `open_input`; or the file is longer, or cannot be read to its end.
    """
    with open_input(path, expected, fix) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            found = (error.strerror or str(error)).lower()
            raise InputError(path, found=found, expected=expected, fix="check the disk, or copy it again") from None
    if len(content) > most:
        raise InputError(path, found=f"more than {most:,} bytes", expected=expected, fix=fix)
    return content


def open_text(path: str | Path) -> io.TextIOWrapper:
    """Open a UTF-8 text file, plain or gzipped by its first bytes, with or without a byte-order mark.

    Reading raises InputError where a line is longer than LONGEST_LINE, or a gzip file unpacks to more than
    MOST_UNPACKED bytes and to more than MOST_RATIO times its size; UnicodeDecodeError at bytes that are not text, a NUL
    byte among them; and what gzip raises.

    Raises
    ------
    InputError
        As `open_input`.
    """
    expected = "a text file"
    with open_input(path, expected) as raw:
        packed = raw.read(2) == GZIP
        most = max(MOST_UNPACKED, MOST_RATIO * os.fstat(raw.fileno()).st_size) if packed else None
    file = cast(IO[bytes], gzip.GzipFile(path)) if packed else open_input(path, expected)  # closed by the reader
    return io.TextIOWrapper(io.BufferedReader(_Bounded(path, file, most), _BUFFER), encoding="utf-8-sig")


class _Bounded(io.RawIOBase):
    """Bytes of a text file as they are read, checked block by block, so that no line costs time of its own.

    Parameters
    ----------
    path : str or Path
        The file, for messages.
    file : file object
        Its unpacked bytes.
    most : int or None
        Bytes that it may hold.
    """

    def __init__(self, path: str | Path, file: IO[bytes], most: int | None):
        self._path, self._file, self._most = path, file, most
        self._read = self._line = self._lines = 0  # bytes so far, in all and of the present line; lines that ended

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: object) -> int:
        block = self._file.read(len(cast(memoryview, buffer)))
        cast(memoryview, buffer)[: len(block)] = block
        self._read += len(block)
        if self._most is not None and self._read > self._most:
            found, expected = f"a gzip file that unpacks to more than {self._most:,} bytes", "a packed text file"
            do = f"unpack it and give the plain file, if {MOST_RATIO} times its size is what it should hold"
            raise InputError(self._path, found=found, expected=expected, fix=do)
        if (zero := block.find(b"\0")) >= 0:
            raise UnicodeDecodeError("utf-8", block, zero, zero + 1, "a NUL byte")
        self._lines += block.count(b"\n")
        end = block.rfind(b"\n")
        self._line = self._line + len(block) if end < 0 else len(block) - end - 1
        if self._line > LONGEST_LINE:
            where, found = f"{self._path} line {self._lines + 1}", f"more than {LONGEST_LINE:,} bytes"
            raise InputError(where, found=found, expected="a line of text", fix="check the format")
        return len(block)


def _other_kind(mode: int) -> str | None:
    """Return what a file is that is no regular one; None for a regular one."""
    if stat.S_ISREG(mode):
        return None
    return next((words for test, words in _KINDS if test(mode)), "no regular file")
