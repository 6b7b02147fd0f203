"""Why bases are kept: the two components of a mask, and on which side of the threshold each Beta lies."""

from __future__ import annotations

from model_core.beta import beta_certainty
from model_core.bins import bin_means, rounded, view_grid
from model_core.errors import InputError, Unavailable
from model_core.evaluation.mask_components import MaskParts, learned_numbers, mask_parts, needs_checkpoint
from model_core.run_folder.run_weights import weights_of
from seq2exp_viz.runs.binning import DIGITS
from seq2exp_viz.runs.run_view import RunView

LEVEL = 0.95  # probability that z lies on one side of the threshold


def unavailable_reason(view: RunView) -> str | None:
    """Return why the masks of a run cannot be split into components, as a sentence; None where they can."""
    if view.prior_config is None:
        return "The signals of this run are not on this machine, so their component of the mask cannot be computed."
    kind = view.prior_config.mask.kind
    if kind != "learned":
        return f"The mask of this run is the control “{kind}”, which was not learned."
    if view.prior_config.mask.head == "effect":
        return "The mask of this run is the effect of each base on the gene, which is no sum of components."
    if needs_checkpoint(view.prior_config):
        if view.run.manifest["resolution"] > 1:
            return "The masks of this run are stored in bins of several bases, which cannot be split into components."
        try:
            learned_numbers(weights_of(view.run)[0], view.prior_config)
        except InputError as problem:
            return f"The trained weight of the signals could not be read: {problem}"
    return None


def parts(view: RunView, gene: str) -> MaskParts:
    """Return the two components of a gene's mask, cached.

    Raises
    ------
    Unavailable
        The mask cannot be split, for the reason that `unavailable_reason` gives.
    """
    reason = unavailable_reason(view)
    if reason is not None:
        raise Unavailable(reason)
    mask, config = view.run.mask(gene), view.settings

    def make() -> MaskParts:
        learned = learned_numbers(weights_of(view.run)[0], config) if needs_checkpoint(config) else None
        return mask_parts(mask, view.model_signals(gene), config, learned)

    return view.remember(("parts", gene), make)


def certainty_summary(view: RunView, gene: str, threshold: float, start: int, end: int, bins: int) -> dict:
    """Return, per bin, the shares of learned bases whose z almost surely lies above or below the threshold.

    Parameters
    ----------
    view : RunView
        The run.
    gene : str
        gene_id.
    threshold : float
        0 to 1.
    start, end : int
        Region, 0-based half-open.
    bins : int
        Largest number of bins.

    Returns
    -------
    dict
        chrom, start, end, bin (bp), level, threshold, and equally long lists kept (P(z >= threshold) > LEVEL) and
        hidden (P(z < threshold) > LEVEL), 0 to 1; None in a bin without a learned base. The z of all other bases may
        lie on either side.

    Raises
    ------
    Unavailable
        The model fixes alpha + beta, so the answer would follow from the mean alone.
    """
    if view.run.band != "beta":
        raise Unavailable("This model fixes alpha + beta of each base: the sd of z follows from its mean alone.")
    mask = view.run.mask(gene)
    kept, hidden = view.remember(
        ("certainty", gene, threshold), lambda: beta_certainty(mask.alpha, mask.beta, threshold, LEVEL)
    )
    grid = view_grid(mask.start, len(mask.alpha), start, end, bins, mask.resolution)
    learned = mask.learned[grid.part]
    shares = {
        name: rounded(bin_means(state[grid.part], grid.size, learned), DIGITS)
        for name, state in (("kept", kept), ("hidden", hidden))
    }
    place = {"chrom": mask.chrom, "start": grid.start, "end": grid.end, "bin": grid.width}
    return {**place, "level": LEVEL, "threshold": threshold, **shares}
