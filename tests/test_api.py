"""The JSON and byte interface: numbers that can be worked out by hand, and nothing but what the run names."""

import json

import numpy as np
import pyBigWig
import pytest
from viewer_run import EVIL, get, make_study, make_viewer_run

from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.run import Run
from seq2exp_viz.api.genes import interval_features
from seq2exp_viz.api.http import records
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.reports.export import export
from seq2exp_viz.runs import binning
from seq2exp_viz.runs.gene_list import suggestions
from seq2exp_viz.runs.gene_search import find
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView

MYC, HBB = "ENSG00000000000.1", "ENSG00000000002.3"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    study = make_study(folder / "study")
    runs = [make_viewer_run(folder / name, study, name="tiny run", genes=count) for name, count in (("a", 6), ("b", 3))]
    registry = RunRegistry(runs, cache=folder / "cache")
    assert registry.first.models.wait(60)
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def client(registry):
    return create_app(registry, Settings(igv="notebook")).server.test_client()


# ---------------------------------------------------------------------------------------------- who is there


def test_runs_of_one_name_get_keys_of_their_own(client):
    assert [run["key"] for run in get(client, "/api/v1/runs")] == ["tiny-run", "tiny-run-2"]


@pytest.mark.parametrize("path", ["/api/v1/nope/view", "/api/v1/nope/search?q=MYC", "/data/nope/mask.bigWig"])
def test_an_unknown_run_is_a_404_in_words(client, path):
    assert "nope" in get(client, path, 404)["message"]


@pytest.mark.parametrize(
    "part",
    ["view?gene=NOPE", "genes/NOPE/mask", "genes/NOPE/elements", "genes/NOPE/elements.bed", "genes/NOPE/elements.gff3"],
)
def test_an_unknown_gene_is_a_404_in_words(client, part):
    assert "NOPE" in get(client, f"/api/v1/tiny-run/{part}", 404)["message"]


@pytest.mark.parametrize("query", ["threshold=2", "threshold=-1", "threshold=x", "threshold=nan"])
def test_a_threshold_off_the_scale_is_a_400(client, query):
    assert "threshold" in get(client, f"/api/v1/tiny-run/genes/{MYC}/elements?{query}", 400)["message"]


@pytest.mark.parametrize("query", ["start=x", "bins=many", "end=", "start=nan"])
def test_a_place_that_is_no_number_is_a_400_or_the_default(client, query):
    answer = client.get(f"/api/v1/tiny-run/genes/{MYC}/mask?{query}")
    assert answer.status_code == (200 if query == "end=" else 400)


# ---------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize(
    "file", ["..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "scores.jsonl", "study.json", "masks.zarr", "..", "genes.gtf"]
)
def test_only_files_that_the_run_names_are_served(client, file):
    answer = client.get(f"/data/tiny-run/{file}", follow_redirects=True)
    assert answer.status_code == 404


def test_the_served_files_are_ids_and_not_paths(registry):
    assert set(registry.first.files) == {
        *("genome.fa", "genome.fa.fai", "signal-0.bigWig", "signal-1.bigWig"),
        *("elements.bed", "genes.tsv", "mask.bigWig", "manifest.json", "metrics.json", "peaks.narrowPeak"),
    }


def test_a_signal_is_served_by_range(client, registry):
    answer = client.get("/data/tiny-run/signal-0.bigWig", headers={"Range": "bytes=0-63"})
    assert answer.status_code == 206
    assert answer.data == registry.first.files["signal-0.bigWig"].read_bytes()[:64]


def test_a_download_carries_the_runs_name(client):
    answer = client.get("/data/tiny-run/mask.bigWig?download=1")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="tiny-run.mask.bigWig"'


def test_a_missing_genome_is_served_as_n(tmp_path):
    from run_builder import make_run

    client = create_app(RunRegistry([make_run(tmp_path / "run")]), Settings(igv="notebook")).server.test_client()
    assert client.get("/api/v1/tiny/blank.fa.fai").data.decode().splitlines()[0] == "chr1\t10000\t0\t10000\t10001"
    answer = client.get("/api/v1/tiny/blank.fa", headers={"Range": "bytes=10-29"})
    assert (answer.status_code, answer.data) == (206, b"N" * 20)
    assert client.get("/api/v1/tiny/blank.fa", headers={"Range": "bytes=999999999-"}).status_code == 416


# ---------------------------------------------------------------------------------------------- masks


def hand_made(resolution: int = 1) -> GeneMask:
    """Eight bins: the fourth and fifth promoter, the last blacklisted."""
    alpha = np.array([1, 1, 3, 9, 9, 3, 1, 1], np.float32)
    forced = np.array([-1, -1, -1, 1, 1, -1, -1, 0], np.int8)
    return GeneMask("chr1", 100, 100 + 8 * resolution, resolution, alpha, np.ones(8, np.float32), forced)


def test_bases_are_sent_as_they_are_where_there_is_a_pixel_for_each():
    found = hand_made().summary(100, 108, 100, hand_made().interval())
    assert (found["start"], found["end"], found["bin"]) == (100, 108, 1)
    assert found["mean"] == [0.5, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.0]
    assert found["forced"] == [-1, -1, -1, 1, 1, -1, -1, 0]


def test_a_bin_is_the_mean_of_what_the_model_decided():
    found = hand_made().summary(100, 108, 4, hand_made().interval())
    assert found["bin"] == 2
    assert found["mean"] == [0.5, 0.75, 0.75, 0.5]
    assert found["forced"] == [-1, -1, -1, -1]


def test_a_bin_of_forced_bases_keeps_their_value():
    mask = hand_made(resolution=10)
    found = mask.summary(130, 150, 2, mask.interval())
    assert (found["start"], found["end"], found["mean"], found["forced"]) == (130, 150, [1.0, 1.0], [1, 1])


@pytest.mark.parametrize(("start", "end"), [(0, 50), (200, 300), (108, 109), (99, 100)])
def test_outside_the_window_there_is_nothing(start, end):
    assert hand_made().summary(start, end, 10, hand_made().interval())["mean"] == []


def test_bins_stay_where_they_are_when_the_view_moves():
    mask = hand_made()
    first = mask.summary(100, 106, 3, mask.interval())
    moved = mask.summary(101, 107, 3, mask.interval())
    assert first["start"] == moved["start"] == 100


def test_a_vector_is_averaged_over_bins():
    found = binning.vector_summary(np.array([1, 3, 5, 7, 10], np.float32), "chr1", 50, 50, 55, 3)
    assert found["mean"] == [2.0, 6.0, 10.0]
    assert (found["start"], found["end"], found["bin"]) == (50, 55, 2)


def test_the_band_lies_around_the_mean(client):
    got = get(client, f"/api/v1/tiny-run/genes/{MYC}/mask?start=8000&end=12000&bins=500")
    assert len(got["mean"]) == 500
    learned = np.array(got["forced"]) == -1
    low, mean, high = (np.array(got[name])[learned] for name in ("low", "mean", "high"))
    assert np.all((low < mean) & (mean < high))
    assert np.all(np.array(got["mean"])[~learned] == 1)


def test_contact_prior_and_signal_are_answered_for_a_gene(client, registry):
    contact = get(client, f"/api/v1/tiny-run/genes/{MYC}/contact/Hi-C?bins=4")["mean"]
    assert max(contact) in contact[1:3]
    prior = get(client, f"/api/v1/tiny-run/genes/{MYC}/prior?bins=40")["mean"]
    assert 0 < min(prior) < max(prior) < 1
    assert int(np.argmax(prior)) == 31  # over the hill 1,100 bp to the right of the start site
    signal = get(client, "/api/v1/tiny-run/signals/DNase?chrom=chr1&start=8000&end=12000&bins=40")
    assert int(np.argmax(signal["mean"])) in (30, 31)


def test_the_prior_is_the_models_own_formula(registry):
    torch = pytest.importorskip("torch")
    from model_core.model.mask import signal_beta

    view = registry.first
    signals = view._read(["H3K27ac", "DNase", "Hi-C"], view.run.window(MYC))
    expected = signal_beta(torch.from_numpy(signals)[None], view.prior_config).mean[0].numpy()
    assert np.allclose(view.prior(MYC), expected, atol=1e-6)


# ---------------------------------------------------------------------------------------------- elements


def test_elements_follow_the_threshold(client):
    loose = get(client, f"/api/v1/tiny-run/genes/{MYC}/elements?threshold=0.4")
    strict = get(client, f"/api/v1/tiny-run/genes/{MYC}/elements?threshold=0.7")
    none = get(client, f"/api/v1/tiny-run/genes/{MYC}/elements?threshold=1")
    assert loose["covered_percent"] > strict["covered_percent"] > 0
    assert (none["count"], none["covered_percent"]) == (0, 0)
    assert [item["class"] for item in none["elements"]] == ["promoter"]


def test_elements_are_coloured_by_agreement_with_the_peaks(client):
    found = get(client, f"/api/v1/tiny-run/genes/{HBB}/elements?threshold=0.6")["elements"]
    colours = {item["class"]: item["color"] for item in found}
    assert colours == {"promoter": "rgb(0, 0, 0)", "with_peak": "rgb(0, 114, 178)", "without_peak": "rgb(213, 94, 0)"}


def test_the_bed_download_is_what_the_page_shows(client):
    shown = get(client, f"/api/v1/tiny-run/genes/{MYC}/elements?threshold=0.5")["elements"]
    answer = client.get(f"/api/v1/tiny-run/genes/{MYC}/elements.bed?threshold=0.5")
    rows = [line.split("\t") for line in answer.data.decode().splitlines() if not line.startswith("#")]
    assert [(row[0], int(row[1]), int(row[2]), row[3]) for row in rows] == [
        (i["chr"], i["start"], i["end"], i["name"]) for i in shown
    ]
    assert 'filename="tiny-run.MYC.elements.bed"' in answer.headers["Content-Disposition"]


def test_the_gff3_download_is_what_the_page_shows_and_the_export_writes(client, registry, tmp_path):
    shown = get(client, f"/api/v1/tiny-run/genes/{MYC}/elements?threshold=0.5")["elements"]
    answer = client.get(f"/api/v1/tiny-run/genes/{MYC}/elements.gff3?threshold=0.5")
    rows = [line.split("\t") for line in answer.data.decode().splitlines() if not line.startswith("#")]
    assert [(row[0], int(row[3]) - 1, int(row[4]), row[8].split(";")[0]) for row in rows] == [
        (item["chr"], item["start"], item["end"], f"ID={MYC}:{item['name']}") for item in shown
    ]
    assert 'filename="tiny-run.MYC.elements.gff3"' in answer.headers["Content-Disposition"]
    by_rule = client.get(f"/api/v1/tiny-run/genes/{MYC}/elements.gff3").data
    assert by_rule == export(registry["tiny-run"].run, "gff3", MYC, tmp_path / "a.gff3").read_bytes()


def test_a_symbol_cannot_break_out_of_a_file_name(client):
    answer = client.get("/api/v1/tiny-run/genes/ENSG00000000004.5/elements.bed")
    assert "<" not in answer.headers["Content-Disposition"]


def test_the_mask_download_is_a_bigwig_of_this_gene(client, registry, tmp_path):
    path = tmp_path / "mask.bigWig"
    path.write_bytes(client.get(f"/api/v1/tiny-run/genes/{MYC}/mask.bigWig").data)
    with pyBigWig.open(str(path)) as bigwig:
        values = np.array(bigwig.values("chr1", 8_000, 12_000))
        assert bigwig.header()["nLevels"] > 0
        assert np.isnan(bigwig.values("chr1", 7_990, 8_000)).all()
    assert np.allclose(values, registry.first.run.mask(MYC).mean, atol=1e-4)


# ---------------------------------------------------------------------------------------------- search


@pytest.mark.parametrize(
    ("text", "gene"),
    [
        ("MYC", MYC),
        ("myc", MYC),
        ("ENSG00000000000.1", MYC),
        ("ENSG00000000000", MYC),
        ("ensg00000000002.9", HBB),
        (" hbb ", HBB),
    ],
)
def test_a_gene_is_found_by_symbol_and_by_ensembl_id(registry, text, gene):
    assert find(registry.first, text)["gene_id"] == gene


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("chr1:1,000-2,000", ("chr1", 999, 2_000)),
        ("1:1000-2000", ("chr1", 999, 2_000)),
        ("CHR2:5", ("chr2", 4, 5)),
        ("chr2", ("chr2", 0, 40_000)),
        ("chr1:39,000-90,000", ("chr1", 38_999, 40_000)),
    ],
)
def test_a_place_is_found_as_it_is_typed(registry, text, place):
    found = find(registry.first, text)
    assert (found["kind"], (found["chrom"], found["start"], found["end"])) == ("locus", place)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("MICC", "Nothing found"),
        ("GATA2", "Did you mean GATA1?"),
        ("chr9:1-100", "no chromosome chr9"),
        ("chr1:90,000-91,000", "ends at 40,000"),
        ("", "Type a gene"),
        ("x" * 5000, "Nothing found"),
        ("'; DROP TABLE--", "Nothing found"),
    ],
)
def test_nothing_found_is_said_in_words(registry, text, words):
    found = find(registry.first, text)
    assert found["kind"] == "nothing"
    assert words in found["message"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("chr1 1000 2000", ("chr1", 999, 2_000)),
        ("chr1:1,000..2,000", ("chr1", 999, 2_000)),
        ("chr1:1000\u20132000", ("chr1", 999, 2_000)),
        ("chr1\t1000\t2000", ("chr1", 1_000, 2_000)),
        ("7000-7200", ("chr2", 6_999, 7_200)),
    ],
)
def test_a_place_is_found_in_other_ways_of_writing(client, text, place):
    found = client.get("/api/v1/tiny-run/search", query_string={"q": text, "chrom": "chr2"}).get_json()
    assert (found["kind"], (found["chrom"], found["start"], found["end"])) == ("locus", place)
    assert ("BED" in found["message"]) == ("\t" in text)
    same = client.get("/api/v1/tiny-run/place", query_string={"q": text, "chrom": "chr2"}).get_json()
    assert tuple(same.values()) == place


@pytest.mark.parametrize(
    "text", ["", "MICC", "GATA2", "chr9:1-5", "chr1:90,000-91,000", "5000-6000", "chr1:1e3", "chrl"]
)
def test_what_is_offered_where_nothing_is_found_leads_somewhere_in_this_run(registry, text):
    found = find(registry.first, text)
    assert found["suggestions"]
    for offered in found["suggestions"]:
        assert offered in found["message"]
        assert find(registry.first, offered)["kind"] in ("gene", "locus")


def test_a_number_with_a_dot_is_no_gene_with_a_version(tmp_path):
    view = RunRegistry(
        [make_viewer_run(tmp_path / "run", make_study(tmp_path / "study", contigs=["1", "7157"]), genes=0)]
    ).first
    assert find(view, "7157:1.000-2.000")["chrom"] == "7157"
    assert find(view, "1.000-2.000", "1")["start"] == 999


def test_a_gene_of_the_annotation_that_was_not_scored_is_shown_without_a_mask(registry, monkeypatch):
    unscored = registry["tiny-run-2"]
    assert unscored.models.wait(60)
    found = find(unscored, "MYC2")
    assert (found["kind"], found["tss"]) == ("unscored", 25_000)
    assert "not scored" in found["message"]
    monkeypatch.setattr(RunView, "sites", None)  # a study without a gene table: the annotation alone knows the gene
    again = find(unscored, "MYC2")
    assert (again["kind"], again["gene_id"], again["tss"]) == ("unscored", found["gene_id"], 25_000)
    assert (again["chrom"], again["start"], again["end"]) == (found["chrom"], found["start"], found["end"])
    assert "not scored" in again["message"]
    assert "MYC2" in suggestions(unscored, "myc")


# ---------------------------------------------------------------------------------------------- intervals


def test_gene_models_come_with_exons(client):
    (gene,) = get(client, "/api/v1/tiny-run/models/gene?chrom=chr1&start=9000&end=11000")
    assert (gene["name"], gene["start"], len(gene["exons"])) == ("MYC", 10_000, 2)


def test_peaks_in_view_keep_their_columns(client):
    (peak,) = get(client, "/api/v1/tiny-run/peaks?chrom=1&start=10000&end=12000")
    assert (peak["chr"], peak["start"], peak["name"]) == ("chr1", 10_900, "<b>peak0</b>")
    assert peak["signal_value"] == 9.5


def test_an_unknown_chromosome_is_a_400(client):
    assert get(client, "/api/v1/tiny-run/peaks?chrom=chrZ", 400)["message"].startswith("chrom=")


def test_planted_elements_are_answered_by_kind(client):
    assert len(get(client, "/api/v1/tiny-run/truth/causal?chrom=chr1")) == 1
    assert get(client, "/api/v1/tiny-run/truth/decoys?chrom=chr1") == []
    assert get(client, "/api/v1/tiny-run/truth/__class__?chrom=chr1") == []


def test_no_table_gives_no_features():
    assert interval_features(None, "chr1", 0, 10) == []


def test_missing_numbers_become_null():
    import pandas as pd

    table = pd.DataFrame({"a": [1.5, np.nan, -np.inf], "b": ["x", None, "y"], "c": np.array([1, 2, 3])})
    first, *others = records(table)
    assert first == {"a": 1.5, "b": "x", "c": 1}
    assert others == [{"a": None, "b": None, "c": 2}, {"a": None, "b": "y", "c": 3}]
    json.dumps(records(table), allow_nan=False)


def test_genes_are_answered_with_text_as_it_is(client):
    assert EVIL in [gene["symbol"] for gene in get(client, "/api/v1/tiny-run/genes")]


def test_the_run_is_read_again_when_it_grows(tmp_path):
    from viewer_run import add_genes

    path = make_viewer_run(tmp_path / "run", make_study(tmp_path / "study"), genes=2)
    view = RunRegistry([path], cache=tmp_path / "cache").first
    before = view.revision
    assert len(view.run.genes) == 2
    add_genes(Run.open(path), range(2, 4))
    assert view.revision != before
    assert len(view.run.genes) == 4
    assert view.run.mask("GATA1").mean.shape == (4_000,)
