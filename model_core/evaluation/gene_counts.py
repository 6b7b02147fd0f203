"""Counts of each gene's bases by groups of score levels, from which AUPRC is computed for any draw of the genes.

A score's own levels (`ranking`) are 65,536, too many to keep for each gene. They are joined to a few hundred groups,
chosen from the counts over all genes so that AUPRC changes little.
"""

from __future__ import annotations

import numpy as np

_MOST = 1 << 24  # genes x scores x groups
_GROUPS = (64, 1024)  # fewest and most groups of a score


def group_count(genes: int, scores: int) -> int:
    """Return the number of groups for each score: 1,024, or fewer for many genes (at most 128 MB in all, or 64)."""
    return int(np.clip(_MOST // max(genes * scores, 1), *_GROUPS))


def level_groups(positive: np.ndarray, total: np.ndarray, groups: int) -> np.ndarray:
    """Return the group of each level, int64 (LEVELS,), 0 to groups - 1, increasing with the level.

    A group of several levels holds few of the positives and is narrow in rank (as a ratio, counted from the highest
    score), as AUPRC weights what is ranked first most.

    Parameters
    ----------
    positive, total : ndarray
        (LEVELS,), counts of positive bases and of all, by ascending score.
    groups : int
        Largest number of groups.
    """
    hits, ranks = np.cumsum(positive[::-1], dtype=float), np.cumsum(total[::-1], dtype=float)
    share = 0.5 * hits / max(hits[-1], 1) + 0.5 * np.log1p(ranks) / np.log1p(max(ranks[-1], 1))
    above = np.concatenate([[0.0], share[:-1]])
    return groups - 1 - np.minimum((above * groups).astype(np.int64), groups - 1)[::-1]


class GeneCounts:
    """Counts of one score for each gene.

    Attributes
    ----------
    counts : ndarray
        int32 (genes, 2, groups): positive bases, and all, by ascending score.
    known : ndarray
        bool (genes,): whether the gene has this score.

    Parameters
    ----------
    genes : int
        Number of genes.
    positive, total : ndarray
        (LEVELS,), counts over all genes, by which levels are grouped.
    groups : int
        Largest number of groups.
    """

    def __init__(self, genes: int, positive: np.ndarray, total: np.ndarray, groups: int):
        self._group = level_groups(positive, total, groups)
        self.counts = np.zeros((genes, 2, groups), np.int32)
        self.known = np.zeros(genes, bool)

    def add(self, gene: int, level: np.ndarray, positive: np.ndarray) -> None:
        """Count the bases of a gene.

        Parameters
        ----------
        gene : int
            Its row.
        level : ndarray
            uint16 (n,), from `ranking.levels`.
        positive : ndarray
            bool (n,).
        """
        group = self._group[level]
        for row, part in enumerate((group[positive], group)):
            self.counts[gene, row] += np.bincount(part, minlength=self.counts.shape[2]).astype(np.int32)
        self.known[gene] = True
