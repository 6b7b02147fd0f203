"""Settings in groups: each checks itself, and every form in which they stand on disk gives the same settings."""

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.config import (
    GROUPS,
    PATHS,
    SETTINGS,
    Seq2ExpConfig,
    TrainConfig,
    merged,
    model_config,
    read_model_config,
    recipe,
)
from model_core.decision import DecisionRule
from model_core.errors import InputError
from model_core.run_folder.effects import caveat, hidden_in_training
from model_core.setting_groups import BackboneConfig, MaskConfig, PredictorConfig, PriorConfig

# What checkpoints and config.json of older versions hold: one flat table.
OLD_SOFT = """{"variant": "soft", "window": 200000, "promoter": 2000, "d_model": 128, "n_layers": 4, "d_state": 16,
"d_conv": 4, "expand": 2, "dt_rank": null, "norm_epsilon": 1e-05, "n_gene_features": 9,
"signals": ["H3K27ac", "DNase", "Hi-C"], "prior_b": [1.5, 0.2, 1.0], "prior_w": [0.4, 0.4, 0.2], "beta_min": 1.0,
"prior_scale": 10.0, "z_scale": 1.0, "kl_mu": 0.1, "kl_scale": 10.0, "kl_weight": 0.01, "mask": "learned",
"head": "beta", "kl": "beta", "prior_learned": false, "beta_product_exact": false, "decision": "soft",
"threshold": 0.5, "top_share": 0.1, "apply": "multiply", "shared": false, "position_embedding": false,
"generator_signals": false, "hard_gradient": false, "reverse_complement": false, "encoder": 0, "log_signals": false,
"readout": "promoter", "contact": null, "released_padding": false}"""
OLD_HARD = """{"variant": "hard", "window": 4000, "promoter": 400, "d_model": 32, "n_layers": 4, "d_state": 16,
"d_conv": 4, "expand": 2, "dt_rank": 3, "norm_epsilon": 1e-05, "n_gene_features": 9, "signals": ["A", "B"],
"prior_b": [1.5, 0.2], "prior_w": [0.5, 0.25], "beta_min": 0.0, "prior_scale": 1.0, "z_scale": 1.0, "kl_mu": 0.45,
"kl_scale": 0.1, "kl_weight": 0.01, "mask": "learned", "head": "beta", "kl": "beta", "prior_learned": false,
"beta_product_exact": false, "decision": "hard", "threshold": 0.45, "top_share": 0.1, "apply": "gather",
"shared": true, "position_embedding": true, "generator_signals": true, "hard_gradient": false,
"reverse_complement": false, "encoder": 0, "log_signals": false, "readout": "promoter", "contact": null,
"released_padding": false}"""
OLD_CAUSAL = """{"variant": "causal", "window": 200000, "promoter": 2000, "d_model": 128, "n_layers": 4, "d_state": 16,
"d_conv": 4, "expand": 2, "dt_rank": null, "norm_epsilon": 1e-05, "n_gene_features": 9,
"signals": ["H3K27ac", "DNase", "Hi-C"], "prior_b": [1.5, 0.2, 1.0], "prior_w": [0.4, 0.4, 0.2], "beta_min": 1.0,
"prior_scale": 0.1, "z_scale": 1.0, "kl_mu": 0.1, "kl_scale": 10.0, "kl_weight": 0.1, "mask": "learned",
"head": "logit", "kl": "mean", "prior_learned": false, "beta_product_exact": false, "decision": "top",
"threshold": 0.5, "top_share": 0.05, "apply": "gate", "shared": false, "position_embedding": false,
"generator_signals": false, "hard_gradient": false, "reverse_complement": true, "encoder": 48, "log_signals": true,
"readout": "window", "contact": "Hi-C", "released_padding": false}"""
HARD = Seq2ExpConfig(
    variant="hard",
    window=4_000,
    promoter=400,
    signals=("A", "B"),
    backbone=BackboneConfig(d_model=32, dt_rank=3, position_embedding=True, generator_signals=True, shared=True),
    prior=PriorConfig(b=(1.5, 0.2), w=(0.5, 0.25), scale=1.0, beta_min=0.0),
    mask=MaskConfig(decision=DecisionRule("hard", threshold=0.45), apply="gather", kl_mu=0.45, kl_scale=0.1),
)
CAUSAL = Seq2ExpConfig(
    variant="causal",
    reverse_complement=True,
    backbone=BackboneConfig(encoder=48),
    prior=PriorConfig(scale=0.1),
    mask=MaskConfig(head="logit", decision=DecisionRule("top", share=0.05), apply="gate", kl="mean", kl_weight=0.1),
    predictor=PredictorConfig(log_signals=True, readout="window", contact="Hi-C"),
)


@pytest.mark.parametrize(("text", "expected"), [(OLD_SOFT, Seq2ExpConfig()), (OLD_HARD, HARD), (OLD_CAUSAL, CAUSAL)])
def test_flat_settings_of_older_files_are_read(text, expected):
    old = json.loads(text)
    assert Seq2ExpConfig.from_dict(old) == expected
    assert read_model_config({"model": old}) == expected
    newer = {"encoder_filters", "both_strands", "response", "members", "sparsity"}  # than the flat names
    assert set(old) | newer == {setting.flat_name for setting in SETTINGS.values()}


def test_a_stored_causal_run_is_what_causal_was_when_it_was_made():
    stored = read_model_config({"model": {"variant": "causal", "encoder": 16}})
    assert (stored.mask.head, stored.predictor.readout, stored.predictor.members) == ("logit", "window", 1)
    assert stored.backbone.encoder == 16
    assert not stored.backbone.both_strands
    assert recipe("causal").mask.head == "effect"


def test_an_old_checkpoint_is_loaded(tmp_path):
    torch, safetensors = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    from model_core.model.checkpoint import FORMAT, load_checkpoint
    from model_core.model.seq2exp import Seq2Exp

    small = {"window": 64, "promoter": 8, "d_model": 8, "n_layers": 1}
    model = Seq2Exp(HARD.replace(**small))
    header = {"format": FORMAT, "config": json.dumps(json.loads(OLD_HARD) | small), "metadata": "{}"}
    safetensors.save_file(model.state_dict(), tmp_path / "old.safetensors", header)
    again = load_checkpoint(tmp_path / "old.safetensors", "cpu")
    assert again.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_every_setting_has_one_flat_name_and_one_path():
    flat = [setting.flat_name for setting in SETTINGS.values()]
    assert len(set(flat)) == len(flat) == len(SETTINGS)
    assert set(PATHS) == {*flat, *SETTINGS}
    assert not set(SETTINGS) & GROUPS
    assert sorted(GROUPS) == ["backbone", "mask", "mask.decision", "predictor", "prior"]


def test_every_default_is_the_paper_s():
    assert recipe("soft") == Seq2ExpConfig() == Seq2ExpConfig.from_dict({})
    groups = {"backbone": BackboneConfig(), "prior": PriorConfig(), "mask": MaskConfig()}
    assert Seq2ExpConfig(**groups, predictor=PredictorConfig()) == Seq2ExpConfig()
    assert MaskConfig().decision == DecisionRule()


SHARES = st.floats(0.01, 0.99)
AMOUNTS = st.floats(0.01, 1e6)
VALUES = {
    "variant": st.sampled_from(["soft", "hard", "causal"]),
    "window": st.integers(2_000, 10**6),
    "promoter": st.integers(1, 2_000),
    "reverse_complement": st.booleans(),
    "backbone.d_model": st.integers(1, 512),
    "backbone.n_layers": st.integers(1, 8),
    "backbone.d_state": st.integers(1, 64),
    "backbone.d_conv": st.integers(1, 8),
    "backbone.expand": st.integers(1, 4),
    "backbone.dt_rank": st.none() | st.integers(1, 16),
    "backbone.norm_epsilon": AMOUNTS,
    "backbone.position_embedding": st.booleans(),
    "backbone.encoder": st.integers(0, 64),
    "backbone.generator_signals": st.booleans(),
    "backbone.shared": st.booleans(),
    "prior.b": st.tuples(AMOUNTS, AMOUNTS, AMOUNTS),
    "prior.w": st.tuples(AMOUNTS, AMOUNTS, AMOUNTS),
    "prior.scale": AMOUNTS,
    "prior.beta_min": AMOUNTS,
    "mask.kind": st.sampled_from(MaskConfig.CHOICES["kind"]),
    "mask.head": st.sampled_from(["beta", "logit"]),
    "mask.z_scale": AMOUNTS,
    "mask.decision.kind": st.sampled_from(["soft", "hard", "top"]),
    "mask.decision.threshold": SHARES,
    "mask.decision.share": SHARES,
    "mask.apply": st.sampled_from(["multiply", "gate", "absent"]),
    "mask.kl": st.sampled_from(["beta", "mean"]),
    "mask.kl_mu": SHARES,
    "mask.kl_scale": AMOUNTS,
    "mask.kl_weight": AMOUNTS,
    "predictor.n_gene_features": st.integers(0, 20),
    "predictor.log_signals": st.booleans(),
    "predictor.readout": st.sampled_from(["promoter", "window"]),
    "predictor.contact": st.sampled_from([None, "DNase", "Hi-C"]),
    "predictor.released_padding": st.booleans(),
}


@given(values=st.fixed_dictionaries({}, optional=VALUES), data=st.data())
def test_groups_names_with_dots_and_flat_names_say_the_same(values, data):
    config = Seq2ExpConfig.from_dict(values)
    assert Seq2ExpConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    flat = {SETTINGS[path].flat_name: value for path, value in values.items()}
    assert Seq2ExpConfig.from_dict(flat) == config
    forms = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    mixed = {
        path if dotted else SETTINGS[path].flat_name: value
        for (path, value), dotted in zip(values.items(), forms, strict=True)
    }
    assert Seq2ExpConfig.from_dict(mixed) == config
    assert Seq2ExpConfig.from_dict(merged(config.to_dict(), mixed)) == config
    assert config.replace() == config


REFUSED = [
    (BackboneConfig, {"d_state": 65}, "backbone.d_state = 65"),
    (BackboneConfig, {"d_model": 8.0}, "backbone.d_model = 8.0"),
    (BackboneConfig, {"shared": 1}, "backbone.shared = 1"),
    (BackboneConfig, {"encoder": -1}, "backbone.encoder = -1"),
    (PriorConfig, {"scale": 0.0}, "prior.scale = 0"),
    (PriorConfig, {"w": (0.0, 0.0, 0.0)}, "prior.w of 0 for every signal"),
    (PriorConfig, {"w": (0.4, "a", 0.2)}, "prior.w = (0.4, 'a', 0.2)"),
    (PriorConfig, {"b": (1.0, True, 1.0)}, "prior.b = (1.0, True, 1.0)"),
    (PriorConfig, {"b": (1.0, 2.0)}, "2 values of prior.b and 3 of prior.w"),
    (DecisionRule, {"kind": "sfot"}, "mask.decision.kind 'sfot'"),
    (DecisionRule, {"threshold": 0.0}, "mask.decision.threshold = 0"),
    (DecisionRule, {"share": 7}, "mask.decision.share = 7"),
    (MaskConfig, {"head": "gauss"}, "mask.head 'gauss'"),
    (MaskConfig, {"kl_mu": 1.0}, "mask.kl_mu = 1"),
    (MaskConfig, {"decision": "hard"}, "mask.decision = 'hard'"),
    (MaskConfig, {"apply": "gather"}, "mask.apply = gather with mask.decision.kind = soft"),
    (MaskConfig, {"hard_gradient": True}, "mask.hard_gradient = true with mask.apply = multiply"),
    (PredictorConfig, {"readout": "sum"}, "predictor.readout 'sum'"),
    (PredictorConfig, {"contact": 2}, "predictor.contact = 2"),
    (Seq2ExpConfig, {"variant": "sfot"}, "variant 'sfot'"),
    (Seq2ExpConfig, {"promoter": 0}, "a promoter of 0 bp in a window of 200000 bp"),
    (Seq2ExpConfig, {"signals": ("A",)}, "1 signals, 3 b and 3 w"),
    (Seq2ExpConfig, {"signals": ("A", "B", 3)}, "signals = ('A', 'B', 3)"),
    (Seq2ExpConfig, {"prior": {"scale": 1.0}}, "prior = {'scale': 1.0}"),
    (Seq2ExpConfig, {"predictor": PredictorConfig(contact="CTCF")}, "predictor.contact 'CTCF'"),
    (
        Seq2ExpConfig,
        {"prior": PriorConfig(learned=True), "mask": MaskConfig(head="logit")},
        "prior.learned = true with mask.head = logit",
    ),
    (TrainConfig, {"batch_size": 0}, "batch_size = 0"),
    (TrainConfig, {"betas": (0.9,)}, "betas = (0.9,)"),
]


@pytest.mark.parametrize(("kind", "settings", "found"), REFUSED, ids=lambda value: str(value)[:40])
def test_each_group_refuses_what_has_no_meaning_in_it(kind, settings, found):
    with pytest.raises(InputError) as error:
        kind(**settings)
    assert error.value.found == found


def found_in(values):
    with pytest.raises(InputError) as error:
        Seq2ExpConfig.from_dict(values)
    return error.value


@pytest.mark.parametrize(
    ("values", "found", "fix"),
    [
        ({"windw": 5}, "an unknown key 'windw'", "did you mean 'window'?"),
        ({"prior": {"scael": 1.0}}, "an unknown key 'prior.scael'", "did you mean 'prior.scale'?"),
        ({"mask": {"top_share": 0.1}}, "an unknown key 'mask.top_share'", "did you mean 'mask.decision.share'?"),
        ({"prior": {"prior_b": []}}, "an unknown key 'prior.prior_b'", "did you mean 'prior.b'?"),
        ({"zzz": 5}, "an unknown key 'zzz'", "remove it"),
        ({"prior": 3}, "prior = 3", "write prior as a table, or its settings as prior.NAME"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_one(values, found, fix):
    error = found_in(values)
    assert (error.found, error.fix) == (found, fix)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"prior_scale": 0.0}, "prior_scale = 0"),
        ({"prior": {"scale": 0.0}}, "prior.scale = 0"),
        ({"prior.scale": 0.0}, "prior.scale = 0"),
        ({"apply": "gather"}, "apply = gather with decision = soft"),
        ({"mask": {"apply": "gather"}}, "mask.apply = gather with mask.decision.kind = soft"),
        ({"mask": {"apply": "gather"}, "decision": "soft"}, "mask.apply = gather with decision = soft"),
        ({"prior_b": [1.0], "prior": {"w": [1.0, 2.0]}}, "1 values of prior_b and 2 of prior.w"),
        ({"mask": "nothing"}, "mask 'nothing'"),
        ({"mask": {"kind": "nothing"}}, "mask.kind 'nothing'"),
        ({"prior_scale": 1.0, "prior": {"scale": 1.0}}, "one setting under two names, prior_scale and prior.scale"),
        ([1], "[1]"),
    ],
)
def test_messages_name_a_setting_as_it_was_written(values, found):
    assert found_in(values).found == found


def test_a_control_named_flat_goes_with_a_table_of_the_mask():
    table = {"mask": {"kl_mu": 0.2, "decision": {"share": 0.3}}}
    config = recipe(**merged({"variant": "causal"}, table, {"mask": "random", "top_share": 0.4}))
    assert (config.mask.kind, config.mask.kl_mu, config.mask.decision.share) == ("random", 0.2, 0.4)
    assert config.mask.head == "effect"


def test_a_copy_with_other_values_changes_nothing_else():
    config = HARD.replace(prior_scale=2.0, mask={"kl_mu": 0.3}, backbone=dataclasses.replace(HARD.backbone, d_model=8))
    assert config.prior == dataclasses.replace(HARD.prior, scale=2.0)
    assert config.mask == dataclasses.replace(HARD.mask, kl_mu=0.3)
    assert config.backbone.d_model == 8
    assert HARD.replace(d_model=8).backbone.d_inner == 16


def test_a_run_s_settings_are_read_in_either_form():
    for config in (Seq2ExpConfig(), HARD, CAUSAL):
        described = json.loads(json.dumps({"model": config.to_dict()}))
        assert read_model_config(described) == model_config(described) == config
    assert read_model_config({}) is None
    assert read_model_config({"model": {"variant": "hard"}}) == recipe("hard")  # a run that says little
    unknown = {"model": {**HARD.to_dict(), "newer": 1}}
    assert model_config(unknown) is None
    with pytest.raises(InputError, match="unknown key 'newer'"):
        read_model_config(unknown)


@pytest.mark.parametrize("text", [OLD_SOFT, OLD_HARD])
def test_a_caveat_reads_old_settings_and_new_ones_alike(text):
    old, training = json.loads(text), {"block_steps": 0}
    new = Seq2ExpConfig.from_dict(old).to_dict()
    assert caveat({"model": old, "training": training}) == caveat({"model": new, "training": training})
    assert hidden_in_training({"model": old | {"mask": "random"}}) is True
    assert hidden_in_training({"model": new | {"mask": new["mask"] | {"kind": "random"}}}) is True


def test_the_table_of_settings_in_the_documentation_is_the_program_s():
    text = (Path(__file__).parents[1] / "docs" / "study.md").read_text()
    lines = text.split("| setting | flat name |")[1].splitlines()[2:]
    rows = [line.split(" | ")[:3] for line in itertools.takewhile(str.strip, lines)]
    shown = [
        [path, "" if setting.flat_name == path else setting.flat_name, default_in_words(setting.default)]
        for path, setting in SETTINGS.items()
    ]
    assert [[cell.strip("| `") for cell in row] for row in rows] == shown


def default_in_words(value):
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)
