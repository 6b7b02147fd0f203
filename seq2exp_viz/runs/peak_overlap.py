"""How a run's masks lie to its peaks, beside controls: counted on a sample of genes, quick at any size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.intervals import rasterise
from model_core.run_folder.elements import kept_runs, smoothed
from model_core.run_folder.run_files import stamp
from seq2exp_viz.runs.run_view import RunView

MOST_GENES = 24
MOST_PRIORS = 8  # the prior reads signals and contact of whole windows
BINS = 50
SEED = 0


class Overlap(NamedTuple):
    """Counts over the learned bases of `genes` sampled genes.

    edges: (BINS + 1,), 0 to 1. inside, outside: (BINS,) bases whose mask falls in each, inside and outside peaks.
    thresholds, kept: share of bases at or above each threshold in the smoothed mask. in_peaks: share of all bases that
    peaks cover. sets: set, kept (share of bases), precision (of its bases in peaks), recall (of the peaks' bases in
    it), genes it was counted on. means: mean mask inside and outside peaks.
    """

    genes: int
    edges: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    thresholds: np.ndarray
    kept: np.ndarray
    in_peaks: float
    sets: pd.DataFrame
    means: tuple[float, float]


def overlap(view: RunView) -> Overlap | None:
    """The counts, remembered; None before a gene is scored. Without peaks `inside` is empty and `sets` has no rows."""
    genes = view.genes
    if not len(genes):
        return None
    version = (len(genes), [stamp(path) for path in view.run.peak_files], repr(view.rule))
    return view.keep("overlap", version, lambda: _overlap(view, _sample(genes)))


def _sample(genes: pd.DataFrame) -> list[str]:
    """Test genes where there are any, evenly over the table."""
    pool = genes[genes["split"] == "test"] if (genes["split"] == "test").any() else genes
    places = np.unique(np.linspace(0, len(pool) - 1, min(MOST_GENES, len(pool))).astype(int))
    return list(pool["gene_id"].iloc[places])


def _overlap(view: RunView, names: list[str]) -> Overlap:
    edges = np.linspace(0, 1, BINS + 1)
    inside, outside = np.zeros(BINS), np.zeros(BINS)
    reached, bases, sums = np.zeros(BINS + 1), 0, np.zeros(4)
    counts: dict[str, np.ndarray] = {}
    rng = np.random.default_rng(SEED)
    rule, peaks = view.rule, view.peaks
    for number, name in enumerate(names):
        mask = view.run.mask(name)
        learned, smooth = mask.learned, smoothed(mask, rule.smooth_bp)
        if not learned.any():
            continue
        values = mask.mask[learned]
        reached += [(smooth[learned] >= level).sum() for level in edges]
        bases += len(values)
        peak = np.zeros(len(learned), bool)
        if peaks is not None:
            peak = rasterise(peaks, mask.chrom, mask.start, mask.end).reshape(len(learned), -1).mean(axis=1) >= 0.5
        covered = peak[learned]
        inside += np.histogram(values[covered], edges)[0]
        outside += np.histogram(values[~covered], edges)[0]
        sums += [values[covered].sum(), covered.sum(), values[~covered].sum(), (~covered).sum()]
        chosen = np.zeros(len(learned), bool)
        for start, end in zip(*kept_runs(smooth, learned, rule, mask.resolution), strict=True):
            chosen[start:end] = True
        _count(counts, "elements of the mask", chosen[learned], covered)
        _count(counts, "random places", np.roll(chosen[learned], rng.integers(1, max(2, len(values)))), covered)
        if number < MOST_PRIORS and view.prior_config is not None:
            prior = view.prior(name).reshape(len(learned), -1).mean(axis=1)[learned]
            _count(counts, "signals alone (prior)", _top(prior, int(chosen.sum()), rng), covered)
    sets = [_measures(name, row) for name, row in counts.items()] if peaks is not None else []
    means = (_share(sums[0], sums[1]), _share(sums[2], sums[3]))
    in_peaks = _share(sums[1], sums[1] + sums[3])
    table = pd.DataFrame(sets, columns=["set", "kept", "precision", "recall", "genes"])
    return Overlap(len(names), edges, inside, outside, edges, reached / max(1, bases), in_peaks, table, means)


def _count(counts: dict[str, np.ndarray], name: str, chosen: np.ndarray, covered: np.ndarray) -> None:
    row = [chosen.sum(), (chosen & covered).sum(), covered.sum(), len(covered), 1]
    counts[name] = counts.get(name, np.zeros(5)) + row


def _measures(name: str, row: np.ndarray) -> tuple:
    chosen, both, covered, seen, genes = row
    return name, _share(chosen, seen), _share(both, chosen), _share(both, covered), int(genes)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _top(values: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The `count` bases with the highest values; ties in random order."""
    chosen = np.zeros(len(values), bool)
    chosen[np.lexsort([rng.random(len(values)), -values])[:count]] = True
    return chosen
