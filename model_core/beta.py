"""Beta distribution of z for each base: parameters, mean, standard deviation and range; and forced bases.

The formulas take arrays and tensors alike, and torch is not imported. The standard deviation is that of z under the
model's Beta, which the model's priors set; it is not a calibrated confidence. Under the logit head, where alpha + beta
is fixed, it follows from the mean.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from model_core.bins import half_covered
from model_core.window import promoter_slice

Numbers: TypeAlias = Any  # a NumPy array or a tensor: these functions use operators alone

EPSILON = 1e-8  # added to alpha, as in the release
LEARNED, BLACKLISTED, PROMOTER = -1, 0, 1  # the values of a `forced` array
_LOWEST, _HIGHEST, _STEPS = 5e-5, 7e4, 384  # range of the drawing table; holds all that float16 stores


def signal_parameters(
    signals: Numbers, w: Numbers, b: Numbers, beta_min: float, scale: float | Numbers
) -> tuple[Numbers, Numbers]:
    """Return (alpha2, beta2) of the signals' Beta, without any learned part (Su et al., section 3; the release).

    alpha2 = sum_i w_i ((s_i + beta_min) scale + epsilon),  beta2 = sum_i w_i (b_i + beta_min) scale

    Parameters
    ----------
    signals : array or tensor
        (..., S), transformed, as the model reads them.
    w, b : array or tensor
        (S,), the prior of each signal.
    beta_min : float
        Setting of the model.
    scale : float, array or tensor
        Setting of the model, or a learned scalar.

    Returns
    -------
    alpha2 : array or tensor
        (...,).
    beta2 : array or tensor
        Scalar.
    """
    alpha = (((signals + beta_min) * scale + EPSILON) * w).sum(-1)
    return alpha, ((b + beta_min) * scale * w).sum()


def beta_mean(alpha: Numbers, beta: Numbers) -> Numbers:
    """Return E[z] = alpha / (alpha + beta): array of the inputs' shape, 0 to 1."""
    return alpha / (alpha + beta)


def beta_sd(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return the standard deviation of z ~ Beta(alpha, beta): sqrt(m (1 - m) / (alpha + beta + 1)), m = E[z]."""
    total = alpha + beta
    mean = alpha / total
    return np.sqrt(mean * (1 - mean) / (total + 1))


def beta_interval(alpha: np.ndarray, beta: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact central `level` range of z: (low, high), float64 arrays of the inputs' shape.

    The inverse of the regularised incomplete beta function (Boost, through SciPy); about 0.5 s for 200,000
    bases.
    """
    from scipy.special import betaincinv

    alpha, beta = np.asarray(alpha, np.float64), np.asarray(beta, np.float64)
    tail = (1 - _checked(level)) / 2
    return betaincinv(alpha, beta, tail), betaincinv(alpha, beta, 1 - tail)


def beta_certainty(
    alpha: np.ndarray, beta: np.ndarray, threshold: float, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return where z lies above or below a threshold with a high probability under its Beta.

    Parameters
    ----------
    alpha, beta : ndarray
        Parameters of the Beta, above 0, of any one shape.
    threshold : float
        0 to 1; at 0 every z lies above it.
    level : float
        Probability that has to be exceeded, between 0 and 1.

    Returns
    -------
    above, below : ndarray
        bool, of the inputs' shape: P(z >= threshold) > `level`, and P(z < threshold) > `level`.
    """
    from scipy.special import betainc, betaincc

    _checked(level)
    alpha, beta = np.asarray(alpha, np.float64), np.asarray(beta, np.float64)
    return betaincc(alpha, beta, threshold) > level, betainc(alpha, beta, threshold) > level


def beta_interval_for_drawing(
    alpha: np.ndarray, beta: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the central `level` range of z from a table: (low, high), float32 arrays of the inputs' shape.

    Bilinear in (log alpha, log beta); within 0.001 of `beta_interval` wherever alpha or beta is at least 0.5,
    and about twenty times faster. Where both are far below that, z is 0 or 1 and the edge of its range is a step.
    """
    from scipy.ndimage import map_coordinates

    low, high = _quantile_tables(_checked(level))
    step = np.log(_HIGHEST / _LOWEST) / (_STEPS - 1)
    places = np.stack([np.log(np.clip(x, _LOWEST, _HIGHEST) / _LOWEST) / step for x in (alpha, beta)])
    drawn = {"output": np.float32, "order": 1, "mode": "nearest"}
    return map_coordinates(low, places, **drawn), map_coordinates(high, places, **drawn)


@lru_cache(maxsize=4)
def _quantile_tables(level: float) -> tuple[np.ndarray, np.ndarray]:
    grid = np.geomspace(_LOWEST, _HIGHEST, _STEPS)
    return beta_interval(grid[:, None], grid[None, :], level)


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level {level}: expected a share between 0 and 1, such as 0.95")
    return level


def promoter_bases(window: int, promoter: int) -> np.ndarray:
    """Return the central `promoter` bases of a window of `window` bases: bool array (window,)."""
    bases = np.zeros(window, bool)
    bases[promoter_slice(window, promoter)] = True
    return bases


def force(values: Numbers, promoter: Numbers, blacklist: Numbers) -> Numbers:
    """Return `values` with 0 on the blacklist and 1 on the promoter; a base of both counts as promoter.

    Parameters
    ----------
    values : array or tensor
        (..., L), numbers; those of forced bases are lost, with their gradient.
    promoter, blacklist : array or tensor
        (..., L), bool.
    """
    return values * ~(promoter | blacklist) + promoter


def forced_state(promoter: np.ndarray, blacklist: np.ndarray, resolution: int = 1) -> np.ndarray:
    """Return which bins the model did not decide: int8 (n / resolution,) of LEARNED, BLACKLISTED or PROMOTER.

    A bin of `resolution` bases is forced where at least half of its bases are (`force`).

    Parameters
    ----------
    promoter, blacklist : ndarray
        bool (n,); n is a multiple of `resolution`.
    resolution : int
        Bases per bin.
    """
    of_promoter, of_blacklist = (half_covered(x, resolution) for x in (promoter, blacklist))
    return force(np.full(len(of_promoter), LEARNED, np.int8), of_promoter, of_blacklist)


def kept_fraction(mask: np.ndarray, state: np.ndarray) -> float:
    """Return the share of the window that the model keeps, 0 to 1: mean of `mask` where `state` is LEARNED.

    NaN where no bin is learned. For a soft mask this is its mean, for a hard mask (0 and 1) the share of ones.
    """
    learned = mask[state == LEARNED]
    return float(learned.mean(dtype=np.float64)) if learned.size else float("nan")
