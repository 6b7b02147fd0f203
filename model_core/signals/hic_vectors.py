"""Precomputed contact with transcription start sites: one vector per site, in HDF5 files by chromosome.

The authors' release stores its Hi-C in this form: `hic_feat_<chrom>.h5` with one array for each `chrom_tss`. An
index, a small JSON file, holds the paths of these files and the chromosome lengths; a study names the index as the
signal's path (docs/from-the-authors.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from model_core.errors import InputError
from model_core.files import write_json
from model_core.intervals import match_chromosomes
from model_core.records import parse_json
from model_core.remote.address import InputPath, RemotePath, input_path
from model_core.signals.file_handles import LazyHandle
from model_core.signals.hdf5_files import open_hdf5
from model_core.signals.hic import log_contact
from model_core.signals.remote_rows import remote_vector
from model_core.signals.signal import Signal
from model_core.window import Window

ENDING = ".contact.json"
_LONGEST_INDEX = 1 << 20  # bytes of an index at an address
_FORM = "an index of contact vectors (schema 1; sizes and files by chromosome)"


def write_index(
    path: str | Path, files: Mapping[str, InputPath], sizes: Mapping[str, int], shifted_near_ends: bool = False
) -> None:
    """Write the index of stored contact vectors, atomically.

    Parameters
    ----------
    path : str or Path
        The file to write; its name ends in ENDING.
    files : Mapping[str, Path or RemotePath]
        The HDF5 file of each chromosome.
    sizes : Mapping[str, int]
        Length in bp of each of these chromosomes.
    shifted_near_ends : bool
        See `StoredContact`.
    """
    index = {
        "schema": 1,
        "what": "contact x of every base to one start site: one HDF5 array for each CHROM_TSS, read as log10(1 + x)",
        "shifted_near_ends": shifted_near_ends,
        "sizes": {chrom: int(sizes[chrom]) for chrom in files},
        "files": {chrom: str(file) for chrom, file in files.items()},
    }
    write_json(path, index)


def site_key(chrom: str, tss: int) -> str:
    """Return the name of a site's vector, e.g. "chr1_12345"; `tss` is 0-based as in the release's gene list."""
    return f"{chrom}_{tss}"


class StoredContact(Signal):
    """Stored contact x per base as log10(1 + x); element n // 2 of a vector of n is its start site.

    The stored vectors are as long as the longest window they serve (released: 200,000 bp) and hold 0 beyond the
    chromosome, so that a window's values are their middle part. The release pads them a second time on loading and
    takes the middle of that: within half a window of a chromosome's end its Hi-C is shifted towards the chromosome's
    inside by half the padding (method: point 14). `shifted_near_ends` in the index repeats that; the default does not.

    Parameters
    ----------
    name : str
        As in the study.
    path : str, Path or RemotePath
        The index.
    """

    def __init__(self, name: str, path: str | InputPath):
        self.name, self.path = name, input_path(path)
        self._files = LazyHandle(_OpenFiles)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome that has vectors."""
        return self._index["sizes"]

    def absent(self, chroms: Iterable[str] | str) -> list[str]:
        """Return an empty list: contact that was not computed is unknown, not 0.

        Raises
        ------
        InputError
            No vectors of one of these chromosomes.
        """
        match_chromosomes(self.sizes, chroms, self.path)
        return []

    def read(self, window: Window) -> np.ndarray:
        """Return log10(1 + x) per base, float32 (window.length,); NaN -> 0, 0 beyond the chromosome.

        Raises
        ------
        InputError
            No vector for this start site (only those of the release's gene list have one), a window longer than the
            stored vectors, values below 0, or files that cannot be read.
        """
        match_chromosomes(self.sizes, window.chrom, self.path)
        file = self._index["files"][window.chrom]
        key = site_key(window.chrom, window.tss)
        stored = self._files.get().vector(file, key)
        if stored is None:
            found = f"no contact vector for the TSS {window.chrom}:{window.tss + 1:,}"
            do = "score genes of the release, or use a .hic file for this signal, which serves every site"
            raise InputError(file, found=found, expected="a TSS of the released genes", fix=do)
        if stored.ndim != 1 or len(stored) < window.length:
            found = f"{key} of shape {stored.shape}"
            expected = f"a vector of at least the window's {window.length:,} bp"
            raise InputError(file, found=found, expected=expected, fix="use a shorter window or a .hic file")
        contact = self._placed(stored, window)
        if contact.min(initial=0) < 0:
            found = f"values down to {contact.min():.4g} in {key}"
            fix = "check the file's origin, or download it again"
            raise InputError(file, found=found, expected="contact of 0 or more", fix=fix)
        return log_contact(contact)

    def _placed(self, stored: Any, window: Window) -> np.ndarray:
        """Return the stored values of the window's bases, float64 (window.length,), NaN -> 0."""
        half, first = window.length // 2, len(stored) // 2 - window.length // 2
        if self._index["shifted_near_ends"]:
            left = max(half - window.tss, 0)
            right = max(window.tss + half - self.sizes[window.chrom], 0)
            # The release's window is the middle of `left` zeros, the vector, and `right` zeros.
            first = (len(stored) + left + right - window.length) // 2 - left
        values = np.zeros(window.length)
        start, stop = max(first, 0), min(first + window.length, len(stored))
        values[start - first : stop - first] = stored[start:stop]
        return np.nan_to_num(values, nan=0)

    @cached_property
    def _index(self) -> dict[str, Any]:
        try:
            index = parse_json(_content(self.path))
        except FileNotFoundError:
            do = "check the path, or write it with `seq2exp-viz init --from-airs`"
            raise InputError(self.path, found="no such file", expected=_FORM, fix=do) from None
        except InputError:
            raise
        except (OSError, ValueError) as error:
            do = "write it again with `seq2exp-viz init --from-airs`"
            raise InputError(self.path, found=f"unreadable JSON ({error})", expected=_FORM, fix=do) from None
        if not _is_index(index):
            do = "write it again with `seq2exp-viz init --from-airs`"
            raise InputError(self.path, found="JSON of another form", expected=_FORM, fix=do)
        files = {chrom: _beside(self.path, file) for chrom, file in index["files"].items()}
        return {**index, "files": files, "shifted_near_ends": bool(index.get("shifted_near_ends", False))}


class _OpenFiles:
    """HDF5 files of one thread, opened on first use."""

    def __init__(self) -> None:
        self._open: dict[Path, Any] = {}

    def vector(self, file: InputPath, key: str) -> Any | None:
        """Return the dataset `key`, or of a file at an address its values; None where there is none."""
        if isinstance(file, RemotePath):
            return remote_vector(file, key)
        if file not in self._open:
            self._open[file] = open_hdf5(file, "HDF5 with contact vectors")
        try:
            return self._open[file].get(key)
        except (OSError, KeyError, RuntimeError) as error:
            found = f"damaged data ({error})"
            raise InputError(file, found=found, expected="a complete HDF5 file", fix="copy it again") from None


def _content(path: InputPath) -> bytes:
    """Return the bytes of an index.

    Raises
    ------
    OSError
        It cannot be read.
    InputError
        It cannot be reached, or is too long for an index.
    """
    if isinstance(path, Path):
        return path.read_bytes()
    from model_core.remote.remote_file import open_ranges  # no network code where files are local

    file = open_ranges(path)
    if file.size > _LONGEST_INDEX:
        raise InputError(path, found=f"{file.size:,} bytes", expected=_FORM, fix="check the address")
    return file.read_at(0, file.size)


def _beside(index: InputPath, file: str) -> InputPath:
    """Return the path or address of a file that an index names: an address, or a path from the index on.

    An index at an address names files of its own host only: no server may choose whom this machine asks.

    Raises
    ------
    InputError
        It names another host, or an address of another scheme.
    """
    named = input_path(file)
    if isinstance(index, Path):
        return named if isinstance(named, RemotePath) else index.parent / named
    if not isinstance(named, RemotePath):
        return RemotePath(f"{index.address.rpartition('/')[0]}/{file}")
    if urlsplit(named.url).netloc != urlsplit(index.url).netloc:
        found, expected = f"a file of another host, {named.host}", f"files of {index.host}"
        raise InputError(index, found=found, expected=expected, fix="make an index of your own, on this disk")
    return named


def _is_index(index: Any) -> bool:
    if not isinstance(index, dict) or index.get("schema") != 1:
        return False
    sizes, files = index.get("sizes"), index.get("files")
    if not isinstance(sizes, dict) or not isinstance(files, dict) or not files or set(sizes) != set(files):
        return False
    lengths = all(type(size) is int and size > 0 for size in sizes.values())
    return lengths and all(isinstance(file, str) for file in files.values())
