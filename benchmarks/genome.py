"""Bases of random 200 kb windows: the genome's reader, pyfaidx and pysam, plain and bgzipped; medians and their ratio.

    python benchmarks/genome.py [--data FOLDER] [--windows 200] [--length 200000] [--json FILE]

Each window is read by each reader in turn; the order changes from window to window, and no window is read twice. The
real sequence is that of --data (chromosome 22, known in parts between 16 and 26 Mb), where given; the simulated one is
60 Mb of random bases, as whole genomes have few long regions of N. pyfaidx reads a bgzipped file only with
biopython.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyfaidx
import pysam

from model_core.study.genome import Genome

REAL, CHROM = "hg38.chr22.partial.fa.gz", "chr22"
KNOWN = {"real": (16_000_000, 26_000_000), "simulated": (0, 60_000_000)}


def simulate(path: Path, rng: np.random.Generator) -> None:
    """Write a FASTA of random bases in lines of 60."""
    lines = np.full((KNOWN["simulated"][1] // 60, 61), ord("\n"), np.uint8)
    lines[:, :60] = rng.choice(np.frombuffer(b"ACGT", np.uint8), (len(lines), 60))
    path.write_bytes(f">{CHROM}\n".encode() + lines.tobytes())


def readers(path: Path) -> dict[str, Callable[[int, int], str]]:
    """Return functions (start, end) -> bases by name of the reader, without those that cannot read the file."""
    genome, fasta = Genome(path), pysam.FastaFile(str(path))
    found = {
        "ours": lambda start, end: genome.sequence(CHROM, start, end),
        "pysam": lambda start, end: fasta.fetch(CHROM, start, end).upper(),
    }
    try:
        faidx = pyfaidx.Faidx(str(path), as_raw=True, sequence_always_upper=True)
        found["pyfaidx"] = lambda start, end: faidx.fetch(CHROM, start + 1, end)
    except ImportError:
        print(f"{path.name}: pyfaidx does not read it without biopython")
    return found


def measure(path: Path, starts: list[int], length: int) -> dict[str, float]:
    """Measure the median time per window in ms, by reader."""
    reading = readers(path)
    times: dict[str, list[float]] = {name: [] for name in reading}
    for number, start in enumerate(starts):
        turn = number % len(reading)
        bases = set()
        for name in [*list(reading)[turn:], *list(reading)[:turn]]:
            began = time.perf_counter()
            bases.add(reading[name](start, start + length))
            times[name].append(1000 * (time.perf_counter() - began))
        if len(bases) != 1:
            raise SystemExit(f"{path.name}: the readers differ at {start:,}")
    return {name: float(np.median(found)) for name, found in times.items()}


def main() -> None:
    """Measure each file and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of a real chromosome 22 (default: simulated alone)")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--length", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder / "simulated.fa", rng)
        if options.data is not None:
            with gzip.open(options.data / REAL) as packed, (folder / "real.fa").open("wb") as plain:
                shutil.copyfileobj(packed, plain)
        for kind, (first, last) in KNOWN.items():
            plain = folder / f"{kind}.fa"
            if not plain.exists():
                continue
            pysam.tabix_compress(str(plain), f"{plain}.gz")
            starts = rng.integers(first, last - options.length, options.windows).tolist()
            for path in (plain, Path(f"{plain}.gz")):
                rows.append({"file": path.name, **measure(path, starts, options.length)})
    print(f"median ms of {options.windows} random windows of {options.length:,} bp")
    print(f"{'':>16} {'ours':>7} {'pysam':>7} {'pyfaidx':>8}  pyfaidx / pysam")
    for row in rows:
        beside = row.get("pyfaidx", np.nan)
        times = f"{row['ours']:7.2f} {row['pysam']:7.2f} {beside:8.2f}"
        print(f"{row['file']:>16} {times}  {beside / row['pysam']:.2f}")
    if options.json:
        options.json.write_text(json.dumps({"windows": options.windows, "length": options.length, "rows": rows}))


if __name__ == "__main__":
    main()
