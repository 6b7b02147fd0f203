"""Contents of folders, without the stray files that file systems, editors and copies leave in any folder.

All code that lists a folder of a run, a study or a user uses this module, so that one rule holds everywhere. A stray
is recognised by its name: hidden files (``._MACS3.narrowPeak``, ``.DS_Store``, ``.nfs0001``, ``.x.swp``), files of
editors and downloads (``x~``, ``#x#``, ``x.tmp``), files of Windows and file servers (``Thumbs.db``), and names that
are not UTF-8 or hold control characters. Apart from the name, only readable regular files count as files: no folder
with a file's name, no dangling link, no pipe, nothing that this user may not read.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Container, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

_ENDINGS = ("~", ".swp", ".swo", ".tmp", ".temp", ".part", ".partial", ".crdownload", ".bak", ".orig", ".rej", ".lock")
_NAMES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
)


def is_stray(name: str) -> bool:
    """Return whether a file or folder of this name is a stray, not data (see the module)."""
    lower = name.lower()
    return (
        name.startswith((".", "~$"))
        or lower.endswith(_ENDINGS)
        or lower in _NAMES
        or (name.startswith("#") and name.endswith("#"))
        or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)  # Cs: bytes that are not UTF-8
    )


def files_in(folder: str | Path, pattern: str = "*") -> list[Path]:
    """Return the files of a folder whose names match a pattern (case-sensitive), sorted; none without it."""
    return sorted(
        Path(entry.path) for entry in _entries(folder) if fnmatchcase(entry.name, pattern) and _is_file(entry)
    )


def folders_in(folder: str | Path, pattern: str = "*") -> list[Path]:
    """Return the folders in a folder whose names match a pattern, sorted; none without the folder."""
    return sorted(
        Path(entry.path) for entry in _entries(folder) if fnmatchcase(entry.name, pattern) and _is_folder(entry)
    )


def is_empty(folder: str | Path, apart: Container[str] = ()) -> bool:
    """Return whether a folder holds only strays, and the names in `apart`."""
    return all(entry.name in apart for entry in _entries(folder))


def all_in(folder: str | Path) -> list[Path]:
    """Return everything in a folder, strays included, sorted; none without the folder."""
    return sorted(Path(entry.path) for entry in _entries(folder, strays=True))


def files_below(
    folder: str | Path, deepest: int | None = None, links: bool = False, apart: Container[str] = ()
) -> Iterator[Path]:
    """Yield the files of a folder and of its subfolders, sorted within each; links to folders are never followed.

    Parameters
    ----------
    folder : str or Path
        The folder.
    deepest : int or None
        Levels of subfolders that are searched; None means all.
    links : bool
        Whether links to files count.
    apart : Container[str]
        Names of files and folders that are left out on every level.
    """
    entries = sorted((entry for entry in _entries(folder) if entry.name not in apart), key=lambda entry: entry.name)
    for entry in entries:
        if _is_file(entry) and (links or not entry.is_symlink()):
            yield Path(entry.path)
    for entry in entries:
        if deepest != 0 and not entry.is_symlink() and _is_folder(entry):
            yield from files_below(entry.path, None if deepest is None else deepest - 1, links, apart)


def unreadable(folder: str | Path, pattern: str = "*") -> list[Path]:
    """Return the files that `files_in` leaves out only because this user may not read them."""
    return sorted(
        Path(entry.path)
        for entry in _entries(folder)
        if fnmatchcase(entry.name, pattern) and _is_regular(entry) and not _is_file(entry)
    )


def temporary_files(folder: str | Path, pattern: str) -> list[Path]:
    """Return the program's own temporary files in a folder, for their removal.

    Parameters
    ----------
    folder : str or Path
        The folder.
    pattern : str
        Regular expression for the whole name; hidden names are matched, too.
    """
    found = _entries(folder, strays=True)
    return sorted(Path(entry.path) for entry in found if re.fullmatch(pattern, entry.name) and _is_regular(entry))


def _entries(folder: str | Path, strays: bool = False) -> list[os.DirEntry]:
    """Return the entries of a folder; none where there is no such folder, or it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if strays or not is_stray(entry.name)]
    except OSError:
        return []


def _is_file(entry: os.DirEntry) -> bool:
    return _is_regular(entry) and os.access(entry.path, os.R_OK)


def _is_regular(entry: os.DirEntry) -> bool:
    with suppress(OSError):  # a link to itself, or into a folder that this user may not read
        return entry.is_file()
    return False


def _is_folder(entry: os.DirEntry) -> bool:
    with suppress(OSError):
        return entry.is_dir()
    return False
