"""A file on a server, read by ranges through the cache of blocks."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from model_core.cache import notice, user_cache
from model_core.errors import InputError, without_queries
from model_core.files import write_json
from model_core.records import parse_json
from model_core.remote import changes
from model_core.remote.address import InputPath, RemotePath
from model_core.remote.archive import Member, listed_words, located
from model_core.remote.archive_listing import kept_members
from model_core.remote.block_store import BLOCK, BlockStore, State
from model_core.remote.ranges import LocalRanges, PartRanges, Ranges, RangesFile, require_inside
from model_core.remote.session import (
    RefusedError,
    UnreachableError,
    answer,
    offline,
    patiently,
    printable,
    read_body,
    require_plain,
    status_words,
)
from model_core.remote.traffic import TRAFFIC

MOST_AT_ONCE = 64  # blocks of one request
ASK_AGAIN = 600.0  # seconds without an answer after which a server is asked again whether a file has changed
GAP = 1  # blocks between two wanted ones that are read along
WHOLE = 16_000_000  # bytes of a file that is read as a whole from a server without ranges
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
IN_MEMORY = 512  # blocks of a file that the disk does not take
_opened: dict[str, RemoteFile] = {}  # by address
_opening = threading.Lock()


class ChangedError(InputError):
    """A file that changed on its server while it was read."""


class RemoteFile:
    """A file on a server, as `Ranges`.

    The server is asked whether the file is still the one whose blocks are kept when the object is made, and at a later
    use after ASK_AGAIN without an answer. Each answer is compared with that state: a file that changes meanwhile ends
    the reading with `ChangedError`, also all later reading of this object, and its blocks are thrown away.

    Parameters
    ----------
    path : RemotePath
        Its address.

    Raises
    ------
    InputError
        It cannot be read, and is not in the cache.
    """

    def __init__(self, path: RemotePath):
        self.path, self.name = path, str(path)
        self._lock, self._listing = threading.Lock(), threading.Lock()
        self._members: list[Member] | None = None
        self._parts: dict[str, RemoteMember] = {}
        self._unwritten: dict[int, bytes] = {}  # blocks that the disk did not take
        self._changed_to: State | None = None
        self._answered = time.monotonic()
        self._state, first = self._found()
        self._store = BlockStore(self.name, self._state)
        self._keep(first)
        self.size = self._state.size
        TRAFFIC.opened(self.name, self.size)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_ranges, (self.path,)

    @property
    def state(self) -> str:
        """A text that changes with the file."""
        return f"{self._state.size} {self._state.tag}"

    @property
    def tag(self) -> str:
        """ETag or date of the file on its server, "" where it tells neither."""
        return self._state.tag

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the `length` bytes from `offset`; see `Ranges`."""
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of several ranges; blocks that are absent are asked for together where they are near."""
        self.ask_again()
        wanted: set[int] = set()
        for offset, length in ranges:
            require_inside(self, offset, length)
            if length:
                wanted.update(range(offset // BLOCK, (offset + length - 1) // BLOCK + 1))
        blocks = self._blocks(wanted)
        return [_piece(blocks, offset, length) for offset, length in ranges]

    def as_file(self) -> io.BufferedReader:
        """Return a seekable file object over the ranges."""
        return io.BufferedReader(RangesFile(self), buffer_size=BLOCK)

    @property
    def is_due(self) -> bool:
        """Whether the server has to be asked again before more is read."""
        return time.monotonic() - self._answered > ASK_AGAIN and not offline()

    def ask_again(self) -> None:
        """Ask whether the file is still the same, where that `is_due`; where its server has no time, go on.

        Raises
        ------
        ChangedError
            It is not, or was not before.
        InputError
            The server does not give it any more.
        """
        if self.is_due and self._changed_to is None:
            with self._lock:
                if self.is_due:
                    self._answered = time.monotonic()
                    self._compare()
        if self._changed_to is not None:
            raise self._change(self._changed_to)

    def _compare(self) -> None:
        try:
            state = state_on_server(self.path)
        except InputError as error:
            cause = error.__cause__
            if isinstance(cause, RefusedError) and not cause.is_passing:
                raise
            words = f"{self.path.host} cannot be asked again ({cause}): files are read as they were"
            notice(f"asked again {self.path.host}", words)
        else:
            if not same_file(state, self._state):
                self._changed(state)

    def members(self) -> list[Member]:
        """Return what the file lists as an archive, read once for each state of the file; see `archive.members`."""
        with self._listing:
            if self._members is None:
                self._members = kept_members(self, self.path.name, self.state)
            return self._members

    def member(self, path: RemotePath) -> RemoteMember:
        """Return a member of the file as an archive, the same object for the same address."""
        if path.address not in self._parts:
            self._parts.setdefault(path.address, RemoteMember(path, self))
        return self._parts[path.address]

    # ---- blocks

    def _blocks(self, wanted: Iterable[int]) -> dict[int, bytes]:
        numbers = sorted(wanted)
        found = self._kept(numbers)
        if len(found) < len(numbers):
            with self._lock:  # threads that want the same blocks ask once
                found |= self._kept([number for number in numbers if number not in found])
                for first, last in _runs([number for number in numbers if number not in found]):
                    found |= self._fetch(first, last)
        return found

    def _kept(self, numbers: Iterable[int]) -> dict[int, bytes]:
        kept = {number: self._unwritten.get(number) or self._store.read(number) for number in numbers}
        return {number: block for number, block in kept.items() if block is not None}

    def _fetch(self, first: int, last: int) -> dict[int, bytes]:
        """Ask for the blocks first to last, and keep them."""
        start, end = first * BLOCK, min((last + 1) * BLOCK, self.size)
        content, state = _asked(self.path, start, end - 1)
        self._answered = time.monotonic()
        if not same_file(state, self._state):
            self._changed(state)
        places = {number: number * BLOCK - start for number in range(first, last + 1)}
        blocks = {number: content[place : place + BLOCK] for number, place in places.items()}
        self._keep(blocks)
        return blocks

    def _keep(self, blocks: dict[int, bytes]) -> None:
        for number, block in blocks.items():
            if not self._store.write(number, block):
                self._unwritten[number] = block
                while len(self._unwritten) > IN_MEMORY:
                    self._unwritten.pop(next(iter(self._unwritten)))

    def _changed(self, state: State) -> None:
        self._store.remove()
        with _opening:
            if _opened.get(self.name) is self:
                del _opened[self.name]
        changes.note()
        _remember(self.path, None)
        self._changed_to = state
        raise self._change(state)

    def _change(self, state: State) -> ChangedError:
        found = f"another file on {self.path.host} than at the beginning ({told(state)}; before {told(self._state)})"
        do = "what was kept of the old one is thrown away: run the same command again"
        if state.size == self._state.size:
            do += "; if it says this each time, the server does not tell whether a file changed: download it"
        return ChangedError(self.name, found=found, expected="a file that does not change while it is read", fix=do)

    # ---- state

    def _found(self) -> tuple[State, dict[int, bytes]]:
        """Return the file's state on the server, else the one that was kept, and its first block."""
        known = noted_state(_place(self.path))
        if offline() and known is not None:
            return known, {}
        try:
            # One byte where the state is known, else a block: its answer brings the state along.
            content, state = _asked(self.path, 0, 0 if known is not None else BLOCK - 1)
        except InputError as error:
            if known is None or not isinstance(error.__cause__, UnreachableError):
                raise
            words = f"{self.path.host} cannot be reached ({error.__cause__}): files are read from the cache"
            notice(f"offline {self.path.host}", words)
            return known, {}
        if known is not None and not same_file(state, known):
            BlockStore(self.name, known).remove()
            change = f"{told(state)}; before {told(known)}"
            words = f"{without_queries(self.name)} changed on the server ({change}): what was kept of it is thrown away"
            print(f"note: {words}", file=sys.stderr, flush=True)
        if state != known:
            _remember(self.path, state)
        return state, {0: content} if len(content) == min(BLOCK, state.size) and content else {}


class RemoteMember(PartRanges):
    """A member of an archive on a server, as `Ranges`, with what `RemoteFile` has.

    Parameters
    ----------
    path : RemotePath
        Its address.
    archive : RemoteFile
        The archive.

    Raises
    ------
    InputError
        It is not in the archive, or does not lie uncompressed in it.
    """

    def __init__(self, path: RemotePath, archive: RemoteFile):
        self.path, name, listed = path, archive.path.name, archive.members()
        found = located(archive, name, listed, path.member)
        if found is None:
            there = f"one of its members: {listed_words(listed)}"
            absent = InputError(str(path), found="no such member", expected=there, fix="correct the address")
            raise absent from RefusedError("no such member", status=404)
        start, member = found
        super().__init__(archive, str(path), start, member.size)
        self.crc = member.crc
        self.tag = archive.tag and f"{archive.tag} {archive.size} {start}"
        self.state = f"{archive.state} {start} {self.size}"
        self.archive = archive

    @property
    def is_due(self) -> bool:
        """As `RemoteFile.is_due`."""
        return self.archive.is_due

    def ask_again(self) -> None:
        """Ask about the archive; see `RemoteFile.ask_again`."""
        self.archive.ask_again()

    def __reduce__(self) -> tuple[Any, ...]:
        return open_ranges, (self.path,)

    def as_file(self) -> io.BufferedReader:
        """Return a seekable file object over the ranges."""
        return io.BufferedReader(RangesFile(self), buffer_size=BLOCK)


def open_ranges(path: InputPath) -> Ranges:
    """Return a file for reading by ranges: on the disk, or on a server through the cache of blocks.

    In one process the server is asked once about each file.

    Raises
    ------
    InputError
        It cannot be read.
    """
    if isinstance(path, Path):
        return LocalRanges(path)
    return remote_file(path)


def remote_file(path: RemotePath) -> RemoteFile | RemoteMember:
    """Return the open file of an address; see `open_ranges`."""
    if path.archive is not None:
        return _whole_file(path.archive).member(path)
    return _whole_file(path)


def _whole_file(path: RemotePath) -> RemoteFile:
    key = str(path)
    with _opening:
        if key in _opened:
            return _opened[key]
    file = RemoteFile(path)
    with _opening:
        return _opened.setdefault(key, file)


def forget() -> None:
    """Ask the servers again about all files, as a new process does."""
    global _opening
    _opened.clear()
    _opening = threading.Lock()  # another thread may have held it when this process was forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)


def file_problem(path: RemotePath, found: str, fix: str) -> InputError:
    """Return the error of a file that its server does not give."""
    return InputError(str(path), found=f"{path.host}: {found}", expected="the file, by ranges of bytes", fix=fix)


def server_problem(path: RemotePath, error: Exception) -> InputError:
    """Return the error of what a server answered, or that it did not."""
    if isinstance(error, UnreachableError):
        return file_problem(path, f"no connection ({error})", "check the network, then run the same command again")
    status = error.status if isinstance(error, RefusedError) else 0
    if status in (401, 403):
        do = "the file needs a login, or is not public: check the address, or add a line for the host to ~/.netrc"
    elif status in (404, 410):
        do = "check the address, or use another copy of the file"
    elif status == 429 or status >= 500:
        do = "the server is busy or broken: run the same command again later"
    else:
        do = "check the address and the network, then run the same command again"
    return file_problem(path, str(error), do)


def state_on_server(path: RemotePath) -> State:
    """Return the state that a server tells of a file, by a request for its first byte.

    Raises
    ------
    InputError
        The server does not give it; its cause is the `UnreachableError` or `RefusedError`.
    """
    return _asked(path, 0, 0)[1]


def _asked(path: RemotePath, first: int, last: int) -> tuple[bytes, State]:
    """Ask for the bytes first to last of a file; return them, and the state of the file that the answer states."""

    def ask() -> tuple[bytes, State]:
        with answer("GET", path.url, {"Range": f"bytes={first}-{last}"}, refuse=(416,)) as response:
            require_plain(response, path.url)
            content, state = _body(response, first, last)
        TRAFFIC.add(str(path), len(content), state.size)
        return content, state

    try:
        return patiently(ask)
    except (UnreachableError, RefusedError) as error:
        raise server_problem(path, error) from error


def _body(response: Any, first: int, last: int) -> tuple[bytes, State]:
    tag = _tag(response)
    if response.status_code == 200:
        return _part_of_whole(response, tag, first, last)
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code == 416:
        empty = response.headers.get("Content-Range", "") == "bytes */0"
        if empty and first == 0:
            return b"", State(0, tag)
        raise RefusedError("the file ends before the bytes that were asked for", status=416)
    if response.headers.get("Content-Type", "").strip().lower().startswith("multipart/"):
        raise RefusedError("an answer in several parts, which was not asked for")
    if response.status_code != 206 or found is None:
        raise RefusedError(f"{status_words(response)} in place of a range of bytes")
    begin, end, size = (int(text) for text in found.groups())
    if begin != first or end != min(last, size - 1):
        raise RefusedError(f"the bytes {begin:,} to {end:,} where {first:,} to {last:,} were asked for")
    content = read_body(response, end - begin + 1)
    if len(content) != end - begin + 1:
        raise UnreachableError(f"the transfer ended after {len(content):,} of {end - begin + 1:,} bytes")
    return content, State(size, tag)


def _tag(response: Any) -> str:
    """Return the ETag of a file, else the date of its last change; both where the ETag is weak."""
    tag, date = (response.headers.get(name, "").strip() for name in ("ETag", "Last-Modified"))
    return f"{tag} {date}".strip() if tag.startswith("W/") else tag or date


def _part_of_whole(response: Any, tag: str, first: int, last: int) -> tuple[bytes, State]:
    """Return the part of a small file that a server without ranges sends as a whole."""
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html":
        raise RefusedError("a web page in place of the file: a login, or the sign-in page of this network")
    length = response.headers.get("Content-Length", "")
    size = int(length) if length.isascii() and length.isdecimal() and len(length) < 19 else None
    if size is None and response.headers.get("Transfer-Encoding", "").lower() == "chunked":  # whose end is marked
        content = read_body(response, WHOLE)
        return content[first : last + 1], State(len(content), tag)
    if size is None or size > WHOLE:
        raise RefusedError("the server does not send ranges of bytes, and the file is too large to read as a whole")
    content = read_body(response, size)
    if len(content) != size:
        raise UnreachableError(f"the transfer ended after {len(content):,} of {size:,} bytes")
    return content[first : last + 1], State(size, tag)


def note_state(place: Path, path: RemotePath, state: State) -> None:
    """Write down the state of a file on its server."""
    write_json(place, {"address": without_queries(str(path)), "size": state.size, "tag": state.tag})


def noted_state(place: Path) -> State | None:
    """Return the state that `note_state` wrote; None where there is none, or a damaged one."""
    with suppress(OSError, ValueError):
        kept = parse_json(place.read_bytes())
        if isinstance(kept, dict) and type(kept.get("size")) is int and isinstance(kept.get("tag"), str):
            return State(kept["size"], kept["tag"])
    return None


def same_file(state: State, known: State) -> bool:
    """Return whether two answers are of the same file; a server may leave the tag out of one of them."""
    return state.size == known.size and (state.tag == known.tag or not state.tag or not known.tag)


def told(state: State) -> str:
    """Return a state in words."""
    return f"{state.size:,} bytes{', ' if state.tag else ''}{printable(state.tag[:60])}"


def _piece(blocks: dict[int, bytes], offset: int, length: int) -> bytes:
    if not length:
        return b""
    first, last = offset // BLOCK, (offset + length - 1) // BLOCK
    whole = blocks[first] if first == last else b"".join(blocks[number] for number in range(first, last + 1))
    start = offset - first * BLOCK
    return whole[start : start + length]


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return (first, last) of the requests for these blocks."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number - runs[-1][1] <= GAP + 1 and number - runs[-1][0] < MOST_AT_ONCE:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _place(path: RemotePath) -> Path:
    return user_cache() / "states" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:40]}.json"


def _remember(path: RemotePath, state: State | None) -> None:
    with suppress(OSError):
        if state is None:
            _place(path).unlink(missing_ok=True)
        else:
            _place(path).parent.mkdir(parents=True, exist_ok=True)
            note_state(_place(path), path, state)
