"""Rows of a GTF, parsed once: kept in the user's cache as an .npz without pickles, by the content of the GTF.

Each file is whole or absent, and several processes may write it at once. A file that is damaged, or that another
version of the parser wrote, counts as absent: the GTF is parsed again.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from model_core import bed
from model_core.cache import user_cache
from model_core.files import replacing
from model_core.fingerprint import fingerprint
from model_core.listing import files_in
from model_core.study import annotation

COORDINATES = ("start", "end")
NAMES = ("chrom", "strand", "type", "gene_id", "symbol", "gene_type", "transcript_id")  # categorical
COLUMNS = ("chrom", "start", "end", "strand", "type", "gene_id", "symbol", "gene_type", "transcript_id")
MOST_KEPT = 4  # annotations; the ones that were used longest ago go first
_LONG = 1.0  # seconds; what is parsed faster is not kept
_UNREADABLE = (  # what numpy, zipfile and pandas raise for a damaged file
    *(OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)


def parsed_gtf(path: Path) -> pd.DataFrame:
    """Return the rows of a GTF as `annotation.read_gtf`, from the cache where they are kept.

    A file whose content, length or time of change is another one is parsed again, and so is every file after an update
    of the parser.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    DataFrame
        As from `annotation.read_gtf`.

    Raises
    ------
    InputError
        As `annotation.read_gtf`.
    """
    place = _place(path)
    if place is not None and (kept := _read(place)) is not None:
        return kept
    began = time.monotonic()
    table = annotation.read_gtf(path)
    if place is not None and time.monotonic() - began >= _LONG and place == _place(path):  # unchanged meanwhile
        _keep(place, table)
    return table


def _place(path: Path) -> Path | None:
    """Return the file of an annotation in the cache; None where the annotation cannot be read."""
    with suppress(OSError):
        key = f"{fingerprint(path)} {_parser()}"
        return user_cache() / "annotations" / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.npz"
    return None


@cache
def _parser() -> str:
    """Return a digest of the code that parses and keeps annotations."""
    digest = hashlib.sha256()
    for source in (__file__, annotation.__file__, bed.__file__):
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()


def _keep(place: Path, table: pd.DataFrame) -> None:
    """Write a table to the cache; where that cannot be written, the next process parses again."""
    arrays = {name: table[name].to_numpy() for name in COORDINATES}
    for name in NAMES:
        arrays[name] = table[name].cat.codes.to_numpy()
        words = "\n".join(table[name].cat.categories)  # no name holds the end of a line
        arrays[f"{name}.words"] = np.frombuffer(words.encode("utf-8"), np.uint8)
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]  # numpy's stub mixes names and options
        kept = sorted(files_in(place.parent, "*.npz"), key=lambda kept: kept.stat().st_mtime, reverse=True)
        for old in kept[MOST_KEPT:]:
            old.unlink(missing_ok=True)


def _read(place: Path) -> pd.DataFrame | None:
    """Return a kept table, which becomes the one used last; None where there is none, or a damaged one."""
    if not place.is_file():
        return None
    try:
        with (
            place.open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):  # the checksum of each array is compared
            table = _table({name: arrays[name] for name in (*COORDINATES, *NAMES, *(f"{n}.words" for n in NAMES))})
    except _UNREADABLE:
        with suppress(OSError):
            place.unlink()
        return None
    with suppress(OSError):
        place.touch()
    return table


def _table(arrays: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the table of arrays as they are kept.

    Raises
    ------
    ValueError
        Arrays of another kind or length, or a number that stands for no name.
    """
    rows = arrays["start"].shape
    columns: dict[str, object] = {}
    for name in COLUMNS:
        values = arrays[name]
        if values.shape != rows or len(rows) != 1 or values.dtype.kind != "i" or (len(values) and values.min() < 0):
            raise ValueError(f"{name}: {values.dtype} {values.shape}")
        if name in COORDINATES:
            columns[name] = values.astype(np.int64, copy=False)
        else:
            words = arrays[f"{name}.words"].tobytes().decode("utf-8").split("\n")
            columns[name] = pd.Categorical.from_codes(values, words)  # refuses a code beyond the words
    return pd.DataFrame(columns)
