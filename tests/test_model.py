"""The model's switches: each has an effect, and the faithful settings have their known faults."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from model_core.config import LOGIT_RECIPE, RECIPES, TrainConfig, recipe
from model_core.errors import InputError
from model_core.evaluation.controls import signal_prior
from model_core.model import mask as masks
from model_core.model.gene_model import loss_terms
from model_core.model.motif_encoder import REACH, MotifEncoder
from model_core.model.seq2exp import Seq2Exp

TINY = {"window": 256, "promoter": 32, "d_model": 8, "n_layers": 1}


def genes(count=2, length=256, seed=0):
    g = torch.Generator().manual_seed(seed)
    sequence = torch.nn.functional.one_hot(torch.randint(4, (count, length), generator=g), 4).float()
    signals = torch.rand(count, length, 3, generator=g) ** 4 * 10
    return sequence, signals, torch.randn(count, 9, generator=g)


def model(variant="soft", **settings):
    torch.manual_seed(1)
    return Seq2Exp(recipe(variant, **{**TINY, **settings}))


def head_gradient(m):
    """Norm of the gradient of the prediction alone at the mask head; None where none arrives."""
    m.zero_grad()
    torch.manual_seed(2)
    m(*genes(), sample=True).expression.sum().backward()
    gradient = m.mask_head.weight.grad
    return None if gradient is None else gradient.norm().item()


def first_block_change(m, at):
    """Relative change of the first predictor block's input where the mask falls from 1 to `at`."""
    seen = []
    hook = m.predictor.blocks[0].mixer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    sequence, signals, features = genes()
    for value in (1.0, at):
        m.predict(sequence, signals, features, torch.full(sequence.shape[:2], value))
    hook.remove()
    return ((seen[1] - seen[0]).norm() / seen[0].norm()).item()


def test_released_hard_mask_gets_no_gradient_from_the_prediction_and_the_switch_gives_it_one():
    assert head_gradient(model("hard")) is None
    assert head_gradient(model("hard", hard_gradient=True)) > 0


def test_released_soft_mask_hides_little_and_gate_and_absent_hide():
    released, gate, absent = (first_block_change(model(apply=apply), 0.1) for apply in ("multiply", "gate", "absent"))
    print(f"\nfirst block's input at mask 0.1 against 1: multiply {released:.1%}, gate {gate:.1%}, absent {absent:.1%}")
    assert released < 0.15
    assert gate == pytest.approx(0.9, abs=0.01)
    assert absent == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("apply", ["gate", "absent"])
def test_a_hidden_base_leaves_no_trace(apply):
    m = model(apply=apply)
    sequence, signals, features = genes()
    keep = torch.ones(sequence.shape[:2])
    keep[:, :64] = 0
    other = signals.clone()
    other[:, :64] += 5
    with torch.no_grad():
        assert torch.allclose(
            m.predict(sequence, signals, features, keep), m.predict(sequence, other, features, keep), atol=1e-6
        )


def test_a_hidden_stretch_is_known_to_the_encoder_of_its_neighbours_only():
    m = model("causal", **LOGIT_RECIPE, n_layers=1, window=1024)
    sequence, signals, features = genes(1, 1024)
    keep = torch.zeros(1, 1024)
    keep[:, 496:528] = 1
    other = sequence.clone()
    other[:, : 496 - REACH] = other[:, : 496 - REACH].roll(1, 2)
    near = sequence.clone()
    near[:, 480:496] = near[:, 480:496].roll(1, 2)
    with torch.no_grad():
        plain, far, beside = (m.predict(x, signals, features, keep) for x in (sequence, other, near))
    assert torch.allclose(plain, far, atol=1e-6)
    assert not torch.allclose(plain, beside, atol=1e-5)


@pytest.mark.parametrize("length", [1, 8, 250, 257])
def test_encoder_gives_every_base_features_of_mean_0_and_sd_1(length):
    torch.manual_seed(0)
    encoder = MotifEncoder(6)
    sequence = genes(3, length)[0]
    assert encoder(sequence).shape == (3, length, 6)
    many = genes(8, 1024)[0]
    encoder.standardise(many)
    features = encoder(many).flatten(0, 1)
    assert torch.allclose(features.mean(0), torch.zeros(6), atol=1e-4)
    assert torch.allclose(features.std(0), torch.ones(6), atol=1e-2)


def test_readout_over_the_window_weighs_by_mask_and_contact():
    m = model("causal", **LOGIT_RECIPE, contact="Hi-C")
    h = torch.ones(1, 256, 8)
    signals = genes(1)[1]
    signals[..., 2] = torch.linspace(0, 4, 256)
    keep = torch.ones(1, 256)
    keep[:, :128] = 0
    seen = m._over_window(h, keep, signals)
    assert torch.allclose(seen, (torch.linspace(0, 1, 256)[128:].sum() / 32).expand(1, 8), rtol=1e-5)
    assert m.expression_head[0].in_features == 8 + 8 + 9
    with pytest.raises(InputError, match="contact"):
        model("causal", **LOGIT_RECIPE, contact="ATAC")
    with pytest.raises(InputError, match="gather"):
        model("hard", readout="window")


def test_faithful_soft_mask_ranks_bases_as_its_signals_do():
    sequence, signals, features = (t.numpy() for t in genes(4))
    m = model()
    out = m.score(sequence, signals, features)
    learned = np.ones(256, bool)
    learned[m.config.promoter_in(256)] = False
    prior = np.concatenate([signal_prior(s, m.config)[learned] for s in signals])
    assert spearmanr(out.mask[:, learned].ravel(), prior).statistic > 0.99


def test_signal_prior_in_numpy_is_that_of_the_model():
    _, signals, _ = genes()
    for variant in ("soft", "hard"):
        config = recipe(variant, **TINY)
        assert np.allclose(
            masks.signal_beta(signals, config).mean[0], signal_prior(signals[0].numpy(), config), atol=1e-6
        )


def test_product_of_two_densities_takes_one_off():
    exact, released = model(beta_product_exact=True), model()
    sequence, signals, _ = genes()
    with torch.no_grad():
        a, b = exact.mask_parameters(sequence, signals), released.mask_parameters(sequence, signals)
    assert torch.allclose(a.alpha, b.alpha - 1, atol=1e-4)
    assert torch.allclose(a.beta, b.beta - 1, atol=1e-4)


def test_logit_head_starts_at_the_share_that_the_kl_asks_for_and_learns_its_signals():
    m = model("causal", **LOGIT_RECIPE)
    sequence, signals, features = genes()
    # Not by chance: weights that were drawn negative stayed so, and masks kept motifs without signal.
    assert m.signal_logit.weight[0].tolist() == pytest.approx(m.config.prior.w)
    with torch.no_grad():
        m.signal_logit.weight.zero_()
        m.mask_head.weight.zero_()
        assert m.mask_parameters(sequence, signals).mean.mean().item() == pytest.approx(0.1, abs=1e-4)
    loss_terms(m(sequence, signals, features, sample=True), torch.zeros(2), m.config)["loss"].backward()
    assert m.signal_logit.weight.grad.norm() > 0


def test_concrete_samples_have_the_spread_that_is_reported():
    config = recipe("causal", **LOGIT_RECIPE)
    z = masks.beta_with_mean(torch.full((1, 200_000), 0.5))
    torch.manual_seed(0)
    sampled = masks.draw(z, config)
    total = (z.alpha + z.beta)[0, 0].item()
    assert sampled.var().item() == pytest.approx(0.25 / (total + 1), rel=0.02)


def test_kl_on_the_mean_is_zero_at_mu_and_blind_to_the_concentration():
    config = recipe("causal", **LOGIT_RECIPE)
    at_mu = masks.BetaParameters(torch.full((1, 2), 0.3), torch.full((1, 2), 2.7))
    assert masks.kl_to_marginal(at_mu, config).item() == pytest.approx(0, abs=1e-6)
    m, mu = 0.5, 0.1
    off = masks.BetaParameters(torch.full((1, 2), 7.0), torch.full((1, 2), 7.0))
    by_hand = m * np.log(m / mu) + (1 - m) * np.log((1 - m) / (1 - mu))
    assert masks.kl_to_marginal(off, config).item() == pytest.approx(by_hand, abs=1e-6)


def test_learned_prior_scale_starts_at_the_constant_and_gets_a_gradient():
    learned, constant = model(prior_learned=True, prior_scale=0.5), model(prior_scale=0.5)
    sequence, signals, features = genes()
    out = learned(sequence, signals, features)
    assert torch.allclose(out.z.alpha, constant(sequence, signals, features).z.alpha, rtol=1e-5)
    loss_terms(out, torch.zeros(2), learned.config)["loss"].backward()
    assert learned.log_prior_scale.grad.abs() > 0


def test_top_share_keeps_that_share():
    m = model(decision="top", top_share=0.25, promoter=2)
    sequence, signals, features = (t.numpy() for t in genes())
    assert m.score(sequence, signals, features).mask.mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("kind", ["promoter", "random", "signal", "macs3", "all"])
def test_controls_keep_what_they_name(kind):
    m = model(mask=kind)
    sequence, signals, features = (t.numpy() for t in genes())
    peaks = np.zeros(sequence.shape[:2], bool)
    peaks[:, 10:20] = True
    mask = m.score(sequence, signals, features, peaks=peaks).mask
    promoter = m.config.promoter_in(256)
    assert (mask[:, promoter] == 1).all()
    outside = np.delete(mask, np.arange(256)[promoter], axis=1)
    if kind == "promoter":
        assert (outside < 1e-6).all()
    elif kind == "all":
        assert (outside > 1 - 1e-6).all()
    elif kind == "macs3":
        assert (mask[:, 10:20] > 0.999).all()
        assert (mask[:, 30:90] < 1e-6).all()
    elif kind == "signal":
        assert np.allclose(
            outside[0], np.delete(signal_prior(signals[0], m.config), np.arange(256)[promoter]), atol=1e-5
        )
    else:
        alone = m.score(sequence[1:], signals[1:], features[1:]).mask
        assert np.array_equal(alone[0], mask[1])


def test_peaks_are_asked_for_where_the_mask_is_made_of_them():
    sequence, signals, features = (t.numpy() for t in genes())
    with pytest.raises(InputError, match="no peaks"):
        model(mask="macs3").score(sequence, signals, features)


@pytest.mark.parametrize("variant", sorted(RECIPES))
def test_a_given_mask_is_used_exactly_as_it_is(variant):
    m = model(variant)
    sequence, signals, features = (t.numpy() for t in genes())
    keep = np.zeros((2, 256), np.float32)
    keep[:, 100:150] = 1
    assert np.array_equal(m.score(sequence, signals, features, mask_override=keep).mask, keep)


@pytest.mark.parametrize("variant", sorted(RECIPES))
def test_genes_in_a_batch_do_not_change_each_others_numbers(variant):
    m = model(variant)
    arrays = [t.numpy() for t in genes(3)]
    together = m.score(*arrays)
    for gene in range(3):
        alone = m.score(*(a[gene : gene + 1] for a in arrays))
        assert abs(alone.expression[0] - together.expression[gene]) < 1e-6


def test_soft_takes_any_window_and_hard_only_its_own():
    longer = [t.numpy() for t in genes(1, 300)]
    assert model().score(*longer).mask.shape == (1, 300)
    with pytest.raises(InputError, match="trained window of 256"):
        model("hard").score(*longer)


@pytest.mark.parametrize(
    ("which", "shape"), [(0, (2, 256, 5)), (1, (2, 256, 2)), (1, (2, 255, 3)), (2, (2, 8)), (2, (1, 9))]
)
def test_shapes_that_do_not_fit_are_named(which, shape):
    arrays = [t.numpy() for t in genes()]
    arrays[which] = np.zeros(shape, np.float32)
    with pytest.raises(InputError, match="shape"):
        model().score(*arrays)


def test_paper_size_models_have_the_published_number_of_parameters():
    def count(variant):
        constants = 6  # three priors (b, w), which the release counts among the parameters
        return constants + sum(p.numel() for p in Seq2Exp(recipe(variant)).parameters())

    assert count("soft") == 1_114_249
    assert count("hard") == 26_174_985


@pytest.mark.parametrize("name", ["blacklist", "mask_override", "peaks"])
@pytest.mark.parametrize("shape", [(2, 255), (3, 256), (256,), (2, 256, 1)])
def test_shapes_of_what_may_be_left_out_are_checked_too(name, shape):
    with pytest.raises(InputError, match=f"{name}: found shape"):
        model().score(*(t.numpy() for t in genes()), **{name: np.ones(shape, np.float32)})


WITHOUT_MEANING = [
    *({"head": "gauss"}, {"promoter": 0}, {"d_state": 65}, {"n_layers": 0}, {"dt_rank": 0}, {"expand": -1}),
    *({"top_share": 7}, {"top_share": 0.0}, {"threshold": 0.0}, {"threshold": 1.5}, {"kl_mu": 1.0}),
    *({"kl_mu": float("nan")}, {"kl_weight": -1.0}, {"z_scale": float("inf")}, {"norm_epsilon": 0.0}),
    *({"prior_w": (0.4, -0.4, 0.2)}, {"prior_w": (0.0, 0.0, 0.0)}, {"prior_b": (1.0, float("nan"), 0.0)}),
    *({"d_model": 8.0}, {"d_model": True}, {"shared": 1}, {"variant": 3}, {"beta_min": "1"}, {"contact": 2}),
    *({"apply": "gather"}, {"hard_gradient": True}),
    *({"head": "logit", "prior_learned": True}, {"head": "logit", "beta_product_exact": True}),
    {"apply": "gather", "decision": "hard", "readout": "window"},
]


@pytest.mark.parametrize("settings", WITHOUT_MEANING, ids=str)
def test_settings_that_mean_nothing_are_refused_by_name(settings):
    with pytest.raises(InputError, match=next(reversed(settings))):
        recipe("soft").replace(**settings)


@pytest.mark.parametrize("variant", RECIPES)
def test_the_recipes_and_their_changes_of_decision_are_taken(variant):
    for decision in ("hard", "top"):
        assert recipe(variant, decision=decision, threshold=0.3, top_share=0.2).mask.decision.kind == decision


@pytest.mark.parametrize(
    "settings",
    [
        *({"batch_size": 0}, {"accumulate": -1}, {"lr": 0.0}, {"lr": float("nan")}, {"steps": -1}, {"steps": 10.0}),
        *({"seed": -1}, {"betas": (0.9, 1.0)}, {"betas": 0.9}, {"workers": -1}, {"mean_z": "yes"}, {"clip": -1.0}),
    ],
    ids=str,
)
def test_training_settings_that_mean_nothing_are_refused_by_name(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        TrainConfig(**settings)
