"""Contacts of HDF5 files at an address: a child process answers each question over ranges of bytes.

HDF5 crashes on some damaged files. A local file is read on trial once (`hdf5_files`); one at an address would have to
be fetched whole for that. The child has the same cache of blocks, and ends with its answer:
`python -m model_core.signals.remote_rows LIMITS sizes|row|vector ...`, as `reader_process` describes. Arrays are
answered as the base64 text of their float64 bytes.
"""

from __future__ import annotations

import base64
import sys
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from model_core.remote.address import InputPath, RemotePath, input_path
from model_core.signals.cooler_rows import WHOLE, CoolerRows
from model_core.signals.hdf5_files import hdf5_errors, open_hdf5
from model_core.signals.reader_process import Limits, answer, ask

_LIMITS = Limits(memory=2, cpu=60)  # of each question; time spent waiting for the server does not count
_VECTORS = "HDF5 with contact vectors"
_LONGEST_VECTOR = 10_000_000  # bases; longer ones are told by their shape alone


class RemoteRows:
    """Normalised contacts of a .cool or .mcool at an address, at one resolution.

    It answers as `CoolerRows` does, and can be pickled and read in any process and thread.

    Parameters
    ----------
    path : RemotePath
        .cool or .mcool.
    resolution : int
        bp per bin; the file must hold it.
    normalisation : str
        Name of a column of bin weights, or "NONE".
    """

    def __init__(self, path: RemotePath, resolution: int, normalisation: str):
        self.path, self.resolution, self.normalisation = path, resolution, normalisation

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome; errors as of `CoolerRows.sizes`."""
        return self._ask("sizes")

    def within(self, distance: int) -> RemoteRows:
        """Return this object, which serves contacts at any distance (`distance` is in bp)."""
        return self

    def row(self, chrom: str, anchor: int, first: int, last: int) -> np.ndarray:
        """Return the normalised contact of the bins first to last - 1 with the bin `anchor`, as `CoolerRows.row`."""
        return _array(_row(self, chrom, anchor, first, last))

    def _ask(self, task: str, *words: object) -> Any:
        return _ask(self.path, "Hi-C", WHOLE, task, self.path, self.resolution, self.normalisation, *words)


def remote_vector(path: RemotePath, key: str) -> np.ndarray | None:
    """Return a dataset of an HDF5 file at an address, float64; None where there is none.

    One of more than one dimension, or longer than any vector of contacts, has its shape and no values of its own.

    Raises
    ------
    InputError
        The file cannot be reached, or is damaged.
    """
    found = _ask(path, "HDF5", _VECTORS, "vector", path, key)
    if found is None:
        return None
    shape = tuple(found["shape"])
    return np.broadcast_to(np.nan, shape) if found["values"] is None else _array(found["values"])


def _ask(path: RemotePath, what: str, expected: str, *words: object) -> Any:
    from model_core.remote.traffic import TRAFFIC  # no network code where files are local

    found = ask("model_core.signals.remote_rows", words, path, what, expected, _LIMITS)
    for name, moved, requests, size in found["traffic"]:
        for number in range(requests):
            TRAFFIC.add(name, 0 if number else moved, size)
    return found["answer"]


@lru_cache(maxsize=16)
def _row(rows: RemoteRows, *place: object) -> str:
    """Return the answer to a row, asked once: a window is read for its ranges, then to be scored."""
    return rows._ask("row", *place)


def _array(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float64)


def _text(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, np.float64).tobytes()).decode()


def read(task: str, address: str, *words: str) -> dict[str, Any]:
    """Answer one question, in the child: {"answer": ..., "traffic": bytes and requests by file}.

    Parameters
    ----------
    task : str
        "sizes", "row" or "vector".
    address : str
        The file.
    *words : str
        resolution, normalisation and, for a row, chromosome, anchor, first and last bin; or the key of a vector.
    """
    from model_core.remote.traffic import TRAFFIC

    answered = _answer(task, input_path(address), *words)
    traffic = [(name, file.moved, file.requests, file.size) for name, file in TRAFFIC.files.items()]
    return {"answer": answered, "traffic": traffic}


def _answer(task: str, path: InputPath, *words: str) -> Any:
    if task == "vector":
        return _vector(path, words[0])
    resolution, normalisation, *more = words
    rows = CoolerRows(path, int(resolution), normalisation)
    if task == "sizes":
        return rows.sizes
    chrom, *bins = more
    return _text(rows.row(chrom, *map(int, bins)))


def _vector(path: InputPath, key: str) -> dict[str, Any] | None:
    with hdf5_errors(path, "damaged data", _VECTORS), open_hdf5(path, _VECTORS) as file:
        stored = file.get(key)
        if stored is None:
            return None
        held = stored.ndim == 1 and len(stored) <= _LONGEST_VECTOR
        return {"shape": list(stored.shape), "values": _text(stored[:]) if held else None}


if __name__ == "__main__":
    answer(read, sys.argv[1:])
