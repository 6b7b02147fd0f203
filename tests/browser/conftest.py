"""Headless Chromium for tests of the page: where it is missing they are skipped with words, under CI they fail."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from viewer_run import make_study, make_viewer_run

from seq2exp_viz import browser_files
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.server import bind, listen
from seq2exp_viz.shelf import Shelf

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def missing(words: str) -> None:
    """Skip with a reason, or fail where CI=true: there the browser must be present."""
    if os.environ.get("CI") == "true":
        pytest.fail(words)
    pytest.skip(words)


@pytest.fixture(scope="session")
def chromium():
    """The browser, once for all tests."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing("needs Chromium: `apt-get install chromium`, or CHROMIUM=/path/to/chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Two runs of one small study; the second holds half of the genes."""
    folder = tmp_path_factory.mktemp("browser")
    study = make_study(folder / "study")
    return make_viewer_run(folder / "a", study, name="demo"), make_viewer_run(folder / "b", study, name="half", genes=3)


@pytest.fixture(scope="session", params=["vendored", "notebook"])
def address(request, folders, tmp_path_factory) -> Iterator[str]:
    """The page's address, once with igv.js 3.8 and once with igv-notebook's 3.1.4 (there behind a prefix)."""
    if request.param == "vendored" and not (browser_files.folder() / "vendor" / "igv.min.js").is_file():
        missing("needs igv.js 3.8: `python -m seq2exp_viz.vendor` (npm)")
    prefix = "/" if request.param == "vendored" else "/node/gpu7/"
    shelf = Shelf(folders, cache=tmp_path_factory.mktemp("cache"))
    for view in shelf:
        view.models.wait(60)
    sock = bind("127.0.0.1", 0)
    server = create_app(shelf, Settings(prefix=prefix, igv=request.param)).server
    threading.Thread(target=listen, args=(server, sock), daemon=True).start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}{prefix}"
    shelf.close()


class Visitor:
    """A page with what a test asks of it, and a log of all it did."""

    def __init__(self, page, address: str):
        self.page, self.address = page, address
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", self._failed)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _failed(self, request) -> None:
        if request.failure == "csp":  # held back by the page's policy: it never left the browser
            self.requests.remove(request.url)

    def open(self, query: str = "") -> "Visitor":
        self.page.goto(self.address + query)
        return self.settle()

    def settle(self) -> "Visitor":
        self.until("document.body.dataset.drawn !== undefined")
        return self.quiet()

    def quiet(self) -> "Visitor":
        """Wait until no track is loading."""
        return self.until(QUIET)

    def until(self, expression: str, seconds: float = 25) -> "Visitor":
        """Wait for a JavaScript expression (the policy of the page forbids playwright's own way of waiting)."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"still not true after {seconds} s: {expression}\n{self.errors}"
            self.page.wait_for_timeout(40)
        return self

    def value(self, expression: str):
        return self.page.evaluate(expression)

    def features(self, track: str) -> list[dict]:
        """What igv.js holds of a track, from its own state."""
        return self.value(
            f"(() => {{ const track = seq2expBridge.trackOf('{track}');"
            " const c = track && track.trackView.viewports[0].featureCache;"
            " return c ? JSON.parse(JSON.stringify(c.features)) : []; })()"
        )

    def ink(self, track: str) -> int:
        """Pixels of a track that are not white."""
        return self.value(
            f"(() => {{ const c = seq2expBridge.trackOf('{track}').trackView.viewports[0].canvas;"
            " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
            " for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 0 && d[i] + d[i + 1] + d[i + 2] < 720) n++;"
            " return n; })()"
        )


QUIET = "seq2expBridge.igvBrowser().trackViews.every(row => row.viewports.every(view => !view.loading))"


@pytest.fixture
def visitor(chromium, address) -> Iterator[Visitor]:
    """A fresh page; at the end nothing may have thrown and nothing may have left the machine."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    visitor = Visitor(context.new_page(), address)
    yield visitor
    context.close()
    assert visitor.errors == []
    outside = [
        url
        for url in visitor.requests
        if not url.startswith((visitor.address.split("/", 3)[0] + "//127.0.0.1", "data:", "blob:"))
    ]
    assert outside == []
