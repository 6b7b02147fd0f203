"""What a Seq2Exp model is made of and how it is trained: two frozen settings objects, without torch."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from model_core.decision import KINDS, DecisionRule
from model_core.errors import InputError, Problem
from model_core.window import promoter_slice

VARIANTS = ("soft", "hard", "causal")
CHOICES = {  # settings that are one of a few words
    "variant": VARIANTS,
    "head": ("beta", "logit"),
    "kl": ("beta", "mean"),
    "apply": ("multiply", "gather", "gate", "absent"),
    "decision": KINDS,
    "readout": ("promoter", "window"),
    "mask": ("learned", "promoter", "random", "signal", "macs3", "all"),
}
# Settings that are numbers: the lowest and the highest value, both allowed, and the same in words.
_TINY = 1e-12
_MOST = sys.float_info.max
_POSITIVE, _COUNT = (_TINY, _MOST, "a number above 0"), (1, _MOST, "at least 1")
_NOT_NEGATIVE, _SHARE = (0.0, _MOST, "0 or more"), (_TINY, 1 - _TINY, "a number between 0 and 1")
RANGES = {
    **dict.fromkeys(("d_model", "n_layers", "d_conv", "expand", "dt_rank"), _COUNT),
    "d_state": (1, 64, "1 to 64"),
    **dict.fromkeys(("norm_epsilon", "prior_scale", "z_scale", "kl_scale"), _POSITIVE),
    **dict.fromkeys(("n_gene_features", "encoder", "prior_w", "prior_b", "beta_min", "kl_weight"), _NOT_NEGATIVE),
    **dict.fromkeys(("kl_mu", "top_share"), _SHARE),
    "threshold": (_TINY, 1.0, "above 0, at most 1"),
}
TRAINING_RANGES = {
    **dict.fromkeys(("batch_size", "accumulate", "validations_per_epoch"), _COUNT),
    **dict.fromkeys(("steps", "warmup", "workers", "pretrain_steps", "block_steps", "weight_decay"), _NOT_NEGATIVE),
    **dict.fromkeys(("lr", "lr_start", "lr_end", "clip", "pretrain_lr"), _POSITIVE),
    "betas": (0.0, 1 - _TINY, "0 or more, below 1"),
    "seed": (0, 2**32 - 1, "0 to 4,294,967,295"),
}
# (setting, its value, another setting, the values of that one it makes sense with): anything else would be ignored.
NEEDS = (
    ("apply", "gather", "decision", ("hard", "top")),
    ("apply", "gather", "readout", ("promoter",)),
    ("hard_gradient", True, "apply", ("gather",)),
    ("prior_learned", True, "head", ("beta",)),
    ("beta_product_exact", True, "head", ("beta",)),
)
_TYPES = {  # the annotations of the fields -> the types of their values
    "str": (str,),
    "str | None": (str, type(None)),
    "bool": (bool,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "tuple[str, ...]": (tuple,),
    "tuple[float, ...]": (tuple,),
    "tuple[float, float]": (tuple,),
}


def _freeze_lists(settings: object, *names: str) -> None:
    """Turn lists, as JSON and TOML have them, into tuples."""
    for name in names:
        if isinstance(getattr(settings, name), list):
            object.__setattr__(settings, name, tuple(getattr(settings, name)))


def _type_problems(settings: object, where: str) -> Iterator[Problem]:
    """Complaints about values of the wrong type."""
    for field in dataclasses.fields(settings):
        value, kinds = getattr(settings, field.name), _TYPES[str(field.type)]
        if isinstance(value, bool) != (kinds == (bool,)) or not isinstance(value, kinds):
            yield Problem(
                where, found=f"{field.name} = {value!r}", expected=f"a value of type {field.type}", fix="correct it"
            )


def _range_problems(settings: object, where: str, ranges: Mapping[str, tuple[float, float, str]]) -> Iterator[Problem]:
    """Complaints about numbers out of range; of a tuple every number is looked at."""
    for name, (low, high, words) in ranges.items():
        values = getattr(settings, name)
        for value in values if isinstance(values, tuple) else (values,):
            if value is not None and not low <= value <= high:
                yield Problem(where, found=f"{name} = {value:g}", expected=words, fix="correct it")


def _word(value: object) -> str:
    """A setting as a study.toml has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Seq2ExpConfig:
    """Everything that decides what the model computes; it travels inside every checkpoint.

    The defaults are the paper's soft model; `recipe` gives the published settings of each variant. Lengths are in
    bases. `signals`, `prior_b` and `prior_w` go together, one entry a signal in the order of the model's input.
    """

    variant: str = "soft"
    window: int = 200_000  # L: bases the model sees around a TSS
    promoter: int = 2_000  # central bases, always kept, over which the predictor averages
    d_model: int = 128
    n_layers: int = 4  # blocks of the generator, and again of the predictor
    d_state: int = 16
    d_conv: int = 4
    expand: int = 2
    dt_rank: int | None = None  # None = ceil(d_model / 16)
    norm_epsilon: float = 1e-5
    n_gene_features: int = 9
    signals: tuple[str, ...] = ("H3K27ac", "DNase", "Hi-C")
    prior_b: tuple[float, ...] = (1.5, 0.2, 1.0)
    prior_w: tuple[float, ...] = (0.4, 0.4, 0.2)
    beta_min: float = 1.0
    prior_scale: float = 10.0
    z_scale: float = 1.0
    kl_mu: float = 0.1  # mean of the Beta that the KL pulls z towards
    kl_scale: float = 10.0  # its alpha
    kl_weight: float = 0.01  # lambda
    mask: str = "learned"  # or a control: promoter, random, signal (the prior), macs3 (peaks), all (no mask)
    head: str = "beta"  # or logit: sequence logit + learned signal logit
    kl: str = "beta"  # or mean: KL of Bernoulli(E[z]) to Bernoulli(kl_mu)
    prior_learned: bool = False  # prior_scale is where a learned scale starts
    beta_product_exact: bool = False  # take the 1 off that the product of two Beta densities asks for
    decision: str = (
        "soft"  # what becomes of z: itself, 1 from the threshold on (hard), or 1 for the highest share (top)
    )
    threshold: float = 0.5  # hard: z at or above it is kept
    top_share: float = 0.1  # top: share of the window that is kept
    apply: str = (
        "multiply"  # how the mask hides: multiply, gather, gate (after each norm), absent (a learned embedding)
    )
    shared: bool = False  # generator and predictor are one stack
    position_embedding: bool = False
    generator_signals: bool = False  # the generator sees the signals, too
    hard_gradient: bool = False  # gather: multiply the gathered embeddings by the straight-through mask
    reverse_complement: bool = False  # read genes on the minus strand along their own strand
    encoder: int = 0  # channels of a motif encoder that stands beside the one-hot sequence; 0 = none
    log_signals: bool = False  # the predictor sees log(1 + signal)
    readout: str = "promoter"  # or window: beside it, hidden states summed over the window, by mask and contact
    contact: str | None = None  # the signal that weighs them, a contact; None = all alike
    released_padding: bool = False  # gather: let the padding of a batch into the scans, as the release does

    def __post_init__(self):
        _freeze_lists(self, "signals", "prior_b", "prior_w")
        for problem in self._problems():
            raise InputError.of(problem)

    def _problems(self):
        where = "model settings"
        yield from _type_problems(self, where)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                found = f"{name} {getattr(self, name)!r}"
                yield Problem(where, found=found, expected=f"one of {', '.join(choices)}", fix="correct it")
        if not len(self.signals) == len(self.prior_b) == len(self.prior_w):
            counts = f"{len(self.signals)} signals, {len(self.prior_b)} b and {len(self.prior_w)} w"
            yield Problem(
                where, found=counts, expected="one prior (b, w) for each signal", fix="give every signal its prior"
            )
        if not 0 < self.promoter <= self.window:
            found = f"a promoter of {self.promoter} bp in a window of {self.window} bp"
            yield Problem(
                where, found=found, expected="0 < promoter <= window", fix="shorten the promoter or widen the window"
            )
        yield from _range_problems(self, where, RANGES)
        if self.signals and not sum(self.prior_w) > 0:
            yield Problem(
                where,
                found="prior_w of 0 for every signal",
                expected="at least one above 0",
                fix="give a signal weight",
            )
        if self.contact is not None and self.contact not in self.signals:
            found = f"contact {self.contact!r}"
            yield Problem(
                where, found=found, expected=f"one of the signals {', '.join(self.signals)}", fix="correct it"
            )
        for name, value, needed, choices in NEEDS:
            if getattr(self, name) == value and getattr(self, needed) not in choices:
                found = f"{name} = {_word(value)} with {needed} = {_word(getattr(self, needed))}"
                expected = f"{needed} = {' or '.join(map(_word, choices))} where {name} = {_word(value)}"
                yield Problem(where, found=found, expected=expected, fix="change one of the two")

    @property
    def d_inner(self) -> int:
        """Channels inside a Mamba mixer."""
        return self.expand * self.d_model

    @property
    def rank(self) -> int:
        """Width of the low-rank projection that gives the step size (Mamba's dt_rank)."""
        return self.dt_rank or math.ceil(self.d_model / 16)

    @property
    def decision_rule(self) -> DecisionRule:
        """How z becomes the mask."""
        return DecisionRule(self.decision, self.threshold, self.top_share)

    @property
    def band(self) -> str:
        """What the width of z is under its Beta: "beta", set by the priors, or "none" where alpha + beta is fixed."""
        return "none" if self.head == "logit" else "beta"

    def promoter_in(self, length: int) -> slice:
        """The central `promoter` positions of a window of `length` bases."""
        return promoter_slice(length, self.promoter)

    def to_dict(self) -> dict:
        """Plain JSON values; `from_dict` reads them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> Seq2ExpConfig:
        """The configuration of a checkpoint or a study; unknown names are refused with their spelling."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(
                "model settings",
                found=", ".join(unknown),
                expected=f"names among {', '.join(sorted(known))}",
                fix="correct them",
            )
        return cls(**values)


RECIPES = {
    "soft": {},
    "hard": {
        "beta_min": 0.0,
        "prior_scale": 1.0,
        "kl_mu": 0.45,
        "kl_scale": 0.1,
        "decision": "hard",
        "apply": "gather",
        "shared": True,
        "position_embedding": True,
        "generator_signals": True,
    },
    # Ours, of the repairs that pay (docs/evidence.md): a mask that hides, a KL that leaves its mean free to move, an
    # encoder that knows motifs, and a readout that distal elements reach.
    "causal": {
        "head": "logit",
        "kl": "mean",
        "kl_weight": 0.1,
        "prior_scale": 0.1,
        "apply": "gate",
        "encoder": 48,
        "log_signals": True,
        "readout": "window",
    },
}


def recipe(variant: str, **settings) -> Seq2ExpConfig:
    """The settings of `variant` ("soft" and "hard" as published, "causal" ours), changed where `settings` says so."""
    return Seq2ExpConfig.from_dict({"variant": variant, **RECIPES.get(variant, {}), **settings})


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained; the defaults are the paper's recipe."""

    steps: int = 50_000
    batch_size: int = 8
    accumulate: int = 1  # batches whose gradients are added before a step
    lr: float = 5e-4
    lr_start: float = 1e-5
    lr_end: float = 1e-4
    warmup: int = 5_000
    weight_decay: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    validations_per_epoch: int = 2
    precision: str = "32-true"
    seed: int = 2
    workers: int = 0
    pretrain_steps: int = 0  # first: the encoder, or else the generator, learns to predict the signals from sequence
    pretrain_lr: float = 3e-3
    block_steps: int = 0  # of `steps`, the first: the predictor learns under random-block masks
    mean_z: bool = False  # replace the draw of z by its mean (makes training deterministic)

    def __post_init__(self):
        _freeze_lists(self, "betas")
        where = "training settings"
        for problems in (_type_problems(self, where), _range_problems(self, where, TRAINING_RANGES)):
            for problem in problems:
                raise InputError.of(problem)

    def to_dict(self) -> dict:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def causal_stages(steps: int) -> dict[str, int]:
    """The two stages ahead of a causal mask, for so many steps in all: settings of `TrainConfig`.

    The encoder learns the signals for three times as many steps, at most 10,000; the predictor learns under random
    blocks for the first half. Found on small worlds (benchmarks/worlds.py), not tuned at paper size.
    """
    return {"pretrain_steps": min(3 * steps, 10_000), "block_steps": steps // 2}
