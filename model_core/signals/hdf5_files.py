"""Opening of HDF5 files: .cool, .mcool and the released contact vectors."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from model_core.errors import InputError
from model_core.remote.address import InputPath, RemotePath
from model_core.signals.checked_files import check_once
from model_core.signals.reader_process import Limits, answer, ask

WHOLE_BYTES = 64_000_000  # of a file that is read completely on trial; of a larger one as many
_PIECE, _SMALL_PIECE = 1 << 20, 1 << 16  # bytes that are read at once, at least; the second of a larger file
_PACKED = 2_000  # bytes that a stored byte can stand for; a dataset that claims more is not read completely
_SMALL_FILE = 4_000_000  # bytes; HDF5 can follow damage in a circle, and a small file is read within a second
_LIMITS = {True: Limits(memory=2, cpu=15), False: Limits(memory=2, cpu=120)}  # small, larger


@contextmanager
def hdf5_errors(path: InputPath, trouble: str, expected: str) -> Iterator[None]:
    """Convert what h5py raises on a damaged file, `trouble`, to InputError."""
    try:
        yield
    except InputError:
        raise
    except (OSError, KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip("'\"").splitlines() or ["unknown"]
        fix = "copy or convert it again"
        raise InputError(path, found=f"{trouble} ({reason[0]})", expected=expected, fix=fix) from None


def open_hdf5(path: InputPath, expected: str, what: str = "HDF5", locking: bool = False) -> Any:
    """Open an HDF5 file for reading, by default without a lock, so that read-only folders work.

    HDF5 crashes on some damaged files. A child process therefore reads a file on trial before it is opened here, once
    as long as it does not change: all groups and attributes, and all datasets or, of a file of more than WHOLE_BYTES,
    pieces spread evenly over each. Damage between these pieces is met only when it is read. A file at an address is
    not tried: it may be opened only in a process that may end (`remote_rows`).

    Parameters
    ----------
    path : Path or RemotePath
        The file.
    expected, what : str
        What the file should hold, and what it is, for messages.
    locking : bool
        Whether HDF5 locks the file, as it does by default; all that open one file in a process must agree.

    Raises
    ------
    InputError
        No such file, not HDF5, damaged, or no h5py installed.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(
            "this installation",
            found="no h5py",
            expected="the extra `model`",
            fix="run `pip install 'seq2exp-viz[model]'`",
        ) from None
    if isinstance(path, RemotePath):
        return _open_remote(path, expected, what)
    if not path.is_file():
        raise InputError(path, found="no such file", expected=expected, fix="check the path")
    check_once(path, "HDF5", partial(_try, expected=expected, what=what))
    try:
        return h5py.File(path, "r", locking=None if locking else False)
    except OSError as error:
        raise _unreadable(path, expected, what, error) from None


def _open_remote(path: RemotePath, expected: str, what: str) -> Any:
    from model_core.remote.hdf5 import open_remote_hdf5  # needs h5py

    try:
        return open_remote_hdf5(path)
    except OSError as error:
        raise _unreadable(path, expected, what, error) from None


def _try(path: Path, expected: str, what: str) -> None:
    small = path.stat().st_size <= _SMALL_FILE
    ask("model_core.signals.hdf5_files", [path, expected, what], path, what, expected, _LIMITS[small])


def _unreadable(path: InputPath, expected: str, what: str, error: BaseException) -> InputError:
    reason = (str(error).strip("'\"").splitlines() or [type(error).__name__])[0]
    fix = "copy or download it again"
    return InputError(path, found=f"no readable {what} ({reason})", expected=expected, fix=fix)


def read_on_trial(path: str, expected: str, what: str) -> None:
    """Read all groups and attributes, and all or a share of each dataset, of a file that may be damaged.

    Raises
    ------
    InputError
        Something in it cannot be read.
    """
    import h5py

    size = Path(path).stat().st_size

    def read(_name: str, item: Any) -> None:
        for key in item.attrs:
            _ = item.attrs[key]
        if isinstance(item, h5py.Dataset):
            _read_pieces(item, size)

    try:
        with h5py.File(path, "r", locking=False) as file:
            read("/", file)
            file.visititems(read)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise _unreadable(Path(path), expected, what, error) from None


def _read_pieces(dataset: Any, file_size: int) -> None:
    if not dataset.shape:  # a scalar, or empty
        _ = dataset[()]
        return
    length, row = dataset.shape[0], dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    piece = _PIECE if file_size <= WHOLE_BYTES else _SMALL_PIECE
    chunk = dataset.chunks[0] if dataset.chunks else 1
    step = max(piece // max(row, 1) // chunk, 1) * chunk
    count = -(-length // step)
    wanted = math.ceil(count * min(1, WHOLE_BYTES / file_size, _PACKED * file_size / max(length * row, 1)))
    for number in range(wanted):
        start = number * (count - 1) // max(wanted - 1, 1) * step
        _ = dataset[start : start + step]


if __name__ == "__main__":
    answer(read_on_trial, sys.argv[1:])
