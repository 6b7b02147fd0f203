"""Groups of a model's settings, with the paper's soft model as the default of each; `config` combines them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from model_core.decision import DecisionRule
from model_core.errors import Problem
from model_core.settings import NOT_NEGATIVE, POSITIVE, SHARE, Need, Range, Settings, counts

# Upper ends, several times those of the largest published models of sequence (up to 1 Mb of input, 8,192 channels, 50
# blocks), so that no real model reaches them.
_MOST_WIDTH = 32_768
_MOST_BLOCKS = 256
_MOST_CONVOLUTION = 1_024
_MOST_EXPANSION = 64
_MOST_FEATURES = 100_000
MOST_MEMBERS = 64


@dataclass(frozen=True)
class BackboneConfig(Settings):
    """Sizes of the two stacks of bidirectional Mamba blocks, generator and predictor, and inputs of the generator.

    Attributes
    ----------
    d_model
        Width d of the hidden states; 1 to 32,768.
    n_layers
        Blocks of the generator, and again of the predictor; 1 to 256.
    d_state
        Size of the state of each channel of a scan; 1 to 64.
    d_conv
        Width of the causal convolution before each scan, in bases; 1 to 1,024.
    expand
        Channels inside a mixer per channel of the hidden states; 1 to 64.
    dt_rank
        Width of the low-rank projection that gives the step size, 1 to 32,768; None for ceil(d_model / 16).
    norm_epsilon
        What RMSNorm adds to the mean square; above 0.
    position_embedding
        Whether a learned embedding of the position in the window is added; the window's length is then fixed.
    encoder
        Channels of a convolutional motif encoder that is added to the one-hot sequence, at most 32,768; 0 for none.
    encoder_filters
        Motifs that the encoder looks for, at most 32,768; 0 for as many as its channels.
    both_strands
        Whether the encoder finds a motif on either strand.
    generator_signals
        Whether the generator also reads the signals.
    shared
        Whether generator and predictor are one stack of blocks.
    """

    PREFIX: ClassVar[str] = "backbone"
    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("d_model", "dt_rank"), counts(_MOST_WIDTH)),
        "n_layers": counts(_MOST_BLOCKS),
        "d_conv": counts(_MOST_CONVOLUTION),
        "expand": counts(_MOST_EXPANSION),
        "d_state": counts(64),
        "norm_epsilon": POSITIVE,
        **dict.fromkeys(("encoder", "encoder_filters"), counts(_MOST_WIDTH, low=0)),
    }

    d_model: int = 128
    n_layers: int = 4
    d_state: int = 16
    d_conv: int = 4
    expand: int = 2
    dt_rank: int | None = None
    norm_epsilon: float = 1e-5
    position_embedding: bool = False
    encoder: int = 0
    encoder_filters: int = 0
    both_strands: bool = False
    generator_signals: bool = False
    shared: bool = False

    @property
    def d_inner(self) -> int:
        """Channels inside a Mamba mixer."""
        return self.expand * self.d_model

    @property
    def rank(self) -> int:
        """Width of the low-rank projection that gives the step size (Mamba's dt_rank)."""
        return self.dt_rank or math.ceil(self.d_model / 16)


@dataclass(frozen=True)
class PriorConfig(Settings):
    """Prior from the signals in the Beta of z: alpha2 = scale sum_i w_i (s_i + beta_min), beta2 with b_i for s_i.

    Attributes
    ----------
    b
        Value of each signal, in its unit after its transform, at which its share of the prior's mean is one half; 0 or
        more.
    w
        Weight of each signal in the prior; 0 or more, at least one above 0.
    scale
        Factor on both parameters, which weights the signals against the sequence; above 0.
    learned
        Whether the scale is trained, with `scale` as its initial value; needs the head `beta`.
    beta_min
        Lowest alpha1 and beta1 of the sequence; also added to the signals and to b; 0 or more.
    """

    PREFIX: ClassVar[str] = "prior"
    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("w", "b", "beta_min"), NOT_NEGATIVE),
        "scale": POSITIVE,
    }

    b: tuple[float, ...] = (1.5, 0.2, 1.0)
    w: tuple[float, ...] = (0.4, 0.4, 0.2)
    scale: float = 10.0
    learned: bool = False
    beta_min: float = 1.0

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of the values."""
        yield from super().problems()
        b, w = self.path("b"), self.path("w")
        if len(self.b) != len(self.w):
            found = f"{len(self.b)} values of {b} and {len(self.w)} of {w}"
            yield self._problem(found, "one of each for each signal", "give every signal its prior")
        if self.w and not sum(self.w) > 0:
            yield self._problem(f"{w} of 0 for every signal", "at least one above 0", "give a signal weight")


@dataclass(frozen=True)
class MaskConfig(Settings):
    """Settings of the mask: how z is computed, drawn, decided, applied and kept sparse.

    Attributes
    ----------
    kind
        "learned", or a control instead: "promoter" (nothing else is kept), "random" (blocks), "signal" (mean of the
        prior), "macs3" (peaks), "all" (nothing is hidden).
    head
        "beta": z ~ Beta of sequence and prior; "logit": sequence logit + learned signal logit; "effect": the effect of
        each base on the gene, from the additive readout.
    z_scale
        Factor on alpha and beta of z; above 0.
    beta_product_exact
        Whether 1 is subtracted from the summed parameters, as in a product of two Beta densities; needs the head
        `beta`.
    decision
        Rule by which z becomes the mask.
    apply
        How the mask hides a base: "multiply" (its embedding), "gather" (only kept positions are read), "gate"
        (multiplied after each norm), "absent" (a learned embedding in its place).
    hard_gradient
        Whether gathered embeddings are multiplied by the straight-through mask; needs `apply` gather.
    kl
        The KL that keeps masks sparse, "beta": of the Beta of z to a Beta of mean `kl_mu`; "mean": of
        Bernoulli(E[z]) to Bernoulli(kl_mu).
    kl_mu
        Mean of the target distribution of the KL; between 0 and 1.
    kl_scale
        alpha of the target Beta of `kl = "beta"`; above 0.
    kl_weight
        Weight of the KL in the loss, lambda of the paper; 0 or more.
    """

    PREFIX: ClassVar[str] = "mask"
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "kind": ("learned", "promoter", "random", "signal", "macs3", "all"),
        "head": ("beta", "logit", "effect"),
        "apply": ("multiply", "gather", "gate", "absent"),
        "kl": ("beta", "mean"),
    }
    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("z_scale", "kl_scale"), POSITIVE),
        "kl_weight": NOT_NEGATIVE,
        "kl_mu": SHARE,
    }
    NEEDS: ClassVar[tuple[Need, ...]] = (
        Need("apply", "gather", "decision.kind", ("hard", "top")),
        Need("hard_gradient", True, "apply", ("gather",)),
        Need("beta_product_exact", True, "head", ("beta",)),
    )

    kind: str = "learned"
    head: str = "beta"
    z_scale: float = 1.0
    beta_product_exact: bool = False
    decision: DecisionRule = field(default=DecisionRule())
    apply: str = "multiply"
    hard_gradient: bool = False
    kl: str = "beta"
    kl_mu: float = 0.1
    kl_scale: float = 10.0
    kl_weight: float = 0.01


@dataclass(frozen=True)
class PredictorConfig(Settings):
    """Inputs of the predictor, and how its hidden states become one number.

    Attributes
    ----------
    n_gene_features
        Number of gene features that it reads in addition to the window; 0 to 100,000.
    log_signals
        Whether it reads log(1 + signal).
    readout
        "promoter": mean hidden state over the promoter; "window": in addition, hidden states summed over the window,
        weighted by mask and contact; "additive": the effects of all bases are summed (`model.additive`).
    contact
        Name of the contact signal of these weights; None weights all bases equally.
    members
        Members of the ensemble, which share the encoder; 1 to 64; more than one needs the readout "additive".
    sparsity
        Weight in the loss of the sum of the absolute effects of all bases; 0 or more.
    released_padding
        Whether, with `mask.apply` gather, the padding of a batch enters the scans, as in the release.
    """

    PREFIX: ClassVar[str] = "predictor"
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"readout": ("promoter", "window", "additive")}
    RANGES: ClassVar[Mapping[str, Range]] = {
        "n_gene_features": counts(_MOST_FEATURES, low=0),
        "members": counts(MOST_MEMBERS),
        "sparsity": NOT_NEGATIVE,
    }

    n_gene_features: int = 9
    log_signals: bool = False
    readout: str = "promoter"
    contact: str | None = None
    members: int = 1
    sparsity: float = 0.0
    released_padding: bool = False
