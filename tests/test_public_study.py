"""A preset's study whose files all lie at addresses: scoring, and what the run records of them."""

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from model_run import lively
from public_world import make_world, serve_world
from small_study import edit

from model_core.datasets.public_study import study_from_preset
from model_core.errors import InputError
from model_core.fingerprint import sha256_of
from model_core.model.checkpoint import save_checkpoint
from model_core.remote import remote_file, session, whole_files
from model_core.remote.traffic import TRAFFIC
from model_core.run_folder.assemble import assemble
from model_core.run_folder.run import Run
from model_core.run_folder.source import require_same_inputs
from model_core.scoring.one_gene import prepare_genes
from model_core.study.check import check_study
from model_core.study.study import load_study
from model_core.training.train import train

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
    peaks = run_path / "peaks" / "ENCFF274YGF.narrowPeak"
    written = peaks.stat().st_mtime_ns
    ask_again()
    monkeypatch.setenv("SEQ2EXP_OFFLINE", "1")
    asked = len(world.asked)
    assemble(Run.open(run_path), load_study(study_path).peaks_path())
    assert len(world.asked) == asked
    assert {path: path.read_bytes() for path in run_path.rglob("*") if path.is_file()} == before
    assert peaks.stat().st_mtime_ns == written  # so what was parsed of it counts still
    peaks.write_text("chr22\t1\t2\tother\t0\t.\t1\t1\t1\t0\n")
    assemble(Run.open(run_path), load_study(study_path).peaks_path())
    assert peaks.read_bytes() == before[peaks]
    ask_again()


def test_the_manifest_records_the_state_of_every_input_at_an_address(world, study_path, run_path):
    inputs = Run.open(run_path).manifest["inputs"]
    assert set(inputs) == set(load_study(study_path).inputs())
    for use, place in (("dnase", "signals.DNase"), ("annotation", "genome.annotation"), ("peaks", "peaks.narrowpeak")):
        content = world.content[world.path(use)]
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        assert inputs[place] == {"address": world.address(use), "size": len(content), "tag": tag}


@pytest.mark.parametrize(("use", "place"), [("blacklist", "genome.blacklist"), ("hic", "signals.Hi-C")])
def test_a_file_that_changed_since_the_run_was_begun_is_named(
    world, study_path, checkpoint, run_path, monkeypatch, capsys, use, place
):
    run = Run.open(run_path)
    require_same_inputs(run, load_study(study_path))
    assert "since the run was begun" not in capsys.readouterr().err
    more = gzip.compress(b"chr22\t1\t2\tmore\n") if use == "blacklist" else b"more"
    monkeypatch.setitem(world.content, world.path(use), world.content[world.path(use)] + more)
    ask_again()
    prepare_genes(run_path, load_study(study_path), checkpoint, [GENE], device="cpu")
    said = [line for line in capsys.readouterr().err.splitlines() if "since the run was begun" in line]
    assert len(said) == 1
    assert f"{place} {world.address(use)}" in said[0]
    assert "rest on the old file" in said[0]
    ask_again()


def test_a_run_without_recorded_inputs_opens_and_damaged_ones_are_refused(run_path, tmp_path, study_path, capsys):
    copied = Path(shutil.copytree(run_path, tmp_path / "run"))
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["inputs"]["signals.DNase"]["size"] = "much"
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="inputs"):
        Run.open(copied)
    del manifest["inputs"]
    (copied / "manifest.json").write_text(json.dumps(manifest))
    require_same_inputs(Run.open(copied), load_study(study_path))
    assert "since the run was begun" not in capsys.readouterr().err


def test_a_check_reads_little_of_files_at_addresses_and_says_so(world, study_path):
    ask_again()
    TRAFFIC.clear()
    report = check_study(study_path)
    assert report.ok, report.text()
    said = report.text(10_000)
    assert "4 windows, 24 start sites and no features of all genes were looked at" in said
    assert "read in" in said
    moved = sum(entry.moved for entry in TRAFFIC.files.values() if not entry.whole)
    assert moved < 8_000_000


def test_a_training_without_expression_says_what_is_missing_before_it_reads_anything(world, study_path, tmp_path):
    study = load_study(study_path)
    asked = len(world.asked)
    with pytest.raises(InputError) as caught:
        train(study, study.config(d_model=8, n_layers=1), study.train_config(steps=1), tmp_path / "run")
    said = str(caught.value)
    assert "no measured expression to train on: no gene with a label in the splits train and validation" in said
    assert "--expression ACCESSION" in said
    assert "validation chromosomes under [genes.split]" in said
    assert len(world.asked) <= asked + 2  # the annotation, and whether it is still the same
    assert not (tmp_path / "run").exists()
