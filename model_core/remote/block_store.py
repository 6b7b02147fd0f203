"""Blocks of remote files on the disk: a block is whole or absent, and old and new bytes of a file never mix.

A folder of each state of a file (address, length, and ETag or date) holds a file of each block, which ends with its
checksum. Several processes may use the store at once. The blocks that were used longest ago go first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from model_core.cache import notice, user_cache
from model_core.errors import InputError, without_queries
from model_core.files import write_json
from model_core.listing import files_in, folders_in
from model_core.records import parse_json

BLOCK = 1 << 16  # bytes
LIMIT = 4_000_000_000  # bytes of all blocks, unless SEQ2EXP_CACHE_LIMIT says otherwise
_LOOK = 64_000_000  # bytes that are written between two looks at the size of the store
_KEEP = 0.9  # of the limit is kept when blocks are removed
_TOUCH = 3_600  # seconds after which a used block is marked as used again
_CHECK = 4  # bytes of the checksum


class State(NamedTuple):
    """State of a file on its server.

    Attributes
    ----------
    size : int
        Bytes.
    tag : str
        ETag, else the date of its last change, else "".
    """

    size: int
    tag: str


class Stored(NamedTuple):
    """What the store holds of one file: its address, bytes of the whole file, and bytes held."""

    address: str
    size: int
    held: int


class BlockStore:
    """Blocks of one file.

    Parameters
    ----------
    address : str
        Of the file.
    state : State
        Of the file on its server.
    """

    _written = 0
    _lock = threading.Lock()

    def __init__(self, address: str, state: State):
        self.address, self.state = address, state
        self.folder = blocks_folder() / _digest(f"{address}|{state.size}|{state.tag}|{BLOCK}")

    def length(self, number: int) -> int:
        """Return the bytes of block `number`."""
        return min(BLOCK, self.state.size - number * BLOCK)

    def read(self, number: int) -> bytes | None:
        """Return a block, None where it is absent or damaged."""
        path = self.folder / str(number)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        block, check = content[:-_CHECK], content[-_CHECK:]
        if len(block) != self.length(number) or check != _checksum(block):
            return None
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _TOUCH:
                os.utime(path)
        return block

    def write(self, number: int, block: bytes) -> bool:
        """Keep a block; return False where the disk refuses it, of which the user is told once."""
        path = self.folder / str(number)
        temporary = self.folder / f".{number}.{os.getpid()}.{threading.get_ident()}"
        try:
            try:
                self._put(temporary, path, block)
            except FileNotFoundError:  # another process has just cleared the cache
                self._put(temporary, path, block)
        except OSError as problem:
            with suppress(OSError):
                temporary.unlink()
            why = (problem.strerror or str(problem)).lower()
            notice(str(blocks_folder()), f"{blocks_folder()} cannot be written ({why}): what is read is not kept.")
            return False
        with self._lock:
            BlockStore._written += len(block)
            full = BlockStore._written >= min(_LOOK, limit() // 8)
            BlockStore._written = 0 if full else BlockStore._written
        if full:
            shrink(limit())
        return True

    def _put(self, temporary: Path, path: Path, block: bytes) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            about = {"address": without_queries(self.address), "size": self.state.size}
            write_json(self.folder / "file.json", about)
        temporary.write_bytes(block + _checksum(block))
        os.replace(temporary, path)

    def remove(self) -> None:
        """Remove all blocks of this state of the file."""
        shutil.rmtree(self.folder, ignore_errors=True)


def blocks_folder() -> Path:
    """Return the folder of all blocks."""
    return user_cache() / "blocks"


def limit() -> int:
    """Return the bytes that all blocks may take.

    Raises
    ------
    InputError
        SEQ2EXP_CACHE_LIMIT is no number of bytes.
    """
    text = os.environ.get("SEQ2EXP_CACHE_LIMIT", "")
    if not text:
        return LIMIT
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e18:
        expected = "a number of bytes, such as 4e9"
        raise InputError("SEQ2EXP_CACHE_LIMIT", found=repr(text), expected=expected, fix="correct it")
    return int(found)


def shrink(most: int) -> None:
    """Remove the blocks used longest ago until the others take at most `_KEEP` of `most` bytes, if they take more."""
    found = []
    for folder in folders_in(blocks_folder()):
        for path in files_in(folder, "[0-9]*"):
            with suppress(OSError):  # removed meanwhile
                state = path.stat()
                found.append((state.st_mtime, state.st_size, path))
    held = sum(size for _, size, _ in found)
    if held <= most:
        return
    for _, size, path in sorted(found):
        if held <= _KEEP * most:
            return
        with suppress(OSError):
            path.unlink()
            held -= size


def stored() -> list[Stored]:
    """Return what is held of each file, the largest first."""
    found: dict[str, Stored] = {}
    for folder in folders_in(blocks_folder()):
        about = _about(folder)
        address, size = str(about.get("address", "?")), about.get("size")
        held = 0
        for path in files_in(folder, "[0-9]*"):
            with suppress(OSError):
                held += path.stat().st_size
        before = found.get(address)
        found[address] = Stored(address, size if type(size) is int else 0, held + (before.held if before else 0))
    return sorted(found.values(), key=lambda entry: -entry.held)


def remove_stored(address: str) -> int:
    """Remove the blocks of every state of a file, as `stored` names it; return the bytes that this frees."""
    freed = 0
    for folder in folders_in(blocks_folder()):
        if str(_about(folder).get("address", "?")) == address:
            for path in files_in(folder, "[0-9]*"):
                with suppress(OSError):
                    freed += path.stat().st_size
            shutil.rmtree(folder, ignore_errors=True)
    return freed


def _about(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        about = parse_json((folder / "file.json").read_bytes())
        if isinstance(about, dict):
            return about
    return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _checksum(block: bytes) -> bytes:
    return zlib.crc32(block).to_bytes(_CHECK, "little")
