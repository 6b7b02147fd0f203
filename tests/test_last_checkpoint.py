"""State of an interrupted training: read where it fits the training, refused in words where it does not."""

import math
import random

import numpy as np
import pytest
import torch

from model_core.config import TrainConfig, recipe
from model_core.errors import InputError
from model_core.model.seq2exp import Seq2Exp
from model_core.training.last_checkpoint import step_of
from model_core.training.lightning_module import optimiser
from model_core.training.pretrain import _resume

CONFIG = recipe("soft", window=256, promoter=32, d_model=8, n_layers=1)
TRAINING = TrainConfig(steps=5)


@pytest.fixture(scope="module")
def content():
    """Return what Lightning writes, as far as it is looked at."""
    torch.manual_seed(0)
    model = Seq2Exp(CONFIG)
    optim = optimiser(model, TRAINING)
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optim.step()
    return {
        "epoch": 0,
        "global_step": 3,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {f"model.{name}": tensor for name, tensor in model.state_dict().items()},
        "loops": {"fit_loop": {"batch_progress": {"total": {"ready": 3}, "is_last_batch": False}}},
        "callbacks": {},
        "optimizer_states": [optim.state_dict()],
        "lr_schedulers": [{"last_epoch": 3, "_last_lr": [1e-4]}],
        "best_mse": math.inf,
    }


def test_a_state_that_fits_is_read(content, tmp_path):
    assert step_of(tmp_path / "last.ckpt", CONFIG, TRAINING) == 0  # nothing is there
    torch.save(content, tmp_path / "last.ckpt")
    assert step_of(tmp_path / "last.ckpt", CONFIG, TRAINING) == 3


def moments(content, **changes) -> list:
    """Return the optimiser's state with other moments of its first parameter."""
    (state,) = content["optimizer_states"]
    return [{**state, "state": {**state["state"], 0: {**state["state"][0], **changes}}}]


CHANGES = {
    "a step beyond the last": lambda _: {"global_step": 6},
    "a step below 0": lambda _: {"global_step": -1},
    "a step that is a bool": lambda _: {"global_step": True},
    "a step that is a float": lambda _: {"global_step": 3.0},
    "a step that is a tensor": lambda _: {"global_step": torch.tensor(3)},
    "a best error of NaN": lambda _: {"best_mse": math.nan},
    "a best error that is text": lambda _: {"best_mse": "1"},
    "no weights": lambda _: {"state_dict": {}},
    "weights that are numbers": lambda _: {"state_dict": {"x": 1}},
    "weights that are a list": lambda _: {"state_dict": []},
    "one more weight": lambda c: {"state_dict": {**c["state_dict"], "model.more": torch.zeros(2)}},
    "a weight of another shape": lambda c: {"state_dict": {**c["state_dict"], "model.mask_head.bias": torch.zeros(9)}},
    "an expanded weight": lambda c: {
        "state_dict": {**c["state_dict"], "model.mask_head.bias": torch.zeros(1).expand(2)}
    },
    "a weight of integers": lambda c: {
        "state_dict": {**c["state_dict"], "model.mask_head.bias": torch.zeros(2, dtype=torch.int64)}
    },
    "no optimiser": lambda _: {"optimizer_states": []},
    "an optimiser that is text": lambda _: {"optimizer_states": ["x"]},
    "moments of another shape": lambda c: {
        "optimizer_states": moments(c, exp_avg=torch.zeros(999), exp_avg_sq=torch.zeros(999))
    },
    "moments of two shapes": lambda c: {"optimizer_states": moments(c, exp_avg=torch.zeros(3))},
    "moments that are numbers": lambda c: {"optimizer_states": moments(c, exp_avg=1)},
    "one more moment": lambda c: {"optimizer_states": moments(c, more=torch.zeros(1))},
    "loops that are a list": lambda _: {"loops": []},
    "a tensor among the loops": lambda _: {"loops": {"x": torch.zeros(1)}},
    "schedules that are a dict": lambda _: {"lr_schedulers": {}},
    "an epoch that is text": lambda _: {"epoch": "x"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_state_of_another_training_is_refused(content, tmp_path, change):
    torch.save({**content, **CHANGES[change](content)}, tmp_path / "last.ckpt")
    with pytest.raises(
        InputError, match=r"remove the folder `training`|weights and settings belong together|do not trust"
    ):
        step_of(tmp_path / "last.ckpt", CONFIG, TRAINING)


@pytest.mark.parametrize("name", ["global_step", "best_mse", "state_dict", "optimizer_states", "loops", "epoch"])
def test_a_state_that_lacks_something_is_refused(content, tmp_path, name):
    torch.save({key: value for key, value in content.items() if key != name}, tmp_path / "last.ckpt")
    with pytest.raises(InputError):
        step_of(tmp_path / "last.ckpt", CONFIG, TRAINING)


def test_a_state_with_a_flipped_bit_is_refused_or_the_same(content, tmp_path):
    path, rng, refused = tmp_path / "last.ckpt", random.Random(0), 0
    torch.save(content, path)
    data = path.read_bytes()
    for at in rng.sample(range(8 * len(data)), 40):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        try:
            assert step_of(path, CONFIG, TRAINING) == 3
        except InputError:
            refused += 1
            continue
        again = torch.load(path, weights_only=True)["state_dict"]
        assert all(torch.equal(again[name], tensor) for name, tensor in content["state_dict"].items())
    assert refused > 10  # the others fall between the members of the zip


@pytest.mark.parametrize("content", [{}, {"numpy": "no state", "torch": torch.zeros(3), "errors": []}])
def test_a_state_of_another_pretraining_is_refused(tmp_path, content):
    path = tmp_path / "pretraining.ckpt"
    torch.save(content, path)
    with pytest.raises(InputError, match=r"remove pretraining\.ckpt to pre-train anew"):
        _resume(path, {}, np.random.default_rng(1))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"pretraining\.ckpt"):
        _resume(path, {}, np.random.default_rng(1))
