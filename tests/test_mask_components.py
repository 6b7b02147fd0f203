"""The two parts of a mask: what is taken apart here is what the network put together."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from model_core.beta import LEARNED, PROMOTER
from model_core.config import LOGIT_RECIPE, recipe
from model_core.errors import InputError
from model_core.evaluation.mask_components import LearnedNumbers, learned_numbers, mask_parts
from model_core.model import mask as masks
from model_core.model.seq2exp import Seq2Exp
from model_core.run_folder.mask_store import GeneMask, binned, packed

LENGTH, PROMOTER_LENGTH = 256, 16
TINY = {"window": LENGTH, "promoter": PROMOTER_LENGTH, "d_model": 8, "n_layers": 1}


def model_and_input(variant: str, **settings):
    torch.manual_seed(1)
    model = Seq2Exp(recipe(variant, **TINY, **settings)).eval()
    with torch.no_grad():  # a fresh head says almost the same everywhere
        model.mask_head.weight.mul_(6)
        if model.signal_logit is not None:
            model.signal_logit.weight.copy_(torch.tensor([[0.7, -0.3, 0.4]]))
    rng = np.random.default_rng(2)
    sequence = np.eye(4, dtype=np.float32)[rng.integers(0, 4, LENGTH)][None]
    signals = rng.gamma(0.5, 2.0, (1, LENGTH, 3)).astype(np.float32)
    return model, torch.from_numpy(sequence), torch.from_numpy(signals)


def stored(alpha, beta, resolution: int = 1) -> GeneMask:
    """The mask as a run gives it back: averaged into bins, through float16, the promoter forced."""
    bins = LENGTH // resolution
    halves = packed(*(binned(values.detach().numpy()[0], bins) for values in (alpha, beta)))
    forced = np.full(bins, LEARNED, np.int8)
    forced[bins // 2 - 2 : bins // 2 + 2] = PROMOTER
    return GeneMask("chr1", 0, LENGTH, resolution, *(half.astype(np.float32) for half in halves), forced)


@pytest.mark.parametrize(
    ("variant", "settings"),
    [("soft", {}), ("soft", {"beta_product_exact": True}), ("soft", {"z_scale": 2.0}), ("hard", {"beta_min": 0.5})],
)
@pytest.mark.parametrize("resolution", [1, 4])
@torch.no_grad()
def test_beta_parts_are_those_of_the_network(variant, settings, resolution):
    model, sequence, signals = model_and_input(variant, **settings)
    config = model.config
    says_network = masks.sequence_beta(model.mask_head(model.read_sequence(sequence, signals)), config)
    says_signals = masks.signal_beta(signals, config)
    parts = mask_parts(
        stored(*masks.posterior(says_network, says_signals, config), resolution), signals.numpy()[0], config
    )
    a1, b1, a2, b2 = (binned(values.numpy()[0], LENGTH // resolution) for values in (*says_network, *says_signals))
    known = np.isfinite(parts.network)
    assert known.mean() > 0.9
    assert np.abs(parts.network - a1 / (a1 + b1))[known].max() < 0.03
    inside = np.isfinite(parts.signals)
    np.testing.assert_allclose(parts.signals[inside], (a2 / (a2 + b2))[inside], rtol=1e-5)
    weight = ((a2 + b2) / (a1 + b1 + a2 + b2))[inside].mean()
    assert parts.signal_weight == pytest.approx(weight, abs=0.1 if config.mask.beta_product_exact else 0.01)


@torch.no_grad()
def test_parts_of_the_logit_head_and_of_a_learned_scale_come_from_the_checkpoint(tmp_path):
    model, sequence, signals = model_and_input("causal", **LOGIT_RECIPE)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, tmp_path / "c.safetensors")
    z = model.mask_parameters(sequence, signals)
    learned = learned_numbers(tmp_path / "c.safetensors", model.config)
    parts = mask_parts(stored(*z), signals.numpy()[0], model.config, learned)
    logits = model.mask_head(model.read_sequence(sequence, signals))[0]
    here = np.isfinite(parts.network)
    assert here.sum() > 0.8 * LENGTH  # elsewhere the store has rounded it away
    np.testing.assert_allclose(parts.network[here], torch.sigmoid(logits[:, 1] - logits[:, 0]).numpy()[here], atol=2e-3)
    by_signals = torch.sigmoid(model.signal_logit(torch.log1p(signals))[0, :, 0]).numpy()
    np.testing.assert_allclose(parts.signals[here], by_signals[here], rtol=1e-5)
    np.testing.assert_allclose(parts.difference[here], (parts.network - parts.signals)[here])

    soft, *_ = model_and_input("soft", prior_learned=True)
    save_file({"log_prior_scale": soft.log_prior_scale.detach() + 0.5}, tmp_path / "s.safetensors")
    scale = learned_numbers(tmp_path / "s.safetensors", soft.config).prior_scale
    assert scale == pytest.approx(10 * np.exp(0.5))


def test_what_float16_has_lost_is_not_made_up():
    """At a signal of 2,000 the store steps by 16, which is more than all that the network adds."""
    model, sequence, signals = model_and_input("soft")
    signals[0, 10] = 2_000.0
    with torch.no_grad():
        mask = stored(*model.mask_parameters(sequence, signals))
    parts = mask_parts(mask, signals.numpy()[0], model.config)
    assert np.isnan(parts.network[10])
    assert parts.signals[10] > 0.99
    assert np.isnan(parts.network[mask.forced == PROMOTER]).all()


def test_what_cannot_be_split_is_said(tmp_path):
    model, sequence, signals = model_and_input("causal", **LOGIT_RECIPE)
    with torch.no_grad():
        z = model.mask_parameters(sequence, signals)
    with pytest.raises(InputError, match="checkpoint"):
        mask_parts(stored(*z), signals.numpy()[0], model.config)
    with pytest.raises(InputError, match="resolution of 1 bp"):
        mask_parts(stored(*z, 4), signals.numpy()[0], model.config, LearnedNumbers(weight=np.ones(3), bias=0.0))
    with pytest.raises(InputError, match=r"checkpoint"):
        learned_numbers(tmp_path / "missing.safetensors", model.config)
    control = recipe("soft", **TINY, mask="random")
    with pytest.raises(InputError, match="control 'random'"):
        mask_parts(stored(*z), signals.numpy()[0], control)
