"""Bootstrap intervals: variation of a number when its entries are resampled with replacement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
MEASURES = ("mse", "mae", "pearson", "spearman")
_BLOCK = 4_000_000  # values of resampled data held at once


def average_precision(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Compute average precision (AUPRC) of scores, as in scikit-learn, for each row of weights.

    Parameters
    ----------
    positive : ndarray
        bool (n,).
    scores : ndarray
        float (n,); equal scores are ties.
    weights : ndarray or None
        (rows, n), how often each entry counts; by default one row of ones.

    Returns
    -------
    ndarray
        float64 (rows,), 0 to 1; NaN for rows without a positive.
    """
    weights = np.ones((1, len(scores))) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))  # of each group of ties
    hits = np.cumsum(weights[:, order] * positive[order], axis=1, dtype=float)[:, last]
    kept = np.cumsum(weights[:, order], axis=1, dtype=float)[:, last]
    gained = np.diff(hits, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sum(np.where(kept > 0, gained * hits / kept, 0), axis=1) / hits[:, -1]


def average_precision_interval(
    positive: np.ndarray, scores: np.ndarray, times: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Return (AUPRC, low, high): the central 95 % under resampling of the entries; NaN without both classes."""
    if not positive.any() or positive.all():
        return float("nan"), float("nan"), float("nan")
    rng, n, found = np.random.default_rng(seed), len(scores), []
    rows = max(1, _BLOCK // n)
    for done in range(0, times, rows):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(rows, times - done))
        found.append(average_precision(positive, scores, weights))
    return float(average_precision(positive, scores)[0]), *central(np.concatenate(found))


@dataclass(frozen=True)
class Resampled:
    """AUPRC of several scores on the same entries, over the same resampled clusters.

    Attributes
    ----------
    values : ndarray
        float64 (scores,), on the entries themselves; NaN where a class is missing.
    draws : ndarray
        float64 (scores, times), one per resampling; NaN where a resampling has no positive.
    """

    values: np.ndarray
    draws: np.ndarray

    def interval(self, score: int) -> tuple[float, float, float]:
        """Return (AUPRC, low, high) of a score: the central 95 % of its resamplings."""
        return float(self.values[score]), *central(self.draws[score])

    def difference(self, score: int, other: int) -> tuple[float, float, float]:
        """Return (difference, low, high) of one score's AUPRC less another's, paired: both over the same clusters."""
        paired = central(self.draws[score] - self.draws[other])
        return float(self.values[score] - self.values[other]), *paired


def cluster_counts(clusters: int, times: int = 1000, seed: int = 0) -> np.ndarray:
    """Draw clusters with replacement, as many as there are: how often each is drawn, int64 (times, clusters)."""
    return np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / max(clusters, 1)), size=times)


def clustered_average_precision(
    positive: np.ndarray,
    scores: Sequence[np.ndarray],
    clusters: np.ndarray,
    weights: np.ndarray | None = None,
    times: int = 1000,
    seed: int = 0,
) -> Resampled:
    """Compute the AUPRC of scores and resample whole clusters, such as all pairs of a gene together.

    Entries of a cluster are not independent. Resampled one by one they would give intervals that are too narrow.

    Parameters
    ----------
    positive : ndarray
        bool (n,).
    scores : Sequence[ndarray]
        float (n,) each, without NaN.
    clusters : ndarray
        (n,), the cluster of each entry, of any type that can be sorted.
    weights : ndarray or None
        float (n,), 0 or more, weight of each entry; None: all 1.
    times : int
        Number of resamplings.
    seed : int
        Random seed.

    Returns
    -------
    Resampled
        NaN where the entries lack a class.
    """
    positive, base = np.asarray(positive, bool), np.ones(len(positive)) if weights is None else np.asarray(weights)
    found = np.full((len(scores), times), np.nan)
    if not (base[positive] > 0).any() or not (base[~positive] > 0).any():
        return Resampled(np.full(len(scores), np.nan), found)
    names, codes = np.unique(clusters, return_inverse=True)
    counts = cluster_counts(len(names), times, seed)
    rows = max(1, _BLOCK // len(positive))
    for done in range(0, times, rows):
        drawn = counts[done : done + rows, codes] * base
        for number, score in enumerate(scores):
            found[number, done : done + rows] = average_precision(positive, np.asarray(score, float), drawn)
    return Resampled(
        np.array([average_precision(positive, np.asarray(one, float), base[None])[0] for one in scores]), found
    )


def prediction_intervals(
    observed: np.ndarray, predicted: np.ndarray, times: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Return (value, low, high) of "mse", "mae", "pearson" and "spearman" under resampling of the genes.

    Parameters
    ----------
    observed, predicted : ndarray
        float (n,) without NaN.
    times : int
        Number of resamplings.
    seed : int
        Random seed.

    Returns
    -------
    dict[str, tuple[float, float, float]]
        By measure; NaN where it is undefined: no gene, or for correlations fewer than 3 genes or a constant.
    """
    y, p = np.asarray(observed, float), np.asarray(predicted, float)
    if not len(y):
        return dict.fromkeys(MEASURES, (float("nan"),) * 3)
    found = [_measures(y[entries], p[entries]) for entries in drawn(len(y), times, seed)]
    whole = _measures(y[None], p[None])
    return {name: (float(whole[name][0]), *central(np.concatenate([d[name] for d in found]))) for name in MEASURES}


def prediction_differences(
    observed: np.ndarray, one: np.ndarray, two: np.ndarray, times: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Return (difference, low, high) of "mse", "mae", "pearson" and "spearman": first prediction minus second.

    Each resampling draws genes once and judges both predictions on them, so that what makes a set of genes easy or hard
    for both does not count.

    Parameters
    ----------
    observed, one, two : ndarray
        float (n,) without NaN: observed values and two predictions of the same genes.
    times : int
        Number of resamplings.
    seed : int
        Random seed.

    Returns
    -------
    dict[str, tuple[float, float, float]]
        By measure; NaN where it is undefined, as `prediction_intervals`.
    """
    y, first, second = (np.asarray(values, float) for values in (observed, one, two))
    if not len(y):
        return dict.fromkeys(MEASURES, (float("nan"),) * 3)

    def differences(entries: np.ndarray) -> dict[str, np.ndarray]:
        mine, other = (_measures(y[entries], p[entries]) for p in (first, second))
        return {name: mine[name] - other[name] for name in MEASURES}

    found = [differences(entries) for entries in drawn(len(y), times, seed)]
    whole = differences(np.arange(len(y))[None])
    return {name: (float(whole[name][0]), *central(np.concatenate([d[name] for d in found]))) for name in MEASURES}


def auprc_draws(counts: np.ndarray, times: int = 1000, seed: int = 0) -> np.ndarray:
    """Return the AUPRC of a score over n genes, then over draws of them with replacement, with all of their bases.

    The draws depend on n and the seed only: the same draw number of two scores holds the same genes.

    Parameters
    ----------
    counts : ndarray
        Counts of each gene, (n, 2, groups): positive bases, and all, by ascending score (`gene_counts.GeneCounts`).
    times : int
        Number of draws.
    seed : int
        Random seed.

    Returns
    -------
    ndarray
        float64 (1 + times,); NaN where a draw has no positive base, all NaN without genes.
    """
    n = len(counts)
    if not n:
        return np.full(1 + times, np.nan)
    positive, total = (counts[:, row, counts[:, 1].any(axis=0)].astype(float) for row in (0, 1))
    rng, found = np.random.default_rng(seed), [_auprc_of_counts(positive.sum(axis=0)[None], total.sum(axis=0)[None])]
    rows = max(1, _BLOCK // max(counts.shape[0], counts.shape[2]))
    for done in range(0, times, rows):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(rows, times - done)).astype(float)
        found.append(_auprc_of_counts(weights @ positive, weights @ total))
    return np.concatenate(found)


def auprc_difference(one: np.ndarray, two: np.ndarray) -> tuple[float, float, float]:
    """Return (difference, low, high) of AUPRC, from two results of `auprc_draws` for the same genes and seed.

    Each draw judges both scores, so that what makes a set of genes easy or hard for both does not count. NaN without
    genes, or without positive bases.
    """
    return float(one[0] - two[0]), *central((one - two)[1:])


def _auprc_of_counts(positive: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Compute average precision from counts (rows, groups) by ascending score; (rows,), NaN without a positive."""
    hits, kept = np.cumsum(positive[:, ::-1], axis=1), np.cumsum(total[:, ::-1], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sum(positive[:, ::-1] * hits / np.maximum(kept, 1), axis=1) / hits[:, -1]


def drawn(n: int, times: int = 1000, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield entries drawn with replacement, int64 (rows, n), `times` rows in all."""
    rng, rows = np.random.default_rng(seed), max(1, _BLOCK // n)
    for done in range(0, times, rows):
        yield rng.integers(0, n, size=(min(rows, times - done), n))


def _measures(y: np.ndarray, p: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the measures of rows of genes (rows, n); values (rows,)."""
    return {
        "mse": np.mean((y - p) ** 2, axis=1),
        "mae": np.mean(np.abs(y - p), axis=1),
        "pearson": _correlation(y, p),
        "spearman": _correlation(stats.rankdata(y, axis=1), stats.rankdata(p, axis=1)),
    }


def _correlation(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.full(len(y), np.nan) if y.shape[1] < 3 else pearson(y, p)


def pearson(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the correlation of each row of y with that of p, (rows,); NaN where one is constant."""
    y, p = y - y.mean(axis=1, keepdims=True), p - p.mean(axis=1, keepdims=True)
    below = np.sqrt((y**2).sum(axis=1) * (p**2).sum(axis=1))
    return np.where(below > 1e-12, (y * p).sum(axis=1) / np.maximum(below, 1e-12), np.nan)


def central(values: np.ndarray) -> tuple[float, float]:
    """Return the bounds of the central 95 % of the finite values; NaN without any."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
