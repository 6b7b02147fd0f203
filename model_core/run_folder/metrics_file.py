"""metrics.json of a run: its fields, and reading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from model_core.records import Count, Record, read_json


class PredictionMetrics(Record):
    """Fields that `metrics.prediction_metrics` returns."""

    genes: Count
    mse: float | None = None
    mae: float | None = None
    pearson: float | None = None
    pearson_95: list[float] | None = None
    spearman: float | None = None


class RunMetrics(Record):
    """Predictions of each split, and counts of genes and elements; what training and scoring took is not declared."""

    prediction: dict[str, PredictionMetrics] = Field(default_factory=dict)
    counts: dict[str, float | None] = Field(default_factory=dict)


def read_metrics(path: Path) -> dict[str, Any]:
    """Read metrics.json, by group of measures; raise InputError as `records.read_json` does."""
    return read_json(path, RunMetrics)
