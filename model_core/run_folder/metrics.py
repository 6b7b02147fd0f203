"""Quality of predictions: errors, and correlations with their intervals."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

Metrics: TypeAlias = dict[str, int | float | list[float] | None]


def prediction_metrics(observed: np.ndarray, predicted: np.ndarray) -> Metrics:
    """Compute MSE, MAE, Pearson with its 95 % interval, and Spearman of one set of genes.

    Parameters
    ----------
    observed, predicted : ndarray
        Float (n,), in the label's unit, log10(CAGE + 1) in the paper; pairs with a NaN are left out.

    Returns
    -------
    dict[str, int or float or list[float] or None]
        {"genes", "mse", "mae", "pearson", "pearson_95": [low, high], "spearman"}; correlations are None where they do
        not exist (fewer than 3 genes, or a constant). The interval is Fisher's transformation; None below 4 genes.
    """
    known = np.isfinite(observed) & np.isfinite(predicted)
    y, p = np.asarray(observed, float)[known], np.asarray(predicted, float)[known]
    n = len(y)
    result: Metrics = {"genes": n, "mse": None, "mae": None, "pearson": None, "pearson_95": None, "spearman": None}
    if n:
        result |= {"mse": float(np.mean((y - p) ** 2)), "mae": float(np.mean(np.abs(y - p)))}
    if n >= 3 and np.ptp(y) > 0 and np.ptp(p) > 0:
        from scipy import stats  # takes long to import, which a run without measured genes need not wait for

        r = float(np.corrcoef(y, p)[0, 1])
        result |= {"pearson": r, "spearman": float(stats.spearmanr(y, p).statistic)}
        if n >= 4 and abs(r) < 1:
            half = 1.959964 / np.sqrt(n - 3)
            result["pearson_95"] = [float(np.tanh(np.arctanh(r) + side * half)) for side in (-1, 1)]
    return result
