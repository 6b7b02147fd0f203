"""Windows read per second, by kind of file, compared with the same files read with bare pyBigWig and pysam.

    python benchmarks/windows.py [--data FOLDER] [--windows 50] [--length 200000] [--processes 2] [--json FILE]

A window has bases, two bigWigs and contact to its start site. FASTA, sparse bigWig and .mcool are the real files of
--data (chromosome 22) where given, else simulated; the bigWig with a random value at every base, the worst case, is
simulated; .hic and stored contact hold the numbers of the map. Each process reads its share of the windows; the time is
that of the slowest process, without its start. Bare pyBigWig and pysam read bases and bigWigs only and encode nothing.
CPU ms is the time of one core per window, which is more reliable than the clock on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pyBigWig
import pysam

from model_core.signals.hic import HicSignal
from model_core.signals.hic_vectors import StoredContact, site_key, write_index
from model_core.signals.signal import BigWigSignal
from model_core.study.genome import Genome
from model_core.study.windows import WindowReader
from model_core.window import Window

CHROM, REGION, BIN, ROUNDS = "chr22", (16_000_000, 26_000_000), 5_000, 3
BARE = "none; bare pyBigWig and pysam"
REAL = {"fasta": "hg38.chr22.partial.fa.gz", "sparse": "K562.DNase.reconstructed.bigWig", "map": "K562.hic.chr22.mcool"}
# hictkpy keeps a core busy once it is imported, so that another process writes.
WRITE_MAP = """
import sys
import hictkpy, numpy as np, pandas as pd
pixels, target, size, resolution = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
table = pd.DataFrame(np.load(pixels), columns=["bin1_id", "bin2_id", "count"])
if target.endswith(".hic"):
    writer = hictkpy.hic.FileWriter(target, {"chr22": size}, [resolution])
else:
    writer = hictkpy.cooler.FileWriter(target, {"chr22": size}, resolution)
writer.add_pixels(table)
writer.finalize()
"""


def write_map(folder: Path, name: str, pixels: np.ndarray, size: int) -> Path:
    """Write a .cool or .hic of pixels, int64 (pixels, 3): bin1, bin2, count; return its path."""
    np.save(folder / "pixels.npy", pixels)
    words = [sys.executable, "-c", WRITE_MAP, folder / "pixels.npy", folder / name, str(size), str(BIN)]
    subprocess.run(words, check=True, capture_output=True)
    return folder / name


def simulate(folder: Path, rng: np.random.Generator) -> dict[str, Path]:
    """Write a simulated FASTA, sparse bigWig and .cool; return their paths by kind."""
    size = REGION[1] + 1_000_000
    letters = np.full(size, ord("N"), np.uint8)
    letters[slice(*REGION)] = rng.choice(np.frombuffer(b"ACGT", np.uint8), REGION[1] - REGION[0])
    lines = (letters[i : i + 60].tobytes() for i in range(0, size, 60))
    (folder / "genome.fa").write_bytes(f">{CHROM}\n".encode() + b"\n".join(lines) + b"\n")
    starts = np.sort(rng.choice(np.arange(*REGION, 50), 40_000, replace=False))
    with pyBigWig.open(str(folder / "sparse.bw"), "w") as file:
        file.addHeader([(CHROM, size)])
        values = rng.gamma(1, 2, len(starts)).tolist()
        file.addEntries([CHROM] * len(starts), starts.tolist(), ends=(starts + 40).tolist(), values=values)
    first = np.repeat(np.arange(REGION[0] // BIN, REGION[1] // BIN), 41)
    pixels = np.stack([first, first + np.tile(np.arange(41), len(first) // 41), rng.poisson(5, len(first)) + 1], 1)
    return {
        "fasta": folder / "genome.fa",
        "sparse": folder / "sparse.bw",
        "map": write_map(folder, "map.cool", pixels, size),
    }


def signals(folder: Path, files: dict[str, Path], windows: list[Window], rng: np.random.Generator) -> dict:
    """Return readers of bigWigs and of contacts, by kind of file."""
    size = Genome(files["fasta"]).sizes[CHROM]
    with pyBigWig.open(str(folder / "dense.bw"), "w") as file:
        file.addHeader([(CHROM, size)])
        for start in range(*REGION, 1_000_000):
            values = rng.gamma(0.5, 2, 1_000_000).astype(np.float32)
            file.addEntries(CHROM, start, values=values, span=1, step=1)
    bigwigs = {
        "sparse bigWig": BigWigSignal("a", files["sparse"]),
        "dense bigWig": BigWigSignal("b", folder / "dense.bw"),
    }
    with h5py.File(files["map"]) as file:
        group = file[f"resolutions/{BIN}"] if "resolutions" in file else file
        pixels = np.stack([group["pixels"][name][:] for name in ("bin1_id", "bin2_id", "count")], 1).astype(np.int64)
    cooler = HicSignal("c", files["map"], BIN, "NONE")
    made = HicSignal("c", write_map(folder, "map.hic", pixels, size), BIN, "NONE", cache=folder)
    made.prepare()
    with h5py.File(folder / "contact.h5", "w") as file:
        for window in windows:
            key = site_key(window.chrom, window.tss)
            if key not in file:
                file[key] = (10 ** cooler.read(window).astype(float) - 1).clip(0).astype(np.float32)
    write_index(folder / "x.contact.json", {CHROM: folder / "contact.h5"}, {CHROM: size})
    with pyBigWig.open(str(folder / "contact.bw"), "w") as file:
        file.addHeader([(CHROM, size)])
        file.addEntries(CHROM, REGION[0], values=rng.gamma(1, 1, (REGION[1] - REGION[0]) // BIN), span=BIN, step=BIN)
    contacts = {
        files["map"].suffix: cooler,
        ".hic": made,
        "stored vectors (.contact.json)": StoredContact("c", folder / "x.contact.json"),
        "bigWig": BigWigSignal("c", folder / "contact.bw"),
    }
    return {"bigwigs": bigwigs, "contacts": contacts}


def bare(fasta: Path, bigwig: Path, windows: list[Window]) -> None:
    """Read the same regions of the same files, without encoding them."""
    bases = pysam.FastaFile(str(fasta))
    files = [pyBigWig.open(str(bigwig)) for _ in range(2)]
    for window in windows:
        bases.fetch(window.chrom, window.start, window.end)
        for file in files:
            file.values(window.chrom, window.start, window.end, numpy=True)


def ours(reader: WindowReader, windows: list[Window]) -> None:
    """Read the windows as the model's input."""
    for window in windows:
        reader.read(window)


def timed(work, windows: list[Window], barrier, answers) -> None:
    """Run `work` on its first window, then together with the other processes; put its seconds into the queue."""
    work(windows[:1])
    barrier.wait()
    began, busy = time.perf_counter(), time.process_time()
    work(windows)
    answers.put((time.perf_counter() - began, time.process_time() - busy))


def measure(work, windows: list[Window], processes: int) -> tuple[float, float]:
    """Measure (windows per second, CPU ms per window) of `processes` that share the windows."""
    barrier, answers = multiprocessing.Barrier(processes), multiprocessing.Queue()
    shares = [windows[i::processes] for i in range(processes)]
    started = [multiprocessing.Process(target=timed, args=(work, share, barrier, answers)) for share in shares]
    for process in started:
        process.start()
    clock, busy = zip(*(answers.get() for _ in started), strict=True)
    for process in started:
        process.join()
    return len(windows) / max(clock), 1000 * sum(busy) / len(windows)


def main() -> None:
    """Measure all kinds in turn, ROUNDS times, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real files of chromosome 22 (default: simulated)")
    parser.add_argument("--windows", type=int, default=50)
    parser.add_argument("--length", type=int, default=200_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    margin = options.length // 2 + 1
    places = np.linspace(REGION[0] + margin, REGION[1] - margin, options.windows).astype(int).tolist()
    windows = [Window(CHROM, place, "+", options.length) for place in places]
    real = options.data is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {kind: options.data / file for kind, file in REAL.items()} if real else simulate(folder, rng)
        found = signals(folder, files, windows, rng)
        genome = Genome(files["fasta"])
        works = {}
        for kind, bigwig in found["bigwigs"].items():
            works[kind, BARE] = partial(bare, files["fasta"], bigwig.path)
            for contact, signal in found["contacts"].items():
                works[kind, contact] = partial(ours, WindowReader(genome, [bigwig, bigwig, signal]))
        rounds = []
        for _ in range(ROUNDS):
            rounds.append({key: measure(work, windows, options.processes) for key, work in works.items()})
    medians = {key: np.median([found[key] for found in rounds], axis=0).tolist() for key in works}
    rows = []
    for (kind, contact), (rate, busy) in medians.items():
        times = busy / medians[kind, BARE][1]
        rows.append({"bigwigs": kind, "contact": contact, "per_second": rate, "cpu_ms": busy, "times_bare": times})
    origin = f"{options.data.name}, dense bigWig simulated" if real else "simulated files"
    print(f"{options.windows} windows of {options.length:,} bp on {options.processes} processes, medians of {ROUNDS}")
    print(origin)
    print(f"{'two of':>14}  {'contact':<36} {'windows/s':>9} {'CPU ms':>7}  times bare")
    for row in rows:
        rate = f"{row['per_second']:9.0f} {row['cpu_ms']:7.1f}"
        print(f"{row['bigwigs']:>14}  {row['contact']:<36} {rate}  {row['times_bare']:.1f}")
    if options.json:
        asked = {"windows": options.windows, "length": options.length, "processes": options.processes}
        options.json.write_text(json.dumps({**asked, "files": origin, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
