"""What-if in the page with a real model behind it: real clicks, keys and drags, and the link that brings all back."""

import re
import threading
import time

import pytest
from model_run import make_model_run
from visitor import MODEL_SECONDS, Visitor

from model_core.run_folder.run import Run
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen

pytestmark = pytest.mark.browser

PAGE = "seq2exp"
PREDICTED = "(document.getElementById('whatif-predicted') || {textContent: ''}).textContent"
STATE = "document.getElementById('whatif').dataset.state"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_model_run(tmp_path_factory.mktemp("whatif"))


@pytest.fixture(scope="module")
def served(path, tmp_path_factory):
    registry = RunRegistry([path], cache=tmp_path_factory.mktemp("cache"))
    registry.first.models.wait(60)
    sock = bind("127.0.0.1", 0)
    server = create_app(registry, Settings()).server
    threading.Thread(target=listen, args=(server, sock), daemon=True).start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
    registry.close()


@pytest.fixture
def page(chromium, served):
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    visitor = Visitor(context.new_page(), served)
    yield visitor
    context.close()
    assert visitor.errors == []
    assert [url for url in visitor.requests if not url.startswith((served, "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def gene(path):
    run = Run.open(path)
    counts = run.elements[run.elements["class"] != "promoter"]["gene_id"].value_counts()
    return str(counts.index[0])


def opened(page, query):
    page.open(query)
    return page.until("document.querySelector('#element-list .switch') !== null").until(f"{STATE} !== undefined")


def answered(page):
    """The prediction, once no question is open; state and number are read at one moment."""
    return float(page.when(f"{STATE} === 'answered' && {PREDICTED}", MODEL_SECONDS))


def row(number):
    return f"#element-list .element[data-name=E{number}]"


def test_an_element_is_switched_off_the_number_changes_and_the_link_brings_it_back(page, path, gene, capsys):
    opened(page, f"?gene={gene}")
    page.page.click(f"{row(2)} .switch")
    began = time.monotonic()
    first = answered(page)
    cold = time.monotonic() - began
    assert page.page.get_attribute(f"{row(2)} .switch", "aria-checked") == "false"
    run = Run.open(path)
    baseline = run.gene(gene)["predicted"]
    assert first != pytest.approx(baseline, abs=1e-4)
    assert "control regions" in page.page.inner_text(".whatif-result")
    element = run.cut(gene).query("name == 'E2'").iloc[0]
    place = f"{element['chrom']}:{element['start'] + 1}-{element['end']}"
    page.until(f"location.search.includes('off={place}')")
    link = page.value("location.href")
    page.page.goto("about:blank")
    page.page.goto(link)
    page.settle()
    assert answered(page) == first
    assert page.page.get_attribute(f"{row(2)} .switch", "aria-checked") == "false"
    assert page.value(f"{PAGE}.trackOf('elements').edits.off.length") == 1
    page.page.click(f"{row(1)} .switch")
    page.until(f"{PAGE}.trackOf('elements').edits.off.length === 2")
    answered(page)
    began = time.monotonic()
    page.page.click(f"{row(1)} .switch")
    page.until(f"{PAGE}.trackOf('elements').edits.off.length === 1 && {PREDICTED} !== ''")
    warm = time.monotonic() - began
    with capsys.disabled():
        print(f"\nwhat-if in the page: {cold:.2f} s with the start of the model process, then {warm:.2f} s")
    assert answered(page) == first
    page.page.click("[data-action=whatif-reset]")
    page.until(f"{STATE} === 'idle' && !location.search.includes('off=')")
    assert page.page.get_attribute(f"{row(2)} .switch", "aria-checked") == "true"


def test_by_keyboard(page, gene):
    opened(page, f"?gene={gene}")
    page.page.focus(f"{row(1)} .element-go")
    page.page.keyboard.press("Space")
    answered(page)
    assert page.page.get_attribute(f"{row(1)} .switch", "aria-checked") == "false"
    page.page.focus(f"{row(1)} .switch")
    page.page.keyboard.press("Enter")
    page.until(f"{STATE} === 'idle'")


def test_elements_are_ranked_and_the_table_and_the_arcs_fill(page, path, gene):
    opened(page, f"?gene={gene}")
    page.page.click("[data-action=whatif-rank]")
    ranks = "[...document.querySelectorAll('#element-list .control-rank')]"
    page.until(f"{ranks}.every(cell => cell.textContent !== '')", 60)
    cells = page.value(
        "[...document.querySelectorAll('#element-list .element[data-name] .effect')].map(c => c.textContent)"
    )
    assert all(re.fullmatch(r"[+−]?\d\.\d+", cell) for cell in cells)
    assert re.fullmatch(
        r"\d+ of 20 control regions at least as strong", page.page.inner_text(f"{row(1)} .control-rank").strip()
    ) or "hides them already" in page.page.inner_text(f"{row(1)} .control-rank")
    found = Run.open(path).effects
    effects = found[found["gene_id"] == gene]
    assert len(effects) == len(cells)
    assert page.value(f"{PAGE}.trackOf('elements').effects.size") == len(cells)
    page.open(f"?gene={gene}")  # they are the run's: another visit sees them at once
    page.until(f"document.querySelector('{row(1)} .effect').textContent !== ''")
    page.page.click("[data-action=whatif-smallest]")
    page.until("/retains? \\d+ %|does not change/.test(document.querySelector('.whatif-result').textContent)", 60)


def test_a_region_is_dragged_typed_and_undone(page, gene):
    opened(page, f"?gene={gene}")
    page.page.click("[data-action=whatif-off]")
    layer = page.page.locator("#whatif-draw").bounding_box()
    middle = layer["y"] + layer["height"] / 2
    page.page.mouse.move(layer["x"] + 60, middle)
    page.page.mouse.down()
    page.page.mouse.move(layer["x"] + 90, middle, steps=3)
    page.page.mouse.up()
    answered(page)
    assert "removed" in page.page.inner_text(".whatif-drawn")
    place = page.value("({...seq2exp.state.whatif.edits.off[0]})")
    locus = page.value(f"{PAGE}.state.locus")
    per_pixel = (locus["end"] - locus["start"]) / layer["width"]
    assert place["end"] - place["start"] == pytest.approx(30 * per_pixel, abs=2 * per_pixel)
    assert place["start"] - locus["start"] == pytest.approx(60 * per_pixel, abs=2 * per_pixel)
    typed = f"{locus['chrom']}:{locus['start'] + 101}-{locus['start'] + 200}"
    page.page.fill("#whatif-region", typed)
    page.page.click("[data-action=whatif-on]")
    answered(page)
    page.until("location.search.includes('on=') && location.search.includes('off=')")
    assert "kept" in page.page.inner_text(".whatif-drawn")
    for _ in range(2):
        page.page.click(".whatif-drawn .link >> nth=0")
    page.until(f"{STATE} === 'idle'")
    page.page.fill("#whatif-region", "nowhere")
    page.page.click("[data-action=whatif-on]")
    page.until("document.getElementById('message').textContent.includes('Type a region')")
    page.page.fill("#whatif-region", "")
    page.page.click("[data-action=whatif-off]")
    page.page.keyboard.press("Escape")
    page.until("document.getElementById('whatif-draw') === null")


def test_an_element_in_the_browser_can_be_switched_there(page, path, gene):
    opened(page, f"?gene={gene}")
    element = Run.open(path).cut(gene).query("name == 'E1'").iloc[0]
    left, top, width, height = page.value(
        "(() => { const view = seq2exp.trackOf('elements').trackView.viewports[0];"
        " const box = (view.viewportElement || view.$viewport[0]).getBoundingClientRect();"
        " return [box.x, box.y, box.width, box.height]; })()"
    )
    locus = page.value(f"{PAGE}.state.locus")
    middle = (element["start"] + element["end"]) / 2
    at = left + width * (middle - locus["start"]) / (locus["end"] - locus["start"])
    page.page.mouse.click(at, top + height - 10)
    button = page.page.locator("[data-whatif]").first
    button.click()
    answered(page)
    assert page.page.get_attribute(f"{row(1)} .switch", "aria-checked") == "false"


def test_the_occlusion_track_is_computed_on_demand(page, gene):
    opened(page, f"?gene={gene}")
    page.page.click("[data-action=whatif-occlusion]")
    page.until(f"{PAGE}.trackOf('occlusion') !== null", 60).quiet()
    values = [f["mean"] for f in page.features("occlusion") if f["mean"] is not None]
    assert len(values) > 50
    assert max(values) > 0 or min(values) < 0


def test_the_page_says_what_the_model_was_not_trained_for(page, gene):
    opened(page, f"?gene={gene}")
    assert "Unknown whether trained with elements off" in page.page.inner_text(".whatif-note")


def test_jobs_and_questions_are_of_what_stands_in_the_fields_however_soon_they_are_asked(page, gene):
    """On a slow machine: the slider's own threshold, the typed region, not what Dash or the tracks know already."""
    opened(page, f"?gene={gene}")
    page.page.context.new_cdp_session(page.page).send("Emulation.setCPUThrottlingRate", {"rate": 6})
    page.page.focus("#threshold [role=slider]")
    for _ in range(15):
        page.page.keyboard.press("ArrowLeft")
    with page.page.expect_request(lambda sent: sent.method == "POST" and sent.url.endswith("/jobs")) as sent:
        page.value("document.querySelector('[data-action=whatif-rank]').click()")
    asked = sent.value.post_data_json["threshold"]
    assert asked == page.value("Number(document.querySelector('#threshold [role=slider]').ariaValueNow)") == 0.625
    locus = page.value(f"({{...{PAGE}.state.view.locus}})")
    page.page.focus("#whatif-region")
    page.page.keyboard.type(f"{locus['chrom']}:{locus['start'] + 1001}-{locus['start'] + 1200}")
    with page.page.expect_request(lambda sent: sent.method == "POST" and sent.url.endswith("/whatif")) as sent:
        page.value("document.querySelector('[data-action=whatif-off]').click()")
    assert sent.value.post_data_json["off"] == [{"start": locus["start"] + 1000, "end": locus["start"] + 1200}]
    assert sent.value.post_data_json["threshold"] == 0.625
    answered(page)
