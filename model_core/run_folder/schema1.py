"""What runs of schema 1 hold, in the words of schema 2: each function reads one kind of content.

Whoever reads a file of a run sees schema 2 alone. The manifest is rewritten at the first write to the run; lines of a
journal are never rewritten, so each says its own schema; tables are rewritten whole (docs/run-folder.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from model_core.decision import DecisionRule

RULE_NAMES = {"smooth": "smooth_bp", "join": "max_gap", "shortest": "min_length"}
ELEMENT_NAMES = {"spread": "beta_sd"}


def manifest_of_2(manifest: Mapping, config: Mapping) -> dict:
    """Return a manifest of schema 1 as schema 2 states it: `band` and `decision` added, the element rule's names new.

    Parameters
    ----------
    manifest : Mapping
        manifest.json.
    config : Mapping
        config.json; its `model` says what the manifest of schema 1 does not.
    """
    model, rule = config.get("model") or {}, manifest["element_rule"]
    return {
        **manifest,
        "schema": 2,
        "decision": manifest.get("decision") or _decision(model, manifest["variant"]),
        "band": _band(model, manifest["variant"]),
        "element_rule": None if rule is None else rule_of_2(rule),
    }


def rule_of_2(rule: Mapping) -> dict:
    """Return an element rule with the names of schema 2."""
    return {RULE_NAMES.get(name, name): value for name, value in rule.items()}


def effects_of_2(record: Mapping) -> dict:
    """Return a line of effects.jsonl with the rank of each element in place of the share that stood there.

    The share was (1 + k) / (1 + n), where k of n control regions are at least as strong as the element.
    """
    rows = [[*row[:-1], _rank(row[-1], row[4])] for row in record["rows"]]
    return {**record, "schema": 2, "rule": rule_of_2(record["rule"]), "rows": rows}


def element_header_of_2(header: str) -> str:
    """Return the header line of elements.bed with the column names of schema 2."""
    return "\t".join(ELEMENT_NAMES.get(name, name) for name in header.split("\t"))


def _decision(model: Mapping, variant: str) -> dict:
    """Return how a model makes its mask of z, from its settings, or from its variant where they do not say it."""
    names = {"kind": "decision", "threshold": "threshold", "share": "top_share"}
    if "decision" not in model:
        return DecisionRule("hard" if variant == "hard" else "soft").to_dict()
    stated = {ours: model[theirs] for ours, theirs in names.items() if theirs in model}
    return DecisionRule.from_dict(stated).to_dict()


def _band(model: Mapping, variant: str) -> str:
    """Return the `band` of a model: a logit head fixes alpha + beta, so that the width of z follows from its mean."""
    return "none" if model.get("head", "logit" if variant == "causal" else "beta") == "logit" else "beta"


def _rank(share: float | None, controls: int) -> int | None:
    return round(share * (1 + controls)) - 1 if controls and share is not None else None
