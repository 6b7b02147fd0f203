"""What writing to a path does: it replaces a file, also behind a link and writes into pipes, devices, open files."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from model_core.errors import InputError

_REFUSED = ((stat.S_ISDIR, "a folder"), (stat.S_ISSOCK, "a socket"), (stat.S_ISBLK, "a disk"))
_NO_PATHS = {
    errno.ELOOP: "a link to itself",
    errno.ENAMETOOLONG: "a name that is too long for the file system",
    errno.ENOTDIR: "a file in the place of a folder",
}
_OPEN_FILES = re.compile(r"/proc/([0-9]+)(?:/task/[0-9]+)?/fd|/dev/fd")
_MOST_LINKS = 40  # from link to link, as Linux follows them


def replaced_file(path: Path) -> Path | None:
    """Return the file that writing to `path` replaces: itself, or what it links to; None where it is written into.

    Written into are a pipe, a terminal, a device such as /dev/null, and an open file such as /dev/stdout.

    Raises
    ------
    InputError
        A folder, a socket, a disk, a link to itself or into no folder, a file on the way, or a name that is too long.
    """
    if _open_file(path) is not None:
        return None
    expected, fix = "the path of a file", "give another path"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        place = Path(os.path.realpath(path)) if path.is_symlink() else path
        if place != path and not place.parent.is_dir():
            raise InputError(path, found=f"a link to {place}, in no folder", expected=expected, fix=fix) from None
        return place
    except OSError as error:
        found = _NO_PATHS.get(error.errno or 0)
        if found is None:
            raise
        raise InputError(_shown(path), found=found, expected=expected, fix=fix) from None
    for is_kind, found in _REFUSED:
        if is_kind(mode):
            raise InputError(path, found=found, expected=expected, fix=fix)
    if not stat.S_ISREG(mode):
        return None
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def write_into(path: Path, content: Path) -> None:
    """Write the bytes of a file into a pipe, a device or an open file, which is neither created nor cut."""
    with content.open("rb") as source, _opened(path) as stream:
        shutil.copyfileobj(source, stream)


def _opened(path: Path) -> BinaryIO:
    number = _open_file(path)
    if isinstance(number, int):
        for stream in (sys.stdout, sys.stderr):  # what was printed comes before what is written now
            stream.flush()
        return os.fdopen(os.dup(number), "wb")
    return os.fdopen(os.open(path, os.O_WRONLY), "wb")


def _open_file(path: Path) -> int | Path | None:
    """Return what a path such as /dev/stdout stands for; None where it is no open file.

    Returns
    -------
    int or Path or None
        The number of an open file of this process, or the path of one of another process.
    """
    for _ in range(_MOST_LINKS):
        folder = Path(os.path.realpath(path.parent))
        found = _OPEN_FILES.fullmatch(str(folder))
        if found and path.name.isdecimal():
            return int(path.name) if found[1] == str(os.getpid()) else folder / path.name
        if not os.path.islink(path):
            return None
        path = folder / os.readlink(path)
    return None


def _shown(path: Path) -> str:
    """Return a path for a message, a long one without its middle."""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:80]}...{text[-80:]}"
