"""Overlap of a run's elements with peaks: shared bases, unmatched elements and peaks; by gene, distance, threshold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.bins import half_covered
from model_core.intervals import distance_to_nearest, merge, overlaps, runs
from model_core.run_folder.elements import ElementRule, kept_runs
from model_core.run_folder.mask_store import GeneMask

COUNTS = (
    *("learned_bases", "element_bases", "peak_bases", "shared_bases"),
    *("elements", "elements_with_peak", "peaks", "peaks_with_element"),
)
MEASURES = (
    *("kept_share", "peak_share", "elements_in_peaks", "peaks_in_elements", "jaccard"),
    *("elements_only_here", "peaks_only_there"),
)
# bp from the TSS; a bin includes its far edge, so that a window of 200 kb ends with 50-100 kb
DISTANCES = (0, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
SHARES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)  # kept shares of the threshold curve


class Peaks:
    """Regions covered by peaks, by chromosome; summits of one peak and peaks that touch form one region."""

    def __init__(self, table: pd.DataFrame):
        self.table = merge(table[["chrom", "start", "end"]])
        self._bounds = {
            chrom: (rows["start"].to_numpy(np.int64), rows["end"].to_numpy(np.int64))
            for chrom, rows in self.table.groupby("chrom")
        }

    def in_window(self, chrom: str, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (starts, ends), int64, of the regions inside start-end, cut to it, relative to `start`."""
        starts, ends = self._bounds.get(chrom, (np.empty(0, np.int64),) * 2)
        first, last = np.searchsorted(ends, start, "right"), np.searchsorted(starts, end, "left")
        return np.maximum(starts[first:last] - start, 0), np.minimum(ends[first:last], end) - start

    def cover(self, mask: GeneMask) -> Cover:
        """Return the bins of a gene's window that the regions cover by at least half."""
        return Cover.of(covered_bins(*self.in_window(mask.chrom, mask.start, mask.end), mask), mask.learned)


class Cover(NamedTuple):
    """Learned bins of one window under peaks.

    Attributes
    ----------
    covered : ndarray
        bool (bins,), forced ones included.
    starts, ends : ndarray
        int64, runs of learned covered bins.
    before : ndarray
        int64 (bins + 1,), number of learned covered bins before each.
    """

    covered: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    before: np.ndarray

    @classmethod
    def of(cls, covered: np.ndarray, learned: np.ndarray) -> Cover:
        """Make the cover from bool arrays (bins,)."""
        inside = covered & learned
        return cls(covered, *runs(inside), np.concatenate(([0], np.cumsum(inside))))


def covered_bins(starts: np.ndarray, ends: np.ndarray, mask: GeneMask) -> np.ndarray:
    """Return the bins of which intervals (bases from the window's start) cover at least half; bool (bins,)."""
    depth = np.zeros(mask.end - mask.start + 1, np.int32)
    np.add.at(depth, starts, 1)
    np.add.at(depth, ends, -1)
    return half_covered(np.cumsum(depth[:-1]) > 0, mask.resolution)


def overlap_counts(learned: int, starts: np.ndarray, ends: np.ndarray, cover: Cover, resolution: int) -> list[int]:
    """Return the COUNTS of one gene; only learned bases count.

    Parameters
    ----------
    learned : int
        Number of learned bins of the window.
    starts, ends : ndarray
        int64, elements in bins, sorted and disjoint, of learned bins only.
    cover : Cover
        The peaks.
    resolution : int
        bp per bin.
    """
    shared = cover.before[ends] - cover.before[starts]
    met = _met(cover.starts, cover.ends, starts, ends)
    bins = learned, int((ends - starts).sum()), int(cover.before[-1]), int(shared.sum())
    counts = len(starts), int((shared > 0).sum()), len(cover.starts), int(met.sum())
    return [*(number * resolution for number in bins), *counts]


def overlap_by_distance(mask: GeneMask, starts: np.ndarray, ends: np.ndarray, cover: Cover) -> np.ndarray:
    """Return the COUNTS of one gene in each distance bin of DISTANCES, int64 (distance bins, COUNTS).

    Bases are assigned by their own distance to the TSS, elements and peaks by that of their middle.
    """
    n, where = len(DISTANCES) - 1, _distance_bins(len(mask.alpha), mask.resolution)
    in_element = marked(starts, ends, len(mask.alpha))
    inside = cover.covered & mask.learned
    table = np.zeros((n, len(COUNTS)), np.int64)
    for column, chosen in enumerate((mask.learned, in_element, inside, in_element & inside)):
        table[:, column] = np.bincount(where[chosen], minlength=n) * mask.resolution
    with_peak = cover.before[ends] > cover.before[starts]
    met = _met(cover.starts, cover.ends, starts, ends)
    for column, middle, found in (
        (4, (starts + ends) // 2, with_peak),
        (6, (cover.starts + cover.ends) // 2, met),
    ):
        table[:, column] = np.bincount(where[middle], minlength=n)
        table[:, column + 1] = np.bincount(where[middle[found]], minlength=n)
    return table


def threshold_counts(
    mask: GeneMask, values: np.ndarray, rule: ElementRule, thresholds: Sequence[float], covers: Sequence[Cover]
) -> np.ndarray:
    """Return the COUNTS of one gene's elements cut at each threshold, int64 (covers, thresholds, COUNTS).

    Parameters
    ----------
    mask : GeneMask
        The gene's mask.
    values : ndarray
        float (bins,), the mask as the rule smooths it.
    rule : ElementRule
        The rule that cuts elements.
    thresholds : Sequence[float]
        Thresholds, 0 to 1.
    covers : Sequence[Cover]
        Peak sets.
    """
    table = np.zeros((len(covers), len(thresholds), len(COUNTS)), np.int64)
    learned = int(mask.learned.sum())
    for column, threshold in enumerate(thresholds):
        starts, ends = kept_runs(values, mask.learned, rule.at(threshold), mask.resolution)
        for row, cover in enumerate(covers):
            table[row, column] = overlap_counts(learned, starts, ends, cover, mask.resolution)
    return table


def marked(starts: np.ndarray, ends: np.ndarray, bins: int) -> np.ndarray:
    """Return the bins of these runs; bool (bins,)."""
    inside = np.zeros(bins, bool)
    for first, last in zip(starts, ends, strict=True):
        inside[first:last] = True
    return inside


def touched(starts: np.ndarray, ends: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return whether each run of bins holds a chosen bin; bool (runs,).

    Parameters
    ----------
    starts, ends : ndarray
        int64 (runs,), half-open, in bins.
    chosen : ndarray
        bool (bins,).
    """
    before = np.concatenate(([0], np.cumsum(chosen)))
    return before[ends] > before[starts]


def _met(starts: np.ndarray, ends: np.ndarray, other_starts: np.ndarray, other_ends: np.ndarray) -> np.ndarray:
    """Return whether each run shares a bin with one of the others, which are sorted and disjoint; bool (runs,)."""
    return np.searchsorted(other_starts, ends, "left") > np.searchsorted(other_ends, starts, "right")


@lru_cache(maxsize=2)
def _distance_bins(bins: int, resolution: int) -> np.ndarray:
    """Return the bin of DISTANCES of each bin of a window; int64 (bins,)."""
    away = np.abs(np.arange(bins) - bins // 2) * resolution
    return np.clip(np.searchsorted(DISTANCES, away, "left") - 1, 0, len(DISTANCES) - 2)


def measured(counts: pd.DataFrame) -> pd.DataFrame:
    """Add MEASURES to a table of COUNTS.

    kept_share, peak_share: of the learned bases. elements_in_peaks: share of the elements' bases in peaks;
    peaks_in_elements the reverse. jaccard: shared bases over those in either. All 0 to 1, NaN where the denominator is
    0.
    """
    table = counts.copy()
    learned, here, there, both = (table[name].astype(float) for name in COUNTS[:4])
    table["kept_share"], table["peak_share"] = here / learned, there / learned
    table["elements_in_peaks"], table["peaks_in_elements"] = both / here, both / there
    table["jaccard"] = both / (here + there - both)
    table["elements_only_here"] = table["elements"] - table["elements_with_peak"]
    table["peaks_only_there"] = table["peaks"] - table["peaks_with_element"]
    return table


def distance_name(first: int, last: int) -> str:
    """Return the name of a distance bin, such as "2-5 kb"."""
    return f"{first // 1000}-{last // 1000} kb"


def distances_of_unmatched(elements: pd.DataFrame, peaks: Peaks) -> np.ndarray:
    """Return bp from each element that shares no base with a peak to the nearest peak on its chromosome; float64 (n,).

    NaN where the chromosome has none. Elements that only touch a peak are at 0.
    """
    return distance_to_nearest(elements, peaks.table)[~overlaps(elements, peaks.table)]
