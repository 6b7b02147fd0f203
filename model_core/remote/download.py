"""HTTP transfers that resume where they were interrupted, and small requests to the same servers."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from model_core.errors import InputError, without_queries
from model_core.files import fsync, naming, write_json
from model_core.lock import Lock
from model_core.progress import Job
from model_core.records import parse_json
from model_core.remote.session import (
    RefusedError,
    UnreachableError,
    answer,
    pieces,
    require_plain,
    short_reason,
    status_words,
)

LARGEST_LISTING = 5_000_000  # bytes
_BLOCK = 1 << 18
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|[*])")


class Resuming:
    """Downloader that writes a .part file next to the target, and resumes one that exists.

    It resumes only where two parts of different files cannot be joined unnoticed: the server's strong ETag of the first
    part is sent along (If-Range) and must come back with the second, or a checksum of the whole will be compared. A
    date does not suffice, as a file may change twice in a second. Otherwise it starts again. Nothing is written beyond
    the size that the server or the portal states.

    Parameters
    ----------
    target : Path
        The requested file; a file of its name with .part appended is written.
    size : int or None
        Its size in bytes, where known; a server that states another is refused.
    checked : bool
        Whether the caller compares a checksum of the whole file.
    attempts : int
        How often a transfer may end without progress before it fails.
    """

    def __init__(self, target: Path, size: int | None = None, attempts: int = 5, checked: bool = False):
        self.target, self.size, self.attempts, self.checked = target, size or None, attempts, checked
        self.part, self.notes = partial_path(target), target.with_name(f"{target.name}.part.json")

    def download(self, url: str) -> None:
        """Transfer `url` into the .part file until it is complete; the caller is inside `alone`.

        Raises
        ------
        UnreachableError
            No connection, also after `attempts`.
        RefusedError
            The server does not send the file, or not as it states.
        OSError
            It cannot be written.
        """
        failures, begun, most = 0, False, self._have()
        while True:
            try:
                if self._transfer(url):
                    break
                reason: Exception = RefusedError("the transfer ends too early")
            except UnreachableError as error:
                reason = error
            further = self._have() > most  # one that begins anew each time and never comes further has to end, too
            failures, begun, most = 0 if further else failures + 1, begun or further, max(most, self._have())
            # A server that cannot be reached from the start is reported at once.
            if failures >= (self.attempts if begun else min(self.attempts, 2)) or (
                not begun and isinstance(reason, UnreachableError)
            ):
                raise reason
            time.sleep(min(failures, 5))
        fsync(self.part)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other process download the same file during the block.

        Raises
        ------
        InputError
            Another process downloads it.
        """
        self.part.parent.mkdir(parents=True, exist_ok=True)
        lock = Lock(self.part.with_name(f"{self.part.name}.lock"))
        try:
            lock.acquire()
        except InputError as error:
            found = f"another process that downloads it ({error.problems[0].found})"
            expected = "one download at a time"
            raise InputError(self.part, found=found, expected=expected, fix=error.problems[0].fix) from None
        try:
            yield
        finally:
            lock.release()

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _transfer(self, url: str) -> bool:
        """Make one request, and return whether the file is complete after it."""
        have, notes = self._have(), self._read_notes(url)
        if have and (notes is None or not (notes["etag"] or self.checked)):
            have = 0  # what is here may be of another file: it is written over
        headers = {"Range": f"bytes={have}-"} if have else {}
        if have and notes is not None and notes["etag"]:
            headers["If-Range"] = notes["etag"]
        with answer("GET", url, headers, refuse=(416,)) as response:
            if have and response.status_code in (206, 416) and not self._same_file(response, notes):
                self.drop()
                return False
            if response.status_code == 416:
                if have and have == _total(response):
                    return True
                self.drop()
                return False
            require_plain(response, url)
            total = _total(response)
            if self.size is not None and total is not None and total != self.size:
                raise RefusedError(f"the server states {total:,} bytes, before it were {self.size:,}")
            if response.status_code == 206:
                if not have or not _is_rest(response, have):
                    self.drop()
                    raise RefusedError("the server sends another part than requested")
            elif response.status_code != 200:
                raise RefusedError(f"{status_words(response)} in place of a file")
            going_on = response.status_code == 206
            if not going_on:
                self.drop()
                self._write_notes(url, response, total)
            stated = notes["size"] if going_on and notes is not None and total is None else total
            expected = self.size if stated is None else stated
            with naming(self.part), self.part.open("ab" if going_on else "wb") as file:
                self._copy(response, file, have if going_on else 0, expected)
        return expected is None or self._have() == expected

    def _copy(self, response: Any, file: Any, have: int, total: int | None) -> None:
        megabytes = -(-(total or have) // 1_000_000)
        with Job(f"{self.target.name} (MB)", megabytes, have // 1_000_000) as job:
            try:
                for block in pieces(response, _BLOCK):
                    if total is not None and have + len(block) > total:
                        self.drop()
                        raise RefusedError(f"the server sends more than the {total:,} bytes that it states")
                    file.write(block)
                    have += len(block)
                    if have // 1_000_000 > job.done:
                        job.advance(have // 1_000_000 - job.done)
            finally:
                file.flush()

    def keep(self) -> None:
        """Move the complete file to its place."""
        os.replace(self.part, self.target)
        self.notes.unlink(missing_ok=True)
        fsync(self.target.parent)

    def drop(self) -> None:
        """Remove the .part file, and start anew at the next request."""
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)

    def _read_notes(self, url: str) -> dict[str, Any] | None:
        """Read the notes on the server's file, `etag` and `size`; None where the part is not of this address."""
        with suppress(OSError, ValueError):
            notes = parse_json(self.notes.read_bytes())
            if isinstance(notes, dict) and notes.get("url") == _noted_address(url):
                etag, size = notes.get("etag"), notes.get("size")
                return {"etag": _strong(etag), "size": size if type(size) is int else None}
        return None

    def _same_file(self, response: Any, notes: dict[str, Any] | None) -> bool:
        """Return whether the rest in a response is of the same file as the part with these notes.

        The answer to If-Range comes with the ETag (RFC 9110, 15.3.7); without it, only a checksum can tell.
        """
        if notes is None or _total(response) not in (None, notes["size"]):
            return False
        etag = _strong(response.headers.get("ETag"))
        if etag is None:
            return self.checked or response.status_code == 416  # 416: all of the file is here, and nothing is joined
        return etag == notes["etag"]

    def _write_notes(self, url: str, response: Any, total: int | None) -> None:
        etag = _strong(response.headers.get("ETag"))
        write_json(self.notes, {"url": _noted_address(url), "etag": etag, "size": total})


def _noted_address(url: str) -> str:
    """Return a text that tells an address from others, without what follows its "?"."""
    shown = without_queries(url)
    return url if shown == url else f"{shown}?sha256={hashlib.sha256(url.encode()).hexdigest()[:16]}"


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

    with answer("GET", url, {"Accept-Encoding": "identity"}) as response:
        try:
            content = response.raw.read(LARGEST_LISTING + 1, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(short_reason(error)) from None
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
        with answer("HEAD", url, {}) as response:
            return _total(response)
    except RefusedError:
        return None


def _total(response: Any) -> int | None:
    """Return the size in bytes of the whole file that a response holds, or holds a part of."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code not in (206, 416):
        text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _is_rest(response: Any, have: int) -> bool:
    """Return whether a response is one part of a file, from byte `have` on, within the file, and as long as it says."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None:
        return False
    first, last, length = int(found[1]), int(found[2]), response.headers.get("Content-Length")
    within = have == first <= last and (found[3] == "*" or last < int(found[3]))
    return within and length in (None, str(last - first + 1))


def _strong(etag: Any) -> str | None:
    """Return an ETag if it changes with every byte of the file; None for a weak one (W/) or none."""
    return etag if isinstance(etag, str) and re.fullmatch(r'"[^"\x00-\x20]+"', etag) else None
