"""Gene models of a figure: arranged in rows so that neither boxes nor names overlap, then drawn."""

from __future__ import annotations

from matplotlib.axes import Axes

from model_core import palette
from seq2exp_viz.runs.run_view import RunView

MOST_ROWS = 6
LETTER = 0.0085  # width of a character of a name, relative to the width of the figure
COLOUR = palette.GENE.unit


def gene_rows(view: RunView, chrom: str, start: int, end: int) -> list[list[dict]]:
    """Return features of `ModelTable.features` in at most MOST_ROWS rows, the longest genes first.

    Genes that do not fit are left out. There are no rows while the annotation is being read.
    """
    table = view.models.table("gene") if view.models is not None else None
    if table is None:
        return []
    rows: list[list[dict]] = []
    taken: list[list[tuple[float, float]]] = []
    for gene in sorted(table.features(chrom, start, end), key=lambda g: (g["start"] - g["end"], g["start"], g["name"])):
        span = _room(gene, start, end)
        free = next((i for i, held in enumerate(taken) if all(span[1] < a or b < span[0] for a, b in held)), len(rows))
        if free == MOST_ROWS:
            continue
        if free == len(rows):
            rows.append([])
            taken.append([])
        rows[free].append(gene)
        taken[free].append(span)
    return rows


def draw_genes(axes: Axes, rows: list[list[dict]]) -> None:
    """Draw each gene: a line, boxes for its exons (lower outside the coding part), name and direction."""
    axes.set_ylim(-len(rows), 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    first, last = axes.get_xlim()
    for number, row in enumerate(rows):
        level = -number - 0.32
        for gene in row:
            axes.plot([max(gene["start"], first), min(gene["end"], last)], [level] * 2, color=COLOUR, linewidth=0.6)
            for exon in gene.get("exons", []):
                _exon(axes, exon, level)
            arrow = "→" if gene["strand"] == "+" else "←"
            label = f"{gene['name']} {arrow}" if gene["strand"] == "+" else f"{arrow} {gene['name']}"
            middle = (max(gene["start"], first) + min(gene["end"], last)) / 2
            axes.text(middle, -number - 0.97, label, ha="center", va="bottom", size=6, style="italic", parse_math=False)


def _room(gene: dict, start: int, end: int) -> tuple[float, float]:
    """Return the interval that a gene and its name occupy, in bp."""
    left, right = max(gene["start"], start), min(gene["end"], end)
    half = (len(gene["name"]) + 3) * LETTER * (end - start) / 2
    return min(left, (left + right) / 2 - half), max(right, (left + right) / 2 + half)


def _exon(axes: Axes, exon: dict, level: float) -> None:
    start, end = exon["start"], exon["end"]
    axes.broken_barh([(start, end - start)], (level - 0.1, 0.2), facecolor=COLOUR, linewidth=0)
    if not exon.get("utr"):
        start, end = exon.get("cdStart", start), exon.get("cdEnd", end)
        axes.broken_barh([(start, end - start)], (level - 0.2, 0.4), facecolor=COLOUR, linewidth=0)
