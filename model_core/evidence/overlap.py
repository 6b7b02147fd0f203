"""A run's elements against peaks: shared bases, elements only here, peaks only there; by gene, distance, threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from model_core.intervals import distance_to_nearest, merge, overlaps, runs
from model_core.outputs.elements import ElementRule, kept_runs
from model_core.outputs.masks import GeneMask

COUNTS = (
    *("learned_bases", "element_bases", "peak_bases", "shared_bases"),
    *("elements", "elements_with_peak", "peaks", "peaks_with_element"),
)
MEASURES = (
    *("kept_share", "peak_share", "elements_in_peaks", "peaks_in_elements", "jaccard"),
    *("elements_only_here", "peaks_only_there"),
)
DISTANCES = (0, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)  # bp from the TSS
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

    def covered(self, mask: GeneMask) -> np.ndarray:
        """bool (bins,): bins of which a stretch covers at least half."""
        return covered_bins(*self.in_window(mask.chrom, mask.start, mask.end), mask)


def covered_bins(starts: np.ndarray, ends: np.ndarray, mask: GeneMask) -> np.ndarray:
    """bool (bins,): bins of a window of which intervals (bases from the window's start) cover at least half."""
    depth = np.zeros(mask.end - mask.start + 1, np.int32)
    np.add.at(depth, starts, 1)
    np.add.at(depth, ends, -1)
    bases = np.cumsum(depth[:-1]) > 0
    if mask.resolution == 1:
        return bases
    return bases.reshape(-1, mask.resolution).sum(axis=1) * 2 >= mask.resolution


def overlap_counts(mask: GeneMask, starts: np.ndarray, ends: np.ndarray, in_peak: np.ndarray) -> dict[str, int]:
    """COUNTS of one gene: learned bins alone count.

    Args:
        starts, ends: elements in bins of the window, apart from each other. in_peak: bool (bins,).
    """
    peak_starts, peak_ends = runs(in_peak & mask.learned)
    in_element = np.zeros(len(in_peak), bool)
    for first, last in zip(starts, ends, strict=True):
        in_element[first:last] = True
    sizes = mask.learned.sum(), (in_element & mask.learned).sum(), (peak_ends - peak_starts).sum()
    shared = int((in_element & in_peak & mask.learned).sum())
    bases = [int(size) * mask.resolution for size in (*sizes, shared)]
    with_peak = touched(starts, ends, in_peak & mask.learned)
    with_element = touched(peak_starts, peak_ends, in_element)
    counts = len(starts), int(with_peak.sum()), len(peak_starts), int(with_element.sum())
    return dict(zip(COUNTS, (*bases, *counts), strict=True))


def overlap_by_distance(mask: GeneMask, starts: np.ndarray, ends: np.ndarray, in_peak: np.ndarray) -> np.ndarray:
    """COUNTS of one gene in each distance bin of DISTANCES, int64 (bins of distance, COUNTS).

    Bases by their own distance to the TSS, elements and peaks by that of their middle.
    """
    n = len(DISTANCES) - 1
    centre = len(in_peak) // 2
    away = np.abs(np.arange(len(in_peak)) - centre) * mask.resolution
    where = np.minimum(np.searchsorted(DISTANCES, away, "right") - 1, n - 1)
    in_element = np.zeros(len(in_peak), bool)
    for first, last in zip(starts, ends, strict=True):
        in_element[first:last] = True
    table = np.zeros((n, len(COUNTS)), np.int64)
    kinds = (mask.learned, in_element & mask.learned, in_peak & mask.learned, in_element & in_peak & mask.learned)
    for column, chosen in enumerate(kinds):
        table[:, column] = np.bincount(where[chosen], minlength=n) * mask.resolution
    peak_starts, peak_ends = runs(in_peak & mask.learned)
    for column, (first, last), other in (
        (4, (starts, ends), in_peak & mask.learned),
        (6, (peak_starts, peak_ends), in_element),
    ):
        middle = where[(first + last) // 2] if len(first) else np.empty(0, np.int64)
        found = touched(first, last, other)
        table[:, column] = np.bincount(middle, minlength=n)
        table[:, column + 1] = np.bincount(middle[found], minlength=n)
    return table


def touched(starts: np.ndarray, ends: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """bool (runs,): whether a run of bins holds one that is chosen. chosen: bool (bins,)."""
    before = np.concatenate(([0], np.cumsum(chosen)))
    return before[ends] > before[starts]


def threshold_counts(
    mask: GeneMask, values: np.ndarray, rule: ElementRule, thresholds: Sequence[float], in_peak: np.ndarray
) -> np.ndarray:
    """COUNTS of one gene's elements cut at each threshold: int64 (thresholds, COUNTS).

    Args:
        values: float (bins,), the mask as the rule smooths it.
    """
    rows = []
    for threshold in thresholds:
        starts, ends = kept_runs(values, mask.learned, rule.at(threshold), mask.resolution)
        rows.append(list(overlap_counts(mask, starts, ends, in_peak).values()))
    return np.array(rows, np.int64).reshape(len(thresholds), len(COUNTS))


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
