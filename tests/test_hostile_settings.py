"""Settings from files of unknown origin: any value is either used or refused in words, never half believed."""

import json
import math
import random
import struct

import pytest
import torch

from model_core import load_checkpoint
from model_core.config import SETTINGS, Seq2ExpConfig, TrainConfig, read_model_config, recipe
from model_core.errors import InputError
from model_core.model.checkpoint import save_checkpoint
from model_core.model.seq2exp import Seq2Exp
from model_core.safetensors_header import read_header

TINY = {"window": 256, "promoter": 32, "d_model": 8, "n_layers": 1}
LEAVES = [
    *(None, True, False, 0, 1, -1, 2, 64, 300, 10**6, -(10**6), 2**31, 2**63, 10**30, 10**400),
    *(0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, math.nan, math.inf, -math.inf),
    *("", "x", "soft", "nan", "1", "x" * 5000, "\0", "\ud800", "H3K27ac", {}, {"a": 1}, []),
]
NAMES = sorted({*SETTINGS, *(setting.flat_name for setting in SETTINGS.values()), "backbone", "prior", "mask", "none"})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("settings") / "model.safetensors"
    save_checkpoint(path, Seq2Exp(recipe("soft", **TINY)), {"step": 7})
    return path


def changed(path, copy, keep_digest=False, **metadata):
    """Write a checkpoint again with other entries of its metadata, and return its path."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] |= metadata
    if not keep_digest:
        header["__metadata__"].pop("sha256")
    text = json.dumps(header).encode()
    copy.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return copy


def value(rng: random.Random) -> object:
    """Return a value of any kind: alone, or several in a list."""
    return rng.choice(LEAVES) if rng.random() < 0.7 else [rng.choice(LEAVES) for _ in range(rng.randrange(5))]


def outcome(read) -> object:
    """Return what `read` gives, or an InputError of few words."""
    try:
        return read()
    except InputError as error:
        told = error
    assert told.found
    assert len(str(told)) < 3000
    return told


def test_settings_of_any_kind_are_read_or_refused():
    rng, read = random.Random(0), 0
    alone = [{name: leaf} for name in NAMES for leaf in LEAVES]
    mixed = [{rng.choice(NAMES): value(rng) for _ in range(rng.randrange(4))} for _ in range(300)]
    for values in [*alone, *mixed, {"prior_b": [10**400] * 3}, {"signals": ["x" * 10**6] * 3}]:
        for described in ({"model": values}, values, {"model": [values]}):
            config = outcome(lambda described=described: read_model_config(described))
            read += isinstance(config, Seq2ExpConfig)
            assert config is None or isinstance(config, InputError) or config.backbone.n_layers <= 256
    assert read > 100


def test_a_header_with_settings_of_any_kind_gives_a_model_of_its_weights_or_words(checkpoint, tmp_path):
    rng, read = random.Random(1), 0
    for _ in range(80):
        config = {
            **recipe("soft", **TINY).to_dict(),
            **{rng.choice(NAMES): value(rng) for _ in range(rng.randrange(3))},
        }
        copy = changed(checkpoint, tmp_path / "changed.safetensors", config=json.dumps(config))
        model = outcome(lambda copy=copy: load_checkpoint(copy, "cpu"))
        read += isinstance(model, Seq2Exp)
        assert isinstance(model, InputError) or sum(p.numel() for p in model.parameters()) < 10**5
    assert 5 < read < 75


@pytest.mark.parametrize("values", [{"precision": "33"}, {"workers": 10**6}, {"steps": 10**12}, {"lr": float("nan")}])
def test_settings_of_a_training_have_ends(values):
    with pytest.raises(InputError):
        TrainConfig(**values)


@pytest.mark.parametrize("name", ["config", "metadata"])
@pytest.mark.parametrize("text", ["", "[]", "1", "{", "[" * 10**5, '{"a": NaN', "null"])
def test_entries_of_a_header_that_are_no_tables_are_refused(checkpoint, tmp_path, name, text):
    with pytest.raises(InputError):
        load_checkpoint(changed(checkpoint, tmp_path / "x.safetensors", **{name: text}), "cpu")


@pytest.mark.parametrize(
    "metadata",
    [
        *(
            {"signals": 1},
            {"signals": [1]},
            {"signals": [{"name": "x"}]},
            {"signals": [{"name": [], "transform": "x"}]},
        ),
        *({"feature_scale": 1}, {"feature_scale": {"mean": "x"}}, {"feature_scale": {"mean": [None]}}),
        *({"signal_quantiles": []}, {"signal_quantiles": {"x": {"y": 1}}}, {"signal_quantiles": {"x": {"0.9": "z"}}}),
    ],
)
def test_metadata_that_scoring_cannot_read_are_refused(checkpoint, tmp_path, metadata):
    with pytest.raises(InputError, match="metadata"):
        load_checkpoint(changed(checkpoint, tmp_path / "x.safetensors", metadata=json.dumps(metadata)), "cpu")


def test_a_checkpoint_with_a_flipped_bit_is_refused_or_the_same(checkpoint, tmp_path):
    before, rng, refused = load_checkpoint(checkpoint, "cpu"), random.Random(0), 0
    data = checkpoint.read_bytes()
    for at in rng.sample(range(8 * len(data)), 50):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        copy = tmp_path / "flipped.safetensors"
        copy.write_bytes(flipped)
        try:
            model = load_checkpoint(copy, "cpu")
        except InputError:
            refused += 1
            continue
        assert model.config == before.config
        assert all(map(torch.equal, model.state_dict().values(), before.state_dict().values()))
    assert refused > 45


def test_a_checkpoint_without_a_digest_is_read_and_one_of_other_settings_is_not(checkpoint, tmp_path):
    assert "sha256" in read_header(checkpoint).metadata
    config = json.dumps(recipe("soft", **TINY).replace(z_scale=2.0).to_dict())
    copy = tmp_path / "x.safetensors"
    assert load_checkpoint(changed(checkpoint, copy, config=config), "cpu").config.mask.z_scale == 2
    with pytest.raises(InputError, match="a damaged file"):
        load_checkpoint(changed(checkpoint, copy, keep_digest=True, config=config), "cpu")
