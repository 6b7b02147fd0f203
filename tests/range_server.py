"""A server on 127.0.0.1 that sends ranges of files, counts them, and fails in the ways that servers do.

    with serve_ranges({"/a.bin": content}) as server:
        server.faults["/a.bin"] = ["503", "cut"]      # of the next requests; then it is well again
        server.url("/a.bin")

Faults: a status ("403", "429", "500"), "cut" (half the body, then the connection ends) and "cut N" (N bytes of it),
"html" (a sign-in page with status 200), "whole" (no ranges), "other" (another range than the one asked for), "to URL"
(a redirect), "slow" (no answer within `patience` seconds), "drip" (a byte of the body each second), "changed" (another
ETag and another length at each request), and bytes, which are sent in place of an answer. Those of "HEAD /a.bin" are of
HEAD requests.

Servers with further rules are classes above RangeServer: `found` says what there is, `refused` to whom it is not given.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, TypeVar

from model_core.errors import InputError

_PAGE = b"<html><title>Sign in to this network</title></html>"


class Asked(NamedTuple):
    """A request: its method, its path with the query, and its headers."""

    method: str
    target: str
    headers: Mapping[str, str]


class RangeServer:
    """What the server has, how it behaves, and what it was asked.

    content: bytes, or a file that has them, by path; faults: path -> faults of its next requests, or one for all of
    them; tags: whether ETags are sent; ranges: whether ranges are; delay: seconds before each answer; rate: bytes per
    second of all answers together; patience: seconds of a slow answer; asked: (path, range) of each request; log: each
    request; sent: bytes by path; connections: how many were made.
    """

    def __init__(self, content: Mapping[str, bytes | Path] | None = None):
        self.content = dict(content or {})
        self.faults: dict[str, list[str | bytes] | str | bytes] = {}
        self.tags, self.ranges, self.delay, self.rate, self.patience = True, True, 0.0, 0.0, 1.0
        self.asked: list[tuple[str, str | None]] = []
        self.log: list[Asked] = []
        self.sent: dict[str, int] = {}
        self.port, self.connections, self.link = 0, 0, threading.Lock()

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def found(self, target: str) -> tuple[bytes | Path | None, dict[str, str]]:
        """Return content and further headers of a path with its query; a Location is a redirect, None is a 404."""
        return self.content.get(target.partition("?")[0]), {}

    def refused(self, asked: Asked) -> int:
        """Return the status with which a request is refused; 0 where it is not."""
        return 0

    def fault(self, path: str) -> str | bytes:
        faults = self.faults.get(path, "")
        if isinstance(faults, str | bytes):
            return faults
        return faults.pop(0) if faults else ""

    def forget(self) -> None:
        """Count anew."""
        self.asked.clear()
        self.log.clear()
        self.sent.clear()


Server = TypeVar("Server", bound=RangeServer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.files.connections += 1

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        server, path, wanted = self.server.files, self.path.partition("?")[0], self.headers.get("Range")
        asked = Asked(self.command, self.path, dict(self.headers))
        server.asked.append((path, wanted))
        server.log.append(asked)
        time.sleep(server.delay)
        fault = server.fault(path if self.command == "GET" else f"HEAD {path}")
        if isinstance(fault, bytes):
            self.close_connection = True
            return self._write(fault)
        content, headers = server.found(self.path)
        if fault == "slow":
            time.sleep(server.patience)
        if fault.startswith("to "):
            return self._send(302, b"", {**headers, "Location": fault[3:]})
        if fault == "html":
            return self._send(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"})
        status = int(fault) if fault.isdecimal() else server.refused(asked) or (404 if content is None else 0)
        if status:
            return self._send(status, b"", {"Retry-After": "0", **headers} if fault == "429" else headers)
        if "Location" in headers:
            return self._send(302, b"", headers)
        if fault == "changed":
            content += b"x" * len(server.asked)
        return self._send_file(content, {**self._tag(content), **headers}, fault)

    def _tag(self, content):
        if not self.server.files.tags:
            return {}
        about = content.stat() if isinstance(content, Path) else content
        if isinstance(content, Path):
            about = f"{about.st_size} {about.st_mtime_ns} {about.st_ino}".encode()
        return {"ETag": f'"{hashlib.sha256(about).hexdigest()[:16]}"'}

    def _send_file(self, content, headers, fault):
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        current = self.headers.get("If-Range") in (None, headers.get("ETag"))
        if found is None or fault == "whole" or not (self.server.files.ranges and current):
            return self._send(200, content if isinstance(content, bytes) else content.read_bytes(), headers, fault)
        first, last = int(found[1]), min(int(found[2] or size), size - 1)
        if first > last:
            return self._send(416, b"", {"Content-Range": f"bytes */{size}"})
        first += fault == "other"
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return self._send(206, _part(content, first, last), headers, fault)

    def _send(self, status: int, content: bytes, headers: dict[str, str], fault: str = ""):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if fault.startswith("cut"):
            content, self.close_connection = content[: int(fault[4:] or len(content) // 2)], True
        if self.command == "GET":
            self._write(content, 1.0 if fault == "drip" else 0.0)

    def _write(self, content: bytes, seconds_of_byte: float = 0.0):
        server = self.server.files
        path = self.path.partition("?")[0]
        server.sent[path] = server.sent.get(path, 0) + len(content)
        step = max(int(server.rate / 20), 1) if server.rate else 1 << 20
        step = 1 if seconds_of_byte else step
        with suppress(ConnectionError):  # the client has had enough
            for start in range(0, len(content), step):
                part = content[start : start + step]
                if server.rate:
                    with server.link:  # one line for all
                        time.sleep(len(part) / server.rate)
                self.wfile.write(part)
                time.sleep(seconds_of_byte)


def _part(content: bytes | Path, first: int, last: int) -> bytes:
    if isinstance(content, bytes):
        return content[first : last + 1]
    with content.open("rb") as file:
        file.seek(first)
        return file.read(last + 1 - first)


def serve_ranges(content: Mapping[str, bytes | Path]) -> AbstractContextManager[RangeServer]:
    """Return a context manager: the server of some content while its block runs."""
    return serve_files(RangeServer(content))


@contextmanager
def serve_files(files: Server) -> Iterator[Server]:
    """Yield a server that runs while the block does."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.files = files
    files.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def suppress_named(path: object) -> Iterator[None]:
    """Let the block end with an InputError that names a file, and with no other."""
    try:
        yield
    except InputError as error:
        if str(path) not in str(error):
            raise
