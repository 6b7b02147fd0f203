"""Sharing with real clicks: a link in a second browser, views as files, each export parsed; own tracks."""

import json
import re
import struct
import xml.etree.ElementTree as ET

import pytest
from visitor import Visitor

from model_core.run_folder.tracks import Block, write_bigwig

pytestmark = pytest.mark.browser

MYC = "ENSG00000000000.1"
PAGE = "seq2exp"
SHOWN = f"{PAGE}.igvBrowser().trackViews.map(row => row.track.id).filter(id => id && {PAGE}.state.known.has(id)).sort()"


@pytest.fixture
def second(chromium, address):
    """Somebody else's browser: no cookies and no storage of the first."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    yield Visitor(context.new_page(), address)
    context.close()


def choose(visitor, menu: str, text: str) -> None:
    visitor.page.click(f"summary:has-text('{menu}')")
    visitor.page.click(f".menu[open] button:has-text('{text}')")


def saved(visitor, menu: str, text: str) -> tuple[str, bytes]:
    """Name and content of what a menu's line saves."""
    with visitor.page.expect_download() as download:
        choose(visitor, menu, text)
    return download.value.suggested_filename, download.value.path().read_bytes()


def said(visitor, words: str) -> None:
    visitor.until(f"document.getElementById('message').textContent.includes({json.dumps(words)})")


def switch(visitor, track: str, on: bool) -> None:
    visitor.page.click("summary:has-text('Tracks')")
    visitor.page.set_checked(f'[data-track="{track}"]', on)
    visitor.page.keyboard.press("Escape")
    visitor.until(f"Boolean({PAGE}.trackOf('{track}')) === {str(on).lower()}").quiet()


def test_a_link_shows_the_same_to_somebody_else(visitor, second):
    visitor.open(f"?gene={MYC}&threshold=0.55&locus=chr1:9001-10500")
    switch(visitor, "certainty", True)
    switch(visitor, "why-signals", True)
    switch(visitor, "signal-0", False)
    visitor.until("location.search.includes('tracks=-signal-0,certainty,why-signals')")
    second.page.goto(visitor.value("location.href"))
    second.settle()
    for told in (f"{PAGE}.state.locus", f"{PAGE}.state.gene", f"{PAGE}.state.threshold", SHOWN):
        assert second.value(told) == visitor.value(told), told
    assert second.value("location.search") == visitor.value("location.search")
    assert len(second.features("certainty")) > 100
    assert second.ink("why-signals") > 50
    assert second.value(f"{PAGE}.trackOf('signal-0')") is None
    assert second.errors == []


def test_a_switched_track_stays_for_the_next_gene_and_follows_the_threshold(visitor):
    visitor.open(f"?gene={MYC}&tracks=certainty&threshold=0.4")
    loose = visitor.features("certainty")
    visitor.page.focus("#threshold [role=slider]")
    visitor.page.keyboard.press("End")
    visitor.until("document.body.dataset.drawn.endsWith('|1')").quiet()
    strict = visitor.features("certainty")
    assert sum(f["hidden"] or 0 for f in strict) > sum(f["hidden"] or 0 for f in loose)
    visitor.page.click('#genes [col-id="symbol"]:has-text("HBB")')
    visitor.until("document.body.dataset.drawn.includes('ENSG00000000002.3')").quiet()
    assert visitor.value(f"{PAGE}.trackOf('certainty').region.start") == 14_000
    assert "tracks=certainty" in visitor.value("location.search")


def test_a_view_is_saved_and_opened_again_and_what_is_none_is_refused(visitor, second, tmp_path):
    visitor.open(f"?gene={MYC}&threshold=0.61&tracks=prior&locus=chr1:9001-9900")
    name, content = saved(visitor, "Share", "Save this view")
    told = json.loads(content)
    assert name == "demo.MYC.view.json"
    assert told["address"] == {
        **{"run": "demo", "gene": MYC, "locus": "chr1:9001-9900", "threshold": "0.61", "tracks": "prior"}
    }
    second.open()
    wrong = {"x.json": "no json", "y.json": "{}", "z.json": json.dumps({**told, "address": {"run": "elsewhere"}})}
    words = {"x.json": "not JSON", "y.json": "not a saved view", "z.json": "is not served here"}
    for file, text in wrong.items():
        (tmp_path / file).write_text(text)
        open_view(second, tmp_path / file)
        said(second, words[file])
    (tmp_path / name).write_bytes(content)
    with second.page.expect_navigation():
        open_view(second, tmp_path / name)
    second.settle()
    second.until(f"{PAGE}.trackOf('prior') !== null").quiet()
    assert second.value(f"{PAGE}.state.locus") == {"chrom": "chr1", "start": 9_000, "end": 9_900}


def open_view(visitor, path) -> None:
    with visitor.page.expect_file_chooser() as chooser:
        choose(visitor, "Share", "Open a saved view")
    chooser.value.set_files(path)


def test_every_export_is_what_it_says(visitor):
    visitor.open(f"?gene={MYC}&threshold=0.4&locus=chr1:9001-11000")
    name, pdf = saved(visitor, "Export", "Figure of this place (PDF)")
    assert (name, pdf[:5]) == ("demo.MYC.locus.pdf", b"%PDF-")
    name, svg = saved(visitor, "Export", "Figure of this place (SVG)")
    assert name == "demo.MYC.locus.svg"
    assert "chr1:9,001-11,000" in " ".join(ET.fromstring(svg).itertext())
    _, png = saved(visitor, "Export", "Picture (PNG)")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert width > 800
    assert height > 600
    name, session = saved(visitor, "Export", "Session for the IGV web app")
    assert name == "demo.MYC.igv-session.json"
    urls = re.findall(r'"(?:url|fastaURL|indexURL)": "([^"]+)"', session.decode())
    assert len(urls) == 7
    statuses = f"Promise.all({json.dumps(urls)}.map(url => fetch(url).then(got => got.status)))"
    assert visitor.value(statuses) == [200] * 7
    _, xml = saved(visitor, "Export", "Session for IGV desktop")
    assert all(node.get("path").startswith("http://127.0.0.1:") for node in ET.fromstring(xml).iter("Resource"))
    visitor.page.click("summary:has-text('Export')")
    visitor.page.fill("#report-genes", "MYC, HBB")
    with visitor.page.expect_download() as download:
        visitor.page.click(".menu[open] [data-action=report]")
    assert download.value.path().read_text().count("<section>") == 2


def test_a_gene_that_cannot_be_reported_is_told_in_the_page(visitor):
    visitor.open(f"?gene={MYC}")
    visitor.page.click("summary:has-text('Export')")
    visitor.page.fill("#report-genes", "NOSUCH")
    visitor.page.click(".menu[open] [data-action=report]")
    said(visitor, "NOSUCH")


def test_the_session_opens_in_a_bare_igv(visitor):
    """The session alone, in an igv.js that knows nothing of us: standard tracks, drawn from absolute addresses."""
    visitor.open(f"?gene={MYC}&threshold=0.4")
    _, session = saved(visitor, "Export", "Session for the IGV web app")
    quiet = {"loadDefaultGenomes": False, "search": False, "showNavigation": False, "showChromosomeWidget": False}
    told = json.dumps({**json.loads(session), **quiet})
    visitor.value(
        "(async () => { const box = document.createElement('div'); document.body.append(box);"
        f" window.bare = await igv.createBrowser(box, {told}); }})()"
    )
    visitor.until("window.bare && window.bare.trackViews.every(row => row.viewports.every(view => !view.loading))")
    names = visitor.value("window.bare.trackViews.map(row => row.track.name)")
    assert {"H3K27ac", "DNase", "MACS3 peaks", "Mask of MYC", "Elements of MYC"} <= set(names)


# ------------------------------------------------------------------------------------------------ own tracks


def drop(visitor, name: str, content: bytes) -> None:
    """Drop a file on the tracks, as the mouse would."""
    visitor.value(
        f"(() => {{ const carried = new DataTransfer(); carried.items.add(new File([new Uint8Array({list(content)})], "
        f"{json.dumps(name)})); const place = document.getElementById('igv');"
        " for (const kind of ['dragover', 'drop']) place.dispatchEvent("
        "new DragEvent(kind, {dataTransfer: carried, bubbles: true, cancelable: true})); })()"
    )


def own(visitor, number: int) -> str:
    """The id of the person's track number `number`, once it is drawn."""
    mine = f"{PAGE}.igvBrowser().trackViews.map(row => row.track.id).filter(id => String(id).startsWith('own-'))"
    visitor.until(f"{mine}.length > {number}").quiet()
    return visitor.value(mine)[number]


def test_dropped_tracks_are_drawn_and_stay_through_genes_and_runs(visitor, tmp_path):
    visitor.open(f"?gene={MYC}")
    drop(visitor, "mine.txt", b"chr1\t9500\t10500\t<b>mine</b>\nchr1\t15000\t15400\tother\n")
    said(visitor, "2 rows")
    track = own(visitor, 0)
    assert {f["name"] for f in visitor.features(track)} >= {"<b>mine</b>"}
    assert visitor.ink(track) > 50
    write_bigwig(tmp_path / "x.bw", {"chr1": 40_000}, [Block("chr1", 9_000, 100, [1.0, 5.0, 2.0] * 10)], 2)
    drop(visitor, "signal", (tmp_path / "x.bw").read_bytes())
    signal = own(visitor, 1)
    visitor.until(
        f"(({PAGE}.trackOf('{signal}').trackView.viewports[0].featureCache || {{}}).features || []).length > 3"
    )
    assert max(f["value"] for f in visitor.features(signal)) == 5
    visitor.page.click("#run")
    visitor.page.click("[role=option]:has-text('half')")
    visitor.until("document.body.dataset.drawn.startsWith('half')").quiet()
    assert own(visitor, 0) == track
    visitor.page.click("summary:has-text('Tracks')")
    visitor.page.click("button:has-text('Remove mine.txt')")
    visitor.until(f"{PAGE}.trackOf('{track}') === null")


def test_a_file_that_is_no_track_is_told_in_the_page(visitor):
    visitor.open(f"?gene={MYC}")
    for name, content, words in (
        ("cat.bed", b"\x89PNG\0\0\0", "cat.bed: found a picture or PDF"),
        ("x.bed", b"chr1\t5\tx\n", "x.bed line 1"),
        ("y.bed", b"chrQ\t5\t9\n", "only chromosomes 'chrQ'"),
        ("z.bw", b"&\xfc\x8f\x88" + bytes(200), "z.bw"),
    ):
        drop(visitor, name, content)
        said(visitor, words)
    assert visitor.value(f"{PAGE}.userTracks()") == []
