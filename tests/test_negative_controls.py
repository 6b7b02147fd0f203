"""Negative controls: what each mixes and keeps, that its runs say so, and what the command reports."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_run import lively
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score
from small_study import edit, write_small_study
from typer.testing import CliRunner

from model_core.errors import InputError
from model_core.evaluation import caveats
from model_core.evaluation.base_scores import PRIOR, ScoreReader
from model_core.evaluation.controls import signal_prior
from model_core.evaluation.lost_by_controls import (
    AUPRC,
    IN_PEAKS,
    OF_PRIOR,
    PEARSON,
    REAL,
    gene_numbers,
    inputs_of,
    paired_difference,
    rank_correlation,
    sentence,
    share_among_highest,
    table_of,
)
from model_core.model.checkpoint import load_with_metadata, save_checkpoint
from model_core.negative_control import (
    CONTROLS,
    LABELS,
    SEQUENCE,
    SIGNALS,
    control_words,
    permuted_labels,
    rotated_signals,
    shuffled_bases,
)
from model_core.perturbation.run_model import RunModel
from model_core.run_folder.notes import notes_of
from model_core.run_folder.run import Run
from model_core.run_folder.source import study_of
from model_core.scoring.score import run_for, score
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import World
from model_core.study.genome import one_hot
from model_core.study.peaks import peaks_of_study
from model_core.study.study import load_study
from model_core.training.train import begin_run
from model_core.window import Window
from seq2exp_viz.cli import app

TINY = ("--window", "4096", "--promoter", "512", "--width", "8", "--depth", "1", "--steps", "2", "--batch-size", "2")
WORLD = World(genes=(4, 4, 4), validation_genes=2, window=4_096)
SETTINGS = {"window": 512, "promoter": 128, "d_model": 8, "n_layers": 1}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The small study with two validation genes, and labels for its test genes."""
    path = write_small_study(tmp_path_factory.mktemp("controls"))
    edit(path, "window = 4_000\npromoter = 400", "window = 512\npromoter = 128")
    return load_study(path)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["train", "validation", "test", ""]), st.floats(0, 9) | st.none())))
def test_labels_change_places_within_training_and_within_validation_genes_only(rows):
    before = pd.DataFrame(rows, columns=["split", "label"]).astype({"label": float})
    after = permuted_labels(before)
    assert after["split"].equals(before["split"])
    assert (after["label"].isna() == before["label"].isna()).all()
    for split, part in before.groupby("split"):
        mixed = after.loc[part.index, "label"]
        assert sorted(mixed.dropna()) == sorted(part["label"].dropna())
        assert split in ("train", "validation") or mixed.equals(part["label"])
    pd.testing.assert_frame_equal(permuted_labels(before), after)
    assert sorted(permuted_labels(before, 1)["label"].dropna()) == sorted(before["label"].dropna())


def test_permuted_labels_tell_nothing_of_the_true_ones():
    before = pd.DataFrame({"split": ["train"] * 400, "label": np.arange(400.0)})
    mixed = [permuted_labels(before, seed)["label"] for seed in (0, 1)]
    assert max(abs(pearsonr(before["label"], labels)[0]) for labels in mixed) < 0.15
    assert not mixed[0].equals(mixed[1])


def test_signals_move_far_together_contact_stays_and_artefacts_do_not_leave_the_blacklist():
    rng, window = np.random.default_rng(0), Window("chr1", 5_000, "-", 1_000)
    signals = rng.random((1_000, 3)).astype(np.float32)
    blacklist = np.zeros(1_000, bool)
    blacklist[100:150] = True
    signals[blacklist, :2] = 99
    mixed = rotated_signals(signals, [0, 1], blacklist, window)
    assert (mixed[:, 2] == signals[:, 2]).all()
    assert mixed[:, :2].max() <= 1
    clean = np.where(blacklist[:, None], 0, signals[:, :2])
    distance = int(np.argmax([(np.roll(clean, step, axis=0) == mixed[:, :2]).all() for step in range(1_000)]))
    assert 250 <= distance <= 750
    assert signals[100, 0] == 99  # the input is not changed
    assert (rotated_signals(signals, [0, 1], blacklist, window._replace(strand="+")) == mixed).all()
    others = [rotated_signals(signals, [0], blacklist, window._replace(tss=tss)) for tss in range(5_001, 5_009)]
    assert len({other.tobytes() for other in others}) > 4


def test_bases_are_shuffled_by_window():
    sequence = one_hot("ACGTTGCANNNACGATTACA" * 20)
    mixed = shuffled_bases(sequence, Window("chr1", 5_000, "+", 400))
    assert (mixed.sum(0) == sequence.sum(0)).all()
    assert (mixed.any(1) == sequence.any(1)).all()
    assert (mixed != sequence).any()
    assert (shuffled_bases(sequence, Window("chr1", 5_000, "-", 400)) == mixed).all()
    assert (shuffled_bases(sequence, Window("chr1", 5_001, "+", 400)) != mixed).any()


def test_a_study_as_control_mixes_one_thing_and_keeps_all_others(small):
    small.genes()
    window = small.windows(small.gene_sites())[3]
    plain, genes = small.reader().read(window), small.genes()
    for control in CONTROLS:
        mixed = small.as_control(control)
        assert (mixed.control, small.control) == (control, None)
        data = pickle.loads(pickle.dumps(mixed.reader())).read(window)
        same = {name: np.array_equal(getattr(data, name), getattr(plain, name)) for name in plain._fields}
        assert same == {"sequence": control != SEQUENCE, "signals": control != SIGNALS, "blacklist": True}
        for table in (mixed.genes(), mixed.gene_sites()):
            assert table["label"].equals(genes["label"]) == (control != LABELS)
        assert mixed.genes().drop(columns="label").equals(genes.drop(columns="label"))
    assert small.genes().equals(genes)


def test_a_run_of_a_control_says_so_first_and_finds_its_control_again(small, tmp_path):
    config, recipe = small.config(**SETTINGS), small.train_config(steps=1)
    mixed = small.as_control(SIGNALS)
    run = begin_run(mixed, config, recipe, tmp_path / "run")
    assert json.loads((run.path / "manifest.json").read_text())["control"] == SIGNALS
    assert notes_of(run)[0].text == control_words(SIGNALS)
    assert "no real run" in control_words("of a later version")
    assert study_of(Run.open(run.path)).control == SIGNALS
    assert control_words(SIGNALS) in caveats.of_study(run, study_of(run))
    labels = begin_run(small.as_control(LABELS, recipe.seed), config, recipe, tmp_path / "labels")
    expected = small.as_control(LABELS, recipe.seed).gene_sites()["label"]
    assert study_of(labels).gene_sites()["label"].equals(expected)
    assert not small.as_control(LABELS).gene_sites()["label"].equals(expected)
    begin_run(mixed, config, recipe, run.path)  # resumes
    with pytest.raises(InputError, match="a run of the negative control 'signals'; expected one of the study itself"):
        begin_run(small, config, recipe, run.path)
    real = begin_run(small, config, recipe, tmp_path / "real")
    assert "control" not in real.manifest
    with pytest.raises(InputError, match="a run of the study itself; expected one of the negative control 'labels'"):
        begin_run(small.as_control(LABELS), config, recipe, real.path)


def test_a_model_that_was_trained_as_control_is_named_where_it_scores_another_study(small, tmp_path):
    signals = [{"name": spec.name, "transform": spec.transform} for spec in small.signal_specs]
    metadata = {"feature_scale": small.feature_scale().to_dict(), "signals": signals, "trained": {"control": LABELS}}
    save_checkpoint(tmp_path / "model.safetensors", lively(small.config(**SETTINGS), 3), metadata)
    run = run_for(small, tmp_path / "model.safetensors", tmp_path / "run")
    assert run.manifest["checkpoint"]["control"] == LABELS
    assert notes_of(Run.open(run.path))[0].text == control_words(LABELS)


@pytest.mark.parametrize("control", [SIGNALS, SEQUENCE])
def test_scoring_and_what_ifs_of_a_control_read_what_its_training_read(small, tmp_path, control):
    signals = [{"name": spec.name, "transform": spec.transform} for spec in small.signal_specs]
    metadata = {"feature_scale": small.feature_scale().to_dict(), "signals": signals, "signal_quantiles": {}}
    save_checkpoint(tmp_path / "model.safetensors", lively(small.config(**SETTINGS, apply="gate"), 3), metadata)
    genes, predicted = small.genes().iloc[:2], {}
    for name, study in (("real", small), ("mixed", small.as_control(control))):
        run = begin_run(study, small.config(**SETTINGS, apply="gate"), small.train_config(), tmp_path / name)
        run.update(
            checkpoint=run_for(small, tmp_path / "model.safetensors", tmp_path / f"{name}-x").manifest["checkpoint"]
        )
        score(run, study_of(run), genes, tmp_path / "model.safetensors", "cpu")
        predicted[name] = run.genes.set_index("gene_id")["predicted"]
    assert (predicted["real"] - predicted["mixed"]).abs().min() > 1e-6
    model = RunModel(Run.open(run.path), "cpu")
    for gene_id, value in predicted["mixed"].items():
        assert model.what_if(gene_id).baseline == pytest.approx(value, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=40), st.floats(0.05, 1))
def test_the_share_among_the_highest_is_the_mean_over_all_orders_of_ties(pairs, share):
    inside, values = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs], float)
    found = share_among_highest(inside, values, share)
    count = max(1.0, share * len(values))
    left, expected = count, 0.0
    for value in sorted(set(values), reverse=True):
        tied = values == value
        taken = min(left, tied.sum())
        expected += taken * inside[tied].mean()
        left -= taken
    assert found == pytest.approx(expected / count)


def test_paired_differences_and_rank_correlations_agree_with_scipy():
    rng = np.random.default_rng(0)
    observed = rng.random(60)
    real, control = observed + rng.normal(0, 0.05, 60), rng.random(60)
    pairs = (np.stack([observed, values], axis=1) for values in (real, control))
    difference, low, high = paired_difference(*pairs)
    assert difference == pytest.approx(pearsonr(observed, real)[0] - pearsonr(observed, control)[0])
    assert 0 < low < difference < high
    a, b = rng.random((40, 1)), rng.random((40, 1))
    assert paired_difference(a, b)[0] == pytest.approx(a.mean() - b.mean())
    assert np.isnan(paired_difference(a[:2], b[:2])).all()
    assert rank_correlation(observed, real) == pytest.approx(spearmanr(observed, real)[0])
    assert np.isnan(rank_correlation(observed, np.ones(60)))


def test_the_table_says_what_was_lost_what_not_and_what_was_not_measured():
    rng, genes = np.random.default_rng(1), [f"G{i}" for i in range(30)]
    observed = rng.random(30)

    def numbers(predicted, auprc):
        table = pd.DataFrame({"observed": observed, "predicted": predicted}, index=genes)
        return table.assign(
            **{AUPRC: auprc, IN_PEAKS: np.nan, OF_PRIOR: 1.0, "causal share": 0.02, "peak share": np.nan}
        )

    real = numbers(observed, 0.6 + 0.1 * rng.random(30))
    made = {REAL: real, LABELS: numbers(rng.random(30), real[AUPRC]), SIGNALS: numbers(observed, 0.1)}
    table = table_of(made)
    said = sentence(table, LABELS)
    assert said.startswith("should lose: Pearson, AUPRC; lost: Pearson (1.000 to ")
    assert "; not lost: AUPRC (" in said
    assert "chance 0.020" in said
    assert sentence(table, SIGNALS).endswith("; not measured: in peaks")
    assert table.loc[(table["run"] == SIGNALS) & (table["measure"] == PEARSON), "lost"].tolist() == ["no"]
    assert table["genes"].tolist()[:4] == [30, 30, 0, 30]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What the command gave for a tiny world: (study, folder, output)."""
    folder = tmp_path_factory.mktemp("world")
    path = simulate_study(folder / "study", seed=1, world=WORLD)
    peaks_of_study(load_study(path))
    shown = CliRunner().invoke(
        app, ["negative-controls", str(path), "-o", str(folder / "out"), "--device", "cpu", *TINY]
    )
    assert shown.exit_code == 0, shown.output
    return path, folder / "out", shown.output


def test_the_command_trains_the_study_and_each_control_and_says_what_was_lost(done):
    path, out, shown = done
    table = pd.read_csv(out / "controls.tsv", sep="\t")
    assert table["run"].unique().tolist() == [REAL, *CONTROLS]
    for control in CONTROLS:
        assert f"{control}: should lose: " in shown
        assert control_words(control) in shown
        run = Run.open(out / control)
        assert run.manifest["control"] == control
        assert load_with_metadata(run.checkpoint, "cpu")[1]["trained"]["control"] == control
        assert set(run.genes["split"]) == {"test"}
    real = load_study(path)
    observed = [Run.open(out / name).genes.set_index("gene_id")["observed"] for name in (REAL, *CONTROLS)]
    assert all(other.equals(observed[0]) for other in observed)  # labels of test genes stay
    run = Run.open(out / REAL)
    numbers = gene_numbers(run, real, inputs_of(real, run))
    assert numbers["predicted"].equals(run.genes.set_index("gene_id")["predicted"].loc[numbers.index])
    causal = pd.read_csv(real.truth.causal, sep="\t").rename(columns={"#chrom": "chrom"})
    for gene in run.genes.itertuples():
        mask, mine = run.mask(gene.gene_id), causal[causal["gene"] == gene.gene_id]
        planted = np.zeros(4_096, bool)
        for row in mine.itertuples():
            planted[max(row.start - mask.start, 0) : max(row.end - mask.start, 0)] = True
        if planted[mask.learned].any():
            expected = average_precision_score(planted[mask.learned], mask.mean[mask.learned])
            assert numbers.loc[gene.gene_id, AUPRC] == pytest.approx(expected)
    assert numbers[AUPRC].notna().any()


def test_scores_of_a_comparison_are_made_of_the_signals_that_the_control_was_given(done):
    _, out, _ = done
    run = Run.open(out / SIGNALS)
    study, gene_id = study_of(run), run.genes["gene_id"].iloc[0]
    mask = run.mask(gene_id)
    found = ScoreReader(run, study, {}).read(gene_id, mask)
    window = Window.between(mask.chrom, mask.start, mask.end)
    given, true = (reader.read(window).signals for reader in (study.reader(), load_study(study.path).reader()))
    assert np.allclose(found[PRIOR], signal_prior(given, run.model_config))
    assert not np.allclose(found[PRIOR], signal_prior(true, run.model_config))


def test_what_is_finished_is_not_done_again(done):
    path, out, shown = done
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()}
    again = CliRunner().invoke(app, ["negative-controls", str(path), "-o", str(out), "--device", "cpu", *TINY])
    assert again.exit_code == 0, again.output
    assert again.output.splitlines()[-6:] == shown.splitlines()[-6:]
    assert "training soft" in shown
    assert "training soft" not in again.output
    touched = {file.name for file, at in before.items() if file.stat().st_mtime_ns != at}
    assert touched <= {"controls.tsv", "manifest.json", "scores.jsonl"}
    other = CliRunner().invoke(app, ["negative-controls", str(path), "-o", str(out), *TINY, "--seed", "7"])
    assert isinstance(other.exception, InputError)
    assert "other settings" in str(other.exception)


def test_studies_on_which_controls_cannot_be_judged_are_refused_before_anything_is_trained(tmp_path):
    path = write_small_study(tmp_path)
    words = ["negative-controls", str(path), "-o", str(tmp_path / "out")]
    edit(path, 'test = ["chr2"]', "test = []")
    assert "no test gene with a label" in str(CliRunner().invoke(app, words).exception)
    edit(path, "test = []", 'test = ["chr2"]')
    edit(path, "promoter = 400", 'promoter = 400\nmask = "promoter"')
    assert "a control itself" in str(CliRunner().invoke(app, words).exception)
    edit(path, '\nmask = "promoter"', "")
    assert "validation" in str(CliRunner().invoke(app, words).exception)
    assert not (tmp_path / "out").exists()
    assert isinstance(CliRunner().invoke(app, ["negative-controls", str(tmp_path / "none")]).exception, InputError)
    assert CliRunner().invoke(app, [*words, "--steps", "0"]).exit_code == 2
