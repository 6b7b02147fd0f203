"""Bins: counts and means of per-base values over runs of equal length, for masks, signals and figures.

A vector holds one value for every `resolution` bp from `origin` on. A bin holds `size` values; the last one may be
shorter where a vector does not divide.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MOST_BINS = 6_000  # per view
EFFECT_BIN = 8  # bp per bin of an additive model's effects, and of stored contact


class Grid(NamedTuple):
    """Bins of a view over a vector.

    Attributes
    ----------
    start, end : int
        Bounds of all bins together on the chromosome, 0-based half-open.
    width : int
        bp per bin.
    size : int
        Values per bin.
    part : slice
        The values of the vector that lie in the bins.
    """

    start: int
    end: int
    width: int
    size: int
    part: slice


def bin_width(span: int, bins: int, resolution: int = 1) -> int:
    """Return the bp of one bin so that at most `bins` of them cover `span` bp; a multiple of `resolution`."""
    bins = max(1, min(int(bins), MOST_BINS))
    return max(1, -(-span // (bins * resolution))) * resolution


def view_grid(origin: int, length: int, start: int, end: int, bins: int, resolution: int = 1) -> Grid:
    """Return at most about `bins` bins that cover start-end of a vector.

    Bins begin at multiples of their width from `origin` on, so that a drawn line does not change while the view moves.

    Parameters
    ----------
    origin : int
        First base of the vector on its chromosome.
    length : int
        Number of values of the vector.
    start, end : int
        The view, 0-based half-open; clipped to the vector. A view outside the vector has no bins.
    bins : int
        Number of bins over the view.
    resolution : int
        bp per value.
    """
    start, end = max(start, origin), min(end, origin + length * resolution)
    if start >= end:
        return Grid(start, start, 1, 1, slice(0, 0))
    width = bin_width(end - start, bins, resolution)
    size = width // resolution
    first, stop = (start - origin) // width, -(-(end - origin) // width)
    part = slice(first * size, min(stop * size, length))
    return Grid(origin + first * width, origin + part.stop * resolution, width, size, part)


def bin_sums(values: np.ndarray, size: int) -> np.ndarray:
    """Return the sum of each `size` values (n,), the last bin perhaps shorter; of the dtype of `values`."""
    return np.add.reduceat(values, np.arange(0, len(values), size)) if len(values) else values


def bin_means(values: np.ndarray, size: int, known: np.ndarray) -> np.ndarray:
    """Return the mean of the known values in each bin: float64, NaN in a bin without any.

    Parameters
    ----------
    values : ndarray
        Numbers or bool (n,).
    size : int
        Values per bin.
    known : ndarray
        bool (n,): which values count.
    """
    counts = bin_sums(known.astype(np.int64), size)
    sums = bin_sums(np.where(known, values, 0).astype(np.float64), size)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def equal_means(values: np.ndarray, bins: int) -> np.ndarray:
    """Return the means over `bins` equal runs of `values`, float32 (bins,); of `bins` values, these themselves."""
    return values.reshape(bins, -1).mean(axis=1, dtype=np.float64).astype(np.float32)


def half_covered(bases: np.ndarray, resolution: int) -> np.ndarray:
    """Return which bins of `resolution` bases have at least half of them set: bool (n / resolution,).

    Parameters
    ----------
    bases : ndarray
        bool (n,); n is a multiple of `resolution`.
    resolution : int
        Bases per bin.
    """
    return bases if resolution == 1 else bases.reshape(-1, resolution).sum(axis=1) * 2 >= resolution


def rounded(values: np.ndarray, digits: int) -> list[float | None]:
    """Return the values as JSON numbers of at most `digits` decimals; None for NaN."""
    return [None if value != value else value for value in np.round(values, digits).tolist()]
