"""The additive model: effects add up, are gated by openness and contact, and have an error bar."""

import numpy as np
import pytest
import torch

from model_core.config import recipe
from model_core.errors import InputError
from model_core.model.additive import SITE, STEP, AdditiveModel
from model_core.model.build import build_model
from model_core.model.gene_model import TrainingBatch
from model_core.model.motif_encoder import MotifEncoder

TINY = {"window": 512, "promoter": 64, "encoder": 8, "encoder_filters": 12, "contact": "Hi-C", "members": 3}


def model(**settings) -> AdditiveModel:
    torch.manual_seed(0)
    made = build_model(recipe("causal", **{**TINY, **settings})).eval()
    assert isinstance(made, AdditiveModel)
    return made


def genes(count=2, length=512, seed=1):
    rng = np.random.default_rng(seed)
    sequence = torch.from_numpy(np.eye(4, dtype=np.float32)[rng.integers(0, 4, (count, length))])
    signals = torch.from_numpy(rng.gamma(0.5, 2.0, (count, length, 3)).astype(np.float32))
    signals[..., 2] = torch.log10(1 + torch.linspace(1, 9, length))
    return sequence, signals, torch.from_numpy(rng.normal(size=(count, 9)).astype(np.float32))


def batch(count=6, **settings):
    sequence, signals, features = genes(count, **settings)
    no = torch.zeros(sequence.shape[:2], dtype=torch.bool)
    return TrainingBatch(sequence, signals, features, no, no, torch.linspace(0, 1, count))


@torch.no_grad()
def test_switching_a_region_off_takes_away_its_summed_effect():
    m, (sequence, signals, features) = model(), genes()
    effects = m.effects(sequence, signals).mean(0)
    everything, without = torch.ones(2, 512), torch.ones(2, 512)
    without[:, 100:164] = 0
    change = m.predict(sequence, signals, features, everything) - m.predict(sequence, signals, features, without)
    assert torch.allclose(change, effects[:, 100:164].sum(1), atol=1e-6)
    assert (effects != 0).float().mean() > 0.8


@torch.no_grad()
def test_under_its_own_mask_the_model_counts_every_base_in_full():
    m, (sequence, signals, features) = model(), genes()
    out = m(sequence, signals, features)
    everything = m.predict(sequence, signals, features, torch.ones(2, 512))
    assert torch.allclose(out.expression, everything, atol=1e-5)
    half = m.predict(sequence, signals, features, out.mask / 2)
    hidden = m.predict(sequence, signals, features, torch.zeros(2, 512))
    assert torch.allclose(half, (everything + hidden) / 2, atol=1e-5)


@torch.no_grad()
def test_one_window_under_many_masks_is_read_once(monkeypatch):
    m, (sequence, signals, features) = model(), genes(1)
    keep = (torch.rand(5, 512, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    expected = torch.cat([m.predict(sequence, signals, features, row[None]) for row in keep])
    read, seen = AdditiveModel.read, []
    monkeypatch.setattr(AdditiveModel, "read", lambda *a: seen.append(len(a[1])) or read(*a))
    found = m.predict(*(x.expand(5, *x.shape[1:]) for x in (sequence, signals, features)), keep)
    assert torch.allclose(found, expected, atol=1e-6)
    assert seen == [1]


@torch.no_grad()
def test_effects_are_zero_in_the_promoter_and_in_proportion_to_linear_contact():
    m, (sequence, signals, _) = model(), genes()
    effects = m.effects(sequence, signals)
    assert effects.shape == (3, 2, 512)
    assert not effects[..., 512 // 2 - 32 : 512 // 2 + 32].any()
    nearer = signals.clone()
    contact = torch.linspace(1, 9, 512)
    contact[:128] *= 2
    nearer[..., 2] = torch.log10(1 + contact)
    changed = m.effects(sequence, nearer)
    assert torch.allclose(changed[..., :128], 2 * effects[..., :128], rtol=1e-4, atol=1e-9)
    assert torch.allclose(changed[..., 160:], effects[..., 160:], rtol=1e-4, atol=1e-9)


@torch.no_grad()
def test_closed_sites_have_no_effect():
    m, (sequence, signals, _) = model(), genes()
    m.set_constants(signals, [True, True, False], 1.0)
    m.begin_openness(sequence, signals)
    closed = signals.clone()
    closed[..., :2] = 0
    open_ = m.effects(sequence, signals).abs().mean()
    assert m.effects(sequence, closed).abs().mean() < 0.5 * open_


@torch.no_grad()
def test_z_is_one_half_where_an_effect_is_as_large_as_its_error():
    m = model()
    m.little.fill_(0)
    effects = torch.tensor([2.0, 1.0, 0.0])[:, None, None].expand(3, 1, 40)  # mean 1, standard deviation 1
    of_members = torch.tensor([2 / 3, 1 / 2, 0])
    mean, sd = m.z_of(effects)
    assert mean[0].tolist() == pytest.approx([of_members.mean().item()] * 40)
    assert sd[0].tolist() == pytest.approx([of_members.std().item()] * 40)
    against = m.z_of(torch.tensor([5.0, 5.0, -1.0])[:, None, None].expand(3, 1, 40))  # one of another sign
    assert against[0][0, 0].item() == pytest.approx(2 / 3 * 5 / (5 + 12**0.5), rel=1e-4)
    assert not m.z_of(effects * 0 + 1e-30)[0].isnan().any()


@torch.no_grad()
def test_the_spread_over_members_is_the_sd_of_the_stored_beta():
    m, (sequence, signals, _) = model(), genes()
    mean, sd = (x.repeat_interleave(STEP, 1) for x in m.z_of(m._effects(m.read(sequence, signals, torch.zeros(2, 9)))))
    z = m.mask_parameters(sequence, signals)
    assert torch.allclose(z.mean, mean, atol=1e-5)
    total = z.alpha + z.beta
    inside = (total > 0.11) & (total < 9_000)  # what is stored as it is
    assert inside.float().mean() > 0.5
    found = (z.mean * (1 - z.mean) / (total + 1)).sqrt()
    assert torch.allclose(found[inside], sd[inside], rtol=1e-3)
    assert m.config.band == "members"
    assert model(members=1).config.band == "none"


@torch.no_grad()
def test_constants_standardise_each_signal_once():
    m, (sequence, signals, features) = model(), genes(4)
    m.set_constants(signals, [True, False, False], 2.0)
    logged = torch.stack([torch.log1p(signals[..., 0]), signals[..., 1]], -1)
    assert torch.allclose(m.standardised(signals) * logged.flatten(0, 1).std(0), logged, rtol=1e-4)
    openness = m.read(sequence, signals, features).openness.flatten(0, 1)
    assert torch.allclose(openness.mean(0), torch.zeros(4), atol=1e-4)
    assert torch.allclose(openness.std(0), torch.ones(4), atol=1e-3)
    assert m.little.item() == pytest.approx(0.01 * 2.0 * STEP / 100)


@torch.no_grad()
def test_openness_begins_with_the_signal_that_motifs_explain():
    m, (sequence, signals, features) = model(), genes(8)
    m.encoder.standardise(sequence)
    motif = m.read(sequence, signals, features).motifs[..., 3].repeat_interleave(STEP, 1)
    signals[..., 1] = (motif - motif.min())[:, :512]
    m.set_constants(signals, [False, False, False], 1.0)
    best = m.begin_openness(sequence, signals)
    assert best == 1  # signal 1 of 2, averaged over the narrower width
    assert m.members[0].openness.weight[0].nonzero().ravel().tolist() == [best]


def test_each_member_learns_from_its_own_genes():
    m, data = model(), batch()
    weights = torch.ones(3, 6)
    weights[1] = 0
    weights[1, 0] = 6
    terms = m.training_terms(data, weights)
    with torch.no_grad():
        inputs = m.read(data.sequence, data.signals, data.gene_features)
        effects = m._effects(inputs)
        errors = torch.nn.functional.smooth_l1_loss(
            m._expressions(inputs, effects), data.label.expand(3, -1), reduction="none"
        )
    expected = errors.mean(1)
    expected[1] = errors[1, 0]
    penalty = effects.abs().sum(2).mean(1)
    penalty[1] = effects.abs().sum(2)[1, 0]
    assert terms["loss"].item() == pytest.approx((expected + 0.05 * penalty).sum().item(), rel=1e-5)
    terms["loss"].backward()
    assert m.members[1].scale.grad.abs() > 0
    assert m.encoder.motifs.weight.grad is None  # expression would spoil it


@torch.no_grad()
def test_calibration_fits_labels_that_the_effects_explain():
    m, data = model(response="linear"), batch(12)
    inputs = m.read(data.sequence, data.signals, data.gene_features)
    promoter = m._expressions(inputs, m._effects(inputs) * 0).mean(0)
    distal = m._effects(inputs).sum(2).mean(0)
    data = data._replace(label=promoter + 1.5 * distal + 3)
    everyone = torch.ones(3, 12, dtype=torch.bool)
    assert m.calibrate([(data, everyone)]) == (pytest.approx(1.5, rel=1e-3), 1)
    predicted = m.predict(data.sequence, data.signals, data.gene_features, torch.ones(12, 512))
    assert torch.allclose(predicted, data.label, atol=1e-4)
    wild = data._replace(label=promoter + 50 * distal)
    assert m.calibrate([(wild, everyone)])[0] == 4.0


@torch.no_grad()
def test_calibration_asks_of_a_gene_only_members_that_were_not_trained_on_it():
    m, data = model(response="linear"), batch(12)
    inputs = m.read(data.sequence, data.signals, data.gene_features)
    promoter, distal = m._expressions(inputs, m._effects(inputs) * 0), m._effects(inputs).sum(2)
    unseen = torch.zeros(3, 12, dtype=torch.bool)
    unseen[1, :9] = unseen[2, 3:6] = True  # three genes that every member was trained on
    mean = (distal * unseen).sum(0) / unseen.sum(0)
    label = (promoter * unseen).sum(0) / unseen.sum(0) + 0.75 * mean
    assert m.calibrate([(data._replace(label=label), unseen)])[0] == pytest.approx(0.75, rel=1e-3)


@torch.no_grad()
def test_calibration_finds_the_most_effect_that_fits():
    m, data = model(), batch(40)
    inputs = m.read(data.sequence, data.signals, data.gene_features)
    for member in m.members:
        activity = (
            member.scale * member.sequence(inputs.motifs)[..., 0] * member.openness(inputs.openness)[..., 0].sigmoid()
        )
        member.log_most.fill_(activity.abs().mean().mul(SITE).log())  # where the response bends
    label = m._promoters(inputs).mean(0) + 2 * m._effects(inputs, 0.35).sum(2).mean(0)
    factor, limit = m.calibrate([(data._replace(label=label), torch.ones(3, 40, dtype=torch.bool))])
    assert limit == 0.35
    assert factor == pytest.approx(2, rel=1e-3)
    predicted = m.predict(data.sequence, data.signals, data.gene_features, torch.ones(40, 512))
    assert torch.allclose(predicted, label, atol=1e-4)


@torch.no_grad()
def test_an_element_s_effect_is_a_hill_function_of_its_activity():
    linear, hill = model(members=1, response="linear"), model(members=1)
    hill.load_state_dict(linear.state_dict(), strict=False)
    most = 0.02
    hill.members[0].log_most.fill_(np.log(most))
    sequence, signals, features = genes(1)
    inputs = linear.read(sequence, signals, features)
    activity = linear.members[0].effect(inputs)
    beyond = torch.zeros_like(inputs.openness)
    beyond[:, 20:30] = 100  # the only open place; the rest is closed
    linear.members[0].openness.weight.fill_(1)
    hill.members[0].openness.weight.fill_(1)
    inputs = inputs._replace(openness=beyond - 50, contact=torch.ones_like(activity), highest=torch.ones(1, 1))
    total = linear.members[0].effect(inputs).sum().item()
    assert abs(total) > most / 100
    expected = np.sign(total) * most * total**2 / (most**2 + total**2)
    assert hill.members[0].effect(inputs).sum().item() == pytest.approx(expected, rel=1e-4)
    before = hill.members[0].effect(inputs)
    hill.members[0].rescale(3.0)
    assert torch.allclose(hill.members[0].effect(inputs), 3 * before, rtol=1e-4)


@torch.no_grad()
def test_an_encoder_of_both_strands_reads_a_reverse_complement_alike():
    torch.manual_seed(0)
    encoder = MotifEncoder(4, 6, both_strands=True)
    sequence = genes(2, 256)[0]
    forward = encoder.motifs(sequence.transpose(1, 2))
    other = encoder.motifs(sequence.flip(1, 2).transpose(1, 2)).flip(2)
    best = torch.nn.functional.max_pool1d(torch.maximum(forward, other), STEP)
    expected = torch.nn.functional.gelu(encoder.beside(torch.nn.functional.gelu(best)))
    x = expected
    for convolution in encoder.around:
        x = x + torch.nn.functional.gelu(convolution(x))
    assert torch.allclose(encoder.hidden(sequence), x, atol=1e-5)


@torch.no_grad()
def test_windows_of_any_length_are_read():
    m = model()
    for length in (64, 511, 513):
        sequence, signals, features = genes(1, length)
        out = m(sequence, signals, features)
        assert out.mask.shape == (1, length)
        assert torch.isfinite(out.expression).all()


def test_a_control_mask_is_what_the_model_is_trained_with():
    data = batch()._replace(peaks=torch.zeros(6, 512, dtype=torch.bool))
    data.peaks[:, 100:200] = True
    m = model(mask="macs3")
    kept = m._kept_in_training(data)
    assert kept[:, 100:200].all()
    assert kept[:, 224:288].all()  # the promoter
    assert kept.sum() == 6 * (100 + 64)
    everything = model(mask="all")._kept_in_training(data._replace(blacklist=data.peaks))
    assert everything.sum() == 6 * (512 - 100)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="members = 2 without the additive readout"):
        recipe("soft", members=2)
    with pytest.raises(InputError, match="encoder = 0"):
        recipe("causal", encoder=0)
    with pytest.raises(InputError, match="no signal but contact"):
        recipe("causal", signals=["Hi-C"], prior_b=[1.0], prior_w=[1.0], contact="Hi-C")
    with pytest.raises(InputError, match="readout"):
        recipe("soft", head="effect")
