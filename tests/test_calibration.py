"""Chance of elements: the map, what it is fitted to and by which genes, what is refused, and where it is shown."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_run import make_marked_run
from sklearn.isotonic import IsotonicRegression
from typer.testing import CliRunner

from model_core.errors import InputError
from model_core.evaluation import reliability
from model_core.evaluation.reliability import (
    FEWEST,
    Elements,
    calibrate,
    elements_of,
    is_planted,
    isotonic_map,
    judged,
    reliability_curve,
    truth_of,
)
from model_core.run_folder.calibration import (
    BEYOND_ERROR,
    MEAN_MASK,
    NOT_CALIBRATED,
    Calibration,
    calibration_words,
    element_scores,
    score_of,
)
from model_core.run_folder.run import Run
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import World
from model_core.study.study import load_study
from seq2exp_viz.cli import app
from seq2exp_viz.page.tabs import quality_panel
from seq2exp_viz.reports.gene_report import report
from seq2exp_viz.runs.check import describe
from seq2exp_viz.runs.element_tables import element_table
from seq2exp_viz.runs.registry import RunRegistry

WORLD = World(
    genes=(2, 44, 16), validation_genes=40, window=4_096, spacing=(5_500, 6_500), longest_transcript=3_000, hic_depth=2
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return load_study(simulate_study(tmp_path_factory.mktemp("world") / "study", 3, WORLD))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, study):
    """A run whose masks mark what is planted: causal elements higher than decoys, by chance alone."""
    return make_marked_run(tmp_path_factory.mktemp("marked") / "run", study)


@pytest.fixture
def run(whole, tmp_path):
    return Run.open(shutil.copytree(whole.path, tmp_path / "run"))


@pytest.fixture
def view_of(tmp_path):
    opened = []

    def view(run):
        opened.append(RunRegistry([run.path], cache=tmp_path / "cache"))
        return opened[-1].first

    yield view
    for registry in opened:
        registry.close()


# The map

scored = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@given(rows=scored, order=st.randoms(use_true_random=False), asked=st.lists(st.floats(-1, 2), min_size=1))
@settings(max_examples=60, deadline=None)
def test_the_chance_never_falls_with_the_score_is_no_certainty_and_knows_no_order(rows, order, asked):
    scores, causal = (np.array(column) for column in zip(*rows, strict=True))
    points = isotonic_map(scores, causal)
    mixed = order.sample(range(len(rows)), len(rows))
    again = isotonic_map(scores[mixed], causal[mixed])
    chances = np.interp(np.sort(asked), *points)
    assert (np.diff(chances) >= 0).all()
    assert ((chances > 0) & (chances < 1)).all()
    np.testing.assert_allclose(np.interp(asked, *again), np.interp(asked, *points), atol=1e-12)
    for x, y in (points, again):
        assert (np.diff(x) > 0).all()
        assert (np.diff(y) >= 0).all()


def test_the_stored_points_give_what_isotonic_regression_gives():
    rng = np.random.default_rng(0)
    scores = rng.random(300)
    causal = rng.random(300) < scores
    fit = IsotonicRegression(out_of_bounds="clip").fit([scores.min(), *scores, scores.max()], [1, *causal, 0])
    asked = np.linspace(-0.2, 1.2, 500)
    np.testing.assert_allclose(np.interp(asked, *isotonic_map(scores, causal)), fit.predict(asked), atol=1e-12)


def test_a_chance_that_is_true_is_found_again():
    rng = np.random.default_rng(1)
    scores = rng.random(20_000)
    causal = rng.random(20_000) < scores**2
    asked = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(np.interp(asked, *isotonic_map(scores, causal)), asked**2, atol=0.05)


def test_the_curve_counts_every_element_once_and_equal_scores_together():
    rng = np.random.default_rng(2)
    scores = np.round(rng.random(500), 2)
    scores[:200] = 0.5
    causal = rng.random(500) < 0.4
    curve = reliability_curve(scores, scores / 2, causal)
    assert curve["elements"].sum() == 500
    assert curve["causal"].sum() == causal.sum()
    assert (curve["score_from"].to_numpy()[1:] > curve["score_to"].to_numpy()[:-1]).all()
    assert len(curve) <= 10
    inside = (scores >= curve["score_from"][0]) & (scores <= curve["score_to"][0])
    assert curve.loc[0, "causal"] == causal[inside].sum()
    assert curve.loc[0, "chance"] == pytest.approx(scores[inside].mean() / 2)
    assert len(reliability_curve(np.array([np.nan]), np.array([np.nan]), np.array([True]))) == 0


def test_an_additive_run_is_scored_by_effect_beyond_its_error_and_others_by_their_mask():
    table = pd.DataFrame({"mean_mask": [0.9, 0.8, 0.7], "effect": [-0.3, 0.0, 0.1], "effect_sd": [0.1, 0.0, 0.3]})
    assert score_of(table) == BEYOND_ERROR
    np.testing.assert_allclose(element_scores(table, BEYOND_ERROR), [0.1, 0, -0.5])
    for without in (table.drop(columns="effect_sd"), table.assign(effect_sd=np.nan), table.head(0)):
        assert score_of(without) == MEAN_MASK
    np.testing.assert_allclose(element_scores(table, MEAN_MASK), [0.9, 0.8, 0.7])
    assert np.isnan(element_scores(table[["mean_mask"]], BEYOND_ERROR)).all()


def test_a_planted_element_counts_for_its_own_gene_only():
    elements = pd.DataFrame({"chrom": "chr1", "start": [100, 100, 300], "end": [200, 200, 400], "gene_id": list("aba")})
    causal = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [199, 300], "end": [210, 400], "gene": ["a", "a"]})
    assert is_planted(elements, causal).tolist() == [True, False, False]
    assert is_planted(elements, causal.drop(columns="gene")).tolist() == [True, True, False]
    assert is_planted(elements, causal.assign(start=200)).tolist() == [False, False, False]
    assert is_planted(elements.head(0), causal).tolist() == []


# A run


def test_validation_genes_alone_give_the_map(run, study):
    found = calibrate(run, study)
    truth, source = truth_of(run, study)
    fitted = elements_of(run, truth, "validation")
    genes = run.genes.set_index("gene_id")
    assert set(genes.loc[fitted.table["gene_id"], "split"]) == {"validation"}
    counts = found.record["validation"]
    assert (counts["genes"], counts["elements"]) == (40, len(fitted.table))
    assert len(fitted.table) >= FEWEST
    assert source["sha256"] == found.record["truth"]["sha256"]
    points = isotonic_map(fitted.table["mean_mask"].to_numpy(), fitted.causal)
    np.testing.assert_array_equal(found.scores, points[0])
    np.testing.assert_array_equal(found.chances, points[1])
    held_out = found.record["test"]
    assert held_out["genes"] == 16
    assert sum(level["elements"] for level in held_out["curve"]) == held_out["elements"]


def test_a_run_that_stores_effects_is_calibrated_by_what_their_error_leaves(study, tmp_path, view_of):
    run = make_marked_run(tmp_path / "run", study, members=3)
    found = calibrate(run, study)
    fitted = elements_of(run, truth_of(run, study)[0], "validation")
    left = fitted.table["effect"].abs() - 2 * fitted.table["effect_sd"]
    assert found.score == BEYOND_ERROR
    np.testing.assert_array_equal(np.array((found.scores, found.chances)), isotonic_map(left.to_numpy(), fitted.causal))
    view = view_of(run)
    table = element_table(view)
    gene = table["gene_id"].iloc[0]
    np.testing.assert_array_equal(table["chance"], found.chance(run.elements[run.elements["class"] != "promoter"]))
    mine = table[table["gene_id"] == gene]["chance"]  # of effects with six digits, as the file has them
    np.testing.assert_allclose(element_table(view, gene)["chance"], mine, atol=0.01)


def test_the_record_is_read_as_it_was_written(run, study):
    written = calibrate(run, study)
    read = Run.open(run.path).calibration
    assert read.record == written.record
    assert read.words == "calibrated on 40 validation genes of this study"
    table = run.elements
    np.testing.assert_array_equal(read.chance(table), written.chance(table))


def test_a_map_of_other_weights_or_another_rule_does_not_count(run, study):
    calibrate(run, study)
    path = run.path / "calibration.json"
    record = json.loads(path.read_text())
    for change in ({"checkpoint": "0" * 64}, {"rule": record["rule"] | {"threshold": 0.123}}):
        path.write_text(json.dumps(record | change))
        opened = Run.open(run.path)
        assert opened.calibration is None
        assert calibration_words(opened.calibration) == NOT_CALIBRATED
    path.write_text(json.dumps(record))
    assert Run.open(run.path).calibration is not None


def test_check_says_where_the_planted_elements_have_changed_since(run, study, view_of):
    calibrate(run, study)
    path = run.path / "calibration.json"
    record = json.loads(path.read_text())
    record["truth"]["sha256"] = "0" * 64
    path.write_text(json.dumps(record))
    (line,) = (line for line in describe(view_of(run)) if line.startswith("chance of elements"))
    assert line.endswith(f"{study.truth.causal} has changed since: run `seq2exp-viz calibrate` again")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"map": {"score": [0.2, 0.1], "chance": [0.2, 0.3]}}, "scores that rise"),
        ({"map": {"score": [0.1, 0.2], "chance": [0.3, 0.2]}}, "chances that never fall"),
        ({"map": {"score": [0.1, 0.2], "chance": [0.3]}}, "as many chances as scores"),
        ({"map": {"score": [], "chance": []}}, "at least 1 item"),
        ({"map": {"score": [0.1], "chance": [1.5]}}, "less than or equal to 1"),
        ({"score": "max_mask"}, "mean_mask"),
        ({"schema": 2}, "1"),
        ({"validation": {"genes": 1, "elements": 1, "causal": 2, "curve": []}}, "no more causal elements"),
    ],
)
def test_a_damaged_record_is_one_message_and_the_rest_is_shown(run, study, view_of, change, words):
    calibrate(run, study)
    path = run.path / "calibration.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=rf"calibration\.json.*{words}"):
        _ = Run.open(run.path).calibration
    view = view_of(run)
    assert element_table(view)["chance"].isna().all()
    assert [note for note in view.notes if note.startswith("The chance of elements is not shown")]


# What is refused


def without_validation(run):
    path = run.path / "scores.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line | {"split": "test"}) + "\n" for line in lines))
    return Run.open(run.path)


def test_each_thing_that_is_missing_is_one_clear_message(run, study, tmp_path, monkeypatch):
    def refused(run, study, words):
        with pytest.raises(InputError, match=words) as error:
            calibrate(run, study)
        assert len(error.value.problems) == 1
        assert not (run.path / "calibration.json").exists()

    refused(run, study.model_copy(update={"truth": None}), "a study without planted truth.*not calibrated for this")
    beyond = tmp_path / "beyond.bed"
    gene = run.genes.iloc[0]
    beyond.write_text(f"#chrom\tstart\tend\tname\tgene\n{gene['chrom']}\t999999000\t999999300\tx\t{gene['gene_id']}\n")
    refused(run, with_truth(study, beyond), "an element at chr1:999,999,001-999,999,300; expected elements of this gen")
    beyond.write_text("#chrom\tstart\tend\tname\tgene\nchrZ\t100\t300\tx\tG\n")
    refused(run, with_truth(study, beyond), "chrZ")
    beyond.write_text(f"#chrom\tstart\tend\tname\tgene\n{gene['chrom']}\t100\t300\tx\tNOSUCH\n")
    refused(run, with_truth(study, beyond), "no gene of the run among the 1 in its column 'gene'")
    beyond.write_text(f"#chrom\tstart\tend\tname\tgene\n{gene['chrom']}\t100\t300\tx\t{gene['gene_id']}\n")
    refused(
        run, with_truth(study, beyond), "of 40 validation genes, 0 of them planted; expected .* check that it is the"
    )
    monkeypatch.setattr(reliability, "FEWEST", 10_000)
    refused(run, study, r"expected at least 10000 elements.*; score more validation genes")
    run.update(assembled=None)
    refused(run, study, "no elements")


def with_truth(study, causal):
    return study.model_copy(update={"truth": study.truth.model_copy(update={"causal": causal})})


def test_scored_genes_of_other_splits_are_refused_with_the_command_that_scores_the_right_ones(run, study, monkeypatch):
    with pytest.raises(InputError, match=r"no gene of the validation split among 62 scored genes.*--split validation"):
        calibrate(without_validation(run), study)
    sites = study.gene_sites()
    monkeypatch.setattr(type(study), "gene_sites", lambda self: sites.assign(split="train"))
    with pytest.raises(InputError, match=r"name validation genes in \[genes.split\]"):
        calibrate(without_validation(run), study)


# Where it is shown


def test_the_command_writes_the_map_and_prints_both_curves(run):
    done = CliRunner().invoke(app, ["calibrate", str(run.path)])
    assert done.exit_code == 0, done.output
    assert re.search(r"40 validation genes \(gave the map\): \d+ elements, 0\.\d\d of them causal", done.output)
    assert re.search(r"16 test genes \(not used for the map\): \d+ elements", done.output)
    assert "calibrated on 40 validation genes of this study" in done.output
    assert "chance of an element by mean mask" in done.output


def test_tables_report_help_and_check_say_the_chance_or_that_there_is_none(run, study, view_of):
    view = view_of(run)
    gene = str(view.run.elements["gene_id"].iloc[0])
    assert element_table(view)["chance"].isna().all()
    assert f"chance of elements: {NOT_CALIBRATED}" in describe(view)
    assert NOT_CALIBRATED in report(view, [gene])
    assert NOT_CALIBRATED in str(quality_panel(view, None))
    found = calibrate(run, study)
    table = element_table(view)
    np.testing.assert_array_equal(table["chance"], found.chance(table))
    np.testing.assert_array_equal(element_table(view, gene)["chance"], table[table["gene_id"] == gene]["chance"])
    assert element_table(view, gene, 0.3)["chance"].isna().all()
    assert f"chance of elements: {found.words}" in describe(view)
    assert found.words in str(quality_panel(view, None))
    shown = report(view, [gene])
    assert shown.count(found.words) == 2
    assert ">Chance<" in shown
    assert ">Chance<" not in report(view, [gene], 0.3)


def test_the_chance_of_one_split_holds_on_another_whose_elements_are_causal_as_often(run, study):
    """Which elements are causal is drawn, in both splits with the chance that equals the mean mask."""
    truth = truth_of(run, study)[0]
    fitted, held_out = (elements_of(run, truth, split) for split in ("validation", "test"))
    rng = np.random.default_rng(0)
    many = [
        part.table.sample(4_000, replace=True, random_state=1).reset_index(drop=True) for part in (fitted, held_out)
    ]
    drawn = [Elements(1, table, rng.random(4_000) < table["mean_mask"]) for table in many]
    points = isotonic_map(drawn[0].table["mean_mask"].to_numpy(), drawn[0].causal)
    fit = Calibration(MEAN_MASK, *points, {})
    for level in judged(fit, drawn[1])["curve"]:
        assert level["causal"] / level["elements"] == pytest.approx(level["chance"], abs=0.1)
