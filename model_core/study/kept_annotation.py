"""Rows of an annotation as they were parsed, kept in the user's cache: a GTF of a whole genome takes 15 seconds."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.cache import user_cache
from model_core.files import replacing
from model_core.study.annotation import read_gtf

LEAST = 1_000_000  # bytes of a file whose rows are kept
_FORM = 1  # of what is kept; a change of `read_gtf` needs another number
_KEY, _WORDS = "key", "words"


def kept_gtf(path: Path) -> pd.DataFrame:
    """Return what `annotation.read_gtf` returns; the rows of a large file are parsed once, until the file changes.

    The file is the same where length, inode and times of change are. What is kept is compared with its checksums, and
    parsed again where it is damaged; where the cache cannot be written, it is parsed each time.

    Parameters
    ----------
    path : Path
        A GTF on this disk.

    Raises
    ------
    InputError
        As `read_gtf`.
    """
    key = _key(path)
    if key is None:
        return read_gtf(path)
    place = user_cache() / "annotations" / f"{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:40]}.npz"
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError):
        return _read(place, key)
    rows = read_gtf(path)
    if _key(path) == key:  # it did not change while it was read
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            _write(place, key, rows)
    return rows


def _key(path: Path) -> str | None:
    """Return a text that changes with a file; None for a small one, or none."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    times = f"{state.st_mtime_ns} {state.st_ctime_ns}"
    return f"{_FORM} {state.st_size} {state.st_ino} {times}" if state.st_size >= LEAST else None


def _write(place: Path, key: str, rows: pd.DataFrame) -> None:
    words = {name: list(column.cat.categories) for name, column in rows.items() if column.dtype == "category"}
    arrays = {name: column.cat.codes if name in words else column for name, column in rows.items()}
    texts = {_KEY: key, _WORDS: json.dumps(words)}
    held: dict[str, Any] = {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
    with replacing(place) as temporary, temporary.open("wb") as file:
        held |= {f"column {name}": array.to_numpy() for name, array in arrays.items()}
        np.savez(file, allow_pickle=False, **held)


def _read(place: Path, key: str) -> pd.DataFrame:
    """Return the kept rows; raise ValueError where they are of another file."""
    with place.open("rb") as file, np.load(file, allow_pickle=False) as held:
        if held[_KEY].tobytes().decode() != key:
            raise ValueError("kept of another file")
        words = json.loads(held[_WORDS].tobytes())
        columns = {name.removeprefix("column "): held[name] for name in held.files if name not in (_KEY, _WORDS)}
    made = {
        name: pd.Categorical.from_codes(array, pd.Index(words[name], dtype=str)) if name in words else array
        for name, array in columns.items()
    }
    return pd.DataFrame(made)
