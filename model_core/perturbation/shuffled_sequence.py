"""Effects of shuffled sequence in the place of an element: what bases of this composition do under these signals."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from model_core.dinucleotide_shuffle import codes_of, one_hot_of, shuffled
from model_core.perturbation.knockout import summary
from model_core.perturbation.what_if import Edit, WhatIf
from model_core.run_folder.effects import control_rank


def shuffled_effects(what_if: WhatIf, region: tuple[int, int], count: int, seed: str) -> np.ndarray:
    """Return the effects of `count` shuffled copies of a region's bases in its place, float32 (count,).

    A copy has the dinucleotides of the region and keeps its first, last and unknown bases. With the copy in place the
    mask is generated anew; signals and gene features are kept. The effect of the copy is defined as that of an element:
    the prediction with this mask minus the prediction with the region switched off.

    Parameters
    ----------
    what_if : WhatIf
        The gene.
    region : tuple[int, int]
        (start, end) on the chromosome, 0-based half-open, inside the window.
    count : int
        Number of copies.
    seed : str
        Random seed, such as the gene's id; another region gets other copies.
    """
    start, end = (place - what_if.window.start for place in region)
    rng = np.random.default_rng([zlib.crc32(seed.encode()), start, end])
    codes = codes_of(what_if.bases[start:end])
    found = np.zeros(count, np.float32)
    for number in range(count):
        bases = what_if.bases.copy()
        bases[start:end] = one_hot_of(shuffled(codes, rng))
        copy = what_if.with_bases(bases)
        kept, off = copy.predicted(np.stack([copy.mask, copy.edited(Edit(off=(region,)))]))
        found[number] = kept - off
    return found


def shuffled_rows(what_if: WhatIf, rows: Sequence[Sequence], count: int, seed: str) -> list[list]:
    """Return the values of `model_core.run_folder.effects.SHUFFLE_ROW` for each row of `knock_out`.

    The rank counts the copies whose effect is at least as large as that of the element, both without sign.

    Parameters
    ----------
    what_if : WhatIf
        The gene.
    rows : Sequence[Sequence]
        Rows of `knock_out`.
    count : int
        Copies per element.
    seed : str
        As in `shuffled_effects`.
    """
    found = []
    for _, start, end, effect, *_ in rows:
        effects = shuffled_effects(what_if, (start, end), count, seed)
        found.append([*summary(effects), control_rank(effect, effects)])
    return found
