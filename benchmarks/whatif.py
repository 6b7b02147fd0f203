"""Cost of a what-if: one gene's mask is computed once, then the predictor alone for each changed mask.

    python benchmarks/whatif.py [--window 200000] [--kept 0.1] [--runs 3] [--device cpu]

Weights and window are random, as the time depends on neither. `mask`: the generator, once per gene. `question`: one
changed mask, median of `runs`. The hard model reads only the kept bases, a share `kept` of the window. Ranking and
occlusion predict `blocks` masks at once; the time is per mask.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import torch

from model_core.config import recipe
from model_core.model.seq2exp import Seq2Exp
from model_core.perturbation.what_if import WhatIf
from model_core.training.dataset import Batch
from model_core.window import Window


def window_of(length: int, signals: int, features: int) -> Batch:
    """Return a batch of one random window."""
    letters = torch.randint(0, 4, (1, length))
    hidden = torch.zeros(1, length, dtype=torch.bool)
    sequence = torch.nn.functional.one_hot(letters, 4).to(torch.uint8)
    rest = torch.rand(1, length, signals) * 3, torch.randn(1, features), hidden, hidden, torch.zeros(1)
    return Batch(torch.zeros(1, dtype=torch.long), sequence, *rest)


def masks_of(count: int, length: int, kept: float) -> np.ndarray:
    """Return masks (count, length) of 0 and 1 in blocks of 500 bp, a share `kept` of them 1; the middle is always 1."""
    rng = np.random.default_rng(0)
    blocks = rng.random((count, -(-length // 500))) < kept
    masks = np.repeat(blocks, 500, axis=1)[:, :length].astype(np.float32)
    masks[:, length // 2 - 1000 : length // 2 + 1000] = 1
    return masks


def seconds(call) -> float:
    """Measure the time of one call in seconds, including the device's work."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measured(variant: str, a: argparse.Namespace) -> dict:
    """Measure the times of one variant at the paper's width and depth."""
    torch.manual_seed(0)
    config = recipe(variant, window=a.window)
    model = Seq2Exp(config).to(a.device).eval()
    gene = WhatIf(
        model,
        window_of(a.window, len(config.signals), config.predictor.n_gene_features),
        Window("chr1", 0, "+", a.window),
    )
    masks = masks_of(a.runs + 1, a.window, a.kept)
    found = {"variant": variant, "mask_s": seconds(lambda: gene.mask)}
    seconds(lambda: gene.predicted(masks[:1]))  # kernels are compiled
    found["question_s"] = statistics.median(
        seconds(lambda i=i: gene.predicted(masks[i : i + 1])) for i in range(1, a.runs + 1)
    )
    many = masks_of(a.blocks, a.window, a.kept)
    found["each_of_many_s"] = seconds(lambda: gene.predicted(many)) / a.blocks
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"window": 200_000, "runs": 3, "blocks": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--kept", type=float, default=0.1)
    parser.add_argument("--device", default="cpu")
    a = parser.parse_args()
    rows = [measured(variant, a) for variant in ("soft", "hard", "causal")]
    for row in rows:
        print(
            "  ".join(f"{key} {value:.3f}" if isinstance(value, float) else f"{value:8}" for key, value in row.items())
        )
    print(json.dumps({**vars(a), "threads": torch.get_num_threads(), "rows": rows}))


if __name__ == "__main__":
    main()
