"""Effect of each element of a gene, compared with random control regions of the same window."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.perturbation.what_if import Edit, WhatIf
from model_core.run_folder.effects import control_rank
from model_core.run_folder.elements import PROMOTER_CLASS

CONTROLS = 20  # random control regions per length class of a gene
SHARE = 0.9  # share of the effect of all elements together that the smallest set retains
NO_EFFECT = 1e-6  # below it all elements together have no effect


class SmallestSet(NamedTuple):
    """The smallest set found of a gene's elements that retains most of the effect of all."""

    elements: list[str]  # names, in the order in which they were added
    share: float  # of the effect of all that they retain; above 1 where elements that lower expression are left out
    all_kept: float  # predicted expression with the mask as it is
    none_kept: float  # predicted expression with every element switched off

    @property
    def effect(self) -> float:
        """Effect of all elements together."""
        return self.all_kept - self.none_kept


def length_class(length: int) -> int:
    """Return the length in bp of the control regions for an element of `length` bp.

    It is a power of the square root of 2 and differs from `length` by at most 19 %.
    """
    return round(2 ** (round(2 * np.log2(length)) / 2))


def random_regions(
    allowed: np.ndarray, lengths: Sequence[int], count: int, seed: str
) -> list[tuple[tuple[int, int], ...]]:
    """Draw `count` sets of control regions of the given lengths, each at a random position inside the allowed bases.

    The same seed gives the same regions.

    Parameters
    ----------
    allowed : ndarray
        (L,) bool, where control regions may lie.
    lengths : Sequence[int]
        bp of each region of a set.
    count : int
        Number of sets.
    seed : str
        Random seed.

    Returns
    -------
    list[tuple[tuple[int, int], ...]]
        Sets of (start, end), 0-based half-open, relative to the window; empty if a length fits nowhere. Regions of
        one length are distinct if there are enough positions.
    """
    before = np.concatenate(([0], np.cumsum(allowed)))
    columns = []
    for number, length in enumerate(lengths):
        places = np.flatnonzero(before[length:] - before[:-length] == length)
        if not len(places):
            return []
        rng = np.random.default_rng([zlib.crc32(seed.encode()), number, length])
        starts = rng.choice(places, count, replace=len(places) < count)
        columns.append([(int(start), int(start) + length) for start in starts])
    return list(zip(*columns, strict=True))


def free_bases(what_if: WhatIf, elements: pd.DataFrame, sizes: Mapping[str, int]) -> np.ndarray:
    """Return where control regions may lie, (L,) bool: outside elements, promoter and blacklist, on the chromosome."""
    window = what_if.window
    places = np.arange(window.start, window.end)
    free = ~(what_if.promoter | what_if.hidden) & (places >= 0) & (places < sizes[window.chrom])
    for start, end in zip(elements["start"], elements["end"], strict=True):
        free[max(start - window.start, 0) : max(end - window.start, 0)] = False
    return free


def knock_out(
    what_if: WhatIf,
    elements: pd.DataFrame,
    sizes: Mapping[str, int],
    seed: str,
    controls: int = CONTROLS,
    arrived: Callable[[list], None] = lambda row: None,
) -> list[list]:
    """Compute the effect of switching off each element, compared with random control regions of its length class.

    Parameters
    ----------
    what_if : WhatIf
        The gene.
    elements : DataFrame
        The gene's elements: name, start, end, class; the promoter is left out.
    sizes : Mapping[str, int]
        bp of each chromosome.
    seed : str
        Random seed of the control regions: the gene's id.
    controls : int
        Control regions per length class.
    arrived : callable
        Called with each row as soon as its effect is known, and again with its controls.

    Returns
    -------
    list[list]
        The values of `model_core.run_folder.effects.ROW` per element, in the table's order.
    """
    elements = elements[elements["class"] != PROMOTER_CLASS]
    names, starts, ends = (elements[name].tolist() for name in ("name", "start", "end"))
    classes = [length_class(end - start) for start, end in zip(starts, ends, strict=True)]
    rows = []
    for place, effect in zip(zip(names, starts, ends, strict=True), _one_by_one(what_if, starts, ends), strict=True):
        rows.append([*place, effect, *summary(np.zeros(0)), None])
        arrived(rows[-1])
    free = free_bases(what_if, elements, sizes)
    for length in dict.fromkeys(classes):
        compared = control_effects(what_if, free, (length,), (), controls, seed)
        for number in (i for i, one in enumerate(classes) if one == length):
            effect = rows[number][3]
            rows[number] = [*rows[number][:4], *summary(compared), control_rank(effect, compared)]
            arrived(rows[number])
    return rows


def count_knock_outs(elements: pd.DataFrame, controls: int = CONTROLS) -> int:
    """Return the number of predictions that `knock_out` makes if all control regions fit."""
    elements = elements[elements["class"] != PROMOTER_CLASS]
    classes = {length_class(length) for length in (elements["end"] - elements["start"]).tolist()}
    return 1 + len(elements) + controls * len(classes)


def _one_by_one(what_if: WhatIf, starts: Sequence[int], ends: Sequence[int]) -> Iterator[float]:
    whole = what_if.baseline
    edits = (Edit(off=(region,)) for region in zip(starts, ends, strict=True))
    for predicted in what_if.arriving(edits):
        yield float(np.float32(whole) - np.float32(predicted))


def control_effects(
    what_if: WhatIf, free: np.ndarray, off: Sequence[int], on: Sequence[int], count: int, seed: str
) -> np.ndarray:
    """Return the effects of `count` random edits, float32 (n,); n = 0 if the regions fit nowhere.

    Each edit switches off regions of the lengths `off` (bp) and keeps regions of the lengths `on` (bp), all inside the
    bases `free` (`free_bases`).
    """
    first, split = what_if.window.start, len(off)
    sets = [
        tuple((start + first, end + first) for start, end in regions)
        for regions in random_regions(free, [*off, *on], count, seed)
    ]
    return np.float32(what_if.baseline) - what_if.under(Edit(regions[:split], regions[split:]) for regions in sets)


def summary(controls: np.ndarray) -> tuple[int, float, float]:
    """Return (number, mean, standard deviation) of control effects; NaN if there are none (sd: fewer than two)."""
    n = len(controls)
    return n, float(controls.mean()) if n else np.nan, float(controls.std(ddof=1)) if n > 1 else np.nan


def smallest_set(what_if: WhatIf, elements: pd.DataFrame, share: float = SHARE) -> SmallestSet:
    """Return elements that together retain `share` of the effect of all, added one by one.

    With P(S) the prediction with only the elements S kept (the others switched off), the effect of all is
    P(all) - P(none). Starting with none, the element that makes (P(S) - P(none)) / (P(all) - P(none)) largest is added,
    until this share is reached or all are included. The search is greedy and may miss a smaller set. If all elements
    together have no effect, the set is empty.
    """
    elements = elements[elements["class"] != PROMOTER_CLASS]
    regions = dict(zip(elements["name"], zip(elements["start"], elements["end"], strict=True), strict=True))
    everything = what_if.baseline
    nothing = float(what_if.under([Edit(off=tuple(regions.values()))])[0]) if regions else everything
    effect = everything - nothing
    chosen: list[str] = []
    if abs(effect) < NO_EFFECT:
        return SmallestSet(chosen, 1.0, everything, nothing)
    reached = 0.0
    while reached < share and len(chosen) < len(regions):
        left = [name for name in regions if name not in chosen]
        kept = ({*chosen, name} for name in left)
        found = what_if.under(Edit(off=tuple(regions[n] for n in regions if n not in names)) for names in kept)
        shares = (found.astype(np.float64) - nothing) / effect
        best = int(np.argmax(shares))
        chosen.append(left[best])
        reached = float(shares[best])
    return SmallestSet(chosen, reached, everything, nothing)
