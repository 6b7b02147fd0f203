"""What numbers cannot tell, in sentences that stand above them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.evaluation.base_scores import MASK, PRIOR, SEQUENCE, ScoreReader
from model_core.evaluation.mask_components import TOLERANCE
from model_core.run_folder.run import Run
from model_core.study.study import Study

SAME = 0.99  # rank correlation from which the mask is called its prior
SAME_ELEMENTS = (
    0.95  # and how near the prior's highest bases come to the elements, as a share of how near the mask's do
)
_SAMPLED_GENES = 50  # whose sequence is looked at for unknown bases
_MANY_UNKNOWN = 0.02
_FEW_GENES = 30


def of_study(run: Run, study: Study | None) -> list[str]:
    """What the data behind a run cannot tell: what the study says of itself, and what can be seen in it."""
    found = []
    if run.manifest["simulated"]:
        found.append("All data are simulated: a method that does well here may do less well on cells.")
    if study is None:
        found.append("The run's study could not be read, so nothing that needs its signals or sequence is here.")
        return found
    found += study.limits
    unknown = _unknown_bases(run, study)
    if unknown is not None and unknown >= _MANY_UNKNOWN:
        share = f"{100 * unknown:.0f} % of the bases in the windows looked at"
        found.append(f"{share} are N in the genome file: the model sees nothing there.")
    return found


def of_numbers(run: Run, tables: dict[str, pd.DataFrame], reader: ScoreReader) -> list[str]:
    """What the numbers of this comparison say against themselves."""
    found = []
    scores = tables["scores"].set_index("score")
    correlation = scores["rank_correlation"].get(PRIOR, np.nan)
    if correlation >= SAME:
        found.append(
            f"The mask is its signal prior: their rank correlation is {correlation:.4f}. It shows where signal is; no "
            "base of it was found from sequence."
        )
    prior, own = (scores["jaccard_with_elements"].get(name, np.nan) for name in (PRIOR, MASK))
    if correlation < SAME and prior >= SAME_ELEMENTS * own:
        found.append(
            f"The mask's elements are those of its signal prior: at the same share, the prior's bases meet them with a "
            f"Jaccard index of {prior:.3f}, the mask's own bases with {own:.3f}."
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
        found.append(f"Prediction is judged on {genes}: too few to put models in an order.")
    if SEQUENCE in scores.index and reader.unknown > 0.01 * max(reader.asked, 1):
        share = reader.unknown / reader.asked
        found.append(
            f"At {100 * share:.0f} % of the bases the stored mask is too coarse to tell the sequence's part; there "
            "'sequence only' takes the window's middle value."
        )
    if SEQUENCE in scores.index and reader.sequence_sd is not None and reader.sequence_sd < TOLERANCE:
        found.append(
            f"The sequence's part of the mask moves by {reader.sequence_sd:.3f} (standard deviation) within a window, "
            f"less than the {TOLERANCE} that rounding of the stored masks can hide: read 'sequence only' as noise."
        )
    fewer = scores[(scores["kind"] != "set") & (scores["genes"] < scores.loc[MASK, "genes"])]
    for name, row in fewer.iterrows():
        known = f"{row['genes']:,}" if row["genes"] else "none"
        found.append(f"'{name}' is known for {known} of the {scores.loc[MASK, 'genes']:,} judged genes.")
    return found


def _unknown_bases(run: Run, study: Study) -> float | None:
    """Share of N among the bases of up to 50 windows, 0-1; None where the genome cannot be read."""
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
