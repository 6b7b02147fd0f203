"""Whole files of servers, fetched once for each user: annotations, tables, intervals, checkpoints."""

from __future__ import annotations

import hashlib
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from model_core.cache import notice, user_cache, writable_folder
from model_core.errors import InputError
from model_core.files import naming
from model_core.listing import folders_in
from model_core.lock import Lock
from model_core.records import parse_json
from model_core.remote import changes
from model_core.remote.address import InputPath, RemotePath
from model_core.remote.block_store import State
from model_core.remote.download import Resuming
from model_core.remote.remote_file import (
    RemoteMember,
    note_state,
    noted_state,
    remote_file,
    same_file,
    server_problem,
    state_on_server,
)
from model_core.remote.session import RefusedError, UnreachableError, offline, patiently
from model_core.remote.traffic import TRAFFIC

_NOTE = "file.json"  # beside a copy: its address and state
_PIECE = 1 << 22  # bytes of a member that are read at once
_WAIT = 3_600  # seconds for another process that fetches the same file
_current: dict[str, tuple[Path, int]] = {}  # address -> copy that was asked about, and the changes known then


class Kept(NamedTuple):
    """A whole file that was fetched: its address and its place on the disk."""

    address: str
    path: Path


def local_copy(path: InputPath, about: str = "", checksum: str | None = None) -> Path:
    """Return a file on the disk with the content of a path or address.

    A local path is returned as it is. A remote file is fetched once, resumes where it was interrupted, and is asked for
    again once per process, and once any file has changed on its server: where there is another one now, that is
    fetched. Without a connection the copy is used.

    Parameters
    ----------
    path : InputPath
        The path or address.
    about : str
        What it holds, for messages.
    checksum : str or None
        "md5:..." or "sha256:..." where it is known.

    Returns
    -------
    Path
        A file of the same name, or of the same ending.

    Raises
    ------
    InputError
        It cannot be fetched, or has another checksum.
    """
    if isinstance(path, Path):
        return path
    key = str(path)
    known, when = _current.get(key, (Path(), -1))
    if when == changes.count() and known.is_file():
        return known
    when = changes.count()
    wanted = user_cache() / "files" / hashlib.sha256(key.encode()).hexdigest()[:40]
    folder = writable_folder(wanted, f"the copy of {path.name}")
    target = folder / _copy_name(path)
    with Lock(folder / "lock").held(_WAIT):
        _bring(path, target, about, checksum)
    _current[key] = target, when
    return target


def _copy_name(path: RemotePath) -> str:
    """Return the name of the copy of a file, which is none of those that are beside it."""
    return f"copy.{path.name}" if path.name in (_NOTE, "lock") else path.name


def state_of(path: RemotePath) -> State:
    """Return the state of a file on its server, as this process has found it by ranges or whole; else ask for it.

    Raises
    ------
    InputError
        The server does not give it, and nothing of it is in the cache.
    """
    fetched = _current.get(str(path))
    state = None if fetched is None else noted_state(fetched[0].with_name(_NOTE))
    if state is not None:
        return state
    file = remote_file(path)
    return State(file.size, file.tag)


def kept_files() -> list[Kept]:
    """Return the whole files that are kept."""
    found = []
    for folder in folders_in(user_cache() / "files"):
        with suppress(OSError, ValueError):
            about = parse_json((folder / _NOTE).read_bytes())
            address = about.get("address") if isinstance(about, dict) else None
            if isinstance(address, str) and (place := folder / _copy_name(RemotePath(address))).is_file():
                found.append(Kept(address, place))
    return sorted(found)


def remove_kept(kept: Kept) -> int:
    """Remove a whole file; return the bytes that this frees.

    Raises
    ------
    InputError
        Another process is fetching it.
    """
    folder = kept.path.parent
    with Lock(folder / "lock").held():
        freed = kept.path.stat().st_size if kept.path.is_file() else 0
        (folder / _NOTE).unlink(missing_ok=True)  # first: without it the copy does not count
        kept.path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
    return freed


def _bring(path: RemotePath, target: Path, about: str, checksum: str | None) -> None:
    """Make `target` the file that the server has now, or leave the copy where the server cannot be asked."""
    note = target.with_name(_NOTE)
    known = noted_state(note) if target.is_file() else None
    if known is not None and offline():
        return
    try:
        member = remote_file(path) if path.archive is not None else None
        state = state_on_server(path) if member is None else State(member.size, member.tag)
    except InputError as error:
        if known is None or not isinstance(error.__cause__, UnreachableError):
            raise
        reason = f"{path.host} cannot be reached ({error.__cause__}): files are read from the cache"
        notice(f"offline {path.host}", reason)
        return
    if known is not None and same_file(state, known):
        return
    if state.size == 0:
        target.write_bytes(b"")
        note_state(note, path, state)
        return
    transfer = Resuming(target, state.size, checked=checksum is not None)
    if isinstance(member, RemoteMember):
        _copy_member(member, transfer.part)
    else:
        try:
            patiently(lambda: transfer.download(path.url))
            TRAFFIC.add(str(path), transfer.part.stat().st_size, state.size, whole=True)
        except (UnreachableError, RefusedError) as error:
            raise server_problem(path, error) from error
    if checksum is not None and (found := _checksum_of(transfer.part, checksum)) != checksum:
        transfer.drop()
        do = "run the same command again; tell the portal if it happens again"
        raise InputError(
            str(path), found=f"content with {found} (deleted)", expected=f"{about} {checksum}".strip(), fix=do
        )
    note.unlink(missing_ok=True)
    transfer.keep()
    note_state(note, path, state)


def _copy_member(member: RemoteMember, place: Path) -> None:
    """Write a member of an archive, read through the cache of blocks, and compare the archive's CRC-32 of it."""
    crc = 0
    with naming(place), place.open("wb") as file:
        for start in range(0, member.size, _PIECE):
            piece = member.read_at(start, min(_PIECE, member.size - start))
            crc = zlib.crc32(piece, crc)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if member.crc not in (None, crc):
        place.unlink()
        found, expected = f"content with CRC-32 {crc:08x} (deleted)", f"CRC-32 {member.crc:08x}, as its archive states"
        raise InputError(member.name, found=found, expected=expected, fix="use another copy of the archive")


def _checksum_of(path: Path, like: str) -> str:
    kind = like.partition(":")[0]
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


def forget() -> None:
    """Ask the servers again about all files, as a new process does."""
    _current.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
