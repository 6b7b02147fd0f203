"""Checkpoints, ours and the authors': exact round trips, and files that must not run code."""

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from model_core import load_checkpoint
from model_core.config import recipe
from model_core.errors import InputError
from model_core.model.build import build_model
from model_core.model.checkpoint import convert, load_with_metadata, save_checkpoint
from model_core.model.released_checkpoint import our_key
from model_core.model.torch_archive import TorchArchive

TINY = {"window": 256, "promoter": 32, "d_model": 8, "n_layers": 1}


def saved(folder, variant, **settings):
    torch.manual_seed(3)
    path = folder / f"{variant}.safetensors"
    save_checkpoint(path, build_model(recipe(variant, **TINY, **settings)), {"step": 7})
    return path


def stored_state(path) -> dict[str, torch.Tensor]:
    """Return the state_dict of a .ckpt under its own names."""
    with TorchArchive(path) as archive:
        return {name: archive.tensor(tensor) for name, tensor in archive.content["state_dict"].items()}


@pytest.mark.parametrize("variant", ["soft", "hard"])
def test_round_trip_through_the_authors_format_is_exact(tmp_path, variant):
    ours = saved(tmp_path, variant)
    convert(ours, tmp_path / "theirs.ckpt")
    convert(tmp_path / "theirs.ckpt", tmp_path / "again.safetensors")
    before, after = load_checkpoint(ours, "cpu"), load_checkpoint(tmp_path / "again.safetensors", "cpu")
    assert all(
        torch.equal(a, b) for a, b in zip(before.state_dict().values(), after.state_dict().values(), strict=True)
    )
    assert np.allclose(before.config.prior.w, after.config.prior.w)
    exact = before.config.prior  # the format rounds w
    assert np.allclose(exact.b, after.config.prior.b)
    assert after.config.replace(prior=exact) == before.config


@pytest.mark.parametrize("name", ["tiny_soft", "tiny_hard"])
def test_the_authors_keys_come_back_as_they_were(shared_golden, tmp_path, name):
    theirs = shared_golden / name / "checkpoint.ckpt"
    convert(theirs, tmp_path / "ours.safetensors")
    convert(tmp_path / "ours.safetensors", tmp_path / "back.ckpt")
    before, after = (stored_state(path) for path in (theirs, tmp_path / "back.ckpt"))
    assert set(before) == set(after)
    for key in before:
        exact = our_key(key.removeprefix("model.")) not in ("prior_weights", "signal_betas")
        assert torch.equal(before[key], after[key]) if exact else torch.allclose(before[key], after[key])


def test_a_causal_model_has_no_place_in_the_authors_format(tmp_path):
    with pytest.raises(InputError, match="as published"):
        convert(saved(tmp_path, "causal"), tmp_path / "no.ckpt")


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.safetensors or \.ckpt"):
        convert(saved(tmp_path, "soft"), tmp_path / "model.pt")


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hacked",)


@pytest.mark.parametrize("where", ["whole", "state_dict", "hyper_parameters"])
def test_a_checkpoint_cannot_run_code(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    content = Hostile() if where == "whole" else {where: Hostile()}
    with zipfile.ZipFile(tmp_path / "evil.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
    with pytest.raises(InputError, match="system"):
        load_checkpoint(tmp_path / "evil.ckpt", "cpu")
    assert not (tmp_path / "hacked").exists()


def test_missing_and_unknown_keys_are_named(tmp_path):
    path = saved(tmp_path, "soft")
    model, metadata = load_with_metadata(path, "cpu")
    model.mask_output = model.mask_head
    del model.mask_head
    save_checkpoint(path, model, metadata)
    with pytest.raises(InputError, match=r"without mask_head.bias.*unknown mask_output.bias"):
        load_checkpoint(path, "cpu")


def test_settings_that_the_published_models_do_not_use_are_refused(tmp_path):
    convert(saved(tmp_path, "soft"), tmp_path / "theirs.ckpt")
    content = torch.load(tmp_path / "theirs.ckpt", weights_only=True)
    content["hyper_parameters"]["model"]["config"]["rcps"] = True
    torch.save(content, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match="rcps = True"):
        load_checkpoint(tmp_path / "odd.ckpt", "cpu")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"hello\n", "no zip archive"),
        (b"\x80\x02}q\x00.", "bare pickle"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{}", r"ending \.safetensors"),
        (b"PK\x03\x04cut", "cut-off zip"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_called_what_it_is(tmp_path, content, words):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=words):
        TorchArchive(tmp_path / "x.ckpt")
