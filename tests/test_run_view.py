"""A run as the server holds it: what it says is what the run itself says, while it grows and afterwards."""

import numpy as np
import pandas as pd
import pytest
from run_builder import gene_row, make_run, random_masks
from viewer_run import make_study, make_viewer_run

from model_core.run_folder.run import Run
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.missing import Missing
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView


@pytest.mark.parametrize("genes", [0, 1, 3, 45, 70])
def test_page_and_model_cut_a_growing_run_by_one_rule(tmp_path, genes):
    run = make_run(tmp_path / "run", genes=genes, window=400, promoter=40)
    view = RunView.open("growing", Run.open(run.path), cache=tmp_path / "cache")
    assert view.run.rule == Run.open(run.path).rule
    for gene_id in list(run.scored)[:2]:
        pd.testing.assert_frame_equal(view.cut(gene_id), Run.open(run.path).cut(gene_id))


def test_a_gene_that_is_added_meanwhile_changes_both_alike(tmp_path):
    run = make_run(tmp_path / "run", genes=3, window=400, promoter=40)
    view = RunView.open("growing", Run.open(run.path), cache=tmp_path / "cache")
    before, rng = view.run.rule, np.random.default_rng(9)
    with run.writing():
        run.append({**gene_row(4, 9, 400, rng), "gene_id": "NEW"}, *random_masks(400, rng))
    assert view.run.rule == Run.open(run.path).rule != before


def test_an_opened_run_lists_what_is_missing_and_why(tmp_path):
    study = make_study(tmp_path / "study")
    run = Run.open(make_viewer_run(tmp_path / "run", study))
    assert list(RunView.open("whole", run, tmp_path / "cache").missing) == []
    for name in ("DNase.bw", "genome.fa", "genes.gtf"):
        (study.parent / name).rename(study.parent / f"moved.{name}")
    view = RunView.open("tiny", run, tmp_path / "cache")
    found = dict(view.missing)
    assert list(found) == ["Bases are not shown", "DNase is not shown", "Genes are not drawn"]
    assert found["DNase is not shown"] == f"{study.parent / 'DNase.bw'} does not exist."
    assert view.notes == [f"{what}: {why}" for what, why in view.missing]
    assert [track.name for track in view.signals] == ["H3K27ac", "Hi-C"]
    assert (view.genome, view.models, view.prior_config) == (None, None, None)


def test_what_is_missing_later_is_heard_once_by_the_listener_and_stays_listed(tmp_path):
    view = RunView.open("bare", make_run(tmp_path / "run"))
    heard: list[str] = []
    view.missing.listen(heard.append)
    for _ in range(2):
        view.missing.add(Missing("Peaks are not shown", "no reason"))
    assert heard == view.notes
    assert heard.count("Peaks are not shown: no reason") == 1


def test_the_view_gives_the_run_as_its_manifest_now_says(tmp_path):
    view = RunView.open("tiny", Run.open(make_run(tmp_path / "run").path))
    before = view.run
    assert view.run is before
    Run.open(view.path).update(name="renamed")
    assert view.run is not before
    assert view.run.name == "renamed"


def test_a_signal_that_goes_away_later_takes_nothing_else_along(tmp_path):
    study = make_study(tmp_path / "study")
    registry = RunRegistry([make_viewer_run(tmp_path / "run", study, genes=1)], cache=tmp_path / "cache")
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    (study.parent / "DNase.bw").unlink()
    gene = str(registry.first.run.genes["gene_id"].iloc[0])
    tracks = client.get(f"/api/v1/tiny/view?gene={gene}").get_json()["tracks"]
    assert "signal-0" in {row["id"] for row in tracks}
    assert "signal-1" not in {row["id"] for row in tracks}
    answer = client.get("/api/v1/tiny/signals/DNase?chrom=chr1&start=0&end=1000")
    assert answer.status_code == 404
    assert answer.get_json()["message"] == "The file of DNase no longer exists."
    registry.close()
