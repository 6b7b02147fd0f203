"""Recovery of planted causal elements: simulated worlds, models trained from one-hot sequence, rivals and oracles.

    python benchmarks/worlds.py --out worlds --worlds plain --world-seeds 1 --models causal --seeds 0
    python benchmarks/worlds.py                                              (prints the results that are there)

A cell is one model in one world: its results are one JSON file in benchmarks/results/worlds, and a cell whose file
exists is not computed again. The rivals of a world (signals, MACS3 peaks, boosted trees, oracles) are a cell of their
own, which needs no model; `--models` without a name computes these alone. Studies and runs are kept in OUT, and models
of one world and seed share one encoder.

Windows of 4,096 bp, 1,300 training genes, evaluated on 200 genes of a chromosome without training genes. `planted` has
the measures, `rivals` the rivals. World seeds from 11 on are for results; no recipe was chosen on them.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import rivals as rival
import torch
from planted import (
    Truth,
    Windows,
    agreement,
    agreement_of,
    assignment,
    assignment_difference,
    correlation_difference,
    differences,
    element_effects,
    measures,
    of_members,
    of_pairs,
    read_truth,
    read_windows,
    smoothed,
)
from sklearn.metrics import roc_auc_score
from world_tables import ASSIGNING, printed

from model_core.config import LOGIT_RECIPE, Seq2ExpConfig, TrainConfig, causal_stages
from model_core.files import replacing, write_json
from model_core.model.additive import AdditiveModel
from model_core.model.checkpoint import load_checkpoint
from model_core.model.motif_encoder import STEP
from model_core.perturbation.rank import choose_scored, occlusion_of
from model_core.perturbation.run_model import RunModel
from model_core.run_folder.run import Run
from model_core.scoring.score import choose_genes, score
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import WORLDS, World
from model_core.study.peaks import peaks_of_study
from model_core.study.study import Study, load_study
from model_core.training.train import begin_run, train

RESULTS = Path(__file__).parent / "results" / "worlds"
STAGES = {"pretrain_steps": 2_000, "block_steps": 350, "steps": 650, "batch_size": 8, "lr": 2e-3, "warmup": 20}
PLAIN = {"steps": 400, "batch_size": 8, "lr": 2e-3, "warmup": 20}
OWN = {"steps": 800, **causal_stages(800)}
LOGIT = {"variant": "causal", **LOGIT_RECIPE}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # model settings, training settings
    "causal": ({"variant": "causal"}, OWN),
    "soft": ({"variant": "soft"}, PLAIN),  # as published
    "hard": ({"variant": "hard"}, PLAIN),
    "logit": (LOGIT, STAGES),  # what `causal` was before
    "unmasked": ({**LOGIT, "mask": "all"}, STAGES),  # its occlusion is a rival
    "causal, one member": ({"variant": "causal", "members": 1}, OWN),
    "causal, no penalty": ({"variant": "causal", "sparsity": 0.0}, OWN),
    "causal, one strand": ({"variant": "causal", "both_strands": False}, OWN),
    "causal, random filters": ({"variant": "causal"}, {**OWN, "motif_seeds": 0}),
    "causal, linear response": ({"variant": "causal", "response": "linear"}, OWN),
    "causal, no contact": ({"variant": "causal", "contact": None}, OWN),
}
COMMON = {"lr_end": 1e-4, "validations_per_epoch": 1}
RIVALS = "rivals"  # the cell of what needs no model
LITTLE_CHANGE = 0.005  # of an effect, added to its error


class Place(NamedTuple):
    """One world with its study, and the windows of its test genes."""

    name: str
    seed: int
    world: World
    study: Study
    windows: Windows
    truth: Truth


def open_world(out: Path, name: str, seed: int) -> Place:
    """Return a world's study, simulated where it does not exist yet, with its peaks called and windows read."""
    folder, world = out / f"{name}-{seed}" / "study", WORLDS[name]
    if not (folder / "study.toml").exists():
        simulate_study(folder, seed=seed, world=world)
    study = load_study(folder / "study.toml")
    peaks_of_study(study)
    genes = study.genes()
    windows = read_windows(study, genes[genes["split"] == "test"], world.promoter)
    return Place(name, seed, world, study, windows, read_truth(study, windows))


def described(place: Place) -> dict[str, Any]:
    """Return what a result is of: world, its parameters' hash, seed, and the commit of the code."""
    of_world = sha256(repr(place.world).encode()).hexdigest()[:12]
    return {"world": place.name, "world_seed": place.seed, "parameters": of_world, "commit": commit()}


def commit() -> str:
    """Return the commit of the code; it ends with "dirty" where the code was changed since."""
    asked = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()


def judged(scores: dict[str, np.ndarray], place: Place) -> dict[str, dict[str, float | None]]:
    """Return COLUMNS of each score."""
    found = {}
    for name, values in scores.items():
        row = measures(values, place.windows, place.truth)
        row["assignment"] = assignment(values, place.windows, place.truth)
        found[name] = known(row)
    return found


def known(values: dict[str, float]) -> dict[str, float | None]:
    """Return the values with None for those that are unknown (NaN), which JSON has no number for."""
    return {key: None if math.isnan(value) else value for key, value in values.items()}


# ---- rivals


def rival_scores(out: Path, place: Place) -> dict[str, np.ndarray]:
    """Return the scores of all rivals of a world; they are computed once and kept in OUT."""
    kept = out / f"{place.name}-{place.seed}" / "rivals.npz"
    if not kept.exists():
        study, windows = place.study, place.windows
        genes = study.genes()
        train_windows = read_windows(study, genes[genes["split"] == "train"], place.world.promoter)
        scores = rival.of_signals(study, windows, study.peaks())
        train_truth = read_truth(study, train_windows)
        scores["trees (truth)"] = rival.trees_on_truth(study, train_windows, train_truth, windows)
        scores["trees (expression)"], _ = rival.trees_on_expression(study, train_windows, windows)
        scores["contact"] = rival.contact_of(study, windows)
        scores |= rival.oracles(study, place.world, windows, place.truth)
        with replacing(kept) as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, **scores)
    return stored_scores(kept)


def rival_cell(out: Path, place: Place) -> dict[str, Any]:
    """Return the results of the rivals of a world."""
    scores = rival_scores(out, place)
    effects = {
        name: known(agreement(scores[name], place.windows, place.truth)) for name in ("contact", "trees (expression)")
    }
    readme = (place.study.path.parent / "README.txt").read_text(encoding="utf-8")
    chance = float(readme.split("stands by chance at ")[1].split()[0])
    kinds = place.truth.pairs["kind"].where(~place.truth.pairs["causal"], "causal for its gene")
    counts = {str(kind): int(count) for kind, count in kinds.value_counts().items()}
    about = {"chance_sites_per_megabase": chance, "elements_in_windows": counts}
    return {**about, "scores": judged(scores, place), "effects": effects}


# ---- models


def trained(study: Study, config: Seq2ExpConfig, training: TrainConfig, out: Path) -> tuple[Run, float]:
    """Train a model; return its run and the minutes of the training, including those of its encoder.

    Models whose encoders are trained alike, with the same seed, share one.
    """
    run = begin_run(study, config, training, out)
    encoder = repr([asdict(config.backbone), training.pretrain_steps, training.motif_seeds, training.pretrain_crops])
    shared = out.parent / f"encoder-{training.seed}-{sha256(encoder.encode()).hexdigest()[:12]}.safetensors"
    own = out / "training" / "pretrained.safetensors"
    borrowed = 0.0
    if shared.exists() and not own.exists():
        shutil.copy(shared, own)
        borrowed = json.loads(shared.with_suffix(".json").read_text())["seconds"]
    started = time.monotonic()
    run = train(study, config, training, out)
    seconds = time.monotonic() - started
    if own.exists() and not shared.exists():
        write_json(shared.with_suffix(".json"), {"seconds": seconds - run.metrics["training"]["seconds"]})
        with replacing(shared) as unfinished:
            shutil.copy(own, unfinished)
    if not (out / "minutes.json").exists():  # an existing training takes no time
        write_json(out / "minutes.json", {"minutes": (seconds + borrowed) / 60})
    return run, json.loads((out / "minutes.json").read_text())["minutes"]


def model_scores(run: Run, model: str, place: Place) -> dict[str, np.ndarray]:
    """Return the scores of a run over the test genes' windows; masks and effects are smoothed, as for elements."""
    ids = list(place.windows.genes["gene_id"])
    if model == "unmasked":
        occlusion_of(RunModel(run), choose_scored(run))
        hidden = np.stack([np.nan_to_num(run.occlusion(name).bases) for name in ids])
        openness = rival.dnase_of(place.study, place.windows)
        return {"occlusion": smoothed(hidden), "occlusion, gated": smoothed(hidden) * openness}
    found = {"mask": smoothed(np.stack([run.mask(name).mean for name in ids]))}
    additive = additive_model(run)
    if additive is not None:
        found["effect"] = smoothed(effects_of_windows(additive, place.windows).mean(axis=0))
    return found


def additive_model(run: Run) -> AdditiveModel | None:
    """Return the model of a run if it is additive."""
    model = load_checkpoint(run.path / "checkpoint.safetensors", "cpu")
    return model if isinstance(model, AdditiveModel) else None


@torch.no_grad()
def effects_of_windows(model: AdditiveModel, windows: Windows) -> np.ndarray:
    """Return each member's effect of every base, (members, G, L)."""
    found = []
    for codes, signals in zip(windows.codes, windows.signals, strict=True):
        one_hot = torch.from_numpy(np.eye(5, dtype=np.float32)[codes][None, :, :4])
        found.append(model.effects(one_hot, torch.from_numpy(signals[None])).numpy()[:, 0])
    return np.stack(found, axis=1)


def swapped_cell(model: AdditiveModel, place: Place) -> dict[str, float]:
    """Return the AUROC by which changes from one cell type to the other tell which elements changed.

    Keys: mask and effect, by the absolute change, of elements whose openness changed; effect_changed, of elements whose
    planted effect changed; effect_error, the same by the change in units of its error over the members.
    """
    folder = place.study.path.parent
    other = load_study(folder / "cell-2" / "study.toml")
    genes = other.genes()
    windows = read_windows(other, genes[genes["split"] == "test"], place.world.promoter)
    assert windows.genes["gene_id"].equals(place.windows.genes["gene_id"])
    pairs = place.truth.pairs
    opened = pairs["element"].isin(changed_elements(folder)).to_numpy()
    acting = read_truth(other, windows).pairs.set_index(["row", "element"])["effect"]
    acting = acting.reindex(pd.MultiIndex.from_frame(pairs[["row", "element"]])).to_numpy()
    acts_otherwise = np.abs(acting - pairs["effect"].to_numpy()) > 1e-6
    both = [effects_of_windows(model, x) for x in (place.windows, windows)]
    sums = [element_effects(x, place.truth) for x in both]
    z = [of_pairs(model_z(model, x), place.windows, place.truth) for x in both]
    known = np.isfinite(z[0])
    change = sums[1] - sums[0]
    mean = np.abs(change.mean(axis=0))
    error = change.std(axis=0, ddof=1) + LITTLE_CHANGE if len(change) > 1 else np.ones_like(mean)
    told = {"effect": (opened, mean), "mask": (opened, np.abs(z[1] - z[0]))}
    told |= {"effect_changed": (acts_otherwise, mean), "effect_error": (acts_otherwise, mean / error)}
    return {name: float(roc_auc_score(truth[known], values[known])) for name, (truth, values) in told.items()}


def model_z(model: AdditiveModel, effects: np.ndarray) -> np.ndarray:
    """Return E[z] of every base, (G, L), from members' effects (members, G, L)."""
    binned = torch.from_numpy(effects[..., ::STEP] * STEP)
    return np.repeat(model.z_of(binned)[0].numpy(), STEP, axis=1)[:, : effects.shape[2]]


def changed_elements(folder: Path) -> set[str]:
    """Return the names of the elements that are open in one of two cell types only."""
    opened = []
    for truth in (folder / "truth", folder / "cell-2" / "truth"):
        closed: set[str] = set()
        for name in ("closed", "decoys"):
            table = pd.read_csv(truth / f"{name}.bed", sep="\t")
            closed |= set(table["name"][table["strength"] == "none"])
        opened.append(closed)
    return opened[0] ^ opened[1]


def model_cell(out: Path, place: Place, model: str, seed: int) -> dict[str, Any]:
    """Return the results of one model in one world."""
    folder = out / f"{place.name}-{place.seed}"
    settings, staged = MODELS[model]
    config = place.study.config(**settings, d_model=32, n_layers=2)
    training = place.study.train_config(**COMMON, **staged, seed=seed)
    run, minutes = trained(place.study, config, training, folder / f"{slug(model)}-{seed}")
    run = score(run, place.study, choose_genes(place.study.genes()))
    scores = model_scores(run, model, place)
    with replacing(folder / f"{slug(model)}-{seed}.npz") as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **scores)
    rivals_here = rival_scores(out, place)
    if model != "unmasked":
        rivals_here |= stored_scores(folder / f"unmasked-{seed}.npz")
    own = next(iter(scores))
    scores |= combined(scores, rivals_here, place)
    of = place.windows, place.truth
    rows = differences({own: scores[own], **rivals_here}, own, *of)
    found: dict[str, Any] = {"model": model, "seed": seed, "minutes": minutes, "scores": judged(scores, place)}
    found["pearson"] = run.metrics["prediction"]["test"]["pearson"]
    found["differences"] = {name: {"auprc": value, "low": low, "high": high} for name, value, low, high in rows}
    if model == "unmasked" and (masks := stored_scores(folder / f"causal-{seed}.npz")):
        rows = differences({"mask": masks["mask"], **scores}, "mask", *of)
        found["causal_minus"] = {name: {"auprc": value, "low": low, "high": high} for name, value, low, high in rows}
    found["assignment_differences"] = {
        name: assignment_difference(scores[own], rivals_here[name], *of)._asdict() for name in ASSIGNING
    }
    additive = additive_model(run)
    if additive is not None:
        sums = element_effects(effects_of_windows(additive, place.windows), place.truth)
        contact = of_pairs(rivals_here["contact"], place.windows, place.truth)
        found["effects"] = known(agreement_of(sums.mean(axis=0), place.truth))
        found["effects"] |= known(of_members(sums, place.truth)) if len(sums) > 1 else {}
        found["r_minus_contact"] = correlation_difference(sums.mean(axis=0), contact, place.truth)._asdict()
        found["swapped_cell"] = swapped_cell(additive, place)
    return found


def stored_scores(path: Path) -> dict[str, np.ndarray]:
    """Return the scores that a model's cell has kept; none where it does not exist."""
    if not path.exists():
        return {}
    with np.load(path) as arrays:
        return dict(arrays)


def combined(scores: dict[str, np.ndarray], rivals_here: dict[str, np.ndarray], place: Place) -> dict[str, np.ndarray]:
    """Return the mean ranks of each pair of the model's own scores and occlusion, where there are two."""
    parts = scores | {name: rivals_here[name] for name in ("occlusion", "occlusion, gated") if name in rivals_here}
    ranks = {name: np.argsort(np.argsort(values.ravel())).reshape(values.shape) for name, values in parts.items()}
    return {f"{one} + {two}": (ranks[one] + ranks[two]) / 2 for one, two in combinations(parts, 2)}


def slug(model: str) -> str:
    """Return a model's name as a file name."""
    return model.replace(", ", "-").replace(" ", "-")


# ---- results


def cell_path(world: str, world_seed: int, model: str, seed: int | None = None) -> Path:
    """Return the file of a cell."""
    return RESULTS / f"{world}-{world_seed}-{slug(model)}{'' if seed is None else f'-{seed}'}.json"


def results() -> list[dict[str, Any]]:
    """Return the results of all cells, in the order of worlds."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    return sorted(found, key=lambda cell: list(WORLDS).index(cell["world"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of studies and runs; without it results are printed only")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--world-seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--models", nargs="*", choices=MODELS, default=[])
    parser.add_argument("--threads", type=int, default=1, help="of torch, for each call")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for world, world_seed in ((w, s) for w in a.worlds for s in a.world_seeds if a.out):
        wanted: list[tuple[str, int | None]] = [(RIVALS, None), *((m, s) for m in a.models for s in a.seeds)]
        wanted = [cell for cell in wanted if not cell_path(world, world_seed, *cell).exists()]
        place = open_world(a.out, world, world_seed) if wanted else None
        for model, seed in wanted:
            assert place is not None
            started = time.monotonic()
            found = rival_cell(a.out, place) if seed is None else model_cell(a.out, place, model, seed)
            write_json(cell_path(world, world_seed, model, seed), {**described(place), **found})
            took = time.monotonic() - started
            print(f"{world}, world seed {world_seed}, {model}, seed {seed}: {took:.0f} s", file=sys.stderr)
    printed(results())


if __name__ == "__main__":
    main()
