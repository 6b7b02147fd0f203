"""Screenshots of the page, light and dark: python scripts/screenshot.py RUN [RUN ...] --out docs/page [--gene G].

Serves the runs on a free port, opens them in headless Chromium (playwright with the system's browser; $CHROMIUM or
`chromium` on the PATH) and writes OUT-light.png and OUT-dark.png, and for each of --tabs OUT-TAB-light.png and so on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from seq2exp_viz.app import create_app
from seq2exp_viz.page.tabs import TABS
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def chromium() -> str:
    """Return the path of the browser; without one, exit with instructions to install it."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        sys.exit("No Chromium found: apt-get install chromium, or set CHROMIUM to its path.")
    return found


def until(page: Page, expression: str, seconds: float = 30) -> None:
    """Wait until a JavaScript expression is true (the page's policy forbids playwright's own way of waiting)."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        if time.monotonic() > end:
            raise TimeoutError(f"still not true after {seconds} s: {expression}")
        page.wait_for_timeout(50)


def wait_until_drawn(page: Page) -> None:
    """Wait for the gene, and for every track to have its data."""
    until(page, "document.body.dataset.drawn !== undefined")
    until(page, "seq2exp.igvBrowser().trackViews.every(row => row.viewports.every(view => !view.loading))")
    page.wait_for_timeout(500)


def open_tab(page: Page, tab: str) -> None:
    """Open a tab and select its first element or disagreement."""
    page.click(f"#tab-{tab}")
    page.wait_for_timeout(2_500)
    if tab == "elements" and page.query_selector('#elements-table [row-index="0"] [col-id="name"]'):
        page.click('#elements-table [row-index="0"] [col-id="name"]')
    if tab == "audit":
        page.keyboard.press("n")
    page.wait_for_timeout(1_500)


def main() -> None:
    """Parse the arguments and take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="path of the screenshots, without their endings")
    parser.add_argument("--gene")
    parser.add_argument("--locus", help="region chrom:start-end, 1-based")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--size", default="1280x800")
    parser.add_argument("--beside", help="key of a second run to compare with the first")
    parser.add_argument("--tabs", default="", help="comma-separated tabs to open below the browser, or all")
    parser.add_argument("--tracks", default="", help="comma-separated ids of further tracks to show")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    sock = bind("127.0.0.1", 0)
    shelf = RunRegistry(options.runs)
    server = create_app(shelf).server
    threading.Thread(target=listen, args=(server, sock), daemon=True).start()
    asked = {
        "run": shelf.first.key,
        "gene": options.gene,
        "locus": options.locus,
        "threshold": options.threshold,
        "beside": options.beside,
    }
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    address = f"http://127.0.0.1:{sock.getsockname()[1]}/?{query}"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
            page.on("console", lambda line: print(f"[{line.type}] {line.text}") if line.type == "error" else None)
            page.goto(address)
            wait_until_drawn(page)
            for track in filter(None, options.tracks.split(",")):
                page.evaluate(f"document.querySelector('[data-track=\"{track}\"]').click()")
                page.wait_for_timeout(1200)
            path = options.out.with_name(f"{options.out.name}-{theme}.png")
            page.screenshot(path=path)
            print(path)
            for tab in list(TABS) if options.tabs == "all" else filter(None, options.tabs.split(",")):
                open_tab(page, tab)
                path = options.out.with_name(f"{options.out.name}-{tab}-{theme}.png")
                page.screenshot(path=path)
                print(path)
            page.close()
        browser.close()
    shelf.close()


if __name__ == "__main__":
    main()
