"""The elements of a run or of one gene as the page's table shows them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from model_core.run_folder.band import band_words
from model_core.run_folder.calibration import FILE as CALIBRATION
from model_core.run_folder.calibration import Calibration
from model_core.run_folder.element_effects import EFFECT_NAMES
from model_core.run_folder.elements import ELEMENT_COLUMNS, MEASURED, PROMOTER_CLASS, no_elements, read_elements
from model_core.run_folder.run_reader import stamp
from seq2exp_viz.runs.element_effects import with_effects
from seq2exp_viz.runs.run_view import RunView

COLUMNS = (
    *("symbol", "gene_id", "name", "class", "chrom", "start", "end", "length"),
    *("mean_mask", "max_mask", "beta_sd", "distance_to_tss", "peak", *EFFECT_NAMES, "chance"),
)
REPEATED = ("symbol", "gene_id", "name", "class", "chrom", "peak", "direction")


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
        The columns of effects are those of `run_folder.element_effects`: effects that the run stores are known at any
        threshold, those of knock-outs, and control_rank (how many of control_n control regions are at least as strong),
        of elements that were switched off. beta_sd is NaN where the run has no band. chance is NaN at any threshold but
        the run's, and where the run is not calibrated (`Run.calibration`).
    """
    if gene_id is None:
        return _all(view)
    own = threshold is None or threshold == view.run.rule.threshold
    return _shaped(view, view.cut(gene_id, threshold), view.calibration if own else None)


def _all(view: RunView) -> pd.DataFrame:
    """Return the elements of all genes, text as categories: 250,000 rows take about 40 MB."""
    path = view.run.path / "elements" / "elements.bed"
    if not path.exists():
        return _shaped(view, no_elements(text="category"), None)
    calibration = view.calibration
    version = (stamp(path), len(view.effects), stamp(view.run.path / CALIBRATION), calibration is None)
    wanted = [name for name in ELEMENT_COLUMNS if name in (*COLUMNS, *MEASURED)]
    return view.keep("elements", version, lambda: _shaped(view, read_elements(path, wanted, "category"), calibration))


def _shaped(view: RunView, rows: pd.DataFrame, calibration: Calibration | None) -> pd.DataFrame:
    table = rows[rows["class"] != PROMOTER_CLASS].reset_index(drop=True)
    table["length"] = table["end"] - table["start"]
    chance = np.nan if calibration is None else calibration.chance(table)
    if band_words(view.run.band) is None:
        table["beta_sd"] = np.nan
    table = with_effects(view, table).assign(chance=chance).reindex(columns=list(COLUMNS))
    return table.astype(dict.fromkeys(REPEATED, "category"))
