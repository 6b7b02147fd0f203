"""The learned mask: for each base a Beta distribution of z, the degree (0 to 1) to which the base is kept.

Every formula of the mask is defined here once (Su et al., ICLR 2025, section 3, with the released code's constants).
The same mean and range in numpy, for runs on disk, are in `model_core.beta`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Beta, kl_divergence

from model_core import beta as beta_distribution
from model_core.beta import EPSILON, beta_mean, signal_parameters
from model_core.config import Seq2ExpConfig

TEMPERATURE = 0.5  # of the binary concrete sample
CONCENTRATION = 0.75  # alpha + beta of the logit head: the Beta of mean 1/2 then has the variance of that sample
_LEAST_VARIANCE = 1e-6  # of z over the members of an ensemble
_CONCENTRATIONS = (0.1, 1e4)  # alpha + beta that are stored of it
BLOCK_LENGTHS = (64, 512)  # bases of a random block


class BetaParameters(NamedTuple):
    """Parameters alpha and beta of one Beta distribution per base, each (batch, length), positive."""

    alpha: Tensor
    beta: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean E[z] = alpha / (alpha + beta), (batch, length), 0-1."""
        return beta_mean(self.alpha, self.beta)


def sequence_beta(logits: Tensor, config: Seq2ExpConfig) -> BetaParameters:
    """Return the sequence component: alpha1, beta1 = softplus(logit) + beta_min + epsilon.

    Parameters
    ----------
    logits : Tensor
        (batch, length, 2), outputs of the mask head; [..., 1] gives alpha1, [..., 0] gives beta1.
    config : Seq2ExpConfig
        Its `prior.beta_min` is the lower bound of both parameters.
    """
    positive = F.softplus(logits) + (config.prior.beta_min + EPSILON)
    return BetaParameters(positive[..., 1], positive[..., 0])


def signal_beta(signals: Tensor, config: Seq2ExpConfig, prior_scale: Tensor | float | None = None) -> BetaParameters:
    """Return the signal component alpha2, beta2, which has no learned part except an optional scale.

    The formula is `model_core.beta.signal_parameters`.

    Parameters
    ----------
    signals : Tensor
        (batch, length, signals), in the units that the model reads.
    config : Seq2ExpConfig
        Its `prior` holds w, b, beta_min and the scale.
    prior_scale : Tensor or float or None
        A learned scale in place of the settings' constant.
    """
    scale = config.prior.scale if prior_scale is None else prior_scale
    w = signals.new_tensor(config.prior.w)
    b = signals.new_tensor(config.prior.b)
    alpha, beta = signal_parameters(signals, w, b, config.prior.beta_min, scale)
    return BetaParameters(alpha, beta.expand_as(alpha))


def posterior(sequence: BetaParameters, signal: BetaParameters, config: Seq2ExpConfig) -> BetaParameters:
    """Return the Beta of z: alpha = (alpha1 + alpha2) z_scale, and beta likewise.

    The product of two Beta densities has parameters a1 + a2 - 1. The release omits the -1 (difference 1);
    `mask.beta_product_exact` includes it.
    """
    less = 1.0 if config.mask.beta_product_exact else 0.0
    sums = (sequence.alpha + signal.alpha - less, sequence.beta + signal.beta - less)
    return BetaParameters(*(total.clamp(min=EPSILON) * config.mask.z_scale for total in sums))


def beta_with_mean(mean: Tensor, sd: Tensor | None = None) -> BetaParameters:
    """Return the Beta of this mean (batch, length), 0-1, with a standard deviation or with that of the logit head.

    Parameters
    ----------
    mean : Tensor
        (batch, length), 0-1.
    sd : Tensor or None
        (batch, length); a mean of 0 or 1, and a spread beyond any Beta's, gets the nearest that there is. None for the
        concentration alpha + beta of the logit head.
    """
    total: Tensor | float = CONCENTRATION
    if sd is not None:
        total = (mean * (1 - mean) / sd.square().clamp(min=_LEAST_VARIANCE) - 1).clamp(*_CONCENTRATIONS)
    alpha, beta = total * mean, total * (1 - mean)
    return BetaParameters(alpha.clamp(min=EPSILON), beta.clamp(min=EPSILON))


def force(z: Tensor, blacklist: Tensor | None, promoter: slice) -> Tensor:
    """Return z with the blacklist and the promoter forced, as `model_core.beta.force` does.

    Parameters
    ----------
    z : Tensor
        (batch, length).
    blacklist : Tensor or None
        (batch, length) bool, or None.
    promoter : slice
        Positions of the promoter in the window.
    """
    inside = torch.zeros(z.shape[1], dtype=torch.bool, device=z.device)
    inside[promoter] = True
    return beta_distribution.force(z, inside, torch.zeros_like(inside) if blacklist is None else blacklist)


def straight_through(z: Tensor, threshold: float | Tensor) -> Tensor:
    """Return 1 where z >= threshold, else 0, with the gradient of z itself (straight-through estimator)."""
    hard = (z >= threshold).to(z.dtype)
    return hard + z - z.detach() if z.requires_grad else hard


def decide(z: Tensor, config: Seq2ExpConfig) -> Tensor:
    """Return the mask (batch, length) of z by the decision rule.

    The mask is z itself (soft), 1 where z reaches the threshold (hard), or 1 for the highest share of bases (top).
    """
    rule = config.mask.decision
    if rule.kind == "soft":
        return z
    if rule.kind == "hard":
        return straight_through(z, rule.threshold)
    return straight_through(z, z.detach().topk(rule.positions(z.shape[1]), dim=1).values[:, -1:])


def random_blocks(batch: int, length: int, share: float | None = None) -> Tensor:
    """Draw masks (batch, length) of 0 and 1 in blocks, with the global random number generator.

    About `share` of the bases is kept. None draws the share of each gene from 0.3 to 1, so that a predictor trained
    under these masks sees some windows nearly complete.
    """
    mask = torch.empty(batch, length)
    for row in mask:
        kept = 0.3 + 0.7 * float(torch.rand(())) if share is None else share
        start = 0
        while start < length:
            stop = start + int(torch.randint(*BLOCK_LENGTHS, ()))
            row[start:stop] = float(torch.rand(()) < kept)
            start = stop
    return mask


def kl_to_marginal(z: BetaParameters, config: Seq2ExpConfig) -> Tensor:
    """Return the mean over all bases of the KL divergence that keeps masks sparse, a scalar.

    `mask.kl = "beta"`: KL( Beta(alpha, beta) || Beta(s, s (1 - mu) / mu) ), s = kl_scale, mu = kl_mu, as published;
    it also fixes the concentration, so that the mean hardly changes in training. `mask.kl = "mean"`:
    KL( Bernoulli(E[z]) || Bernoulli(mu) ).
    """
    if config.mask.kl == "mean":
        mean = z.mean
        yes, no = torch.special.xlogy(mean, mean / config.mask.kl_mu), 1 - mean
        return (yes + torch.special.xlogy(no, no / (1 - config.mask.kl_mu))).mean()
    s, mu = config.mask.kl_scale, config.mask.kl_mu
    marginal = Beta(z.alpha.new_tensor(s), z.alpha.new_tensor(s * (1 - mu) / mu), validate_args=False)
    return kl_divergence(Beta(z.alpha, z.beta, validate_args=False), marginal).mean()


def draw(z: BetaParameters, config: Seq2ExpConfig) -> Tensor:
    """Draw one reparameterised sample of z, (batch, length): from its Beta, or binary concrete for the logit head."""
    if config.mask.head == "logit":
        u = torch.rand_like(z.alpha).clamp(1e-6, 1 - 1e-6)
        return torch.sigmoid((torch.log(z.alpha / z.beta) + torch.log(u / (1 - u))) / TEMPERATURE)
    return Beta(z.alpha, z.beta, validate_args=False).rsample()
