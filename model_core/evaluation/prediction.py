"""Accuracy of runs' predictions by split, chromosome and level of expression, on the same genes for all runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from model_core.evaluation.resampling import MEASURES, prediction_differences, prediction_intervals
from model_core.run_folder.run import Run

LEVELS = ("low", "middle", "high")  # thirds of the judged genes by observed expression
_NUMBERS = tuple(f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high"))
COLUMNS = ("run", "mask", "by", "group", "genes", *_NUMBERS)
DIFFERENCE_COLUMNS = ("run", "minus", "by", "group", "genes", *_NUMBERS)


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
    tables = _on_common_genes(runs)
    rows = []
    for name, run in runs.items():
        for by, group, part in _groups(tables[name], tables[next(iter(runs))]):
            found = prediction_intervals(part["observed"].to_numpy(), part["predicted"].to_numpy())
            about = {"run": name, "mask": mask_kind(run), "by": by, "group": group, "genes": len(part)}
            rows.append(about | _numbers(found))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def prediction_difference_table(runs: dict[str, Run]) -> pd.DataFrame:
    """Return the table DIFFERENCE_COLUMNS: the first run minus each other one, paired over the genes.

    Groups of genes are those of `prediction_table`. Each run is judged by the observed values that it holds; rows are
    left out for a run that holds other ones than the first.

    Parameters
    ----------
    runs : dict[str, Run]
        Runs by name.
    """
    tables = _on_common_genes(runs)
    own, *others = runs
    rows = []
    for name in others:
        if not np.allclose(tables[own]["observed"], tables[name]["observed"]):
            continue
        parts = zip(_groups(tables[own], tables[own]), _groups(tables[name], tables[own]), strict=True)
        for (by, group, mine), (_, _, theirs) in parts:
            observed, ours = mine["observed"].to_numpy(), mine["predicted"].to_numpy()
            found = prediction_differences(observed, ours, theirs["predicted"].to_numpy())
            rows.append({"run": own, "minus": name, "by": by, "group": group, "genes": len(mine)} | _numbers(found))
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))


def _on_common_genes(runs: dict[str, Run]) -> dict[str, pd.DataFrame]:
    """Return the genes of each run, by gene_id, that all of them scored and that have an observed value."""
    tables = {
        name: run.genes.dropna(subset=["observed", "predicted"]).set_index("gene_id") for name, run in runs.items()
    }
    common = None
    for table in tables.values():
        common = table.index if common is None else common.intersection(table.index)
    return {name: table.loc[common] for name, table in tables.items()}


def _numbers(found: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    return dict(zip(_NUMBERS, [value for name in MEASURES for value in found[name]], strict=True))


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
