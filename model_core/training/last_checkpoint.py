"""State of an interrupted training (training/last.ckpt), checked before Lightning reads it.

Lightning writes it with torch.save and restores weights, moments of the optimiser, schedule and loop counters from it,
and believes what it reads. Here the archive is described first (`torch_archive`) and compared with the model and the
settings that it is to go on with; its checksums are compared once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor

from model_core.config import Seq2ExpConfig, TrainConfig
from model_core.errors import InputError
from model_core.model.stored_weights import described_model, require_fit
from model_core.model.torch_archive import StoredTensor, TorchArchive
from model_core.settings import shown

_MOST_VALUES = 100_000  # of the counters and lists beside the tensors; Lightning's have some 300
_MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW


def step_of(path: str | Path, config: Seq2ExpConfig, training: TrainConfig) -> int:
    """Return the number of steps that an interrupted training has done.

    Parameters
    ----------
    path : str or Path
        last.ckpt; where it is missing, no step is done.
    config : Seq2ExpConfig
        Settings of the model that is trained.
    training : TrainConfig
        Settings of the training.

    Raises
    ------
    InputError
        The file is damaged, or is not the state of a training with these settings.
    """
    path = Path(path)
    if not path.exists():
        return 0
    with TorchArchive(path) as archive:
        content = archive.content
        step, best = content.get("global_step"), content.get("best_mse")
        if type(step) is not int or not 0 <= step <= training.steps:
            _refuse(path, f"global_step {shown(step)}", f"0 to {training.steps:,}")
        if not isinstance(best, (int, float)) or not best >= 0:
            _refuse(path, f"best_mse {shown(best)}", "the error of the best validation")
        described = _tensors(path, "state_dict", content.get("state_dict"))
        model = described_model(config, len(described), path)
        wanted = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        require_fit(wanted, described, path, "the weights of this training")
        _check_optimiser(path, content.get("optimizer_states"), [p for _, p in model.named_parameters()])
        others = ("epoch", "loops", "callbacks", "lr_schedulers", "pytorch-lightning_version")
        values = {name: value for name, value in content.items() if name in others}
        for name, kind in zip(others, (int, dict, dict, list, str), strict=True):
            if type(values.get(name)) is not kind:
                _refuse(path, f"{name} {shown(values.get(name))}", f"a {kind.__name__}")
        if sum(1 for _ in _plain(path, values)) > _MOST_VALUES:
            _refuse(path, f"over {_MOST_VALUES:,} values", "the counters of a training")
        archive.check()
    return step


def _tensors(path: Path, name: str, found: Any) -> dict[str, StoredTensor]:
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(value, StoredTensor) for key, value in found.items()
    ):
        _refuse(path, f"{name} {shown(type(found).__name__)} of something else than tensors", "tensors by name")
    return found


def _check_optimiser(path: Path, states: Any, parameters: list[Tensor]) -> None:
    """Check that the optimiser's moments have the shapes of the model's parameters, in its own order of them."""
    state = states[0] if isinstance(states, list) and len(states) == 1 else None
    moments, groups = (state.get(name) if isinstance(state, dict) else None for name in ("state", "param_groups"))
    if not isinstance(moments, dict) or not isinstance(groups, list) or len(groups) > len(parameters):
        _refuse(path, "no state of one optimiser", "that of AdamW")
    shapes = sorted(tuple(parameter.shape) for parameter in parameters)
    found = []
    for number, held in moments.items():
        kept = _tensors(path, f"moments {shown(number)}", held)
        if set(kept) != {"step", *_MOMENTS} or kept["step"].shape != () or len({kept[x].shape for x in _MOMENTS}) != 1:
            _refuse(path, f"moments {shown(number)} of another optimiser", "those of AdamW")
        found.append(tuple(kept[_MOMENTS[0]].shape))
    left = list(shapes)
    for shape in found:
        if shape not in left:
            _refuse(path, f"moments of shape {shape}", "those of this model's parameters")
        left.remove(shape)
    for _ in _plain(path, groups):
        pass


def _plain(path: Path, value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the values of a tree of dicts and lists; refuse tensors, other objects and trees that are too deep."""
    if depth > 20:
        _refuse(path, "values nested over 20 deep", "the counters of a training")
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _plain(path, key, depth + 1)
            yield from _plain(path, inner, depth + 1)
    elif isinstance(value, (list, tuple)) and not isinstance(value, StoredTensor):
        for inner in value:
            yield from _plain(path, inner, depth + 1)
    elif value is None or isinstance(value, (bool, int, float, str)):
        yield value
    else:
        _refuse(path, f"a {type(value).__name__} among the counters", "numbers and text")


def _refuse(path: Path, found: str, expected: str) -> NoReturn:
    do = "copy it again, or remove the folder `training` to begin anew"
    raise InputError(path, found=found, expected=expected, fix=do)
