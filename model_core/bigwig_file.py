"""BigWigs of pyBigWig, made in memory: on a full disk it ends the process, or truncates the file without an error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyBigWig

_BLOCK = 1 << 20  # bytes
_MAGIC = (bytes.fromhex("26fc8f88"), bytes.fromhex("888ffc26"))  # at both ends of a whole file, in either byte order


@contextmanager
def writing_bigwig(path: Path) -> Iterator[Any]:
    """Yield a pyBigWig file that is written, and bring it to `path` when the block ends without an error.

    It takes as much memory as the file has bytes. Where the operating system has no files in memory (all but Linux),
    pyBigWig writes to the disk.

    Parameters
    ----------
    path : Path
        The file, created or written over.

    Raises
    ------
    OSError
        The file cannot be written.
    RuntimeError
        pyBigWig could not finish the file.
    """
    if not hasattr(os, "memfd_create"):
        yield from _closed(path)
        return
    with os.fdopen(os.memfd_create("bigWig", os.MFD_CLOEXEC), "rb") as memory:
        yield from _closed(Path(f"/proc/self/fd/{memory.fileno()}"))
        with path.open("wb") as file:
            shutil.copyfileobj(memory, file, _BLOCK)


def _closed(path: Path) -> Iterator[Any]:
    bigwig = pyBigWig.open(str(path), "w")
    try:
        yield bigwig
    finally:
        bigwig.close()
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(-4, os.SEEK_END)
        if start not in _MAGIC or file.read(4) != start:
            raise RuntimeError("the bigWig was not written to its end")
