"""Names of saved files: every download of every gene answers with a header that a strict parser reads back."""

import http.client
import re
import threading
import unicodedata
from urllib.parse import quote, unquote

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from viewer_run import CONTIGS, add_genes, gene_table, make_study, make_viewer_run
from werkzeug.http import parse_options_header

from model_core.run_folder.assemble import assemble
from model_core.run_folder.run import Run
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.file_names import content_disposition, gene_parts, name_part, run_part
from seq2exp_viz.reports.export import SUFFIXES, default_name
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen

GENE_FILES = [
    "elements.bed",
    "elements.gff3",
    "mask.bigWig",
    "figure.svg",
    "figure.pdf",
    "figure.png",
    "igv-session.json",
    "igv-session.xml",
]
ODD = [
    "β-globin",
    "基因/一",
    "a/b",
    "a_b",
    "A:B",
    "a:b",
    'q"uo"te',
    "it's",
    "back\\slash",
    "😀",
    "😁",
    "x" * 300,
    "x" * 299 + "y",
    "é",
    "e\u0301",
    "..",
    ".",
    " ",
    "-rf",
    "CON",
    "a;b",
    "100%",
    "a%20b",
    "<img src=x onerror=alert(1)>",
    "ＦＵＬＬ",
]


# RFC 6266 and RFC 8187: a quoted name in ASCII, then the same in any letters, percent-encoded.
PLAIN, ENCODED = r'filename="([ !#-\[\]-~]+)"', r"filename\*=UTF-8''((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+)"
HEADER = re.compile(f"attachment; {PLAIN}(?:; {ENCODED})?")


def saved_name(header: str) -> str:
    """The name that a strict reader of a Content-Disposition saves under."""
    found = HEADER.fullmatch(header)
    assert found, header
    name = unquote(found[2], errors="strict") if found[2] else found[1]
    assert parse_options_header(header)[1]["filename"] == name
    return name


def fits_any_file_system(name: str) -> bool:
    awkward = set('<>:"/\\|?*') | {chr(code) for code in range(32)}
    return bool(name) and len(name.encode()) <= 255 and not awkward & set(name) and name.strip(" .") == name


# ---------------------------------------------------------------------------------------------- names alone


ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400)


@given(ANY)
def test_a_header_holds_any_name(name):
    told = saved_name(content_disposition(name))
    if name.isprintable() and not set('"\\') & set(name):
        assert told == name


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x=1", "two\nlines", "tab\there", "\x00\x07", "\u202egpj.exe"])
def test_nothing_breaks_out_of_a_header(name):
    assert saved_name(content_disposition(name)).isprintable()


@given(st.lists(st.text(max_size=80), min_size=1, max_size=8), st.data())
def test_no_two_genes_share_a_file_name(symbols, data):
    ids = data.draw(
        st.lists(st.text(min_size=1, max_size=80), min_size=len(symbols), max_size=len(symbols), unique=True)
    )
    parts = gene_parts(pd.DataFrame({"gene_id": ids, "symbol": symbols}, dtype=str))
    assert len({part.casefold() for part in parts.values()}) == len(symbols)
    assert all(fits_any_file_system(f"run.{part}.elements.narrowPeak.gz") for part in parts.values())


def test_a_usual_symbol_is_the_name():
    parts = gene_parts(pd.DataFrame({"gene_id": ["E1", "E2", "E3"], "symbol": ["MYC", "HLA-A", "AC004.1"]}))
    assert list(parts.values()) == ["MYC", "HLA-A", "AC004.1"]


@pytest.mark.parametrize(
    ("symbols", "names"),
    [
        (["β-globin", "α-globin"], ["β-globin", "α-globin"]),
        (["a/b", "a_b"], ["a_b.E0", "a_b.E1"]),
        (["MYC", "myc"], ["MYC.E0", "myc.E1"]),
        (["MYC", "MYC"], ["MYC.E0", "MYC.E1"]),
        (["😀", "😁"], ["E0", "E1"]),
    ],
)
def test_genes_that_would_share_a_name_get_their_ids(symbols, names):
    table = pd.DataFrame({"gene_id": [f"E{i}" for i in range(len(symbols))], "symbol": symbols})
    assert list(gene_parts(table).values()) == names


@pytest.mark.parametrize("name", ["con", "NUL", "com1", "lpt9.x"])
def test_a_run_is_not_named_like_a_device(name):
    assert run_part(name) == f"{name}_"


@given(st.text(max_size=300), st.integers(1, 120))
def test_a_part_is_short_and_stays_as_it_is(text, most):
    part = name_part(text, most)
    assert len(part.encode()) <= most
    assert name_part(part, most).strip("._") == part.strip("._")


# ---------------------------------------------------------------------------------------------- downloads


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("files") / "study")


def odd_run(folder, study, symbols: list[str], ids: list[str] | None = None):
    """A run whose genes have these symbols (and ids), as its own scorer writes them."""
    table = gene_table(CONTIGS, symbols)
    run = Run.open(make_viewer_run(folder, study, name="odd", genes=0))
    add_genes(run, range(len(symbols)), table if ids is None else table.assign(gene_id=ids))
    assemble(run, study.parent / "peaks.narrowPeak")
    return Run.open(run.path)


def downloads(client, run: Run, gene_files=GENE_FILES):
    """(address, answer) of all that can be saved from the page."""
    for gene in run.genes["gene_id"]:
        for file in gene_files:
            address = f"/api/v1/odd/genes/{quote(gene, safe='')}/{file}"
            yield address, client.get(address)
        yield (address := f"/api/v1/odd/elements.tsv?gene={quote(gene)}"), client.get(address)
    for file in ("elements.bed", "mask.bigWig", "genes.tsv", "manifest.json", "metrics.json"):
        yield (address := f"/data/odd/{file}?download=1"), client.get(address)
    for file in ("elements.tsv", "audit.tsv", f"report?genes={quote(run.genes['gene_id'][0])}"):
        yield (address := f"/api/v1/odd/{file}"), client.get(address)


def check_downloads(run: Run, gene_files=GENE_FILES) -> None:
    registry = RunRegistry([run])
    try:
        client = create_app(registry, Settings(igv="notebook")).server.test_client()
        names = {}
        for address, answer in downloads(client, run, gene_files):
            assert answer.status_code == 200, (address, answer.data[:500])
            name = saved_name(answer.headers["Content-Disposition"])
            assert fits_any_file_system(name), name
            for key, value in answer.headers:
                assert (key + value).isascii(), (key, value)
            assert names.setdefault(name.casefold(), address) == address, name
    finally:
        registry.close()


def test_every_download_of_odd_symbols_answers_with_a_name(study, tmp_path):
    check_downloads(odd_run(tmp_path / "run", study, ODD), ["elements.bed", "mask.bigWig", "igv-session.xml"])


symbol = st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"]), min_size=1, max_size=40)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(symbol, min_size=2, max_size=2))
@example(["β-globin", "\u0905\u0940"])
@example(["a/b", "a_b"])
def test_every_download_of_any_symbols_answers_with_a_name(study, tmp_path_factory, symbols):
    check_downloads(odd_run(tmp_path_factory.mktemp("any") / "run", study, symbols))


IDS = ["a/b", "a//b", "x y", "ü", "a?b#c", "50%2F", "e\u0301", 'q"', "..", "mask", "a/mask", "G" * 300, "chr1:11:+"]


def test_every_download_of_odd_gene_ids_answers_with_a_name(study, tmp_path):
    run = odd_run(tmp_path / "run", study, [f"S{i}" for i in range(len(IDS))], IDS)
    check_downloads(run, ["elements.bed", "mask.bigWig", "igv-session.json"])


def test_names_of_the_command_line_are_different_files(study, tmp_path):
    run = odd_run(tmp_path / "run", study, ODD)
    for kind in SUFFIXES:
        names = [default_name(run, kind, gene) for gene in run.genes["gene_id"]]
        assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(ODD)
        assert all(fits_any_file_system(name) for name in names)


def test_a_real_server_sends_the_name(study, tmp_path):
    run = odd_run(tmp_path / "run", study, ["β-globin"])
    registry = RunRegistry([run])
    sock = bind("127.0.0.1", 0)
    server = create_app(registry, Settings(igv="notebook")).server
    threading.Thread(target=listen, args=(server, sock), daemon=True).start()
    asked = http.client.HTTPConnection("127.0.0.1", sock.getsockname()[1], timeout=60)
    try:
        asked.request("GET", f"/api/v1/odd/genes/{run.genes['gene_id'][0]}/elements.bed")
        answer = asked.getresponse()
        answer.read()
        assert answer.status == 200
        told = answer.getheader("Content-Disposition")
        assert (
            told
            == "attachment; filename=\"odd._-globin.elements.bed\"; filename*=UTF-8''odd.%CE%B2-globin.elements.bed"
        )
        assert saved_name(told) == "odd.β-globin.elements.bed"
    finally:
        asked.close()
        registry.close()
