"""A locus as a figure for a publication: genes, signals, peaks, mask, effects where stored, elements and a scale bar.

matplotlib draws it without pyplot, so that the threads of a server share no figure; text remains text in PDF and SVG.
The same run, gene, region and threshold give the same bytes.
"""

from __future__ import annotations

import io
import textwrap
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from model_core import palette
from model_core.errors import InputError
from model_core.places import parse_place, shown
from model_core.run_folder.band import band_words
from model_core.run_folder.element_gene_score import ERRORS
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.notes import NO_CONTACT, gene_note
from seq2exp_viz.reports.canvas import plain_settings
from seq2exp_viz.reports.gene_rows import draw_genes, gene_rows
from seq2exp_viz.runs import binning
from seq2exp_viz.runs.effect_track import PER, effect_summary
from seq2exp_viz.runs.element_effects import with_effects
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.study_inputs import SignalTrack
from seq2exp_viz.runs.style import label_words, length_words, peak_name

CANVASES = {"pdf": FigureCanvasPdf, "svg": FigureCanvasSVG, "png": FigureCanvasAgg}
WIDTH = 7.2  # inches: two columns of a journal page
LEFT, RIGHT, TOP, GAP = 1.15, 0.12, 0.14, 0.12  # inches
FONT = 7  # points
BINS = 1_200
STYLE = {
    "font.size": FONT,
    "font.family": "sans-serif",
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "svg.fonttype": "none",  # text, not outlines
    "pdf.fonttype": 42,  # fonts embedded as fonts
    "svg.hashsalt": "seq2exp-viz",
    "path.simplify": False,
}
_RANGE = ("low", "high")
_DRAWING = threading.Lock()  # matplotlib's settings and font caches are shared by the process


@dataclass(frozen=True)
class Place:
    """The drawn region chrom:start-end, 0-based half-open, of one gene's window, and the threshold of its elements."""

    gene: str
    chrom: str
    start: int
    end: int
    threshold: float


@dataclass(frozen=True)
class Band:
    """One row of the figure: its height in inches, its name, and the function that draws it."""

    height: float
    name: str
    draw: Callable[[Axes], None]


def place_of(
    view: RunView, gene: str, locus: str | tuple[str, int, int] | None = None, threshold: float | None = None
) -> Place:
    """Return the region to draw; without a locus, the gene's window, clipped to its chromosome.

    Parameters
    ----------
    view : RunView
        The run.
    gene : str
        gene_id or symbol.
    locus : str or tuple[str, int, int] or None
        (chrom, start, end), 0-based half-open, or text as users type it (`model_core.places`), 1-based; positions
        without a chromosome are on the gene's contig.
    threshold : float or None
        0 to 1; None takes the run's.

    Raises
    ------
    InputError
        No such gene, a locus that does not overlap the gene's window, or a threshold outside 0 to 1.
    """
    gene_id = str(view.run.gene(gene)["gene_id"])
    window = view.run.window(gene_id)
    size = view.run.chrom_sizes[window.chrom]
    start, end = max(0, window.start), min(window.end, size)
    if locus is not None:
        chrom, first, last = parse_place(locus, view.contigs, window.chrom) if isinstance(locus, str) else locus
        if chrom != window.chrom or first >= end or last <= start:
            found = f"{locus if isinstance(locus, str) else shown(*locus)} for {gene}"
            expected = f"a region that overlaps its window, {shown(window.chrom, start, end)}"
            raise InputError("locus", found=found, expected=expected, fix="choose another region or gene")
        start, end = max(0, first), min(last, size)
    chosen = view.run.rule.threshold if threshold is None else float(threshold)
    if not 0 <= chosen <= 1:
        raise InputError("threshold", found=f"{chosen}", expected="0 to 1", fix="correct it")
    return Place(gene_id, window.chrom, start, end, chosen)


def locus_bytes(view: RunView, place: Place, kind: str = "pdf", caption: bool = True, dpi: int = 300) -> bytes:
    """Return the figure as the content of a file.

    Parameters
    ----------
    view : RunView
        The run.
    place : Place
        Region and threshold.
    kind : str
        "pdf", "svg" or "png".
    caption : bool
        Whether a caption is drawn below the figure.
    dpi : int
        Dots per inch of a PNG.

    Raises
    ------
    InputError
        An unknown kind.
    """
    if kind not in CANVASES:
        raise InputError("figure", found=f"kind {kind!r}", expected=f"one of {', '.join(CANVASES)}", fix="choose one")
    dated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[kind]
    with _DRAWING, mpl.rc_context(plain_settings(STYLE)), warnings.catch_warnings():
        # A symbol may have letters that matplotlib's fonts lack: SVG keeps the text, other formats show a box.
        warnings.filterwarnings("ignore", r"Glyph .* missing from|Matplotlib currently does not support")
        figure = locus_figure(view, place, caption)
        content = io.BytesIO()
        CANVASES[kind](figure).print_figure(content, format=kind, dpi=dpi, metadata=dated)
    return content.getvalue()


def locus_figure(view: RunView, place: Place, caption: bool = True) -> Figure:
    """Return the figure of matplotlib, for a notebook; `locus_bytes` writes it to a file."""
    bands = _bands(view, place)
    words = textwrap.wrap(" ".join(caption_words(view, place)), 126) if caption else []
    below = 0.42 + 0.13 * len(words) + 0.04
    height = TOP + sum(band.height + GAP for band in bands) + below
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    edge = height - TOP
    for band in bands:
        edge -= band.height
        box = (LEFT / WIDTH, edge / height, (WIDTH - LEFT - RIGHT) / WIDTH, band.height / height)
        axes = figure.add_axes(box)
        axes.set_xlim(place.start, place.end)
        axes.set_xticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        band.draw(axes)
        anchor = (0.06 / WIDTH, (edge + band.height / 2) / height)
        figure.text(*anchor, band.name, va="center", ha="left", parse_math=False)
        edge -= GAP
    _scale(axes, place, (edge + GAP) / height)
    if words:
        figure.text(0.06 / WIDTH, (below - 0.42) / height, "\n".join(words), va="top", parse_math=False, color="0.25")
    return figure


def caption_words(view: RunView, place: Place, notes: bool = True) -> list[str]:
    """Return the sentences of the figure's caption; with `notes` also those that hold of the whole run."""
    gene, manifest = view.run.gene(place.gene), view.run.manifest
    peaks = f"; elements that overlap a {peak_name(view)} peak are blue, the others orange"
    observed = f", observed {gene['observed']:.2f}" if gene["observed"] == gene["observed"] else ""
    numbers = f"predicted {_number(gene['predicted'])}{observed} {label_words(view)}"
    seen = gene_note(manifest, gene)
    window = length_words(manifest["window"])
    words = band_words(view.run.band)
    band = f" and {words.caption}" if words is not None else ""
    effects = view.member_effects(place.gene)
    sentences = [
        f"{gene['symbol']} ({gene['gene_id']}), {place.chrom}:{place.start + 1:,}-{place.end:,}"
        + (f" ({view.study.assembly})." if view.study else "."),
        f"Run {view.run.name}: {manifest['variant']} model, {window} window; {numbers.rstrip()}.",
        f"Mask: mean of z (line){band}; dashed line: threshold {place.threshold:.3f}; grey: promoter, always kept.",
        *([] if effects is None else [_effect_caption(str(gene["symbol"]), len(effects.values))]),
        "Elements: contiguous regions of kept bases, with arcs to the TSS"
        + (", thicker by element-gene score, dashed where they lower expression" if effects is not None else "")
        + (peaks if view.peaks is not None else "; the study has no peaks")
        + "; the promoter is black.",
        *(["All data are simulated."] if manifest["simulated"] else []),
        *([f"{gene['symbol']} was {seen}."] if seen else []),
        *([f"{gene['symbol']}: {NO_CONTACT}."] if gene["gene_id"] in view.run.without_contact else []),
        *([note.text for note in view.caveats] if notes else []),
        f"seq2exp-viz {version('seq2exp-viz')}.",
    ]
    return sentences


def _effect_caption(symbol: str, members: int) -> str:
    error = f" and {ERRORS:g} standard deviations over the {members} members (band)" if members > 1 else ""
    told = "; filled where its direction can be told" if members > 1 else ""
    return f"Effect on {symbol} per {PER} bp: mean{error}, above 0 where the place raises expression{told}."


def _bands(view: RunView, place: Place) -> list[Band]:
    rows = gene_rows(view, place.chrom, place.start, place.end)
    bands = [Band(0.14 + 0.24 * max(1, len(rows)), "Genes", lambda axes: draw_genes(axes, rows))] if rows else []
    for number, signal in enumerate(view.signals):
        colour = palette.SIGNALS[number % len(palette.SIGNALS)].unit
        bands.append(_signal(view, place, signal, colour))
    if (peaks := view.peaks) is not None:
        bands.append(Band(0.16, f"{peak_name(view)} peaks", lambda axes: _blocks(axes, _peaks(peaks, place))))
    symbol = str(view.run.gene(place.gene)["symbol"])
    bands.append(Band(1.15, f"Mask of\n{symbol}", lambda axes: _mask(axes, view, place)))
    if view.member_effects(place.gene) is not None:
        bands.append(Band(0.7, f"Effect on\n{symbol}\nper {PER} bp", lambda axes: _effect(axes, view, place)))
    bands.append(Band(0.62, "Elements", lambda axes: _elements(axes, view, place)))
    return bands


def _signal(view: RunView, place: Place, signal: SignalTrack, colour: tuple) -> Band:
    if signal.file is None:
        values, origin = view.contact(place.gene, signal.name), view.run.window(place.gene).start
        got = binning.vector_summary(values, place.chrom, origin, place.start, place.end, BINS)
        name = f"{signal.name}\ncontact to TSS"
    else:
        got = binning.bigwig_summary(view.bigwig(signal), place.chrom, place.start, place.end, BINS)
        name = signal.name

    def draw(axes: Axes) -> None:
        mean = np.array([np.nan if x is None else x for x in got["mean"]], float)
        edges = np.minimum(got["start"] + got["bin"] * np.arange(len(mean) + 1), got["end"])
        if len(mean):
            axes.stairs(np.nan_to_num(mean), edges, fill=True, color=colour, linewidth=0)
        top = float(np.nanmax(mean)) if np.isfinite(mean).any() and np.nanmax(mean) > 0 else 1.0
        axes.set_ylim(0, top)
        axes.set_yticks([0, top], ["0", f"{top:.3g}"])

    return Band(0.4, name, draw)


def _peaks(peaks: pd.DataFrame, place: Place) -> list[tuple[int, int, tuple]]:
    here = peaks[(peaks["chrom"] == place.chrom) & (peaks["start"] < place.end) & (peaks["end"] > place.start)]
    colour = palette.PEAK.unit
    return [(int(start), int(end), colour) for start, end in zip(here["start"], here["end"], strict=True)]


def _blocks(axes: Axes, blocks: list[tuple[int, int, tuple]], low: float = 0, height: float = 1) -> None:
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    least = (axes.get_xlim()[1] - axes.get_xlim()[0]) / 700  # a block is at least as wide as can be seen
    for start, end, colour in blocks:
        axes.broken_barh([(start, max(end - start, least))], (low, height), facecolor=colour, linewidth=0)


def _mask(axes: Axes, view: RunView, place: Place) -> None:
    got = view.run.mask(place.gene).summary(place.start, place.end, BINS, view.interval(place.gene))
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    edges = np.minimum(got["start"] + got["bin"] * np.arange(len(got["mean"]) + 1), got["end"])
    x = np.repeat(edges, 2)[1:-1]
    mean, low, high = (np.repeat(np.asarray(got.get(name, got["mean"]), float), 2) for name in ("mean", "low", "high"))
    forced = np.repeat(np.asarray(got["forced"], int), 2)
    for state, colour in ((1, palette.FORCED["promoter"].unit), (0, palette.FORCED["blacklist"].unit)):
        axes.fill_between(x, -0.02, 1.02, where=forced == state, color=colour, linewidth=0)
    if "low" in got:
        axes.fill_between(x, low, high, where=forced == -1, color=palette.INTERVAL.unit, alpha=0.25, linewidth=0)
    axes.plot(x, mean, color=palette.MASK.unit, linewidth=0.8)
    if len(x):
        ends = (edges[0], edges[-1])
        axes.plot(ends, [place.threshold] * 2, color=palette.THRESHOLD.unit, linewidth=0.7, dashes=(4, 3))


def _effect(axes: Axes, view: RunView, place: Place) -> None:
    got = effect_summary(view, place.gene, place.start, place.end, BINS)
    mean = np.array([np.nan if value is None else value for value in got["mean"]], float)
    edges = np.minimum(got["start"] + got["bin"] * np.arange(len(mean) + 1), got["end"])
    x = np.repeat(edges, 2)[1:-1]
    forced = np.repeat(np.asarray(got["forced"], int), 2)
    line, directions = np.repeat(mean, 2), np.repeat(np.asarray(got["direction"], object), 2)
    low, high = (np.array([np.nan if v is None else v for v in got.get(name, got["mean"])], float) for name in _RANGE)
    least, most = float(np.nanmin(low, initial=0)), float(np.nanmax(high, initial=0))
    axes.set_ylim(least, most if most > least else least + 1)
    axes.set_yticks(sorted({least, 0.0, most}), [f"{value:.2g}" for value in sorted({least, 0.0, most})])
    for state, colour in ((1, palette.FORCED["promoter"].unit), (0, palette.FORCED["blacklist"].unit)):
        axes.fill_between(x, least, most, where=forced == state, color=colour, linewidth=0)
    for sign, kind in ((1, "raises"), (-1, "lowers")):
        told = np.isin(directions, [kind, ""]) & (sign * line > 0)  # a single member: by its sign
        axes.fill_between(x, 0, line, where=told, color=palette.EFFECTS[kind].unit, linewidth=0)
    axes.fill_between(x, np.repeat(low, 2), np.repeat(high, 2), color=palette.EFFECT_ERROR.unit, alpha=0.3, linewidth=0)
    axes.axhline(0, color=palette.TRACK_INK["axis"].unit, linewidth=0.5)
    axes.plot(x, line, color=palette.TRACK_INK["text"].unit, linewidth=0.5)


def _elements(axes: Axes, view: RunView, place: Place) -> None:
    table = with_effects(view, view.cut(place.gene, place.threshold))
    tss, stored = int(view.run.gene(place.gene)["tss"]), bool(table["recurrence"].notna().any())
    here = table[(table["start"] < place.end) & (table["end"] > place.start)]
    blocks = [
        (int(row.start), int(row.end), palette.ELEMENT_CLASSES[row.kind].unit)
        for row in here.rename(columns={"class": "kind"}).itertuples()
    ]
    _blocks(axes, blocks, 0.0, 0.22)
    arcs = here[here["class"] != PROMOTER_CLASS]
    middles = ((arcs["start"] + arcs["end"]) / 2).to_numpy(float)
    longest = max(1.0, float(np.abs(middles - tss).max(initial=0)))
    scores = arcs["element_gene_score"].to_numpy()
    largest = float(np.nanmax(scores, initial=0)) or 1.0
    rows = zip(middles, arcs["class"], arcs["mean_mask"], arcs["direction"], arcs["effect"], scores, strict=True)
    for middle, kind, mean, direction, effect, score in rows:
        top = 0.27 + 0.9 * (0.25 + 0.75 * np.sqrt(abs(middle - tss) / longest))
        points = [(middle, 0.27), (middle, top), (tss, top), (tss, 0.27)]
        arc = Outline(points, [Outline.MOVETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4])
        colour, width = palette.ELEMENT_CLASSES[kind].unit, 0.4 + 0.9 * float(mean)
        if stored:
            colour, width = palette.EFFECTS[direction].unit if direction else colour, 0.3 + 1.5 * score / largest
        dashes = (0, (4, 3)) if stored and effect < 0 else "solid"
        axes.add_patch(PathPatch(arc, fill=False, edgecolor=colour, linewidth=width, linestyle=dashes))


def _scale(axes: Axes, place: Place, ground: float) -> None:
    """Draw the axis below the lowest row, in kb or Mb, and a scale bar of a round length."""
    span = place.end - place.start
    unit, name = (1e6, "Mb") if span >= 2e6 else (1e3, "kb")
    axes.spines["bottom"].set_visible(True)
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(7))
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda x, _: f"{x / unit:,.6g}"))
    axes.set_xlabel(f"{place.chrom} ({name})", labelpad=2, parse_math=False)
    length = max(
        step for power in range(10) for step in (10**power, 2 * 10**power, 5 * 10**power) if step <= max(1, span / 6)
    )
    figure = axes.get_figure(root=True)
    assert figure is not None  # the axes were added to a figure
    box = axes.get_position()
    right, height = box.x1, figure.get_figheight()
    left = right - box.width * length / span
    level = ground - 0.33 / height
    figure.add_artist(mpl.lines.Line2D([left, right], [level] * 2, color="black", linewidth=1.2))
    figure.text(left - 0.06 / WIDTH, level, length_words(length), ha="right", va="center")


def _number(value: float) -> str:
    return f"{value:.2f}" if value is not None and value == value else "unknown"
