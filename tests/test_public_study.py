"""A preset's study whose files all lie at addresses: scoring, and what the run records of them."""

import json

import pytest
from model_run import lively
from public_world import make_world, serve_world
from small_study import edit

from model_core.datasets.public_study import study_from_preset
from model_core.fingerprint import sha256_of
from model_core.model.checkpoint import save_checkpoint
from model_core.remote import remote_file, session, whole_files
from model_core.run_folder.assemble import assemble
from model_core.run_folder.run import Run
from model_core.scoring.one_gene import prepare_genes
from model_core.study.study import load_study

GENE = "MED15"


@pytest.fixture(scope="module")
def made(shared_data, tmp_path_factory):
    return make_world(shared_data, tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def world(made, tmp_path_factory):
    """The public places, and a cache that holds nothing of them."""
    with pytest.MonkeyPatch.context() as patch, serve_world(made) as world:
        patch.setenv("SEQ2EXP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("SEQ2EXP_OFFLINE", raising=False)
        patch.setattr(session, "first_pause", lambda: 0.0)
        for name, value in world.environment().items():
            patch.setenv(name, value)
        ask_again()
        yield world
        ask_again()


def ask_again():
    """Do as a new process does."""
    remote_file.forget()
    whole_files.forget()


@pytest.fixture(scope="module")
def study_path(world, tmp_path_factory):
    path = study_from_preset("k562-hg38", tmp_path_factory.mktemp("study"), lambda line: None)
    edit(path, "window = 200000", "window = 20000")
    return path


@pytest.fixture(scope="module")
def checkpoint(study_path):
    study = load_study(study_path)
    signals = [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs]
    scale = study.feature_scale(study.genes(study.gene_sites().head(1))).to_dict()
    metadata = {"feature_scale": scale, "signals": signals, "signal_quantiles": {}}
    path = study_path.parent / "model.safetensors"
    save_checkpoint(path, lively(study.config(d_model=8, n_layers=1, apply="gate"), 3), metadata)
    return path


@pytest.fixture(scope="module")
def run_path(study_path, checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("scored") / "run"
    prepare_genes(out, load_study(study_path), checkpoint, [GENE], device="cpu")
    return out


def test_a_run_of_a_preset_holds_a_copy_of_the_peaks_and_where_they_are_from(world, made, run_path):
    run = Run.open(run_path)
    assert len(run.peaks) > 1_000
    assert set(run.elements["class"]) <= {"promoter", "with_peak", "without_peak"}
    record = json.loads((run_path / "peaks" / "ENCFF274YGF.json").read_text())
    stored = made["peaks"]
    assert record["inputs"] == [
        {
            "role": "narrowpeak",
            "path": world.address("peaks"),
            "bytes": stored.stat().st_size,
            "sha256": sha256_of(stored),
        }
    ]
    assert record["caller"] == "given"


def test_assembling_again_changes_no_byte_and_needs_no_server(world, study_path, run_path, monkeypatch):
    before = {path: path.read_bytes() for path in run_path.rglob("*") if path.is_file()}
    ask_again()
    monkeypatch.setenv("SEQ2EXP_OFFLINE", "1")
    asked = len(world.asked)
    assemble(Run.open(run_path), load_study(study_path).peaks_path())
    assert len(world.asked) == asked
    assert {path: path.read_bytes() for path in run_path.rglob("*") if path.is_file()} == before
    ask_again()
