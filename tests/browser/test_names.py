"""Contigs and genes of any name in a real browser, with both versions of igv.js, and places as people type them."""

import threading
import time
from collections.abc import Iterator

import pyBigWig
import pytest
from needs import missing
from viewer_run import SIZE, gene_table, make_study, make_viewer_run
from visitor import Visitor

from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen
from seq2exp_viz.serving import static_files

pytestmark = pytest.mark.browser
PAGE = "seq2exp"
HLA, NESTED, GI = "HLA-A*01:01:01:01", "chr1:1000-51000", "gi|568336023|gb|CM000663.2|"
# Beside these: two that differ in "chr" alone, a number, a gene's symbol, and words of JavaScript.
CONTIGS = ["chr1", HLA, NESTED, GI, "a,b%20#c/d&e'f\"g", "<b>x</b>", "1", "7", "GATA1", "constructor", "__proto__"]
SYMBOLS = ["MYC", "β-globin", *(f"G{i}" for i in range(2, 7)), "GATA1", "G8", "G9", "G10"]
GENES = gene_table(CONTIGS, SYMBOLS)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    study = make_study(folder / "study", contigs=CONTIGS, symbols=SYMBOLS)
    return make_viewer_run(folder / "run", study, name="odd", genes=len(SYMBOLS), contigs=CONTIGS, symbols=SYMBOLS)


@pytest.fixture(scope="module", params=["vendored", "notebook"])
def address(request, run_folder, tmp_path_factory) -> Iterator[str]:
    if request.param == "vendored" and not (static_files.folder() / "vendor" / "igv.min.js").is_file():
        missing("needs igv.js 3.8: `python -m seq2exp_viz.serving.vendor` (npm)")
    registry = RunRegistry([run_folder], cache=tmp_path_factory.mktemp("cache"))
    assert registry.first.models.wait(60)
    sock = bind("127.0.0.1", 0)
    server = create_app(registry, Settings(igv=request.param)).server
    threading.Thread(target=listen, args=(server, sock), daemon=True).start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
    registry.close()


def gene_on(contig: str) -> str:
    return GENES["gene_id"][GENES["chrom"] == contig].iloc[0]


def search(visitor: Visitor, text: str, reached: str) -> None:
    """Type a text and press Enter until `reached` is true: the field's value takes a moment to arrive."""
    visitor.page.fill("#search", text)
    end = time.monotonic() + 60
    while not visitor.value(reached):
        assert time.monotonic() < end, (text, visitor.where())
        visitor.page.press("#search", "Enter")
        visitor.page.wait_for_timeout(700)


def at(contig: str, start: int, end: int) -> str:
    """JavaScript that is true once the page shows this place."""
    return (
        f"(() => {{ const at = {PAGE}.state.locus; return at.chrom === {contig!r} && at.start === {start}"
        f" && at.end === {end}; }})()"
    )


@pytest.mark.parametrize("contig", [HLA, NESTED, GI, "a,b%20#c/d&e'f\"g"])
def test_a_gene_on_a_contig_of_any_name_is_drawn_and_its_link_opens_it_again(visitor, contig):
    visitor.open(f"?gene={gene_on(contig)}")
    start = int(GENES["tss"][GENES["chrom"] == contig].iloc[0]) - 2_000
    visitor.until(at(contig, start, start + 4_000))
    for track in ("genes", "signal-0", "signal-2", "peaks", "mask", "elements"):
        assert visitor.features(track), track
    assert visitor.ink("elements") > 500
    visitor.value(f"{PAGE}.go({{chrom: {PAGE}.state.locus.chrom, start: {start + 500}, end: {start + 1500}}})")
    visitor.until(at(contig, start + 500, start + 1_500))
    visitor.value(f"{PAGE}.url.write()")
    link = visitor.value("location.search")
    visitor.open(link)
    visitor.until(at(contig, start + 500, start + 1_500))
    assert visitor.value("document.getElementById('locus').textContent").startswith(f"{contig}:{start + 501:,}")


def test_every_contig_is_reached_by_its_name_and_has_its_own_bases_and_signals(visitor):
    visitor.open(f"?gene={gene_on('chr1')}")
    for contig in CONTIGS:
        search(visitor, f"{contig}:9,001-9,500", at(contig, 9_000, 9_500))
        visitor.quiet()
        name = visitor.value(f"{PAGE}.igvBrowser().referenceFrameList[0].chr")
        assert visitor.value(f"{PAGE}.igvBrowser().genome.getSequence({name!r}, 0, 20)")
        rows = f"({PAGE}.trackOf('signal-0').trackView.viewports[0].featureCache || {{}}).features || []"
        visitor.until(f"({rows}).length > 10")
    search(visitor, NESTED, at(NESTED, 0, SIZE))


def test_regions_of_a_what_if_stay_in_the_link(visitor):
    contig = "a,b%20#c/d&e'f\"g"
    visitor.open(f"?gene={gene_on(contig)}")
    start = visitor.value(f"{PAGE}.state.view.locus.start")
    visitor.value(f"{PAGE}.addEdit('off', {{start: {start + 10}, end: {start + 50}}})")
    visitor.value(f"{PAGE}.addEdit('off', {{start: {start + 90}, end: {start + 99}}})")
    visitor.until("location.search.includes('off=')")
    visitor.open(visitor.value("location.search"))
    visitor.until(f"{PAGE}.state.whatif.edits.off.length === 2")
    assert visitor.value(f"{PAGE}.state.whatif.edits.off[1].end") == start + 99


def test_a_session_of_igv_js_opens_on_the_contig(visitor):
    visitor.open(f"?gene={gene_on(NESTED)}")
    query = f"api/v1/odd/genes/{gene_on(NESTED)}/igv-session.json"
    visitor.value(
        f"fetch('{query}').then(got => got.json()).then(told => {PAGE}.igvBrowser().loadSession(told)).then(() => 1)"
    )
    frame = f"{PAGE}.igvBrowser().referenceFrameList[0]"
    visitor.until(f"Math.round({frame}.start) === 14000 && {frame}.chr.includes('51000')")
    features = f"{PAGE}.igvBrowser().trackViews.map(row => (row.viewports[0].featureCache || {{}}).features || [])"
    visitor.until(f"{features}.filter(rows => rows.length > 0).length >= 4")


def test_the_files_of_a_gene_are_saved_under_its_symbol(visitor):
    visitor.open(f"?gene={gene_on(HLA)}")
    with visitor.page.expect_download() as saved:
        visitor.value(f"{PAGE}.actions.figure(null, {{dataset: {{kind: 'svg'}}}}).then(() => 1)")
    assert saved.value.suggested_filename == "odd.β-globin.locus.svg"
    assert "HLA-A*01:01:01:01" in saved.value.path().read_text()
    with visitor.page.expect_download() as saved:
        visitor.page.click("summary:has-text('Export')")
        visitor.page.click("#get-bed")
    assert saved.value.suggested_filename == "odd.β-globin.elements.bed"
    with visitor.page.expect_download() as saved:
        visitor.value(f"{PAGE}.actions.svg()")
    assert saved.value.suggested_filename == "odd.β-globin.svg"


def test_tracks_that_are_brought_along_lie_on_the_contig(visitor, tmp_path):
    visitor.open(f"?gene={gene_on(GI)}")
    start = visitor.value(f"{PAGE}.state.view.locus.start")
    bed, wig = tmp_path / "mine.bed", tmp_path / "mine.bigWig"
    bed.write_text(f"{GI}\t{start + 100}\t{start + 300}\tmine\n")
    with pyBigWig.open(str(wig), "w") as made:
        made.addHeader([(name, SIZE) for name in sorted(CONTIGS)])
        made.addEntries([GI], [start + 100], ends=[start + 300], values=[7.0])
    for path in (bed, wig):
        with visitor.page.expect_file_chooser() as chooser:
            visitor.value(f"void {PAGE}.actions['add-own']()")
        chooser.value.set_files(path)
        visitor.until(f"{PAGE}.userTracks().includes('{path.name}')").quiet()
    ids = visitor.value(
        f"[...{PAGE}.igvBrowser().trackViews].map(row => row.track.id).filter(id => String(id).startsWith('own-'))"
    )
    assert len(ids) == 2
    assert all(visitor.features(own) for own in ids)


# ---------------------------------------------------------------------------------------------- what a person types


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("chr1 9001 9500", ("chr1", 9_000, 9_500)),
        ("chr1:9,001..9,500", ("chr1", 9_000, 9_500)),
        ("chr1:9001\u20139500", ("chr1", 9_000, 9_500)),
        ("9.2k-9.6k", (HLA, 9_199, 9_600)),  # on the contig that is shown
        (f"{HLA} 9500 9001", (HLA, 9_000, 9_500)),
    ],
)
def test_a_range_goes_there_however_it_is_written(visitor, text, place):
    visitor.open(f"?gene={gene_on(HLA)}")
    search(visitor, text, at(*place))


def test_what_was_meant_is_a_click_away(visitor):
    visitor.open(f"?gene={gene_on('chr1')}")
    search(visitor, "GATA2", "document.querySelector('#message button') !== null")
    assert "Did you mean GATA1" in visitor.value("document.getElementById('message').textContent")
    visitor.page.click("#message button:has-text('GATA1')")
    visitor.until(f"document.body.dataset.drawn.includes('{GENES['gene_id'][7]}')").quiet()
    search(visitor, "chrQ:1-5", "document.getElementById('message').textContent.includes('no chromosome chrQ')")
    visitor.page.click("#message button")
    visitor.until(at("chr1", 999, 2_000))
