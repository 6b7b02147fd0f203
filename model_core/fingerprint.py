"""Fingerprints of files, to detect that a file has changed since something was computed from it."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

PIECES, PIECE = 64, 1 << 16  # read of a file, evenly from its first byte to its last: 4 MB, or all of a smaller one


def fingerprint(path: str | Path) -> str:
    """Return 40 hexadecimal digits that depend on a file's length, modification time and content.

    PIECES of the content are read. A file that is replaced with the same length and time has other content; so has a
    BAM or .hic that was made again, from the first difference on. The path does not count, nor do properties of the
    disk.

    Raises
    ------
    OSError
        It cannot be read.
    """
    path = Path(path).resolve()
    state = path.stat()
    return _fingerprint(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


def sha256_of(path: str | Path) -> str:
    """Return the sha256 of a file's whole content, in hexadecimal digits; computed once for each state of the file.

    Raises
    ------
    OSError
        It cannot be read.
    """
    path = Path(path).resolve()
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


@lru_cache(maxsize=256)
def _sha256(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=256)
def _fingerprint(path: Path, size: int, changed: int, *_: int) -> str:
    """Compute the fingerprint, cached while the file's state is unchanged, as it is requested for every window."""
    digest = hashlib.sha256(f"{size} {changed}".encode())
    with path.open("rb") as file:
        if size <= PIECES * PIECE:
            digest.update(file.read())
        else:
            for number in range(PIECES):
                file.seek((size - PIECE) * number // (PIECES - 1), os.SEEK_SET)
                digest.update(file.read(PIECE))
    return digest.hexdigest()[:40]
