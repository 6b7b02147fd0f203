"""Small real run folders for tests."""

from pathlib import Path

import numpy as np
import pandas as pd

from model_core.run_folder.run import Run


def make_run(
    folder: str | Path,
    genes: int = 3,
    window: int = 2000,
    promoter: int = 200,
    seed: int = 0,
    *,
    resolution: int = 1,
    variant: str = "soft",
    blacklist: pd.DataFrame | None = None,
) -> Run:
    """A run of `genes` genes G0, G1, ... (symbols GENE0, ...) with random alpha and beta.

    They go to chr1 and chr2 in turn, alternate in strand, and neighbours' windows overlap by half. The last
    gene has no observed value. Not assembled: call `assemble` where elements and tracks are needed.
    """
    rng = np.random.default_rng(seed)
    size = window * (genes + 2)
    run = Run.create(
        folder,
        window=window,
        promoter=promoter,
        chrom_sizes={"chr1": size, "chr2": size},
        variant=variant,
        resolution=resolution,
        name="tiny",
        seed=seed,
        blacklist=blacklist,
        asked=genes,
        resolved={"name": "tiny", "assembly": "none"},
        config={"model": {"variant": variant, "window": window, "promoter": promoter}},
    )
    with run.writing():
        for i in range(genes):
            run.append(gene_row(i, genes, window, rng), *random_masks(window, rng))
    return run


def gene_row(i: int, genes: int, window: int, rng: np.random.Generator) -> dict:
    """What a scorer knows of gene number i."""
    return {
        "gene_id": f"G{i}",
        "symbol": f"GENE{i}",
        "chrom": f"chr{1 + i % 2}",
        "tss": window + (i // 2) * window // 2,
        "strand": "+-"[i % 2],
        "split": ("train", "validation", "test")[i % 3],
        "observed": None if i == genes - 1 else float(rng.uniform(0, 3)),
        "predicted": float(rng.uniform(0, 3)),
    }


def random_masks(window: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(alpha, beta), float32 (window,): a low noisy mask with two hills on either side of the promoter."""
    places = np.arange(window) / window
    centres = np.array([0.1, 0.3, 0.7, 0.9]) + rng.uniform(-0.08, 0.08, 4)
    heights = rng.uniform(20, 30, 4)
    hills = (heights[:, None] * np.exp(-(((places - centres[:, None]) * 40) ** 2))).sum(axis=0)
    return (rng.uniform(1.5, 2.5, window) + hills).astype(np.float32), np.full(window, 14, np.float32)
