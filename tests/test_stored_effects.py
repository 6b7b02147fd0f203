"""What scoring stores of an additive model: its effects are those of knock-outs, whatever strand and window."""

import numpy as np
import pytest
import torch
from model_run import score_with
from viewer_run import make_study

from model_core.model.additive import AdditiveModel, contact_shares
from model_core.perturbation.run_model import RunModel
from model_core.perturbation.score_now import derive, read_gene, score_now
from model_core.perturbation.what_if import Edit
from model_core.run_folder.assemble import assemble
from model_core.run_folder.elements import MEASURED, ElementRule, read_elements
from model_core.run_folder.member_effects import along_forward_strand, bin_count
from model_core.run_folder.run import Run
from model_core.study.study import load_study

MEMBERS = 3
ADDITIVE = {"variant": "causal", "encoder": 8, "encoder_filters": 12, "members": MEMBERS}
GENES = 3  # of both strands
RULE = ElementRule(0.3, smooth_bp=20, max_gap=10, min_length=16)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return load_study(make_study(tmp_path_factory.mktemp("additive") / "study"))


def scored_run(study, folder, window: int = 1_600, genes: int = GENES, name: str = "run") -> Run:
    run = score_with(study, folder, study.genes().iloc[:genes], name, window=window, **ADDITIVE)
    assemble(run, rule=RULE)
    return run


@pytest.fixture(scope="module")
def whole(study, tmp_path_factory) -> Run:
    return scored_run(study, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def odd(study, tmp_path_factory) -> Run:
    """A run whose last bin has 3 of 8 bp."""
    return scored_run(study, tmp_path_factory.mktemp("odd"), window=1_603)


@pytest.mark.parametrize("name", ["whole", "odd"])
def test_the_stored_effect_of_any_region_is_that_of_its_knock_out(name, request):
    run: Run = request.getfixturevalue(name)
    model = RunModel(run, "cpu")
    assert set(run.genes["strand"]) == {"+", "-"}
    for gene_id in run.genes["gene_id"]:
        effects, what_if = run.member_effects(gene_id), model.what_if(gene_id)
        assert effects.values.shape == (MEMBERS, bin_count(run.manifest["window"]))
        regions = [(5, 12), (100, 164), (303, 590), (0, 700), (1_200, 1_603), (1_590, 1_603), (0, 1_603)]
        regions = [(effects.start + first, effects.start + last) for first, last in regions]
        fall = what_if.baseline - what_if.under([Edit(off=(region,)) for region in regions])
        stored = [effects.of(*region).mean() for region in regions]
        size = np.abs(effects.mean).max()
        assert size > 1e-4
        np.testing.assert_allclose(stored, fall, atol=2e-2 * size, rtol=2e-3)


def test_elements_have_the_effect_of_their_knock_out(whole):
    table = whole.cut("MYC")
    table = table[table["class"] != "promoter"]
    assert len(table)
    what_if = RunModel(whole, "cpu").what_if(table["gene_id"].iloc[0])
    edits = [Edit(off=((row.start, row.end),)) for row in table.itertuples()]
    np.testing.assert_allclose(table["effect"], what_if.baseline - what_if.under(edits), rtol=5e-3, atol=1e-5)
    assert (table["effect_sd"] > 0).all()
    assert table["recurrence"].between(0, MEMBERS).all()
    assert table["contact"].between(0, 1).all()


def test_files_have_the_columns_and_read_as_they_were_cut(whole):
    written = read_elements(whole.path / "elements" / "elements.bed")
    assert written[list(MEASURED)].notna().any().all()
    assert written.loc[written["class"] == "promoter", list(MEASURED)].isna().all(axis=None)
    for gene_id in whole.genes["gene_id"]:
        cut = whole.cut(gene_id)
        mine = written[written["gene_id"] == gene_id].reset_index(drop=True)
        np.testing.assert_allclose(mine[list(MEASURED)], cut[list(MEASURED)], rtol=1e-5, atol=6e-5)


@pytest.mark.parametrize("name", ["whole", "odd"])
def test_contact_is_the_linear_share_along_the_forward_strand(name, request, study):
    run: Run = request.getfixturevalue(name)
    for gene_id in run.genes["gene_id"]:
        window = run.window(gene_id)
        column = [spec.name for spec in study.signal_specs].index("Hi-C")
        logged = study.reader().read(window).signals[:, column].astype(np.float64)
        linear = 10**logged - 1
        bins = np.array([linear[at : at + 8].mean() for at in range(0, len(linear), 8)])
        np.testing.assert_allclose(run.contact(gene_id), bins / bins.max(), atol=1e-3)


def test_a_model_that_is_not_additive_stores_contact_alone(study, tmp_path):
    run = score_with(study, tmp_path, study.genes().iloc[:2], d_model=8, n_layers=1, apply="gate")
    assert (run.manifest.get("members"), run.manifest["contact"]) == (None, "Hi-C")
    assert run.member_effects("MYC") is None
    contact = run.contact("MYC")
    assert contact.shape == (500,)
    assert contact.max() == 1
    header = next(
        line for line in (run.path / "elements" / "elements.bed").read_text().splitlines() if not line.startswith("##")
    )
    assert header.split("\t")[-2:] == ["peak", "contact"]
    assert run.elements["effect"].isna().all()


def test_one_more_gene_is_stored_as_the_others(study, tmp_path):
    alone = scored_run(study, tmp_path, genes=1, name="alone")
    every = scored_run(study, tmp_path, genes=2, name="every")
    gene_id = next(iter(every.scored - alone.scored))
    model = RunModel(Run.open(alone.path), "cpu")
    score_now(model, *read_gene(model, gene_id))
    assert derive(model)
    run = Run.open(alone.path)
    np.testing.assert_array_equal(run.member_effects(gene_id).values, every.member_effects(gene_id).values)
    np.testing.assert_array_equal(run.contact(gene_id), every.contact(gene_id))
    assert run.gene(gene_id)["predicted"] == pytest.approx(every.gene(gene_id)["predicted"], abs=1e-6)
    assert run.elements.loc[run.elements["gene_id"] == gene_id, "effect"].notna().any()


@torch.no_grad()
def test_scoring_reads_a_window_once(monkeypatch, study, tmp_path):
    read, seen = AdditiveModel.read, []
    monkeypatch.setattr(AdditiveModel, "read", lambda *a: seen.append(len(a[1])) or read(*a))
    scored_run(study, tmp_path)
    assert seen == [1] * GENES


def test_bins_of_the_minus_strand_are_counted_from_the_windows_start():
    rng = np.random.default_rng(0)
    bases = rng.normal(size=(2, 203))
    starts = np.arange(0, 203, 8)
    read = np.add.reduceat(bases[:, ::-1], starts, axis=1)  # from the window's end on
    found = along_forward_strand(read, 203, True)
    assert found.shape == read.shape
    np.testing.assert_allclose(found.sum(1), bases.sum(1))
    even = np.add.reduceat(bases[:, :200][:, ::-1], starts[:25], axis=1)
    expected = np.add.reduceat(bases[:, :200], starts[:25], axis=1)
    np.testing.assert_allclose(along_forward_strand(even, 200, True), expected)
    flat = np.repeat([[1.0, -2.0]], [101, 102], axis=1)  # where two bins of either direction cover one value each
    read = np.add.reduceat(flat[:, ::-1], starts, axis=1)
    forward = np.add.reduceat(flat, starts, axis=1)
    near = [12, 13]
    np.testing.assert_allclose(np.delete(along_forward_strand(read, 203, True), near, 1), np.delete(forward, near, 1))
    np.testing.assert_array_equal(along_forward_strand(read, 203, False), read)


def test_a_shorter_last_bin_has_the_mean_contact_of_its_bases():
    logged = torch.log10(1 + torch.tensor([[4.0] * 8 + [2.0] * 3]))
    np.testing.assert_allclose(contact_shares(logged)[0], [1, 0.5], rtol=1e-5)
    assert not contact_shares(torch.zeros(1, 11)).any()
    assert contact_shares(torch.full((1, 11), 500.0)).isfinite().all()
