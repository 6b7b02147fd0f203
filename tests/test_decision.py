"""How z becomes the mask: the run's mask is the one that the model predicted with, whatever the rule."""

import json

import numpy as np
import pytest
from model_run import score_with
from viewer_run import make_study

from model_core.decision import DecisionRule
from model_core.perturbation.run_model import RunModel
from model_core.run_folder.run import Run
from model_core.study.study import load_study

RULES = {
    "soft": {},
    "hard at 0.5": {"decision": "hard"},
    "hard at 0.62": {"decision": "hard", "threshold": 0.62},
    "highest 3 %": {"decision": "top", "top_share": 0.03},
    "highest 40 %": {"decision": "top", "top_share": 0.4},
    "gathered": {"variant": "hard", "threshold": 0.45},
    "logit head": {"head": "logit", "decision": "top", "top_share": 0.1},
    "control": {"mask": "signal", "decision": "top", "top_share": 0.1},
}


@pytest.fixture(scope="module", params=RULES)
def scored(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("decision")
    study = load_study(make_study(folder / "study"))
    settings = {"apply": "gate", **RULES[request.param]}
    if settings.get("variant") == "hard":
        settings["apply"] = "gather"
    return study, score_with(study, folder, study.genes().iloc[:3], d_model=8, n_layers=1, **settings)


def test_the_runs_mask_is_the_models(scored):
    _, run = scored
    model = RunModel(run, "cpu")
    assert run.decision == model.model.config.decision_rule
    for gene_id in run.scored:
        mask, used = run.mask(gene_id), model.what_if(gene_id).mask
        atol = 0 if run.decision.binary else 5e-4  # E[z] is stored as float16
        np.testing.assert_allclose(mask.mask, used, rtol=0, atol=atol)
        if run.decision.binary:
            assert set(np.unique(mask.mask)) <= {0, 1}
            assert 0 < mask.kept_fraction < 1
            assert len(np.unique(mask.mean)) > 10


def test_elements_are_cut_from_the_mask_that_was_used(scored):
    _, run = scored
    for gene_id in run.scored:
        mask = run.mask(gene_id)
        for element in run.cut(gene_id).itertuples():
            inside = mask.mask[element.start - mask.start : element.end - mask.start]
            assert element.mean_mask == pytest.approx(inside.mean(dtype=np.float64), abs=1e-4)


def test_a_run_that_does_not_say_how_is_read_by_its_models_settings(scored):
    _, run = scored
    manifest = json.loads((run.path / "manifest.json").read_text())
    wanted = {gene_id: run.mask(gene_id).mask for gene_id in run.scored}
    try:
        silent = {name: value for name, value in manifest.items() if name not in ("decision", "band")}
        (run.path / "manifest.json").write_text(json.dumps({**silent, "schema": 1}))
        older = Run.open(run.path)
        assert older.decision == run.decision
        for gene_id, mask in wanted.items():
            np.testing.assert_array_equal(older.mask(gene_id).mask, mask)
    finally:
        (run.path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(("share", "positions"), [(0.1, 10), (0.5, 50), (1e-9, 1), (0.999, 100)])
def test_the_highest_share_is_that_many_positions(share, positions):
    rule, z = DecisionRule("top", share=share), np.random.default_rng(0).permutation(100) / 100
    assert (z >= rule.cutoff(z)).sum() == positions == rule.positions(100)


def test_positions_that_tie_with_the_lowest_kept_are_kept():
    z = np.array([0.2, 0.7, 0.7, 0.7, 0.1])
    assert (z >= DecisionRule("top", share=0.4).cutoff(z)).tolist() == [False, True, True, True, False]
