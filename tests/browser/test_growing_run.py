"""A run that is still being scored: the page is there before the first gene and fills by itself."""

import threading

import pytest
from viewer_run import add_genes, make_study, make_viewer_run
from visitor import Visitor

from model_core.run_folder.assemble import assemble
from model_core.run_folder.run import Run
from model_core.study.study import load_study
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen

pytestmark = pytest.mark.browser


def test_masks_and_then_peaks_appear_as_they_come(chromium, tmp_path, request):
    study = make_study(tmp_path / "study")
    path = make_viewer_run(tmp_path / "run", study, name="early", genes=0)
    registry = RunRegistry([path], cache=tmp_path / "cache")
    request.addfinalizer(registry.close)
    sock = bind("127.0.0.1", 0)
    server = create_app(registry, Settings(igv="notebook")).server
    threading.Thread(target=listen, args=(server, sock), daemon=True).start()
    visitor = Visitor(
        chromium.new_page(viewport={"width": 1280, "height": 800}), f"http://127.0.0.1:{sock.getsockname()[1]}/"
    )
    visitor.open()
    assert "No gene has been scored yet" in visitor.page.inner_text("#gene-head")
    add_genes(Run.open(path), range(2))
    visitor.until("seq2exp.trackOf('mask') !== null").quiet()
    rows = "#genes .ag-center-cols-container [row-id]"
    visitor.until(f"document.querySelectorAll('{rows}:not(.unscored)').length === 2")
    assert visitor.value(f"document.querySelectorAll('{rows}.unscored').length") == 4
    visitor.until("seq2exp.settled().then(() => true)").quiet()
    visitor.until("Boolean(seq2exp.trackOf('mask').trackView.viewports[0].canvas)").quiet()
    assert visitor.ink("mask") > 50
    assert visitor.value("seq2exp.trackOf('peaks')") is None
    assemble(Run.open(path), load_study(study).peaks_path())
    visitor.until("seq2exp.trackOf('peaks') !== null").quiet()
    visitor.until("document.getElementById('legend').textContent.includes('with MACS3 peak')")
    visitor.until("seq2exp.settled().then(() => true)").quiet()
    assert "with_peak" in {feature["class"] for feature in visitor.features("elements")}
    assert visitor.errors == []
    visitor.page.close()
