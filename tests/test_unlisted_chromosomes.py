"""A chromosome that a signal does not list is read as 0, and whoever trains or scores is told of how many genes."""

import pytest
from model_run import lively
from small_study import edit, open_chromatin, write_bigwig, write_small_study

from model_core.model.checkpoint import save_checkpoint
from model_core.scoring.score import choose_genes, run_for, score
from model_core.study.study import load_study
from model_core.training.train import train

SETTINGS = {"d_model": 8, "n_layers": 1}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The small study, whose ATAC holds chr1 alone: its header names no other chromosome."""
    path = write_small_study(tmp_path_factory.mktemp("unlisted"))
    edit(path, 'validation = []\ntest = ["chr2"]', 'validation = ["chr2"]\ntest = []')
    write_bigwig(path.parent / "ATAC.bw", {"chr1": open_chromatin(150, 3.0, 0.05)["chr1"]})
    return load_study(path)


def warned(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "no chromosome 'chr2'" in line]


def scored(study, folder, names) -> None:
    signals = [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs]
    metadata = {"feature_scale": study.feature_scale().to_dict(), "signals": signals, "signal_quantiles": {}}
    save_checkpoint(folder / "m.safetensors", lively(study.config(**SETTINGS), 3), metadata)
    run = run_for(study, folder / "m.safetensors", folder / "run")
    score(run, study, choose_genes(study.genes(), names=names), run.checkpoint, "cpu")
    assert len(run.scored) == len(names)


def test_scoring_says_how_many_genes_it_reads_as_0(study, tmp_path, capsys):
    scored(study, tmp_path, ["G1", "G41", "G45"])
    (line,) = warned(capsys)
    assert line.startswith("warning: ")
    assert "ATAC.bw" in line
    assert "(2 of 3 genes)" in line


def test_scoring_genes_of_a_chromosome_that_is_listed_says_nothing(study, tmp_path, capsys):
    scored(study, tmp_path, ["G1", "G2"])
    assert warned(capsys) == []


def test_training_says_it_too(study, tmp_path, capsys):
    settings = {"steps": 2, "batch_size": 2, "warmup": 1, "validations_per_epoch": 1}
    train(study, study.config(**SETTINGS), study.train_config(**settings), tmp_path / "run", "cpu")
    (line,) = warned(capsys)
    assert line.startswith("warning: ")
    assert "ATAC.bw" in line
    assert "(10 of 49 genes)" in line
