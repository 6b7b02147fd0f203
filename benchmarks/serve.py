"""Time until `serve` answers, and its memory: python benchmarks/serve.py RUN [RUN ...]."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from seq2exp_viz.serve import bind

CODE = "import sys; from seq2exp_viz.serve import serve; serve(sys.argv[2:], port=int(sys.argv[1]), open_browser=False)"
TOUR = ("", "_dash-layout", "_dash-dependencies", "igv.js", "api/v1/runs")


def start(runs: list[Path]) -> tuple[subprocess.Popen, str, float]:
    """Start a server; return its process, its address, and the seconds until its page answered."""
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", CODE, str(port), *map(str, runs)], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).read()
            return process, address, time.perf_counter() - began
        except OSError:
            time.sleep(0.02)
    sys.exit("the server ended before it answered")


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1000


def browse(address: str, genes: int) -> None:
    """Request the page and, for the first genes of each run, mask, elements, contact and gene models."""
    for path in TOUR:
        urllib.request.urlopen(address + path).read()
    for run in json.load(urllib.request.urlopen(f"{address}api/v1/runs")):
        table = json.load(urllib.request.urlopen(f"{address}api/v1/{run['key']}/genes"))
        for gene in table[:genes]:
            view = json.load(urllib.request.urlopen(f"{address}api/v1/{run['key']}/view?gene={gene['gene_id']}"))
            for track in view["tracks"]:
                url = track["config"].get("url", "")
                if "/api/v1/" in url:
                    urllib.request.urlopen(address + url.lstrip("/")).read()


def main() -> None:
    """Start the server three times; print seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--genes", type=int, default=30, help="genes that are opened before memory is measured again")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seconds, fresh, used = [], [], []
    for _ in range(3):
        process, address, taken = start(options.runs)
        try:
            seconds.append(taken)
            fresh.append(resident_mb(process.pid))
            browse(address, options.genes)
            used.append(resident_mb(process.pid))
        finally:
            process.terminate()
            process.wait()
    result = {"ready_s": seconds, "memory_fresh_mb": fresh, "memory_used_mb": used}
    print(f"ready after {statistics.median(seconds):.2f} s (of 3: {', '.join(f'{x:.2f}' for x in seconds)})")
    print(f"memory {max(fresh):.0f} MB after the start, {max(used):.0f} MB after {options.genes} genes of each run")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
