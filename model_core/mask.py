"""The learned mask: for each base a Beta distribution of z, how far the base is kept for this gene.

Every formula of the mask stands here once (Su et al., ICLR 2025, section 3, with the released code's constants). The
same mean and range in numpy, for runs on disk, are in `model_core.posterior`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Beta, kl_divergence

from model_core.config import Seq2ExpConfig

EPSILON = 1e-8


class BetaParameters(NamedTuple):
    """alpha and beta of one Beta distribution per base, each (batch, length), positive."""

    alpha: Tensor
    beta: Tensor

    @property
    def mean(self) -> Tensor:
        """E[z] = alpha / (alpha + beta), (batch, length), 0-1."""
        return self.alpha / (self.alpha + self.beta)


def sequence_beta(logits: Tensor, config: Seq2ExpConfig) -> BetaParameters:
    """What the sequence says: alpha1, beta1 = softplus(logit) + beta_min + epsilon.

    Args:
        logits: (batch, length, 2); [..., 1] feeds alpha, [..., 0] feeds beta.
    """
    positive = F.softplus(logits) + (config.beta_min + EPSILON)
    return BetaParameters(positive[..., 1], positive[..., 0])


def signal_beta(signals: Tensor, config: Seq2ExpConfig) -> BetaParameters:
    """What the signals say, without any learned part (i runs over the signals).

    alpha2 = sum_i w_i ((s_i + beta_min) prior_scale + epsilon),  beta2 = sum_i w_i (b_i + beta_min) prior_scale

    Args:
        signals: (batch, length, signals), as the model sees them.
    """
    w = signals.new_tensor(config.prior_w)
    b = signals.new_tensor(config.prior_b)
    alpha = (((signals + config.beta_min) * config.prior_scale + EPSILON) * w).sum(-1)
    beta = ((b + config.beta_min) * config.prior_scale * w).sum()
    return BetaParameters(alpha, beta.expand_as(alpha))


def posterior(sequence: BetaParameters, signal: BetaParameters, config: Seq2ExpConfig) -> BetaParameters:
    """The Beta of z: alpha = (alpha1 + alpha2) z_scale, and beta likewise (difference 1: no -1 for the product)."""
    return BetaParameters(
        (sequence.alpha + signal.alpha) * config.z_scale, (sequence.beta + signal.beta) * config.z_scale
    )


def force(z: Tensor, blacklist: Tensor | None, promoter: slice) -> Tensor:
    """z with 0 on the blacklist, then 1 on the promoter: a blacklisted promoter is kept.

    Args:
        z: (batch, length).
        blacklist: (batch, length) bool, or None.
        promoter: positions of the promoter in the window.
    """
    if blacklist is not None:
        z = z.masked_fill(blacklist, 0.0)
    inside = torch.zeros(z.shape[1], dtype=torch.bool, device=z.device)
    inside[promoter] = True
    return z.masked_fill(inside, 1.0)


def harden(z: Tensor, threshold: float) -> Tensor:
    """1 where z >= threshold, else 0, with the gradient of z itself (straight-through)."""
    hard = (z >= threshold).to(z.dtype)
    return hard + z - z.detach() if z.requires_grad else hard


def kl_to_marginal(z: BetaParameters, config: Seq2ExpConfig) -> Tensor:
    """Mean over all bases of KL( Beta(alpha, beta) || Beta(s, s (1 - mu) / mu) ), a scalar."""
    s, mu = config.kl_scale, config.kl_mu
    marginal = Beta(z.alpha.new_tensor(s), z.alpha.new_tensor(s * (1 - mu) / mu), validate_args=False)
    return kl_divergence(Beta(z.alpha, z.beta, validate_args=False), marginal).mean()


def draw(z: BetaParameters) -> Tensor:
    """One reparameterised sample of z, (batch, length)."""
    return Beta(z.alpha, z.beta, validate_args=False).rsample()
