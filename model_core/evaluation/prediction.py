"""Accuracy of runs' predictions by split, chromosome and level of expression, on the same genes for all runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from model_core.evaluation.resampling import prediction_intervals
from model_core.run_folder.run import Run

LEVELS = ("low", "middle", "high")  # thirds of the judged genes by observed expression
COLUMNS = (
    *("run", "mask", "by", "group", "genes"),
    *(f"{name}{end}" for name in ("mse", "mae", "pearson", "spearman") for end in ("", "_low", "_high")),
)


def prediction_table(runs: dict[str, Run]) -> pd.DataFrame:
    """Return the table COLUMNS with one row per run and group of genes.

    The genes are those that all runs scored and that have an observed value. by "split": all of a split; by
    "chromosome" and "level": of the judged genes, which are the test split's, or all where there is none. mask: the
    source of the run's mask ("learned", or a control's name).

    Parameters
    ----------
    runs : dict[str, Run]
        Runs by name; the first defines the groups.
    """
    tables = {
        name: run.genes.dropna(subset=["observed", "predicted"]).set_index("gene_id") for name, run in runs.items()
    }
    common = None
    for table in tables.values():
        common = table.index if common is None else common.intersection(table.index)
    rows = []
    for name, run in runs.items():
        genes = tables[name].loc[common]
        for by, group, part in _groups(genes, tables[next(iter(runs))].loc[common]):
            found = prediction_intervals(part["observed"].to_numpy(), part["predicted"].to_numpy())
            numbers = {
                f"{measure}{end}": value
                for measure, values in found.items()
                for end, value in zip(("", "_low", "_high"), values, strict=True)
            }
            rows.append({"run": name, "mask": mask_kind(run), "by": by, "group": group, "genes": len(part), **numbers})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def mask_kind(run: Run) -> str:
    """Return "learned", or the name of the control; "promoter" also where the window is all promoter."""
    if run.manifest["promoter"] >= run.manifest["window"]:
        return "promoter"
    return run.model_config.mask.kind if run.model_config else "learned"


def judged(genes: pd.DataFrame) -> pd.Series:
    """Return which genes are judged, bool: those of the test split, or all where there is no such split."""
    test = genes["split"].fillna("") == "test"
    return test if test.any() else pd.Series(True, index=genes.index)


def _groups(genes: pd.DataFrame, first: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    split = first["split"].fillna("").replace("", "none")
    for name in [name for name in ("test", "validation", "train", "none") if (split == name).any()]:
        yield "split", name, genes[(split == name).to_numpy()]
    chosen = judged(first).to_numpy()
    genes, first = genes[chosen], first[chosen]
    for chrom in sorted(first["chrom"].unique()):
        yield "chromosome", chrom, genes[(first["chrom"] == chrom).to_numpy()]
    if len(genes) >= 3 * 3:
        third = np.minimum(first["observed"].rank(method="first").to_numpy() * 3 // (len(first) + 1), 2).astype(int)
        for number, name in enumerate(LEVELS):
            yield "level", name, genes[third == number]
