"""A server on 127.0.0.1 that has a folder's files as SEQ2EXP_MIRROR names them, HOST/PATH, and answers ranges."""

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Mirror:
    """What the server has, and what it was asked for.

    folder: its files; url: its address; requests, sent: number of answers with content, and bytes of all.
    """

    def __init__(self, folder: Path, url: str):
        self.folder, self.url, self.requests, self.sent = folder, url, 0, 0

    def forget(self) -> None:
        """Count anew."""
        self.requests = self.sent = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        mirror = self.server.mirror
        path = mirror.folder / self.path.lstrip("/")
        if not path.is_file():
            return self._answer(404, 0)
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        start, end = (int(asked[1]), min(int(asked[2]), size - 1)) if asked else (0, size - 1)
        if asked and start >= size:
            return self._answer(416, 0, {"Content-Range": f"bytes */{size}"})
        about = f"{size} {path.stat().st_mtime_ns} {path.stat().st_ino}"
        headers = {"ETag": f'"{hashlib.md5(about.encode()).hexdigest()}"', "Accept-Ranges": "bytes"}
        if asked:
            headers["Content-Range"] = f"bytes {start}-{end}/{size}"
        self._answer(206 if asked else 200, end + 1 - start, headers)
        if self.command == "GET":
            with path.open("rb") as file:
                file.seek(start)
                self.wfile.write(file.read(end + 1 - start))
            mirror.requests += 1
            mirror.sent += end + 1 - start
        return None

    def _answer(self, status, length, headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serve_mirror(folder: Path):
    """The Mirror of a server that runs while the block does."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.mirror = Mirror(Path(folder), f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
