"""Forward pass compared with its lower bound: the time of its matrix products alone, measured in the same process.

    python benchmarks/model.py [--length 200000] [--variants soft hard] [--runs 3] [--definition 8192] [--sweep]

Paper size (width 128, 4 + 4 blocks, 16 states), float32. The products are the 8 input, 16 low-rank, 16 step-size and 8
output projections of the soft model, one call each. `--definition`: at this length, also compared with the model whose
scan and convolution are the step-by-step definitions in PyTorch. `--sweep`: cost per base from 2,048 to 400,000 bp.
The hard model keeps a tenth of the window and is measured in turn with a soft one. Each length runs in a separate
process, so that its peak memory can be measured. Times are medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from model_core.config import recipe
from model_core.model import backbone
from model_core.model.device import keep_freed_memory
from model_core.model.kernels import scan
from model_core.model.seq2exp import Seq2Exp

LENGTHS = (2_048, 8_192, 16_384, 32_768, 65_536, 131_072, 200_000, 400_000)
KEPT = 0.1  # share of the window that the hard model keeps


def seconds(call, runs: int) -> float:
    """Measure the median time of `call` in seconds, after one run that does not count."""
    return in_turn([call], runs)[0]


def in_turn(calls, runs: int) -> list[float]:
    """Measure the median time of each call in seconds; the calls alternate, so that other load affects all alike."""
    times = [[] for _ in calls]
    for run in range(runs + 1):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if run:
                own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in times]


def inputs(length: int) -> list[torch.Tensor]:
    """Return random sequence (1, L, 4), signals (1, L, 3) and features (1, 9) of a gene."""
    generator = torch.Generator().manual_seed(0)
    sequence = torch.nn.functional.one_hot(torch.randint(4, (1, length), generator=generator), 4).float()
    return [sequence, torch.rand(1, length, 3, generator=generator) * 3, torch.randn(1, 9, generator=generator)]


def products(length: int):
    """Return a function that computes all matrix products of the soft model's backbones, on prepared tensors."""
    shapes = [(8, 128, 512), (16, 256, 40), (16, 8, 256), (8, 256, 128)]
    work = [(n, torch.randn(length, k), torch.randn(k, m), torch.empty(length, m)) for n, k, m in shapes]

    def call():
        for n, x, weight, out in work:
            for _ in range(n):
                torch.mm(x, weight, out=out)

    return call


def measure(variant: str, length: int, runs: int, with_definition: bool) -> dict:
    """Measure seconds and peak memory of one variant at one length, in this process."""
    keep_freed_memory()  # as the commands do
    torch.manual_seed(0)
    model = Seq2Exp(recipe(variant, window=length)).eval()
    genes = inputs(length)
    keep = None
    if variant == "hard":
        keep = torch.from_numpy((np.arange(length) % 10_000 < KEPT * 10_000).astype(np.float32))[None]
        keep[:, model.config.promoter_in(length)] = 1

    def whole():
        if keep is None:
            return model(*genes).expression
        model.mask_parameters(*genes[:2])  # its generator reads the whole window
        return model.predict(*genes, keep)

    with torch.no_grad():
        found = {"variant": variant, "length": length, "threads": torch.get_num_threads()}
        whole()
        found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rivals = [products(length)]
        if variant == "hard":
            soft = Seq2Exp(recipe("soft", window=length)).eval()
            rivals.append(lambda: soft(*genes))
        found["forward_s"], found["products_s"], *of_soft = in_turn([whole, *rivals], runs)
        if of_soft:
            found["soft_s"] = of_soft[0]
        found["ratio"] = found["forward_s"] / found["products_s"]
        found["microseconds_a_base"] = found["forward_s"] / length * 1e6
        if with_definition:
            backbone.block_cpu = scan.scan_cpu = scan.convolution_cpu = None
            start = time.perf_counter()
            whole()
            found["definition_s"] = time.perf_counter() - start
            found["times_as_fast"] = found["definition_s"] / found["forward_s"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=200_000)
    parser.add_argument("--variants", nargs="+", default=["soft", "hard"], choices=["soft", "hard"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--definition", type=int, metavar="LENGTH", help="length at which the definition also runs")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # variant, length and definition of a child process
    a = parser.parse_args()
    if a.one:
        variant, length, definition = json.loads(a.one)
        print(json.dumps(measure(variant, length, a.runs, definition)))
        return
    tasks = [(variant, a.length, False) for variant in a.variants]
    tasks += [("soft", a.definition, True)] if a.definition else []
    tasks += [("soft", length, False) for length in LENGTHS if length != a.length] if a.sweep else []
    rows = []
    for task in tasks:
        words = [sys.executable, __file__, "--one", json.dumps(task), "--runs", str(a.runs)]
        rows.append(json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
    print(json.dumps(rows, indent=1))
    print("\nvariant   length      forward   products   ratio   us/base   peak GiB")
    for row in rows:
        print(
            f"{row['variant']:7} {row['length']:9,} {row['forward_s']:10.2f} s {row['products_s']:8.2f} s"
            f" {row['ratio']:7.2f} {row['microseconds_a_base']:9.1f} {row['peak_gib']:10.2f}"
            + (f"   {row['times_as_fast']:.0f} times as fast as the definition" if "definition_s" in row else "")
            + (f"   {row['forward_s'] / row['soft_s']:.2f} of soft" if "soft_s" in row else "")
        )


if __name__ == "__main__":
    main()
