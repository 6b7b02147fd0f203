"""Effects of elements on a gene in words: the same in tables, pop-ups, reports and figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

DIRECTIONS = {  # `element_gene_score.direction` -> words
    "raises": "raises expression",
    "lowers": "lowers expression",
    "cannot be told": "cannot be told: less than twice its sd, or 0.02, from 0",
}
SD_WORDS = "the standard deviation over the members, each trained on its own resampling of the genes"
SCORE_WORDS = (
    "How strongly the element acts on this gene (activity by contact): the size of the effect; of a model whose "
    "effects hold no contact yet, times the contact with the start site"
)


def effect_words(effect: float | None, sd: float | None = None) -> str:
    """Return an effect with its sign and, where it has one, its standard deviation: "+0.21 ± 0.03"; "" without effect.

    Both have as many decimals (2 to 4) as show one digit of the standard deviation; an effect without one has three.
    What is rounded to 0 has no sign.
    """
    if not known(effect):
        return ""
    assert effect is not None
    decimals = min(max(-math.floor(math.log10(sd)), 2), 4) if known(sd) and sd else 3
    size = f"{abs(effect):.{decimals}f}"
    sign = "" if float(size) == 0 else "−" if effect < 0 else "+"
    return f"{sign}{size}" + (f" ± {sd:.{decimals}f}" if known(sd) else "")


def member_words(recurrence: float | None, members: float | None) -> str:
    """Return how many members agree on an effect: "4 of 5 members"; "" where it is not known, or of a single member."""
    if not known(recurrence) or not known(members) or members == 1:
        return ""
    return f"{recurrence:.0f} of {members:.0f} members"


def direction_words(direction: str) -> str:
    """Return a direction as a sentence's end; "" where an effect has none."""
    return DIRECTIONS[direction] if direction else ""


def effect_facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is known of an element's effect as pairs of a name and a text, in the order of the tables.

    Parameters
    ----------
    row : Mapping[str, Any]
        `element_effects.COLUMNS` of an element.
    """
    facts = [
        ("Effect", effect_words(row["effect"], row["effect_sd"])),
        ("Members that agree", member_words(row["recurrence"], row["members"])),
        ("Direction", direction_words(row["direction"])),
        ("Contact", share_words(row["contact"])),
        ("Element–gene score", share_words(row["element_gene_score"])),
    ]
    return [(name, text) for name, text in facts if text]


def cell_words(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of an element's row of a table for which the numbers alone do not do: effect and members."""
    return {
        "effect": effect_words(row["effect"], row["effect_sd"]),
        "members": member_words(row["recurrence"], row["members"]).removesuffix(" members"),
    }


def share_words(value: float | None) -> str:
    """Return a number of three decimals, "" where it is not known."""
    return f"{value:.3f}" if known(value) else ""


def known(value: float | None) -> bool:
    """Return whether a number of a table is there."""
    return value is not None and not pd.isna(value)
