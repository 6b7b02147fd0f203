"""Training step compared with the forward pass of the same window, and its peak memory.

    python benchmarks/train_step.py [--lengths 8192 32768] [--runs 3]

Paper size (width 128, 4 + 4 blocks), soft, float32, one window: draw of z, loss, backward. Each length runs in a
separate process, so that its peak memory can be measured. Times are medians; 200,000 bp takes a few minutes on two
cores.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

import torch
from model import in_turn, inputs

from model_core.config import recipe
from model_core.model.device import keep_freed_memory
from model_core.model.gene_model import loss_terms
from model_core.model.seq2exp import Seq2Exp
from model_core.training.train import LARGEST_KEPT


def measure(length: int, runs: int) -> dict:
    """Measure the seconds of a forward pass and of a training step, and peak memory, in this process."""
    keep_freed_memory(LARGEST_KEPT)  # as training does
    torch.manual_seed(0)
    config = recipe("soft", window=length)
    model, genes, label = Seq2Exp(config), inputs(length), torch.ones(1)

    def forward():
        with torch.no_grad():
            model(*genes)

    def step():
        model.zero_grad()
        loss_terms(model(*genes, sample=True), label, config)["loss"].backward()

    found = {"length": length}
    found["forward_s"], found["step_s"] = in_turn([forward, step], runs)
    found["ratio"] = found["step_s"] / found["forward_s"]
    found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[8_192, 32_768])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.one:
        print(json.dumps(measure(a.one, a.runs)))
        return
    print("length      forward       step   ratio   peak GiB")
    for length in a.lengths:
        words = [sys.executable, __file__, "--one", str(length), "--runs", str(a.runs)]
        row = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        times = f"{row['forward_s']:10.2f} s {row['step_s']:8.2f} s {row['ratio']:7.2f}"
        print(f"{length:7,} {times} {row['peak_gib']:10.2f}", flush=True)


if __name__ == "__main__":
    main()
