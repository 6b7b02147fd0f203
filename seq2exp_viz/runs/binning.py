"""Signals of a view: a vector averaged into as many bins as there are pixels, a bigWig through its zoom levels.

A mask bins itself (`GeneMask.summary`); the arithmetic of all of them is `model_core.bins`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_core.bins import MOST_BINS, bin_means, rounded, view_grid
from model_core.run_folder.tracks import summary

DIGITS = 4


def vector_summary(
    values: np.ndarray, chrom: str, origin: int, start: int, end: int, bins: int, digits: int = DIGITS
) -> dict:
    """Return means of per-base `values` (n,), whose first base is `origin`, in chrom:start-end, as JSON values.

    What is not finite is left out of the means, which are rounded to `digits` decimals; a bin of nothing else is None.

    Returns
    -------
    dict
        Chrom, start, end, bin (bp) and the list mean, as in `GeneMask.summary`.
    """
    grid = view_grid(origin, len(values), start, end, bins)
    part = values[grid.part].astype(np.float64)
    means = bin_means(part, grid.size, np.isfinite(part))
    place = {"chrom": chrom, "start": grid.start, "end": grid.end, "bin": grid.width}
    return {**place, "mean": rounded(means, digits)}


def bigwig_summary(path: Path, chrom: str, start: int, end: int, bins: int) -> dict:
    """Return mean and highest value of a bigWig in chrom:start-end; None in bins without values.

    Raises
    ------
    InputError
        The file is no bigWig.
    """
    bins = max(1, min(int(bins), MOST_BINS, max(1, end - start)))
    if start >= end:
        return {"chrom": chrom, "start": start, "end": start, "bin": 1, "mean": [], "max": []}
    found = summary(path, chrom, start, end, bins)
    named = zip(("mean", "max"), found, strict=True)
    lists = {name: rounded(values.astype(np.float64), DIGITS) for name, values in named}
    return {"chrom": chrom, "start": start, "end": end, "bin": (end - start) / bins, **lists}
