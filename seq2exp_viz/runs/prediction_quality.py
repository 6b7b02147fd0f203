"""Quality of the predictions: correlation of predicted with observed, history of the training, all metrics."""

from __future__ import annotations

import io
import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.input_file import read_input
from model_core.records import COPY_AGAIN, shown

FEWEST_GENES = 4  # per chromosome, for a correlation with an interval
_MOST_BYTES = 1 << 27  # of history.csv
EVALUATED = ("test", "validation", "train")


def pearson(genes: pd.DataFrame, split: str = "test") -> tuple[float, int] | None:
    """Return (Pearson correlation of observed and predicted, number of genes) of a split; None below three genes."""
    rows = genes[(genes["split"] == split) & genes["observed"].notna() & genes["predicted"].notna()]
    if len(rows) < 3:
        return None
    x, y = rows["observed"].to_numpy(float), rows["predicted"].to_numpy(float)
    if x.std() == 0 or y.std() == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1]), len(rows)


def scatter_title(genes: pd.DataFrame) -> str:
    """Return the title of the scatter plot, with the correlation over test genes (over all where they are few)."""
    found = pearson(genes)
    which = "test genes" if found else "genes"
    found = found or pearson(genes.assign(split="test"))
    return "Predicted against observed" + (f": Pearson {found[0]:.2f} over {found[1]:,} {which}" if found else "")


def by_chromosome(genes: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the Pearson correlation of each chromosome, and the split of its genes.

    Parameters
    ----------
    genes : DataFrame
        `Run.genes`.

    Returns
    -------
    tuple[DataFrame, str]
        chrom, genes, pearson, low, high (its 95 % interval by Fisher's z); chromosomes with fewer than FEWEST_GENES are
        left out. The first of EVALUATED that has genes, or "" for all genes.
    """
    known = genes[genes["observed"].notna() & genes["predicted"].notna()]
    split = next((name for name in EVALUATED if (known["split"] == name).any()), "")
    if split:
        known = known[known["split"] == split]
    rows = []
    for chrom, part in known.groupby("chrom", sort=False):
        x, y = part["observed"].to_numpy(float), part["predicted"].to_numpy(float)
        if len(part) < FEWEST_GENES or x.std() == 0 or y.std() == 0:
            continue
        r = float(np.clip(np.corrcoef(x, y)[0, 1], -0.999999, 0.999999))
        reach = 1.959964 / math.sqrt(len(part) - 3)
        rows.append((str(chrom), len(part), r, math.tanh(math.atanh(r) - reach), math.tanh(math.atanh(r) + reach)))
    rows.sort(key=lambda row: _natural(row[0]))
    return pd.DataFrame(rows, columns=["chrom", "genes", "pearson", "low", "high"]), split


def history(path: Path) -> pd.DataFrame | None:
    """Read training/history.csv, one row per step; a last line that is still being written is left out.

    Returns
    -------
    DataFrame or None
        Numbers, NaN where a cell is none; None where the run was not trained here.

    Raises
    ------
    InputError
        Unreadable, no table, or a line without a step.
    """
    if not path.exists():
        return None
    text = read_input(path, _MOST_BYTES, "the history of a training", COPY_AGAIN)
    text = text[: text.rfind(b"\n") + 1]
    if not text:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells without a column
            read = pd.read_csv(io.BytesIO(text), quoting=3, index_col=False, skip_blank_lines=False)
        table = read.apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        found = f"a damaged table ({str(error).splitlines()[0][:100]})"
        raise InputError(path, found=found, expected="a line for each step", fix=COPY_AGAIN) from None
    if "step" not in table:
        raise InputError(path, found="no column 'step'", expected="the history of a training", fix=COPY_AGAIN)
    odd = np.flatnonzero(~np.isfinite(table["step"].to_numpy(np.float64)))
    if len(odd):
        where, found = f"{path} line {odd[0] + 2} step", shown(str(read["step"].iloc[odd[0]]))
        raise InputError(where, found=found, expected="a number", fix=COPY_AGAIN)
    return table if len(table) else None


def metric_rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (name, value) of each number in metrics.json, its groups as prefixes, predictions first.

    Tables inside metrics.json are left out.
    """
    rows: list[tuple[str, str]] = []

    def walk(value: Any, names: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, (*names, str(name).replace("_", " ")))
        elif isinstance(value, bool) or value is None:
            return
        elif isinstance(value, int | float | str):
            group, name = names[:-1], names[-1]
            if isinstance(value, int) and name.endswith(" bytes"):
                rows.append((" · ".join([*group, name.removesuffix(" bytes")]), f"{value / 1e6:,.0f} MB"))
            else:
                rows.append((" · ".join(names), _shown(value)))
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(x, int | float) for x in value):
            rows.append((" · ".join(names), " to ".join(_shown(x) for x in value)))

    shown = {name: value for name, value in metrics.items() if name != "signal_notes"}  # sentences
    walk(dict(sorted(shown.items(), key=lambda item: item[0] != "prediction")), ())
    return rows


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _natural(name: str) -> list:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]
