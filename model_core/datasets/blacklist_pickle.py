"""Masks of whole chromosomes from a pickle, read by an unpickler that cannot run code.

The authors' release keeps its blacklist as a pickled dict of chromosome -> bool array, one value per base. Each class
or function that such a pickle may name is mapped to a plain container or to a substitute that keeps runs of bases;
every other name is refused, so that a file can only describe data.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from model_core.data_pickle import DataUnpickler, StandIn
from model_core.errors import InputError
from model_core.intervals import runs

_EXPECTED = "a pickled dict of chromosome -> bool array, one value per base, and nothing else"
_TYPES = {"b1": np.bool_, "?": np.bool_, "i1": np.int8, "u1": np.uint8}
_BYTES = ("bytes", "bytearray")
_SHOWN = 300  # characters of a library's message
_MOST_RUNS = 1_000_000  # of all chromosomes; ENCODE's blacklist of hg38 has 636 intervals


class ChromosomeRuns(NamedTuple):
    """Runs of bases where a chromosome's mask is set.

    Attributes
    ----------
    length : int
        Length of the chromosome in bp.
    starts, ends : ndarray
        int64, 0-based half-open.
    """

    length: int
    starts: np.ndarray
    ends: np.ndarray


def read_masks(path: str | Path) -> dict[str, ChromosomeRuns]:
    """Read the masks of a pickle, by chromosome; hg38 takes 1.6 GB of memory and half a minute.

    Parameters
    ----------
    path : str or Path
        The pickle.

    Returns
    -------
    dict[str, ChromosomeRuns]
        By chromosome.

    Raises
    ------
    InputError
        Unreadable, damaged, of another content, or naming anything that could run code.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            found = _MaskUnpickler(file, path.stat().st_size).load()
    except FileNotFoundError:
        raise InputError(path, found="no such file", expected=_EXPECTED, fix="check the path") from None
    except MemoryError:
        do = "give the blacklist as a BED, or use a machine with more memory"
        raise InputError(path, found="more data than fits into memory", expected=_EXPECTED, fix=do) from None
    except Exception as error:  # a damaged or hostile pickle can raise anything
        do = "do not trust this file; give the blacklist as a BED"
        raise InputError(path, found=str(error)[:_SHOWN] or type(error).__name__, expected=_EXPECTED, fix=do) from None
    if not isinstance(found, dict) or not all(
        isinstance(chrom, str) and isinstance(mask, _Array) and mask.runs is not None for chrom, mask in found.items()
    ):
        raise InputError(path, found="a pickle of other data", expected=_EXPECTED, fix="give the blacklist as a BED")
    return {chrom: mask.runs for chrom, mask in found.items()}


def mask_intervals(masks: dict[str, ChromosomeRuns]) -> pd.DataFrame:
    """Return chrom (str), start, end (int64) of all runs, sorted by chromosome (as text) and start."""
    order = [chrom for chrom in sorted(masks) if len(masks[chrom].starts)]
    counts = [len(masks[chrom].starts) for chrom in order]
    none = [np.zeros(0, np.int64)]
    return pd.DataFrame(
        {
            "chrom": np.repeat(np.array(order, dtype=object), counts),
            "start": np.concatenate([masks[chrom].starts for chrom in order] or none),
            "end": np.concatenate([masks[chrom].ends for chrom in order] or none),
        }
    )


class _Type(StandIn):
    """Substitute for a numpy dtype of one byte."""

    def __init__(self, code: str, *_: Any) -> None:
        if code not in _TYPES:
            raise pickle.UnpicklingError(f"an array of type {code!r}, which is not a mask")
        self.type = _TYPES[code]

    def __setstate__(self, _: Any) -> None:
        pass


class _Array(StandIn):
    """Substitute for a numpy array that keeps runs only: 16 bytes per run instead of one per base."""

    runs: ChromosomeRuns | None = None  # before it is filled

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count  # of the unpickler: what its arrays keep together

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, _, data = state
        self.fill(data, kind, shape)

    def fill(self, data: Any, kind: Any, shape: Any) -> None:
        """Take the bytes of a mask of this shape."""
        if not isinstance(data, (bytes, bytearray)) or not isinstance(kind, _Type):
            raise pickle.UnpicklingError("an array of objects")
        if tuple(shape) != (len(data),):
            raise pickle.UnpicklingError(f"{len(data)} bytes for an array of shape {tuple(shape)}")
        values = np.frombuffer(data, np.uint8)
        if kind.type is np.bool_ and len(values) and values.max() > 1:
            raise pickle.UnpicklingError(f"a bool of {values.max()}")
        inside = values != 0
        self._count(int(np.count_nonzero(inside[1:] != inside[:-1])) + 1)
        starts, ends = runs(inside)
        self.runs = ChromosomeRuns(len(data), starts, ends)


class _Memo(dict):
    """Memo of the unpickler without the bytes of chromosomes, which are freed once converted to runs."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, None if isinstance(value, (bytes, bytearray)) and len(value) > 10_000 else value)


class _MaskUnpickler(DataUnpickler):
    """Unpickler of masks of chromosomes, which counts the runs that it keeps and the bytes that it decodes."""

    def __init__(self, file: Any, size: int) -> None:
        super().__init__(file, size)
        self.memo = _Memo()
        self._runs_left, self._bytes_left = _MOST_RUNS, size
        self._own: dict[str, Any] = {
            **{f"{module} {kind}": self._bytes for module in ("builtins", "__builtin__") for kind in _BYTES},
            "_codecs encode": self._latin1,
            "numpy ndarray": _Array,
            "numpy dtype": _Type,
            **{f"numpy.{core}.multiarray _reconstruct": self._reconstruct for core in ("core", "_core")},
            **{f"numpy.{core}.numeric _frombuffer": self._from_buffer for core in ("core", "_core")},
        }

    def find_class(self, module: str, name: str) -> Any:
        """Return the substitute of a class or function; refuse any other name."""
        return self._own.get(f"{module} {name}") or super().find_class(module, name)

    def _reconstruct(self, *_: Any) -> _Array:
        return _Array(self._count_runs)

    def _from_buffer(self, data: Any, kind: Any, shape: Any, *_: Any) -> _Array:
        array = self._reconstruct()
        array.fill(data, kind, shape)
        return array

    def _count_runs(self, count: int) -> None:
        self._runs_left -= count
        if self._runs_left < 0:
            raise pickle.UnpicklingError(f"more than {_MOST_RUNS:,} runs of bases")

    def _bytes(self, data: Any = b"", encoding: str = "latin1") -> bytes | bytearray:
        return data if isinstance(data, (bytes, bytearray)) else self._latin1(data, encoding.replace("-", ""))

    def _latin1(self, text: Any, encoding: str) -> bytes:
        if encoding != "latin1" or not isinstance(text, str):
            raise pickle.UnpicklingError(f"text encoded as {encoding!r}")
        self._bytes_left -= len(text)
        if self._bytes_left < 0:
            raise pickle.UnpicklingError("more bytes than the file has, by repetition")
        return text.encode("latin1")
