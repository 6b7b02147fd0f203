"""Numbers for a view: a mask or a vector averaged into as many bins as there are pixels, a bigWig through its zooms."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.tracks import summary

MOST_BINS = 6_000
DIGITS = 4


def bin_width(span: int, bins: int, resolution: int = 1) -> int:
    """bp of one bin so that at most `bins` of them cover `span` bp; a multiple of `resolution`."""
    bins = max(1, min(int(bins), MOST_BINS))
    return max(1, -(-span // (bins * resolution))) * resolution


def mask_summary(
    mask: GeneMask, interval: tuple[np.ndarray, np.ndarray] | None, start: int, end: int, bins: int
) -> dict:
    """Mean of z and its 95 % range in chrom:start-end, as JSON values; no range without an `interval`.

    Bins lie on a grid that begins at the window's start, so that panning does not make the line tremble. A bin is the
    mean over the bases the model decided; one without any carries the forced value. `forced`: -1 learned, 0 blacklist
    or beyond the chromosome, 1 promoter.

    Returns
    -------
    dict
        Chrom, start, end, bin (bp) and equally long lists mean, low and high (unless there is no interval), forced;
        empty outside the window.
    """
    start, end = max(start, mask.start), min(end, mask.end)
    drawn = {"mean": mask.mask} | ({} if interval is None else dict(zip(("low", "high"), interval, strict=True)))
    if start >= end:
        empty = {name: [] for name in (*drawn, "forced")}
        return {"chrom": mask.chrom, "start": start, "end": start, "bin": 1, **empty}
    width = bin_width(end - start, bins, mask.resolution)
    first, stop = (start - mask.start) // width, -(-(end - mask.start) // width)
    size = width // mask.resolution
    take = slice(first * size, min(stop * size, len(mask.mask)))
    learned = mask.learned[take]
    edges = np.arange(0, len(learned), size)
    counts = np.add.reduceat(learned.astype(np.int64), edges)
    state = mask.forced[take][np.minimum(edges + size // 2, len(learned) - 1)]
    lists = {}
    for name, values in drawn.items():
        sums = np.add.reduceat(np.where(learned, values[take], 0).astype(np.float64), edges)
        lists[name] = _rounded(np.where(counts > 0, sums / np.maximum(counts, 1), np.maximum(state, 0)))
    return {
        "chrom": mask.chrom,
        "start": mask.start + first * width,
        "end": mask.start + take.stop * mask.resolution,
        "bin": width,
        **lists,
        "forced": np.where(counts > 0, -1, np.maximum(state, 0)).tolist(),
    }


def vector_summary(
    values: np.ndarray, chrom: str, origin: int, start: int, end: int, bins: int, digits: int = DIGITS
) -> dict:
    """Means of per-base `values` (n,), whose first base is `origin`, in chrom:start-end; lists as in `mask_summary`.

    NaN are left out of the means, which are rounded to `digits` decimals; a bin of nothing else is None.
    """
    start, end = max(start, origin), min(end, origin + len(values))
    if start >= end:
        return {"chrom": chrom, "start": start, "end": start, "bin": 1, "mean": []}
    width = bin_width(end - start, bins)
    first, stop = (start - origin) // width, -(-(end - origin) // width)
    take = slice(first * width, min(stop * width, len(values)))
    part = values[take].astype(np.float64)
    edges = np.arange(0, len(part), width)
    known = np.isfinite(part)
    counts = np.add.reduceat(known.astype(np.int64), edges)
    means = np.add.reduceat(np.where(known, part, 0), edges) / np.maximum(counts, 1)
    return {
        "chrom": chrom,
        "start": origin + first * width,
        "end": origin + take.stop,
        "bin": width,
        "mean": [x if count else None for x, count in zip(_rounded(means, digits), counts.tolist(), strict=True)],
    }


def bigwig_summary(path: Path, chrom: str, start: int, end: int, bins: int) -> dict:
    """Mean and highest value of a bigWig in chrom:start-end through its zoom levels; None in bins without values.

    Raises InputError where the file is no bigWig.
    """
    bins = max(1, min(int(bins), MOST_BINS, max(1, end - start)))
    if start >= end:
        return {"chrom": chrom, "start": start, "end": start, "bin": 1, "mean": [], "max": []}
    found = summary(path, chrom, start, end, bins)
    lists = {
        name: [None if np.isnan(x) else round(float(x), DIGITS) for x in values]
        for name, values in zip(("mean", "max"), found, strict=True)
    }
    return {"chrom": chrom, "start": start, "end": end, "bin": (end - start) / bins, **lists}


def _rounded(values: np.ndarray, digits: int = DIGITS) -> list[float]:
    return np.round(values, digits).tolist()
