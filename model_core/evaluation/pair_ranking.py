"""How well scores rank tested element-gene pairs: AUPRC and differences, with intervals over resampled genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from model_core.evaluation.crispr_pairs import genes_of
from model_core.evaluation.resampling import clustered_average_precision

BINS = (("0-10 kb", 0, 10_000), ("10-100 kb", 10_000, 100_000), ("all in the window", 0, None))
BASELINES = ("1/distance", "activity/distance")  # what every score is compared with
AUPRC = ("auprc", "auprc_low", "auprc_high")
_DIFFERENCE = ("difference", "difference_low", "difference_high")
_COMMON = 0.9  # share of the pairs that a score must have to be judged on the pairs that all such scores have


class Ranking(NamedTuple):
    """AUPRC of scores on the same pairs.

    Attributes
    ----------
    rows : list[dict]
        One per score: score, pairs, positives, genes, positive_share, auprc, auprc_low, auprc_high.
    differences : list[dict]
        One per score and baseline: score, than, pairs, positives, difference, difference_low, difference_high.
    """

    rows: list[dict[str, Any]]
    differences: list[dict[str, Any]]


def ranking_of(
    pairs: pd.DataFrame, names: Sequence[str], baselines: Sequence[str] = (), weight: str | None = None
) -> Ranking:
    """Rank pairs by each score and compare.

    Intervals and differences are those of the same resampled genes, each with all of its pairs, so that differences
    are paired.

    Parameters
    ----------
    pairs : DataFrame
        positive (bool), the columns that `genes_of` needs, and one column per score, without NaN.
    names : Sequence[str]
        The scores.
    baselines : Sequence[str]
        Those of `names` that every other score is compared with.
    weight : str or None
        Column with the weight of each pair, 0 or more; None: all 1.

    Returns
    -------
    Ranking
        NaN where a class is missing.
    """
    positive = pairs["positive"].to_numpy(bool)
    genes = genes_of(pairs)
    weights = np.ones(len(pairs)) if weight is None else pairs[weight].to_numpy(float)
    found = clustered_average_precision(positive, [pairs[name].to_numpy(float) for name in names], genes, weights)
    numbers = {"pairs": len(pairs), "positives": int(positive.sum())}
    share = float(weights[positive].sum() / weights.sum()) if weights.sum() > 0 else float("nan")
    rows, differences = [], []
    for number, name in enumerate(names):
        about = {"score": name, **numbers, "genes": len(np.unique(genes)), "positive_share": share}
        rows.append(about | dict(zip(AUPRC, found.interval(number), strict=True)))
        for than in (base for base in baselines if base in names and base != name):
            paired = found.difference(number, names.index(than))
            differences.append({"score": name, "than": than, **numbers, **dict(zip(_DIFFERENCE, paired, strict=True))})
    return Ranking(rows, differences)


def pair_table(scored: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the AUPRC of each score, with one row per distance bin and score.

    Columns: distance, score, pairs, positives, genes, positive_share, auprc, auprc_low, auprc_high. positive_share is
    the AUPRC of a guess. In each bin only pairs with all scores count, so that all scores are judged on the same pairs;
    a score that fewer than nine in ten of the pairs have is judged on its own pairs, as its numbers show.
    """
    rows = []
    for name, first, last in BINS:
        here = scored[(scored["distance"] >= first) & (True if last is None else scored["distance"] < last)]
        found = {row["score"]: row for part, own in shared(here, names) for row in ranking_of(part, own).rows}
        rows += [{"distance": name, **found[score]} for score in names]
    return pd.DataFrame(rows)


def difference_table(scored: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return each score's AUPRC less that of each of BASELINES, over all pairs that have both, paired by genes.

    Columns: score, than, pairs, positives, difference, difference_low, difference_high.
    """
    bases = [name for name in BASELINES if name in names]
    rows = []
    for part, own in shared(scored, names):
        complete = part.dropna(subset=bases)
        rows += ranking_of(complete, list(dict.fromkeys([*own, *bases])), bases).differences
    table = pd.DataFrame(rows, columns=["score", "than", "pairs", "positives", *_DIFFERENCE])
    return table.drop_duplicates(["score", "than"], ignore_index=True)


def shared(pairs: pd.DataFrame, names: Sequence[str]) -> list[tuple[pd.DataFrame, list[str]]]:
    """Return (pairs, scores judged on them): those that nearly all pairs have together, then each other one alone."""
    wide = [name for name in names if len(pairs) and pairs[name].notna().mean() >= _COMMON]
    found = [(pairs.dropna(subset=wide), wide)] if wide else []
    return found + [(pairs.dropna(subset=[name]), [name]) for name in names if name not in wide]
