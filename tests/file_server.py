"""A server of whole files, with an ETag that the test sets and a login for some."""

import base64

from range_server import RangeServer, serve_files


class Files(RangeServer):
    """etag: sent with each file; user: "KEY:SECRET" asked for paths that contain "private"."""

    def __init__(self):
        super().__init__()
        self.etag: str | None = '"v1"'
        self.user: str | None = None
        self.tags = False

    def found(self, target):
        # Some servers name the packing of files that are gzipped anyway.
        packed = {"Content-Encoding": "gzip"} if target.endswith(".gz") else {}
        return self.content.get(target), {**packed, **({"ETag": self.etag} if self.etag else {})}

    def refused(self, asked):
        wanted = None if self.user is None else f"Basic {base64.b64encode(self.user.encode()).decode()}"
        return 403 if "private" in asked.target and asked.headers.get("Authorization") != wanted else 0


def serve_whole():
    """A context manager: the Files of a server while its block runs."""
    return serve_files(Files())
