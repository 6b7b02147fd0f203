"""Sliding occlusion of the unmasked predictor: an attribution without the mask, for comparison with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from model_core.errors import InputError
from model_core.perturbation.what_if import Edit, WhatIf
from model_core.run_folder.occlusion import Occlusion

BLOCK, STEP = 128, 64  # bp


def occluded_blocks(length: int, block: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the blocks within 0 ... length, left to right; block / step of them cover each bin."""
    for start in range(step - block, length, step):
        yield max(start, 0), min(start + block, length)


def check_blocks(block: int, step: int) -> None:
    """Raise InputError unless the step divides the block."""
    if step < 1 or block < step or block % step:
        found = f"blocks of {block} bp every {step} bp"
        raise InputError("occlusion", found=found, expected="a step that divides the block", fix="choose other values")


def count_blocks(length: int, block: int = BLOCK, step: int = STEP) -> int:
    """Return the number of predictions that `occlude` makes for a window of `length` bp."""
    return sum(1 for _ in occluded_blocks(length, block, step)) + 1


def occlude(what_if: WhatIf, gene_id: str, checkpoint: str, block: int = BLOCK, step: int = STEP) -> Occlusion:
    """Compute the occlusion track of a gene: everything but the blacklist is kept, and each block in turn hidden.

    Parameters
    ----------
    what_if : WhatIf
        The gene.
    gene_id : str
        Its id, stored with the track.
    checkpoint : str
        sha256 of the model, stored with the track.
    block, step : int
        Length of the blocks and distance between their starts, in bp; the step must divide the block.

    Raises
    ------
    InputError
        The step does not divide the block.
    """
    check_blocks(block, step)
    window, base = what_if.window, what_if.everything
    whole = float(what_if.predicted(base[None])[0])
    blocks = [(start + window.start, end + window.start) for start, end in occluded_blocks(window.length, block, step)]
    by_block = whole - what_if.under((Edit(off=(region,)) for region in blocks), base)
    over = block // step  # bin i lies under blocks i ... i + over - 1
    bins = -(-window.length // step)
    sums = np.concatenate(([0.0], np.cumsum(by_block, dtype=np.float64)))
    effects = (sums[over : over + bins] - sums[:bins]) / over
    forced = np.pad(what_if.promoter | what_if.hidden, (0, bins * step - window.length), constant_values=True)
    effects[forced.reshape(bins, step).all(axis=1)] = np.nan
    return Occlusion(
        *(gene_id, window.chrom, window.start, window.length, block, step),
        effects=effects.astype(np.float32),
        predicted=whole,
        checkpoint=checkpoint,
    )
