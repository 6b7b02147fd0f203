"""The benchmark of planted elements: what it reads as truth, what it measures, and what its tables say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from benchmark_script import script
from sklearn.metrics import average_precision_score

from model_core.evaluation.resampling import auprc_draws, cluster_counts
from model_core.files import write_json
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import WORLDS
from model_core.study.study import load_study

WORLD = dataclasses.replace(WORLDS["insulated"], genes=(24, 24, 12), validation_genes=8, changed=0.0)


@pytest.fixture(scope="module")
def planted():
    return script("planted")


@pytest.fixture(scope="module")
def rivals(planted):
    return script("rivals")


@pytest.fixture(scope="module")
def worlds(rivals):
    return script("worlds")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return load_study(simulate_study(tmp_path_factory.mktemp("world") / "study", seed=4, world=WORLD))


@pytest.fixture(scope="module")
def read(planted, study):
    genes = study.genes()
    windows = planted.read_windows(study, genes[genes["split"] == "test"], WORLD.promoter)
    return windows, planted.read_truth(study, windows)


def test_truth_names_each_element_of_a_window_by_what_it_is_to_that_gene(planted, study, read):
    windows, truth = read
    causal = pd.read_csv(study.truth.causal, sep="\t")
    for row, gene in windows.genes.iterrows():
        expected = np.zeros(WORLD.window, bool)
        for element in causal[causal.gene == gene.gene_id].itertuples():
            first = max(element.start - windows.start[row], 0)
            expected[first : max(element.end - windows.start[row], 0)] = True
        found = np.isin(truth.kind[row], (planted.CAUSAL, planted.WEAK))
        assert np.array_equal(found, expected)
        assert (truth.effect[row][found] >= WORLD.least_effect - 1e-6).all()
    assert set(np.unique(truth.kind)) == set(range(7))  # insulated elements of other genes among them
    assert truth.effect[truth.kind == planted.OTHER_GENE].max() < WORLD.least_effect
    assert not truth.effect[np.isin(truth.kind, (planted.DECOY, planted.CLOSED))].any()


def test_measures_are_those_of_scikit_learn(planted, read):
    windows, truth = read
    score = np.random.default_rng(0).random(truth.kind.shape).astype(np.float32) + truth.effect
    found = planted.measures(score, windows, truth)
    positive = np.isin(truth.kind, (planted.CAUSAL, planted.WEAK))[windows.learned]
    assert found["auprc"] == pytest.approx(average_precision_score(positive, score[windows.learned]), rel=1e-6)
    cut = np.sort(score[windows.learned])[-round(planted.SHARE * positive.size)]
    kept = windows.learned & (score >= cut)
    assert found["causal"] == pytest.approx(kept[np.isin(truth.kind, (1, 2))].sum() / positive.sum(), abs=1e-3)
    assert found["closed"] == pytest.approx(kept[truth.kind == 4].sum() / (windows.learned & (truth.kind == 4)).sum())


def test_resampled_auprc_is_that_of_the_resampled_genes(planted, read):
    windows, truth = read
    score = np.random.default_rng(0).random(truth.kind.shape).astype(np.float32) + truth.effect
    weights, counts = cluster_counts(len(windows.genes), times=3), planted.counts_by_gene(score, windows, truth)
    positive = np.isin(truth.kind, (planted.CAUSAL, planted.WEAK))
    for found, row in zip(auprc_draws(counts, times=3)[1:], weights, strict=True):
        drawn = np.repeat(np.arange(len(row)), row)
        learned = windows.learned[drawn]
        expected = average_precision_score(positive[drawn][learned], score[drawn][learned])
        assert found == pytest.approx(expected, abs=2e-3)


def test_a_difference_is_paired_over_genes(planted, read):
    windows, truth = read
    rng = np.random.default_rng(0)
    good = truth.effect + 0.3 * rng.random(truth.kind.shape)
    noise = rng.random(truth.kind.shape)
    ((name, value, low, high),) = planted.differences({"good": good, "noise": noise}, "good", windows, truth)
    assert name == "noise"
    assert 0 < low < value < high


def test_a_perfect_effect_agrees_with_the_planted_one(planted, read):
    windows, truth = read
    found = planted.agreement(truth.effect, windows, truth)
    assert (found["r"], found["slope"]) == pytest.approx((1, 1), abs=0.01)
    assert planted.assignment(truth.effect, windows, truth) == pytest.approx(1)
    assert found["mean_decoy"] == found["mean_closed"] == 0


def test_oracles_beat_signals_and_trees_see_more_than_chance(planted, rivals, study, read):
    windows, truth = read
    genes = study.genes()
    train_windows = planted.read_windows(study, genes[genes["split"] == "train"], WORLD.promoter)
    scores = rivals.of_signals(study, windows, None) | rivals.oracles(study, WORLD, windows, truth)
    scores["trees (truth)"] = rivals.trees_on_truth(
        study, train_windows, planted.read_truth(study, train_windows), windows
    )
    scores["trees (expression)"], predicted = rivals.trees_on_expression(study, train_windows, windows)
    found = {name: planted.measures(values, windows, truth)["auprc"] for name, values in scores.items()}
    assert found["oracle: true sites x DNase x contact"] > 0.8
    assert found["oracle: scan for the grammar x DNase x contact"] > 1.5 * found["DNase"]
    assert found["trees (truth)"] > found["random"]
    assert np.isfinite(scores["trees (expression)"]).all()
    assert np.isfinite(predicted).all()


def test_trees_read_windows_that_their_bins_do_not_fill(planted, rivals, study):
    genes = study.genes()
    read = [planted.read_windows(study, genes[genes["split"] == split], 100, 4_000) for split in ("train", "test")]
    whole = slice(80, 80 + 15 * rivals.WIDE)  # of the 4,000 bases
    effects, _ = rivals.trees_on_expression(study, *read)
    assert effects.shape == (len(read[1].genes), 4_000)
    assert effects[:, whole].any()
    effects[:, whole] = 0
    assert not effects.any()


def test_tables_take_cells_together_and_tell_models_apart(worlds, tmp_path, monkeypatch):
    monkeypatch.setattr(worlds, "RESULTS", tmp_path)
    tables = script("world_tables")
    row = dict.fromkeys(tables.COLUMNS, 0.5)
    write_json(worlds.cell_path("plain", 1, worlds.RIVALS), {"world": "plain", "scores": {"DNase": row}})
    for seed, auprc in ((0, 0.8), (1, 0.9)):
        cell = {"world": "plain", "model": "causal", "scores": {"mask": {**row, "auprc": auprc, "other": None}}}
        write_json(worlds.cell_path("plain", 1, "causal", seed), cell)
    rows = tables.tables(worlds.results()).splitlines()
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in rows[4:] if line}
    assert cells["causal: mask"][0] == "0.850 ± 0.071"
    assert cells["causal: mask"][-1] == "2"
    assert cells["causal: mask"][list(tables.COLUMNS).index("other")] == ""
    assert cells["DNase"] == ["0.500"] * len(tables.COLUMNS) + ["1"]
