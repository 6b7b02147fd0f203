"""What a model loses as a negative control: its numbers beside those of the real model, on the same test genes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from model_core.config import Seq2ExpConfig
from model_core.evaluation.controls import signal_prior
from model_core.evaluation.planted_truth import STRONG, WEAK, Truth
from model_core.evaluation.prediction import judged
from model_core.evaluation.resampling import average_precision, central, drawn, pearson
from model_core.intervals import rasterise
from model_core.negative_control import LABELS, SEQUENCE, SIGNALS
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.run import Run
from model_core.study.study import Study
from model_core.window import Window

REAL = "real"
PEARSON, AUPRC, IN_PEAKS, OF_PRIOR = "Pearson", "AUPRC", "in peaks", "rank with prior"
MEASURES = (PEARSON, AUPRC, IN_PEAKS, OF_PRIOR)
SHOULD_LOSE = {LABELS: (PEARSON, AUPRC), SIGNALS: (AUPRC, IN_PEAKS), SEQUENCE: (AUPRC,)}
TOP = 0.05  # share of the learned bases with the highest mask, of which those in peaks are counted
LOST, NOT_LOST, UNKNOWN = "yes", "no", "not measured"
STATES = {LOST: "lost", NOT_LOST: "not lost", UNKNOWN: "not measured"}
CHANCE = {AUPRC: "causal share", IN_PEAKS: "peak share"}  # of the learned bases: what a random mask would have
COLUMNS = ("run", "measure", "genes", "value", "chance", "difference", "low", "high", "should_lose", "lost")


class Inputs(NamedTuple):
    """What the masks of a study's runs are compared with."""

    peaks: pd.DataFrame | None
    truth: Truth | None


def inputs_of(study: Study, run: Run) -> Inputs:
    """Return the peaks and the planted truth of a study, None where it has none; the truth is that of a run's genes.

    Raises
    ------
    InputError
        A file that the study names cannot be read.
    """
    planted = study.truth
    truth = None if planted is None else Truth.read(planted.causal, planted.decoys)
    if truth is not None:
        truth = truth.for_run(run.genes, run.chrom_sizes, study.gene_sites())
    return Inputs(study.peaks(), truth)


def gene_numbers(run: Run, study: Study, inputs: Inputs) -> pd.DataFrame:
    """Return numbers of each judged gene of a run, by gene_id: observed, predicted, and MEASURES of its mask.

    AUPRC is that of the mask for the bases of planted elements of the gene; "in peaks" the share in peaks of the TOP
    bases with the highest mask; "rank with prior" Spearman's, of the mask with the signal prior of the signals that
    this run was given. All are over learned bases; NaN where a number does not exist: without truth, peaks, or a mask
    that varies.

    Parameters
    ----------
    run : Run
        A scored run.
    study : Study
        Its study, as the control that the run is of.
    inputs : Inputs
        Of `inputs_of`.
    """
    config, reader, rows = run.model_config, study.reader(), {}
    assert config is not None  # runs of trainings record it
    for gene in run.genes[judged(run.genes)].itertuples():
        mask = run.mask(gene.gene_id)
        signals = reader.read(Window.between(mask.chrom, mask.start, mask.end)).signals
        rows[gene.gene_id] = {
            "observed": gene.observed,
            "predicted": gene.predicted,
            **_of_mask(gene.gene_id, mask, signals, config, inputs),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _of_mask(
    gene_id: str, mask: GeneMask, signals: np.ndarray, config: Seq2ExpConfig, inputs: Inputs
) -> dict[str, float]:
    values, learned = mask.mean[mask.learned], mask.learned
    found = dict.fromkeys((AUPRC, IN_PEAKS, OF_PRIOR, *CHANCE.values()), float("nan"))
    if inputs.truth is not None:
        kind = inputs.truth.of(gene_id, mask).kind[learned]
        causal = (kind == STRONG) | (kind == WEAK)
        if causal.any():
            found[AUPRC] = float(average_precision(causal, values)[0])
            found[CHANCE[AUPRC]] = float(causal.mean())
    if inputs.peaks is not None:
        inside = rasterise(inputs.peaks, mask.chrom, mask.start, mask.end)[learned]
        if inside.any():
            found[IN_PEAKS] = share_among_highest(inside, values, TOP)
            found[CHANCE[IN_PEAKS]] = float(inside.mean())
    found[OF_PRIOR] = rank_correlation(values, signal_prior(signals, config)[learned])
    return found


def share_among_highest(inside: np.ndarray, values: np.ndarray, share: float) -> float:
    """Return which share of the highest values lies inside; equal values at the edge count in equal parts.

    Parameters
    ----------
    inside : ndarray
        bool (n,).
    values : ndarray
        float (n,).
    share : float
        Share of the n values that are the highest.
    """
    count = max(1.0, share * len(values))
    edge = np.partition(values, -int(np.ceil(count)))[-int(np.ceil(count))]
    above, tied = values > edge, values == edge
    return float((inside[above].sum() + (count - above.sum()) * inside[tied].mean()) / count)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation of two vectors; NaN where one of them is constant."""
    return float(pearson(rankdata(a)[None], rankdata(b)[None])[0]) if len(a) else float("nan")


def table_of(numbers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the table COLUMNS: a row for each run and measure, the real run first.

    A difference is real minus control, on the genes for which both have the number, with its central 95 % under paired
    resampling of these genes. `lost` is "yes" where all of that interval is above 0.

    Parameters
    ----------
    numbers : Mapping[str, DataFrame]
        `gene_numbers` by run: REAL and controls.
    """
    real, rows = numbers[REAL], []
    for name, mine in numbers.items():
        for measure in MEASURES:
            columns = ["observed", "predicted"] if measure == PEARSON else [measure]
            both = pd.concat([real[columns], mine[columns]], axis=1, keys=["real", "control"]).dropna()
            row = {"run": name, "measure": measure, "genes": len(both)}
            a, b = (both[part].to_numpy(float) for part in ("real", "control"))
            value = _mean_or_pearson(b[None])[0] if len(both) else float("nan")
            row |= {"value": value, "should_lose": measure in SHOULD_LOSE.get(name, ())}
            chance = CHANCE.get(measure)
            row["chance"] = 0.0 if chance is None else float(mine.loc[both.index, chance].mean())
            if name != REAL:
                difference, low, high = paired_difference(a, b)
                row |= {"difference": difference, "low": low, "high": high}
                row["lost"] = UNKNOWN if not np.isfinite(low) else LOST if low > 0 else NOT_LOST
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def three_decimals(value: float) -> str:
    """Return a number with three decimals, without the sign of a negative zero."""
    return f"{round(value, 3) + 0.0:.3f}"


def sentence(table: pd.DataFrame, control: str) -> str:
    """Return what a control should lose, and whether it did, of the rows of `table_of`."""
    real = table[table["run"] == REAL].set_index("measure")["value"]
    expected = table[(table["run"] == control) & table["should_lose"]].set_index("measure")

    def told(measure: str) -> str:
        row = expected.loc[measure]
        if row["lost"] == UNKNOWN:
            return measure
        values = (real[measure], *row[["value", "chance", "difference", "low", "high"]])
        before, after, chance, difference, low, high = map(three_decimals, values)
        return f"{measure} ({before} to {after}, chance {chance}; difference {difference}, {low} to {high})"

    found = {state: [told(name) for name in expected.index[expected["lost"] == state]] for state in STATES}
    parts = [f"should lose: {', '.join(expected.index)}", f"lost: {', '.join(found[LOST]) or 'nothing'}"]
    parts += [
        f"{words}: {', '.join(found[state])}" for state, words in STATES.items() if found[state] and state != LOST
    ]
    return "; ".join(parts)


def paired_difference(real: np.ndarray, control: np.ndarray) -> tuple[float, float, float]:
    """Return (difference, low, high) of two models on the same genes, real minus control.

    Parameters
    ----------
    real, control : ndarray
        float (genes, 1): of a measure, whose means are compared; or (genes, 2): observed and predicted values, whose
        correlations are compared.
    """
    if len(real) < 3:
        return (float("nan"),) * 3
    blocks = drawn(len(real))
    differences = [_mean_or_pearson(real[entries]) - _mean_or_pearson(control[entries]) for entries in blocks]
    whole = _mean_or_pearson(real[None]) - _mean_or_pearson(control[None])
    return float(whole[0]), *central(np.concatenate(differences))


def _mean_or_pearson(values: np.ndarray) -> np.ndarray:
    """Return means of (draws, genes, 1), or correlations of (draws, genes, 2); float64 (draws,)."""
    return values[..., 0].mean(axis=1) if values.shape[-1] == 1 else pearson(values[..., 0], values[..., 1])
