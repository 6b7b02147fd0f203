"""Scoring a study: the model's share of the time, and whether memory grows with the number of genes.

    python benchmarks/score.py [--genes 40] [--window 8192] [--width 32] [--depth 2] [--batch-size 1]
                               [--device cpu] [--workers N] [--checkpoint FILE] [--json FILE]

A simulated study (FASTA, two bigWigs, Hi-C as .mcool) is scored at --genes sites all over its genome into a new run
folder, and then at four times as many. Scoring is compared with the model alone, on windows in memory and without
output files. Each number of genes has a separate process, which runs both after a first batch that does not count.
Other seconds: loading the model, comparing quantiles of the signals, assembling elements and tracks. Linux only, for
the memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from model_core.model.checkpoint import choose_device, load_with_metadata, save_checkpoint
from model_core.model.seq2exp import Seq2Exp
from model_core.scoring.predict import scored
from model_core.scoring.score import choose_genes, run_for, score
from model_core.simulation.simulate import simulate_study
from model_core.study.check_tracks import QUANTILE_WINDOWS, signal_quantiles
from model_core.study.study import Study, load_study
from model_core.training.dataset import GeneWindows, batches
from model_core.window import Site

FOR_THE_PEER = 24  # windows held in memory


def untrained(path: Path, study: Study, options: argparse.Namespace) -> Path:
    """Write a checkpoint of a model with random weights and return its path."""
    torch.manual_seed(0)
    sizes = {"window": options.window, "promoter": options.window // 100, "d_model": options.width}
    metadata = {
        "signals": [{"name": signal.name, "transform": signal.transform} for signal in study.signal_specs],
        "feature_scale": study.feature_scale().to_dict(),
        "signal_quantiles": signal_quantiles(study.signals(), study.windows(study.genes()), QUANTILE_WINDOWS),
    }
    save_checkpoint(path, Seq2Exp(study.config(**sizes, n_layers=options.depth)), metadata)
    return path


def memory(what: str) -> int:
    """Return the memory of this process in bytes: VmRSS (now) or VmHWM (peak)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(what))


def measure(count: int, study: Path, checkpoint: Path, out: Path, options: argparse.Namespace, answers) -> None:
    """Score `count` sites; put times and memory into the queue."""
    source = load_study(study)
    rng = np.random.default_rng(count)
    sizes = source.genome().sizes
    chroms = rng.choice(list(sizes), count, p=np.array(list(sizes.values())) / sum(sizes.values()))
    places = {(str(chrom), int(rng.integers(sizes[chrom]))) for chrom in chroms}
    genes = choose_genes(source.genes(), sites=[Site(*place, "+") for place in sorted(places)])
    model, _ = load_with_metadata(checkpoint, options.device)
    data = GeneWindows(source, genes.head(FOR_THE_PEER), model.config, source.feature_scale())
    ready = list(batches(data, options.batch_size, pin=choose_device(options.device).type == "cuda"))

    def alone() -> float:
        began = time.perf_counter()
        for result in list(scored(model, ready)):
            result.arrays()
        return (time.perf_counter() - began) / len(data) * len(genes)

    alone()
    run = run_for(source, checkpoint, out)
    peer = [alone()]
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, began = memory("VmRSS"), time.perf_counter()
    run = score(run, source, genes, checkpoint, options.device, options.batch_size, options.workers)
    whole, peak = time.perf_counter() - began, memory("VmHWM") - before
    peer.append(alone())
    found = {"genes": len(genes), "model_seconds": float(np.mean(peer)), "whole_seconds": whole, "memory": peak}
    answers.put(found | run.metrics["scoring"])


def main() -> None:
    """Measure both numbers of genes and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"genes": 40, "window": 8192, "width": 32, "depth": 2, "batch-size": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--checkpoint", type=Path, help="checkpoint with the study's signals (default: random weights)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = simulate_study(folder, seed=0)
        checkpoint = options.checkpoint or untrained(folder / "model.safetensors", load_study(study), options)
        context = multiprocessing.get_context("spawn")
        for count in (options.genes, 4 * options.genes):
            answers = context.Queue()
            words = (count, study, checkpoint, folder / f"run{count}", options, answers)
            process = context.Process(target=measure, args=words)
            process.start()
            rows.append(answers.get(timeout=3600))
            process.join()
    shape = "given" if options.checkpoint else f"{options.window:,} bp, width {options.width}, depth {options.depth}"
    print(f"model: {shape}; {rows[0]['device']}, batches of {options.batch_size}; FASTA, two bigWigs, .mcool")
    print("genes  windows/s  scoring s  model alone s  model/scoring  waits: windows s  disk s  other s  memory MB")
    for row in rows:
        row["model_share"] = row["model_seconds"] / row["seconds"]
        other = row["whole_seconds"] - row["seconds"]
        numbers = f"{row['genes'] / row['seconds']:10.1f} {row['seconds']:10.1f} {row['model_seconds']:14.1f}"
        waits = f"{row['waited_for_windows_seconds']:16.1f} {row['waited_for_disk_seconds']:7.1f}"
        memory_mb = row["memory"] / 1e6
        print(f"{row['genes']:5} {numbers} {row['model_share']:14.2f} {waits} {other:8.1f} {memory_mb:10.0f}")
    if options.json:
        asked = {name: value for name, value in vars(options).items() if not isinstance(value, Path)}
        options.json.write_text(json.dumps({**asked, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
