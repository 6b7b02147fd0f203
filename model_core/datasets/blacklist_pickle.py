"""Masks of whole chromosomes from a pickle, read by an unpickler that cannot run code.

The authors' release keeps its blacklist as a pickled dict of chromosome -> bool array, one value per base. Each class
or function that such a pickle may name is mapped to a plain container or to a substitute that keeps runs of bases;
every other name is refused, so that a file can only describe data.
"""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.intervals import runs

_EXPECTED = "a pickled dict of chromosome -> bool array, one value per base, and nothing else"
_TYPES = {"b1": np.bool_, "?": np.bool_, "i1": np.int8, "u1": np.uint8}


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
            found = _MaskUnpickler(file).load()
    except FileNotFoundError:
        raise InputError(path, found="no such file", expected=_EXPECTED, fix="check the path") from None
    except MemoryError:
        do = "give the blacklist as a BED, or use a machine with more memory"
        raise InputError(path, found="more data than fits into memory", expected=_EXPECTED, fix=do) from None
    except Exception as error:  # a damaged or hostile pickle can raise anything
        do = "do not trust this file; give the blacklist as a BED"
        raise InputError(path, found=str(error) or type(error).__name__, expected=_EXPECTED, fix=do) from None
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


class _Type:
    """Substitute for a numpy dtype of one byte."""

    def __init__(self, code: str, *_: Any) -> None:
        if code not in _TYPES:
            raise pickle.UnpicklingError(f"an array of type {code!r}, which is not a mask")
        self.type = _TYPES[code]

    def __setstate__(self, _: Any) -> None:
        pass


class _Array:
    """Substitute for a numpy array that keeps runs only: eight bytes per run instead of one per base."""

    def __init__(self) -> None:
        self.runs: ChromosomeRuns | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, _, data = state
        self.fill(data, kind, shape)

    def fill(self, data: Any, kind: Any, shape: Any) -> None:
        """Take the bytes of a mask of this shape."""
        if not isinstance(data, (bytes, bytearray)) or not isinstance(kind, _Type):
            raise pickle.UnpicklingError("an array of objects")
        if tuple(shape) != (len(data),):
            raise pickle.UnpicklingError(f"{len(data)} bytes for an array of shape {tuple(shape)}")
        starts, ends = runs(np.frombuffer(data, np.uint8) != 0)
        self.runs = ChromosomeRuns(len(data), starts, ends)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, kind: Any, shape: Any, *_: Any) -> _Array:
    array = _Array()
    array.fill(data, kind, shape)
    return array


def _bytes(data: Any = b"", encoding: str = "latin1") -> bytes | bytearray:
    return data if isinstance(data, (bytes, bytearray)) else _latin1(data, encoding.replace("-", ""))


def _latin1(text: Any, encoding: str) -> bytes:
    if encoding != "latin1" or not isinstance(text, str):
        raise pickle.UnpicklingError(f"text encoded as {encoding!r}")
    return text.encode("latin1")


_CALLABLES = {  # all that a pickle may name and call
    "collections OrderedDict": collections.OrderedDict,
    "collections defaultdict": lambda *_: {},
    "builtins dict": dict,
    "__builtin__ dict": dict,
    **{f"{module} bytes": _bytes for module in ("builtins", "__builtin__")},
    **{f"{module} bytearray": _bytes for module in ("builtins", "__builtin__")},
    "_codecs encode": _latin1,
    "numpy ndarray": _Array,
    "numpy dtype": _Type,
    **{f"numpy.{core}.multiarray _reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.numeric _frombuffer": _from_buffer for core in ("core", "_core")},
}


class _Memo(dict):
    """Memo of the unpickler without the bytes of chromosomes, which are freed once converted to runs."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, None if isinstance(value, (bytes, bytearray)) and len(value) > 10_000 else value)


class _MaskUnpickler(pickle._Unpickler):
    """Unpickler in Python instead of C: the memo in C is an array, for which a damaged file can request 60 GB."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.memo = _Memo()

    def find_class(self, module: str, name: str) -> Any:
        """Return the substitute of a class or function; refuse any other name."""
        known = _CALLABLES.get(f"{module} {name}")
        if known is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is neither an array nor a plain container")
        return known
