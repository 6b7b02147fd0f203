"""Runs in a notebook: tables and arrays, the browser's configuration, and the example notebook executed."""

import base64
import gzip
import html
import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from viewer_run import EVIL, make_study, make_viewer_run

import seq2exp_viz
from model_core.errors import InputError
from seq2exp_viz.locus_frame import LocusBrowser, frame_document, message_html
from seq2exp_viz.notebook import locus_config
from seq2exp_viz.reports.locus_figure import place_of
from seq2exp_viz.runs.run_view import RunView

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


def config_of(run_folder: Path, gene: str) -> dict:
    view = RunView.open("test", seq2exp_viz.open_run(run_folder))
    assert view.models.wait(60)
    return locus_config(view, place_of(view, gene))


def test_the_picture_carries_all_its_data(run_folder):
    config = config_of(run_folder, "MYC")
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
    assert config["chromosome"] == {"name": "chr1", "shown": "chr1", "size": 40_000}


def test_the_drawn_mask_is_that_of_the_gene(run_folder):
    run = seq2exp_viz.open_run(run_folder)
    mask = next(track for track in config_of(run_folder, "HBB")["tracks"] if track["name"] == "Mask of HBB")["data"]
    assert np.allclose(mask["mean"], run.mask("HBB").mean, atol=1e-4)


def test_names_of_tracks_are_made_safe(run_folder):
    names = [track["name"] for track in config_of(run_folder, EVIL)["tracks"]]
    assert not any("<" in name for name in names)
    assert f"Mask of {html.escape(EVIL)}" in names


def test_words_of_a_message_are_escaped():
    shown = message_html({"to": "seq2exp-1", "number": 1, "act": "svg"}, "</script><b>: as SVG")
    assert "&lt;/script&gt;&lt;b&gt;: as SVG" in shown
    assert shown.count("</script>") == 1


@pytest.mark.parametrize("text", ["</script><b>", '" onload="x', "</textarea>", "@NAME@", "${1}"])
def test_no_text_of_a_file_stands_in_the_document_itself(text, tmp_path):
    (tmp_path / "igv.js").write_text("")
    document = frame_document({"tracks": [{"name": text}]}, "seq2exp-1", tmp_path / "igv.js")
    assert text not in document
    packed = document.partition('id="packed">')[2].partition("<")[0]
    told = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert told["config"]["tracks"][0]["name"] == text


def executed(run_folder: Path, notebook: nbformat.NotebookNode, folder: Path) -> list:
    """All outputs of a notebook after every cell has run."""
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_the_example_notebook_runs(run_folder, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_RUN", str(run_folder))
    outputs = executed(run_folder, nbformat.read(EXAMPLE, as_version=4), EXAMPLE.parent)
    assert not [output for output in outputs if output.output_type in ("error", "stream")]
    (shown,) = [output.data for output in outputs if "<iframe" in output.get("data", {}).get("text/html", "")]
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG")
    assert "MYC (ENSG00000000000.1), chr1:8,001-12,000" in shown["text/plain"]
    assert len(shown["text/html"]) < 1_000_000
    below = html.unescape(shown["text/html"].rpartition("</iframe>")[2])
    assert "follows its signal prior" in below  # the frame covers the image and its caption


def test_what_browse_gave_goes_where_it_is_told(run_folder, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_RUN", str(run_folder))
    cells = [
        "import os, seq2exp_viz\nb = seq2exp_viz.browse(os.environ['SEQ2EXP_RUN'], 'MYC')\nb",
        "b.search('chr1:9,001-9,500')",
        "b.search('MYC')",
        "b.to_svg()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    said = [output.data["text/plain"] for output in executed(run_folder, notebook, run_folder)]
    assert said[1:] == [
        "<MYC in igv.js, chr1:8,001-12,000>",
        "MYC: go to chr1:9,001-9,500",
        "MYC: go to chr1:8,001-12,000",
        "MYC: igv.js as SVG",
    ]


@pytest.mark.parametrize("locus", ["chr2:9,001-9,500", "chr1:30,001-31,000", "HBB"])
def test_a_search_beyond_what_was_brought_along_is_refused(run_folder, locus):
    view = RunView.open("test", seq2exp_viz.open_run(run_folder))
    with pytest.raises(InputError, match=r"locus|place"):
        LocusBrowser(view, place_of(view, "MYC"), {}).search(locus)


def test_gene_models_that_cannot_be_read_are_told(tmp_path, capsys):
    run = make_viewer_run(tmp_path / "run", make_study(tmp_path / "study"))
    (tmp_path / "study" / "genes.gtf").write_text("chr1\tonly\tthree\n")
    seq2exp_viz.figure(run, "MYC")
    assert "note: Genes are not drawn, only start sites: " in capsys.readouterr().err
