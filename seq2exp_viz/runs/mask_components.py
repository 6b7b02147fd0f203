"""Why bases are kept, for an open run: the mask's two parts, and on which side of the threshold each Beta lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_core.beta import beta_certainty
from model_core.errors import InputError, Unavailable
from model_core.evaluation.mask_components import MaskParts, learned_numbers, mask_parts, needs_checkpoint
from seq2exp_viz.runs.binning import bin_width
from seq2exp_viz.runs.run_view import RunView

LEVEL = 0.95  # share of z that has to lie on one side of the threshold


def why_not(view: RunView) -> str | None:
    """Why this run's masks cannot be split, in words for the page; None where they can."""
    if view.prior_config is None:
        return "Its signals are not on this machine, so their part of the mask cannot be computed."
    if view.prior_config.mask != "learned":
        return f"This run's mask is the control “{view.prior_config.mask}”: nothing in it was learned."
    if needs_checkpoint(view.prior_config):
        if view.run.manifest["resolution"] > 1:
            return "The masks of this run are stored in bins of several bases: they cannot be split."
        try:
            learned_numbers(_checkpoint(view), view.prior_config)
        except InputError as problem:
            return f"The trained weight of the signals could not be read: {problem}"
    return None


def _checkpoint(view: RunView) -> Path:
    """The run's checkpoint; where it is not on this machine, the place in the run folder where it is looked for."""
    return view.run.checkpoint or view.run.path / "checkpoint.safetensors"


def parts(view: RunView, gene: str) -> MaskParts:
    """The two parts of a gene's mask, remembered.

    Raises InputError, in the words of `why_not`, where they cannot be had.
    """
    reason = why_not(view)
    if reason is not None:
        raise Unavailable(reason)
    mask, config = view.mask(gene), view.prior_config

    def make() -> MaskParts:
        learned = learned_numbers(_checkpoint(view), config) if needs_checkpoint(config) else None
        return mask_parts(mask, view.model_signals(gene), config, learned)

    return view.remember(("parts", gene), make)


def certainty_summary(view: RunView, gene: str, threshold: float, start: int, end: int, bins: int) -> dict:
    """Shares of the learned bases whose z lies above the threshold, and below it, by LEVEL, in at most `bins` bins.

    Returns
    -------
    dict
        Chrom, start, end, bin (bp), level, threshold, and equally long lists kept (P(z >= threshold) > LEVEL) and
        hidden (P(z < threshold) > LEVEL), 0 to 1; None in a bin without a learned base. The rest has z on both sides.

    Raises
    ------
    InputError
        The model fixes alpha + beta, so that this would follow from the mean alone.
    """
    if view.run.band != "beta":
        raise Unavailable("This model fixes alpha + beta of each base: how z is spread follows from its mean alone.")
    mask = view.mask(gene)
    kept, hidden = view.remember(
        ("certainty", gene, threshold), lambda: beta_certainty(mask.alpha, mask.beta, threshold, LEVEL)
    )
    start, end = max(start, mask.start), min(end, mask.end)
    answer = {"chrom": mask.chrom, "start": start, "end": max(start, end), "bin": 1, "level": LEVEL}
    answer["threshold"] = threshold
    if start >= end:
        return {**answer, "kept": [], "hidden": []}
    width = bin_width(end - start, bins, mask.resolution)
    size = width // mask.resolution
    first, stop = (start - mask.start) // width, -(-(end - mask.start) // width)
    take = slice(first * size, min(stop * size, len(mask.alpha)))
    learned = mask.learned[take]
    edges = np.arange(0, len(learned), size)
    counts = np.add.reduceat(learned.astype(np.int64), edges)
    answer |= {"start": mask.start + first * width, "end": mask.start + take.stop * mask.resolution, "bin": width}
    for name, state in (("kept", kept), ("hidden", hidden)):
        sums = np.add.reduceat((state[take] & learned).astype(np.int64), edges)
        answer[name] = [round(x / n, 4) if n else None for x, n in zip(sums.tolist(), counts.tolist(), strict=True)]
    return answer
