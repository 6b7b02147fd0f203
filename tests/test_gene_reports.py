"""What is taken away: the figure, the report, a session for IGV; each parsed, none asks anything of anybody."""

import html
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import matplotlib.image
import pytest
from typer.testing import CliRunner
from viewer_run import EVIL, make_study, make_viewer_run

import seq2exp_viz
from model_core.errors import InputError
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.cli import app
from seq2exp_viz.reports.gene_report import report
from seq2exp_viz.reports.locus_figure import caption_words, locus_bytes, place_of
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving import static_files

MYC = "ENSG00000000000.1"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("publish")
    registry = RunRegistry(
        [make_viewer_run(folder / "run", make_study(folder / "study"), name="pub")], cache=folder / "cache"
    )
    assert registry.first.models.wait(60)
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def client(registry):
    return create_app(registry, Settings(igv="notebook", prefix="/lab/")).server.test_client()


def words_of(svg: bytes) -> str:
    return " ".join("".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text"))


def test_the_svg_holds_words_as_words_and_the_colours_of_the_elements(registry):
    view = registry.first
    place = place_of(view, "MYC", threshold=0.4)
    svg = locus_bytes(view, place, "svg")
    words = words_of(svg)
    for word in (
        "H3K27ac",
        "DNase",
        "MACS3 peaks",
        "Elements",
        "MYC",
        "threshold 0.400",
        "All data are simulated",
        "kb",
    ):
        assert word in words, word
    assert {"promoter", "with_peak", "without_peak"} <= set(view.cut(MYC, 0.4)["class"])
    for colour in (b"#0072b2", b"#d55e00", b"#000000", b"#005493"):
        assert colour in svg.lower(), colour
    assert svg == locus_bytes(view, place, "svg")
    assert b"d55e00" not in locus_bytes(view, place_of(view, "MYC", threshold=1.0), "svg").lower()


def test_pdf_and_png_are_what_they_say(registry):
    view = registry.first
    place = place_of(view, "MYC", "chr1:9,001-11,000")
    pdf = locus_bytes(view, place, "pdf")
    assert pdf.startswith(b"%PDF-")
    assert b"/FontFile2" in pdf  # the font is inside, and text is text
    assert pdf == locus_bytes(view, place, "pdf")
    pixels = matplotlib.image.imread(io.BytesIO(locus_bytes(view, place, "png", dpi=100)))
    assert pixels.shape[1] == 720
    assert 0.02 < (pixels[..., :3].min(axis=2) < 0.9).mean() < 0.6
    assert (place.start, place.end) == (9_000, 11_000)


def test_names_of_files_are_drawn_as_they_are(registry):
    svg = locus_bytes(registry.first, place_of(registry.first, "ENSG00000000004.5"), "svg")
    assert EVIL in words_of(svg).replace("\n", " ")
    assert b"<img" not in svg
    assert any(EVIL in line for line in caption_words(registry.first, place_of(registry.first, "ENSG00000000004.5")))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"gene": "NOPE"}, "NOPE"),
        ({"gene": "MYC", "locus": "chr2:9,001-9,500"}, "overlaps its window"),
        ({"gene": "MYC", "locus": "somewhere"}, "locus"),
        ({"gene": "MYC", "threshold": 1.5}, "0 to 1"),
    ],
)
def test_a_place_that_cannot_be_drawn_is_told(registry, asked, words):
    with pytest.raises(InputError, match=words):
        place_of(registry.first, **asked)


@pytest.mark.parametrize(
    "locus",
    ["chr1:9,001-9,500", "1 9001 9500", "9001..9500", "chr1\t9000\t9500", "9.5k\u20139001", ("chr1", 9_000, 9_500)],
)
def test_a_place_to_draw_is_understood_however_it_is_written(registry, locus):
    place = place_of(registry.first, "MYC", locus)
    assert (place.chrom, place.start, place.end) == ("chr1", 9_000, 9_500)


@pytest.mark.parametrize("contig", ["HLA-A*01:01:01:01", "chr1:1000-51000", "gi|568336023|gb|CM000663.2|"])
def test_a_place_on_a_contig_of_any_name_is_drawn(tmp_path, contig):
    contigs = [contig, "chr1"]
    study = make_study(tmp_path / "study", contigs=contigs)
    registry = RunRegistry(
        [make_viewer_run(tmp_path / "run", study, name="odd", contigs=contigs)], cache=tmp_path / "cache"
    )
    try:
        view = registry.first
        for locus in (None, f"{contig}:9001-9500", "9001-9500", contig, (contig, 9_000, 9_500)):
            assert place_of(view, "MYC", locus).chrom == contig
        client = create_app(registry, Settings(igv="notebook")).server.test_client()
        query = {"chrom": contig, "start": 9_000, "end": 9_500, "threshold": 0.4}
        figure = client.get("/api/v1/odd/genes/MYC/figure.svg", query_string=query)
        assert f"{contig}:9,001-9,500" in " ".join(ET.fromstring(figure.data).itertext())
        told = client.get("/api/v1/odd/genes/MYC/igv-session.json", query_string=query).get_json()
        given = client.get("/api/v1/odd/contigs.tsv").text.splitlines()[0].split("\t")[0]
        assert told["locus"] == f"{given}:9001-9500"
        assert ":" not in given
        assert "|" not in given
    finally:
        registry.close()


class Tags(HTMLParser):
    """All tags of a page with their attributes, ids and links."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_is_one_file_that_needs_nothing(registry):
    genes = ["MYC", "HBB", "ENSG00000000004.5", "MYC"]
    text = report(registry.first, genes)
    page = Tags(text)
    names = [tag for tag, _ in page.tags]
    assert names.count("svg") == names.count("section") == 3
    assert not {"script", "img", "link", "iframe"} & set(names)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text))
    assert {one or other for one, other in used} <= set(ids)
    words = " ".join(page.words)
    for word in ("simulated", "follows its signal prior", "H3K27ac", EVIL, "Predicted", "threshold"):
        assert word in words, word
    row = registry.first.run.gene("HBB")
    assert f"{row['predicted']:.3g}" in words
    assert text == report(registry.first, genes)


def test_effects_stand_in_the_report_once_they_are_known(registry, monkeypatch):
    view = registry.first
    element = view.cut(MYC)[lambda t: t["class"] != "promoter"].iloc[0]
    table = view.run.effects.iloc[:0].copy()
    table.loc[0, ["gene_id", "start", "end", "effect", "control_rank", "control_n"]] = [
        MYC,
        element["start"],
        element["end"],
        0.317,
        0,
        20,
    ]
    table = table.astype({"start": "int64", "end": "int64", "control_n": "int64"})
    assert "0.317" not in report(view, ["MYC"])
    monkeypatch.setattr(type(view.run), "effects", property(lambda _run: table))
    told = report(view, ["MYC"])
    assert "0.317" in told
    assert "switched off" in told
    assert "0 of 20 control regions at least as strong" in told
    assert "exceeds the model's own background" in html.unescape(told)


def test_a_report_of_nobody_is_refused(registry):
    with pytest.raises(InputError, match="0 genes"):
        report(registry.first, [])


def get(client, path: str, status: int = 200):
    answer = client.get(path)
    assert answer.status_code == status, answer.data[:300]
    return answer


def test_the_page_hands_out_figure_and_report(client):
    figure = get(client, "/lab/api/v1/pub/genes/MYC/figure.svg?threshold=0.4&locus=chr1:9001-11000")
    assert figure.headers["Content-Disposition"] == 'attachment; filename="pub.MYC.locus.svg"'
    assert "threshold 0.400" in words_of(figure.data)
    assert get(client, "/lab/api/v1/pub/genes/MYC/figure.pdf").data.startswith(b"%PDF")
    assert b"<h2>HBB</h2>" in get(client, "/lab/api/v1/pub/report?genes=MYC,HBB").data
    for path in ("genes/MYC/figure.exe", "genes/MYC/figure.svg?threshold=x", "report", "report?genes=" + "MYC," * 51):
        assert get(client, f"/lab/api/v1/pub/{path}", 400).get_json()["message"], path
    assert "NOPE" in get(client, "/lab/api/v1/pub/report?genes=NOPE", 404).get_json()["message"]
    assert "overlaps" in get(client, "/lab/api/v1/pub/genes/MYC/figure.svg?locus=chr2:1-5", 404).get_json()["message"]


@pytest.mark.parametrize("prefer", ["vendored", "notebook"])
def test_a_session_says_which_igv_it_was_made_with(registry, prefer):
    client = create_app(registry, Settings(igv=prefer)).server.test_client()
    session = client.get("/api/v1/pub/genes/MYC/igv-session.json").get_json()
    assert session["version"] == static_files.igv_script(prefer).version
    if prefer == "notebook":
        assert session["version"].startswith("3.1.")


def test_every_address_of_a_session_is_absolute_and_answers(client):
    told = get(
        client, "/lab/api/v1/pub/genes/MYC/igv-session.json?origin=http://127.0.0.1:8050&threshold=0.4"
    ).get_json()
    assert told["locus"] == "chr1:8001-12000"
    urls = re.findall(r'"[a-zA-Z]*(?:url|URL)": "([^"]+)"', json.dumps(told))
    assert len(urls) == 2 + 2 + 3
    for url in urls:
        assert url.startswith("http://127.0.0.1:8050/lab/"), url
        get(client, url.removeprefix("http://127.0.0.1:8050"))
    xml = ET.fromstring(get(client, "/lab/api/v1/pub/genes/MYC/igv-session.xml").data)
    paths = [node.get("path") for node in xml.iter("Resource")]
    assert xml.get("genome").startswith("http://localhost/lab/data/pub/genome.fa")
    assert len(paths) == len(told["tracks"])
    for path in paths:
        get(client, path.removeprefix("http://localhost"))
    get(client, "/lab/api/v1/pub/genes/MYC/igv-session.json?origin=javascript:alert(1)", 400)


def test_the_commands_write_files_and_refuse_in_words(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, runner = str(registry.first.run.path), CliRunner()
    assert runner.invoke(app, ["figure", run, "--gene", "MYC"]).exit_code == 0
    assert (tmp_path / "pub.MYC.locus.pdf").read_bytes().startswith(b"%PDF")
    assert runner.invoke(app, ["figure", run, "--gene", "MYC", "-o", "a.svg", "--no-caption"]).exit_code == 0
    assert "simulated" not in words_of((tmp_path / "a.svg").read_bytes())
    assert runner.invoke(app, ["report", run, "--genes", "MYC, HBB", "-o", "r.html"]).exit_code == 0
    assert (tmp_path / "r.html").read_text().count("<section>") == 2
    for words in (["figure", run, "--gene", "MYC", "-o", "a.doc"], ["figure", run, "--gene", "MYC", "-o", "no/a.pdf"]):
        assert isinstance(runner.invoke(app, words).exception, InputError)


def test_the_notebook_gets_the_figure_as_svg(registry, tmp_path):
    drawn = seq2exp_viz.figure(registry.first.run, "MYC", threshold=0.4, output=tmp_path / "f.pdf")
    assert "threshold 0.400" in words_of(drawn.data.encode())
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")


def test_drawing_needs_no_pyplot():
    code = "import sys, seq2exp_viz.reports.gene_report; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
