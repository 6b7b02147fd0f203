"""Atomic writing of files: moved into place when whole, or grown by whole lines of JSON."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

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


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write indented JSON atomically; NaN and infinity, which are not JSON, raise ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def append_json_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append one line of JSON and wait until it is on the disk; if that fails, the file stays as it was.

    Parameters
    ----------
    path : Path
        The file, created where missing; it ends with a whole line (`cut_torn_line`).
    value : dict[str, Any]
        JSON values.

    Raises
    ------
    ValueError
        A value is NaN or infinite, which is no JSON.
    """
    line = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    length = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        if path.exists():
            os.truncate(path, length)
        raise


def whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, without their ends; none without the file.

    A last line that a killed writer left without its end is left out.
    """
    if path.exists():
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    yield line[:-1]


def cut_torn_line(path: Path) -> None:
    """Remove a last line that a killed writer left without its end, or that is no JSON; the caller holds the lock.

    A line's end can reach the disk before the bytes in front of it. Readers leave out such a line only while it is the
    last one.
    """
    from model_core.records import is_whole  # the model runs without pydantic

    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        position = _line_start(file, size)
        if position == size > 0:  # the file ends with a line's end
            start = _line_start(file, size - 1)
            file.seek(start)
            if not is_whole(file.read(size - 1 - start)):
                position = start
        if position < size:
            file.truncate(position)


def _line_start(file: BinaryIO, end: int) -> int:
    """Return the byte after the last line end before byte `end`; 0 without one."""
    while end > 0:
        step = min(65_536, end)
        file.seek(end - step)
        found = file.read(step).rfind(b"\n")
        if found >= 0:
            return end - step + found + 1
        end -= step
    return 0


def json_values(value: Any) -> Any:
    """Return a value as JSON holds it: NumPy numbers become Python's, NaN and infinity None."""
    if isinstance(value, Mapping):
        return {str(key): json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
