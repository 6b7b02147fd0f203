"""Atomic writing of files: moved into place when whole, or grown by whole lines of JSON."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from model_core.errors import InputError
from model_core.listing import all_in
from model_core.written_place import replaced_file, write_into

_LONGEST_END = 200  # bytes of a name that its temporary one keeps; most file systems hold names of 255
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROBE = 1 << 20  # bytes


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path whose file replaces `path` when the block ends without an error.

    The temporary file is on the disk (fsync) before it is moved, and gets the permissions of the file that it replaces.
    It keeps the file's suffixes, so that writers that depend on them (bgzip, bigWig) work. When the block fails it is
    removed and `path` stays unchanged. What is replaced, and what is written into instead: `written_place.py`.

    Parameters
    ----------
    path : str or Path
        The file, which may be missing; its folder exists.

    Raises
    ------
    InputError
        As `replaced_file`.
    OSError
        It cannot be written; `filename` is `path`.
    """
    path = Path(path)
    place = replaced_file(path)
    if place is None:
        with naming(path), tempfile.TemporaryDirectory(prefix="seq2exp-viz-") as folder:
            temporary = Path(folder) / path.name
            with naming(path, temporary):
                yield temporary
            write_into(path, temporary)
        return
    temporary = place.with_name(f".{os.getpid()}.{_end(path.name)}")
    try:
        with naming(path, temporary):
            yield temporary
            _keep_permissions(place, temporary)
            fsync(temporary)
            os.replace(temporary, place)
            fsync(place.parent)
    finally:
        with suppress(OSError):  # the error that removed it, or its folder, is the one to tell
            temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Raise errors of the block with the file that they are about.

    Parameters
    ----------
    path : Path
        Named in an OSError that names no file, or `temporary`. An error of another kind becomes an OSError if the disk
        is full: libraries report that as errors of their own.
    temporary : Path or None
        The temporary file that the block writes in its place.
    """
    try:
        yield
    except OSError as error:
        if temporary is not None and str(temporary) in (str(error.filename), str(error.filename2)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
    except InputError:
        raise
    except Exception as error:  # each library reports a full disk in its own way; others go on as they are
        full = None if temporary is None else _why_full(temporary)
        if full is None:
            raise
        raise OSError(full.errno, full.strerror, str(path)) from error


def _why_full(temporary: Path) -> OSError | None:
    """Return the error of a disk, a quota or a limit that lets a file grow no further; None where it can grow."""
    try:
        with temporary.open("ab") as file:
            file.write(bytes(_PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error if error.errno in _FULL else None
    return None


def _end(name: str) -> str:
    """Return the end of a file's name, with its suffixes, short enough for the name of its temporary file."""
    return os.fsencode(name)[-_LONGEST_END:].decode("utf-8", "ignore")


def _keep_permissions(place: Path, temporary: Path) -> None:
    """Give the temporary file the permissions of the file that it replaces, or those of a new file."""
    new = temporary.stat()
    try:
        old = place.stat()
    except FileNotFoundError:
        if not new.st_mode & 0o077:  # as some libraries write, through mkstemp, whatever the umask allows
            os.chmod(temporary, 0o666 & ~_umask())
        return
    with suppress(PermissionError):  # of another user's file, or on a file system without permissions
        if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.chown(temporary, old.st_uid, old.st_gid)
    with suppress(PermissionError):
        if stat.S_IMODE(old.st_mode) != stat.S_IMODE(new.st_mode):
            os.chmod(temporary, stat.S_IMODE(old.st_mode) & 0o777)


def _umask() -> int:
    with suppress(OSError, ValueError, IndexError):  # asked of Linux, as changing it would concern other threads
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("\nUmask:")[2].split()[0], 8)
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


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
        with naming(path), path.open("ab") as file:
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


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what killed writers left of the files and folders that they had not moved into place.

    Parameters
    ----------
    folder : Path
        A folder in which only the holder of a lock writes; the caller holds it. No clock and no process number is
        asked.
    name : str or None
        Name of the one file that the lock is for; None for all files of the folder.
    """
    end = ".*" if name is None else re.escape(_end(name))
    for path in all_in(folder):
        if re.fullmatch(rf"\.[0-9]+\.{end}", path.name, re.DOTALL):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def fsync(path: str | Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        if os.path.isdir(path):
            return  # one that may be written and not read, or any on Windows
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
