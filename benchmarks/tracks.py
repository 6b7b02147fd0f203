"""Mask of a genome as a bigWig: time, bytes and memory by resolution and rounding, compared with plain pyBigWig.

    python benchmarks/tracks.py [--genes 100] [--window 200000] [--json FILE]

Masks are simulated: a noisy low mask with hills, in windows that overlap by half. Plain pyBigWig writes a finished
array of the unrounded mask, one value per base; this project's writer also reads the masks of the run, forces, merges,
bins and rounds them. Each file is written by a separate process, whose peak memory above its start is reported. The
size is extrapolated to a genome of 3.1e9 bases, all of them scored. Linux only, for the memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import pyBigWig

from model_core.run_folder import tracks
from model_core.run_folder.assemble import covered_bases, merged_track
from model_core.run_folder.run import Run

GENOME = 3.1e9  # bases
WAYS = ((1, None), (1, 3), (1, 2), (16, 3), (64, 3))  # bp, decimals


def make_run(folder: Path, genes: int, window: int) -> Run:
    """Make a run with masks like those of a trained model: low and noisy, with hills of some hundred bases."""
    rng = np.random.default_rng(0)
    size = window * (genes // 2 + 2)
    run = Run.create(folder, window=window, promoter=window // 100, chrom_sizes={"chr1": size})
    with run.writing():
        for i in range(genes):
            alpha = rng.normal(2, 0.3, window).clip(0.5)
            for centre, width in zip(rng.integers(0, window, 20), rng.integers(50, 400, 20), strict=True):
                part = slice(max(centre - 4 * width, 0), centre + 4 * width)
                alpha[part] += 30 * np.exp(-(((np.arange(window)[part] - centre) / width) ** 2))
            gene = {"gene_id": f"G{i}", "chrom": "chr1", "tss": window + i * window // 2, "strand": "+", "predicted": 0}
            run.append(gene, alpha.astype(np.float32), np.full(window, 14, np.float32))
    return run


def plain(path: Path, values: Path, sizes: dict[str, int]) -> None:
    """Write one value per base with pyBigWig, in pieces of a million."""
    whole = np.load(values, mmap_mode="r")
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(list(sizes.items()))
        known = np.flatnonzero(~np.isnan(whole))
        for start in range(int(known[0]), int(known[-1]) + 1, 1_000_000):
            piece = np.array(whole[start : min(start + 1_000_000, int(known[-1]) + 1)])
            file.addEntries("chr1", start, values=piece, span=1, step=1)


def ours(path: Path, run: Path, resolution: int, decimals: int | None, streamed: bool) -> None:
    """Write the merged mask of a run with this project's writer."""
    if streamed:
        tracks.MOST_VALUES = 0
    opened = Run.open(run)
    tracks.write_bigwig(path, opened.chrom_sizes, merged_track(opened, resolution), decimals, 1)


def measured(work, arguments: tuple, answers) -> None:
    """Run a function; put its seconds and its peak bytes above the start into the queue."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, began = memory("VmRSS"), time.perf_counter()
    work(*arguments)
    answers.put({"seconds": time.perf_counter() - began, "memory": memory("VmHWM") - before})


def memory(what: str) -> int:
    """Return the memory of this process in bytes: VmRSS (now) or VmHWM (peak)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(what))


def alone(work, path: Path, *arguments) -> dict:
    """Measure a writer in a new process: seconds, memory, and bytes of its file."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=measured, args=(work, (path, *arguments), answers))
    process.start()
    found = answers.get(timeout=600)
    process.join()
    return {**found, "bytes": path.stat().st_size}


def main() -> None:
    """Write the file in each way and print a line per file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, default=100)
    parser.add_argument("--window", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = make_run(folder / "run", options.genes, options.window)
        bases = covered_bases(run.genes, options.window, run.chrom_sizes)
        whole = np.full(run.chrom_sizes["chr1"], np.nan, np.float32)
        for block in merged_track(run, 1):
            whole[block.start : block.start + len(block.values)] = block.values
        np.save(folder / "whole.npy", whole)
        peer = alone(plain, folder / "plain.bigWig", folder / "whole.npy", run.chrom_sizes)
        rows = [{"file": "pyBigWig, base-wise, unrounded", **peer}]
        for resolution, decimals in WAYS:
            for streamed in (False, True) if resolution == 1 and decimals == 3 else (False,):
                words = "unrounded" if decimals is None else f"{decimals} decimals"
                row = {"file": f"{resolution} bp, {words}" + (", streamed" if streamed else "")}
                rows.append(row | alone(ours, folder / "ours.bigWig", run.path, resolution, decimals, streamed))
    print(f"{options.genes} genes with windows of {options.window:,} bp, {bases:,} bases")
    print(f"{'file':<32} {'seconds':>8} {'of plain':>8} {'bytes/base':>12} {'genome':>9} {'memory':>8}")
    for row in rows:
        row |= {"bytes_a_base": row["bytes"] / bases, "times": row["seconds"] / peer["seconds"]}
        size = f"{row['bytes_a_base']:12.3f} {row['bytes_a_base'] * GENOME / 1e9:6.2f} GB {row['memory'] / 1e6:5.0f} MB"
        print(f"{row['file']:<32} {row['seconds']:8.1f} {row['times']:8.2f} {size}")
    if options.json:
        asked = {"genes": options.genes, "window": options.window, "bases": bases}
        options.json.write_text(json.dumps({**asked, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
