"""HTTP transfers that resume where they were interrupted, and small requests to the same servers."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model_core.errors import InputError
from model_core.files import fsync, write_json
from model_core.progress import Job

TIMEOUT = (10, 60)  # seconds to connect, and between bytes
LARGEST_LISTING = 5_000_000  # bytes
_BLOCK = 1 << 18
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "seq2exp-viz"}  # identity: bytes as stored on the server


class UnreachableError(OSError):
    """No connection to a server."""


class RefusedError(Exception):
    """Reply of a server without the requested file.

    Parameters
    ----------
    message : str
        The reason.
    login : bool
        Whether the server requires a login.
    """

    def __init__(self, message: str, login: bool = False):
        super().__init__(message)
        self.login = login


class Resuming:
    """Downloader for pooch that writes a .part file next to the target, and resumes one that exists.

    It resumes only with the same file: the server's ETag or date of the first part is sent along (If-Range), and
    where neither is known the total size must be the same. Otherwise it starts again.

    Parameters
    ----------
    target : Path
        The requested file; a file of its name with .part appended is written.
    size : int or None
        Its size in bytes, where known.
    attempts : int
        How often a transfer may end without progress before it fails.
    """

    def __init__(self, target: Path, size: int | None = None, attempts: int = 5):
        self.target, self.size, self.attempts = target, size, attempts
        self.part, self.notes = partial_path(target), target.with_name(f"{target.name}.part.json")

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        """Move the complete file of `download` to `output_file`, as pooch requires of a downloader."""
        os.replace(self.part, output_file)
        self.notes.unlink(missing_ok=True)

    def download(self, url: str) -> None:
        """Transfer `url` into the .part file until it is complete.

        Raises
        ------
        UnreachableError
            No connection, also after `attempts`.
        RefusedError
            The server does not send the file.
        InputError
            Another process downloads the same file.
        """
        with self._alone():
            failures, begun = 0, False
            while True:
                before = self._have()
                try:
                    if self._transfer(url):
                        break
                    reason: Exception = RefusedError("the transfer ends too early")
                except UnreachableError as error:
                    reason = error
                begun = begun or self._have() > before
                failures = 0 if self._have() > before else failures + 1
                # A server that cannot be reached from the start is reported at once.
                if failures >= (self.attempts if begun else min(self.attempts, 2)) or (
                    not begun and isinstance(reason, UnreachableError)
                ):
                    raise reason
                time.sleep(min(failures, 5))
            fsync(self.part)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _transfer(self, url: str) -> bool:
        """Make one request, and return whether the file is complete after it."""
        have, notes = self._have(), self._read_notes(url)
        headers = {}
        if have and notes is not None:
            headers["Range"] = f"bytes={have}-"
            if notes.get("validator"):
                headers["If-Range"] = notes["validator"]
        with _answer("GET", url, headers, refuse=(416,)) as response:
            if response.status_code == 416:
                if have == _total(response) and notes is not None:
                    return True
                self.part.unlink(missing_ok=True)
                return False
            going_on = response.status_code == 206 and _starts_at(response) == have
            total = _total(response)
            if going_on and notes is not None and not notes.get("validator") and total != notes.get("size"):
                self.part.unlink()
                return False
            if not going_on and response.status_code == 206:
                self.part.unlink(missing_ok=True)
                raise RefusedError("the server sends another part than requested")
            self._write_notes(url, response, total)
            with self.part.open("ab" if going_on else "wb") as file:
                self._copy(response, file, have if going_on else 0, total)
        expected = total if total is not None else self.size
        return expected is None or self._have() == expected

    def _copy(self, response: Any, file: Any, have: int, total: int | None) -> None:
        import urllib3

        megabytes = -(-(total or self.size or have) // 1_000_000)
        with Job(f"{self.target.name} (MB)", megabytes, have // 1_000_000) as job:
            try:
                # Not iter_content, which would unpack files that a server marks as Content-Encoding: gzip.
                for block in response.raw.stream(_BLOCK, decode_content=False):
                    file.write(block)
                    have += len(block)
                    if have // 1_000_000 > job.done:
                        job.advance(have // 1_000_000 - job.done)
            except (urllib3.exceptions.HTTPError, ConnectionError) as error:
                raise UnreachableError(_short(error)) from None
            finally:
                file.flush()

    def _read_notes(self, url: str) -> dict[str, Any] | None:
        """Read the notes on the server's file; None where the part is not of this address."""
        try:
            notes = json.loads(self.notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        known = isinstance(notes, dict) and notes.get("url") == url
        return notes if known and (notes.get("validator") or notes.get("size")) else None

    def _write_notes(self, url: str, response: Any, total: int | None) -> None:
        etag = response.headers.get("ETag", "")
        strong = etag if etag and not etag.startswith("W/") else None
        validator = strong or response.headers.get("Last-Modified")
        write_json(self.notes, {"url": url, "validator": validator, "size": total})

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.part.parent.mkdir(parents=True, exist_ok=True)
        lock = self.part.with_name(f"{self.part.name}.lock")
        with lock.open("w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found, expected = "another process that downloads it", "one download at a time"
                raise InputError(self.part, found=found, expected=expected, fix="wait until it ends") from None
            yield
            lock.unlink(missing_ok=True)


def partial_path(target: Path) -> Path:
    """Return the path that a file is downloaded to before it is complete."""
    return target.with_name(f"{target.name}.part")


def read_small(url: str) -> str:
    """Read the text at an address, of up to LARGEST_LISTING bytes.

    Raises
    ------
    UnreachableError
        No connection.
    RefusedError
        The server does not send the text, or it is longer.
    """
    import urllib3

    with _answer("GET", url, {"Accept-Encoding": "identity"}) as response:
        try:
            content = response.raw.read(LARGEST_LISTING + 1, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(_short(error)) from None
    if len(content) > LARGEST_LISTING:
        raise RefusedError(f"{url} is longer than {LARGEST_LISTING:,} bytes")
    return content.decode("utf-8", "replace")


def head_size(url: str) -> int | None:
    """Return the size of a file in bytes; None where the server does not report it, or requires a login.

    Raises
    ------
    UnreachableError
        No connection.
    """
    try:
        with _answer("HEAD", url, {}) as response:
            return _total(response)
    except RefusedError:
        return None


@contextmanager
def _answer(method: str, url: str, headers: dict[str, str], refuse: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yield the server's response before its body is read; the caller handles the statuses in `refuse`."""
    import requests

    try:
        # No proxy of the environment reaches this machine; a .netrc is used here, too.
        proxies: Any = dict.fromkeys(("http", "https", "all")) if _is_here(url) else None
        response = requests.request(
            method,
            url,
            proxies=proxies,
            headers={**_HEADERS, **headers},
            stream=True,
            timeout=TIMEOUT,
            allow_redirects=True,
        )
    except (requests.ConnectionError, requests.Timeout) as error:
        raise UnreachableError(_short(error)) from None
    except requests.RequestException as error:
        raise RefusedError(_short(error)) from None
    with response:
        if response.status_code >= 400 and response.status_code not in refuse:
            login = response.status_code in (401, 403)
            raise RefusedError(f"{response.status_code} {response.reason}", login)
        yield response


def _is_here(url: str) -> bool:
    """Return whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def _total(response: Any) -> int | None:
    """Return the size in bytes of the whole file that a response holds, or holds a part of."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code not in (206, 416):
        text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _starts_at(response: Any) -> int | None:
    text = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(text) if text.isdecimal() else None


def _short(error: object) -> str:
    """Return the innermost reason of a nested connection error."""
    inner = error
    while isinstance(inner, Exception):
        error, args = inner, getattr(inner, "args", ())
        inner = getattr(error, "reason", None) or next((arg for arg in args if isinstance(arg, Exception)), None)
    return re.sub(r"\[Errno [-0-9]+\] ", "", str(error).rpartition(": ")[2])[:120] or type(error).__name__
