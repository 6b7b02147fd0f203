"""Tracks that lie on another server, and a gene that is scored while the page is open, as a person sees them."""

import threading

import pytest
from range_server import serve_ranges
from test_remote_tracks import study_of_addresses
from test_score_now import empty_run
from visitor import MODEL_SECONDS, Visitor

from seq2exp_viz import serve
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen
from seq2exp_viz.serving.security import Access
from seq2exp_viz.worker.jobs import Jobs

pytestmark = pytest.mark.browser


@pytest.fixture
def shown(chromium, tmp_path, request):
    """Serve a run, and look at it: (visitor, registry, jobs)."""

    def open_run(run, **access):
        registry, jobs = RunRegistry([run], cache=tmp_path / "page-cache"), Jobs()
        request.addfinalizer(registry.close)
        sock = bind("127.0.0.1", 0)
        server = create_app(registry, Settings(igv="notebook", access=Access(**access)), jobs).server
        threading.Thread(target=listen, args=(server, sock), daemon=True).start()
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        request.addfinalizer(page.close)
        return Visitor(page, f"http://127.0.0.1:{sock.getsockname()[1]}/"), registry, jobs

    return open_run


def test_a_bigwig_on_another_server_is_drawn_and_the_browser_asks_our_server_only(tmp_path, monkeypatch, shown):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "user-cache"))
    with serve_ranges({}) as server:
        _, run = study_of_addresses(tmp_path, server)
        visitor, *_ = shown(run)
        visitor.open("?gene=MYC")
        for track in ("signal-0", "signal-1"):
            visitor.until(f"Boolean(seq2exp.trackOf('{track}').trackView.viewports[0].canvas)")
            assert visitor.ink(track) > 50, track
            assert len(visitor.features(track)) > 100
        asked = {path for path, _ in server.asked}
        assert {"/H3K27ac.bw", "/DNase.bw"} <= asked
        own = (visitor.address, "data:", "blob:")
        assert [url for url in visitor.requests if not url.startswith(own)] == []
        assert any("/data/run/signal-0.bigWig" in url for url in visitor.requests)
        assert visitor.errors == []


def test_a_track_whose_server_refuses_is_left_out_with_the_reason_and_comes_when_it_is_wanted_again(
    tmp_path, monkeypatch, shown
):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "user-cache"))
    with serve_ranges({}) as server:
        _, run = study_of_addresses(tmp_path, server)
        server.faults["/H3K27ac.bw"] = "403"
        visitor, *_ = shown(run)
        visitor.open("?gene=MYC")
        visitor.until("/H3K27ac is not shown: .*403/.test(document.getElementById('message').textContent)")
        assert visitor.ink("signal-1") > 50
        assert visitor.ink("mask") > 50
        assert visitor.value("seq2exp.trackOf('signal-0')") is None
        tick = "document.querySelector('[data-track=signal-0]')"
        assert visitor.value(f"{tick}.checked") is False
        server.faults.clear()
        visitor.value(f"{tick}.click()")
        visitor.until("Boolean(seq2exp.trackOf('signal-0')?.trackView.viewports[0].canvas)")
        assert visitor.ink("signal-0") > 50
        assert visitor.errors == []


def test_the_page_opens_at_once_and_shows_the_gene_when_it_is_scored(tmp_path, shown):
    visitor, registry, jobs = shown(empty_run(tmp_path))
    serve.score_now(jobs, registry.first, ["XIST"], print)
    visitor.open("?gene=XIST")
    visitor.until("document.querySelector('#gene-head h2')?.textContent === 'XIST'")
    visitor.until("(document.querySelector('.job-line')?.textContent || '').length > 3 || seq2exp.state.gene")
    visitor.until("seq2exp.state.gene === 'ENSG9.1' && seq2exp.trackOf('mask') !== null", MODEL_SECONDS).quiet()
    visitor.until("seq2exp.settled().then(() => true)").quiet()
    visitor.until("Boolean(seq2exp.trackOf('mask').trackView.viewports[0].canvas)").quiet()
    assert visitor.ink("mask") > 50
    assert "gene=ENSG9.1" in visitor.page.url
    assert visitor.value("seq2exp.trackOf('peaks') !== null")
    assert visitor.errors == []


def test_a_gene_of_the_annotation_is_suggested_shown_and_scored_by_a_click(tmp_path, shown):
    visitor, registry, _ = shown(empty_run(tmp_path))
    assert registry.first.models.wait(60)
    visitor.open()
    field = visitor.page.locator("#search")
    field.click()
    field.type("XI", delay=20)
    visitor.until("[...document.querySelectorAll('.mantine-Autocomplete-option')].some(o => o.textContent === 'XIST')")
    visitor.page.keyboard.press("Escape")
    field.fill("XIST")
    visitor.page.keyboard.press("Enter")
    visitor.until("seq2exp.state.unscored?.gene_id === 'ENSG9.1'").quiet()
    assert visitor.value("seq2exp.state.locus.chrom") == "chr2"
    assert visitor.ink("signal-0") > 50
    visitor.page.click("[data-action=score]")
    visitor.until("document.querySelector('.job-line')?.hasAttribute('data-active')")
    assert visitor.page.locator("[data-action=score]").is_hidden()
    visitor.until("seq2exp.state.gene === 'ENSG9.1' && seq2exp.trackOf('mask') !== null", MODEL_SECONDS)


def test_a_gene_that_cannot_be_scored_says_so_in_its_head(tmp_path, shown):
    visitor, registry, _ = shown(empty_run(tmp_path))
    assert registry.first.models.wait(60)
    visitor.open("?gene=XIST")
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    visitor.page.click("[data-action=score]")
    visitor.until("/safetensors/.test(document.querySelector('.job-line')?.textContent || '')", MODEL_SECONDS)
    assert visitor.page.locator("[data-action=score]").is_visible()


def test_a_read_only_page_offers_nothing_that_it_would_refuse(tmp_path, shown):
    visitor, registry, _ = shown(empty_run(tmp_path), read_only=True)
    assert registry.first.models.wait(60)
    visitor.open("?gene=XIST")
    visitor.until("document.querySelector('#gene-head h2')?.textContent === 'XIST'")
    assert visitor.page.locator("[data-action=score]").is_hidden()
    assert visitor.value("[...document.querySelectorAll('[data-writes]')].every(node => node.offsetParent === null)")
    assert visitor.errors == []
