"""Conversion of runs of schema 1 to schema 2: each function converts one kind of content.

All readers of a run's files get schema 2. The manifest is rewritten at the first write to the run; lines of a journal
are never rewritten, so each records its own schema; tables are rewritten whole (docs/run-folder.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_core.config import Seq2ExpConfig, model_config
from model_core.decision import DecisionRule

RULE_NAMES = {"smooth": "smooth_bp", "join": "max_gap", "shortest": "min_length"}
ELEMENT_NAMES = {"spread": "beta_sd"}


def manifest_of_2(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a manifest of schema 1 to schema 2: `band` and `decision` added, the element rule with its new names.

    Parameters
    ----------
    manifest : Mapping[str, Any]
        Content of manifest.json.
    config : Mapping[str, Any]
        Content of config.json; its `model` holds what the manifest of schema 1 lacks.
    """
    model, rule = model_config(config), manifest["element_rule"]
    return {
        **manifest,
        "schema": 2,
        "decision": manifest.get("decision") or _decision(model, manifest["variant"]),
        "band": _band(model, manifest["variant"]),
        "element_rule": rule_of_2(rule) if isinstance(rule, Mapping) else rule,
    }


def rule_of_2(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return an element rule with the names of schema 2."""
    return {RULE_NAMES.get(name, name): value for name, value in rule.items()}


def effects_of_2(record: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a record of effects.jsonl: the control rank of each element replaces the share of schema 1.

    The share was (1 + k) / (1 + n), where k of n control regions are at least as strong as the element.
    """
    rows = [[*row[:-1], _rank(row[-1], row[4])] for row in record["rows"]]
    return {**record, "schema": 2, "rule": rule_of_2(record["rule"]), "rows": rows}


def element_header_of_2(header: str) -> str:
    """Return the header line of elements.bed with the column names of schema 2."""
    return "\t".join(ELEMENT_NAMES.get(name, name) for name in header.split("\t"))


def _decision(model: Seq2ExpConfig | None, variant: str) -> dict[str, Any]:
    """Return how a model makes its mask of z: from its settings, or from its variant without them."""
    decision = model.mask.decision if model else DecisionRule("hard" if variant == "hard" else "soft")
    return decision.to_dict()


def _band(model: Seq2ExpConfig | None, variant: str) -> str:
    """Return the `band` of a model: a logit head fixes alpha + beta, so that the width of z follows from its mean."""
    return model.band if model else "none" if variant == "causal" else "beta"


def _rank(share: float | None, controls: int) -> int | None:
    return round(share * (1 + controls)) - 1 if controls and share is not None else None
