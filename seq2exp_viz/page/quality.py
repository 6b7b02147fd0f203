"""How good the model's numbers are: predicted against observed, by chromosome, and how the training went."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seq2exp_viz.page import plots
from seq2exp_viz.page.figures import pearson

MOST_POINTS = 4_000
FEWEST_GENES = 4  # of a chromosome, for a correlation with an interval
EVALUATED = ("test", "validation", "train")


def scatter(genes: pd.DataFrame, chosen: str | None, unit: str) -> dict:
    """Predicted against observed, a trace a split and a last one for the chosen gene; at most MOST_POINTS points.

    Parameters
    ----------
    genes : DataFrame
        gene_id, symbol, split, observed, predicted.
    unit : str
        Of both axes.
    """
    known = genes[np.isfinite(genes["observed"].astype(float)) & np.isfinite(genes["predicted"].astype(float))]
    if len(known) > MOST_POINTS:  # the same genes each time, evenly out of the table
        known = known.iloc[np.linspace(0, len(known) - 1, MOST_POINTS).astype(int)]
    traces = []
    for name in ("train", "validation", "test", ""):
        rows = known[known["split"].fillna("").where(known["split"].isin(EVALUATED), "") == name]
        if len(rows):
            traces.append(_points(rows, name or "no split", plots.SPLIT_COLOURS[name]))
    span = known[["observed", "predicted"]].to_numpy(float)
    ends = [float(span.min()), float(span.max())] if len(known) else [0, 1]
    line = {"x": ends, "y": ends, "mode": "lines", "line": {"dash": "dot", "width": 1, "color": plots.GREY}}
    traces.append({**line, "hoverinfo": "skip", "showlegend": False})
    traces.append(ring(genes, chosen))
    labels = [f"{word}{', ' + unit if unit else ''}" for word in ("observed", "predicted")]
    return plots.figure(traces, *labels, hovermode="closest", uirevision="scatter")


def scatter_title(genes: pd.DataFrame) -> str:
    """The scatter's title, with the correlation over the test genes, or over all where there are too few."""
    found = pearson(genes)
    which = "test genes" if found else "genes"
    found = found or pearson(genes.assign(split="test"))
    return "Predicted against observed" + (f": Pearson {found[0]:.2f} over {found[1]:,} {which}" if found else "")


def ring(genes: pd.DataFrame, chosen: str | None) -> dict:
    """The trace that marks the gene on the screen; empty where it has no observed value."""
    row = genes[(genes["gene_id"] == chosen) & genes["observed"].notna()]
    return {
        "x": row["observed"].tolist(),
        "y": row["predicted"].tolist(),
        "text": [plots.text(name) for name in row["symbol"]],
        "mode": "markers",
        "type": "scatter",
        "name": "this gene",
        "hovertemplate": "%{text}<extra>this gene</extra>",
        "showlegend": False,
        "marker": {"size": 13, "color": "rgba(0,0,0,0)", "line": {"width": 2.5, "color": plots.RED}},
    }


def _points(rows: pd.DataFrame, name: str, colour: str) -> dict:
    return {
        "x": rows["observed"].round(4).tolist(),
        "y": rows["predicted"].round(4).tolist(),
        "customdata": rows["gene_id"].tolist(),
        "text": [plots.text(symbol) for symbol in rows["symbol"]],
        "type": "scatter",  # not scattergl: its shaders are compiled by eval, which the page's policy forbids
        "mode": "markers",
        "name": name,
        "hovertemplate": "%{text}<br>observed %{x:.2f}, predicted %{y:.2f}<extra>click: go to this gene</extra>",
        "marker": {"size": 5, "color": colour, "opacity": 0.65},
    }


def by_chromosome(genes: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """(chrom, genes, pearson, low, high: its 95 % interval by Fisher's z; which split these genes are).

    The test genes where there are any, else validation, else all; chromosomes with fewer than FEWEST_GENES are left
    out.
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


def bars(table: pd.DataFrame) -> dict:
    """Pearson by chromosome as bars with 95 % intervals."""
    trace = {
        "type": "bar",
        "x": table["chrom"].tolist(),
        "y": table["pearson"].round(4).tolist(),
        "customdata": table["genes"].tolist(),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": (table["high"] - table["pearson"]).tolist(),
            "arrayminus": (table["pearson"] - table["low"]).tolist(),
            "thickness": 1.2,
            "width": 3,
            "color": plots.GREY,
        },
        "marker": {"color": plots.BLUE},
        "hovertemplate": "%{x}: %{y:.2f} over %{customdata:,} genes<extra></extra>",
    }
    low = min(-0.05, float(table["low"].min()) - 0.05)
    return plots.figure([trace], "", "Pearson", xaxis={"type": "category"}, yaxis={"range": [low, 1.05]})


def history(path: Path) -> pd.DataFrame | None:
    """training/history.csv: step and numbers a row; None where the run was not trained here or the file is damaged."""
    try:
        table = pd.read_csv(path, quoting=3).apply(pd.to_numeric, errors="coerce")
    except (OSError, ValueError):
        return None
    return table if "step" in table and len(table) else None


def training(table: pd.DataFrame) -> dict:
    """Training loss on the left axis, validation error and correlation on the right."""
    named = (
        ("loss", "training loss", plots.GREY, "y"),
        ("validation_mse", "validation error", plots.BLUE, "y2"),
        ("validation_pearson", "validation Pearson", plots.GREEN, "y2"),
    )
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(table) < 40 else "lines",
            "x": table["step"].tolist(),
            "y": [None if math.isnan(value) else round(value, 5) for value in table[name].to_numpy(float)],
            "name": words,
            "yaxis": axis,
            "line": {"color": colour, "width": 1.6},
            "marker": {"size": 4},
        }
        for name, words, colour, axis in named
        if name in table
    ]
    right = {"overlaying": "y", "side": "right", "showgrid": False, "zeroline": False, "tickmode": "auto"}
    right["title"] = {"text": "validation"}
    margin = {**plots.MARGINS, "r": 44}
    return plots.figure(traces, "step", "loss", yaxis2=right, margin=margin)


def metric_rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of the plain numbers in metrics.json, groups before the names and predictions first; tables inside
    it are left out."""
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

    walk(dict(sorted(metrics.items(), key=lambda item: item[0] != "prediction")), ())
    return rows


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _natural(name: str) -> list:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]
