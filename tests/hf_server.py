"""A stand-in for Hugging Face: listing, metadata, and files by ranges, for huggingface_hub by HF_ENDPOINT."""

import hashlib
import json
import re
from urllib.parse import unquote, urlsplit

from range_server import RangeServer, serve_files


class Hub(RangeServer):
    """repositories: "USER/NAME" -> {path: content}; replaced: path -> what is sent in place of its content."""

    def __init__(self):
        super().__init__()
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.replaced: dict[str, bytes] = {}
        self.commit, self.licence = "a" * 40, "mit"

    def found(self, target):
        path = unquote(urlsplit(target).path)
        api = re.fullmatch(r"/api/(?:models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/(\w+).*)?", path)
        file = re.fullmatch(r"(?:/datasets)?/([^/]+/[^/]+)/resolve/(\w+)/(.+)", path)
        files = self.repositories.get((api or file)[1] if api or file else "")
        if files is None:
            return None, {"X-Error-Code": "RepoNotFound"}
        revision = (api[3] if api else file[2]) or "main"
        if revision not in ("main", self.commit):
            return None, {"X-Error-Code": "RevisionNotFound"}
        if api:
            listed = hub_listing(api[1], self.commit, files, api[2] == "tree", license=self.licence)
            return json.dumps(listed).encode(), {}
        if file[3] not in files:
            return None, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.commit}
        return self.replaced.get(file[3], files[file[3]]), hub_headers(files[file[3]], self.commit)


def hub_headers(content, commit):
    """Headers of a file."""
    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    return {"ETag": tag, "X-Repo-Commit": commit, "X-Linked-Size": str(len(content))}


def hub_listing(name, commit, files, tree=False, **card):
    """What Hugging Face answers about a repository: its tree, or all about it."""
    entries = [
        (path, len(content), {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)})
        for path, content in files.items()
    ]
    if tree:
        return [
            {"type": "file", "oid": "0" * 40, "path": path, "size": size, "lfs": {**lfs, "oid": lfs["sha256"]}}
            for path, size, lfs in entries
        ]
    siblings = [
        {"rfilename": path, "size": size, "blobId": "0" * 40, "lfs": {**lfs, "pointerSize": 130}}
        for path, size, lfs in entries
    ]
    return {"id": name, "sha": commit, "siblings": siblings, "tags": [], "cardData": card}


def serve_hub():
    """A context manager: the Hub of a server while its block runs."""
    return serve_files(Hub())
