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
import statistics
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
FRESH = 11  # world seeds from here on are for results
RIVALS = "rivals"  # the cell of what needs no model
ASSIGNING = ("nearest the TSS", "contact")  # rivals in telling which element acts on which gene
LITTLE_CHANGE = 0.005  # of an effect, added to its error
COLUMNS = {
    "auprc": "AUPRC",
    "precision": "precision",
    "causal": "causal kept",
    "weak": "weak kept",
    "decoy": "decoys kept",
    "closed": "closed kept",
    "other": "other genes' kept",
    "assignment": "gene assignment",
}
EFFECTS = {
    "r": "r",
    "slope": "predicted on planted",
    "calibration": "planted on predicted",
    "r_causal": "r, causal alone",
    "mean_decoy": "mean, decoys",
    "mean_closed": "mean, closed",
    "mean_from_0": "mean within 700 bp",
    "planted_from_0": "planted",
    "mean_from_1400": "mean beyond 1.4 kb",
    "planted_from_1400": "planted",
    "within_2_sd": "within 2 sd",
    "within_2_sd_causal": "causal",
    "recurrent_causal": "found by all members, causal",
    "recurrent_decoy": "decoys",
    "recurrent_closed": "closed",
    "swapped_mask": "opened or closed elements by mask, AUROC",
    "swapped_effect": "by effect",
    "swapped_effect_changed": "changed effects by effect",
    "swapped_effect_error": "by effect and its error",
}


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


def tables(cells: list[dict[str, Any]]) -> str:
    """Return a table in Markdown for each world: each score's mean over cells, and its sd where there are several."""
    lines = []
    for world in dict.fromkeys(cell["world"] for cell in cells):
        rows: dict[str, list[dict]] = {}
        for cell in (cell for cell in cells if cell["world"] == world):
            for name, row in cell["scores"].items():
                prefix = f"{cell['model']}: " if "model" in cell else ""
                rows.setdefault(f"{prefix}{name}", []).append(row)
        lines += [f"\n### {world}\n", f"| | {' | '.join(COLUMNS.values())} | cells |"]
        lines.append("|---|" + "--:|" * (len(COLUMNS) + 1))
        for name, found in rows.items():
            values = [spread([row[key] for row in found]) for key in COLUMNS]
            lines.append(f"| {name} | {' | '.join(values)} | {len(found)} |")
    return "\n".join(lines)


def effect_table(cells: list[dict[str, Any]]) -> str:
    """Return a table of effects against planted ones, of each model in each world: means over cells."""
    lines = [f"| world | | {' | '.join(EFFECTS.values())} | cells |", "|---|---|" + "--:|" * (len(EFFECTS) + 1)]
    rows: dict[tuple[str, str], list[dict]] = {}
    for cell in cells:
        if "model" in cell and "effects" in cell:
            swapped = {f"swapped_{name}": value for name, value in cell["swapped_cell"].items()}
            rows.setdefault((cell["world"], cell["model"]), []).append(cell["effects"] | swapped)
        for name, found in cell["effects"].items() if "model" not in cell else ():
            rows.setdefault((cell["world"], name), []).append(found)
    for (world, name), found in rows.items():
        values = [spread([row.get(key) for row in found]) for key in EFFECTS]
        lines.append(f"| {world} | {name} | {' | '.join(values)} | {len(found)} |")
    return "\n".join(lines)


def difference_table(cells: list[dict[str, Any]]) -> str:
    """Return a table of paired differences of AUPRC, one row for each cell of a model: against every rival."""
    lines = []
    for cell in cells:
        if "differences" in cell:
            found = cell["differences"]
            if not lines:
                names = [name for name in found if not name.startswith(("oracle", "occlusion"))]
                lines = [f"| cell | {' | '.join(names)} |", "|---|" + "--:|" * len(names)]
            words = [f"{found[n]['auprc']:+.3f} ({found[n]['low']:+.3f} to {found[n]['high']:+.3f})" for n in names]
            title = f"{cell['world']} {cell['world_seed']}, {cell['model']} {cell['seed']}"
            lines.append(f"| {title} | {' | '.join(words)} |")
    return "\n".join(lines)


def paired_table(cells: list[dict[str, Any]]) -> str:
    """Return a table of the other paired differences: gene assignment, and r of effects against that of contact."""
    lines = [f"| cell | {' | '.join(f'gene assignment, mask - {n}' for n in ASSIGNING)} | r, effect - contact |"]
    lines.append("|---|--:|--:|--:|")
    for cell in cells:
        if "assignment_differences" in cell:
            found = [*cell["assignment_differences"].values(), cell.get("r_minus_contact")]
            words = [f"{x['value']:+.3f} ({x['low']:+.3f} to {x['high']:+.3f})" if x else "" for x in found]
            lines.append(
                f"| {cell['world']} {cell['world_seed']}, {cell['model']} {cell['seed']} | {' | '.join(words)} |"
            )
    return "\n".join(lines)


def target_table(cells: list[dict[str, Any]], model: str = "causal") -> str:
    """Return a table of the targets, and in how many of a model's cells in fresh worlds each is met."""
    rivals_of = {(cell["world"], cell["world_seed"]): cell for cell in cells if "model" not in cell}
    hidden = {(c["world"], c["world_seed"]): c for c in cells if c.get("model") == "unmasked"}
    met: dict[str, list[bool | None]] = {}
    for cell in (cell for cell in cells if cell.get("model") == model):
        where = cell["world"], cell["world_seed"]
        for name, is_met in _targets(cell, rivals_of[where]["scores"], hidden.get(where)).items():
            met.setdefault(name, []).append(is_met)
    lines = ["| target | met in cells | judged |", "|---|--:|--:|"]
    for name, found in met.items():
        judged = [x for x in found if x is not None]
        lines.append(f"| {name} | {sum(judged)} | {len(judged)} |")
    return "\n".join(lines)


def _targets(cell: dict[str, Any], rival: dict[str, Any], occluded: dict[str, Any] | None) -> dict[str, bool | None]:
    """Return which targets a model's cell meets, of its world's rivals and occlusion; None where that is not known."""
    mask, effects, swapped = cell["scores"]["mask"], cell["effects"], cell["swapped_cell"]
    lows = {name: row["low"] for name, row in cell["differences"].items()}
    signals = [name for name in lows if not name.startswith(("oracle", "occlusion", "trees"))]
    scan = rival["oracle: scan for the grammar x DNase x contact"]["auprc"]
    weak = [row["weak"] for name, row in occluded["scores"].items() if "+" not in name] if occluded else []
    return {
        "AUPRC of the mask above every signal, paired interval above 0": min(lows[name] for name in signals) > 0,
        "above trees (expression), paired interval above 0": lows["trees (expression)"] > 0,
        "above trees (truth), paired interval above 0": lows["trees (truth)"] > 0,
        "above occlusion, plain and gated, paired interval above 0": (
            min(row["low"] for row in occluded["causal_minus"].values()) > 0 if occluded else None
        ),
        "above the effect alone": mask["auprc"] > cell["scores"]["effect"]["auprc"],
        "at least .8 of the scan oracle's AUPRC": mask["auprc"] >= 0.8 * scan,
        "closed kept at most a tenth of causal kept": mask["closed"] <= mask["causal"] / 10,
        "weak kept not below occlusion's": (mask["weak"] >= max(weak) if occluded else None),
        "r of effects above that of contact, paired interval above 0": cell["r_minus_contact"]["low"] > 0,
        "planted on predicted effect, slope .7 to 1.3": 0.7 <= effects["calibration"] <= 1.3,
        "predicted on planted effect, slope .7 to 1.3": 0.7 <= effects["slope"] <= 1.3,
        "gene assignment above the nearest gene's and contact's, paired intervals above 0": (
            min(row["low"] for row in cell["assignment_differences"].values()) > 0
        ),
        "swapped cell type: opened or closed elements by the mask, AUROC .9": swapped["mask"] >= 0.9,
        "the same by the effect": swapped["effect"] >= 0.9,
        "swapped cell type: changed effects by the effect, AUROC .9": swapped["effect_changed"] >= 0.9,
    }


def spread(values: list[float | None]) -> str:
    """Format the mean, and sd of several values; "" where a value is unknown."""
    if None in values:
        return ""
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.3f}" + (f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else "")


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


def undone_table(cells: list[dict[str, Any]]) -> str:
    """Return a table of the recipe and of it with one setting undone each: single cells of development worlds."""
    lines = ["| world | model | AUPRC | weak kept | decoys kept | gene assignment | r of effects | expression, r |"]
    lines.append("|---|---|" + "--:|" * 6)
    models = [cell for cell in cells if "effects" in cell and "model" in cell]
    several = {cell["world"] for cell in models if cell["model"] != "causal"}
    for cell in sorted(
        (cell for cell in models if cell["world"] in several), key=lambda x: list(MODELS).index(x["model"])
    ):
        mask = cell["scores"]["mask"]
        values = [mask[name] for name in ("auprc", "weak", "decoy", "assignment")]
        values += [cell["effects"]["r"], cell["pearson"]]
        lines.append(f"| {cell['world']} | {cell['model']} | {' | '.join(f'{x:.3f}' for x in values)} |")
    return "\n".join(lines)


def printed(cells: list[dict[str, Any]]) -> None:
    """Print the results of fresh worlds, then what settings undone do in development worlds."""
    fresh = [cell for cell in cells if cell["world_seed"] >= FRESH]
    if any("model" in cell for cell in fresh):
        print(f"\n## Fresh worlds\n\n### Targets\n\n{target_table(fresh)}")
        print(tables(fresh))
        print(f"\n### Effects of elements\n\n{effect_table(fresh)}")
        print(f"\n### AUPRC of the mask minus that of rivals, the same genes resampled\n\n{difference_table(fresh)}")
        print(f"\n### Other paired differences\n\n{paired_table(fresh)}")
    old = [cell for cell in cells if cell["world_seed"] < FRESH]
    print(f"\n### Settings undone, development world, one seed\n\n{undone_table(old)}")


if __name__ == "__main__":
    main()
