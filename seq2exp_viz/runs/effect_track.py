"""The effect of every place of a gene's window on the gene, averaged over the bins of a view."""

from __future__ import annotations

import numpy as np

from model_core.beta import LEARNED
from model_core.bins import bin_means, rounded, view_grid
from model_core.errors import Unavailable
from model_core.run_folder.element_gene_score import ERRORS, direction
from model_core.run_folder.member_effects import MemberEffects
from seq2exp_viz.runs.run_view import RunView

PER = 100  # bp that a drawn effect is of, so that the axis does not depend on the width of the bins
DIGITS = 7


def effects_of(view: RunView, gene: str) -> MemberEffects:
    """Return the effects that a run stores of a gene, by gene_id or symbol.

    Raises
    ------
    Unavailable
        It stores none.
    """
    found = view.member_effects(gene)
    if found is None:
        raise Unavailable("This run stores no effect of each base: its model is not additive, or the run is older.")
    return found


def effect_summary(view: RunView, gene: str, start: int, end: int, bins: int) -> dict:
    """Return the effect on a gene in chrom:start-end for PER bp, averaged into at most about `bins` bins.

    A bin is averaged for each member first, so that its error is that of the bin.

    Parameters
    ----------
    view : RunView
        The run.
    gene : str
        gene_id or symbol.
    start, end : int
        Region, 0-based half-open.
    bins : int
        Largest number of bins.

    Returns
    -------
    dict
        chrom, start, end, bin (bp), per (bp), and equally long lists: mean (label's unit for `per` bp), low and high
        (ERRORS standard deviations over the members below and above; not there for a single member), direction, and
        forced (-1 learned, 0 blacklist or off the chromosome, 1 promoter). mean is None where no base was learned.

    Raises
    ------
    Unavailable
        The run stores no effects of the gene.
    """
    effects, mask = effects_of(view, gene), view.run.mask(gene)
    grid = view_grid(effects.start, effects.values.shape[1], start, end, bins, effects.resolution)
    end = min(grid.end, effects.end)
    forced = np.repeat(mask.forced, mask.resolution)[grid.start - effects.start : end - effects.start]  # of each base
    decided = ~np.isnan(bin_means(forced, grid.width, forced == LEARNED))
    parts = effects.values[:, grid.part].astype(np.float64)
    means = np.stack([bin_means(part, grid.size, np.isfinite(part)) for part in parts]) * PER / effects.resolution
    drawn = np.where(decided, means, np.nan)
    mean = drawn.mean(axis=0)
    sd = drawn.std(axis=0, ddof=1) if len(drawn) > 1 else np.full(len(mean), np.nan)
    band = {"low": mean - ERRORS * sd, "high": mean + ERRORS * sd} if len(drawn) > 1 else {}
    middle = np.minimum(np.arange(0, len(forced), grid.width) + grid.width // 2, max(0, len(forced) - 1))
    return {
        **{"chrom": effects.chrom, "start": grid.start, "end": end, "bin": grid.width, "per": PER},
        **{name: rounded(values, DIGITS) for name, values in {"mean": mean, **band}.items()},
        "direction": [direction(*both) for both in zip(mean.tolist(), sd.tolist(), strict=True)],
        "forced": np.where(decided, LEARNED, np.maximum(forced[middle], 0)).tolist(),
    }
