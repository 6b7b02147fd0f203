"""What lies in a folder, without the strays that file systems, editors and copies leave in any folder.

All code that looks through a folder of a run, a study or a user goes through here, so that one rule holds everywhere.
A stray is told by its name: hidden files (``._MACS3.narrowPeak``, ``.DS_Store``, ``.nfs0001``, ``.x.swp``), what
editors and downloads leave (``x~``, ``#x#``, ``x.tmp``), what Windows and file servers keep (``Thumbs.db``), and names
that are not UTF-8 or hold control characters. Apart from the name, only readable regular files count as files: no
folder that is named like one, no dangling link, no pipe, nothing that this user may not read.
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
    """Whether a file or folder of this name is nobody's data (see the module)."""
    lower = name.lower()
    return (
        name.startswith((".", "~$"))
        or lower.endswith(_ENDINGS)
        or lower in _NAMES
        or (name.startswith("#") and name.endswith("#"))
        or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)  # Cs: bytes that are not UTF-8
    )


def files_in(folder: str | Path, pattern: str = "*") -> list[Path]:
    """The files of a folder whose names match a pattern ("*.tsv", in this case), by name; none without the folder."""
    return sorted(
        Path(entry.path) for entry in _entries(folder) if fnmatchcase(entry.name, pattern) and _is_file(entry)
    )


def folders_in(folder: str | Path, pattern: str = "*") -> list[Path]:
    """The folders in a folder whose names match a pattern, by name; none without the folder."""
    return sorted(
        Path(entry.path) for entry in _entries(folder) if fnmatchcase(entry.name, pattern) and _is_folder(entry)
    )


def is_empty(folder: str | Path, apart: Container[str] = ()) -> bool:
    """Whether a folder holds nothing but strays, and what is named in `apart`."""
    return all(entry.name in apart for entry in _entries(folder))


def all_in(folder: str | Path) -> list[Path]:
    """Whatever lies in a folder, strays among it, by name; none without the folder."""
    return sorted(Path(entry.path) for entry in _entries(folder, strays=True))


def files_below(
    folder: str | Path, deepest: int | None = None, links: bool = False, apart: Container[str] = ()
) -> Iterator[Path]:
    """The files of a folder and of those in it, by name within each; links to folders are never followed.

    Parameters
    ----------
    deepest : int or None
        Levels of folders below `folder` that are looked into; None = all.
    links : bool
        Whether links to files count.
    apart : Container[str]
        Names of files and folders that are left out, wherever they lie.
    """
    entries = sorted((entry for entry in _entries(folder) if entry.name not in apart), key=lambda entry: entry.name)
    for entry in entries:
        if _is_file(entry) and (links or not entry.is_symlink()):
            yield Path(entry.path)
    for entry in entries:
        if deepest != 0 and not entry.is_symlink() and _is_folder(entry):
            yield from files_below(entry.path, None if deepest is None else deepest - 1, links, apart)


def unreadable(folder: str | Path, pattern: str = "*") -> list[Path]:
    """The files that `files_in` leaves out only because this user may not read them."""
    return sorted(
        Path(entry.path)
        for entry in _entries(folder)
        if fnmatchcase(entry.name, pattern) and _is_regular(entry) and not _is_file(entry)
    )


def temporary_files(folder: str | Path, pattern: str) -> list[Path]:
    """The program's own temporary files in a folder: all names, hidden ones among them, that match a regular
    expression; for their removal."""
    found = _entries(folder, strays=True)
    return sorted(Path(entry.path) for entry in found if re.fullmatch(pattern, entry.name) and _is_regular(entry))


def _entries(folder: str | Path, strays: bool = False) -> list[os.DirEntry]:
    """What the folder holds now; nothing where there is no such folder, or it cannot be looked into."""
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if strays or not is_stray(entry.name)]
    except OSError:
        return []


def _is_file(entry: os.DirEntry) -> bool:
    return _is_regular(entry) and os.access(entry.path, os.R_OK)


def _is_regular(entry: os.DirEntry) -> bool:
    with suppress(OSError):  # a link that leads back to itself, or into a folder that is closed to this user
        return entry.is_file()
    return False


def _is_folder(entry: os.DirEntry) -> bool:
    with suppress(OSError):
        return entry.is_dir()
    return False
