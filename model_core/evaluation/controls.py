"""Rankings of a window's bases other than the mask, for comparison."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from model_core.beta import beta_mean, signal_parameters
from model_core.config import Seq2ExpConfig


def signal_prior(signals: np.ndarray, config: Seq2ExpConfig) -> np.ndarray:
    """Compute the mask of a model without a sequence component: alpha2 / (alpha2 + beta2).

    Parameters
    ----------
    signals : ndarray
        float32 (L, S), transformed, as the model reads them.
    config : Seq2ExpConfig
        The model's settings, with the priors of the S signals.

    Returns
    -------
    ndarray
        float32 (L,), 0 to 1.
    """
    w, b = np.asarray(config.prior.w, np.float64), np.asarray(config.prior.b, np.float64)
    alpha, beta = signal_parameters(signals.astype(np.float64), w, b, config.prior.beta_min, config.prior.scale)
    return beta_mean(alpha, beta).astype(np.float32)


def peak_scores(peaks: pd.DataFrame, chrom: str, start: int, end: int) -> np.ndarray:
    """Return the signal value of the strongest peak over each base, float32 (end - start,); 0 where there is none.

    Parameters
    ----------
    peaks : DataFrame
        Table of `model_core.bed.read_narrowpeak`; the score is used where no peak has a signal value.
    chrom : str
        The chromosome.
    start, end : int
        0-based half-open.
    """
    values = np.zeros(end - start, np.float32)
    strength = peaks["signal_value"] if (peaks["signal_value"] > 0).any() else peaks["score"]
    here = ((peaks["chrom"] == chrom) & (peaks["start"] < end) & (peaks["end"] > start)).to_numpy()
    columns = (peaks["start"].to_numpy()[here], peaks["end"].to_numpy()[here], strength.to_numpy()[here])
    for first, last, value in zip(*columns, strict=True):
        part = values[max(first, start) - start : min(last, end) - start]
        np.maximum(part, value, out=part)
    return values


def shifted(values: np.ndarray, learned: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate the learned bins' values by a random distance, as a control with the mask's values at random places.

    Parameters
    ----------
    values : ndarray
        float (bins,).
    learned : ndarray
        bool (bins,).
    rng : Generator
        Source of the distance.

    Returns
    -------
    ndarray
        (bins,), dtype of `values`; bins that are not learned are unchanged.
    """
    out = values.copy()
    inside = values[learned]
    out[learned] = np.roll(inside, rng.integers(1, max(2, len(inside))))
    return out


@lru_cache(maxsize=2)
def nearness(bins: int, resolution: int) -> np.ndarray:
    """Return 1 / distance in bp to the window's centre (the start site), float32 (bins,)."""
    centre = np.arange(bins) * resolution + (resolution - 1) / 2
    return (1 / np.maximum(np.abs(centre - bins * resolution // 2), 1)).astype(np.float32)
