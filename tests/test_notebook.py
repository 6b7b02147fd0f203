"""Runs in a notebook: tables and arrays, the browser's configuration, and the example notebook executed."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from viewer_run import EVIL, make_study, make_viewer_run

import seq2exp_viz
from model_core.errors import InputError
from seq2exp_viz.notebook import locus_config

EXAMPLE = Path(__file__).parents[1] / "examples" / "locus.ipynb"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("notebook")
    return make_viewer_run(folder / "run", make_study(folder / "study"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_an_opened_run_gives_tables_and_arrays(run_folder):
    run = seq2exp_viz.open_run(run_folder)
    assert list(run.genes["symbol"][:2]) == ["MYC", "HBB"]
    assert run.mask("MYC").mean.shape == (4_000,)
    assert {"promoter", "with_peak"} <= set(run.cut("MYC")["class"])


def test_a_folder_that_is_no_run_is_told_in_words(tmp_path):
    with pytest.raises(InputError, match=r"manifest\.json"):
        seq2exp_viz.open_run(tmp_path)


def test_outside_a_notebook_one_message_says_so(run_folder):
    with pytest.raises(InputError, match="a cell of a notebook"):
        seq2exp_viz.browse(run_folder)


def test_the_picture_carries_all_its_data(run_folder):
    config = locus_config(seq2exp_viz.open_run(run_folder), "MYC")
    assert [track["name"] for track in config["tracks"]] == [
        "Genes",
        "H3K27ac",
        "DNase",
        "Hi-C contact to this TSS",
        "MACS3 peaks",
        "Mask of MYC",
        "Elements of MYC",
    ]
    assert not any("url" in track for track in config["tracks"])
    assert config["locus"] == "chr1:8001-12000"
    assert config["reference"]["fastaURL"].startswith("data:")


def test_the_drawn_mask_is_that_of_the_gene(run_folder):
    run = seq2exp_viz.open_run(run_folder)
    mask = next(track for track in locus_config(run, "HBB")["tracks"] if track["name"] == "Mask of HBB")["data"]
    assert np.allclose(mask["mean"], run.mask("HBB").mean, atol=1e-4)


def test_names_are_made_safe(run_folder):
    text = json.dumps(locus_config(seq2exp_viz.open_run(run_folder), EVIL))
    assert "<img" not in text
    assert "<b>" not in text


def test_the_example_notebook_runs(run_folder, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_RUN", str(run_folder))
    notebook = nbformat.read(EXAMPLE, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(EXAMPLE.parent)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    scripts = [
        output.data["application/javascript"]
        for output in outputs
        if "application/javascript" in output.get("data", {})
    ]
    assert any("createBrowser" in script for script in scripts)
