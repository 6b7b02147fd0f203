"""Weights on disk against a model: names, shapes and types are compared before anything is allocated or read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from model_core.config import Seq2ExpConfig
from model_core.errors import InputError
from model_core.model.build import build_model
from model_core.model.gene_model import GeneModel

_SHOWN = 5  # names in a message
_FIX = "check that weights and settings belong together"


class Described(Protocol):
    """What a file says about one of its tensors."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> torch.dtype: ...


def described_model(config: Seq2ExpConfig, stored: int, where: str | Path) -> GeneModel:
    """Return a model without memory for its parameters (on torch's meta device).

    Parameters
    ----------
    config : Seq2ExpConfig
        The settings.
    stored : int
        Number of tensors in the file; a model has more than one per block, so this bounds the blocks.
    where : str or Path
        File that error messages name.

    Raises
    ------
    InputError
        The file has fewer tensors than the settings have blocks.
    """
    parts, words = config.backbone.n_layers, "blocks"
    if config.mask.head == "effect":
        parts, words = config.predictor.members, "members"
    if parts > stored:
        found, expected = f"{stored} tensors", f"the parameters of {parts} {words}"
        raise InputError(where, found=found, expected=expected, fix=_FIX)
    with torch.device("meta"):
        return build_model(config)


def require_fit(wanted: Mapping[str, Tensor], found: Mapping[str, Described], where: str | Path, what: str) -> None:
    """Compare what a file describes with the state of a model or of a part of it.

    Parameters
    ----------
    wanted : Mapping[str, Tensor]
        The state; only shapes and types are used.
    found : Mapping[str, Described]
        What the file holds; floating-point numbers of another width are converted when they are read.
    where : str or Path
        File that error messages name.
    what : str
        The model in words, for messages.

    Raises
    ------
    InputError
        Names are missing or unknown, or shapes or types differ.
    """
    problems = [
        f"{words} {_listed(names)}"
        for words, names in (
            ("without", sorted(set(wanted) - set(found))),
            ("with unknown", sorted(set(found) - set(wanted))),
        )
        if names
    ]
    for name in sorted(set(wanted) & set(found)):
        shape, dtype = tuple(found[name].shape), found[name].dtype
        if shape != tuple(wanted[name].shape):
            problems.append(f"{name} of shape {shape} instead of {tuple(wanted[name].shape)}")
        elif dtype != wanted[name].dtype and not (dtype.is_floating_point and wanted[name].is_floating_point()):
            problems.append(f"{name} of type {dtype} instead of {wanted[name].dtype}")
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if problems[_SHOWN:] else ""
        raise InputError(where, found="; ".join(problems[:_SHOWN]) + more, expected=what, fix=_FIX)


def filled(model: GeneModel, read: Callable[[str], Tensor]) -> GeneModel:
    """Give a model of `described_model` its memory, on the CPU, and its parameters, one after the other.

    Parameters
    ----------
    model : GeneModel
        The model, which `require_fit` has compared with the file.
    read : callable
        Returns the tensor of a name.
    """
    # As `to_empty`, which asks torch's meta device for each tensor and imports sympy for that.
    memory = {name: torch.empty(held.shape, dtype=held.dtype) for name, held in model.state_dict().items()}
    model.load_state_dict(memory, assign=True)
    with torch.no_grad():
        for name, parameter in model.state_dict().items():
            parameter.copy_(read(name))
    return model


def in_words(config: Seq2ExpConfig) -> str:
    """Return what `require_fit` calls the parameters of a model."""
    return f"the parameters of a {config.variant} model of width {config.backbone.d_model}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if names[_SHOWN:] else ""
    return ", ".join(name[:100] for name in names[:_SHOWN]) + more
