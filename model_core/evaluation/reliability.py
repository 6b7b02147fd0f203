"""Chance that an element of a simulated study is a planted one, by its score: fitted on validation genes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.evaluation.compare import require_masks, study_genes
from model_core.evaluation.planted_truth import Truth
from model_core.fingerprint import sha256_of
from model_core.intervals import overlap_pairs
from model_core.remote.whole_files import local_copy
from model_core.run_folder.calibration import FILE, NOT_CALIBRATED, Calibration, element_scores, score_of
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.run import Run
from model_core.study.study import Study

FITTED, HELD_OUT = "validation", "test"  # splits: the first gives the map, the second shows how it holds
FEWEST = 50  # elements
LEVELS = 10  # of the reliability curve


class Elements(NamedTuple):
    """Elements of the genes of one split.

    Attributes
    ----------
    genes : int
        Scored genes of the split, also those without an element.
    table : DataFrame
        Their elements, without promoters.
    causal : ndarray
        bool (n,), whether an element shares a base with a planted causal element of its gene.
    """

    genes: int
    table: pd.DataFrame
    causal: np.ndarray


def calibrate(run: Run, study: Study) -> Calibration:
    """Fit the chance of a run's elements on its validation genes, and write it into the run.

    Parameters
    ----------
    run : Run
        A run with scored validation genes.
    study : Study
        Its study, with planted truth.

    Returns
    -------
    Calibration
        The map, as `Run.calibration` gives it from now on.

    Raises
    ------
    InputError
        No planted truth, or that of another genome; no scored validation genes; or too few elements.
    """
    require_masks(run)
    with run.writing():
        truth, source = truth_of(run, study)
        fitted = elements_of(run, truth, FITTED)
        _require_scored(run, study, fitted)
        _require_enough(run, fitted)
        score = score_of(fitted.table)
        scores, chances = isotonic_map(element_scores(fitted.table, score), fitted.causal)
        held_out = elements_of(run, truth, HELD_OUT)
        draft: dict[str, Any] = {
            "schema": 1,
            "score": score,
            "map": {"score": scores.tolist(), "chance": chances.tolist()},
            "rule": run.rule.to_dict(),
            "checkpoint": run.checkpoint_sha256,
            "truth": source,
            "limits": truth.limits,
        }
        fit = Calibration.of(draft)
        draft[FITTED] = judged(fit, fitted)
        draft[HELD_OUT] = judged(fit, held_out) if held_out.genes else None
        run.write_json(FILE, draft)
    return Calibration.of(draft)


def truth_of(run: Run, study: Study) -> tuple[Truth, dict[str, str]]:
    """Return the planted elements of a run's genes, and path and sha256 of their file.

    Raises
    ------
    InputError
        The study has none, or they are of another genome.
    """
    if study.truth is None:
        found, expected = "a study without planted truth", "one with the table [truth], as `simulate_study` writes it"
        fix = f"leave the run as it is: its elements are {NOT_CALIBRATED}"
        raise InputError(study.path, found=found, expected=expected, fix=fix)
    path = study.truth.causal
    truth = Truth.read(path)
    sizes, causal = run.chrom_sizes, truth.causal
    truth = truth.for_run(run.genes, sizes, study_genes(study))
    lengths = causal["chrom"].map(dict(sizes))
    beyond = causal[causal["end"] > lengths]
    if len(beyond):
        first = beyond.iloc[0]
        found = f"an element at {first['chrom']}:{first['start'] + 1:,}-{first['end']:,}"
        expected = f"elements of this genome, whose {first['chrom']} has {sizes[first['chrom']]:,} bp"
        raise InputError(path, found=found, expected=expected, fix="check that it is the truth of this study")
    return truth, {"path": str(path), "sha256": sha256_of(local_copy(path, "planted elements"))}


def elements_of(run: Run, truth: Truth, split: str) -> Elements:
    """Return the elements of a run's genes of one split.

    Parameters
    ----------
    run : Run
        The run, with its elements cut.
    truth : Truth
        Planted elements, of `truth_of`.
    split : str
        "validation" or "test".
    """
    genes = run.genes
    genes = genes[genes["split"] == split]
    table = run.elements
    mine = table["gene_id"].isin(genes["gene_id"]) & (table["class"] != PROMOTER_CLASS)
    table = table[mine].reset_index(drop=True)
    return Elements(len(genes), table, is_planted(table, truth.causal))


def is_planted(elements: pd.DataFrame, causal: pd.DataFrame) -> np.ndarray:
    """Return whether each element shares a base with a planted element of its gene: bool (n,).

    Parameters
    ----------
    elements : DataFrame
        chrom, start, end, gene_id.
    causal : DataFrame
        chrom, start, end; `gene`, the gene_id it acts on; without that column it acts on every gene.
    """
    rows, others = overlap_pairs(elements, causal)
    if "gene" in causal:
        same = elements["gene_id"].to_numpy(object)[rows] == causal["gene"].to_numpy(object)[others]
        rows = rows[same]
    found = np.zeros(len(elements), bool)
    found[rows] = True
    return found


def isotonic_map(scores: np.ndarray, causal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the chance of being causal as a function of the score that never falls (isotonic regression).

    One causal element at the lowest score and one that is not at the highest are added, so that no chance is 0 or 1.

    Parameters
    ----------
    scores : ndarray
        float (n,), finite.
    causal : ndarray
        bool (n,).

    Returns
    -------
    scores, chances : ndarray
        float64 (points,): the map's points, of which the first rise and the second never fall.
    """
    from sklearn.isotonic import IsotonicRegression  # of the extra `model`; reading a map needs none of it

    x = np.concatenate(([scores.min()], scores, [scores.max()])).astype(np.float64)
    y = np.concatenate(([1.0], causal, [0.0])).astype(np.float64)
    fit = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(x, y)
    return fit.X_thresholds_.astype(np.float64), fit.y_thresholds_.astype(np.float64)


def judged(fit: Calibration, elements: Elements) -> dict[str, Any]:
    """Return the counts of a split and its reliability curve, as JSON values."""
    counts = {"genes": elements.genes, "elements": len(elements.table), "causal": int(elements.causal.sum())}
    scores, chances = element_scores(elements.table, fit.score), fit.chance(elements.table)
    curve = reliability_curve(scores, chances, elements.causal)
    return {**counts, "curve": curve.to_dict("records")}


def reliability_curve(scores: np.ndarray, chances: np.ndarray, causal: np.ndarray) -> pd.DataFrame:
    """Return up to LEVELS classes of as many elements each, by rising score.

    Parameters
    ----------
    scores, chances : ndarray
        float (n,); elements without a score are left out.
    causal : ndarray
        bool (n,).

    Returns
    -------
    DataFrame
        score_from, score_to, elements, causal (number), chance (mean). Equal scores are in one class.
    """
    known = np.flatnonzero(np.isfinite(scores))
    order = known[np.argsort(scores[known], kind="stable")]
    new = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # the first of each group of equal scores
    wanted = np.linspace(0, len(order), LEVELS + 1)[:-1]
    first = np.unique(new[np.searchsorted(new, wanted, side="right") - 1]) if len(order) else new
    rows = [
        {
            "score_from": float(scores[part[0]]),
            "score_to": float(scores[part[-1]]),
            "elements": len(part),
            "causal": int(causal[part].sum()),
            "chance": float(chances[part].mean()),
        }
        for part in np.split(order, first[1:])
        if len(part)
    ]
    return pd.DataFrame(rows, columns=["score_from", "score_to", "elements", "causal", "chance"])


def reliability_text(record: Mapping[str, Any]) -> str:
    """Return the reliability curves of a record as text, the split that gave the map first."""
    lines = [*(f"- {limit}" for limit in record["limits"])]
    for split, use in ((FITTED, "gave the map"), (HELD_OUT, "not used for the map")):
        part = record[split]
        if part is None:
            lines.append(f"{split} genes: none scored, so that nothing shows how the chance holds on other genes")
            continue
        share = f", {part['causal'] / part['elements']:.2f} of them causal" if part["elements"] else ""
        lines.append(f"{part['genes']:,} {split} genes ({use}): {part['elements']:,} elements{share}")
        if part["curve"]:
            lines.append(f"  {'score':>16} {'elements':>9} {'chance':>7} {'causal':>7}")
        for row in part["curve"]:
            span = f"{row['score_from']:.3f} to {row['score_to']:.3f}"
            lines.append(
                f"  {span:>16} {row['elements']:9,d} {row['chance']:7.2f} {row['causal'] / row['elements']:7.2f}"
            )
    return "\n".join(lines)


def _require_scored(run: Run, study: Study, fitted: Elements) -> None:
    if fitted.genes:
        return
    in_study = study_genes(study)
    planned = 0 if in_study is None else int((in_study["split"] == FITTED).sum())
    found = f"no gene of the validation split among {len(run.genes):,} scored genes"
    expected = "scored validation genes, which no result is reported of"
    if planned:
        fix = f"score its {planned:,} validation genes: seq2exp-viz score {run.path} --split {FITTED}"
    else:
        fix = "name validation genes in [genes.split] of the study, and train again"
    raise InputError(run.path, found=found, expected=expected, fix=fix)


def _require_enough(run: Run, fitted: Elements) -> None:
    count, causal = len(fitted.table), int(fitted.causal.sum())
    if count >= FEWEST and causal:
        return
    found = f"{count:,} elements of {fitted.genes:,} validation genes, {causal:,} of them planted"
    expected = f"at least {FEWEST} elements, some of them planted"
    fix = "score more validation genes" if count < FEWEST else "check that it is the truth of this study"
    raise InputError(run.path, found=found, expected=expected, fix=fix)
