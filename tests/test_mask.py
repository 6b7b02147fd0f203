"""The mask's formulas, worked by hand."""

import math

import numpy as np
import pytest
import torch

from model_core.beta import BLACKLISTED, LEARNED, PROMOTER, force, forced_state
from model_core.config import recipe
from model_core.model import mask as masks
from model_core.model.mask import BetaParameters

SOFT, HARD = recipe("soft"), recipe("hard")


def test_sequence_logits_feed_beta_first_and_alpha_second():
    z = masks.sequence_beta(torch.tensor([[[0.0, math.log(math.e - 1)]]]), SOFT)
    assert z.beta.item() == pytest.approx(math.log(2) + 1)
    assert z.alpha.item() == pytest.approx(1 + 1)


def test_signal_prior_worked_by_hand():
    z = masks.signal_beta(torch.tensor([[[3.0, 0.5, 2.0]]]), SOFT)
    # w = .4, .4, .2; (s + 1) 10 = 40, 15, 30; (b + 1) 10 = 25, 12, 20
    assert z.alpha.item() == pytest.approx(0.4 * 40 + 0.4 * 15 + 0.2 * 30)
    assert z.beta.item() == pytest.approx(0.4 * 25 + 0.4 * 12 + 0.2 * 20)


def test_hard_prior_has_no_floor():
    z = masks.signal_beta(torch.zeros(1, 1, 3), HARD)
    assert z.alpha.item() == pytest.approx(0, abs=1e-7)
    assert z.beta.item() == pytest.approx(0.4 * 1.5 + 0.4 * 0.2 + 0.2 * 1.0)


def test_without_signal_alpha_and_beta_of_soft_add_up_to_about_32():
    zero = masks.posterior(
        masks.sequence_beta(torch.zeros(1, 1, 2), SOFT), masks.signal_beta(torch.zeros(1, 1, 3), SOFT), SOFT
    )
    assert (zero.alpha + zero.beta).item() == pytest.approx(32.2, abs=0.1)


def test_promoter_is_kept_even_where_blacklisted():
    blacklist = torch.tensor([[False, True, True, False, False]])
    kept = masks.force(torch.full((1, 5), 0.3), blacklist, slice(2, 4))
    assert torch.allclose(kept, torch.tensor([[0.3, 0.0, 1.0, 1.0, 0.3]]))


def test_threshold_itself_is_kept_and_the_gradient_passes_straight_through():
    z = torch.tensor([[0.49, 0.5, 0.51]], requires_grad=True)
    hard = masks.straight_through(z, 0.5)
    assert hard.tolist() == [[0.0, 1.0, 1.0]]
    assert torch.autograd.grad(hard.sum(), z)[0].tolist() == [[1.0, 1.0, 1.0]]


def test_kl_is_zero_at_the_marginal_and_right_beside_it():
    at = BetaParameters(torch.full((1, 3), 10.0), torch.full((1, 3), 90.0))
    assert masks.kl_to_marginal(at, SOFT).item() == pytest.approx(0, abs=1e-5)
    # KL(Beta(2, 1) || Beta(1, 1)) = log 2 - 1/2
    uniform = recipe("soft", kl_mu=0.5, kl_scale=1.0)
    beside = BetaParameters(torch.full((1, 1), 2.0), torch.full((1, 1), 1.0))
    assert masks.kl_to_marginal(beside, uniform).item() == pytest.approx(math.log(2) - 0.5, abs=1e-6)


def test_draws_have_the_mean_and_spread_of_their_beta():
    torch.manual_seed(0)
    z = masks.draw(BetaParameters(torch.full((1, 40_000), 3.0), torch.full((1, 40_000), 1.0)), SOFT)
    assert z.mean().item() == pytest.approx(0.75, abs=0.005)
    assert z.var().item() == pytest.approx(3 / (16 * 5), abs=0.002)


def test_forcing_is_one_rule_for_tensors_arrays_and_stored_bins():
    promoter, blacklist = np.array([False, True, True, False]), np.array([False, False, True, True])
    z = np.array([[0.25, 0.5, 0.75, 1.0]], np.float32)
    assert force(z, promoter, blacklist).tolist() == [[0.25, 1, 1, 0]]
    tensor = torch.tensor(z, requires_grad=True)
    forced = masks.force(tensor, torch.as_tensor(blacklist)[None], slice(1, 3))
    assert forced.tolist() == [[0.25, 1, 1, 0]]
    forced.sum().backward()
    assert tensor.grad.tolist() == [[1, 0, 0, 0]]  # a forced base teaches nothing
    assert forced_state(promoter, blacklist).tolist() == [LEARNED, PROMOTER, PROMOTER, BLACKLISTED]
    assert masks.force(torch.tensor(z), None, slice(1, 3)).tolist() == [[0.25, 1, 1, 1]]
