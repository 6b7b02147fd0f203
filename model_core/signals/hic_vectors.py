"""Contact to transcription starts that was worked out before: one vector a start site, in HDF5 files by chromosome.

The authors' release stores its Hi-C like that: `hic_feat_<chrom>.h5` with one array for each `chrom_tss`. An index, a
small JSON file, says where those files are and how long the chromosomes are; a study names the index as the signal's
path (docs/from-the-authors.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from model_core.errors import InputError
from model_core.files import write_json
from model_core.intervals import match_chromosomes
from model_core.signals.file_handles import LazyHandle
from model_core.signals.hic import log_contact
from model_core.signals.signal import Signal
from model_core.window import Window

ENDING = ".contact.json"
_FORM = "an index of contact vectors (schema 1; sizes and files by chromosome)"


def write_index(
    path: str | Path, files: Mapping[str, Path], sizes: Mapping[str, int], shifted_near_ends: bool = False
) -> None:
    """Write the index of stored contact vectors, atomically.

    Parameters
    ----------
    path : str or Path
        Ends in ENDING.
    files : Mapping[str, Path]
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
    """The name of a start site's vector, e.g. "chr1_12345"; the site is 0-based as in the release's gene list."""
    return f"{chrom}_{tss}"


class StoredContact(Signal):
    """log10(1 + x) of the stored contact x; a vector's middle, element n // 2 of n, is its start site.

    The stored vectors are as long as the longest window they serve (released: 200,000 bp) and hold 0 beyond the
    chromosome, so that a window's values are their middle part. The release pads them a second time on loading and
    takes the middle of that: within half a window of a chromosome's end its Hi-C is shifted towards the chromosome's
    inside by half the padding (method: point 14). `shifted_near_ends` in the index repeats that; the default does not.

    Parameters
    ----------
    name : str
        As in the study.
    path : str or Path
        The index.
    """

    def __init__(self, name: str, path: str | Path):
        self.name, self.path = name, Path(path)
        self._files = LazyHandle(_OpenFiles)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome that has vectors."""
        return self._index["sizes"]

    def absent(self, chroms: Iterable[str] | str) -> list[str]:
        """Never any: contact that was not worked out is unknown, not 0.

        Raises
        ------
        InputError
            No vectors of one of these chromosomes.
        """
        match_chromosomes(self.sizes, chroms, self.path)
        return []

    def read(self, window: Window) -> np.ndarray:
        """float32 (window.length,): log10(1 + x); NaN -> 0, 0 beyond the chromosome.

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
            found = f"no contact vector for {window.chrom}:{window.tss + 1:,}"
            do = "score genes of the release, or name a .hic file as this signal, which serves every site"
            raise InputError(file, found=found, expected="one, as for the start sites of the released genes", fix=do)
        if stored.ndim != 1 or len(stored) < window.length:
            found = f"{key} of shape {stored.shape}"
            expected = f"a vector of at least the window's {window.length:,} bp"
            raise InputError(file, found=found, expected=expected, fix="take a shorter window, or a .hic file")
        contact = self._placed(stored, window)
        if contact.min(initial=0) < 0:
            found = f"values down to {contact.min():.4g} in {key}"
            raise InputError(file, found=found, expected="contact, 0 or more", fix="check where the file comes from")
        return log_contact(contact)

    def _placed(self, stored: Any, window: Window) -> np.ndarray:
        """float64 (window.length,): the stored values of the window's bases, NaN -> 0."""
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
            index = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            do = "check the path, or write it with `seq2exp-viz init --from-airs`"
            raise InputError(self.path, found="no such file", expected=_FORM, fix=do) from None
        except (OSError, ValueError) as error:
            raise InputError(
                self.path, found=f"unreadable JSON ({error})", expected=_FORM, fix="write it again"
            ) from None
        if not _is_index(index):
            raise InputError(self.path, found="other JSON", expected=_FORM, fix="write it again")
        files = {chrom: self.path.parent / file for chrom, file in index["files"].items()}
        return {**index, "files": files, "shifted_near_ends": bool(index.get("shifted_near_ends", False))}


class _OpenFiles:
    """HDF5 files of one thread, opened on first use."""

    def __init__(self):
        self._open: dict[Path, Any] = {}

    def vector(self, file: Path, key: str) -> Any | None:
        """The dataset `key`, None where there is none."""
        if file not in self._open:
            self._open[file] = open_hdf5(file, "contact vectors")
        try:
            return self._open[file].get(key)
        except (OSError, KeyError, RuntimeError) as error:
            raise InputError(file, found=f"damage ({error})", expected="whole HDF5", fix="copy it again") from None


def open_hdf5(path: Path, what: str) -> Any:
    """An HDF5 file opened for reading, without a lock, so that folders one cannot write to will do.

    Raises
    ------
    InputError
        No such file, not HDF5, or no h5py installed.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(
            "this installation", found="no h5py", expected="the extra `model`", fix="pip install 'seq2exp-viz[model]'"
        ) from None
    if not path.is_file():
        raise InputError(path, found="no such file", expected=f"HDF5 with {what}", fix="check the path")
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        found = f"no readable HDF5 ({error})"
        raise InputError(path, found=found, expected=f"HDF5 with {what}", fix="copy or download it again") from None


def _is_index(index: Any) -> bool:
    if not isinstance(index, dict) or index.get("schema") != 1:
        return False
    sizes, files = index.get("sizes"), index.get("files")
    if not isinstance(sizes, dict) or not isinstance(files, dict) or not files or set(sizes) != set(files):
        return False
    lengths = all(type(size) is int and size > 0 for size in sizes.values())
    return lengths and all(isinstance(file, str) for file in files.values())
