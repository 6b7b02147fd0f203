"""The masks beside peaks and controls, as figures and tables."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from model_core.bed import read_lines
from model_core.listing import files_in
from model_core.tsv import cells_of
from seq2exp_viz.page import plots
from seq2exp_viz.runs.peak_overlap import Overlap

MOST_ROWS, MOST_COLUMNS = 40, 12
FIRST = ("scores", "crispr", "peaks", "prediction", "seeds")


def inside_outside(found: Overlap, peaks: str) -> dict:
    """Distribution of the mask inside peaks and outside them, each as a share of its own bases."""
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
            (found.outside, "outside", plots.GREY, found.means[1]),
            (found.inside, f"inside {peaks} peaks", plots.BLUE, found.means[0]),
        )
        if counts.sum()
    ]
    return plots.figure(traces, "mask", "% of bases", xaxis={"range": [0, 1]})


def kept_curve(found: Overlap, threshold: float) -> dict:
    """Share of bases kept at each threshold, and the threshold on the page."""
    kept = float(np.interp(threshold, found.thresholds, found.kept))
    curve = {
        "type": "scatter",
        "mode": "lines",
        "x": found.thresholds.round(3).tolist(),
        "y": np.round(100 * found.kept, 3).tolist(),
        "line": {"color": plots.BLUE, "width": 1.8},
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
        "marker": {"color": plots.RED, "size": 9},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    axes = {"xaxis": {"range": [0, 1]}, "yaxis": {"range": [0, 104]}}
    return plots.figure([curve, here], "threshold", "% of bases kept", **axes)


def overlap_bars(found: Overlap) -> dict:
    """Precision and recall of sets of bases against peaks, the expectation of chance as a line."""
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
            ("precision", "of its bases in peaks", plots.BLUE),
            ("recall", "of the peaks’ bases in it", plots.ORANGE),
        )
    ]
    chance = 100 * found.in_peaks
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": chance, "x1": chance}
    shapes = [{**line, "line": {"dash": "dot", "width": 1.2, "color": plots.GREY}}]
    axis = {"autorange": "reversed", "tickfont": {"size": 10}}
    words = f"% (chance: {chance:.0f})"
    return plots.figure(traces, words, "", barmode="group", shapes=shapes, yaxis=axis)


def tables(folder: Path) -> list[tuple[str, list[list[str]], bool]]:
    """(name, cells with the header first, whether it was cut short) of each table in RUN/compare/, verdicts first."""
    found = []
    first = {name: place for place, name in enumerate(FIRST)}
    for path in sorted(files_in(folder, "*.tsv"), key=lambda path: (first.get(path.stem, len(FIRST)), path)):
        rows = (cells_of(line) for _, line in read_lines(path) if line.strip() and not line.startswith("##"))
        cells = [[_short(cell) for cell in row[:MOST_COLUMNS]] for row in islice(rows, MOST_ROWS + 2)]
        if cells:
            cells[0] = [name.replace("_", " ") for name in cells[0]]
            found.append((path.stem.replace("_", " "), cells[: MOST_ROWS + 1], len(cells) > MOST_ROWS + 1))
    return found


def _short(cell: str) -> str:
    try:
        return f"{float(cell):.4g}" if "." in cell or "e" in cell.lower() else cell
    except ValueError:
        return cell[:60]
