"""A gene over the network, from an empty cache to its mask, then more of them; beside a full download of the files.

python benchmarks/remote.py [--folder FOLDER] [--runs 3] [--mbit 20] [--latency 0.05] [--json FILE]

A server on this machine stands for the public places (tests/large_world.py: files of real sizes, made once in FOLDER)
and delays what it sends as a link does. The command is the user's, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the stand-in for the public places

from large_mcool import SIZES
from large_world import GENE, SECOND, make_large_world
from model_run import lively
from public_world import ENTRIES, FILES, World, serve_world

from model_core.config import Seq2ExpConfig
from model_core.datasets.public_study import study_of_cell
from model_core.model.checkpoint import convert, save_checkpoint
from model_core.remote.traffic import human
from seq2exp_viz.worker.client import COMMAND
from seq2exp_viz.worker.jobs import Jobs

ROOT = Path(__file__).parents[1]
USES = (*FILES, *(entry.use for entry in ENTRIES), "checkpoint")
ON_PAGE = ("MYH9", "RAC2")  # scored on a page, one after the other
DOWNLOADED = "dnase"  # the file that is downloaded whole, to compare
PROGRAM = "from seq2exp_viz.cli import main; main()"


def paper_checkpoint(path: Path) -> Path:
    """Write a soft model of the paper's size in the authors' format, with random weights."""
    if not path.exists():
        save_checkpoint(path.with_suffix(".safetensors"), lively(Seq2ExpConfig(), 3), {})
        convert(path.with_suffix(".safetensors"), path)
    return path


def write_study(world: World, data: Path) -> None:
    """Write the study of K562, with the .mcool in place of the .hic."""
    folder = data / "studies" / "K562"
    path = study_of_cell("K562", folder, lambda line: None)
    text = path.read_text().replace('normalisation = "SCALE"', 'normalisation = "weight"')
    path.write_text(text.replace("ENCFF621AIY.hic", "ENCFF621AIY.mcool"))


def score(world: World, scratch: Path, symbol: str) -> dict:
    """Run the command for one gene; return seconds, CPU seconds, and bytes and requests by use."""
    world.asked.clear()
    world.sent.clear()
    environ = {**os.environ, "SEQ2EXP_CACHE": str(scratch / "cache"), "SEQ2EXP_DATA": str(scratch / "data")}
    environ |= {"PYTHONPATH": str(ROOT), **world.environment()}
    words = ["gene", symbol, "--cell", "K562", "--no-serve", "--out", str(scratch / "run"), "--device", "cpu"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    files = {
        use: (world.sent.get(world.path(use), 0), sum(path == world.path(use) for path, _ in world.asked))
        for use in USES
    }
    files["others"] = (
        sum(world.sent.values()) - sum(moved for moved, _ in files.values()),
        len(world.asked) - sum(count for _, count in files.values()),
    )
    return {"seconds": seconds, "cpu": cpu, "files": files}


def score_on_page(scratch: Path, symbols: Sequence[str]) -> float:
    """Score genes as *Score now* of a page does, one after the other; return the seconds of the last one."""
    jobs, seconds = Jobs((*COMMAND, "cpu")), 0.0
    try:
        for symbol in symbols:
            began = time.perf_counter()
            job = jobs.wait(jobs.start("run", scratch / "run", symbol, "score"), 600)
            seconds = time.perf_counter() - began
            if job.state != "done":
                sys.exit(f"{symbol}: {job.state}, {job.message}")
    finally:
        jobs.close()
    return seconds


def download(world: World) -> float:
    """Download one file whole over the same link; return the seconds."""
    began = time.perf_counter()
    with urllib.request.urlopen(world.url(world.path(DOWNLOADED))) as answer:
        while answer.read(1 << 20):
            pass
    return time.perf_counter() - began


def show(title: str, rows: list[dict], mbit: float, latency: float) -> None:
    """Print the median of several runs: bytes, requests and seconds of the link by file, then of all."""
    print(f"\n{title}: {len(rows)} runs, medians")
    print(f"{'file':<12} {'bytes':>12} {'requests':>9} {'s of link':>10}")
    total = 0.0
    for use in rows[0]["files"]:
        moved, count = (statistics.median(row["files"][use][at] for row in rows) for at in (0, 1))
        link = moved * 8 / (mbit * 1e6) + count * latency
        total += link
        print(f"{use:<12} {moved:>12,.0f} {count:>9.0f} {link:>10.1f}")
    moved = statistics.median(sum(pair[0] for pair in row["files"].values()) for row in rows)
    count = statistics.median(sum(pair[1] for pair in row["files"].values()) for row in rows)
    print(f"{'all':<12} {moved:>12,.0f} {count:>9.0f} {total:>10.1f}")
    seconds, cpu = (statistics.median(row[name] for row in rows) for name in ("seconds", "cpu"))
    print(f"the command: {seconds:.0f} s on the clock, {cpu:.0f} s of CPU")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "seq2exp-large-world")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("SEQ2EXP_SHARED", ROOT / ".." / "shared")))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mbit", type=float, default=20)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    data = (options.shared / "data" / "k562-chr22").resolve()
    made = make_large_world(data, options.folder, paper_checkpoint(options.folder / "soft.ckpt"))
    lengths = "".join(f"{name}\t{size}\n" for name, size in SIZES.items())
    first, second, on_page = [], [], []
    with serve_world(made, chrom_sizes=lengths) as world:
        for _ in range(options.runs):
            with tempfile.TemporaryDirectory() as scratch:
                os.environ.update(world.environment(), SEQ2EXP_CACHE=f"{scratch}/cache")
                world.delay, world.rate = 0.0, 0.0
                write_study(world, Path(scratch) / "data")
                world.delay, world.rate = options.latency, options.mbit * 1e6 / 8
                first.append(score(world, Path(scratch), GENE))
                second.append(score(world, Path(scratch), SECOND))
                on_page.append(score_on_page(Path(scratch), ON_PAGE))
        whole = download(world)
    print(f"link: {options.mbit:g} Mbit/s, {options.latency * 1000:g} ms a request; load {os.getloadavg()[0]:.1f}")
    show(f"{GENE}, empty cache", first, options.mbit, options.latency)
    show(f"{SECOND}, the same folder", second, options.mbit, options.latency)
    print(f"\n{ON_PAGE[-1]}, on a page that has scored {ON_PAGE[0]}: {statistics.median(on_page):.0f} s on the clock")
    sizes = {use: made[use].stat().st_size for use in USES}
    print("\nplain download of the same files")
    for use, size in sizes.items():
        print(f"{use:<12} {human(size):>8} {size * 8 / (options.mbit * 1e6):>8.0f} s")
    print(f"{'all':<12} {human(sum(sizes.values())):>8} {sum(sizes.values()) * 8 / (options.mbit * 1e6):>8.0f} s")
    print(f"measured for {DOWNLOADED}: {whole:.0f} s")
    if options.json:
        options.json.write_text(
            json.dumps({"first": first, "second": second, "on_page": on_page, "sizes": sizes, "whole": whole}, indent=1)
        )


if __name__ == "__main__":
    main()
