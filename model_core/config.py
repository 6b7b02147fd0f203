"""Settings of a Seq2Exp model and of its training, without torch.

A model's settings stand in groups (`setting_groups`), each of which checks itself: `config.backbone.d_model`,
`config.prior.b`. Files are written in groups; `Seq2ExpConfig.from_dict` reads groups, names with dots ("prior.b") and
the flat names of older files ("prior_b").
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from model_core.errors import InputError, Problem
from model_core.setting_groups import BackboneConfig, MaskConfig, PredictorConfig, PriorConfig
from model_core.settings import NOT_NEGATIVE, POSITIVE, SHARE_OR_0, Need, Range, Settings, counts, shown
from model_core.window import promoter_slice

VARIANTS = ("soft", "hard", "causal")
_MOST_WINDOW = 10_000_000  # bp; the longest input of a published model of sequence has 1 Mb
_MOST_STEPS = 1_000_000_000  # and other counts of a training
_MOST_WORKERS = 1_024
_MOST_CROPS = 65_536
_PRECISIONS = (  # Lightning's names
    *("32-true", "32", "bf16-mixed", "bf16-true", "bf16", "16-mixed", "16-true", "16", "64-true", "64"),
    *("transformer-engine", "transformer-engine-float16"),
)


@dataclass(frozen=True)
class Seq2ExpConfig(Settings):
    """Settings that decide what the model computes; every checkpoint contains them.

    The defaults are the paper's soft model; `recipe` returns the published settings of each variant. Rules across
    groups are checked here: a prior for each signal, a contact among the signals, and `NEEDS`.

    Attributes
    ----------
    variant
        "soft" or "hard" as in the paper, or "causal", this project's own.
    window
        Length L of the window around a TSS that the model reads, in bp; at most 10,000,000.
    promoter
        Central bp of the window, always kept, over which the predictor averages; above 0, at most `window`.
    signals
        Names of the signals, in the order of the model's input.
    reverse_complement
        Whether genes on the minus strand are read along their own strand.
    backbone, prior, mask, predictor
        The groups of settings.

    Examples
    --------
    >>> import model_core
    >>> config = model_core.Seq2ExpConfig()
    >>> config.variant, config.window, config.backbone.d_model
    ('soft', 200000, 128)
    >>> config.replace(window=4_000, promoter=400, d_model=16).backbone.d_model
    16
    >>> config.replace(promoter=300_000)
    Traceback (most recent call last):
    ...
    model_core.errors.InputError: ...
    """

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"variant": VARIANTS}
    RANGES: ClassVar[Mapping[str, Range]] = {"window": counts(_MOST_WINDOW)}
    NEEDS: ClassVar[tuple[Need, ...]] = (
        Need("mask.apply", "gather", "predictor.readout", ("promoter",)),
        Need("prior.learned", True, "mask.head", ("beta",)),
        Need("mask.head", "effect", "predictor.readout", ("additive",)),
        Need("predictor.readout", "additive", "mask.head", ("effect",)),
    )

    variant: str = "soft"
    window: int = 200_000
    promoter: int = 2_000
    signals: tuple[str, ...] = ("H3K27ac", "DNase", "Hi-C")
    reverse_complement: bool = False
    backbone: BackboneConfig = field(default=BackboneConfig())
    prior: PriorConfig = field(default=PriorConfig())
    mask: MaskConfig = field(default=MaskConfig())
    predictor: PredictorConfig = field(default=PredictorConfig())

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of the values."""
        yield from super().problems()
        if len(self.signals) != len(self.prior.b):
            found = f"{len(self.signals)} signals, {len(self.prior.b)} b and {len(self.prior.w)} w"
            yield self._problem(found, "one prior (b, w) for each signal", "give every signal its prior")
        if not 0 < self.promoter <= self.window:
            found = f"a promoter of {self.promoter} bp in a window of {self.window} bp"
            yield self._problem(found, "0 < promoter <= window", "shorten the promoter or widen the window")
        additive = self.predictor.readout == "additive"
        if additive and not self.backbone.encoder:
            found = f"{self.backbone.path('encoder')} = 0 with the additive readout"
            yield self._problem(found, "an encoder of motifs", "give the encoder channels, such as 32")
        if additive and set(self.signals) <= {self.predictor.contact}:
            yield self._problem("no signal but contact", "a signal of openness for the additive readout", "add one")
        if self.predictor.members > 1 and not additive:
            found = f"{self.predictor.path('members')} = {self.predictor.members} without the additive readout"
            yield self._problem(found, "one member", "train several runs with --seeds instead")
        if self.predictor.contact is not None and self.predictor.contact not in self.signals:
            found = f"{self.predictor.path('contact')} {self.predictor.contact!r}"
            yield self._problem(found, f"one of the signals {', '.join(self.signals)}")

    @property
    def stored_members(self) -> int | None:
        """Number of members whose effects a run stores; None for models that are not additive, and control masks."""
        return self.predictor.members if self.mask.head == "effect" and self.mask.kind == "learned" else None

    @property
    def band(self) -> str:
        """Meaning of the width of z.

        "beta", set by the priors; "members", the spread among the members of an ensemble; or "none", where alpha + beta
        is fixed.
        """
        if self.mask.head == "effect" and self.predictor.members > 1 and self.mask.kind == "learned":
            return "members"
        return "beta" if self.mask.head == "beta" else "none"

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
    """Flat name and field of a setting."""

    flat_name: str
    field: dataclasses.Field

    @property
    def default(self) -> Any:
        """The paper's value."""
        return self.field.default


def _table(kind: type[Settings]) -> Iterator[tuple[str, Setting]]:
    """Yield path and `Setting` of each field, and of each field of its groups."""
    for item in dataclasses.fields(kind):
        path = kind.path(item.name)
        if isinstance(item.default, Settings):
            yield from _table(type(item.default))
        else:
            yield path, Setting(_OTHER_FLAT_NAMES.get(path, item.name), item)


SETTINGS: dict[str, Setting] = dict(_table(Seq2ExpConfig))  # path, such as "prior.b" -> flat name and field
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
        raise InputError(Settings.WHERE, found=shown(values), expected="a table of settings", fix="correct it")
    for name, value in named_settings(values):
        if name not in PATHS:
            raise InputError.of(unknown_setting(Settings.WHERE, name, value))
        path = PATHS[name]
        if path in given:
            found = f"one setting under two names, {given[path][0]} and {name}"
            raise InputError(Settings.WHERE, found=found, expected="one of them", fix="remove one")
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
        found, fix = f"{name} = {shown(value)}", f"write {name} as a table, or its settings as {name}.NAME"
        return Problem(where, found=found, expected=f"a table with {inside}", fix=fix)
    known = [path for path in SETTINGS if path.startswith(f"{group}.")] if group in GROUPS else []
    known = known or [setting.flat_name for setting in SETTINGS.values()]
    near = [PATHS[last]] if group and last in PATHS else difflib.get_close_matches(name, [*known, *PATHS], 1, 0.6)
    fix = f"did you mean '{near[0]}'?" if near else "remove it"
    return Problem(where, found=f"an unknown key '{name[:60]}'", expected=f"one of {', '.join(known)}", fix=fix)


def _build(kind: type[Settings], values: Mapping[str, Any]) -> Any:
    """Make a group, and the groups in it, of path -> value; what is left out stays as it is by default."""
    fields = {}
    for item in dataclasses.fields(kind):
        path = kind.path(item.name)
        if isinstance(item.default, Settings):
            fields[item.name] = _build(type(item.default), values)
        elif path in values:
            fields[item.name] = values[path]
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
    # This project's own: the effect of every base on this gene, by an ensemble on an encoder of motifs
    # (docs/results.md).
    "causal": {
        "head": "effect",
        "readout": "additive",
        "encoder": 32,
        "encoder_filters": 64,
        "both_strands": True,
        "members": 5,
        "sparsity": 0.05,
    },
}

# What `causal` was before, for its stored runs, which name no setting that is newer: a mask that hides bases, a KL that
# leaves its mean free to move, an encoder of motifs, and a readout that distal elements reach.
LOGIT_RECIPE: dict[str, Any] = {
    "head": "logit",
    "kl": "mean",
    "kl_weight": 0.1,
    "prior_scale": 0.1,
    "apply": "gate",
    "encoder": 48,
    "log_signals": True,
    "readout": "window",
    "encoder_filters": 0,
    "both_strands": False,
    "members": 1,
    "sparsity": 0.0,
}


def recipe(variant: str, **settings: Any) -> Seq2ExpConfig:
    """Return the settings of a variant, changed where `settings` says so.

    Parameters
    ----------
    variant : str
        "soft" and "hard" as published, or "causal", this project's own.
    **settings : Any
        By flat name, as on the command line (`d_model=32`, `prior_b=(1.5, 0.2)`, `decision="top"`), or in
        groups (`backbone={"d_model": 32}`).

    Raises
    ------
    InputError
        As `Seq2ExpConfig.from_dict`.
    """
    usual = RECIPES.get(variant, {}) if isinstance(variant, str) else {}  # another type is told below
    return Seq2ExpConfig.from_dict(merged(usual, {"variant": variant, **settings}))


def read_model_config(described: Mapping[str, Any]) -> Seq2ExpConfig | None:
    """Read a model's settings out of the content of a run's config.json, in groups or with flat names.

    Settings that are missing, as in runs of older versions, are those of the variant's recipe.

    Parameters
    ----------
    described : Mapping[str, Any]
        `Run.config`.

    Returns
    -------
    Seq2ExpConfig or None
        None where config.json has no settings of a model.

    Raises
    ------
    InputError
        As `Seq2ExpConfig.from_dict`: for instance a setting that only a newer version knows.
    """
    stated = described.get("model") if isinstance(described, Mapping) else None
    if stated is None or stated == {}:
        return None
    given = given_settings(stated)  # raises for settings that are no table or unknown
    variant = given.get("variant", ("", Seq2ExpConfig.variant))[1]
    usual = LOGIT_RECIPE if variant == "causal" else RECIPES.get(variant, {}) if isinstance(variant, str) else {}
    return Seq2ExpConfig.from_dict(merged(usual, {"variant": variant, **stated}))


def model_config(described: Mapping[str, Any]) -> Seq2ExpConfig | None:
    """Return `read_model_config`, or None where the settings cannot be read."""
    try:
        return read_model_config(described)
    except InputError:
        return None


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Training settings; the defaults are the paper's recipe.

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
    pretrain_crops
        Stretches of 512 bp, cut out of the windows of a batch, that a step of the encoder reads; 0 for whole windows.
    motif_seeds
        Filters of the encoder that begin as words of DNA that stand where signals are high; 0 for none.
    block_steps
        Of `steps`, the first in which the predictor learns under random-block masks; 0 for none.
    mean_z
        Whether the draw of z is replaced by its mean, which makes training deterministic.
    """

    WHERE: ClassVar[str] = "training settings"
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"precision": _PRECISIONS}
    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("batch_size", "accumulate", "validations_per_epoch"), counts(_MOST_STEPS)),
        **dict.fromkeys(("steps", "warmup", "pretrain_steps", "block_steps"), counts(_MOST_STEPS, low=0)),
        **dict.fromkeys(("pretrain_crops", "motif_seeds"), counts(_MOST_CROPS, low=0)),
        "workers": counts(_MOST_WORKERS, low=0),
        "weight_decay": NOT_NEGATIVE,
        **dict.fromkeys(("lr", "lr_start", "lr_end", "clip", "pretrain_lr"), POSITIVE),
        "betas": SHARE_OR_0,
        "seed": counts(2**32 - 1, low=0),
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
    pretrain_crops: int = 0
    motif_seeds: int = 0
    block_steps: int = 0
    mean_z: bool = False


def causal_stages(steps: int) -> dict[str, int | float]:
    """Return the settings of `TrainConfig` by which a causal model is trained, unless others are given.

    The encoder learns the signals first, from words where they are high, for three times as many steps, at most 10,000.
    The values were found on small simulated studies (benchmarks/worlds.py) and are not tuned at the paper's size.

    Parameters
    ----------
    steps : int
        Steps of the training (`TrainConfig.steps`).
    """
    first = {"pretrain_steps": min(3 * steps, 10_000), "pretrain_crops": 32, "motif_seeds": 32}
    return {**first, "batch_size": 32, "lr": 3e-3, "warmup": min(steps // 20, 1_000), "weight_decay": 1e-3}
