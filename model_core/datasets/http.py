"""One HTTP transfer that goes on where it broke off, and small questions to the same servers."""

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
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "seq2exp-viz"}  # identity: bytes as they lie on the server


class UnreachableError(OSError):
    """No connection to a server."""


class RefusedError(Exception):
    """A server that answers, but not with the file.

    Parameters
    ----------
    login : bool
        It asks who one is.
    """

    def __init__(self, message: str, login: bool = False):
        super().__init__(message)
        self.login = login


class Resuming:
    """A downloader for pooch: transfers into a .part file beside the target, and goes on with one that is there.

    It goes on only with the very same file: the server's ETag or date of the first part is sent along (If-Range), and
    where neither is known the whole size must be the same. Otherwise it begins anew.

    Parameters
    ----------
    target : Path
        The file that is wanted; its name with .part appended is what is written.
    size : int or None
        Bytes of it, where known.
    attempts : int
        How often a transfer may break off without a byte more before it is given up.
    """

    def __init__(self, target: Path, size: int | None = None, attempts: int = 5):
        self.target, self.size, self.attempts = target, size, attempts
        self.part, self.notes = partial_path(target), target.with_name(f"{target.name}.part.json")

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        """Put the whole file that `download` has left at `output_file`, which is what pooch asks of a downloader."""
        os.replace(self.part, output_file)
        self.notes.unlink(missing_ok=True)

    def download(self, url: str) -> None:
        """Transfer `url` into the .part file until it is whole.

        Raises
        ------
        UnreachableError, RefusedError; InputError: another process is at the same file.
        """
        with self._alone():
            failures, begun = 0, False
            while True:
                before = self._have()
                try:
                    if self._transfer(url):
                        break
                    reason: Exception = RefusedError("it ends too early")
                except UnreachableError as error:
                    reason = error
                begun = begun or self._have() > before
                failures = 0 if self._have() > before else failures + 1
                # A server that is not there from the beginning is told of at once.
                if failures >= (self.attempts if begun else min(self.attempts, 2)) or (
                    not begun and isinstance(reason, UnreachableError)
                ):
                    raise reason
                time.sleep(min(failures, 5))
            fsync(self.part)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _transfer(self, url: str) -> bool:
        """One request; whether the file is whole after it."""
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
            if going_on and not notes.get("validator") and total != notes.get("size"):
                self.part.unlink()
                return False
            if not going_on and response.status_code == 206:
                self.part.unlink(missing_ok=True)
                raise RefusedError("it answers with another part than the one asked for")
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
        """What was noted of the server's file; None where the part is not of this address."""
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
                do = "wait until it is done"
                raise InputError(self.part, found="another download at work on it", expected="one", fix=do) from None
            yield
            lock.unlink(missing_ok=True)


def partial_path(target: Path) -> Path:
    """Where a file is downloaded to before it is whole."""
    return target.with_name(f"{target.name}.part")


def read_small(url: str) -> str:
    """The text at an address, of up to LARGEST_LISTING bytes.

    Raises
    ------
    UnreachableError, RefusedError.
    """
    import urllib3

    with _answer("GET", url, {"Accept-Encoding": "identity"}) as response:
        try:
            content = response.raw.read(LARGEST_LISTING + 1, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(_short(error)) from None
    if len(content) > LARGEST_LISTING:
        raise RefusedError(f"{url} is longer than a listing")
    return content.decode("utf-8", "replace")


def head_size(url: str) -> int | None:
    """Bytes of a file as the server tells; None where it does not tell, or not without a login.

    Raises
    ------
    UnreachableError.
    """
    try:
        with _answer("HEAD", url, {}) as response:
            return _total(response)
    except RefusedError:
        return None


@contextmanager
def _answer(method: str, url: str, headers: dict[str, str], refuse: tuple[int, ...] = ()) -> Iterator[Any]:
    """The server's answer, its body not read yet; `refuse` are refusals that the caller looks at itself."""
    import requests

    try:
        settings = {"headers": {**_HEADERS, **headers}, "stream": True, "timeout": TIMEOUT, "allow_redirects": True}
        # No proxy of the surroundings can reach this machine for us; a .netrc counts here, too.
        proxies = dict.fromkeys(("http", "https", "all")) if _is_here(url) else None
        response = requests.request(method, url, proxies=proxies, **settings)
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
    """Whether an address is this very machine's."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def _total(response: Any) -> int | None:
    """Bytes of the whole file that an answer is, or is a part of."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code not in (206, 416):
        text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _starts_at(response: Any) -> int | None:
    text = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(text) if text.isdecimal() else None


def _short(error: object) -> str:
    """The innermost reason of a nested connection error."""
    inner = error
    while isinstance(inner, Exception):
        error, args = inner, getattr(inner, "args", ())
        inner = getattr(error, "reason", None) or next((arg for arg in args if isinstance(arg, Exception)), None)
    return re.sub(r"\[Errno [-0-9]+\] ", "", str(error).rpartition(": ")[2])[:120] or type(error).__name__
