"""Time and memory of `compare` on simulated masks of 200 kb windows: python benchmarks/compare.py.

Masks, signals, peaks and genes are simulated; no model runs. With fewer genes than 2,000 the time for 2,000 genes is
extrapolated in proportion, as every gene costs the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyBigWig

from model_core.evaluation.compare import compare
from model_core.run_folder.assemble import assemble
from model_core.run_folder.run import Run
from model_core.study.study import load_study

WINDOW, PROMOTER, SPACING, BIN = 200_000, 2_000, 40_000, 20
ASKED = 2_000  # genes of the claim
STUDY = """\
schema = 1
name = "made-up"
assembly = "none"
simulated = true
[genome]
fasta = "genome.fa"
annotation = "genes.gtf"
[genes]
table = "genes.tsv"
symbol = "symbol"
label = "label"
label_transform = "none"
[genes.features]
UTR5LEN = "feature"
CDSLEN = "feature"
INTRONLEN = "feature"
UTR3LEN = "feature"
UTR5GC = "feature"
CDSGC = "feature"
UTR3GC = "feature"
ORFEXONDENSITY = "feature"
[[signals]]
name = "H3K27ac"
path = "H3K27ac.bw"
prior = { b = 1.5, w = 0.5 }
[[signals]]
name = "DNase"
path = "DNase.bw"
prior = { b = 0.2, w = 0.5 }
[peaks]
name = "MACS3"
narrowpeak = "MACS3.narrowPeak"
"""


def make_study(folder: Path, genes: int, rng: np.random.Generator) -> Path:
    """Write a study of one chromosome: a hill of signal with a peak every few kb, and genes; return its study.toml."""
    size = SPACING * (genes + 8)
    (folder / "genome.fa").write_bytes(
        b">chr1\n" + rng.choice(np.frombuffer(b"ACGT", np.uint8), size).tobytes() + b"\n"
    )
    places = 4 * SPACING + SPACING * np.arange(genes)
    rows = [f"G{i}\tG{i}\tchr1\t{tss}\t{'+-'[i % 2]}\t{rng.uniform(0, 3):.3f}\t1.0" for i, tss in enumerate(places)]
    (folder / "genes.tsv").write_text("\n".join(["gene_id\tsymbol\tchrom\ttss\tstrand\tlabel\tfeature", *rows]) + "\n")
    (folder / "genes.gtf").write_text(
        'chr1\tmade\texon\t160001\t160400\t.\t+\t.\tgene_id "G0"; transcript_id "G0.1";\n'
    )
    centres = np.cumsum(rng.integers(2_000, 6_000, size // 4_000))
    centres = centres[centres < size - 1_000]
    lines = [
        f"chr1\t{c - 250}\t{c + 250}\tp{i}\t0\t.\t{rng.uniform(2, 20):.2f}\t-1\t-1\t250" for i, c in enumerate(centres)
    ]
    (folder / "MACS3.narrowPeak").write_text("\n".join(lines) + "\n")
    for name, reach in (("H3K27ac", 800), ("DNase", 250)):
        values = rng.gamma(2, 0.1, size // BIN).astype(np.float32)
        for centre, height in zip(centres, rng.gamma(3, 3, len(centres)), strict=True):
            values[(centre - reach) // BIN : (centre + reach) // BIN] += height
        with pyBigWig.open(str(folder / f"{name}.bw"), "w") as file:
            file.addHeader([("chr1", size)])
            file.addEntries("chr1", 0, values=values.astype(float), span=BIN, step=BIN)
    (folder / "study.toml").write_text(STUDY)
    return folder / "study.toml"


def make_run(folder: Path, study_file: Path, rng: np.random.Generator) -> Run:
    """Make a run whose masks follow the first signal's hills, with noise at every base as in a model's masks."""
    study = load_study(study_file)
    config = study.config(variant="soft", window=WINDOW, promoter=PROMOTER)
    lengths = {"window": WINDOW, "promoter": PROMOTER}
    described = {"study": study_file, "config": {"model": config.to_dict()}, "resolved": study.resolved()}
    run = Run.create(folder, **lengths, chrom_sizes=study.genome().sizes, simulated=True, **described)
    signal = study.signals()[0]
    with run.writing():
        for gene in study.gene_sites().to_dict("records"):
            start = gene["tss"] - WINDOW // 2
            alpha = 11 + 5 * signal.values("chr1", start, start + WINDOW) + rng.random(WINDOW)
            gene |= {"observed": gene["label"], "predicted": gene["label"] + rng.normal(0, 0.4)}
            run.append(gene, alpha, np.full(WINDOW, 20.0))
    assemble(run, study.peaks_path(), track_resolution=64)
    return run


def measured(run: Path, what: str) -> dict:
    """Measure seconds and peak memory (MB) in a new process: "floor" reads all masks, "compare" compares."""
    words = [sys.executable, __file__, "--inside", what, str(run)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def inside(what: str, path: Path) -> None:
    """Do `what` in this process and print seconds and memory as JSON."""
    run, began, used = Run.open(path), time.perf_counter(), time.process_time()
    if what == "floor":
        for name in run.genes["gene_id"]:
            run.mask(name).mean.sum()
    else:
        compare(run)
    spent = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
    print(json.dumps({**spent, "mb": peak_mb()}))


def peak_mb() -> float:
    """Return the peak memory of this process (MB); on Linux without the memory of its parent process."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    """Make a run, read its masks, compare it, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", nargs=2, metavar=("WHAT", "RUN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside[0], Path(options.inside[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        run = make_run(Path(folder) / "run", make_study(Path(folder), options.genes, rng), rng)
        found = {what: measured(run.path, what) for what in ("floor", "compare")}
    print(f"{options.genes:,} genes x {WINDOW:,} bp, one process")
    for what, label in (("floor", "reading the masks alone"), ("compare", "compare")):
        numbers = found[what]
        print(f"{label}: {numbers['seconds']:.1f} s, {numbers['cpu']:.1f} s of them CPU time, {numbers['mb']:.0f} MB")
    print(f"CPU time of compare over reading: {found['compare']['cpu'] / found['floor']['cpu']:.1f}")
    if options.genes < ASKED:
        minutes = (found["compare"][key] / options.genes * ASKED / 60 for key in ("seconds", "cpu"))
        print("{:,} genes, extrapolated: {:.1f} minutes, {:.1f} of them CPU time".format(ASKED, *minutes))
    if options.json:
        options.json.write_text(json.dumps({"genes": options.genes, **found}, indent=1))


if __name__ == "__main__":
    main()
