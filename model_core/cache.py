"""Folders for what can be made again: the wanted one, or another where nothing can be written there.

A home on a read-only disk, one that is full, none at all, or a file where the folder should be must not keep anybody
from an answer. What would be kept there then goes to a temporary folder of this user, and that is said once.
Plain Python: the model imports this on a bare machine, too.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from model_core.errors import InputError

_notices: dict[str, str] = {}  # what stands in for which folder, in words for the user


def user_cache() -> Path:
    """Where derived files of this user may lie: $SEQ2EXP_CACHE, else the user's cache folder, else a temporary one."""
    named = os.environ.get("SEQ2EXP_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # unchanged where there is no home
    return Path(base) / "seq2exp-viz" if os.path.isabs(base) else stand_in()


def why_not_writable(folder: str | Path) -> str | None:
    """Why nothing can be kept in a folder (made where missing), in a few words; None where it can."""
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
    """A folder that can be written: the wanted one, or the user's temporary one, which is then said (`notices`).

    Parameters
    ----------
    what : str
        Is kept there, such as "the coverage of reads.bam".

    Raises
    ------
    InputError
        Neither can be written.
    """
    wanted = Path(wanted)
    problem = why_not_writable(wanted)
    if problem is None:
        return wanted
    other = stand_in()
    if why_not_writable(other) is not None:
        found, do = f"no place to write to ({problem})", "make it writable, or name another folder in TMPDIR"
        raise InputError(wanted, found=found, expected=f"a folder for {what}", fix=do)
    notice(str(wanted), f"{wanted} cannot be written ({problem}): {what} is kept in {other} for now.")
    return other


def held_file(wanted: str | Path, name: str) -> Path:
    """Where a kept file lies, in the wanted folder or what stood in for it; if nowhere, its place in the wanted one."""
    places = [Path(wanted) / name, stand_in() / name]
    return next((path for path in places if path.is_file()), places[0])


def stand_in() -> Path:
    """The folder of this user among the temporary files, closed to others; made where missing, if that is possible."""
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
    return Path(
        tempfile.mkdtemp(prefix="seq2exp-viz-", dir=temporary)
    )  # somebody else was there before: nothing of theirs is trusted


def notice(of: str, words: str) -> None:
    """Say once, on standard error, that something stands in for something else."""
    if of not in _notices:
        _notices[of] = words
        print(f"warning: {words}", file=sys.stderr, flush=True)


def notices() -> list[str]:
    """What was said so far, for a page that shows it, too."""
    return list(_notices.values())
