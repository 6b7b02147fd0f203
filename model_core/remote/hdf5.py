"""HDF5 files at an address, read over ranges: .cool, .mcool and the released contact vectors."""

from __future__ import annotations

import atexit
from typing import Any

import h5py

from model_core.remote.address import RemotePath
from model_core.remote.remote_file import remote_file


def open_remote_hdf5(path: RemotePath) -> Any:
    """Open an HDF5 file at an address for reading.

    HDF5 crashes on some damaged files, and one at an address cannot be read on trial as a whole: open it only in a
    process that may end (`signals.remote_rows`). HDF5's own network code is not used.

    Raises
    ------
    InputError
        The file cannot be reached.
    OSError
        No HDF5.
    """
    file = h5py.File(remote_file(path).as_file(), "r")
    atexit.register(file.close)  # HDF5 crashes where its file object is gone before it closes the file
    return file
