"""Effects of elements on their gene, as views of a run show them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from model_core.run_folder import element_effects
from model_core.run_folder.element_gene_score import element_gene_score
from model_core.run_folder.member_effects import mean_contact, region_effect
from seq2exp_viz.runs.run_view import RunView


def with_effects(view: RunView, elements: pd.DataFrame) -> pd.DataFrame:
    """Return elements of a run with what is known of their effects (`model_core.run_folder.element_effects`)."""
    return element_effects.with_effects(elements, view.effects, view.run.manifest)


def with_scores(view: RunView, gene_id: str, rows: list[dict]) -> list[dict]:
    """Return knock-outs of a gene's elements (dicts with start, end, effect) with their element_gene_score.

    It is None where it is not known.
    """
    if not rows:
        return rows
    effects, contact, window = view.member_effects(gene_id), view.contact_share(gene_id), view.run.window(gene_id)
    bounds = window.start, window.end
    places = [(row["start"], row["end"]) for row in rows]
    stored = [np.nan if effects is None else region_effect(effects, *place).effect for place in places]
    shares = [np.nan if contact is None else mean_contact(contact, bounds, *place) for place in places]
    knocked = [np.nan if row["effect"] is None else row["effect"] for row in rows]
    scores = element_gene_score(stored, knocked, shares)
    return [
        {**row, "element_gene_score": None if np.isnan(score) else round(float(score), 6)}
        for row, score in zip(rows, scores, strict=True)
    ]
