"""The elements of a run or of one gene as the page's table shows them."""

from __future__ import annotations

import pandas as pd

from model_core.outputs.elements import ELEMENT_COLUMNS, PROMOTER_CLASS, read_elements
from model_core.outputs.run_files import stamp
from seq2exp_viz.shelf.view import OpenRun

COLUMNS = (
    *("symbol", "gene_id", "name", "class", "chrom", "start", "end", "length"),
    *("mean_mask", "max_mask", "spread", "distance_to_tss", "peak", "effect", "unusual"),
)
REPEATED = ("symbol", "gene_id", "name", "class", "chrom", "peak")


def element_table(view: OpenRun, gene_id: str | None = None, threshold: float | None = None) -> pd.DataFrame:
    """COLUMNS of all elements of the run, or of one gene at a threshold; promoters left out.

    effect and unusual are NaN where no effect was computed; at a threshold other than the run's there are none.
    """
    if gene_id is None:
        return _all(view)
    own = threshold is None or threshold == view.rule.threshold
    return _shaped(view.cut(gene_id, threshold), view.effects if own else None)


def _all(view: OpenRun) -> pd.DataFrame:
    """The elements of all genes, words held once each: 250,000 rows take about 25 MB."""
    path = view.run.path / "elements" / "elements.bed"
    if not path.is_file():
        return _shaped(pd.DataFrame(columns=list(ELEMENT_COLUMNS)), None)
    effects = view.effects
    version = (stamp(path), 0 if effects is None else len(effects))
    return view.keep("elements", version, lambda: _shaped(read_elements(path), effects))


def _shaped(rows: pd.DataFrame, effects: pd.DataFrame | None) -> pd.DataFrame:
    table = rows[rows["class"] != PROMOTER_CLASS].reset_index(drop=True)
    table["length"] = table["end"] - table["start"]
    if effects is not None and len(effects):
        named = effects.rename(columns={"element": "name"})[["gene_id", "name", "effect", "unusual"]]
        table = table.merge(named, "left", ["gene_id", "name"])
    table = table.reindex(columns=list(COLUMNS)).astype({"effect": float, "unusual": float})
    return table.astype(dict.fromkeys(REPEATED, "category"))
