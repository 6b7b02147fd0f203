"""Tables parsed from text, kept in the user's cache as .npz files without pickles, by the content of the text file.

Each file is whole or absent, and several processes may write it at once. A file that is damaged, or that another
version of the parser wrote, counts as absent: the text is parsed again.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from model_core.cache import user_cache
from model_core.files import replacing
from model_core.fingerprint import fingerprint
from model_core.listing import files_in

_KINDS = {"int64": "i", "float64": "f", "str": "i", "category": "i"}  # kind of the array that holds a column
_LONG = 1.0  # seconds; what is parsed faster is not kept
_UNREADABLE = (  # what numpy, zipfile and pandas raise for a damaged file
    *(OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class KeptTables:
    """Tables of one kind.

    Attributes
    ----------
    folder : str
        Folder in the user's cache.
    columns : Mapping[str, str]
        "int64", "float64", "str" or "category" by name of the column, in the table's order. No text holds the end of a
        line, and none is missing.
    read : callable
        Parses a file.
    code : Sequence[ModuleType]
        Modules on which the result rests: where one has changed, files are parsed again.
    most : int
        Tables that are kept; the ones that were used longest ago go first.
    """

    folder: str
    columns: Mapping[str, str]
    read: Callable[[Path], pd.DataFrame]
    code: Sequence[ModuleType]
    most: int

    def table(self, path: Path) -> pd.DataFrame:
        """Return what `read` returns for a file, from the cache where it is kept.

        A file whose content, length or time of change is another one is parsed again, and so is every file after an
        update of the parser. Errors are those of `read`.
        """
        place = self._place(path)
        if place is not None and (kept := self._load(place)) is not None:
            return kept
        began = time.monotonic()
        table = self.read(path)
        if place is not None and time.monotonic() - began >= _LONG and place == self._place(path):  # not changed since
            self._keep(place, table)
        return table

    def _place(self, path: Path) -> Path | None:
        """Return the file of a table in the cache; None where the text cannot be read."""
        with suppress(OSError):
            key = f"{fingerprint(path)} {_digest(*(module.__file__ for module in self.code))} {dict(self.columns)}"
            return user_cache() / self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.npz"
        return None

    def _keep(self, place: Path, table: pd.DataFrame) -> None:
        """Write a table to the cache; where that cannot be written, the next process parses again."""
        arrays = {}
        for name, kind in self.columns.items():
            if kind in ("int64", "float64"):
                arrays[name] = table[name].to_numpy()
                continue
            values = table[name] if kind == "category" else table[name].astype("category")
            arrays[name] = values.cat.codes.to_numpy()
            arrays[f"{name}.words"] = np.frombuffer("\n".join(values.cat.categories).encode("utf-8"), np.uint8)
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]  # numpy's stub mixes names and options
            kept = sorted(files_in(place.parent, "*.npz"), key=lambda kept: kept.stat().st_mtime, reverse=True)
            for old in kept[self.most :]:
                old.unlink(missing_ok=True)

    def _load(self, place: Path) -> pd.DataFrame | None:
        """Return a kept table, which becomes the one used last; None where there is none, or a damaged one."""
        if not place.is_file():
            return None
        try:
            with place.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # checksums are compared
                table = self._table(arrays)
        except _UNREADABLE:
            with suppress(OSError):
                place.unlink()
            return None
        with suppress(OSError):
            place.touch()
        return table

    def _table(self, arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """Return the table of arrays as they are kept.

        Raises
        ------
        ValueError
            Arrays of another kind or length, or a number that stands for no text.
        """
        columns: dict[str, object] = {}
        rows = None
        for name, kind in self.columns.items():
            values = arrays[name]
            rows = values.shape if rows is None else rows
            if values.shape != rows or len(rows) != 1 or values.dtype.kind != _KINDS[kind]:
                raise ValueError(f"{name}: {values.dtype} {values.shape}")
            if kind in ("int64", "float64"):
                columns[name] = values.astype(kind, copy=False)
                continue
            if len(values) and values.min() < 0:
                raise ValueError(f"{name}: a missing text")
            words = arrays[f"{name}.words"].tobytes().decode("utf-8").split("\n")
            coded = pd.Categorical.from_codes(values, words)  # refuses a number beyond the words
            columns[name] = coded if kind == "category" else pd.Series(coded).astype(str)
        return pd.DataFrame(columns)


@cache
def _digest(*files: str) -> str:
    """Return a digest of this module and of others."""
    digest = hashlib.sha256()
    for source in (__file__, *files):
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()
