"""Inputs that are read whole: a file on this disk, or the copy of an address in the user's cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from model_core.errors import InputError, Problems
from model_core.remote.address import InputPath

T = TypeVar("T")


def whole_file(path: InputPath, about: str = "") -> Path:
    """Return the path of a whole input: itself, or for an address its copy, fetched unless the cache has it.

    Parameters
    ----------
    path : Path or RemotePath
        The input.
    about : str
        What it is, for the progress.
    """
    if isinstance(path, Path):
        return path
    from model_core.remote.whole_files import local_copy

    return local_copy(path, about)


def read_whole(path: InputPath, read: Callable[[Path], T], about: str = "") -> T:
    """Return what `read` returns for a whole input; its errors name an address, not the copy.

    Parameters
    ----------
    path, about
        As `whole_file`.
    read : callable
        Reads a file on this disk.
    """
    local = whole_file(path, about)
    try:
        return read(local)
    except InputError as error:
        if local == path:
            raise
        found = [replace(item, where=str(item.where).replace(str(local), str(path))) for item in error.problems]
        raise InputError.of(found[0]) if len(found) == 1 else Problems(found) from None
