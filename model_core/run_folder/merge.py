"""One track from many masks: the highest mask of all genes whose windows cover a base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from model_core.bins import bin_means
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.tracks import Block


def merged_by_max(masks: Iterable[GeneMask], size: int, resolution: int) -> Iterator[Block]:
    """Yield the highest mask at each base of a chromosome, averaged over `resolution` bp, in Blocks from left to right.

    Only the bases that a later window may still change are kept in memory.

    Parameters
    ----------
    masks : Iterable[GeneMask]
        Masks on one chromosome, by start of their windows.
    size : int
        Length of the chromosome in bp.
    resolution : int
        bp per bin; bins begin at multiples of it. Bases in no window do not count; a bin without others is NaN.

    Raises
    ------
    ValueError
        The masks are not sorted.
    """
    chrom, origin, held = "", 0, np.empty(0, np.float32)  # held[i]: the highest mask so far at origin + i
    for mask in masks:
        chrom, start, end = mask.chrom, max(mask.start, 0), min(mask.end, size)
        if start >= end:
            continue  # none of the window is on the chromosome
        final = start // resolution * resolution - origin  # bases of `held` that no later window reaches
        if final < 0:
            raise ValueError(f"window at {chrom}:{start} after one that starts further right")
        if len(held) and final:
            yield Block(chrom, origin, resolution, _averaged(held[:final], resolution))
        held, origin = held[final:], origin + final
        if end - origin > len(held):
            held = np.concatenate([held, np.full(end - origin - len(held), np.nan, np.float32)])
        part = held[start - origin : end - origin]
        np.fmax(part, mask.per_base(start, end), out=part)
    if len(held):
        yield Block(chrom, origin, resolution, _averaged(held, resolution))


def _averaged(values: np.ndarray, resolution: int) -> np.ndarray:
    """Return means over each `resolution` values, the last run perhaps shorter; NaN does not count: float32."""
    return values if resolution == 1 else bin_means(values, resolution, ~np.isnan(values)).astype(np.float32)
