"""Agreement of a run's elements with peaks, and with the element-gene links of another program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from model_core.evaluation.rivals import Rival, rival_scores
from model_core.intervals import overlaps
from model_core.run_folder.element_gene_score import ERRORS
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.run import Run

DRAWS = 20  # of each element's control regions


def agreement(run: Run, genes: list[str], peaks: pd.DataFrame, links: Rival) -> list[dict[str, Any]]:
    """Return how many of a run's elements of some genes lie in peaks, and are links of their gene.

    Parameters
    ----------
    run : Run
        A run that scored the genes.
    genes : list[str]
        Their ids.
    peaks : DataFrame
        chrom, start, end.
    links : Rival
        Links of elements and genes.

    Returns
    -------
    list[dict]
        One for each set: its elements; those whose effect is beyond ERRORS sd, in an additive run; for each element
        DRAWS regions of its length at random places of the same window outside the promoter; and for each element DRAWS
        of the window's peaks outside the promoter, at random. Keys: set; elements; genes; in_peaks, share that overlap
        a peak; linkable, number whose gene has links at all; linked, share of those that overlap a link of their gene.
        None for a share of nothing.
    """
    table = run.elements
    table = table[(table["class"] != PROMOTER_CLASS) & table["gene_id"].isin(genes)].reset_index(drop=True)
    sets = {"elements": table}
    if table["effect_sd"].notna().any():
        sets["elements beyond 2 sd"] = table[table["effect"].abs() >= ERRORS * table["effect_sd"]]
    rng = np.random.default_rng(0)
    sets["random regions"] = pd.DataFrame(_random_regions(table, run, rng), columns=list(_REGION))
    sets["random peaks"] = pd.DataFrame(_random_peaks(table, run, peaks, rng), columns=list(_REGION))
    return [{"set": name, **_shares(part.reset_index(drop=True), peaks, links)} for name, part in sets.items()]


_REGION = ("chrom", "start", "end", "gene_id", "symbol")


def _shares(regions: pd.DataFrame, peaks: pd.DataFrame, links: Rival) -> dict[str, Any]:
    scores, linked = rival_scores(regions.assign(gene=regions["symbol"], gene_id=""), links)
    known = np.isfinite(scores)
    return {
        "elements": len(regions),
        "genes": int(regions["gene_id"].nunique()),
        "in_peaks": float(overlaps(regions, peaks).mean()) if len(regions) else None,
        "linkable": int(known.sum()),
        "linked": float(linked[known].mean()) if known.any() else None,
    }


def _random_regions(table: pd.DataFrame, run: Run, rng: np.random.Generator) -> Iterator[tuple]:
    """Yield DRAWS regions for each element, of its length, wholly of bases that the model decides."""
    for gene, elements in table.groupby("gene_id"):
        mask = run.mask(gene)
        for element in elements.itertuples():
            length = element.end - element.start
            places = free_places(mask, length)
            for first in rng.choice(places, DRAWS) if len(places) else ():
                yield element.chrom, int(first), int(first) + length, element.gene_id, element.symbol


def free_places(mask: GeneMask, length: int) -> np.ndarray:
    """Return the first bases of all regions of `length` bp, wholly of bases that the model decides, int64."""
    learned = np.repeat(mask.learned, mask.resolution)
    before = np.concatenate([[0], np.cumsum(learned)])
    return mask.start + np.flatnonzero(before[length:] - before[:-length] == length)


def _random_peaks(table: pd.DataFrame, run: Run, peaks: pd.DataFrame, rng: np.random.Generator) -> Iterator[tuple]:
    """Yield DRAWS peaks for each element, of those in its window that touch no base of the promoter."""
    bounds = peaks[["chrom", "start", "end"]].drop_duplicates()  # one line for each sub-summit
    for gene, elements in table.groupby("gene_id"):
        mask = run.mask(gene)
        here = bounds[(bounds["chrom"] == mask.chrom) & (bounds["start"] >= mask.start) & (bounds["end"] <= mask.end)]
        first = (here["start"] - mask.start) // mask.resolution
        last = -(-(here["end"] - mask.start) // mask.resolution)
        free = [mask.learned[a:b].all() for a, b in zip(first, last, strict=True)]
        here = here[np.array(free, bool)]
        symbol = elements["symbol"].iloc[0]
        for row in rng.integers(0, len(here), DRAWS * len(elements)) if len(here) else ():
            yield *here.iloc[row], gene, symbol
