"""Open files that survive pickling, forks and threads: each process and thread opens its own when needed."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import pysam

from model_core.remote import changes

Handle = TypeVar("Handle")


class LazyHandle(Generic[Handle]):
    """File handle that is opened on first use in each process and thread, and pickles as its opener.

    A handle shared after a fork shares the file position too, and a handle shared by threads is not safe in
    pyfaidx, htslib, libBigWig or HDF5: hence one per thread of each process. It is opened again once any file is found
    to have changed on its server: its header may be the old one.

    Parameters
    ----------
    open_file : callable
        Called without arguments, returns the open file; must be picklable.
    """

    def __init__(self, open_file: Callable[[], Handle]):
        self._open_file = open_file
        self._mine = threading.local()

    def get(self) -> Handle:
        """Return the open file of this process and thread."""
        now = os.getpid(), changes.count()
        if getattr(self._mine, "opened", None) != now:
            self._mine.file = self._open_file()
            self._mine.opened = now
        return self._mine.file

    def __getstate__(self) -> dict:
        return {"open_file": self._open_file}

    def __setstate__(self, state: dict) -> None:
        self._open_file = state["open_file"]
        self._mine = threading.local()


@contextmanager
def quiet_htslib() -> Iterator[None]:
    """Keep htslib from printing to standard error; its failures reach the user as InputError instead."""
    verbosity = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(verbosity)
