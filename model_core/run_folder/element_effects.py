"""What is known of the effects of elements on their gene: stored by the run, else from knock-outs. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from model_core.run_folder.element_gene_score import direction, element_gene_score
from model_core.run_folder.elements import MEASURED

RANKS = ("control_rank", "control_n")  # after a knock-out only
OF_MEMBERS = ("effect_sd", "recurrence", "members", "direction")
EFFECT_NAMES = ("effect", *OF_MEMBERS, "contact", "element_gene_score", *RANKS)
_PLACE = ["gene_id", "start", "end"]


def with_effects(elements: pd.DataFrame, knock_outs: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Return elements with EFFECT_NAMES: effects that the run stores, else those of knock-outs, and ranks of these.

    Parameters
    ----------
    elements : DataFrame
        `ELEMENT_COLUMNS`, or some of them: gene_id, start, end, MEASURED.
    knock_outs : DataFrame
        `Run.effects`; rows belong to the elements of the same gene with the same bounds.
    manifest : Mapping[str, Any]
        Of the run, for the number of its members.

    Returns
    -------
    DataFrame
        The rows as given, in their order. effect: in the label's unit. effect_sd, recurrence, members (number of
        members), direction ("raises", "lowers", "cannot be told", or "" where it is not known): of stored effects only.
        contact: 0 to 1. element_gene_score: `element_gene_score`. Numbers that are not known are NaN.
    """
    stored = elements[list(MEASURED)].reset_index(drop=True)
    table = elements.drop(columns=list(MEASURED)).reset_index(drop=True)
    known = knock_outs[[*_PLACE, "effect", *RANKS]].astype({"gene_id": str, "effect": float})
    found = table[_PLACE].astype({"gene_id": str}).merge(known, "left", _PLACE).astype(dict.fromkeys(RANKS, float))
    return table.assign(
        effect=stored["effect"].fillna(found["effect"]),
        effect_sd=stored["effect_sd"],
        recurrence=stored["recurrence"],
        members=np.where(stored["effect"].notna(), float(manifest.get("members") or np.nan), np.nan),
        direction=[direction(*both) for both in zip(stored["effect"], stored["effect_sd"], strict=True)],
        contact=stored["contact"],
        element_gene_score=element_gene_score(stored["effect"], found["effect"], stored["contact"]),
        **{name: found[name] for name in RANKS},
    )


def stores_any(manifest: Mapping[str, Any]) -> bool:
    """Return whether a run stores effects or contact, so that its exported elements have more columns."""
    return manifest.get("members") is not None or manifest.get("contact") is not None


def with_stored(elements: pd.DataFrame, knock_outs: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Return `with_effects` where the run stores effects or contact; else the elements as they are, for older files."""
    return with_effects(elements, knock_outs, manifest) if stores_any(manifest) else elements
