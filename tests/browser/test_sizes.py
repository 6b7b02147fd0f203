"""The page in narrow, low and large windows and at 200 % zoom: each region is high enough, and all can be reached."""

import threading

import pytest
from model_run import make_model_run
from visitor import Visitor

from seq2exp_viz.app import create_app
from seq2exp_viz.page.tabs import TABS
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen

pytestmark = pytest.mark.browser

SIZES = [  # width and height in CSS pixels, pixels of the screen to each of them
    *((1024, 600, 1), (1024, 768, 1), (1100, 800, 1), (1199, 700, 1), (1200, 600, 1), (1280, 600, 1), (1280, 800, 1)),
    *((1440, 900, 1), (2560, 1440, 1)),
    *((640, 400, 2), (720, 450, 2), (512, 384, 2)),  # windows of 1280 x 800, 1440 x 900 and 1024 x 768 at 200 %
]
LEAST = {".genes": (380, 250), ".browser": (400, 240), "#igv": (380, 180), ".gene": (250, 250), ".tabs": (380, 34)}
PANEL = [
    *("#reset", "#threshold [role=slider]", "#element-list .element-go", "#element-list .switch"),
    *("#whatif-region", "[data-action=whatif-off]", "[data-action=whatif-on]"),
    *("[data-action=whatif-rank]", "[data-action=whatif-smallest]", "[data-action=whatif-occlusion]"),
]
HEAD = ["#run", "#search", "summary:has-text('Export')", "summary:has-text('Share')", "[data-action=help]"]
LIST = ["#filter", "[data-action=wide]", "summary:has-text('Columns')", "#genes [row-index='0'] [col-id='symbol']"]
TOOLS = ["[data-action=zoom-in]", "[data-action=window]", "[data-action=promoter]", "summary:has-text('Tracks')"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    registry = RunRegistry([make_model_run(folder)], cache=folder / "cache")
    registry.first.models.wait(60)
    sock = bind("127.0.0.1", 0)
    threading.Thread(target=listen, args=(create_app(registry).server, sock), daemon=True).start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
    registry.close()


@pytest.fixture(params=SIZES, ids=lambda size: "{}x{}@{}".format(*size))
def page(request, chromium, served):
    width, height, scale = request.param
    context = chromium.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale)
    visitor = Visitor(context.new_page(), served)
    visitor.page.set_default_timeout(20_000)
    visitor.open()
    yield visitor.until(
        "document.querySelector('.whatif-tools') !== null && !document.querySelector('.whatif-tools').hidden", 60
    )
    context.close()
    assert visitor.errors == []


def sizes(page) -> dict[str, list[int]]:
    """Width and height of the regions, and how far the page is wider than the window."""
    return page.value(
        f"Object.fromEntries({list(LEAST)}.map(name => {{ const box = document.querySelector(name)"
        ".getBoundingClientRect(); return [name, [Math.round(box.width), Math.round(box.height)]]; }))"
    )


def reach(page, *selectors: str) -> None:
    """Each can be scrolled to and would get a click."""
    for selector in selectors:
        page.page.click(f"{selector} >> nth=0", trial=True)


def holds(page) -> None:
    """No region is too low or too narrow, nothing leads out of the page at its side."""
    found = sizes(page)
    small = {name: size for name, size in found.items() if size[0] < LEAST[name][0] or size[1] < LEAST[name][1]}
    assert small == {}, found
    assert page.value("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_every_region_is_there_and_every_control_can_be_clicked(page):
    holds(page)
    reach(page, *HEAD, *LIST, *TOOLS, *PANEL)
    page.page.click("#element-list .switch >> nth=0")
    page.until("document.querySelector('#element-list .switch').getAttribute('aria-checked') === 'false'")
    page.page.click("[data-action=whatif-reset]")
    page.page.press("#threshold [role=slider]", "ArrowLeft")
    page.until("document.body.dataset.drawn.endsWith('|0.639')", 60)
    page.page.fill("#whatif-region", "nowhere")
    page.page.click("[data-action=whatif-off]")
    page.until("document.getElementById('message').textContent.includes('Type a region')")


def test_every_tab_opens_and_shows_what_it_holds(page):
    for name in TABS:
        page.page.click(f"#tab-{name}")
        page.until(f"!document.getElementById('panel-{name}').hidden")
        if name in ("compare", "quality"):
            page.until(f"document.querySelector('#panel-{name} .main-svg') !== null", 60)
        least = 200 if name != "jobs" else 30
        page.until(f"document.getElementById('panel-{name}').getBoundingClientRect().height >= {least}")
        holds(page)
        for control in page.page.query_selector_all(f"#panel-{name} :is(button, a, input):visible")[:8]:
            if control.is_enabled():
                control.click(trial=True)
        for low in page.value(
            f"[...document.querySelectorAll('#panel-{name} .grid, #panel-{name} .chart')].map(n => n.clientHeight)"
        ):
            assert low >= 90, name
        reach(page, *PANEL[:4])
    page.page.click("#tab-close")
    page.until("!document.querySelector('.page').classList.contains('tab-open')")


def test_menus_and_help_lie_in_the_window(page):
    for menu in ("Export", "Share", "Tracks", "Columns"):
        page.page.click(f"summary:has-text('{menu}')")
        inside = "details.menu[open] .menu-body"
        left, right, width = page.value(
            f"(() => {{ const box = document.querySelector('{inside}').getBoundingClientRect();"
            " return [box.left, box.right, innerWidth]; })()"
        )
        assert left >= 0, menu
        assert right <= width, menu
        for item in page.page.query_selector_all(f"{inside} :is(a, button, input, label:has(input)):visible"):
            item.click(trial=True)
        page.page.keyboard.press("Escape")
    page.page.click("[data-action=help]")
    reach(page, "[data-action=close-help]")
    assert page.value("document.getElementById('help').scrollWidth <= document.getElementById('help').clientWidth")
    page.page.locator("#help .help-columns > :last-child").scroll_into_view_if_needed()
    page.page.keyboard.press("Escape")
