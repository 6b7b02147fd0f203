"""Headless Chromium for tests of the page: where it is missing they are skipped with words, under CI they fail."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import missing
from viewer_run import make_study, make_viewer_run
from visitor import Visitor

from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen
from seq2exp_viz.serving import static_files

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


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


@pytest.fixture(scope="session")
def effect_folders(tmp_path_factory) -> tuple[Path, ...]:
    """Runs of genes whose windows overlap: one stores effects of five members, one those of one, one stores none."""
    folder = tmp_path_factory.mktemp("effects")
    study = make_study(folder / "study", contigs=["chr1"])
    kinds = {"five": {"members": 5, "contact": "Hi-C"}, "one": {"members": 1}, "plain": {}}
    return tuple(make_viewer_run(folder / name, study, name, contigs=["chr1"], **kind) for name, kind in kinds.items())


def _served(igv: str, runs: tuple[Path, ...], cache: Path) -> Iterator[str]:
    """Serve runs with igv.js 3.8 ("vendored") or igv-notebook's 3.1.4, there behind a prefix; yield the address."""
    if igv == "vendored" and not (static_files.folder() / "vendor" / "igv.min.js").is_file():
        missing("needs igv.js 3.8: `python -m seq2exp_viz.serving.vendor` (npm)")
    prefix = "/" if igv == "vendored" else "/node/gpu7/"
    registry = RunRegistry(runs, cache=cache)
    for view in registry:
        view.models.wait(60)
    sock = bind("127.0.0.1", 0)
    server = create_app(registry, Settings(prefix=prefix, igv=igv)).server
    threading.Thread(target=listen, args=(server, sock), daemon=True).start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}{prefix}"
    registry.close()


@pytest.fixture(scope="session", params=["vendored", "notebook"])
def address(request, folders, tmp_path_factory) -> Iterator[str]:
    """The page's address, once with each igv.js."""
    yield from _served(request.param, folders, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", params=["vendored", "notebook"])
def effects_address(request, effect_folders, tmp_path_factory) -> Iterator[str]:
    """The same of the runs with effects."""
    yield from _served(request.param, effect_folders, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def visitor(chromium, address) -> Iterator[Visitor]:
    """A fresh page; at the end nothing may have thrown and nothing may have left the machine."""
    yield from _visit(chromium, address)


@pytest.fixture
def effects(chromium, effects_address) -> Iterator[Visitor]:
    """The same of the runs with effects."""
    yield from _visit(chromium, effects_address)


def _visit(chromium, address: str) -> Iterator[Visitor]:
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
