"""A run's mask compared with its peaks and with controls, on a sample of genes, so that it is fast for any run.

Bases and sets are counted by the functions of `compare` (`model_core.evaluation`), so page and report differ only in
the genes they count, and in that the page cuts elements before the run is assembled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.bins import equal_means
from model_core.evaluation.controls import shifted
from model_core.evaluation.peak_overlap import COUNTS, Cover, Peaks, marked, measured, overlap_counts
from model_core.evaluation.ranking import ScoreHistogram, kept_of, levels, split
from model_core.intervals import runs
from model_core.run_folder.elements import kept_runs, smoothed
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.run_reader import stamp
from seq2exp_viz.runs.run_view import RunView

MOST_GENES = 24
MOST_PRIORS = 8  # the prior reads signals and contact of whole windows
BINS = 50
SEED = 0
ELEMENTS, RANDOM, PRIOR = "elements of the mask", "random regions", "signals alone (prior)"


class Overlap(NamedTuple):
    """Counts over the learned bases of `genes` sampled genes.

    Attributes
    ----------
    genes : int
        Number of sampled genes.
    edges : ndarray
        Bin edges of the mask, float64 (BINS + 1,), 0 to 1.
    inside, outside : ndarray
        Bases whose mask falls into each bin, inside and outside peaks, float64 (BINS,).
    thresholds, kept : ndarray
        Thresholds, and the share of bases at or above each in the smoothed mask, float64 (BINS + 1,).
    sets : DataFrame
        One row per set of bases: set, genes (the number counted), COUNTS and MEASURES of
        `model_core.evaluation.peak_overlap`; no rows without peaks.
    means : tuple[float, float]
        Mean mask inside and outside peaks.
    """

    genes: int
    edges: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    thresholds: np.ndarray
    kept: np.ndarray
    sets: pd.DataFrame
    means: tuple[float, float]


def overlap(view: RunView) -> Overlap | None:
    """Return the counts, cached; None before a gene is scored."""
    genes = view.run.genes
    if not len(genes):
        return None
    version = (len(genes), [stamp(path) for path in view.run.peak_files], repr(view.run.rule))
    return view.keep("overlap", version, lambda: _overlap(view, _sample(genes)))


def _sample(genes: pd.DataFrame) -> list[str]:
    """Return at most MOST_GENES genes, evenly spaced in the table: test genes where there are any."""
    pool = genes[genes["split"] == "test"] if (genes["split"] == "test").any() else genes
    places = np.unique(np.linspace(0, len(pool) - 1, min(MOST_GENES, len(pool))).astype(int))
    return list(pool["gene_id"].iloc[places])


def _overlap(view: RunView, names: list[str]) -> Overlap:
    peaks, rule = None if view.peaks is None else Peaks(view.peaks), view.run.rule
    counts, edges = _SampleCounts(), np.linspace(0, 1, BINS + 1)
    inside, outside = np.zeros(BINS), np.zeros(BINS)
    reached, bases, sums = np.zeros(BINS + 1), 0, np.zeros(4)
    for number, name in enumerate(names):
        mask = view.run.mask(name)
        learned, smooth = mask.learned, smoothed(mask, rule.smooth_bp)
        if not learned.any():
            continue
        values = mask.mask[learned]
        reached += [(smooth[learned] >= level).sum() for level in edges]
        bases += len(values)
        cover = Cover.of(np.zeros(len(learned), bool), learned) if peaks is None else peaks.cover(mask)
        covered = cover.covered[learned]
        inside += np.histogram(values[covered], edges)[0]
        outside += np.histogram(values[~covered], edges)[0]
        sums += [values[covered].sum(), covered.sum(), values[~covered].sum(), (~covered).sum()]
        if peaks is not None:
            prior = view.prior(name) if number < MOST_PRIORS and view.prior_config is not None else None
            counts.add(mask, cover, kept_runs(smooth, learned, rule, mask.resolution), prior)
    means = (_share(sums[0], sums[1]), _share(sums[2], sums[3]))
    return Overlap(len(names), edges, inside, outside, edges, reached / max(1, bases), counts.table(), means)


class _SampleCounts:
    """COUNTS of the compared sets of bases, summed over genes."""

    def __init__(self) -> None:
        self.sets = {ELEMENTS: np.zeros(len(COUNTS), np.int64), RANDOM: np.zeros(len(COUNTS), np.int64)}
        self.genes = dict.fromkeys((ELEMENTS, RANDOM, PRIOR), 0)
        self.prior = ScoreHistogram(2)  # strata: outside and inside peaks
        self.kept = 0  # bases in elements of the genes whose prior is counted
        self.rng = np.random.default_rng(SEED)

    def add(
        self, mask: GeneMask, cover: Cover, elements: tuple[np.ndarray, np.ndarray], prior: np.ndarray | None
    ) -> None:
        """Add the counts of one gene; `elements`: (starts, ends) in bins; `prior`: float32 (window,), or None."""
        learned = mask.learned
        chosen = marked(*elements, len(learned))
        for name, bounds in ((ELEMENTS, elements), (RANDOM, runs(shifted(chosen, learned, self.rng)))):
            self.sets[name] += overlap_counts(int(learned.sum()), *bounds, cover, mask.resolution)
            self.genes[name] += 1
        if prior is not None:
            level = levels(equal_means(prior, len(learned))[learned])
            self.prior.add(level, split(cover.covered[learned].astype(np.int8)), mask.resolution)
            self.kept += int(chosen.sum()) * mask.resolution
            self.genes[PRIOR] += 1

    def table(self) -> pd.DataFrame:
        """Return set, genes, COUNTS and MEASURES; the prior keeps as many bases as the elements of the same genes."""
        rows = [_row(name, self.genes[name], counts) for name, counts in self.sets.items() if self.genes[name]]
        if self.genes[PRIOR]:
            outside, inside = self.prior.counts.sum(axis=1)
            shared = kept_of(self.prior.counts, self.kept)[1]
            bases = outside + inside, self.kept, inside, shared
            rows.append(_row(PRIOR, self.genes[PRIOR], [*bases, *[np.nan] * (len(COUNTS) - len(bases))]))
        return measured(pd.DataFrame(rows, columns=["set", "genes", *COUNTS]))


def _row(name: str, genes: int, counts: Iterable[float]) -> dict:
    return {"set": name, "genes": genes, **dict(zip(COUNTS, counts, strict=True))}


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
