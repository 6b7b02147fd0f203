"""Scoring with an additive model: bytes per gene of each array of a run, and processor time per gene.

    python benchmarks/stored_effects.py [--genes 6] [--window 200000] [--members 5] [--folder DIR]

Genes of a simulated study are scored on the CPU with a model of random weights, whose effects have as many digits as
those of a trained one; contact is the power law, so that no effect is 0. The time is that of the whole process between
two counts of genes, so that starting does not count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from model_core.model.build import build_model
from model_core.model.checkpoint import save_checkpoint
from model_core.scoring.score import choose_genes, run_for, score
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import World
from model_core.study.study import load_study
from model_core.window import Site


def with_power_law(study: Path) -> None:
    """Take the contact from the power law, which reaches over the whole window; a simulated map does not."""
    parts = study.read_text().split("\n\n")
    of_map = ("path", "resolution", "normalisation", "pseudocount")
    for number, part in enumerate(parts):
        if "contacts.mcool" in part:
            lines = [line for line in part.splitlines() if line.split(" ")[0] not in of_map]
            parts[number] = "\n".join([*lines, 'path = "powerlaw"'])
    study.write_text("\n\n".join(parts))


def main() -> None:
    """Score, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, default=6)
    parser.add_argument("--window", type=int, default=200_000)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="for the study, which is used again; by default a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch) / "study"
        if not (folder / "study.toml").exists():
            simulate_study(folder, 1, World(genes=(100, 100, 100)))
            with_power_law(folder / "study.toml")
        study = load_study(folder / "study.toml")
        torch.manual_seed(0)
        settings = {"window": given.window, "promoter": given.window // 100, "members": given.members}
        model = build_model(study.config(variant="causal", **settings))
        metadata = {
            "signals": [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs],
            "feature_scale": study.feature_scale().to_dict(),
            "signal_quantiles": {},
        }
        checkpoint = Path(scratch) / "model.safetensors"
        save_checkpoint(checkpoint, model, metadata)
        chrom, size = max(study.genome().sizes.items(), key=lambda item: item[1])
        step = (size - given.window) // given.genes
        sites = [Site(chrom, given.window // 2 + step * i, "+-"[i % 2]) for i in range(given.genes)]
        genes = choose_genes(study.genes(), sites=sites)
        seconds = {}
        for count in (1, given.genes):  # the first compiles and opens
            run = run_for(study, checkpoint, Path(scratch) / f"run{count}")
            began = time.process_time()
            score(run, study, genes.head(count), checkpoint, "cpu", workers=0)
            seconds[count] = time.process_time() - began
        sizes: Counter[str] = Counter()
        for chunk in (run.path / "masks.zarr").glob("*/c.*"):
            sizes[chunk.parent.name] += chunk.stat().st_size
        per_gene = {name: round(total / given.genes) for name, total in sorted(sizes.items())}
        taken = (seconds[given.genes] - seconds[1]) / (given.genes - 1)
        print(json.dumps({**vars(given), "folder": None, "size": size, "bytes_per_gene": per_gene, "cpu": taken}))


if __name__ == "__main__":
    main()
