"""Folders for derived files: the requested one, or a temporary one where it cannot be written to.

A home on a read-only or full disk, a missing home, or a file in the folder's place must not stop the program. The
derived files then go to a temporary folder of this user, and the user is notified once.
Plain Python: the model imports this module without further libraries, too.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from model_core.errors import InputError
from model_core.listing import files_in

_notices: dict[str, str] = {}  # folder that is replaced -> notice for the user


def user_cache() -> Path:
    """Return the folder for this user's derived files.

    $SEQ2EXP_CACHE, else the user's cache folder, else a temporary one.
    """
    named = os.environ.get("SEQ2EXP_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # unchanged where there is no home
    return Path(base) / "seq2exp-viz" if os.path.isabs(base) else stand_in()


def parsed_tables() -> list[Path]:
    """Return the files with parsed annotations and peaks: the tables of studies, and the gene models of the page."""
    places = {"annotations": "*.npz", "peaks": "*.npz", ".": "genes-*.npz"}
    return sorted(path for folder, names in places.items() for path in files_in(user_cache() / folder, names))


def why_not_writable(folder: str | Path) -> str | None:
    """Return in a few words why a folder (created where missing) cannot be written to; None where it can."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"seq2exp-viz")
            probe.flush()
    except OSError as problem:
        return (problem.strerror or str(problem)).lower()
    return None


def writable_folder(wanted: str | Path, what: str) -> Path:
    """Return a folder that can be written to: the requested one, or the user's temporary one with a notice.

    Parameters
    ----------
    wanted : str or Path
        The requested folder.
    what : str
        The content, such as "the coverage of reads.bam", for the message.

    Raises
    ------
    InputError
        Neither can be written to.
    """
    wanted = Path(wanted)
    problem = why_not_writable(wanted)
    if problem is None:
        return wanted
    other = stand_in()
    if why_not_writable(other) is not None:
        found, do = f"no writable folder ({problem})", "make it writable, or set TMPDIR to another folder"
        raise InputError(wanted, found=found, expected=f"a folder for {what}", fix=do)
    notice(str(wanted), f"{wanted} cannot be written ({problem}): {what} is kept in {other} for now.")
    return other


def held_file(wanted: str | Path, name: str) -> Path:
    """Return the path of a kept file, in the requested folder or its stand-in; in the requested one if in neither."""
    places = [Path(wanted) / name, stand_in() / name]
    return next((path for path in places if path.is_file()), places[0])


def stand_in() -> Path:
    """Return this user's folder among the temporary files, closed to others; created where missing, if possible."""
    try:
        return _stand_in(tempfile.gettempdir())
    except FileNotFoundError:  # not even a temporary file can be made
        return _stand_in(os.environ.get("TMPDIR") or "/tmp")


@lru_cache(maxsize=4)
def _stand_in(temporary: str) -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(temporary) / f"seq2exp-viz-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077:
            return folder
    except OSError:
        return folder
    # Another user made the folder: its content is not trusted.
    return Path(tempfile.mkdtemp(prefix="seq2exp-viz-", dir=temporary))


def notice(of: str, words: str) -> None:
    """Print a warning once, on standard error, about a folder that is replaced.

    Parameters
    ----------
    of : str
        Key of the notice; a second one with the same key is dropped.
    words : str
        The text.
    """
    if of not in _notices:
        _notices[of] = words
        print(f"warning: {words}", file=sys.stderr, flush=True)


def notices() -> list[str]:
    """Return the notices so far, for display in the page."""
    return list(_notices.values())
