"""What is said plainly beside numbers: what the model was trained on, which genes it has seen, what the mask is."""

import json

import pytest
from model_run import lively
from viewer_run import make_study

from model_core.datasets.known_models import TEST_CHROMOSOMES, ModelFile
from model_core.model.checkpoint import save_checkpoint
from model_core.run_folder.run import Run
from model_core.scoring.one_gene import prepare_genes
from model_core.study.study import load_study

SOURCE = "hf://authors/models@0123/K562/soft.ckpt"


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A run of two genes, on chr1 and chr2, whose model is said to be the released one and tested on chr2."""
    folder = tmp_path_factory.mktemp("notes")
    return score_in(folder, ModelFile(*named(folder), "0123", "", "K562", "soft", "K562, fold_11", ("chr2",)))


def named(folder):
    return folder / "model.safetensors", "soft-k562", SOURCE


def score_in(folder, model=None, metadata=None, cell_type="HepG2", genes=("MYC", "GATA1"), change=lambda text: text):
    """Score genes of the small study with a lively soft model, known as `model`; the run."""
    path = make_study(folder / "study")
    text = path.read_text().replace("[genome]", f'cell_type = "{cell_type}"\n[genome]' if cell_type else "[genome]")
    path.write_text(change(text))
    study = load_study(path)
    signals = [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs]
    scale = study.feature_scale().to_dict()
    stated = {"feature_scale": scale, "signals": signals, **(metadata or {})}
    save_checkpoint(named(folder)[0], lively(study.config(d_model=8, n_layers=1, apply="gate"), 3), stated)
    run, _ = prepare_genes(folder / "run", study, named(folder)[0], genes, device="cpu", model=model)
    return run


def test_a_run_records_what_its_model_is_and_was_trained_on(scored):
    record = Run.open(scored.path).manifest["checkpoint"]
    assert (record["name"], record["source"]) == ("soft-k562", SOURCE)
    assert (record["cell_type"], record["variant"], record["revision"]) == ("K562", "soft", "0123")
    assert record["test_chromosomes"] == ["chr2"]
    assert len(record["sha256"]) == 64


def test_a_plain_path_records_what_the_checkpoint_itself_states(tmp_path):
    trained = {"cell_type": "K562", "trained_on": "K562, study tiny", "training_chromosomes": ["chr1"]}
    record = score_in(tmp_path, None, {"trained": trained}).manifest["checkpoint"]
    assert {name: record[name] for name in trained} == trained
    assert "test_chromosomes" not in record


def test_a_run_that_says_nothing_of_its_model_still_opens(scored, tmp_path):
    manifest = json.loads((scored.path / "manifest.json").read_text())
    manifest["checkpoint"] = {name: manifest["checkpoint"][name] for name in ("path", "relative", "sha256")}
    for name in ("scores.jsonl", "chrom.sizes"):
        (tmp_path / name).write_bytes((scored.path / name).read_bytes())
    (tmp_path / "masks.zarr").symlink_to(scored.path / "masks.zarr")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert Run.open(tmp_path).checkpoint_sha256 == scored.checkpoint_sha256


def test_the_released_models_are_recorded_with_their_test_chromosomes(tmp_path):
    model = ModelFile(*named(tmp_path), "0123", "f" * 64, "K562", "soft", "K562, fold_11", TEST_CHROMOSOMES)
    assert model.record()["test_chromosomes"] == ["chr22", "chrX"]
    assert "source" not in ModelFile(tmp_path, "m.ckpt", str(tmp_path / "m.ckpt")).record()
