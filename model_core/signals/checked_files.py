"""Checks of whole files that are made once: remembered while a file's device, inode, size and times stay the same."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from model_core.cache import user_cache

_RULE = 1  # version of the checks; raise it when a file that passed may now be refused
_LONG = 0.2  # seconds; a check that takes longer is remembered on the disk too
_passed: set[tuple] = set()


def check_once(path: Path, what: str, check: Callable[[Path], None]) -> None:
    """Check a file unless it passed this check before, in this process or, if that took long, in any.

    Only success is remembered. The file's state is that before the check, so that a file that changes meanwhile is
    checked again.

    Parameters
    ----------
    path : Path
        A file that exists.
    what : str
        Name of the check.
    check : callable
        Called with `path`; raises where the file does not pass.

    Raises
    ------
    OSError
        There is no such file.
    """
    found = os.stat(path)
    state = (what, _RULE, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if state in _passed:
        return
    mark = user_cache() / "checked" / hashlib.sha256(json.dumps(state).encode()).hexdigest()[:40]
    if not os.path.isfile(mark):  # unlike Path.is_file, False too where a folder above it may not be entered
        began = time.monotonic()
        check(path)
        if time.monotonic() - began > _LONG:
            with suppress(OSError):  # a cache that cannot be written: checked again by the next process
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()
    _passed.add(state)
