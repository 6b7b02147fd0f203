"""Rankings of hundreds of millions of bases by counts at 65,536 score levels, in constant memory.

A level is a score's power of two (2^-40 to 2^24) and the first ten binary digits after it, so that levels are less
than 0.1 % apart whatever the score's unit. Bases at one level count as tied. AUPRC and AUROC are exact for the scores
so rounded; against unrounded scores they differ by less than 0.001 unless most bases are that close together.
"""

from __future__ import annotations

import numpy as np

LEVELS = 1 << 16
_DIGITS = 13  # binary digits of a float32's 23 that are dropped
_LOWEST = (127 - 40) << 10  # subtracted so that 2^-40 has level 0


def levels(scores: np.ndarray) -> np.ndarray:
    """Return the level of each score, uint16 (n,): 0 for all below 2^-40, increasing with the score.

    Parameters
    ----------
    scores : ndarray
        float (n,), 0 or more, no NaN.
    """
    bits = np.ascontiguousarray(scores, np.float32).view(np.int32) >> _DIGITS
    bits -= _LOWEST
    return np.clip(bits, 0, LEVELS - 1, out=bits).astype(np.uint16)


class ScoreHistogram:
    """Counts of bases by stratum and level.

    Attributes
    ----------
    counts : ndarray
        int64 (strata, LEVELS).
    """

    def __init__(self, strata: int):
        self.counts = np.zeros((strata, LEVELS), np.int64)

    def add(self, level: np.ndarray, parts: dict[int, np.ndarray], weight: int = 1) -> None:
        """Count `weight` bases for each entry of `level` in its stratum.

        Parameters
        ----------
        level : ndarray
            uint16 (n,).
        parts : dict[int, ndarray]
            Stratum -> positions of its entries, from `split`.
        weight : int
            Bases per entry.
        """
        for stratum, entries in parts.items():
            self.counts[stratum] += weight * np.bincount(level[entries], minlength=LEVELS)


def split(stratum: np.ndarray) -> dict[int, np.ndarray]:
    """Return stratum -> int64 positions of its entries, for the strata (0, 1, ...) in an array (n,)."""
    return {int(part): np.flatnonzero(stratum == part) for part in np.flatnonzero(np.bincount(stratum))}


def ranking(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """Return (AUPRC, AUROC) of a score from its counts at each level; NaN where one of the two classes is empty.

    AUPRC is average precision, the sum over levels of (recall gained) x (precision there), as in scikit-learn; ties
    count half in AUROC.

    Parameters
    ----------
    positive, negative : ndarray
        (LEVELS,), counts by ascending score.
    """
    total_positive, total_negative = float(positive.sum()), float(negative.sum())
    if not total_positive or not total_negative:
        return float("nan"), float("nan")
    hits, others = np.cumsum(positive[::-1], dtype=float), np.cumsum(negative[::-1], dtype=float)
    gained = positive[::-1]
    auprc = float(np.sum(gained * hits / np.maximum(hits + others, 1)) / total_positive)
    lower = total_negative - others  # negatives below each level
    auroc = float(np.sum(gained * (lower + 0.5 * negative[::-1])) / (total_positive * total_negative))
    return auprc, auroc


def rank_correlation(one: np.ndarray, two: np.ndarray) -> float:
    """Return Spearman's correlation of levels, uint16 (n,); NaN below 3 entries or of a constant."""
    if len(one) < 3:
        return float("nan")
    ranks = []
    for level in (one, two):
        counts = np.bincount(level, minlength=LEVELS)
        ranks.append((np.cumsum(counts) - (counts + 1) / 2 - (len(one) - 1) / 2)[level])
    below = np.sqrt(np.dot(ranks[0], ranks[0]) * np.dot(ranks[1], ranks[1]))
    return float(np.dot(*ranks) / below) if below > 0 else float("nan")


def cut_at(counts: np.ndarray, kept: float) -> tuple[int, float]:
    """Return (level, share): all bases above `level` and `share` (0 to 1) of those at it are `kept` bases.

    Parameters
    ----------
    counts : ndarray
        (LEVELS,), counts of all bases.
    kept : float
        Number of bases, 0 to the sum of `counts`.
    """
    from_above = np.cumsum(counts[::-1])
    place = min(int(np.searchsorted(from_above, kept, "left")), len(counts) - 1)
    level = len(counts) - 1 - place
    above = from_above[place] - counts[level]
    return level, float(np.clip((kept - above) / counts[level], 0, 1)) if counts[level] else 0.0


def kept_of(counts: np.ndarray, kept: float) -> np.ndarray:
    """Return how many bases of each stratum are among the `kept` highest, float64 (strata,); ties are split evenly.

    Parameters
    ----------
    counts : ndarray
        (strata, LEVELS).
    kept : float
        Number of bases, 0 to the sum of `counts`.
    """
    level, share = cut_at(counts.sum(axis=0), kept)
    return counts[:, level + 1 :].sum(axis=1) + share * counts[:, level]
