"""Small pictures drawn as SVG text, so that the page needs no plotting library to open."""

from __future__ import annotations

import base64

import numpy as np
import pandas as pd

MOST_POINTS = 1_500
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 232, 168, 30, 30, 8, 8
AXIS, POINT, CHOSEN = "#828c99", "#3d8fcf", "#d55e00"  # readable on white and on black


def observed_against_predicted(genes: pd.DataFrame, chosen: str | None) -> str | None:
    """An SVG scatter of all genes with an observed value, the chosen one ringed; None where fewer than two have one.

    Parameters
    ----------
    genes : DataFrame
        Columns gene_id, observed, predicted; at most MOST_POINTS of them are drawn, evenly spaced in the table.
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
    drawn = np.unique(np.linspace(0, len(known) - 1, min(len(known), MOST_POINTS)).astype(int))
    dots = "".join(f'<circle cx="{across[i]:.1f}" cy="{up[i]:.1f}" r="1.9"/>' for i in drawn)
    here = np.flatnonzero((known["gene_id"] == chosen).to_numpy())
    ring = "".join(f'<circle cx="{across[i]:.1f}" cy="{up[i]:.1f}" r="4.5"/>' for i in here)
    x0, x1, y0, y1 = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" '
        f'font-size="10" fill="{AXIS}">'
        f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="{AXIS}"/>'
        f'<path d="M{x0} {y0}L{x1} {y1}" stroke="{AXIS}" stroke-dasharray="2 3" opacity="0.7"/>'
        f'<g fill="{POINT}" fill-opacity="0.55">{dots}</g>'
        f'<g fill="{CHOSEN}" stroke="#ffffff" stroke-width="1.5">{ring}</g>'
        f'<text x="{(x0 + x1) / 2}" y="{HEIGHT - 5}" text-anchor="middle">observed</text>'
        f'<text transform="translate(10 {(y0 + y1) / 2}) rotate(-90)" text-anchor="middle">predicted</text>'
        f'<text x="{x0}" y="{y0 + 12}" text-anchor="start">{low:.1f}</text>'
        f'<text x="{x1}" y="{y0 + 12}" text-anchor="end">{high:.1f}</text>'
        "</svg>"
    )


def pearson(genes: pd.DataFrame, split: str = "test") -> tuple[float, int] | None:
    """(correlation of observed with predicted, number of genes) over one split; None for fewer than three genes."""
    rows = genes[(genes["split"] == split) & genes["observed"].notna() & genes["predicted"].notna()]
    if len(rows) < 3:
        return None
    x, y = rows["observed"].to_numpy(float), rows["predicted"].to_numpy(float)
    if x.std() == 0 or y.std() == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1]), len(rows)


def data_address(svg: str) -> str:
    """The SVG as the address of an image."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
