"""Settings of a Seq2Exp model and of its training, without torch.

A model's settings stand in groups, each of which checks itself: `config.backbone.d_model`, `config.prior.b`. They are
written in groups. Read are groups, names with dots ("prior.b") and the flat names of older files ("prior_b").
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from model_core.decision import DecisionRule
from model_core.errors import InputError, Problem
from model_core.settings import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, SHARE_OR_0, Need, Range, Settings
from model_core.window import promoter_slice

VARIANTS = ("soft", "hard", "causal")
_PAPER_DECISION = DecisionRule()


@dataclass(frozen=True)
class BackboneConfig(Settings):
    """Sizes of the two stacks of bidirectional Mamba blocks, generator and predictor, and what the generator reads.

    Attributes
    ----------
    d_model
        Width d of the hidden states; at least 1.
    n_layers
        Blocks of the generator, and again of the predictor; at least 1.
    d_state
        Size of the state of each channel of a scan; 1 to 64.
    d_conv
        Width of the causal convolution before each scan, in bases; at least 1.
    expand
        Channels inside a mixer per channel of the hidden states; at least 1.
    dt_rank
        Width of the low-rank projection that gives the step size; None for ceil(d_model / 16).
    norm_epsilon
        What RMSNorm adds to the mean square; above 0.
    position_embedding
        Whether a learned embedding of the position in the window is added; the window's length is then fixed.
    encoder
        Channels of a convolutional motif encoder beside the one-hot sequence; 0 for none.
    generator_signals
        Whether the generator sees the signals, too.
    shared
        Whether generator and predictor are one stack of blocks.
    """

    PREFIX: ClassVar[str] = "backbone"
    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("d_model", "n_layers", "d_conv", "expand", "dt_rank"), COUNT),
        "d_state": Range(1, 64, "1 to 64"),
        "norm_epsilon": POSITIVE,
        "encoder": NOT_NEGATIVE,
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
    """What the signals add to the Beta of z: alpha2 = scale sum_i w_i (s_i + beta_min), beta2 with b_i in place of s_i.

    Attributes
    ----------
    b
        The value of each signal, in its unit after its transform, at which it votes one half; 0 or more.
    w
        The weight of each signal's vote; 0 or more, at least one above 0.
    scale
        Factor on both parameters: how much the signals count against the sequence; above 0.
    learned
        Whether `scale` is where a trained scale starts; needs the head `beta`.
    beta_min
        Lowest alpha1 and beta1 of the sequence, also added to signals and b; 0 or more.
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
        """Yield what is wrong with the values."""
        yield from super().problems()
        b, w = self.path("b"), self.path("w")
        if len(self.b) != len(self.w):
            found = f"{len(self.b)} values of {b} and {len(self.w)} of {w}"
            yield self._problem(found, "one of each for each signal", "give every signal its prior")
        if self.w and not sum(self.w) > 0:
            yield self._problem(f"{w} of 0 for every signal", "at least one above 0", "give a signal weight")


@dataclass(frozen=True)
class MaskConfig(Settings):
    """How z is made of its parts, drawn, decided, applied, and kept sparse.

    Attributes
    ----------
    kind
        "learned", or a control in its place: "promoter" (nothing else is kept), "random" (blocks), "signal" (mean of
        the prior), "macs3" (peaks), "all" (nothing is hidden).
    head
        "beta": z ~ Beta of sequence and prior; "logit": sequence logit + learned signal logit.
    z_scale
        Factor on alpha and beta of z; above 0.
    beta_product_exact
        Whether the 1 that the product of two Beta densities asks for is subtracted; needs the head `beta`.
    decision
        How z becomes the mask.
    apply
        How the mask hides a base: "multiply" (its embedding), "gather" (only kept positions are read), "gate"
        (multiplied after each norm), "absent" (a learned embedding in its place).
    hard_gradient
        Whether gathered embeddings are multiplied by the straight-through mask; needs `apply` gather.
    kl
        The KL that keeps masks sparse, "beta": of the Beta of z to a Beta of mean `kl_mu`; "mean": of
        Bernoulli(E[z]) to Bernoulli(kl_mu).
    kl_mu
        Mean that the KL pulls z towards; between 0 and 1.
    kl_scale
        alpha of the Beta that `kl = "beta"` pulls z towards; above 0.
    kl_weight
        lambda, weight of the KL in the loss; 0 or more.
    """

    PREFIX: ClassVar[str] = "mask"
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "kind": ("learned", "promoter", "random", "signal", "macs3", "all"),
        "head": ("beta", "logit"),
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
    decision: DecisionRule = _PAPER_DECISION
    apply: str = "multiply"
    hard_gradient: bool = False
    kl: str = "beta"
    kl_mu: float = 0.1
    kl_scale: float = 10.0
    kl_weight: float = 0.01


@dataclass(frozen=True)
class PredictorConfig(Settings):
    """What the predictor sees, and how its hidden states become one number.

    Attributes
    ----------
    n_gene_features
        Features of a gene beside its window; 0 or more.
    log_signals
        Whether the predictor sees log(1 + signal).
    readout
        "promoter": mean hidden state over the promoter; "window": beside it, hidden states summed over the window,
        weighed by mask and contact.
    contact
        Name of the signal that weighs them, a contact; None weighs all bases alike.
    released_padding
        Whether, with `mask.apply` gather, the padding of a batch enters the scans, as in the release.
    """

    PREFIX: ClassVar[str] = "predictor"
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"readout": ("promoter", "window")}
    RANGES: ClassVar[Mapping[str, Range]] = {"n_gene_features": NOT_NEGATIVE}

    n_gene_features: int = 9
    log_signals: bool = False
    readout: str = "promoter"
    contact: str | None = None
    released_padding: bool = False


@dataclass(frozen=True)
class Seq2ExpConfig(Settings):
    """Everything that decides what the model computes; it travels inside every checkpoint.

    The defaults are the paper's soft model; `recipe` gives the published settings of each variant. What spans groups
    is checked here: a prior for each signal, a contact among the signals, and `NEEDS`.

    Attributes
    ----------
    variant
        "soft" and "hard" of the paper, or "causal", ours.
    window
        L, bases around a TSS that the model sees.
    promoter
        Central bases, always kept, over which the predictor averages; above 0, at most `window`.
    signals
        Names of the signals, in the order of the model's input.
    reverse_complement
        Whether genes on the minus strand are read along their own strand.
    backbone, prior, mask, predictor
        The groups.
    """

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"variant": VARIANTS}
    NEEDS: ClassVar[tuple[Need, ...]] = (
        Need("mask.apply", "gather", "predictor.readout", ("promoter",)),
        Need("prior.learned", True, "mask.head", ("beta",)),
    )

    variant: str = "soft"
    window: int = 200_000
    promoter: int = 2_000
    signals: tuple[str, ...] = ("H3K27ac", "DNase", "Hi-C")
    reverse_complement: bool = False
    backbone: BackboneConfig = BackboneConfig()
    prior: PriorConfig = PriorConfig()
    mask: MaskConfig = MaskConfig()
    predictor: PredictorConfig = PredictorConfig()

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the values."""
        yield from super().problems()
        if len(self.signals) != len(self.prior.b):
            found = f"{len(self.signals)} signals, {len(self.prior.b)} b and {len(self.prior.w)} w"
            yield self._problem(found, "one prior (b, w) for each signal", "give every signal its prior")
        if not 0 < self.promoter <= self.window:
            found = f"a promoter of {self.promoter} bp in a window of {self.window} bp"
            yield self._problem(found, "0 < promoter <= window", "shorten the promoter or widen the window")
        if self.predictor.contact is not None and self.predictor.contact not in self.signals:
            found = f"{self.predictor.path('contact')} {self.predictor.contact!r}"
            yield self._problem(found, f"one of the signals {', '.join(self.signals)}")

    def promoter_in(self, length: int) -> slice:
        """Return the central `promoter` positions of a window of `length` bases."""
        return promoter_slice(length, self.promoter)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Seq2ExpConfig:
        """Read the settings of a checkpoint, a run or a study; what they leave out is the paper's.

        Parameters
        ----------
        values : Mapping[str, Any]
            JSON values: groups as `to_dict` gives them, names with dots, and flat names, also mixed.

        Raises
        ------
        InputError
            An unknown name, a setting under two names, or a value that cannot be used. Settings are named as they
            were in `values`.
        """
        given = given_settings(values)
        try:
            return _build(cls, {path: value for path, (_, value) in given.items()})
        except InputError as error:
            problem = error.problems[0]
            found, expected = (_as_written(text, given) for text in (problem.found, problem.expected))
            raise InputError(problem.where, found=found, expected=expected, fix=problem.fix) from None

    def replace(self, **settings: Any) -> Seq2ExpConfig:
        """Return a copy with other values of some settings, by flat name or as groups."""
        return Seq2ExpConfig.from_dict(merged(self.to_dict(), settings))


# A setting's flat name is that of its field, but for these.
_OTHER_FLAT_NAMES = {
    "prior.b": "prior_b",
    "prior.w": "prior_w",
    "prior.scale": "prior_scale",
    "prior.learned": "prior_learned",
    "mask.kind": "mask",
    "mask.decision.kind": "decision",
    "mask.decision.share": "top_share",
}


class Setting(NamedTuple):
    """What is known of a setting by its path."""

    flat_name: str
    default: Any


def _table(kind: type[Settings]) -> Iterator[tuple[str, Setting]]:
    """Yield path and `Setting` of each field, and of each field of its groups."""
    for field in dataclasses.fields(kind):
        path = kind.path(field.name)
        if isinstance(field.default, Settings):
            yield from _table(type(field.default))
        else:
            yield path, Setting(_OTHER_FLAT_NAMES.get(path, field.name), field.default)


SETTINGS: dict[str, Setting] = dict(_table(Seq2ExpConfig))  # path, such as "prior.b" -> flat name and default
PATHS: dict[str, str] = {setting.flat_name: path for path, setting in SETTINGS.items()}  # flat name -> path
PATHS |= {path: path for path in SETTINGS}  # and each path itself, so that this holds every name that is read
GROUPS = {path.rpartition(".")[0] for path in SETTINGS} - {""}
_PATH = re.compile("|".join(rf"\b{re.escape(path)}\b" for path in sorted(SETTINGS, key=len, reverse=True)))


def named_settings(values: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of each setting; inside a group the name has the group and a dot before it."""
    for key, value in values.items():
        name = f"{group}.{key}" if group else str(key)
        if name in GROUPS and isinstance(value, (Mapping, Settings)):
            yield from named_settings(vars(value) if isinstance(value, Settings) else value, name)
        else:
            yield name, value


def given_settings(values: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return path -> (name as it is written, value) of the settings that `values` states.

    Raises
    ------
    InputError
        An unknown name, or a setting under two names.
    """
    given: dict[str, tuple[str, Any]] = {}
    if not isinstance(values, Mapping):
        found = repr(values)[:60]
        raise InputError(Settings.WHERE, found=found, expected="a table of settings", fix="correct it")
    for name, value in named_settings(values):
        if name not in PATHS:
            raise InputError.of(unknown_setting(Settings.WHERE, name, value))
        path = PATHS[name]
        if path in given:
            found = f"one setting under two names, {given[path][0]} and {name}"
            raise InputError(Settings.WHERE, found=found, expected="one of them", fix="take one away")
        given[path] = (name, value)
    return given


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge settings that may be written in different forms; of each setting the last layer that states it counts."""
    last: dict[str, tuple[str, Any]] = {}
    for layer in layers:
        last |= given_settings(layer)
    return dict(last.values())


def unknown_setting(where: object, name: str, value: object = None) -> Problem:
    """Return the problem of a name that is no setting, with the nearest one that is."""
    group, _, last = name.rpartition(".")
    if name in GROUPS:
        inside = ", ".join(path.removeprefix(f"{name}.") for path in SETTINGS if path.startswith(f"{name}."))
        found, fix = f"{name} = {value!r}", f"write {name} as a table, or its settings as {name}.NAME"
        return Problem(where, found=found, expected=f"a table with {inside}", fix=fix)
    known = [path for path in SETTINGS if path.startswith(f"{group}.")] if group in GROUPS else []
    known = known or [setting.flat_name for setting in SETTINGS.values()]
    near = [PATHS[last]] if group and last in PATHS else difflib.get_close_matches(name, [*known, *PATHS], 1, 0.6)
    fix = f"did you mean '{near[0]}'?" if near else "take it away"
    return Problem(where, found=f"an unknown key '{name}'", expected=f"one of {', '.join(known)}", fix=fix)


def _build(kind: type[Settings], values: Mapping[str, Any]) -> Any:
    """Make a group, and the groups in it, of path -> value; what is left out stays as it is by default."""
    fields = {}
    for field in dataclasses.fields(kind):
        path = kind.path(field.name)
        if isinstance(field.default, Settings):
            fields[field.name] = _build(type(field.default), values)
        elif path in values:
            fields[field.name] = values[path]
    return kind(**fields)


def _as_written(text: str, given: Mapping[str, tuple[str, Any]]) -> str:
    """Return a message with each setting under the name that was used for it.

    Settings that were not given go by their flat names where any was given so.
    """
    flat = any(name != path for path, (name, _) in given.items())

    def name_of(found: re.Match) -> str:
        path = found[0]
        return given[path][0] if path in given else SETTINGS[path].flat_name if flat else path

    return _PATH.sub(name_of, text)


RECIPES: dict[str, dict[str, Any]] = {
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


def recipe(variant: str, **settings: Any) -> Seq2ExpConfig:
    """Return the settings of a variant, changed where `settings` says so.

    Parameters
    ----------
    variant : str
        "soft" and "hard" as published, "causal" ours.
    **settings
        By flat name, as the command line has them (`d_model=32`, `prior_b=(1.5, 0.2)`, `decision="top"`), or in
        groups (`backbone={"d_model": 32}`).

    Raises
    ------
    InputError
        As `Seq2ExpConfig.from_dict`.
    """
    return Seq2ExpConfig.from_dict(merged(RECIPES.get(variant, {}), {"variant": variant, **settings}))


def read_model_config(described: Mapping[str, Any]) -> Seq2ExpConfig | None:
    """Read a model's settings out of the content of a run's config.json, in groups or with flat names.

    What they leave out, in runs of older versions, is as in the recipe of their variant.

    Parameters
    ----------
    described : Mapping[str, Any]
        `Run.config`.

    Returns
    -------
    Seq2ExpConfig or None
        None where config.json says nothing of a model.

    Raises
    ------
    InputError
        As `Seq2ExpConfig.from_dict`: for instance a setting that only a newer version knows.
    """
    stated = described.get("model")
    if not stated:
        return None
    given_settings(stated)  # before it is taken apart
    return recipe(**{"variant": Seq2ExpConfig.variant, **stated})


def model_config(described: Mapping[str, Any]) -> Seq2ExpConfig | None:
    """Return `read_model_config`, or None where the settings cannot be read."""
    try:
        return read_model_config(described)
    except InputError:
        return None


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How a model is trained; the defaults are the paper's recipe.

    Attributes
    ----------
    steps
        Steps of the optimiser, 0 or more.
    batch_size
        Genes of a batch, over all processes; at least 1.
    accumulate
        Batches whose gradients are added before a step; at least 1.
    lr
        Learning rate at its peak, after `warmup` steps; above 0.
    lr_start, lr_end
        Learning rates of the first and of the last step; above 0.
    warmup
        Steps from `lr_start` to `lr`; 0 or more.
    weight_decay
        Of AdamW; 0 or more.
    betas
        Of AdamW: decay of the means of gradient and squared gradient; 0 or more, below 1.
    clip
        Highest norm of the gradient; above 0.
    validations_per_epoch
        Validations per pass over the training genes; at least 1.
    precision
        Lightning's name of it, such as "32-true" or "bf16-mixed".
    seed
        Random seed of weights, order of genes and draws of z; 0 to 4,294,967,295.
    workers
        Processes that read windows ahead; 0 reads in the training process.
    pretrain_steps
        Steps, ahead of `steps`, in which the encoder (without one, the generator) learns to predict the signals from
        sequence; 0 for none.
    pretrain_lr
        Learning rate of those; above 0.
    block_steps
        Of `steps`, the first in which the predictor learns under random-block masks; 0 for none.
    mean_z
        Whether the draw of z is replaced by its mean, which makes training deterministic.
    """

    WHERE: ClassVar[str] = "training settings"
    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("batch_size", "accumulate", "validations_per_epoch"), COUNT),
        **dict.fromkeys(("steps", "warmup", "workers", "pretrain_steps", "block_steps", "weight_decay"), NOT_NEGATIVE),
        **dict.fromkeys(("lr", "lr_start", "lr_end", "clip", "pretrain_lr"), POSITIVE),
        "betas": SHARE_OR_0,
        "seed": Range(0, 2**32 - 1, "0 to 4,294,967,295"),
    }

    steps: int = 50_000
    batch_size: int = 8
    accumulate: int = 1
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
    pretrain_steps: int = 0
    pretrain_lr: float = 3e-3
    block_steps: int = 0
    mean_z: bool = False


def causal_stages(steps: int) -> dict[str, int]:
    """The two stages ahead of a causal mask, for so many steps in all: settings of `TrainConfig`.

    The encoder learns the signals for three times as many steps, at most 10,000; the predictor learns under random
    blocks for the first half. Found on small worlds (benchmarks/worlds.py), not tuned at paper size.
    """
    return {"pretrain_steps": min(3 * steps, 10_000), "block_steps": steps // 2}
