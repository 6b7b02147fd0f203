"""Page of a run with 18,377 genes: time until it is usable, bytes of the gene list, jumps, memory of the web process.

python benchmarks/grid.py [--genes 18377] [--jumps 100] [--folder DIR] [--json FILE]

The run is simulated (masks for 40 genes only; the others have numbers, elements and no mask) and kept in --folder. The
server runs in a separate process, so that its memory can be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from jump import ARGUMENTS, JUMP, QUIET, wait
from playwright.sync_api import sync_playwright

from model_core.run_folder.elements import CLASS_COLOURS, ELEMENT_COLUMNS, ElementRule
from model_core.run_folder.gene_scores import GENE_COLUMNS
from model_core.run_folder.run import Run
from model_core.run_folder.tracks import write_bed

WINDOW, PROMOTER, RESOLUTION, CHROMS, SIZE = 200_000, 2_000, 100, 22, 130_000_000
MASKS, ELEMENTS, PEAKS = 40, 14, 60_000  # genes with a mask; elements per gene; peaks in all
ROWS = "document.querySelectorAll('#genes .ag-center-cols-container [row-id]').length > 5"


def made_up(folder: Path, count: int, seed: int = 0) -> Path:
    """Make a run folder of `count` genes; those with masks come first, on chr1."""
    rng = np.random.default_rng(seed)
    sizes = {f"chr{i + 1}": SIZE for i in range(CHROMS)}
    shape = {"window": WINDOW, "promoter": PROMOTER, "resolution": RESOLUTION}
    run = Run.create(folder, name="big", simulated=True, chrom_sizes=sizes, asked=count, **shape)
    genes = gene_rows(rng, count)
    with run.writing():
        for i in range(MASKS):
            hills = np.exp(-(((np.arange(WINDOW // RESOLUTION) - 300 - 30 * i) / 20) ** 2))
            run.append(genes[i], 2 + 14 * hills, np.full(len(hills), 6.0))
    with (folder / "scores.jsonl").open("a") as journal:
        journal.writelines(json.dumps({**gene, "row": row}) + "\n" for row, gene in enumerate(genes) if row >= MASKS)
    for array in run._masks._arrays(again=True).values():  # rows without a chunk cost nothing
        array.stored.resize((count, WINDOW // RESOLUTION))
    run.update(element_rule=ElementRule(0.6).to_dict(), progress={"scored": count, "asked": count})
    table = pd.DataFrame(genes).assign(kept_percent=rng.uniform(2, 60, count), elements=ELEMENTS)
    table = table.assign(elements_without_peak=rng.integers(0, 5, count)).reindex(columns=list(GENE_COLUMNS))
    table.to_csv(folder / "genes.tsv", sep="\t", index=False)
    (folder / "elements").mkdir()
    write_bed(folder / "elements" / "elements.bed", [element_rows(rng, table)])
    (folder / "peaks").mkdir()
    (folder / "peaks" / "MACS3.narrowPeak").write_text(peak_lines(rng))
    return folder


def gene_rows(rng: np.random.Generator, count: int) -> list[dict]:
    """Return genes as in the journal, without their row."""
    tss = rng.integers(WINDOW, SIZE - WINDOW, count)
    level = rng.gamma(2, 0.5, count)
    guess = level * 0.8 + rng.normal(0, 0.3, count)
    return [
        {
            "gene_id": f"ENSG{i:011d}.1",
            "symbol": f"GENE{i}",
            "chrom": "chr1" if i < MASKS else f"chr{1 + i % CHROMS}",
            "tss": int(tss[i]),
            "strand": "+-"[i % 2],
            "split": ("train", "validation", "test")[i % 3],
            "observed": round(float(level[i]), 4),
            "predicted": round(float(guess[i]), 4),
        }
        for i in range(count)
    ]


def element_rows(rng: np.random.Generator, genes: pd.DataFrame) -> pd.DataFrame:
    """Return ELEMENTS rows per gene, at equal distances inside its window."""
    rows = genes.loc[genes.index.repeat(ELEMENTS)].reset_index(drop=True)
    number = np.tile(np.arange(ELEMENTS), len(genes))
    start = rows["tss"] - WINDOW // 2 + 5_000 + 13_000 * number
    kind = np.where(rng.random(len(rows)) < 0.8, "with_peak", "without_peak")
    mean = rng.uniform(0.6, 1, len(rows)).round(4)
    table = rows[["chrom", "strand", "gene_id", "symbol"]].assign(
        start=start, end=start + 600, thickStart=start + 300, thickEnd=start + 301, score=(1000 * mean).astype(int)
    )
    table = table.assign(name=[f"E{i + 1}" for i in number], itemRgb=pd.Series(kind).map(CLASS_COLOURS))
    table["class"], table["peak"] = kind, np.where(kind == "with_peak", "peak", ".")
    table = table.assign(mean_mask=mean, max_mask=mean, beta_sd=0.05, distance_to_tss=start + 300 - rows["tss"])
    columns = [name for name in ELEMENT_COLUMNS if name in table]  # the run stores neither contact nor effects
    return table[columns].sort_values(["chrom", "start", "end", "gene_id"])


def peak_lines(rng: np.random.Generator) -> str:
    """Return PEAKS narrowPeak lines, sorted."""
    chrom, start = rng.integers(1, CHROMS + 1, PEAKS), rng.integers(0, SIZE - 1_000, PEAKS)
    rows = sorted(zip((f"chr{i}" for i in chrom), start, range(PEAKS), strict=True))
    return "".join(f"{c}\t{s}\t{s + 500}\tpeak{i}\t500\t.\t{5 + i % 40}\t8\t6\t250\n" for c, s, i in rows)


def memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Return the resident (VmRSS) or peak (VmHWM) memory of a process in MB; Linux."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else float("nan")


def main() -> None:
    """Make the run, serve it, open the page, jump between genes, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=18_377)
    parser.add_argument("--jumps", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="folder of the run, which a later call uses again")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp()) / "big"
    if not (folder / "peaks").is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        made_up(folder, options.genes)
    command = [sys.executable, "-m", "seq2exp_viz.cli", "serve", str(folder), "--no-open", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://[^ ]+", line)))
        result = {
            "genes": options.genes,
            "started_mb": memory_mb(server.pid),
            **visit(address, server.pid, options.jumps),
        }
        result |= {"memory_mb": memory_mb(server.pid), "most_mb": memory_mb(server.pid, "VmHWM")}
    finally:
        server.terminate()
        server.wait(20)
    jumps = result["jumps_s"]
    print(
        f"{options.genes:,} genes: list and browser there after {result['usable_s']:.2f} s, first answer of the server"
    )
    print(f"for it {result['answer_s']:.2f} s and {result['list_bytes'] / 1e6:.2f} MB; again {result['again_s']:.2f} s")
    print(f"{len(jumps)} jumps: median {statistics.median(jumps):.3f} s, slowest {max(jumps):.3f} s")
    print(
        f"audit of all genes {result['audit_s']:.2f} s, elements of all genes {result['elements_s']:.2f} s (first time)"
    )
    print(
        f"web process: {result['after_jumps_mb']:.0f} MB after the jumps, {result['memory_mb']:.0f} MB at the end,"
        f" at most {result['most_mb']:.0f} MB"
    )
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


def visit(address: str, pid: int, jumps: int) -> dict:
    """Measure times, bytes and memory in a browser that opens the page and jumps between genes."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or sys.exit("no Chromium: set CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        answers = []
        page.on("response", lambda got: answers.append(got) if "_dash-update-component" in got.url else None)
        times, bodies = [], []
        for _ in range(2):  # the first time the server reads the run
            began = time.perf_counter()
            page.goto(f"{address}?gene=ENSG{0:011d}.1")
            wait(page, f"document.body.dataset.drawn !== undefined && {ROWS}")
            wait(page, QUIET)
            times.append(time.perf_counter() - began)
            bodies = bodies or [(len(got.body()), got.request.timing["responseEnd"] / 1000) for got in answers]
        result = {"usable_s": times[0], "again_s": times[1], "list_bytes": max(bodies)[0], "answer_s": max(bodies)[1]}
        result["jumps_s"] = [page.evaluate(JUMP, f"ENSG{1 + i % (MASKS - 1):011d}.1") / 1000 for i in range(jumps)]
        result["after_jumps_mb"] = memory_mb(pid)
        for name, query in (("elements", "owners?chrom=chr1&start=1000000&end=1000100"), ("audit", "audit?limit=1")):
            ask = f"fetch('api/v1/big/{query}').then(got => got.json()).then(() => 0)"
            began = time.perf_counter()
            page.evaluate(ask)
            result[f"{name}_s"] = time.perf_counter() - began
        browser.close()
    return result


if __name__ == "__main__":
    main()
