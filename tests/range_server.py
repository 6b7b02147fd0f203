"""A server on 127.0.0.1 that sends ranges of files, counts them, and fails in the ways that servers do.

    with serve_ranges({"/a.bin": content}) as server:
        server.faults["/a.bin"] = ["503", "cut"]      # of the next requests; then it is well again
        server.url("/a.bin")

Faults: a status ("403", "429", "500"), "cut" (half the body, then the connection ends), "html" (a sign-in page with
status 200), "whole" (no ranges), "other" (another range than the one asked for), "to URL" (a redirect), "slow" (no
answer within `patience` seconds), "changed" (another ETag and another length at each request).
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

from model_core.errors import InputError

_PAGE = b"<html><title>Sign in to this network</title></html>"


class RangeServer:
    """What the server has, how it behaves, and what it was asked.

    content: bytes by path; faults: path -> faults of its next requests, or one text for all of them; tags: whether
    ETags are sent; delay: seconds before each answer; rate: bytes per second of all answers together; patience:
    seconds of a slow answer; asked: (path, range) of each request; sent: bytes by path.
    """

    def __init__(self, content: dict[str, bytes]):
        self.content = dict(content)
        self.faults: dict[str, list[str] | str] = {}
        self.tags, self.delay, self.rate, self.patience = True, 0.0, 0.0, 1.0
        self.asked: list[tuple[str, str | None]] = []
        self.sent: dict[str, int] = {}
        self.port, self.link = 0, threading.Lock()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def found(self, target: str) -> tuple[bytes | None, dict[str, str]]:
        """Return content and further headers of a path with its query; a Location is a redirect, None is a 404."""
        return self.content.get(target.partition("?")[0]), {}

    def tag(self, content: bytes) -> str:
        """Return the ETag of a content; of a mapped file it is that of its beginning and length."""
        known = content if isinstance(content, bytes) else content[:65_536] + str(len(content)).encode()
        return f'"{hashlib.sha256(known).hexdigest()[:16]}"'

    def fault(self, path: str) -> str:
        faults = self.faults.get(path, "")
        if isinstance(faults, str):
            return faults
        return faults.pop(0) if faults else ""


Server = TypeVar("Server", bound=RangeServer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer()

    def _answer(self, body: bool = True):
        server, path, wanted = self.server.files, self.path.partition("?")[0], self.headers.get("Range")
        server.asked.append((path, wanted))
        time.sleep(server.delay)
        fault, (content, headers) = server.fault(path), server.found(self.path)
        if fault == "slow":
            time.sleep(server.patience)
        if fault == "changed" and content is not None:
            content += b"x" * len(server.asked)
        if fault.startswith("to "):
            return self._send(302, b"", {**headers, "Location": fault[3:]})
        if fault == "html":
            return self._send(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"}, body)
        if fault.isdecimal() or content is None:
            return self._send(int(fault or 404), b"", {"Retry-After": "0"} if fault == "429" else {})
        if "Location" in headers:
            return self._send(302, b"", headers)
        tag = {"ETag": server.tag(content)} if server.tags else {}
        headers = {**tag, **headers}
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
        if found is None or fault == "whole":
            return self._send(200, content, headers, body, cut=fault == "cut")
        first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
        if first > last:
            return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        first += fault == "other"
        part = content[first : last + 1]
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return self._send(206, part, headers, body, cut=fault == "cut")

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool = True, cut: bool = False):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if cut:
            content, self.close_connection = content[: len(content) // 2], True
        if body:
            with suppress(ConnectionError):  # the client has had enough
                self._write(content)

    def _write(self, content: bytes):
        server = self.server.files
        path = self.path.partition("?")[0]
        server.sent[path] = server.sent.get(path, 0) + len(content)
        step = max(int(server.rate / 20), 1) if server.rate else 1 << 20
        for start in range(0, len(content), step):
            part = content[start : start + step]
            if server.rate:
                with server.link:  # one line for all
                    time.sleep(len(part) / server.rate)
            self.wfile.write(part)


def serve_ranges(content: dict[str, bytes]) -> AbstractContextManager[RangeServer]:
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
