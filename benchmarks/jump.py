"""Jumps from gene to gene in headless Chromium with at least 10 tracks: time until all are drawn, requests, bytes.

python benchmarks/jump.py RUN [--jumps 20] [--igv vendored|notebook] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET = "seq2exp.igvBrowser().trackViews.every(row => row.viewports.every(view => !view.loading))"
JUMP = (
    "async (gene) => { const began = performance.now(); const nap = () => new Promise(done => setTimeout(done, 4));"
    " dash_clientside.set_props('gene', {data: {run: seq2exp.state.run, gene}});"
    " while (!document.body.dataset.drawn.includes(`|${gene}|`)) await nap();"
    " while (!" + QUIET + ") await nap();"
    " return performance.now() - began; }"
)


def wait(page, expression: str) -> None:
    """Wait until a JavaScript expression is true."""
    end = time.monotonic() + 60
    while not page.evaluate(expression):
        if time.monotonic() > end:
            sys.exit(f"never true: {expression}")
        page.wait_for_timeout(50)


def main() -> None:
    """Open the page, show 10 tracks, jump between genes, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--jumps", type=int, default=20)
    parser.add_argument("--tracks", type=int, default=10)
    parser.add_argument("--igv", default="vendored", choices=("vendored", "notebook"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    shelf = RunRegistry([options.run])
    if shelf.first.models is not None:
        shelf.first.models.wait(120)
    sock = bind("127.0.0.1", 0)
    server = create_app(shelf, Settings(igv=options.igv)).server
    threading.Thread(target=listen, args=(server, sock), daemon=True).start()
    moved = {"requests": 0, "bytes": 0}

    def count(response) -> None:
        moved["requests"] += 1
        moved["bytes"] += int(response.headers.get("content-length", 0))

    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM") or shutil.which("chromium") or sys.exit("no Chromium: set CHROMIUM")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        began = time.perf_counter()
        page.goto(f"http://127.0.0.1:{sock.getsockname()[1]}/")
        wait(page, "document.body.dataset.drawn !== undefined")
        wait(page, QUIET)
        opened = time.perf_counter() - began
        hidden = page.evaluate(
            "[...document.querySelectorAll('[data-track]')].filter(x => !x.checked).map(x => x.dataset.track)"
        )
        shown = page.evaluate("document.querySelectorAll('[data-track]:checked').length")
        for track in hidden[: max(0, options.tracks - shown)]:
            page.evaluate(f"document.querySelector('[data-track=\"{track}\"]').click()")
            wait(page, f"seq2exp.trackOf('{track}') !== null")
            wait(page, QUIET)
        tracks = page.evaluate("document.querySelectorAll('[data-track]:checked').length")
        page.on("response", count)
        genes = list(shelf.first.run.genes["gene_id"])
        current = page.evaluate("seq2exp.state.gene")
        route = [gene for gene in genes if gene != current][: options.jumps]
        times = [page.evaluate(JUMP, gene) / 1000 for gene in route]
        page.wait_for_timeout(500)
        browser.close()
    shelf.close()
    result = {"tracks": tracks, "igv": options.igv, "opened_s": opened, "jumps_s": times, **moved}
    print(f"igv.js {options.igv}: page drawn after {opened:.2f} s; {len(times)} jumps with {tracks} tracks")
    print(f"median {statistics.median(times):.3f} s, slowest {max(times):.3f} s")
    print(f"{moved['requests'] / len(times):.0f} requests and {moved['bytes'] / len(times) / 1000:.0f} kB per jump")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
