"""The first genes of a run that was made without any: scored by jobs, of every type, with their steps in words."""

import time

import pytest
from model_run import lively
from viewer_run import get, make_study

from model_core.model.checkpoint import save_checkpoint
from model_core.run_folder.run import Run
from model_core.scoring.score import run_for
from model_core.study.study import load_study
from seq2exp_viz import serve
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.page.selection import arrived, gene_of_link
from seq2exp_viz.runs.annotated_genes import annotated
from seq2exp_viz.runs.gene_list import suggestions
from seq2exp_viz.runs.gene_search import find
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.worker.jobs import Jobs

LINCRNA = (
    'chr2\ttest\tgene\t21001\t22000\t.\t-\t.\tgene_id "ENSG9.1"; gene_name "XIST"; gene_type "lincRNA";\n'
    'chr2\ttest\texon\t21001\t22000\t.\t-\t.\tgene_id "ENSG9.1"; gene_name "XIST"; gene_type "lincRNA"; '
    'transcript_id "ENSG9.t1";\n'
)


def empty_run(folder, change=lambda path: None):
    """A run without genes of the viewer's small study, whose annotation has a gene that its table lacks.

    `change` gets the path of study.toml before it is read.
    """
    path = make_study(folder / "study")
    with (folder / "study" / "genes.gtf").open("a") as gtf:
        gtf.write(LINCRNA)
    change(path)
    study = load_study(path)
    config = study.config(d_model=8, n_layers=1, apply="gate")
    signals = [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs]
    metadata = {"feature_scale": study.feature_scale().to_dict(), "signals": signals, "signal_quantiles": {}}
    save_checkpoint(folder / "model.safetensors", lively(config, 3), metadata)
    return run_for(study, folder / "model.safetensors", folder / "run").path


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("score_now")
    registry, jobs = RunRegistry([empty_run(folder)], cache=folder / "cache"), Jobs()
    app = create_app(registry, Settings(igv="notebook"), jobs)
    assert registry.first.models.wait(60)
    yield registry.first, jobs, app.server.test_client()
    registry.close()


def test_a_run_without_genes_shows_the_place_of_the_one_that_is_asked_for(served):
    view, _, client = served
    shown = gene_of_link(view, "XIST")
    assert shown["gene"] is None
    unscored = shown["unscored"]
    assert (unscored["gene_id"], unscored["chrom"], unscored["tss"]) == ("ENSG9.1", "chr2", 21_999)
    assert (unscored["start"], unscored["end"]) == (19_999, 23_999)
    assert get(client, "/api/v1/run/view")["locus"]["chrom"] == "chr1"


def test_a_gene_of_the_annotation_of_any_type_is_suggested_and_named_with_its_type(served):
    view, *_ = served
    assert suggestions(view, "xi") == ["XIST"]
    found = find(view, "xist")
    assert (found["kind"], found["symbol"]) == ("unscored", "XIST")
    assert "lincRNA" in found["message"]
    assert set(annotated(view)["symbol"]) >= {"XIST", "MYC"}


def test_before_the_annotation_is_read_the_page_waits_for_the_gene_and_then_shows_it(served, monkeypatch):
    view, *_ = served
    with monkeypatch.context() as patch:
        patch.setattr(type(view.models), "table", lambda *_: None)
        patch.setattr(type(view), "sites", None)
        shown = {"run": "run", **gene_of_link(view, "XIST")}
        assert shown == {"run": "run", "gene": None, "waits": "XIST"}
        assert arrived(view, shown) is None
    assert arrived(view, shown)["unscored"]["gene_id"] == "ENSG9.1"


def test_the_first_gene_is_scored_with_its_steps_and_brings_elements_and_peaks(served):
    view, jobs, client = served
    told: list[str] = []
    shown = {"run": "run", **gene_of_link(view, "XIST")}
    serve.score_now(jobs, view, ["XIST"], told.append)
    end = time.monotonic() + 60
    while told[-1:] != ["XIST: scored"]:
        assert time.monotonic() < end, (told, jobs.all())
        time.sleep(0.05)
    assert all(line.startswith("XIST: ") for line in told)
    run = Run.open(view.path)
    assert list(run.scored) == ["ENSG9.1"]
    assert run.manifest["element_rule"] is not None
    assert len(run.peaks) > 0
    assert arrived(view, shown) == {"run": "run", "gene": "ENSG9.1"}
    assert client.get("/api/v1/run/genes/XIST/mask").status_code == 200
    assert "XIST" not in set(annotated(view)["symbol"])
    serve.score_now(jobs, view, ["XIST"], told.append)
    assert len(jobs.all()) == 1  # it has this gene


def test_jobs_that_score_say_what_is_read(served):
    view, jobs, _ = served
    job = jobs.start("run", view.path, "MYC2", "score")
    seen = set()
    while not job.ended:
        seen.add(job.message)
        jobs.wait(job, 0.001)
    assert job.state == "done", job.message
    assert seen & {"reading annotation", "reading sequence", "reading DNase", "reading H3K27ac", "scoring"}


def test_a_gene_that_nobody_knows_fails_with_a_sentence(served):
    view, jobs, _ = served
    told: list[str] = []
    serve.score_now(jobs, view, ["NOSUCH"], told.append)
    end = time.monotonic() + 60
    while jobs.all()[0]["state"] not in ("failed", "done"):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert jobs.all()[0]["state"] == "failed"
    assert "NOSUCH" in jobs.all()[0]["message"]
