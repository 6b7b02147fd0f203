"""Every figure of the page: Plotly figures as plain dicts in one style, and one small scatter as SVG text.

Colours of text and lines come from the style sheet (.chart). The SVG is for the gene's panel, which is drawn before
the plotting library is loaded.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pandas as pd

from model_core import palette
from seq2exp_viz.runs.peak_overlap import Overlap
from seq2exp_viz.runs.prediction_quality import EVALUATED

MARGINS = {"l": 40, "r": 10, "t": 8, "b": 34}
MOST_POINTS = 4_000  # of a Plotly scatter
MOST_DOTS = 1_500  # of the SVG
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 232, 168, 30, 30, 8, 8  # of the SVG, pixels


def figure(data: list[dict], across: str, up: str, **layout: Any) -> dict:
    """Return a figure of these traces.

    Parameters
    ----------
    data : list[dict]
        Plotly traces.
    across, up : str
        Titles of the axes.
    layout : Any
        Further entries of Plotly's layout; those of xaxis and yaxis are merged into the axes.
    """
    axes = {
        name: {
            "title": {"text": words, "standoff": 4, "font": {"size": 11}},
            "zeroline": False,
            "automargin": True,
            **layout.pop(name, {}),
        }
        for name, words in (("xaxis", across), ("yaxis", up))
    }
    return {
        "data": data,
        "layout": {
            "font": {"family": "system-ui, -apple-system, 'DejaVu Sans', sans-serif", "size": 11},
            "paper_bgcolor": palette.CLEAR,
            "plot_bgcolor": palette.CLEAR,
            "margin": MARGINS,
            "showlegend": False,  # the page writes it above the figure, where it has room
            "hoverlabel": {"font": {"size": 11}},
            "dragmode": "zoom",
            **axes,
            **layout,
        },
    }  # fmt: skip


def colour(trace: dict) -> str:
    """Return the colour of a trace: of its line, else of its marks."""
    return (trace.get("line") or {}).get("color") or trace["marker"]["color"]


def text(value: object) -> str:
    """Return text out of a file, escaped where Plotly would read it as HTML."""
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def scatter(genes: pd.DataFrame, chosen: str | None, unit: str) -> dict:
    """Return predicted against observed: one trace per split, the last for the chosen gene; at most MOST_POINTS points.

    Parameters
    ----------
    genes : DataFrame
        Columns gene_id, symbol, split, observed, predicted.
    chosen : str or None
        gene_id of the gene on the screen.
    unit : str
        Unit of both axes.
    """
    known = genes[np.isfinite(genes["observed"].astype(float)) & np.isfinite(genes["predicted"].astype(float))]
    if len(known) > MOST_POINTS:  # the same genes each time, evenly out of the table
        known = known.iloc[np.linspace(0, len(known) - 1, MOST_POINTS).astype(int)]
    traces = []
    for name in ("train", "validation", "test", ""):
        rows = known[known["split"].fillna("").where(known["split"].isin(EVALUATED), "") == name]
        if len(rows):
            traces.append(_points(rows, name or "no split", palette.SPLITS[name].hex))
    span = known[["observed", "predicted"]].to_numpy(float)
    ends = [float(span.min()), float(span.max())] if len(known) else [0, 1]
    line = {"x": ends, "y": ends, "mode": "lines", "line": {"dash": "dot", "width": 1, "color": palette.GREY.hex}}
    traces.append({**line, "hoverinfo": "skip", "showlegend": False})
    traces.append(chosen_gene(genes, chosen))
    labels = [f"{word}{', ' + unit if unit else ''}" for word in ("observed", "predicted")]
    return figure(traces, *labels, hovermode="closest", uirevision="scatter")


def chosen_gene(genes: pd.DataFrame, chosen: str | None) -> dict:
    """Return the trace that marks the gene on the screen; empty where it has no observed value."""
    row = genes[(genes["gene_id"] == chosen) & genes["observed"].notna()]
    return {
        "x": row["observed"].tolist(),
        "y": row["predicted"].tolist(),
        "text": [text(name) for name in row["symbol"]],
        "mode": "markers",
        "type": "scatter",
        "name": "this gene",
        "hovertemplate": "%{text}<extra>this gene</extra>",
        "showlegend": False,
        "marker": {"size": 13, "color": palette.CLEAR, "line": {"width": 2.5, "color": palette.VERMILION.hex}},
    }


def _points(rows: pd.DataFrame, name: str, colour: str) -> dict:
    return {
        "x": rows["observed"].round(4).tolist(),
        "y": rows["predicted"].round(4).tolist(),
        "customdata": rows["gene_id"].tolist(),
        "text": [text(symbol) for symbol in rows["symbol"]],
        "type": "scatter",  # not scattergl: its shaders are compiled by eval, which the page's policy forbids
        "mode": "markers",
        "name": name,
        "hovertemplate": "%{text}<br>observed %{x:.2f}, predicted %{y:.2f}<extra>click: go to this gene</extra>",
        "marker": {"size": 5, "color": colour, "opacity": 0.65},
    }


def pearson_bars(table: pd.DataFrame) -> dict:
    """Return Pearson by chromosome as bars with 95 % intervals."""
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
            "color": palette.GREY.hex,
        },
        "marker": {"color": palette.BLUE.hex},
        "hovertemplate": "%{x}: %{y:.2f} over %{customdata:,} genes<extra></extra>",
    }
    low = min(-0.05, float(table["low"].min()) - 0.05)
    return figure([trace], "", "Pearson", xaxis={"type": "category"}, yaxis={"range": [low, 1.05]})


def training(table: pd.DataFrame) -> dict:
    """Return the training loss on the left axis, validation MSE and correlation on the right."""
    named = (
        ("loss", "training loss", palette.GREY.hex, "y"),
        ("validation_mse", "validation MSE", palette.BLUE.hex, "y2"),
        ("validation_pearson", "validation Pearson", palette.GREEN.hex, "y2"),
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
    margin = {**MARGINS, "r": 44}
    return figure(traces, "step", "loss", yaxis2=right, margin=margin)


def mask_inside_outside(found: Overlap, peaks: str) -> dict:
    """Return the distribution of the mask inside peaks and outside them, each as a share of its own bases."""
    middles = (found.edges[:-1] + found.edges[1:]) / 2
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "line": {"shape": "hvh", "color": colour, "width": 1.6},
            "fill": "tozeroy",
            "x": middles.round(3).tolist(),
            "y": np.round(100 * counts / max(1, counts.sum()), 3).tolist(),
            "name": f"{words} (mean {mean:.2f})",
            "hovertemplate": "mask %{x:.2f}: %{y:.1f} % of bases<extra></extra>",
        }
        for counts, words, colour, mean in (
            (found.outside, "outside", palette.GREY.hex, found.means[1]),
            (found.inside, f"inside {peaks} peaks", palette.BLUE.hex, found.means[0]),
        )
        if counts.sum()
    ]
    return figure(traces, "mask", "% of bases", xaxis={"range": [0, 1]})


def kept_curve(found: Overlap, threshold: float) -> dict:
    """Return the share of bases kept at each threshold, and the threshold on the page."""
    kept = float(np.interp(threshold, found.thresholds, found.kept))
    curve = {
        "type": "scatter",
        "mode": "lines",
        "x": found.thresholds.round(3).tolist(),
        "y": np.round(100 * found.kept, 3).tolist(),
        "line": {"color": palette.BLUE.hex, "width": 1.8},
        "hovertemplate": "threshold %{x:.2f}: %{y:.1f} % of bases<extra></extra>",
        "showlegend": False,
    }
    here = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [threshold],
        "y": [100 * kept],
        "text": [f"{threshold:.3f}: {100 * kept:.1f} %"],
        "textposition": "middle left" if threshold > 0.5 else "middle right",
        "marker": {"color": palette.VERMILION.hex, "size": 9},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    axes = {"xaxis": {"range": [0, 1]}, "yaxis": {"range": [0, 104]}}
    return figure([curve, here], "threshold", "% of bases kept", **axes)


def overlap_bars(found: Overlap) -> dict:
    """Return the overlap of each set of bases with the peaks; a line marks the share of all bases in peaks."""
    sets = found.sets
    names = [str(name).replace(" ", "<br>", 1) for name in sets["set"]]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "y": names,
            "x": (100 * sets[column]).round(2).tolist(),
            "name": words,
            "marker": {"color": colour},
            "hovertemplate": "%{x:.1f} %<extra>" + words + "</extra>",
        }
        for column, words, colour in (
            ("elements_in_peaks", "share of the set in peaks", palette.BLUE.hex),
            ("peaks_in_elements", "share of the peaks in the set", palette.ORANGE.hex),
        )
    ]
    chance = 100 * float(sets["peak_share"].iloc[0])
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": chance, "x1": chance}
    shapes = [{**line, "line": {"dash": "dot", "width": 1.2, "color": palette.GREY.hex}}]
    axis = {"autorange": "reversed", "tickfont": {"size": 10}}
    words = f"% of bases (by chance: {chance:.0f})"
    return figure(traces, words, "", barmode="group", shapes=shapes, yaxis=axis)


def observed_against_predicted(genes: pd.DataFrame, chosen: str | None) -> str | None:
    """Return an SVG scatter of the genes with an observed value, the chosen one ringed; None for fewer than two genes.

    Parameters
    ----------
    genes : DataFrame
        Columns gene_id, observed, predicted; at most MOST_DOTS of them are drawn, evenly spaced in the table.
    chosen : str or None
        gene_id of the gene on the screen.
    """
    known = genes[np.isfinite(genes["observed"].astype(float)) & np.isfinite(genes["predicted"].astype(float))]
    if len(known) < 2:
        return None
    x, y = known["observed"].to_numpy(float), known["predicted"].to_numpy(float)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    span = (high - low) or 1.0
    low, high = low - 0.04 * span, high + 0.04 * span
    across = LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    up = HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - BOTTOM - TOP)
    drawn = np.unique(np.linspace(0, len(known) - 1, min(len(known), MOST_DOTS)).astype(int))
    dots = "".join(f'<circle cx="{across[i]:.1f}" cy="{up[i]:.1f}" r="1.9"/>' for i in drawn)
    here = np.flatnonzero((known["gene_id"] == chosen).to_numpy())
    ring = "".join(f'<circle cx="{across[i]:.1f}" cy="{up[i]:.1f}" r="4.5"/>' for i in here)
    x0, x1, y0, y1 = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" '
        f'font-size="10" fill="{palette.GREY.hex}">'
        f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="{palette.GREY.hex}"/>'
        f'<path d="M{x0} {y0}L{x1} {y1}" stroke="{palette.GREY.hex}" stroke-dasharray="2 3" opacity="0.7"/>'
        f'<g fill="{palette.POINT.hex}" fill-opacity="0.55">{dots}</g>'
        f'<g fill="{palette.VERMILION.hex}" stroke="{palette.WHITE.hex}" stroke-width="1.5">{ring}</g>'
        f'<text x="{(x0 + x1) / 2}" y="{HEIGHT - 5}" text-anchor="middle">observed</text>'
        f'<text transform="translate(10 {(y0 + y1) / 2}) rotate(-90)" text-anchor="middle">predicted</text>'
        f'<text x="{x0}" y="{y0 + 12}" text-anchor="start">{low:.1f}</text>'
        f'<text x="{x1}" y="{y0 + 12}" text-anchor="end">{high:.1f}</text>'
        "</svg>"
    )


def data_address(svg: str) -> str:
    """Return the SVG as the address of an image."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
