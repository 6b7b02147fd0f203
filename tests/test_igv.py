"""What igv.js is told, the igv.js that is served, and the gene models."""

import json
import os
from html import escape

import numpy as np
import pandas as pd
import pytest
from viewer_run import EVIL, make_study, make_viewer_run

from model_core.errors import InputError
from model_core.run_folder.run import Run
from seq2exp_viz.api import igv
from seq2exp_viz.runs import style
from seq2exp_viz.runs.gene_models import GeneModels, model_table
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.serving import static_files, vendor


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    folder = tmp_path_factory.mktemp("igv")
    run = Run.open(make_viewer_run(folder / "run", make_study(folder / "study")))
    opened = RunView("tiny", run, folder / "cache")
    assert opened.models.wait(60)
    yield opened
    opened.models.close()


def by_id(rows: list[dict]) -> dict[str, dict]:
    return {row["id"]: row for row in rows}


def test_everything_igv_is_told_survives_json(view):
    told = igv.browser(view, "/x/", "ENSG00000000000.1", 0.4)
    assert json.loads(json.dumps(told)) == told


def test_the_tracks_come_in_the_order_of_the_page(view):
    rows = igv.tracks(view, "/", "ENSG00000000000.1", None)
    assert [row["id"] for row in rows if row["on"]] == [
        "genes",
        "signal-0",
        "signal-1",
        "signal-2",
        "peaks",
        "mask",
        "elements",
    ]
    assert [row["config"]["order"] for row in rows] == list(range(1, len(rows) + 1))


def test_controls_are_off_at_first(view):
    controls = [row for row in igv.tracks(view, "/", "ENSG00000000000.1", None) if row["group"] == "Controls"]
    assert {row["id"] for row in controls} == {"prior", "merged", "causal"}
    assert not any(row["on"] for row in controls)


def test_a_gene_brings_its_own_mask_contact_and_elements(view):
    rows = by_id(igv.tracks(view, "/", "ENSG00000000002.3", 0.25))
    assert rows["mask"]["config"]["url"] == "/api/v1/tiny/genes/ENSG00000000002.3/mask"
    assert rows["signal-2"]["config"]["url"] == "/api/v1/tiny/genes/ENSG00000000002.3/contact/Hi-C"
    assert rows["elements"]["config"]["threshold"] == 0.25
    assert rows["mask"]["config"]["region"] == {"chrom": "chr1", "start": 14_000, "end": 18_000}


def test_names_out_of_files_are_escaped_because_igv_shows_them_as_html(view):
    names = [row["config"]["name"] for row in igv.tracks(view, "/", "ENSG00000000004.5", None)]
    assert f"Mask of {escape(EVIL)}" in names
    assert not any("<" in name for name in names)


def test_files_are_named_by_id_and_version_never_by_path(view):
    told = json.dumps(igv.browser(view, "/p/", "ENSG00000000000.1", None))
    assert str(view.run.path) not in told
    assert str(view.study.folder) not in told
    url = by_id(igv.tracks(view, "/p/", None, None))["signal-0"]["config"]["url"]
    assert url.startswith("/p/data/tiny/signal-0.bigWig?v=")


def test_a_run_without_its_study_gets_a_genome_of_n(tmp_path):
    from run_builder import make_run

    opened = RunView("bare", make_run(tmp_path / "run"))
    told = igv.browser(opened, "/", "G0", None)
    assert told["reference"]["fastaURL"] == "/api/v1/bare/blank.fa"
    assert {row["id"] for row in told["tracks"]} == {"mask", "elements", "certainty"}
    assert opened.notes


def test_an_unknown_gene_is_an_error(view):
    with pytest.raises(InputError, match="NOPE"):
        igv.browser(view, "/", "NOPE", None)


def test_every_element_class_has_a_colour_and_words():
    assert style.colour_of("with_peak") == "rgb(0, 114, 178)"
    assert set(style.CLASS_WORDS) == set(style.CLASS_COLOURS)


# ---------------------------------------------------------------------------------------------- gene models


def gtf_table(rows: list[tuple]) -> pd.DataFrame:
    columns = ["chrom", "start", "end", "strand", "type", "gene_id", "symbol", "gene_type", "transcript_id"]
    return pd.DataFrame(rows, columns=columns)


def exon(start: int, end: int, transcript: str, gene: str = "g", kind: str = "exon") -> tuple:
    return ("chr1", start, end, "+", kind, gene, gene.upper(), "protein_coding", transcript)


def test_a_gene_is_the_union_of_its_transcripts_exons():
    table = model_table(gtf_table([exon(100, 200, "a"), exon(150, 250, "b"), exon(300, 400, "a")]), "gene")
    assert table.features("chr1", 0, 1000)[0]["exons"] == [
        {"start": 100, "end": 250, "utr": True},
        {"start": 300, "end": 400, "utr": True},
    ]
    assert len(model_table(gtf_table([exon(100, 200, "a"), exon(150, 250, "b")]), "transcript").name) == 2


def test_coding_and_untranslated_parts_of_an_exon_are_told_apart():
    table = model_table(gtf_table([exon(100, 400, "a"), exon(500, 600, "a"), exon(250, 300, "a", kind="CDS")]), "gene")
    (feature,) = table.features("chr1", 0, 1000)
    assert feature["exons"] == [
        {"start": 100, "end": 400, "cdStart": 250, "cdEnd": 300},
        {"start": 500, "end": 600, "utr": True},
    ]


def test_one_id_at_far_places_is_drawn_as_several_genes():
    table = model_table(gtf_table([exon(100, 200, "a"), exon(5_000_100, 5_000_300, "b")]), "gene")
    assert [(row["start"], row["end"]) for row in table.features("chr1", 0, 10_000_000)] == [
        (100, 200),
        (5_000_100, 5_000_300),
    ]


@pytest.mark.parametrize(
    ("start", "end", "found"), [(0, 100, []), (0, 101, ["A"]), (199, 300, ["A"]), (200, 300, []), (200, 301, ["B"])]
)
def test_models_in_view_are_those_that_share_a_base(start, end, found):
    table = model_table(gtf_table([exon(100, 200, "a", "a"), exon(300, 400, "b", "b")]), "gene")
    assert [row["name"] for row in table.features("chr1", start, end)] == found


def test_a_chromosome_without_models_is_empty():
    table = model_table(gtf_table([exon(100, 200, "a")]), "gene")
    assert table.features("chrX", 0, 1000) == []


def test_models_are_made_once_and_then_come_from_the_cache(view):
    again = GeneModels(view.models.path, view.cache)
    assert again.table("gene") is not None
    assert again._process is None
    assert np.array_equal(again.table("gene").start, view.models.table("gene").start)


def test_an_unreadable_annotation_is_told_and_does_not_stop_the_page(tmp_path):
    path = tmp_path / "bad.gtf"
    path.write_text("chr1\tonly\tthree\n")
    models = GeneModels(path, tmp_path / "cache")
    assert not models.wait(60)
    assert "bad.gtf" in models.problem
    models.close()


# ---------------------------------------------------------------------------------------------- igv.js itself


def test_igv_notebooks_copy_is_found_and_is_not_the_old_one():
    script = static_files.igv_script("notebook")
    assert (script.path.name, script.version) == ("igv.iife.js", "3.1.4")


def test_the_vendored_igv_goes_first_where_it_is(tmp_path, monkeypatch):
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "igv.min.js").write_text("igv")
    monkeypatch.setattr(static_files, "folder", lambda: tmp_path)
    assert static_files.igv_script().version == vendor.VERSION
    os.remove(tmp_path / "vendor" / "igv.min.js")
    assert static_files.igv_script().version == "3.1.4"


def test_an_archive_with_another_digest_is_not_unpacked(tmp_path):
    archive = tmp_path / "igv.tgz"
    archive.write_bytes(b"not igv")
    with pytest.raises(vendor.VendorError, match="sha512"):
        vendor.unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_npm_vendoring_says_what_will_serve(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(vendor.VendorError, match=r"3\.1\.4"):
        vendor.vendor(tmp_path)


def test_a_changed_igv_is_not_taken_for_the_pinned_one(tmp_path):
    (tmp_path / "igv.min.js").write_text("changed")
    (tmp_path / "igv.json").write_text(
        json.dumps({"version": vendor.VERSION, "integrity": vendor.INTEGRITY, "sha256": "0"})
    )
    assert not vendor.vendored(tmp_path)
