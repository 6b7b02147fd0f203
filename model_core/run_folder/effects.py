"""Knock-out effects on disk: a journal with one line per gene, and the table made from it. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field, model_validator

from model_core.config import Seq2ExpConfig, model_config
from model_core.files import append_json_line, cut_torn_line, json_values, write_text
from model_core.lock import writing_into
from model_core.records import Count, Name, Record, read_json_lines
from model_core.run_folder.manifest import SCHEMA
from model_core.run_folder.schema1 import effects_of_2
from model_core.tsv import table_text

FOLDER = "effects"
BACKGROUND = (
    "Control regions are random regions of the same length in the same window. An element that none of them reaches "
    "exceeds the model's own background there; that does not show that the element is real: in simulated worlds, "
    "elements without any effect do so far more often than regions drawn by chance would."
)
ROW = ("element", "start", "end", "effect", "control_n", "control_mean", "control_sd", "control_rank")
SHUFFLE_ROW = ("shuffle_n", "shuffle_mean", "shuffle_sd", "shuffle_rank")  # last columns, where any is known
EFFECT_COLUMNS = (
    *("gene_id", "symbol", "chrom", "element", "start", "end", "effect", "fold_change"),
    *("control_n", "control_mean", "control_sd", "control_rank", "predicted"),
)
_LOGARITHMS = {"log10p1": 10.0, "log1p": math.e}  # label transforms under which a difference is a ratio
_INTEGERS = ("start", "end", "control_n")
_RANKS = ("control_rank", "shuffle_n", "shuffle_rank")  # integers that may be missing
_Edge = Annotated[int, Field(ge=-(10**12), le=10**12)]  # bp
_Row = Annotated[  # the last value, control_rank, is a share in schema 1
    tuple[Name, _Edge, _Edge, float | None, Count, float | None, float | None, float | None],
    BeforeValidator(lambda row: tuple(row) if isinstance(row, list) else row),
]
_ShuffleRow = Annotated[
    tuple[Count, float | None, float | None, Count | None],
    BeforeValidator(lambda row: tuple(row) if isinstance(row, list) else row),
]


class GeneEffects(Record):
    """Fields of a line of effects.jsonl."""

    written_as: Annotated[Literal[1, 2], Field(alias="schema")] = 1
    gene_id: Name
    symbol: Name
    chrom: Name
    predicted: float | None
    label_transform: str | None
    rule: dict[str, float | None] | None
    checkpoint: str | None
    controls: Count
    rows: list[_Row]
    shuffles: Count = 0  # shuffled copies of each element
    shuffled: list[_ShuffleRow] = Field([])  # as many as rows, or none

    @model_validator(mode="after")
    def _all_rows_are_shuffled(self) -> GeneEffects:
        if self.shuffled and len(self.shuffled) != len(self.rows):
            raise ValueError(f"{len(self.rows)} rows in shuffled; there are {len(self.shuffled)}")
        return self

    @model_validator(mode="after")
    def _ranks_are_whole(self) -> GeneEffects:
        odd = [row[-1] for row in self.rows if row[-1] is not None and not (row[-1] >= 0 and row[-1].is_integer())]
        if self.written_as == SCHEMA and odd:
            raise ValueError(f"a whole number as control_rank; a row has {odd[0]}")
        return self


def fold_change(difference: Any, label_transform: str | None) -> Any:
    """Return the ratio of CAGE + 1 that a difference means: 10 ** difference where the label is log10(CAGE + 1).

    Parameters
    ----------
    difference : float or ndarray
        Effects or deltas, in the label's unit.
    label_transform : str or None
        Transform of the label, as the study names it.

    Returns
    -------
    float or ndarray
        float64, of the input's shape. For an effect: with the element over without it; for a delta: after over before.
        NaN where the label is no logarithm.
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
        Effect of the element; or a delta, which is ranked among deltas.
    controls : ndarray
        float (n,), the same of the control regions.
    """
    return int(np.sum(np.abs(controls) >= abs(effect))) if len(controls) else None


def hidden_in_training(config: Mapping) -> bool | None:
    """Return whether the predictor can be asked about masks with regions switched off (method: point 16).

    It was trained on such masks, or it is additive: then what is left is what it would be without the region.

    Parameters
    ----------
    config : Mapping
        `Run.config`.

    Returns
    -------
    bool or None
        None where the run does not record how the model was trained.
    """
    model, training = model_config(config), config.get("training")
    if model is not None and (model.mask.kind == "random" or model.predictor.readout == "additive"):
        return True
    return None if not training else bool(training.get("block_steps"))


def caveat(config: Mapping) -> str:
    """Describe in one sentence how far a model's answers to a what-if can be trusted; "" without a reservation.

    Parameters
    ----------
    config : Mapping
        `Run.config`.
    """
    seen = hidden_in_training(config)
    if seen:
        return ""
    if seen is None:
        return "This run does not record whether its model was trained on masks with regions switched off."
    mask = (model_config(config) or Seq2ExpConfig()).mask
    if mask.decision.binary:
        return (
            "This model was trained on its own masks of 0 and 1, not on masks with single elements switched off: "
            "interpret its what-if answers with care."
        )
    if mask.apply == "multiply":
        return (
            "This model was not trained on masks with elements switched off, and its mask hides a base only where it "
            "is exactly 0: in a what-if the model predicts for an input unlike those it was trained on."
        )
    return (
        "This model was not trained on masks with elements switched off: in a what-if the model predicts for an input "
        "unlike those it was trained on."
    )


def row_values(row: Sequence[Any], label_transform: str | None) -> dict[str, Any]:
    """Return the values of ROW by name, with the fold change, as JSON values.

    Parameters
    ----------
    row : Sequence
        Values in the order of ROW.
    label_transform : str or None
        Transform of the label, as the study names it.
    """
    values = dict(zip(ROW, row, strict=True))
    effect = math.nan if values["effect"] is None else values["effect"]
    return json_values({**values, "fold_change": float(fold_change(effect, label_transform))})


def control_words(rank: int | None, controls: int) -> str:
    """Return a `control_rank` as it is shown: "2 of 20 control regions at least as strong", or that there are none.

    Parameters
    ----------
    rank : int or None
        The `control_rank`; missing (None, NaN or NA) where no control region fits.
    controls : int
        Number of control regions, `control_n`.
    """
    if rank is None or pd.isna(rank):
        return "no control region fits"
    return f"{int(rank)} of {int(controls)} control regions at least as strong"


def shuffle_words(rank: int, shuffles: int) -> str:
    """Return a `shuffle_rank` as it is shown, of so many shuffled copies: "2 of 20 shuffled sequences ..."."""
    return f"{int(rank)} of {int(shuffles)} shuffled sequences at least as strong"


def caveat_line(config: Mapping) -> str:
    """Return `caveat` in a few words, for places with little room."""
    seen = hidden_in_training(config)
    if seen:
        return ""
    if seen is None:
        return "Unknown whether trained with elements off."
    return "Not trained with elements off: interpret with care."


def append_effects(run_folder: Path, record: Mapping) -> None:
    """Append one gene's record to effects/effects.jsonl and wait until it is on the disk.

    Several processes may do so at once.

    Parameters
    ----------
    run_folder : Path
        The run folder.
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
    with writing_into(folder):
        cut_torn_line(path)
        append_json_line(path, json_values({**record, "schema": SCHEMA}))


def read_effects(run_folder: Path) -> dict[str, dict[str, Any]]:
    """Read effects/effects.jsonl: gene_id -> its last record; records of schema 1 are converted to schema 2.

    A torn last line is left out.

    Raises
    ------
    InputError
        The file cannot be read; or a line before the last is no JSON, or lacks a field or has a wrong one.
    """
    path = run_folder / FOLDER / "effects.jsonl"
    fix = "remove this line; the effects of its gene can be computed again"
    found = {}
    for _, _, record in read_json_lines(path, GeneEffects, fix):
        found[record["gene_id"]] = effects_of_2(record) if record.get("schema", 1) == 1 else record
    return found


def effect_table(records: Iterable[Mapping]) -> pd.DataFrame:
    """Return the table of records: EFFECT_COLUMNS, one row per element, by falling effect within a gene.

    The genes are in the order of the records. control_rank is an integer that is missing (pandas' Int64) where no
    control region fits. Where a record has effects of shuffled sequence, SHUFFLE_ROW follow as last columns.
    """
    tables, shuffled = [], False
    for record in records:
        table = pd.DataFrame(record["rows"], columns=list(ROW))
        if record.get("shuffled"):
            table[list(SHUFFLE_ROW)] = record["shuffled"]
            shuffled = True
        table = table.assign(**{name: record[name] for name in ("gene_id", "symbol", "chrom", "predicted")})
        table["fold_change"] = fold_change(table["effect"].to_numpy(np.float64), record["label_transform"])
        tables.append(table.sort_values(["effect", "start"], ascending=[False, True]))
    table = pd.concat([table for table in tables if len(table)] or [pd.DataFrame(columns=list(EFFECT_COLUMNS))])
    columns = [*EFFECT_COLUMNS, *(SHUFFLE_ROW if shuffled else ())]
    types = dict.fromkeys(columns[6:], np.dtype(np.float64)) | dict.fromkeys(_INTEGERS, np.dtype(np.int64))
    types |= {name: pd.Int64Dtype() for name in _RANKS if name in columns}
    return table[columns].astype(types).reset_index(drop=True)


def valid(record: Mapping, rule: Mapping | None, checkpoint: str | None) -> bool:
    """Return whether a record was computed from elements of this rule and with the checkpoint of this sha256."""
    return record["rule"] == rule and record["checkpoint"] == checkpoint


def write_effect_table(run_folder: Path, table: pd.DataFrame) -> Path:
    """Write a table of EFFECT_COLUMNS to effects/effects.tsv, atomically, with 6 decimals; return its path."""
    path = run_folder / FOLDER / "effects.tsv"
    path.parent.mkdir(exist_ok=True)
    with writing_into(path.parent):
        write_text(path, table_text(table, "%.6f"))
    return path
