"""CPU scan compared with its definition in PyTorch: ratio of times in one process, and agreement.

    python benchmarks/scan.py [--length 8192] [--channels 256] [--states 16] [--runs 5]

Both compute the same selective scan in float32 on the same threads; the definition computes step by step, as the
released code does without its CUDA kernel. Times are medians; the exact values are those of the definition in
float64.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from model_core.model.kernels.scan import scan_definition, selective_scan


def seconds(call, runs: int) -> float:
    """Measure the median time of `call` in seconds, after one run that does not count."""
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def both_ways(scan, inputs):
    """Return a function that runs a scan forward and backward."""
    inputs = [t.detach().requires_grad_() for t in inputs]
    return lambda: torch.autograd.grad(scan(*inputs).sum(), inputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"length": 8192, "channels": 256, "states": 16, "runs": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    torch.manual_seed(0)
    u, delta, z = (torch.randn(1, a.length, a.channels) for _ in range(3))
    A = -torch.exp(torch.randn(a.channels, a.states) * 0.5 + 1)
    B, C = torch.randn(1, a.length, a.states), torch.randn(1, a.length, a.states)
    inputs = [u, delta - 3, A, B, C, torch.randn(a.channels), z]
    exact = scan_definition(*(t.double() for t in inputs))
    deviation = {
        name: float((scan(*inputs).double() - exact).norm() / exact.norm())
        for name, scan in (("kernel", selective_scan), ("definition", scan_definition))
    }
    found = {
        "length": a.length,
        "channels": a.channels,
        "states": a.states,
        "threads": torch.get_num_threads(),
        "forward_kernel_s": seconds(lambda: selective_scan(*inputs), a.runs),
        "forward_definition_s": seconds(lambda: scan_definition(*inputs), max(1, a.runs // 2)),
        "both_kernel_s": seconds(both_ways(selective_scan, inputs), a.runs),
        "both_definition_s": seconds(both_ways(scan_definition, inputs), 1),
        "deviation_from_float64": deviation,
    }
    found["forward_ratio"] = found["forward_definition_s"] / found["forward_kernel_s"]
    found["both_ratio"] = found["both_definition_s"] / found["both_kernel_s"]
    print(json.dumps(found, indent=2))
    print(
        f"\n{a.length:,} bp x {a.channels} channels x {a.states} states: the kernel is {found['forward_ratio']:.0f} "
        f"times as fast forward, {found['both_ratio']:.0f} times forward and backward; it deviates by "
        f"{deviation['kernel']:.1e} from float64 (the definition in float32: {deviation['definition']:.1e})"
    )


if __name__ == "__main__":
    main()
