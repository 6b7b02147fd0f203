"""Bytes of a file, whole or by range, the same under every WSGI server.

Flask's send_file hands the range to the server's file wrapper, which under gunicorn reads and throws away all bytes
before it; here a range is one pread, so its price does not grow with the offset.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from flask import Request, Response

BLOCK = 1 << 20  # whole files and long ranges are sent in pieces of this size
SINGLE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*\Z", re.ASCII)
FOREVER = "private, max-age=31536000, immutable"


class RangeError(ValueError):
    """The range begins behind the end of the file, or asks for several pieces."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The half-open byte interval that a Range header asks of a file of `size` bytes; None means the whole file.

    Clipped at the end of the file. A header in another unit or not understood is ignored, as HTTP wants it.
    Raises RangeError for a start behind the end, an empty suffix and several ranges.
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
    """A short text that changes when the file does: modification time and size, in hexadecimal."""
    found = os.stat(path)
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def send_bytes(path: Path, request: Request, mimetype: str = "application/octet-stream") -> Response:
    """Answer `request` with the file, or the range of it that is asked for (200, 206, 304 or 416).

    Only ever called with a path that a run names. A URL that carries the file's version (`?v=`) may be kept by the
    browser; any other must be asked for again.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        found = os.fstat(handle)
        size, version = found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}"
        tag = f'"{version}"'
        keep = FOREVER if request.args.get("v") == version else "no-cache"
        headers = {"Accept-Ranges": "bytes", "ETag": tag, "Cache-Control": keep}
        wanted = None
        if request.headers.get("If-Range", tag) == tag:
            wanted = byte_range(request.headers.get("Range"), size)
        if wanted is None and request.headers.get("If-None-Match") == tag:
            return Response(status=304, headers=headers)
        start, stop = wanted or (0, size)
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        headers["Content-Length"] = str(stop - start)
        if request.method == "HEAD":  # an iterator, because the length of bytes would replace the stated one
            return Response(iter(()), 206 if wanted else 200, headers, mimetype=mimetype)
        body = _body(handle, start, stop)
        if isinstance(body, bytes):
            return Response(body, 206 if wanted else 200, headers, mimetype=mimetype)
        handle, streamed = -1, Response(body, 206 if wanted else 200, headers, mimetype=mimetype)
        return streamed
    except RangeError as problem:
        headers = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        return Response(f"No such range: {problem}\n", 416, headers, mimetype="text/plain")
    finally:
        if handle >= 0:
            os.close(handle)


def _body(handle: int, start: int, stop: int) -> bytes | Iterator[bytes]:
    """The bytes themselves where they are few; else an iterator that owns and closes the handle."""
    return _read(handle, start, stop) if stop - start <= BLOCK else _Pieces(handle, start, stop)


def _read(handle: int, start: int, stop: int) -> bytes:
    piece = os.pread(handle, stop - start, start)
    while len(piece) < stop - start:  # a short read, or a file cut while it is being served
        more = os.pread(handle, stop - start - len(piece), start + len(piece))
        if not more:
            raise OSError("the file became shorter while it was being sent")
        piece += more
    return piece


class _Pieces:
    """Blocks of a file one after the other; WSGI calls `close` also when the client goes away half-way."""

    def __init__(self, handle: int, start: int, stop: int):
        self.handle, self.at, self.stop = handle, start, stop

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> bytes:
        if self.at >= self.stop:
            raise StopIteration
        piece = _read(self.handle, self.at, min(self.at + BLOCK, self.stop))
        self.at += len(piece)
        return piece

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
