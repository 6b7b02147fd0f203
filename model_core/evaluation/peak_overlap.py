"""A run's elements against peaks: shared bases, elements only here, peaks only there; by gene, distance, threshold."""

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
# bp from the TSS; a bin holds its far edge, so that a window of 200 kb ends with 50-100 kb
DISTANCES = (0, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
SHARES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)  # kept, of the threshold curve


class Peaks:
    """The stretches that some peak covers, by chromosome; summits of one peak and peaks that touch are one stretch."""

    def __init__(self, table: pd.DataFrame):
        self.table = merge(table[["chrom", "start", "end"]])
        self._bounds = {
            chrom: (rows["start"].to_numpy(np.int64), rows["end"].to_numpy(np.int64))
            for chrom, rows in self.table.groupby("chrom")
        }

    def in_window(self, chrom: str, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """(starts, ends), int64, of the stretches that share a base with start-end, cut to it, counted from `start`."""
        starts, ends = self._bounds.get(chrom, (np.empty(0, np.int64),) * 2)
        first, last = np.searchsorted(ends, start, "right"), np.searchsorted(starts, end, "left")
        return np.maximum(starts[first:last] - start, 0), np.minimum(ends[first:last], end) - start

    def cover(self, mask: GeneMask) -> Cover:
        """What the stretches cover of a gene's window; a bin counts with half of its bases."""
        return Cover.of(covered_bins(*self.in_window(mask.chrom, mask.start, mask.end), mask), mask.learned)


class Cover(NamedTuple):
    """The learned bins of one window under peaks.

    covered: bool (bins,), forced ones included. starts, ends: int64, runs of learned covered bins. before: int64
    (bins + 1,), learned covered bins up to each.
    """

    covered: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    before: np.ndarray

    @classmethod
    def of(cls, covered: np.ndarray, learned: np.ndarray) -> Cover:
        """From bool arrays (bins,)."""
        inside = covered & learned
        return cls(covered, *runs(inside), np.concatenate(([0], np.cumsum(inside))))


def covered_bins(starts: np.ndarray, ends: np.ndarray, mask: GeneMask) -> np.ndarray:
    """bool (bins,): bins of a window of which intervals (bases from the window's start) cover at least half."""
    depth = np.zeros(mask.end - mask.start + 1, np.int32)
    np.add.at(depth, starts, 1)
    np.add.at(depth, ends, -1)
    return half_covered(np.cumsum(depth[:-1]) > 0, mask.resolution)


def overlap_counts(learned: int, starts: np.ndarray, ends: np.ndarray, cover: Cover, resolution: int) -> list[int]:
    """COUNTS of one gene: learned bases alone count.

    Parameters
    ----------
    learned : int
        Learned bins of the window.
    starts, ends : ndarray
        elements, in bins, sorted and apart from each other; they hold learned bins only.
    """
    shared = cover.before[ends] - cover.before[starts]
    met = _met(cover.starts, cover.ends, starts, ends)
    bins = learned, int((ends - starts).sum()), int(cover.before[-1]), int(shared.sum())
    counts = len(starts), int((shared > 0).sum()), len(cover.starts), int(met.sum())
    return [*(number * resolution for number in bins), *counts]


def overlap_by_distance(mask: GeneMask, starts: np.ndarray, ends: np.ndarray, cover: Cover) -> np.ndarray:
    """COUNTS of one gene in each distance bin of DISTANCES, int64 (bins of distance, COUNTS).

    Bases by their own distance to the TSS, elements and peaks by that of their middle.
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
    """COUNTS of one gene's elements cut at each threshold, against each cover: int64 (covers, thresholds, COUNTS).

    Parameters
    ----------
    values : ndarray
        Float (bins,), the mask as the rule smooths it.
    """
    table = np.zeros((len(covers), len(thresholds), len(COUNTS)), np.int64)
    learned = int(mask.learned.sum())
    for column, threshold in enumerate(thresholds):
        starts, ends = kept_runs(values, mask.learned, rule.at(threshold), mask.resolution)
        for row, cover in enumerate(covers):
            table[row, column] = overlap_counts(learned, starts, ends, cover, mask.resolution)
    return table


def marked(starts: np.ndarray, ends: np.ndarray, bins: int) -> np.ndarray:
    """bool (bins,): the bins of these runs."""
    inside = np.zeros(bins, bool)
    for first, last in zip(starts, ends, strict=True):
        inside[first:last] = True
    return inside


def touched(starts: np.ndarray, ends: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """bool (runs,): whether a run of bins holds one that is chosen. chosen: bool (bins,)."""
    before = np.concatenate(([0], np.cumsum(chosen)))
    return before[ends] > before[starts]


def _met(starts: np.ndarray, ends: np.ndarray, other_starts: np.ndarray, other_ends: np.ndarray) -> np.ndarray:
    """bool (runs,): whether a run shares a bin with one of the others, which are sorted and apart from each other."""
    return np.searchsorted(other_starts, ends, "left") > np.searchsorted(other_ends, starts, "right")


@lru_cache(maxsize=2)
def _distance_bins(bins: int, resolution: int) -> np.ndarray:
    """int64 (bins,): in which bin of DISTANCES each bin of a window lies."""
    away = np.abs(np.arange(bins) - bins // 2) * resolution
    return np.clip(np.searchsorted(DISTANCES, away, "left") - 1, 0, len(DISTANCES) - 2)


def measured(counts: pd.DataFrame) -> pd.DataFrame:
    """A table of COUNTS with MEASURES behind them.

    kept_share, peak_share: of the learned bases. elements_in_peaks: share of the elements' bases in peaks;
    peaks_in_elements the other way. jaccard: shared bases over those in either. All 0-1, NaN where nothing is there.
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
    """A bin of distance in words, such as "2-5 kb"."""
    return f"{first // 1000}-{last // 1000} kb"


def distances_of_unmatched(elements: pd.DataFrame, peaks: Peaks) -> np.ndarray:
    """float64 (n,): bp from each element that shares no base with a peak to the nearest one on its chromosome.

    NaN where the chromosome has none. Elements that only touch a peak are at 0.
    """
    return distance_to_nearest(elements, peaks.table)[~overlaps(elements, peaks.table)]
