"""How strongly an element acts on a gene, and in which direction it moves the gene's expression. No torch."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

RAISES, LOWERS, CANNOT_TELL = "raises", "lowers", "cannot be told"
ERRORS = 2.0  # sd that an effect must lie from 0 before its direction is named
SMALLEST = 0.02  # effect from which it is named, in the label's unit: a factor of 1.05 of CAGE + 1 under log10


def element_gene_score(effect: ArrayLike, knock_out: ArrayLike, contact: ArrayLike) -> np.ndarray:
    """Return the element-gene score of elements (activity by contact), 0 or more; NaN where it is not known.

    It is the size of the stored effect where there is one, because that holds the contact already; else the size of
    the knock-out effect times the contact, where both are known.

    Parameters
    ----------
    effect : array-like
        Float, column `effect` of elements; NaN in a run whose model is not additive.
    knock_out : array-like
        Float, effect of switching each element off (`Run.effects`), in the label's unit; NaN where none was computed.
    contact : array-like
        Float, column `contact` of elements, 0 to 1; NaN where the run stores none.

    Returns
    -------
    ndarray
        float64, of the arguments' common shape.
    """
    stored, computed, share = (np.asarray(x, np.float64) for x in (effect, knock_out, contact))
    return np.where(np.isnan(stored), np.abs(computed) * share, np.abs(stored))


def direction(effect: float, effect_sd: float) -> str:
    """Return "raises", "lowers", or "cannot be told", or "" where no error is known.

    It cannot be told of an effect of less than ERRORS sd, or of less than SMALLEST: the members share what they read,
    and agree on small effects of places that have none.

    Parameters
    ----------
    effect : float
        Of a region on a gene, in the label's unit; NaN where it is not known.
    effect_sd : float
        Its standard deviation over the members; NaN with one member, which has no error and so no direction.
    """
    if math.isnan(effect) or math.isnan(effect_sd):
        return ""
    if abs(effect) < max(SMALLEST, ERRORS * effect_sd):
        return CANNOT_TELL
    return RAISES if effect > 0 else LOWERS
