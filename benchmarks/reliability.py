"""Which score of an element tells planted ones from others, and how well its chance holds on other genes.

    python benchmarks/reliability.py RUN [RUN ...] [--thresholds 0.7 0.5]

Each RUN is a scored run of a simulated study, with validation and test genes. Elements are cut at the run's own rule
and at each threshold, in memory: the run is not changed. For each score, an isotonic map is fitted on the elements of
the validation genes as `seq2exp-viz calibrate` does, whose score is marked with *. Of the test genes: AUROC of the
score, Brier score of the chance (lower is better; that of the share of causal elements beside it), mean chance, share.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss, roc_auc_score

from model_core.evaluation.planted_truth import Truth
from model_core.evaluation.reliability import FITTED, HELD_OUT, is_planted, isotonic_map, truth_of
from model_core.run_folder.calibration import BEYOND_ERROR, MEAN_MASK, element_scores, score_of
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.run import Run
from model_core.run_folder.source import study_of


def cut(run: Run, truth: Truth, split: str, threshold: float | None) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the elements of the scored genes of a split, and whether each is planted for its gene."""
    genes = run.genes[run.genes["split"] == split]["gene_id"]
    table = pd.concat([run.cut(gene, threshold) for gene in genes], ignore_index=True)
    table = table[table["class"] != PROMOTER_CLASS].reset_index(drop=True)
    return table, is_planted(table, truth.causal)


def scores_of(table: pd.DataFrame) -> Mapping[str, np.ndarray]:
    """Return scores of elements by name; those of effects only where every element has one with its error."""
    found = {"mean mask": element_scores(table, MEAN_MASK), "highest mask": table["max_mask"].to_numpy(float)}
    if score_of(table) == BEYOND_ERROR:
        size, error = table["effect"].abs().to_numpy(float), table["effect_sd"].to_numpy(float)
        found |= {"recurrence": table["recurrence"].to_numpy(float), "effect": size, "effect - sd": size - error}
        found |= {"effect - 2 sd": element_scores(table, BEYOND_ERROR), "effect / (effect + sd)": size / (size + error)}
    return found


def rows_of(fitted: tuple[pd.DataFrame, np.ndarray], held_out: tuple[pd.DataFrame, np.ndarray]) -> list[str]:
    """Return a line of the table for each score."""
    used = {MEAN_MASK: "mean mask", BEYOND_ERROR: "effect - 2 sd"}[score_of(fitted[0])]
    (mine, causal), (others, truth), lines = fitted, held_out, []
    share = truth.mean()
    theirs = scores_of(others)
    for name, values in scores_of(mine).items():
        chance = np.interp(theirs[name], *isotonic_map(values, causal))
        auroc = roc_auc_score(truth, theirs[name]) if 0 < share < 1 else float("nan")
        brier = brier_score_loss(truth, chance)
        cells = f"{auroc:.3f} | {brier:.3f} ({share * (1 - share):.3f}) | {chance.mean():.2f} | {share:.2f}"
        lines.append(f"| {name}{' *' if name == used else ''} | {cells} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--thresholds", nargs="*", type=float, default=[0.7, 0.5], help="of the mask, 0 to 1")
    a = parser.parse_args()
    for path in a.runs:
        run = Run.open(path)
        truth = truth_of(run, study_of(run))[0]
        for threshold in (None, *a.thresholds):
            fitted, held_out = (cut(run, truth, split, threshold) for split in (FITTED, HELD_OUT))
            cutoff = run.rule.threshold if threshold is None else threshold
            counts = f"{len(fitted[0])} elements of validation genes, {len(held_out[0])} of test genes"
            print(f"\n{path}, threshold {cutoff:.3f}: {counts}\n")
            print("| score | AUROC | Brier | chance | causal |\n|---|--:|--:|--:|--:|")
            print("\n".join(rows_of(fitted, held_out)))


if __name__ == "__main__":
    main()
