"""What tells one state of a file from another, for what is computed from it once and kept."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

PIECES, PIECE = 64, 1 << 16  # read of a file, evenly from its first byte to its last: 4 MB, or all of a smaller one


def fingerprint(path: str | Path) -> str:
    """40 hexadecimal digits out of a file's length, its time of change and its content, of which PIECES are read.

    A copy over a file that keeps length and time of the old one has other content; so has a BAM or .hic that was made
    again, from the first difference on. The path does not count, nor does what only a disk knows of a file.

    Raises
    ------
    OSError
        It cannot be read.
    """
    path = Path(path).resolve()
    state = path.stat()
    return _fingerprint(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


def sha256_of(path: str | Path) -> str:
    """Return the sha256 of a file's whole content, in hexadecimal digits.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=256)
def _fingerprint(path: Path, size: int, changed: int, *_: int) -> str:
    """Remembered while nothing of the file changes, for it is asked for with every window."""
    digest = hashlib.sha256(f"{size} {changed}".encode())
    with path.open("rb") as file:
        if size <= PIECES * PIECE:
            digest.update(file.read())
        else:
            for number in range(PIECES):
                file.seek((size - PIECE) * number // (PIECES - 1), os.SEEK_SET)
                digest.update(file.read(PIECE))
    return digest.hexdigest()[:40]
