"""The mask a Seq2Exp model would give if its sequence part said nothing: the control beside every mask."""

from __future__ import annotations

import numpy as np

from model_core.config import Seq2ExpConfig


def prior_mean(signals: np.ndarray, config: Seq2ExpConfig) -> np.ndarray:
    """alpha2 / (alpha2 + beta2) of `model_core.mask.signal_beta`, in NumPy, because the viewer has no torch.

    Args:
        signals: float32 (L, S), as the model sees them; S as in `config`.

    Returns:
        float32 (L,), 0 to 1.
    """
    w, b = np.asarray(config.prior_w, np.float64), np.asarray(config.prior_b, np.float64)
    alpha = (signals.astype(np.float64) + config.beta_min) @ w
    beta = float((b + config.beta_min) @ w)
    return (alpha / np.maximum(alpha + beta, 1e-12)).astype(np.float32)
