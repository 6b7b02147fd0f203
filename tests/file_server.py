"""A small HTTP server on 127.0.0.1 that can break off, ask for a login, and go on in the middle of a file."""

import base64
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Files:
    """What the server has, how it behaves, and what it was asked.

    content: bytes by path; etag: sent with each file; breaks: path -> lengths after which its next answers break off;
    ranges: whether it goes on in the middle; user: "KEY:SECRET" asked for paths that contain "private".
    """

    def __init__(self):
        self.content: dict[str, bytes] = {}
        self.etag: str | None = '"v1"'
        self.breaks: dict[str, list[int]] = {}
        self.ranges = True
        self.user: str | None = None
        self.asked: list[tuple[str, str, str | None]] = []
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        files, asked = self.server.files, self.headers.get("Range")
        files.asked.append((self.command, self.path, asked))
        content = files.content.get(self.path)
        if content is None:
            return self.send_error(404)
        wanted = None if files.user is None else f"Basic {base64.b64encode(files.user.encode()).decode()}"
        if "private" in self.path and self.headers.get("Authorization") != wanted:
            return self.send_error(403)
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and files.ranges else 0
        if self.headers.get("If-Range") not in (None, files.etag):
            start = 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        if files.etag:
            self.send_header("ETag", files.etag)
        if self.path.endswith(".gz"):
            self.send_header("Content-Encoding", "gzip")  # as some servers do for files that are gzipped anyway
        self.end_headers()
        breaks = files.breaks.get(self.path) or [len(content)]
        length = breaks.pop(0) if self.command == "GET" and self.path in files.breaks else len(content)
        if self.command == "GET":
            self.wfile.write(content[start : start + length])
        return None


@contextmanager
def serve_files():
    """The Files of a server that runs while the block does."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.files = Files()
    server.files.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
