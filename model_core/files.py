"""Atomic writing of files: written next to their place, then moved."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_core.listing import temporary_files


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block ends without an error.

    The temporary file is on the disk (fsync) before it is moved. It keeps the file's suffixes, so that writers that
    depend on them (bgzip, bigWig) work. When the block fails it is removed and `path` stays unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        fsync(temporary)
        os.replace(temporary, path)
        fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically, with line ends as in `text`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: str | Path, value: dict) -> None:
    """Write indented JSON atomically; NaN and infinity, which are not JSON, raise ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed writers in a folder, those unchanged for an hour or more."""
    for path in temporary_files(folder, r"\.[0-9]+\..*"):
        if time.time() - path.stat().st_mtime > 3600:
            path.unlink(missing_ok=True)


def fsync(path: str | Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
