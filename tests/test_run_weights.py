"""All genes of a run are computed with the same weights: whoever adds genes or asks the model checks their sha256."""

import shutil

import pytest
from model_run import lively, make_model_run
from typer.testing import CliRunner

from model_core import fingerprint
from model_core.errors import InputError
from model_core.model.checkpoint import load_with_metadata, save_checkpoint
from model_core.perturbation.run_model import RunModel
from model_core.perturbation.score_now import read_gene, score_now
from model_core.run_folder.run import Run
from model_core.run_folder.run_weights import weights_of
from model_core.scoring.run_weights import load_run_weights
from model_core.scoring.score import run_for, score
from model_core.study.study import load_study
from model_core.training.train import begin_run, train
from seq2exp_viz.cli import app


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Return a folder with a study, model.safetensors, and a run of four of its six genes."""
    folder = tmp_path_factory.mktemp("weights")
    make_model_run(folder)
    return folder


@pytest.fixture
def folder(scored, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(scored, copy)
    manifest = copy / "run" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(scored), str(copy)))
    return copy


def change_weights(path) -> str:
    """Replace a checkpoint by one of other weights with the same settings; return its sha256."""
    model, metadata = load_with_metadata(path, "cpu")
    save_checkpoint(path, lively(model.config, 4), metadata)
    return fingerprint.sha256_of(path)


def contents(run) -> dict:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", ["--checkpoint", "the run's own", "--dry-run"])
def test_changed_weights_are_not_scored_into_a_run(folder, how):
    before, was = contents(folder / "run"), fingerprint.sha256_of(folder / "model.safetensors")
    now = change_weights(folder / "model.safetensors")
    words = ["score", str(folder / "run"), "--genes", "MYC2", "--device", "cpu"]
    if how != "the run's own":
        words += ["--checkpoint", str(folder / "model.safetensors"), "--study", str(folder / "study" / "study.toml")]
    done = CliRunner().invoke(app, [*words, "--dry-run"] if how == "--dry-run" else words)
    assert isinstance(done.exception, InputError), done.output  # `main` shows it and exits with code 2
    for said in (was[:12], now[:12], "other weights", "restore those, or score into a new run"):
        assert said in str(done.exception)
    after = contents(folder / "run")
    del before[folder / "run" / "manifest.json"], after[folder / "run" / "manifest.json"]  # a writer notes its progress
    assert after == before


def test_changed_weights_answer_no_question_and_score_nothing_now(folder):
    run = Run.open(folder / "run")
    change_weights(folder / "model.safetensors")
    with pytest.raises(InputError, match="other weights than the run was scored with"):
        RunModel(run, "cpu")


def test_a_model_in_memory_goes_on_as_the_run_records_it(folder):
    model = RunModel(Run.open(folder / "run"), "cpu")
    change_weights(folder / "model.safetensors")
    name = next(name for name in model.study.genes()["gene_id"] if name not in model.run.scored)
    score_now(model, *read_gene(model, name))
    assert name in Run.open(folder / "run").scored


def test_the_same_bytes_at_another_path_and_the_runs_own_file_go_on(folder):
    study = load_study(folder / "study" / "study.toml")
    genes = study.genes()
    shutil.copy(folder / "model.safetensors", folder / "elsewhere.safetensors")
    score(run_for(study, folder / "elsewhere.safetensors", folder / "run"), study, genes.iloc[:5], None, "cpu")
    (folder / "model.safetensors").unlink()
    run = score(Run.open(folder / "run"), study, genes, folder / "elsewhere.safetensors", "cpu")
    assert len(run.scored) == len(genes) == 6
    model, _ = load_with_metadata(folder / "elsewhere.safetensors", "cpu")
    assert model.config == run.model_config


def test_weights_that_change_while_they_are_read_are_refused(folder, monkeypatch):
    def load(path, device):
        found = load_with_metadata(path, device)
        change_weights(path)
        return found

    monkeypatch.setattr("model_core.scoring.run_weights.load_with_metadata", load)
    with pytest.raises(InputError, match="other weights than the run was scored with"):
        load_run_weights(Run.open(folder / "run"))


def test_a_hash_is_computed_once_for_each_state_of_a_file(folder, monkeypatch):
    run, read = Run.open(folder / "run"), []
    digest = fingerprint.hashlib.file_digest
    monkeypatch.setattr(fingerprint.hashlib, "file_digest", lambda *of: read.append(of) or digest(*of))
    for _ in range(3):
        weights_of(run)
    change_weights(folder / "model.safetensors")
    with pytest.raises(InputError):
        weights_of(run)
    assert len(read) == 2


def test_genes_of_a_training_that_has_not_ended_fix_its_weights(folder):
    study = load_study(folder / "study" / "study.toml")
    config = study.config(d_model=8, n_layers=1, apply="gate")
    training = study.train_config(steps=2, batch_size=1, warmup=1)
    run = begin_run(study, config, training, folder / "trained")
    shutil.copy(folder / "model.safetensors", run.path / "checkpoint.safetensors")  # the best so far
    score(run, study, study.genes().iloc[:1], None, "cpu")
    assert Run.open(run.path).checkpoint_sha256 == fingerprint.sha256_of(folder / "model.safetensors")
    before = contents(run.path)
    with pytest.raises(InputError, match=r"1 genes scored with its weights \(sha256 .*train in another folder"):
        train(study, config, training, run.path, "cpu")
    assert contents(run.path) == before
    change_weights(run.path / "checkpoint.safetensors")
    with pytest.raises(InputError, match="other weights"):
        score(run, study, study.genes().iloc[:2], None, "cpu")
