"""Knock-out effects on disk: a journal with a line a gene, and the table that is made of it. No torch."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.files import write_text
from model_core.run_folder.journal import Lock, append_journal
from model_core.run_folder.manifest import SCHEMA
from model_core.run_folder.schema1 import effects_of_2
from model_core.tsv import table_text

FOLDER = "effects"
BACKGROUND = (
    "Control regions are random regions of the same length in the same window. An element that none of them reaches "
    "exceeds the model's own background there; that does not show that the element is real."
)
ROW = ("element", "start", "end", "effect", "control_n", "control_mean", "control_sd", "control_rank")
EFFECT_COLUMNS = (
    *("gene_id", "symbol", "chrom", "element", "start", "end", "effect", "fold_change"),
    *("control_n", "control_mean", "control_sd", "control_rank", "predicted"),
)
WAIT_SECONDS = 20.0  # for another writer's line
_LOGARITHMS = {"log10p1": 10.0, "log1p": math.e}  # label transforms under which a difference is a ratio
_INTEGERS = ("start", "end", "control_n")


def fold_change(difference: Any, label_transform: str | None) -> Any:
    """Return the ratio of CAGE + 1 that a difference means: 10 ** difference where the label is log10(CAGE + 1).

    Of an effect: with the element over without it; of a delta: after over before. NaN where the label is no logarithm.

    Parameters
    ----------
    difference : Any
        An effect or a delta, or an array of them, in the label's unit.
    label_transform : str or None
        The study's name for it.
    """
    base = _LOGARITHMS.get(label_transform or "")
    values = np.asarray(difference, np.float64)
    return (np.full_like(values, np.nan) if base is None else base**values)[()]


def control_rank(effect: float, controls: np.ndarray) -> int | None:
    """Return how many of the controls are at least as large as `effect`, both without sign; None without controls.

    It ranks an element among control regions of its own window; it is no p-value.

    Parameters
    ----------
    effect : float
        Of the element; a delta is ranked among deltas.
    controls : ndarray
        (n,) of the control regions.
    """
    return int(np.sum(np.abs(controls) >= abs(effect))) if len(controls) else None


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
    """Return ROW by name, with the fold change, as JSON values."""
    values = dict(zip(ROW, row, strict=True))
    effect = math.nan if values["effect"] is None else values["effect"]
    return json_values({**values, "fold_change": float(fold_change(effect, label_transform))})


def control_words(rank: int | None, controls: int) -> str:
    """Return a `control_rank` as it is shown: "2 of 20 control regions at least as strong", or that there are none.

    Parameters
    ----------
    rank : int or None
        Missing (None, NaN or NA) where no control region fits.
    controls : int
        `control_n`.
    """
    if rank is None or pd.isna(rank):
        return "no control region fits"
    return f"{int(rank)} of {int(controls)} control regions at least as strong"


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
    path, lock = folder / "effects.jsonl", Lock(folder / "lock")
    _acquire(lock)
    try:
        whole = _whole_length(path)
        if path.exists() and path.stat().st_size != whole:
            os.truncate(path, whole)  # a killed writer's last line
        append_journal(path, json_values({**record, "schema": SCHEMA}))
    finally:
        lock.release()


def read_effects(run_folder: Path) -> dict[str, dict]:
    """Read effects/effects.jsonl: gene_id -> its last record, one of schema 1 as schema 2 states it.

    A torn last line, and lines that are no records, are left out.
    """
    path = run_folder / FOLDER / "effects.jsonl"
    records: dict[str, dict] = {}
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                record = _record(line)
                if record is not None:
                    records[record["gene_id"]] = record
    return records


def effect_table(records: Iterable[Mapping]) -> pd.DataFrame:
    """Return EFFECT_COLUMNS of records, one row per element, in their order and by falling effect within a gene.

    control_rank is an integer that may be missing (pandas' Int64): where no control region fits.
    """
    tables = []
    for record in records:
        table = pd.DataFrame(record["rows"], columns=list(ROW))
        table = table.assign(**{name: record[name] for name in ("gene_id", "symbol", "chrom", "predicted")})
        table["fold_change"] = fold_change(table["effect"].to_numpy(np.float64), record["label_transform"])
        tables.append(table.sort_values(["effect", "start"], ascending=[False, True]))
    table = pd.concat([table for table in tables if len(table)] or [pd.DataFrame(columns=list(EFFECT_COLUMNS))])
    numbers = [name for name in EFFECT_COLUMNS[6:] if name not in (*_INTEGERS, "control_rank")]
    types = dict.fromkeys(numbers, np.float64) | dict.fromkeys(_INTEGERS, np.int64) | {"control_rank": "Int64"}
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


def _acquire(lock: Lock) -> None:
    limit = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return lock.acquire()
        except (InputError, FileNotFoundError):  # the holder, or one that took a dead holder's lock over, was faster
            if time.monotonic() > limit:
                raise
            time.sleep(0.05)


def _whole_length(path: Path) -> int:
    """Bytes up to the last line end."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        position = file.tell()
        while position > 0:
            step = min(65_536, position)
            file.seek(position - step)
            found = file.read(step).rfind(b"\n")
            if found >= 0:
                return position - step + found + 1
            position -= step
    return 0


def _record(line: str) -> dict | None:
    if not line.endswith("\n"):
        return None
    try:
        record = json.loads(line)
        needed = ("gene_id", "symbol", "chrom", "predicted", "label_transform", "rule", "checkpoint", "controls")
        whole = isinstance(record, dict) and all(name in record for name in needed)
        if not whole or any(len(row) != len(ROW) for row in record["rows"]):
            return None
        return effects_of_2(record) if record.get("schema", 1) == 1 else record
    except (ValueError, KeyError, TypeError):
        return None


def json_values(value: Any) -> Any:
    """JSON values: NumPy numbers become Python's, NaN becomes None."""
    if isinstance(value, Mapping):
        return {str(key): json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
