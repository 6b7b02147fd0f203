"""The elements of a run or of one gene as the page's table shows them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from model_core.run_folder.band import band_words
from model_core.run_folder.calibration import ERROR, Calibration
from model_core.run_folder.calibration import FILE as CALIBRATION
from model_core.run_folder.elements import PROMOTER_CLASS, no_elements, read_elements
from model_core.run_folder.run import stamp
from seq2exp_viz.runs.run_view import RunView

COLUMNS = (
    *("symbol", "gene_id", "name", "class", "chrom", "start", "end", "length"),
    *("mean_mask", "max_mask", "beta_sd", "distance_to_tss", "peak", "effect", "control_rank", "control_n"),
    "chance",
)
NUMBERS = ("effect", "control_rank", "control_n")
REPEATED = ("symbol", "gene_id", "name", "class", "chrom", "peak")


def element_table(view: RunView, gene_id: str | None = None, threshold: float | None = None) -> pd.DataFrame:
    """Return COLUMNS of all elements of the run, or of one gene at a threshold; promoters are left out.

    Parameters
    ----------
    view : RunView
        The run.
    gene_id : str or None
        One gene; None returns the elements of all genes at the run's threshold.
    threshold : float or None
        0 to 1; None takes the run's.

    Returns
    -------
    DataFrame
        effect, and control_rank (how many of control_n control regions are at least as strong), are NaN where no effect
        was computed, as at any threshold but the run's. beta_sd is NaN where the run has no band. chance is NaN at any
        threshold but the run's, and where the run is not calibrated (`Run.calibration`).
    """
    if gene_id is None:
        return _all(view)
    own = threshold is None or threshold == view.run.rule.threshold
    rows = view.cut(gene_id, threshold)
    return _shaped(view, rows, view.effects, view.calibration) if own else _shaped(view, rows, None, None)


def _all(view: RunView) -> pd.DataFrame:
    """Return the elements of all genes, text as categories: 250,000 rows take about 25 MB."""
    path = view.run.path / "elements" / "elements.bed"
    if not path.exists():
        return _shaped(view, no_elements(COLUMNS, "category"), None, None)
    effects, calibration = view.effects, view.calibration
    version = (stamp(path), len(effects), stamp(view.run.path / CALIBRATION), calibration is None)

    def make() -> pd.DataFrame:
        return _shaped(view, read_elements(path, (*COLUMNS, ERROR), "category"), effects, calibration)

    return view.keep("elements", version, make)


def _shaped(
    view: RunView, rows: pd.DataFrame, effects: pd.DataFrame | None, calibration: Calibration | None
) -> pd.DataFrame:
    table = rows[rows["class"] != PROMOTER_CLASS].reset_index(drop=True)
    table["length"] = table["end"] - table["start"]
    chance = np.nan if calibration is None else calibration.chance(table)
    table = table.drop(columns="effect")
    if effects is not None and len(effects):
        named = effects.rename(columns={"element": "name"})[["gene_id", "name", *NUMBERS]]
        table = table.merge(named, "left", ["gene_id", "name"])
    if band_words(view.run.band) is None:
        table["beta_sd"] = np.nan
    table = table.assign(chance=chance).reindex(columns=list(COLUMNS)).astype(dict.fromkeys(NUMBERS, float))
    return table.astype(dict.fromkeys(REPEATED, "category"))
