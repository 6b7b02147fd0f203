"""Figures of a comparison, as SVG text in the text colour of the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from model_core import palette
from seq2exp_viz.reports.canvas import inline_svg, plain_settings

INK, LINE = palette.Colour(1, 2, 3).hex, palette.Colour(4, 5, 6).hex  # placeholders, replaced by the page's colours
WIDTH = 7.6  # inches
COLOURS = {kind: colour.hex for kind, colour in palette.SCORE_KINDS.items()}
SERIES = tuple(colour.hex for colour in palette.SERIES)
STYLE = {
    **{name: INK for name in ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor")},
    **{name: LINE for name in ("axes.edgecolor", "xtick.color", "ytick.color", "grid.color")},
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.7,
}


def figures(tables: dict[str, pd.DataFrame], summary: dict) -> dict[str, str]:
    """Return the SVG text of each figure that these tables allow, by name; the same tables give the same text.

    Parameters
    ----------
    tables : dict[str, DataFrame]
        Tables of `model_core.evaluation.compare.Comparison`.
    summary : dict
        Its summary.
    """
    scores, curves = tables["scores"], tables["curves"]
    truth = bool(summary["causal_share"])
    found = {}
    if truth:
        found["ranking"] = _svg("ranking", lambda: _ranking(scores, summary["causal_share"]))
        found["kept"] = _svg("kept", lambda: _kept(scores, summary["element_share"]))
        found["curves"] = _svg("curves", lambda: _curves(curves, scores, "precision", summary["causal_share"]))
    if "peaks" in tables:
        if not truth:
            found["curves"] = _svg("curves", lambda: _curves(curves, scores, "in_peaks", None))
        found["threshold"] = _svg("threshold", lambda: _threshold(tables["peaks_by_threshold"]))
        found["distance"] = _svg("distance", lambda: _distance(tables["peaks"]))
        found["unmatched"] = _svg("unmatched", lambda: _unmatched(tables["unmatched"]))
    if "crispr" in tables and tables["crispr"]["auprc"].notna().any():
        found["crispr"] = _svg("crispr", lambda: _crispr(tables["crispr"]))
    if (tables["prediction"]["genes"] > 0).any():
        found["prediction"] = _svg("prediction", lambda: _prediction(tables["prediction"]))
    return found


def with_genes(scores: pd.DataFrame) -> pd.Series:
    """Return the names of scores, with the number of genes where not all judged genes have the score."""
    fewer = scores["genes"] < scores["genes"].max()
    return scores["score"].where(~fewer, scores["score"] + " (" + scores["genes"].astype(str) + " genes)")


def _svg(name: str, draw: Callable[[], Figure]) -> str:
    with mpl.rc_context(plain_settings({**STYLE, "svg.hashsalt": name})):
        figure = draw()
        FigureCanvasSVG(figure)
        text = io.StringIO()
        figure.savefig(
            text, format="svg", bbox_inches="tight", pad_inches=0.05, metadata={"Date": None, "Creator": None}
        )
    svg = inline_svg(text.getvalue(), f"{name}-").replace(INK, "currentColor").replace(LINE, palette.GREY.hex)
    svg = re.sub(r"(<svg[^>]*?) width=\"([0-9.]+)pt\" height=\"[0-9.]+pt\"", r'\1 style="max-width:\2pt"', svg, count=1)
    return re.sub(r'font: ([0-9.]+)px [^;"]*', r"font: \1px system-ui, 'DejaVu Sans', sans-serif", svg)


def _axes(height: float, columns: int = 1, **options: Any) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False, **options)[0]


def _bars(axes: Axes, names: Sequence[str], values: np.ndarray, colours: Sequence[str]) -> None:
    places = np.arange(len(names))[::-1]
    axes.barh(places, values, color=colours, height=0.72)
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(names) - 0.4)
    span = max(float(np.nanmax(values)), 1e-9)
    for place, value in zip(places, values, strict=True):
        axes.text(value + 0.01 * span, place, f"{value:.3f}", va="center", fontsize=8)


def _ranking(scores: pd.DataFrame, guess: float) -> Figure:
    rows = scores[(scores["kind"] != "set") & scores["auprc"].notna()].sort_values("auprc", ascending=False)
    figure, (axes,) = _axes(0.7 + 0.24 * len(rows))
    _bars(axes, list(with_genes(rows)), rows["auprc"].to_numpy(), [COLOURS[kind] for kind in rows["kind"]])
    axes.axvline(guess, color=INK, linestyle=(0, (3, 3)), linewidth=1)
    axes.set_xlabel(f"AUPRC per base (dashed line: random ranking, {guess:.3f})")
    axes.set_xlim(0, 1.12 * max(rows["auprc"].max(), guess))
    return figure


def _kept(scores: pd.DataFrame, share: float) -> Figure:
    rows = scores[scores["kind"] != "set"].sort_values("recall", ascending=False)
    figure, (axes,) = _axes(0.9 + 0.26 * len(rows))
    places = np.arange(len(rows))[::-1]
    for place in places:
        axes.axhline(place, color=LINE, linewidth=0.5, alpha=0.4)
    for name, label, marker, colour in (
        ("recall", "causal", "o", COLOURS["signal"]),
        ("weak_recall", "causal, weak signal", "D", COLOURS["peaks"]),
        ("decoys_kept", "decoys", "X", COLOURS["mask"]),
    ):
        axes.plot(rows[name], places, marker, color=colour, label=label, markersize=6, alpha=0.9)
    axes.axvline(share, color=INK, linestyle=(0, (3, 3)), linewidth=1)
    axes.set_yticks(places, with_genes(rows))
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))
    axes.set_xlabel(f"share of these bases kept when {100 * share:.1f} % of all are kept (dashed line: random ranking)")
    figure.legend(loc="outside upper right", ncols=3)
    return figure


def _curves(curves: pd.DataFrame, scores: pd.DataFrame, column: str, guess: float | None) -> Figure:
    figure, (axes,) = _axes(3.4)
    chosen = _best(scores, column)
    for number, name in enumerate(chosen):
        rows = curves[curves["score"] == name]
        style = (0, (3, 2)) if name in ("random", "nearest the TSS") else "-"
        wide = {"linewidth": 5, "alpha": 0.6} if name == "mask" else {}  # the line of the prior often coincides with it
        colour = SERIES[number % len(SERIES)]
        axes.plot(rows["kept_share"], rows[column], label=name, color=colour, linestyle=style, **wide)
    if guess is not None:
        axes.axhline(guess, color=INK, linestyle=(0, (3, 3)), linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))
    axes.set_ylim(0, None)
    axes.set_xlabel("share of all bases kept")
    axes.set_ylabel("kept bases that are causal" if column == "precision" else "kept bases in peaks")
    figure.legend(loc="outside right center")
    return figure


def _best(scores: pd.DataFrame, column: str) -> list[str]:
    """Return the mask, its prior, the best score of each other kind, and random: few enough to distinguish."""
    scores = scores[scores["genes"] == scores["genes"].max()]  # other scores cover other bases
    fixed = [name for name in ("mask", "signal prior", "sequence only") if (scores["score"] == name).any()]
    for kind in ("signal", "peaks", "effect", "control"):
        rows = scores[(scores["kind"] == kind) & (scores["score"] != "random")]
        by = "auprc" if column == "precision" and rows["auprc"].notna().any() else "in_peaks"
        if column == "in_peaks" and kind == "peaks":
            continue  # the share of peaks in peaks has no meaning
        if len(rows) and rows[by].notna().any():
            fixed.append(rows.loc[rows[by].idxmax(), "score"])
    return [*fixed, "random"]


def _threshold(table: pd.DataFrame) -> Figure:
    names = list(table["peak_set"].unique())
    figure, (left, right) = _axes(3.0, 2)
    for number, name in enumerate(names):
        rows, colour = table[table["peak_set"] == name].sort_values("kept_share"), SERIES[(number + 1) % len(SERIES)]
        label = name if len(names) > 1 else None
        left.plot(rows["kept_share"], rows["jaccard"], color=colour, label=label)
        right.plot(rows["kept_share"], rows["elements_in_peaks"], color=colour)
        right.plot(rows["kept_share"], rows["peaks_in_elements"], color=colour, linestyle=(0, (3, 2)))
        used = rows[rows["used"]]
        left.plot(used["kept_share"], used["jaccard"], "o", color=INK, markersize=5)
        right.plot(used["kept_share"], used["elements_in_peaks"], "o", color=INK, markersize=5)
        right.plot(used["kept_share"], used["peaks_in_elements"], "o", color=INK, markersize=5)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_ylim(0, None)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
        axes.set_xlabel("share of bases in elements")
    left.set_ylabel("Jaccard with peaks")
    right.set_ylabel("share of bases")
    right.plot([], [], color=INK, label="of elements, in peaks")
    right.plot([], [], color=INK, linestyle=(0, (3, 2)), label="of peaks, in elements")
    lines = [axes.get_legend_handles_labels() for axes in (left, right)]
    figure.legend(*(a + b for a, b in zip(*lines, strict=True)), loc="outside upper center", ncols=3)
    return figure


def _distance(table: pd.DataFrame) -> Figure:
    rows = table[(table["by"] == "distance") & (table["peak_set"] == table["peak_set"].iloc[0])]
    figure, (axes,) = _axes(2.5)
    places = np.arange(len(rows))
    axes.bar(places - 0.2, rows["kept_share"], 0.38, color=COLOURS["mask"], label="in elements")
    axes.bar(
        places + 0.2, rows["peak_share"], 0.38, color=COLOURS["peaks"], label=f"in peaks ({rows['peak_set'].iloc[0]})"
    )
    axes.set_xticks(places, rows["group"])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
    axes.set_xlabel("distance to the TSS")
    axes.set_ylabel("share of bases")
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def _unmatched(table: pd.DataFrame) -> Figure:
    rows = table[table["peak_set"] == table["peak_set"].iloc[0]]
    rows = rows.iloc[: max(int(np.flatnonzero(rows["elements"]).max(initial=0)) + 1, 4)]
    figure, (axes,) = _axes(2.3)
    places = np.arange(len(rows))
    axes.bar(places, rows["elements"], color=COLOURS["mask"], width=0.75)
    labels = [_range(*row) for row in rows[["from", "to"]].itertuples(index=False)]
    axes.set_xticks(places, labels, **({"rotation": 30, "ha": "right"} if len(rows) > 6 else {}))
    axes.set_xlabel(f"distance to the nearest peak of {rows['peak_set'].iloc[0]}")
    axes.set_ylabel("elements without a peak")
    return figure


def _range(first: int, last: int) -> str:
    if pd.isna(first):
        return "no peak on the chromosome"
    if pd.isna(last):
        return f"{first // 1000} kb or more"
    if last < 1000:
        return f"{first} to {last} bp"
    return f"{first // 1000} to {last // 1000} kb" if first >= 1000 else f"{first / 1000:g} to {last // 1000} kb"


def _crispr(table: pd.DataFrame) -> Figure:
    bins = [name for name in table["distance"].unique() if table.loc[table["distance"] == name, "auprc"].notna().any()]
    order = table[table["distance"] == bins[-1]].sort_values("auprc", ascending=False, na_position="last")["score"]
    figure, axes = _axes(0.9 + 0.22 * len(order), len(bins), sharey=True)
    places = np.arange(len(order))[::-1]
    for one, name in zip(axes, bins, strict=True):
        rows = table[table["distance"] == name].set_index("score").reindex(order)
        bars = np.clip(np.stack([rows["auprc"] - rows["auprc_low"], rows["auprc_high"] - rows["auprc"]]), 0, None)
        colours = ["mask" in score or "effect" in score for score in order]
        for place, value, low, high, own in zip(places, rows["auprc"], *bars, colours, strict=True):
            if np.isfinite(value):
                colour = COLOURS["mask"] if own else COLOURS["signal"]
                one.errorbar(value, place, xerr=[[low], [high]], fmt="o", color=colour, markersize=4.5, linewidth=1.2)
        one.axvline(rows.loc[rows["pairs"].idxmax(), "positive_share"], color=INK, linestyle=(0, (3, 3)), linewidth=1)
        pairs = f"{int(rows['pairs'].max())} pairs, {int(rows['positives'].max())} positive"
        one.set_title(f"{name}\n{pairs}", fontsize=8.5)
        one.set_xlabel("AUPRC")
        one.set_xlim(0, 1.03)  # room for the dot of an AUPRC of 1
        one.tick_params(axis="y", length=0)
    axes[0].set_yticks(places, list(order))
    return figure


def _prediction(table: pd.DataFrame) -> Figure:
    rows = table[(table["by"] == "split") & table["pearson"].notna()]
    rows = rows[rows["group"] == rows["group"].iloc[0]] if len(rows) else table[table["by"] == "split"].head(0)
    figure, axes = _axes(0.8 + 0.3 * max(len(rows), 1), 2, sharey=True)
    places = np.arange(len(rows))[::-1]
    for one, name, label in ((axes[0], "pearson", "Pearson"), (axes[1], "mse", "mean squared error")):
        bars = np.clip(np.stack([rows[name] - rows[f"{name}_low"], rows[f"{name}_high"] - rows[name]]), 0, None)
        one.errorbar(rows[name], places, xerr=bars, fmt="o", color=COLOURS["mask"], markersize=5, linewidth=1.4)
        one.set_xlabel(label)
        one.tick_params(axis="y", length=0)
        one.set_ylim(-0.6, len(rows) - 0.4)
    labels = [f"{row.run} (mask: {row.mask})" for row in rows.itertuples()]
    axes[0].set_yticks(places, labels)
    return figure
