"""Scores of tested elements that need no model: of a table's own columns and of the distance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from model_core.beta import beta_mean, signal_parameters
from model_core.evaluation.resampling import average_precision
from model_core.setting_groups import PriorConfig
from model_core.signals.hic import PowerLaw, log_contact

NEARNESS, ACTIVITY, ACTIVITY_NEARNESS = "1/distance", "activity", "activity/distance"
PRIOR = "signal prior at element level"
NO_SIGNALS = "the table has no columns H3K27ac.RPM and DHS.RPM"
# The unit of a table's values (reads per million in an element) is not that of the signals that the published constants
# are for, so the prior is formed with each of these factors on its inputs.
SIGNAL_FACTORS = tuple(float(f"{10**power:.3g}") for power in np.arange(-2, 2.1, 0.5))
CONTACT_FACTORS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)


def activity_scores(pairs: pd.DataFrame) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the scores of distance and activity, and ABC where the table has it.

    Parameters
    ----------
    pairs : DataFrame
        distance (bp); h3k27ac, dnase, abc where the table has them.

    Returns
    -------
    scores : dict[str, ndarray]
        float64 (pairs,) by name; NaN where a value is missing. Activity is the root of H3K27ac x DNase.
    missing : dict[str, str]
        Score -> reason why it is missing.
    """
    nearness = 1 / np.maximum(pairs["distance"].to_numpy(float), 1)
    scores, missing = {NEARNESS: nearness}, {}
    if _has_signals(pairs):
        activity = np.sqrt(pairs["h3k27ac"].clip(lower=0) * pairs["dnase"].clip(lower=0)).to_numpy(float)
        scores |= {ACTIVITY: activity, ACTIVITY_NEARNESS: activity * nearness}
    else:
        missing[f"{ACTIVITY}, {ACTIVITY_NEARNESS}"] = NO_SIGNALS
    if "abc" in pairs:
        scores["ABC"] = pairs["abc"].to_numpy(float)
    else:
        missing["ABC"] = "the table has no column ABC.Score"
    return scores, missing


def signal_scores(pairs: pd.DataFrame) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the table's signals and the prior that they give, as `activity_scores` does."""
    if not _has_signals(pairs):
        return {}, {f"DNase, H3K27ac, {PRIOR}": NO_SIGNALS}
    prior = element_prior(*_inputs(pairs))
    return {"DNase": pairs["dnase"].to_numpy(float), "H3K27ac": pairs["h3k27ac"].to_numpy(float), PRIOR: prior}, {}


def element_prior(
    h3k27ac: np.ndarray, dnase: np.ndarray, distance: np.ndarray, factors: Sequence[float] = (1.0, 1.0, 1.0)
) -> np.ndarray:
    """Compute the published signal prior of whole elements: the mask of the soft model without its sequence.

    Its constants are the published ones (`PriorConfig`), its contact the power law of the distance. The published soft
    mask is its prior in rank.

    Parameters
    ----------
    h3k27ac, dnase : ndarray
        float (n,), values of the elements, 0 or more.
    distance : ndarray
        float (n,), bp to the start site.
    factors : Sequence[float]
        Factors on H3K27ac, DNase and contact, for inputs in another unit.

    Returns
    -------
    ndarray
        float64 (n,), 0 to 1.
    """
    config, contact = PriorConfig(), PowerLaw().expected(distance) * factors[2]
    columns = (h3k27ac * factors[0], dnase * factors[1], log_contact(contact).astype(float))
    w, b = np.asarray(config.w), np.asarray(config.b)
    return beta_mean(*signal_parameters(np.stack(columns, axis=-1), w, b, config.beta_min, config.scale))


def prior_scales(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the AUPRC of the prior for each combination of SIGNAL_FACTORS and CONTACT_FACTORS.

    Parameters
    ----------
    pairs : DataFrame
        positive, distance, h3k27ac and dnase, without NaN.

    Returns
    -------
    DataFrame
        h3k27ac_factor, dnase_factor, contact_factor, auprc.
    """
    positive, inputs = pairs["positive"].to_numpy(bool), _inputs(pairs)
    rows = [
        (*factors, float(average_precision(positive, element_prior(*inputs, factors))[0]) if positive.any() else np.nan)
        for factors in product(SIGNAL_FACTORS, SIGNAL_FACTORS, CONTACT_FACTORS)
    ]
    return pd.DataFrame(rows, columns=["h3k27ac_factor", "dnase_factor", "contact_factor", "auprc"])


def _has_signals(pairs: pd.DataFrame) -> bool:
    return {"h3k27ac", "dnase"} <= set(pairs.columns)


def _inputs(pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    signals = (pairs[name].clip(lower=0).to_numpy(float) for name in ("h3k27ac", "dnase"))
    return *signals, pairs["distance"].to_numpy(float)
