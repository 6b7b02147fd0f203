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


class Cost(Record):
    """What training or scoring took."""

    device: str | None = None
    seconds: float | None = None
    processes: Count | None = None
    windows: Count | None = None
    steps: Count | None = None
    best_validation_mse: float | None = None
    waited_for_windows_seconds: float | None = None
    waited_for_disk_seconds: float | None = None
    peak_memory_bytes: Count | None = None
    peak_gpu_memory_bytes: Count | None = None


class RunMetrics(Record):
    """Predictions of each split, counts of genes and elements, and what training and scoring took."""

    prediction: dict[str, PredictionMetrics] = Field(default_factory=dict)
    counts: dict[str, float | None] = Field(default_factory=dict)
    training: Cost | None = None
    scoring: Cost | None = None
    signal_notes: dict[str, str] = Field(default_factory=dict)  # by input: is its range the training's


def read_metrics(path: Path) -> dict[str, Any]:
    """Read metrics.json, by group of measures; raise InputError as `records.read_json` does."""
    return read_json(path, RunMetrics)
