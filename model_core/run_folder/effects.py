"""Knock-out effects on disk: a journal with a line a gene, and the table that is made of it. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.files import append_json_line, cut_torn_line, json_values, whole_lines, write_text
from model_core.run_folder.journal import Lock
from model_core.tsv import table_text

FOLDER = "effects"
BACKGROUND = (
    "Control regions are random regions of the same length in the same window. An element stronger than all of them "
    "exceeds the model's own background there; that does not show that the element is real."
)
ROW = ("element", "start", "end", "effect", "control_n", "control_mean", "control_sd", "unusual")
EFFECT_COLUMNS = (
    *("gene_id", "symbol", "chrom", "element", "start", "end", "effect", "fold_change"),
    *("control_n", "control_mean", "control_sd", "unusual", "predicted"),
)
WAIT_SECONDS = 20.0  # for another writer's line
_LOGARITHMS = {"log10p1": 10.0, "log1p": math.e}  # label transforms under which a difference is a ratio
_INTEGERS = ("start", "end", "control_n")


def fold_change(effect: Any, label_transform: str | None) -> Any:
    """What `effect` means as a ratio of CAGE + 1: 10 ** effect where the label is log10(CAGE + 1).

    With the element over without it; NaN where the label is no logarithm.

    Parameters
    ----------
    effect : Any
        Number or array, in the label's unit.
    label_transform : str or None
        The study's name for it.
    """
    base = _LOGARITHMS.get(label_transform)
    return np.full_like(np.asarray(effect, np.float64), np.nan)[()] if base is None else base ** np.float64(effect)


def unusual(effect: float, controls: np.ndarray) -> float:
    """(1 + number of controls at least as large as `effect`, both without sign) / (1 + number of controls).

    A rank among control regions of the same window, 1 / (1 + n) at the least; it is no p-value. NaN without controls.
    """
    if not len(controls):
        return math.nan
    return float((1 + np.sum(np.abs(controls) >= abs(effect))) / (1 + len(controls)))


def hidden_in_training(config: Mapping) -> bool | None:
    """Whether the predictor of a run learned under masks with random stretches switched off (method: point 16).

    Parameters
    ----------
    config : Mapping
        `Run.config`.

    Returns
    -------
    bool or None
        None where the run does not say how the model was trained.
    """
    model, training = config.get("model") or {}, config.get("training")
    if model.get("mask") == "random":
        return True
    return None if not training else bool(training.get("block_steps"))


def caveat(config: Mapping) -> str:
    """One sentence on how far the answers of `Run.config`'s model to a what-if can be trusted; "" where they can."""
    seen = hidden_in_training(config)
    if seen:
        return ""
    if seen is None:
        return "This run does not say whether its model was trained on masks with stretches switched off."
    model = config.get("model") or {}
    if model.get("decision") in ("hard", "top"):
        return (
            "This model was trained on its own masks of 0 and 1, not on masks with single elements switched off: read "
            "its what-if answers with care."
        )
    if model.get("apply", "multiply") == "multiply":
        return (
            "This model was not trained on masks with elements switched off, and its mask hides a base only where it "
            "is exactly 0: a what-if asks it about something it has never seen."
        )
    return (
        "This model was not trained on masks with elements switched off: a what-if asks it about something it has "
        "never seen."
    )


def row_values(row: Sequence, label_transform: str | None) -> dict:
    """ROW by name, with the fold change and how many controls the effect is larger than, as JSON values."""
    values = dict(zip(ROW, row, strict=True))
    effect, share = (math.nan if values[name] is None else values[name] for name in ("effect", "unusual"))
    values["fold_change"] = float(fold_change(effect, label_transform))
    values["larger_than"] = stronger_than(share, values["control_n"])
    return json_values(values)


def stronger_than(share: float, controls: int) -> int | None:
    """How many control regions have a smaller effect, without sign, out of `unusual`; None where there are none."""
    return round((1 - share) * (1 + controls)) if share == share else None


def control_words(share: float, controls: int) -> str:
    """`stronger_than` as it is shown: "stronger than 18 of 20 control regions", or that there are none."""
    count = stronger_than(share, controls)
    return "no control region fits" if count is None else f"stronger than {count} of {controls} control regions"


def caveat_line(config: Mapping) -> str:
    """`caveat` in a few words, for where there is little room."""
    seen = hidden_in_training(config)
    if seen:
        return ""
    if seen is None:
        return "Unknown whether trained with elements off."
    return "Not trained with elements off: read with care."


def append_effects(run_folder: Path, record: Mapping) -> None:
    """Append one gene's record to effects/effects.jsonl and wait until it is on the disk; several writers may.

    Parameters
    ----------
    record : Mapping
        gene_id, symbol, chrom, predicted, label_transform, rule, checkpoint, controls, and `rows`: a list of ROW values
        for each element.

    Raises
    ------
    InputError
        Another writer held the lock for too long.
    """
    folder = run_folder / FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / "effects.jsonl"
    with Lock(folder / "lock").held(WAIT_SECONDS):
        cut_torn_line(path)
        append_json_line(path, json_values(record))


def read_effects(run_folder: Path) -> dict[str, dict]:
    """gene_id -> its last record in effects/effects.jsonl; a torn last line, and lines that are no records, are left
    out."""
    found = map(_record, whole_lines(run_folder / FOLDER / "effects.jsonl"))
    return {record["gene_id"]: record for record in found if record is not None}


def effect_table(records: Iterable[Mapping]) -> pd.DataFrame:
    """EFFECT_COLUMNS of records, one row an element, in the records' order and by falling effect within a gene."""
    tables = []
    for record in records:
        table = pd.DataFrame(record["rows"], columns=list(ROW))
        table = table.assign(**{name: record[name] for name in ("gene_id", "symbol", "chrom", "predicted")})
        table["fold_change"] = fold_change(table["effect"].to_numpy(np.float64), record["label_transform"])
        tables.append(table.sort_values(["effect", "start"], ascending=[False, True]))
    table = pd.concat([table for table in tables if len(table)] or [pd.DataFrame(columns=list(EFFECT_COLUMNS))])
    numbers = [name for name in EFFECT_COLUMNS[6:] if name not in _INTEGERS]
    types = dict.fromkeys(numbers, np.float64) | dict.fromkeys(_INTEGERS, np.int64)
    return table[list(EFFECT_COLUMNS)].astype(types).reset_index(drop=True)


def valid(record: Mapping, rule: Mapping | None, checkpoint: str | None) -> bool:
    """Whether a record was computed from elements of this rule and with the checkpoint of this sha256."""
    return record["rule"] == rule and record["checkpoint"] == checkpoint


def write_effect_table(run_folder: Path, table: pd.DataFrame) -> Path:
    """Write EFFECT_COLUMNS to effects/effects.tsv, atomically; 6 digits behind the point."""
    path = run_folder / FOLDER / "effects.tsv"
    path.parent.mkdir(exist_ok=True)
    write_text(path, table_text(table, "%.6f"))
    return path


def _record(line: bytes) -> dict | None:
    try:
        record = json.loads(line)
        needed = ("gene_id", "symbol", "chrom", "predicted", "label_transform", "rule", "checkpoint", "controls")
        whole = isinstance(record, dict) and all(name in record for name in needed)
        return record if whole and all(len(row) == len(ROW) for row in record["rows"]) else None
    except (ValueError, KeyError, TypeError):
        return None
