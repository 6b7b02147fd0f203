"""Components of a stored mask: the sequence component and the signal component of each base, without torch.

The store holds only the sum alpha = (alpha1 + alpha2) z_scale (`model_core.model.mask`). The signal component follows
from the study's signals and the settings; the sequence component is the remainder. Rounding of the store's float16 is
lost: where it could move the sequence component's mean by more than `TOLERANCE` that mean is NaN.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from model_core.beta import EPSILON, signal_parameters
from model_core.config import Seq2ExpConfig
from model_core.errors import InputError
from model_core.run_folder.mask_store import GeneMask
from model_core.safetensors_header import read_header

TOLERANCE = 0.05
_HALF_STEP = 2.0**-11  # of a float16, relative
_FLOOR, _CEILING = 6.2e-5, 65_000  # at or beyond these the store has clipped


class LearnedNumbers(NamedTuple):
    """Trained numbers of the signal component; None where the model has no such parameter.

    Attributes
    ----------
    prior_scale : float or None
        Scale of a learned prior.
    weight : ndarray or None
        float64 (S,), weights of the logit head's signal logit.
    bias : float or None
        Bias of the logit head's signal logit.
    """

    prior_scale: float | None = None
    weight: np.ndarray | None = None
    bias: float | None = None


class MaskParts(NamedTuple):
    """Components of the mask in each bin of a window; float32 (bins,), 0 to 1, NaN where forced or unknown.

    Attributes
    ----------
    network : ndarray
        Sequence component, from the generator (a hard model's generator reads the signals, too).
    signals : ndarray
        Signal component.
    signal_weight : float or None
        Share of the Beta's concentration that comes from the signals, mean over the learned bins; None for the logit
        head, which adds logits.
    """

    network: np.ndarray
    signals: np.ndarray
    signal_weight: float | None

    @property
    def difference(self) -> np.ndarray:
        """Difference network - signals, -1 to 1: above 0 the sequence component is larger than the signal component."""
        return self.network - self.signals


def needs_checkpoint(config: Seq2ExpConfig) -> bool:
    """Return whether the signal component has trained numbers."""
    return config.mask.head == "logit" or config.prior.learned


def learned_numbers(path: str | Path, config: Seq2ExpConfig) -> LearnedNumbers:
    """Read the trained numbers of the signal component from a checkpoint.safetensors; nothing else of it is read.

    Parameters
    ----------
    path : str or Path
        The checkpoint.
    config : Seq2ExpConfig
        The model's settings.

    Raises
    ------
    InputError
        The file or the package that reads it is missing, or it belongs to another model.
    """
    if not needs_checkpoint(config):
        return LearnedNumbers()
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        found, do = "no safetensors", "run `pip install 'seq2exp-viz[model]'`"
        raise InputError("this installation", found=found, expected="the extra `model`", fix=do) from None
    signals = len(config.signals)
    wanted = {"signal_logit.weight": (1, signals), "signal_logit.bias": (1,)}
    if config.mask.head != "logit":
        wanted = {"log_prior_scale": ()}
    stored = read_header(path).tensors
    for name, shape in wanted.items():
        if name not in stored or stored[name].shape != shape or stored[name].dtype not in ("F32", "F64"):
            found = f"{name} of shape {stored[name].shape}" if name in stored else f"no {name}"
            expected = f"the {shape} numbers of a model of {signals} signals"
            raise InputError(path, found=found, expected=expected, fix="give the checkpoint of this run")
    try:
        with safe_open(path, "np") as file:
            values = [file.get_tensor(name).astype(np.float64).ravel() for name in wanted]
    except (SafetensorError, OSError) as error:
        expected = "the checkpoint that this run was scored with"
        raise InputError(path, found=str(error), expected=expected, fix="copy it into the run folder") from None
    if config.mask.head == "logit":
        return LearnedNumbers(weight=values[0], bias=float(values[1][0]))
    return LearnedNumbers(prior_scale=float(np.exp(values[0][0])))


def mask_parts(
    mask: GeneMask, signals: np.ndarray, config: Seq2ExpConfig, learned: LearnedNumbers | None = None
) -> MaskParts:
    """Split a stored mask into its sequence and signal components.

    Parameters
    ----------
    mask : GeneMask
        Mask of a window of L bases.
    signals : ndarray
        float32 (L, S), transformed, as the model read them; S as in `config`.
    config : Seq2ExpConfig
        The model's settings.
    learned : LearnedNumbers or None
        Numbers of its checkpoint, required where `needs_checkpoint`.

    Returns
    -------
    MaskParts
        The components.

    Raises
    ------
    InputError
        The mask is a control, its bins are too coarse for the logit head, or a trained number is missing.
    """
    if config.mask.kind != "learned":
        found, do = f"the control {config.mask.kind!r} instead of a learned mask", "use a run of a trained model"
        raise InputError("why", found=found, expected="a mask with two components", fix=do)
    if config.mask.head == "effect":
        found, do = "a mask that is the effect of each base", "look at the effects of the run's elements"
        raise InputError("why", found=found, expected="a mask of two components", fix=do)
    if needs_checkpoint(config) and learned is None:
        raise InputError(
            "why", found="no trained numbers", expected="those of the checkpoint", fix="give the checkpoint"
        )
    split = _split_logit if config.mask.head == "logit" else _split_beta
    network, by_signals, weight = split(mask, signals.astype(np.float64), config, learned)
    hidden = [np.where(mask.learned, part, np.nan).astype(np.float32) for part in (network, by_signals)]
    return MaskParts(hidden[0], hidden[1], weight)


def _split_beta(mask: GeneMask, signals: np.ndarray, config: Seq2ExpConfig, learned: LearnedNumbers | None) -> tuple:
    scale = config.prior.scale if learned is None or learned.prior_scale is None else learned.prior_scale
    w, b = np.asarray(config.prior.w, np.float64), np.asarray(config.prior.b, np.float64)
    bins = len(mask.alpha)
    alpha2, beta2 = signal_parameters(signals, w, b, config.prior.beta_min, scale)
    alpha2, beta2 = alpha2.reshape(bins, -1).mean(axis=1), float(beta2)
    less = 1.0 if config.mask.beta_product_exact else 0.0
    stored = [values.astype(np.float64) / config.mask.z_scale for values in (mask.alpha, mask.beta)]
    least = config.prior.beta_min + EPSILON
    alpha1 = np.maximum(stored[0] + less - alpha2, least)
    beta1 = np.maximum(stored[1] + less - beta2, least)
    slack_a, slack_b = (values * _HALF_STEP for values in stored)
    low, high = (np.maximum(alpha1 + sign * slack_a, least) for sign in (-1, 1))
    network = alpha1 / np.maximum(alpha1 + beta1, 1e-300)
    most = high / np.maximum(high + np.maximum(beta1 - slack_b, least), 1e-300)
    fewest = low / np.maximum(low + beta1 + slack_b, 1e-300)
    known = (most - fewest <= 2 * TOLERANCE) & ~_clipped(mask)
    whole = stored[0] + stored[1]
    share = float(np.mean(((alpha2 + beta2) / whole)[mask.learned])) if mask.learned.any() else 0.0
    return np.where(known, network, np.nan), alpha2 / (alpha2 + beta2), min(1.0, share)


def _split_logit(mask: GeneMask, signals: np.ndarray, config: Seq2ExpConfig, learned: LearnedNumbers | None) -> tuple:
    if mask.resolution > 1:
        found, do = f"bins of {mask.resolution} bp", "score the gene at a resolution of 1 bp"
        expected = "bins of 1 bp, because a logit of means is not a mean of logits"
        raise InputError("why", found=found, expected=expected, fix=do)
    assert learned is not None
    assert learned.weight is not None
    by_signals = np.log1p(signals) @ learned.weight + learned.bias
    whole = logit(
        np.clip(mask.alpha.astype(np.float64) / (mask.alpha.astype(np.float64) + mask.beta), 1e-12, 1 - 1e-12)
    )
    return np.where(_clipped(mask), np.nan, expit(whole - by_signals)), expit(by_signals), None


def _clipped(mask: GeneMask) -> np.ndarray:
    lowest, highest = np.minimum(mask.alpha, mask.beta), np.maximum(mask.alpha, mask.beta)
    return (lowest <= _FLOOR) | (highest >= _CEILING)
