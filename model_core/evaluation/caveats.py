"""Sentences on the limits of a comparison's numbers, shown above them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.evaluation.base_scores import MASK, PRIOR, SEQUENCE, ScoreReader
from model_core.evaluation.mask_components import TOLERANCE
from model_core.run_folder.notes import notes_of
from model_core.run_folder.run import Run
from model_core.study.study import Study

SAME = 0.99  # rank correlation above which the mask is called its prior
# Ratio of the prior's to the mask's Jaccard index with the elements, above which the elements are called the prior's.
SAME_ELEMENTS = 0.95
_SAMPLED_GENES = 50  # genes whose sequence is checked for unknown bases
_MANY_UNKNOWN = 0.02
_FEW_GENES = 30


def of_study(run: Run, study: Study | None) -> list[str]:
    """Return the limits of a run's data: those that the study states, and those that can be measured."""
    found = []
    said = [note.text for note in notes_of(run)]
    if run.manifest["simulated"]:
        found.append("All data are simulated: a method that does well here may do less well on cells.")
    if study is None:
        found.append("The run's study could not be read, so nothing that needs its signals or sequence is here.")
        return found + said
    found += said + [limit for limit in study.limits if limit not in said]  # study.toml may say more by now
    unknown = _unknown_bases(run, study)
    if unknown is not None and unknown >= _MANY_UNKNOWN:
        share = f"{100 * unknown:.0f} % of the bases in the checked windows"
        found.append(f"{share} are N in the genome file: the model has no sequence there.")
    return found


def of_numbers(run: Run, tables: dict[str, pd.DataFrame], reader: ScoreReader) -> list[str]:
    """Return the limits that a comparison's own numbers show."""
    found = []
    scores = tables["scores"].set_index("score")
    correlation = scores["rank_correlation"].get(PRIOR, np.nan)
    if correlation >= SAME:
        found.append(
            f"The mask is its signal prior: their rank correlation is {correlation:.4f}. It shows where signal is; "
            "no base of it was found from sequence."
        )
    prior, own = (scores["jaccard_with_elements"].get(name, np.nan) for name in (PRIOR, MASK))
    if correlation < SAME and prior >= SAME_ELEMENTS * own:
        found.append(
            f"The mask's elements are those of its signal prior: at the same share, the prior's bases overlap them "
            f"with a Jaccard index of {prior:.3f}, the mask's own bases with {own:.3f}."
        )
    signals = scores[scores["kind"].isin(("signal", "part")) & (scores.index != SEQUENCE)]["auprc"]
    if signals.notna().any() and scores.loc[MASK, "auprc"] <= signals.max():
        best = signals.idxmax()
        found.append(
            f"On planted truth the mask (AUPRC {scores.loc[MASK, 'auprc']:.3f}) is no better than {best} alone "
            f"({signals.max():.3f})."
        )
    prediction = tables["prediction"]
    count = prediction.loc[prediction["run"] == run.name, "genes"].iloc[:1].sum()
    if count < _FEW_GENES:
        genes = f"{count} gene{'' if count == 1 else 's'}"
        found.append(f"Prediction is judged on {genes}: too few to rank models.")
    if SEQUENCE in scores.index and reader.unknown > 0.01 * max(reader.asked, 1):
        share = reader.unknown / reader.asked
        found.append(
            f"At {100 * share:.0f} % of the bases the stored mask is too coarse for the sequence component; there "
            "'sequence only' is the window's median."
        )
    if SEQUENCE in scores.index and reader.sequence_sd is not None and reader.sequence_sd < TOLERANCE:
        found.append(
            f"The sequence component of the mask varies by {reader.sequence_sd:.3f} (standard deviation) in a window, "
            f"less than the {TOLERANCE} that rounding of the stored masks can hide: 'sequence only' is noise."
        )
    fewer = scores[(scores["kind"] != "set") & (scores["genes"] < scores.loc[MASK, "genes"])]
    for name, row in fewer.iterrows():
        known = f"{row['genes']:,}" if row["genes"] else "none"
        found.append(f"'{name}' is known for {known} of the {scores.loc[MASK, 'genes']:,} judged genes.")
    return found


def of_others(names: Iterable[str], tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return which other runs' predictions cannot be compared with the run's, gene by gene."""
    compared = set(tables["prediction_differences"]["minus"]) if "prediction_differences" in tables else set()
    return [
        f"The predictions of {name} are not compared gene by gene: the runs share no gene with an observed value, or "
        "hold other observed values of the same genes."
        for name in names
        if name not in compared
    ]


def _unknown_bases(run: Run, study: Study) -> float | None:
    """Return the share of N among the bases of up to 50 windows, 0 to 1; None where the genome cannot be read."""
    genes = run.genes
    unknown = total = 0
    try:
        genome = study.genome()
        for gene in genes.iloc[:: max(1, len(genes) // _SAMPLED_GENES)].itertuples():
            bases = genome.sequence(gene.chrom, int(gene.start), int(gene.end))
            unknown, total = unknown + bases.count("N"), total + len(bases)
    except InputError:
        return None
    return unknown / total if total else None
