"""Bytes of a file, whole or by range, the same under every WSGI server.

Flask's send_file passes the range to the server's file wrapper, which under gunicorn reads and discards all bytes
before it; here a range is one pread, so its cost does not grow with the offset. A long answer is an iterator, which
holds a thread until the client has taken the last piece, except where the server takes the file over (HAND_OVER).
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flask import Request, Response

from model_core.remote.address import InputPath, RemotePath

BLOCK = 1 << 20  # whole files and long ranges are sent in pieces of this size
SINGLE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*\Z", re.ASCII)
HAND_OVER = "seq2exp.hand_over"  # in the environment: makes of a file an answer that the server sends without a thread
FOREVER = "private, max-age=31536000, immutable"


class RangeError(ValueError):
    """A range that begins behind the end of the file, or a request for several ranges."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the half-open byte interval that a Range header requests of a file; None means the complete file.

    The interval is clipped at the end of the file. A header in another unit, or malformed, is ignored, as HTTP
    requires.

    Parameters
    ----------
    header : str or None
        Value of the Range header.
    size : int
        Size of the file in bytes.

    Raises
    ------
    RangeError
        A start behind the end, an empty suffix or several ranges.
    """
    if not header or not header.strip().lower().startswith("bytes"):
        return None
    if "," in header:
        raise RangeError("several ranges in one request are not served")
    match = SINGLE_RANGE.match(header)
    if match is None or not (match[1] or match[2]):
        return None
    if match[1] == "":  # the last n bytes
        start, stop = max(0, size - int(match[2])), size
        if int(match[2]) == 0:
            raise RangeError("the last 0 bytes")
    else:
        start = int(match[1])
        stop = size if match[2] == "" else min(int(match[2]) + 1, size)
        if match[2] and int(match[2]) < start:
            return None
    if start >= size:
        raise RangeError(f"byte {start} of a file of {size} bytes")
    return start, stop


def version_of(path: Path) -> str:
    """Return a short text that changes when the file does: modification time and size, in hexadecimal."""
    found = os.stat(path)
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


class Answer(NamedTuple):
    """Status, headers and body of an answer, in the types of WSGI."""

    status: int
    headers: list[tuple[str, str]]
    body: Iterable[bytes]


class Wanted:
    """What a WSGI request wants of a file: status 200, 206 or 304, headers, and the bytes `start` to `stop`.

    Parameters
    ----------
    environ : Mapping[str, Any]
        The request.
    size : int
        Bytes of the file.
    version : str
        A text that changes when the file does.
    keep : str
        Value of Cache-Control.
    mimetype : str
        Type of the file.

    Raises
    ------
    RangeError
        As `byte_range`.
    """

    def __init__(self, environ: Mapping[str, Any], size: int, version: str, keep: str, mimetype: str):
        tag = f'"{version}"'
        self.headers = [("Accept-Ranges", "bytes"), ("ETag", tag), ("Cache-Control", keep), ("Content-Type", mimetype)]
        wanted = None
        if environ.get("HTTP_IF_RANGE", tag) == tag:
            wanted = byte_range(environ.get("HTTP_RANGE"), size)
        self.status = 200 if wanted is None else 206
        self.start, self.stop = wanted or (0, size)
        if wanted is None and environ.get("HTTP_IF_NONE_MATCH") == tag:
            self.status, self.headers = 304, self.headers[:3]
            self.has_no_body = True
            return
        if wanted:
            self.headers.append(("Content-Range", f"bytes {self.start}-{self.stop - 1}/{size}"))
        self.headers.append(("Content-Length", str(self.stop - self.start)))
        self.has_no_body = environ.get("REQUEST_METHOD") == "HEAD"


def refused(status: int, words: str, more: Sequence[tuple[str, str]] = ()) -> Answer:
    """Return an answer that says why there are no bytes."""
    text = f"{words}\n".encode()
    headers = [*more, ("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
    return Answer(status, [*headers, ("Content-Length", str(len(text)))], (text,))


def no_such_range(problem: RangeError, size: int) -> Answer:
    """Return the answer to a range that a file does not have (status 416)."""
    text = f"No such range: {problem}\n".encode()
    headers = [("Content-Range", f"bytes */{size}"), ("Accept-Ranges", "bytes"), ("Content-Type", "text/plain")]
    return Answer(416, [*headers, ("Content-Length", str(len(text)))], (text,))


def answer(path: InputPath, environ: Mapping[str, Any], mimetype: str = "application/octet-stream") -> Answer:
    """Return a file, or the range of it that a WSGI request asks for (status 200, 206, 304 or 416).

    The path must come from a run or an allowed folder, never from the request. A URL that carries the file's version
    (`?v=`) may be cached by the browser; any other must be revalidated. For a remote file see
    `remote_ranges.remote_answer`.
    """
    if isinstance(path, RemotePath):
        from seq2exp_viz.serving.remote_ranges import remote_answer  # which needs this module

        return remote_answer(path, environ, mimetype)
    handle = os.open(path, os.O_RDONLY)
    try:
        found = os.fstat(handle)
        size, version = found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}"
        keep = FOREVER if f"v={version}" in environ.get("QUERY_STRING", "").split("&") else "no-cache"
        wanted = Wanted(environ, size, version, keep, mimetype)
        if wanted.has_no_body:
            return Answer(wanted.status, wanted.headers, ())
        start, stop = wanted.start, wanted.stop
        if stop - start <= BLOCK:
            return Answer(wanted.status, wanted.headers, (_read(handle, start, stop),))
        part, handle = _Part(handle, start, stop), -1  # which owns the handle now
        body = environ[HAND_OVER](part) if HAND_OVER in environ else _Pieces(part)
        return Answer(wanted.status, wanted.headers, body)
    except RangeError as problem:
        return no_such_range(problem, size)
    finally:
        if handle >= 0:
            os.close(handle)


def send_bytes(path: InputPath, request: Request, mimetype: str = "application/octet-stream") -> Response:
    """Return `answer` as a Flask response."""
    status, headers, body = answer(path, request.environ, mimetype)
    return Response(body, status, headers, direct_passthrough=True)


def _read(handle: int, start: int, stop: int) -> bytes:
    piece = os.pread(handle, stop - start, start)
    while len(piece) < stop - start:  # a short read, or a file cut while it is being served
        more = os.pread(handle, stop - start - len(piece), start + len(piece))
        if not more:
            raise OSError("the file became shorter while it was being sent")
        piece += more
    return piece


class _Part(io.RawIOBase):
    """The bytes `start` to `stop` of an open file, as a file of its own; a file that became shorter is an OSError."""

    def __init__(self, handle: int, start: int, stop: int):
        self.handle, self.start, self.size, self.at = handle, start, stop - start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence]
        return self.at

    def read(self, size: int = -1) -> bytes:
        stop = self.size if size < 0 else min(self.at + size, self.size)
        piece = _read(self.handle, self.start + self.at, self.start + stop) if stop > self.at else b""
        self.at += len(piece)
        return piece

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
        super().close()


class _Pieces:
    """Iterator over the blocks of a part; WSGI calls `close` also when the client disconnects before the end."""

    def __init__(self, part: _Part):
        self.part, self.close = part, part.close

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> bytes:
        piece = self.part.read(BLOCK)
        if not piece:
            raise StopIteration
        return piece
