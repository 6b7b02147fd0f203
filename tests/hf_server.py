"""A stand-in for Hugging Face: listing, metadata, and files by ranges, for huggingface_hub by HF_ENDPOINT."""

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """What the server has and was asked. repositories: "USER/NAME" -> {path: content}; `sent` replaces a content."""

    def __init__(self):
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.sent: dict[str, bytes] = {}
        self.commit, self.licence, self.url = "a" * 40, "mit", ""
        self.asked: list[tuple[str, str, dict[str, str]]] = []


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def _answer(self, status, content, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        hub.asked.append((self.command, path, dict(self.headers)))
        api = re.fullmatch(r"/api/(?:models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/(\w+).*)?", path)
        file = re.fullmatch(r"(?:/datasets)?/([^/]+/[^/]+)/resolve/(\w+)/(.+)", path)
        files = hub.repositories.get((api or file)[1] if api or file else "")
        if files is None:
            return self._answer(404, b"{}", X_Error_Code="RepoNotFound")
        revision = (api[3] if api else file[2]) or "main"
        if revision not in ("main", hub.commit):
            return self._answer(404, b"{}", X_Error_Code="RevisionNotFound")
        if api:
            return self._answer(200, json.dumps(self._info(hub, api[1], files, api[2])).encode())
        if file[3] not in files:
            return self._answer(404, b"{}", X_Error_Code="EntryNotFound", X_Repo_Commit=hub.commit)
        etag = f'"{hashlib.sha256(files[file[3]]).hexdigest()}"'
        return self._answer(200, hub.sent.get(file[3], files[file[3]]), ETag=etag, X_Repo_Commit=hub.commit)

    @staticmethod
    def _info(hub, name, files, kind):
        entries = [
            (path, len(content), {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)})
            for path, content in files.items()
        ]
        if kind == "tree":
            return [
                {"type": "file", "oid": "0" * 40, "path": path, "size": size, "lfs": {**lfs, "oid": lfs["sha256"]}}
                for path, size, lfs in entries
            ]
        siblings = [
            {"rfilename": path, "size": size, "blobId": "0" * 40, "lfs": {**lfs, "pointerSize": 130}}
            for path, size, lfs in entries
        ]
        return {"id": name, "sha": hub.commit, "siblings": siblings, "tags": [], "cardData": {"license": hub.licence}}


@contextmanager
def serve_hub():
    """The Hub of a server that runs while the block does."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = Hub()
    server.hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
