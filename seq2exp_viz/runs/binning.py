"""Binned signals of a view: means of a vector in one bin per pixel, summaries of a bigWig from its zoom levels.

A mask has its own method (`GeneMask.summary`); all use the arithmetic of `model_core.bins`.
"""

from __future__ import annotations

import numpy as np

from model_core.bins import MOST_BINS, bin_means, rounded, view_grid
from model_core.remote.address import InputPath
from model_core.run_folder.tracks import summary

DIGITS = 4
LAST_BASE = 2**31 - 1  # that can be asked of a bigWig


def vector_summary(
    values: np.ndarray, chrom: str, origin: int, start: int, end: int, bins: int, digits: int = DIGITS
) -> dict:
    """Return bin means of a per-base vector in chrom:start-end, as JSON values.

    Parameters
    ----------
    values : ndarray
        float (n,), one value per base; values that are not finite are left out of the means.
    chrom : str
        Chromosome, which is copied into the result.
    origin : int
        Position of the first value, 0-based.
    start, end : int
        Region, 0-based half-open.
    bins : int
        Largest number of bins.
    digits : int
        Decimals to which the means are rounded.

    Returns
    -------
    dict
        chrom, start, end, bin (bp) and the list mean, as in `GeneMask.summary`; None in a bin without a finite value.
    """
    grid = view_grid(origin, len(values), start, end, bins)
    part = values[grid.part].astype(np.float64)
    means = bin_means(part, grid.size, np.isfinite(part))
    place = {"chrom": chrom, "start": grid.start, "end": grid.end, "bin": grid.width}
    return {**place, "mean": rounded(means, digits)}


def bigwig_summary(path: InputPath, chrom: str, start: int, end: int, bins: int) -> dict:
    """Return bin means and bin maxima of a bigWig in chrom:start-end, as JSON values.

    Returns
    -------
    dict
        chrom, start, end, bin (bp) and the lists mean and max; None in a bin without values.

    Raises
    ------
    InputError
        The file is not a bigWig.
    """
    start, end = min(start, LAST_BASE), min(end, LAST_BASE)
    bins = max(1, min(int(bins), MOST_BINS, max(1, end - start)))
    if start >= end:
        return {"chrom": chrom, "start": start, "end": start, "bin": 1, "mean": [], "max": []}
    found = summary(path, chrom, start, end, bins)
    named = zip(("mean", "max"), found, strict=True)
    lists = {name: rounded(values.astype(np.float64), DIGITS) for name, values in named}
    return {"chrom": chrom, "start": start, "end": end, "bin": (end - start) / bins, **lists}
