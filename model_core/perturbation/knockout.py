"""How much each element of a gene matters, beside random stretches of the same window; the few that suffice."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.perturbation.what_if import Edit, WhatIf
from model_core.run_folder.effects import control_rank
from model_core.run_folder.elements import PROMOTER_CLASS

CONTROLS = 20  # random stretches for each class of lengths of a gene
SHARE = 0.9  # of the difference between all elements and none, that the smallest set keeps
NO_DIFFERENCE = 1e-6  # below it all elements together do nothing


class SmallestSet(NamedTuple):
    """The few elements of a gene that keep most of what all of them do.

    elements: names, in the order in which they were taken. share: of the difference that they keep; above 1 where
    elements that lower expression are left out. all_kept, none_kept: predicted with the mask as it is, and with every
    element switched off.
    """

    elements: list[str]
    share: float
    all_kept: float
    none_kept: float

    @property
    def difference(self) -> float:
        """What all elements do together."""
        return self.all_kept - self.none_kept


def length_class(length: int) -> int:
    """bp of the random stretches an element of `length` bp is compared with: a power of the square root of 2, at most
    19 % away."""
    return round(2 ** (round(2 * np.log2(length)) / 2))


def random_regions(
    allowed: np.ndarray, lengths: Sequence[int], count: int, seed: str
) -> list[tuple[tuple[int, int], ...]]:
    """`count` sets of stretches of the given lengths, each stretch anywhere inside the allowed bases; the same for the
    same seed.

    Parameters
    ----------
    allowed : ndarray
        Bool (L,).
    lengths : Sequence[int]
        bp of each stretch of a set.

    Returns
    -------
    list[tuple[tuple[int, int], ...]]
        Sets of (start, end) within 0 ... L; none where some length fits nowhere. No two stretches of one length are the
        same while there are as many places.
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
    """bool (L,): where controls may lie: no element, promoter or blacklist, and on the chromosome."""
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
    """The effect of switching off each element, beside that of random stretches of its length class.

    Parameters
    ----------
    elements : DataFrame
        Of the gene: name, start, end, class; the promoter is left out.
    sizes : Mapping[str, int]
        bp of each chromosome.
    seed : str
        The gene's id.
    controls : int
        Random stretches for each length class.
    arrived : callable
        Called with each row as soon as its effect is known, and again once it has its controls.

    Returns
    -------
    list[list]
        A list of model_core.run_folder.effects.ROW values for each element, in the table's order.
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
    """Predictions that `knock_out` makes, where controls find room."""
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
    """float32 (n,): effects of `count` random edits with stretches of the lengths `off` (bp) switched off and of the
    lengths `on` kept; n = 0 where they fit nowhere."""
    first, split = what_if.window.start, len(off)
    sets = [
        tuple((start + first, end + first) for start, end in regions)
        for regions in random_regions(free, [*off, *on], count, seed)
    ]
    return np.float32(what_if.baseline) - what_if.under(Edit(regions[:split], regions[split:]) for regions in sets)


def summary(controls: np.ndarray) -> tuple[int, float, float]:
    """(number, mean, standard deviation) of control effects; NaN where there are none (sd: fewer than two)."""
    n = len(controls)
    return n, float(controls.mean()) if n else np.nan, float(controls.std(ddof=1)) if n > 1 else np.nan


def smallest_set(what_if: WhatIf, elements: pd.DataFrame, share: float = SHARE) -> SmallestSet:
    """Elements that together keep `share` of the effect of all, taken one by one.

    With P(S) the prediction with only the elements S kept (the others switched off), the effect of all is
    P(all) - P(none). Beginning with none, the element that brings (P(S) - P(none)) / (P(all) - P(none)) highest is
    added, until that share is reached or all are in. Being greedy, it may miss a smaller set. Where all elements
    together do nothing the set is empty.
    """
    elements = elements[elements["class"] != PROMOTER_CLASS]
    regions = dict(zip(elements["name"], zip(elements["start"], elements["end"], strict=True), strict=True))
    everything = what_if.baseline
    nothing = float(what_if.under([Edit(off=tuple(regions.values()))])[0]) if regions else everything
    difference = everything - nothing
    chosen: list[str] = []
    if abs(difference) < NO_DIFFERENCE:
        return SmallestSet(chosen, 1.0, everything, nothing)
    reached = 0.0
    while reached < share and len(chosen) < len(regions):
        left = [name for name in regions if name not in chosen]
        kept = ({*chosen, name} for name in left)
        found = what_if.under(Edit(off=tuple(regions[n] for n in regions if n not in names)) for names in kept)
        shares = (found.astype(np.float64) - nothing) / difference
        best = int(np.argmax(shares))
        chosen.append(left[best])
        reached = float(shares[best])
    return SmallestSet(chosen, reached, everything, nothing)
