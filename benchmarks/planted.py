"""Windows of a simulated study with what was planted in them, and how well a score tells it.

A score is an array (genes, bases) over the windows of the judged genes, higher where a base is thought to drive the
gene; an effect is one with a sign and the unit of the label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage, stats

from model_core.evaluation.resampling import (
    auprc_difference,
    auprc_draws,
    average_precision,
    central,
    cluster_counts,
    clustered_average_precision,
)
from model_core.study.gene_features import standardise
from model_core.study.study import Study
from model_core.training.dataset import GeneWindows

NONE, CAUSAL, WEAK, DECOY, CLOSED, OTHER_GENE, INSULATOR = range(7)  # what a base is to its window's gene
KINDS = {"decoy": DECOY, "closed": CLOSED, "insulator": INSULATOR}
LEVELS = 2_000  # of a score, in comparisons that resample genes
SMOOTH = 101  # bp
SHARE = 0.05  # of the bases kept, at which recalls are given
FLANK = 50  # bp
LEAST_EFFECT = 0.1  # of an element that every member finds
NEAR = (0, 700, 1_400, 1 << 30)  # bp from the start site: classes of distance


class Windows(NamedTuple):
    """Windows of G genes of L bases with S signals."""

    genes: pd.DataFrame  # rows of Study.genes, with index 0 to G - 1
    start: np.ndarray  # int64 (G,), first base on the chromosome
    codes: np.ndarray  # uint8 (G, L), 0-3 for A, C, G, T and 4 for N
    signals: np.ndarray  # float32 (G, L, S), as the model reads them
    features: np.ndarray  # float32 (G, 9), standardised
    learned: np.ndarray  # bool (G, L), bases neither in the promoter nor blacklisted


class Truth(NamedTuple):
    """What is planted in windows.

    Attributes
    ----------
    kind : ndarray
        int8 (G, L), of NONE to INSULATOR; OTHER_GENE is a causal element with less than the least effect on this gene.
    effect : ndarray
        float32 (G, L), planted effect of the element over the base, 0 outside elements.
    pairs : DataFrame
        Elements in each window: row (of the window), element, kind, first and last (bases of the window), gene,
        distance, contact, effect, causal (bool), weak (bool).
    """

    kind: np.ndarray
    effect: np.ndarray
    pairs: pd.DataFrame


class Difference(NamedTuple):
    """Difference of two measures over the same genes, and the 95 % interval over resampled genes."""

    value: float
    low: float
    high: float


def read_windows(study: Study, genes: pd.DataFrame, promoter: int, window: int | None = None) -> Windows:
    """Read the windows of rows of `Study.genes`, of `window` bp, or of the study's own length."""
    genes = genes.reset_index(drop=True)
    config = study.config(variant="soft", **({} if window is None else {"window": window}))
    data = GeneWindows(study, genes, config, study.feature_scale())
    codes, signals, blacklist = [], [], []
    for index in range(len(genes)):
        _, one_hot, values, _, black, _, _ = data[index]
        codes.append(np.where(one_hot.any(1), one_hot.argmax(1), 4).astype(np.uint8))
        signals.append(values.astype(np.float32))
        blacklist.append(black)
    learned = ~np.stack(blacklist)
    middle = learned.shape[1] // 2
    learned[:, middle - promoter // 2 : middle + promoter // 2] = False
    start = np.array([window.start for window in data.windows])
    features = standardise(genes, study.feature_scale()).astype(np.float32)
    return Windows(genes, start, np.stack(codes), np.stack(signals), features, learned)


def read_truth(study: Study, windows: Windows) -> Truth:
    """Read what is planted in the windows."""
    assert study.truth is not None
    folder = study.truth.causal.parent
    pairs = pd.read_csv(folder / "pairs.tsv", sep="\t")
    causal = pd.read_csv(study.truth.causal, sep="\t")
    pairs = pairs.merge(
        causal[["name", "gene", "strength"]], how="left", left_on=["element", "gene"], right_on=["name", "gene"]
    )
    pairs["causal"], pairs["weak"] = pairs["strength"].notna(), pairs["strength"] == "weak"
    row_of = pd.Series(windows.genes.index, index=windows.genes["gene_id"])
    pairs = pairs[pairs["gene"].isin(row_of.index)]
    pairs["row"] = row_of[pairs["gene"]].to_numpy()
    length = windows.codes.shape[1]
    pairs["first"] = np.clip(pairs["start"] - windows.start[pairs["row"]], 0, length)
    pairs["last"] = np.clip(pairs["end"] - windows.start[pairs["row"]], 0, length)
    pairs = pairs[pairs["last"] > pairs["first"]].reset_index(drop=True)
    kind, effect = np.zeros(windows.codes.shape, np.int8), np.zeros(windows.codes.shape, np.float32)
    for pair in pairs.itertuples():
        where = slice(pair.first, pair.last)
        code = KINDS.get(pair.kind, (WEAK if pair.weak else CAUSAL) if pair.causal else OTHER_GENE)
        kind[pair.row, where], effect[pair.row, where] = code, pair.effect
    columns = ["row", "element", "kind", "first", "last", "gene", "distance", "contact", "effect", "causal", "weak"]
    return Truth(kind, effect, pairs[columns])


def smoothed(score: np.ndarray, width: int = SMOOTH) -> np.ndarray:
    """Return the running mean over `width` bases of each row."""
    return ndimage.uniform_filter1d(score.astype(np.float32), width, axis=1, mode="nearest")


def measures(score: np.ndarray, windows: Windows, truth: Truth) -> dict[str, float]:
    """Return AUPRC over bases, and shares of each kind of base among the highest SHARE of all.

    Keys: auprc, precision, causal, weak, decoy, closed, other (the share of all such bases that is kept).
    """
    chosen = windows.learned
    kind, values = truth.kind[chosen], score[chosen]
    positive = (kind == CAUSAL) | (kind == WEAK)
    found = {"auprc": float(average_precision(positive, values)[0])}
    order = np.argsort(-values, kind="stable")[: round(SHARE * len(values))]
    kept = kind[order]
    found["precision"] = float(np.isin(kept, (CAUSAL, WEAK)).mean())
    single = {"weak": WEAK, "decoy": DECOY, "closed": CLOSED, "other": OTHER_GENE}
    for name, codes in {"causal": (CAUSAL, WEAK), **{key: (code,) for key, code in single.items()}}.items():
        total = np.isin(kind, codes).sum()
        found[name] = float(np.isin(kept, codes).sum() / total) if total else float("nan")
    return found


def of_pairs(score: np.ndarray, windows: Windows, truth: Truth) -> np.ndarray:
    """Return the mean of a score over the learned bases of each element in a window, float64 (pairs,); NaN without."""
    found = []
    for pair in truth.pairs.itertuples():
        where = slice(pair.first, pair.last)
        inside = score[pair.row, where][windows.learned[pair.row, where]]
        found.append(inside.mean(dtype=np.float64) if len(inside) else np.nan)
    return np.array(found)


def assignment(score: np.ndarray, windows: Windows, truth: Truth) -> float:
    """Return the AUPRC of telling which element acts on which gene, over all elements in all windows."""
    values = of_pairs(score, windows, truth)
    known = np.isfinite(values)
    return float(average_precision(truth.pairs["causal"].to_numpy()[known], values[known])[0])


def agreement(effect: np.ndarray, windows: Windows, truth: Truth) -> dict[str, float]:
    """Compare the mean of a score (G, L) over each element with the planted effects, by `agreement_of`."""
    return agreement_of(of_pairs(effect, windows, truth), truth)


def agreement_of(values: np.ndarray, truth: Truth) -> dict[str, float]:
    """Compare effects of elements, in the order of `Truth.pairs`, with the planted ones.

    Keys, over all elements: r; slope of predicted on planted effect; calibration, the slope of planted on predicted
    effect, which is 1 where predictions are neither too large nor too small; r_causal, of causal elements alone; mean
    effect by kind and, for causal elements, by distance from the start site beside the planted mean.
    """
    pairs, known = truth.pairs, np.isfinite(values)
    planted = pairs["effect"].to_numpy()
    found = {"r": float(stats.pearsonr(values[known], planted[known])[0])}
    found["slope"] = float(np.polyfit(planted[known], values[known], 1)[0])
    found["calibration"] = float(np.polyfit(values[known], planted[known], 1)[0])
    acting = known & (pairs["kind"] == "causal").to_numpy()
    found["r_causal"] = float(stats.pearsonr(values[acting], planted[acting])[0])
    for kind in ("decoy", "closed", "insulator"):
        here = known & (pairs["kind"] == kind).to_numpy()
        found[f"mean_{kind}"] = float(values[here].mean()) if here.any() else float("nan")
    for low, high in pairwise(NEAR):
        here = acting & pairs["distance"].between(low, high, inclusive="left").to_numpy()
        found[f"mean_from_{low}"] = float(values[here].mean())
        found[f"planted_from_{low}"] = float(planted[here].mean())
    return found


def element_effects(effects: np.ndarray, truth: Truth) -> np.ndarray:
    """Return the summed effect of each element and `FLANK` bp to either side, (..., pairs), of effects (..., G, L).

    Elements that are cut from a smoothed mask reach about as far beyond what was planted.
    """
    sums = np.zeros((*effects.shape[:-2], len(truth.pairs)))
    for place, pair in enumerate(truth.pairs.itertuples()):
        sums[..., place] = effects[..., pair.row, max(pair.first - FLANK, 0) : pair.last + FLANK].sum(axis=-1)
    return sums


def of_members(sums: np.ndarray, truth: Truth) -> dict[str, float]:
    """Return how well the spread over members tells an error, from sums (members, pairs) of `element_effects`.

    Keys: within_2_sd, share of all elements whose planted effect is within 2 sd of the mean over members;
    within_2_sd_causal, of causal elements alone; recurrent_KIND, share of each kind that every member finds: with the
    sign of the mean and at least half its size, and at least the least effect of a causal element.
    """
    pairs, mean, sd = truth.pairs, sums.mean(axis=0), sums.std(axis=0, ddof=1)
    within = np.abs(pairs["effect"].to_numpy() - mean) <= 2 * sd
    found = {"within_2_sd": float(within.mean()), "within_2_sd_causal": float(within[pairs["causal"]].mean())}
    agree = (sums * np.sign(mean) >= np.abs(mean) / 2).all(axis=0) & (np.abs(mean) >= LEAST_EFFECT)
    kinds = {"causal": pairs["causal"], "decoy": pairs["kind"] == "decoy", "closed": pairs["kind"] == "closed"}
    return found | {f"recurrent_{kind}": float(agree[here].mean()) for kind, here in kinds.items()}


# ---- comparisons over the same genes


def correlation_difference(one: np.ndarray, other: np.ndarray, truth: Truth) -> Difference:
    """Return r of `one` with the planted effects minus that of `other`, values of elements (pairs,)."""
    known = np.isfinite(one) & np.isfinite(other)
    row, planted = truth.pairs["row"].to_numpy()[known], truth.pairs["effect"].to_numpy()[known]

    def correlations(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        x, y = values[known], planted
        products = (np.ones_like(x), x, y, x * x, y * y, x * y)
        n, sx, sy, sxx, syy, sxy = (weights @ np.bincount(row, p, minlength=weights.shape[1]) for p in products)
        return (n * sxy - sx * sy) / np.sqrt((n * sxx - sx**2) * (n * syy - sy**2))

    genes = int(row.max()) + 1
    whole, draws = (
        correlations(one, weights) - correlations(other, weights)
        for weights in (np.ones((1, genes)), cluster_counts(genes))
    )
    return Difference(float(whole[0]), *central(draws))


def assignment_difference(one: np.ndarray, other: np.ndarray, windows: Windows, truth: Truth) -> Difference:
    """Return the AUPRC of telling which element acts on which gene by `one` minus that by `other`, scores (G, L)."""
    scores = [of_pairs(score, windows, truth) for score in (one, other)]
    known = np.isfinite(scores[0]) & np.isfinite(scores[1])
    pairs = truth.pairs[known]
    found = clustered_average_precision(
        pairs["causal"].to_numpy(), [values[known] for values in scores], pairs["row"].to_numpy()
    )
    return Difference(*found.difference(0, 1))


def counts_by_gene(score: np.ndarray, windows: Windows, truth: Truth) -> np.ndarray:
    """Return counts of positive bases and of all for `auprc_draws`, (G, 2, groups), by LEVELS levels of the score."""
    positive = (truth.kind == CAUSAL) | (truth.kind == WEAK)
    edges = np.unique(np.quantile(score[windows.learned], np.linspace(0, 1, LEVELS)))
    counts = np.zeros((len(score), 2, len(edges) + 1))
    for row in range(len(score)):
        learned = windows.learned[row]
        level = np.searchsorted(edges, score[row][learned], side="right")
        for part, levels in enumerate((level[positive[row][learned]], level)):
            counts[row, part] = np.bincount(levels, minlength=len(edges) + 1)
    return counts


def differences(
    scores: Mapping[str, np.ndarray], against: str, windows: Windows, truth: Truth
) -> Iterator[tuple[str, float, float, float]]:
    """Yield (name, AUPRC of `against` minus that of each other score, low, high) over the same resampled genes."""
    own = auprc_draws(counts_by_gene(scores[against], windows, truth))
    for name, score in scores.items():
        if name != against:
            yield name, *auprc_difference(own, auprc_draws(counts_by_gene(score, windows, truth)))
