"""Contacts of one bin with its neighbours, read from a .cool or .mcool file.

The layout is the Cooler schema (https://cooler.readthedocs.io/en/stable/schema.html), read with h5py. A row costs
a few slices of adjacent pixels, whatever the size of the map; each process and thread opens the file once.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from model_core.errors import InputError
from model_core.remote.address import InputPath, input_path
from model_core.signals.file_handles import LazyHandle
from model_core.signals.hdf5_files import hdf5_errors, open_hdf5

WHOLE = "a complete .hic, .mcool or .cool file"
_COORDINATES = ("chrom", "start", "end")
# Juicer's vectors divide and Cooler's balancing weights multiply, unless the column has an attribute
# `divisive_weights`. A column of any other name may be anything (GC content) and is no normalisation.
_DIVIDE = ("VC", "VC_SQRT", "KR", "SCALE")
_MULTIPLY = ("weight", "ICE")


class _Header(NamedTuple):
    group: str  # HDF5 group of the map of this resolution
    sizes: dict[str, int]  # bp
    first_bin: dict[str, int]  # of each chromosome
    divides: bool | None  # None: no normalisation


class _Datasets(NamedTuple):
    """HDF5 datasets of the open file that rows are read from."""

    bin1_offset: Any  # index of the first pixel of each bin of the map
    bin2_id: Any
    count: Any
    weight: Any  # of each bin; None without a normalisation


class CoolerRows:
    """Normalised contacts of a .cool or .mcool file at one resolution.

    An instance can be pickled and read in any process and thread.

    Parameters
    ----------
    path : str, Path or RemotePath
        .cool or .mcool; one at an address only in a process that may end (`remote_rows`).
    resolution : int
        bp per bin; the file must hold it.
    normalisation : str
        Name of a column of bin weights, or "NONE".
    """

    def __init__(self, path: str | InputPath, resolution: int, normalisation: str = "NONE"):
        self.path, self.resolution, self.normalisation = input_path(path), resolution, normalisation
        self._datasets = LazyHandle(self._open)

    @property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome.

        Raises
        ------
        InputError
            Unreadable file, no such resolution or normalisation.
        """
        return self._header.sizes

    def within(self, distance: int) -> "CoolerRows":
        """Return this object, which serves contacts at any distance (`distance` is in bp)."""
        return self

    def row(self, chrom: str, anchor: int, first: int, last: int) -> np.ndarray:
        """Return the normalised contact of the bins first to last - 1 with the bin `anchor`.

        Parameters
        ----------
        chrom : str
            One of `sizes`.
        anchor, first, last : int
            0-based bins of the chromosome, first <= anchor < last <= their number.

        Returns
        -------
        ndarray
            float64 (last - first,); 0 where there is no contact, and for bins that the normalisation leaves out.

        Raises
        ------
        InputError
            Damaged data, or as `sizes`.
        """
        header = self._header
        start = header.first_bin[chrom]
        with hdf5_errors(self.path, "damaged data", WHOLE):
            datasets = self._datasets.get()
            row = _counts(datasets, start + anchor, start + first, start + last)
            if header.divides is None:
                return row
            weights = datasets.weight[start + first : start + last].astype(np.float64)
        factors = weights * weights[anchor - first]
        with np.errstate(divide="ignore", invalid="ignore"):
            row = row / factors if header.divides else row * factors
        return np.nan_to_num(row, nan=0, posinf=0, neginf=0)

    def _open(self) -> _Datasets:
        group = open_hdf5(self.path, WHOLE, "Hi-C", locking=True)[self._header.group]
        weight = None if self._header.divides is None else group["bins"][self.normalisation]
        return _Datasets(group["indexes/bin1_offset"], group["pixels/bin2_id"], group["pixels/count"], weight)

    @cached_property
    def _header(self) -> _Header:
        with (
            hdf5_errors(self.path, "no readable Hi-C", WHOLE),
            open_hdf5(self.path, WHOLE, "Hi-C", locking=True) as file,
        ):
            name = _group(file, self.path, self.resolution)
            group = file[name]
            mode = group.attrs.get("storage-mode", "symmetric-upper")
            if mode != "symmetric-upper":
                found, expected = f"a map with storage-mode '{mode}'", "storage-mode 'symmetric-upper'"
                raise InputError(self.path, found=found, expected=expected, fix="convert it with cooler")
            directions = _normalisations(group["bins"])
            require_normalisation(self.path, self.resolution, self.normalisation, list(directions))
            names = [str(chrom) for chrom in group["chroms/name"].asstr()[:]]
            lengths, offsets = group["chroms/length"][:].tolist(), group["indexes/chrom_offset"][:-1].tolist()
        return _Header(
            name,
            dict(zip(names, lengths, strict=True)),
            dict(zip(names, offsets, strict=True)),
            directions.get(self.normalisation),
        )


def require_resolution(path: InputPath, resolution: int, held: Sequence[int]) -> None:
    """Check that a file holds bins of `resolution` bp.

    Parameters
    ----------
    path : Path or RemotePath
        The file, for the message.
    resolution : int
        bp per bin.
    held : Sequence[int]
        Resolutions in the file, bp per bin.

    Raises
    ------
    InputError
        No such resolution; the message lists those in the file.
    """
    if resolution not in held:
        expected = f"one of {', '.join(map(str, held))}"
        raise InputError(
            path, found=f"no bins of {resolution} bp", expected=expected, fix="set resolution to one of these"
        )


def require_normalisation(path: InputPath, resolution: int, normalisation: str, held: Sequence[str]) -> None:
    """Check that a file has a normalisation at a resolution; "NONE" is always accepted.

    Parameters
    ----------
    path : Path or RemotePath
        The file, for the message.
    resolution : int
        bp per bin.
    normalisation : str
        The name to look for.
    held : Sequence[str]
        Names of the normalisations in the file at this resolution.

    Raises
    ------
    InputError
        No such normalisation; the message lists those in the file.
    """
    available = ["NONE", *(name for name in held if name != "NONE")]
    if normalisation not in available:
        found = f"no normalisation '{normalisation}' at {resolution:,} bp"
        raise InputError(
            path, found=found, expected=f"one of {', '.join(available)}", fix="set normalisation to one of these"
        )


def _group(file: Any, path: InputPath, resolution: int) -> str:
    """Return the HDF5 group with the map of a resolution."""
    if "resolutions" in file:
        require_resolution(path, resolution, sorted(int(name) for name in file["resolutions"]))
        return f"resolutions/{resolution}"
    size = file.attrs["bin-size"]
    if not isinstance(size, int | np.integer):
        fix = "bin the contacts again with a fixed bin size"
        raise InputError(path, found="bins of various sizes", expected="bins of one size", fix=fix)
    require_resolution(path, resolution, [int(size)])
    return "/"


def _normalisations(bins: Any) -> dict[str, bool]:
    """Return by name whether each normalisation divides (True) or multiplies (False)."""
    directions = {}
    for name in bins:
        kind = name.removeprefix("GW_").removeprefix("INTER_")
        divides = bins[name].attrs.get("divisive_weights", kind in _DIVIDE)
        if name not in _COORDINATES and ("divisive_weights" in bins[name].attrs or kind in (*_DIVIDE, *_MULTIPLY)):
            directions[name] = bool(divides)
    return directions


def _counts(datasets: _Datasets, anchor: int, first: int, last: int) -> np.ndarray:
    """Return the raw contacts of the bins first to last - 1 (numbered over the whole map) with `anchor`.

    float64 (last - first,). Only the upper triangle is stored, row after row: contacts with bins right of the anchor
    are in its own row, those with bins left of it are in their rows. The rows from first to the anchor are adjacent
    pixels.
    """
    offsets = datasets.bin1_offset[first : anchor + 2].astype(np.int64)
    begin, own, end = int(offsets[0]), int(offsets[-2] - offsets[0]), int(offsets[-1])
    if (
        len(offsets) != anchor + 2 - first
        or (np.diff(offsets) < 0).any()
        or not 0 <= begin <= end <= len(datasets.count)
    ):
        raise ValueError(f"no rows of pixels of the bins {first:,} to {anchor:,}")
    columns = datasets.bin2_id[begin:end].astype(np.int64) - first
    counts = datasets.count[begin:end]
    if len(columns) < end - begin or columns.min(initial=0) < 0:
        raise ValueError(f"pixels of bins before {first:,} among those of {first:,} to {anchor:,}")
    row = np.zeros(last - first)
    left = np.flatnonzero(columns[:own] == anchor - first)
    row[np.searchsorted(offsets, begin + left, "right") - 1] = counts[left]
    inside = columns[own:] < last - first
    row[columns[own:][inside]] = counts[own:][inside]
    return row
