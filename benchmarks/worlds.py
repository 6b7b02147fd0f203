"""Recovery of planted causal elements by masks: several simulated worlds and models, real training, real MACS3.

    python benchmarks/worlds.py --out worlds [--worlds harder] [--models causal soft] [--seeds 0 1 2]

Every model is trained from one-hot sequence (it gets no motif), on windows of 4,096 bp with 700 + 600 training genes,
and evaluated on 200 genes of a chromosome without training genes. The elements of a causal model are switched off one
by one; for the unmasked model, which should come first, the window is hidden block by block. Oracles are no models: one
scans for the true grammar, one knows the sites with it, open or closed; both are weighted by DNase.

Existing runs are used again, and models of the same world and seed share one encoder. A causal model takes about seven
minutes on one core; several calls may work on different models, seeds or worlds at once. A table of all results in OUT
is printed for each world.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
import shutil
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from model_core.bed import read_bed
from model_core.config import Seq2ExpConfig, TrainConfig
from model_core.evaluation.compare import compare
from model_core.evaluation.planted_truth import DECOY, STRONG, WEAK, Truth
from model_core.evaluation.prediction import judged as judged_genes
from model_core.evaluation.ranking import LEVELS, kept_of, levels, ranking
from model_core.files import replacing, write_json
from model_core.perturbation.rank import choose_scored, effects_of, occlusion_of
from model_core.perturbation.run_model import RunModel
from model_core.run_folder.run import Run
from model_core.scoring.score import choose_genes, score
from model_core.simulation.simulate import HARDER, World, simulate_study
from model_core.study.peaks import peaks_of_study
from model_core.study.study import Study, load_study
from model_core.training.train import begin_run, train
from model_core.window import Window

SMALL = {
    "window": 4_096,
    "spacing": (5_500, 6_500),
    "hic_reach": 10_000,
    "genes": (700, 700, 200),
    "validation_genes": 100,
}
MANY_MOTIFS = (
    *World().motifs,
    ("E", "TTTCCGGAA"),
    ("F", "GCACGTGAC"),
    ("G", "CATTCCTAA"),
    ("H", "GGTCAAAGG"),
)
WORLDS = {  # in rising difficulty
    "plain": dataclasses.replace(World(), **SMALL),  # decoys carry other motifs, or none
    "harder": dataclasses.replace(HARDER, **SMALL),  # and single causal ones; either strand, more mutations
    "weak": dataclasses.replace(HARDER, **SMALL, weak_share=0.6),  # most causal elements have hardly any signal
    "crowded": dataclasses.replace(  # three grammars; genes so dense that windows hold the elements of neighbours
        HARDER,
        **{**SMALL, "spacing": (2_600, 3_600)},
        motifs=MANY_MOTIFS,
        causal_grammars=(("AB", 0.4), ("EF", 0.3), ("GH", 0.3)),
        decoy_grammars=(("CD", 0.25), ("AC", 0.25), ("EB", 0.25), ("GD", 0.25)),
        causal=(0, 2),
        decoys=(1, 2),
    ),
}

STAGES = {"pretrain_steps": 2_000, "block_steps": 350, "steps": 650}
PLAIN = {"pretrain_steps": 0, "block_steps": 0, "steps": 400}
BETA = {"head": "beta", "kl": "mean", "prior_scale": 0.1}
MODELS = {  # model settings, training settings
    "soft": ({"variant": "soft"}, PLAIN),  # as published
    "hard": ({"variant": "hard"}, PLAIN),
    "causal": ({"variant": "causal"}, STAGES),
    "unmasked": ({"variant": "causal", "mask": "all"}, STAGES),
    "causal, no pre-training": ({"variant": "causal"}, {**STAGES, "pretrain_steps": 0}),
    "causal, no random blocks": ({"variant": "causal"}, {**STAGES, "block_steps": 0}),
    "causal, mask before the norm": ({"variant": "causal", "apply": "multiply"}, STAGES),
    "causal, Beta head": ({"variant": "causal", **BETA}, STAGES),
    "causal, Beta head, published KL": ({"variant": "causal", **BETA, "kl": "beta", "kl_weight": 0.01}, STAGES),
    "causal, Beta head, prior 10": ({"variant": "causal", **BETA, "prior_scale": 10.0}, STAGES),
    "causal, readout at the promoter": ({"variant": "causal", "readout": "promoter"}, STAGES),
    "causal, absent embedding": ({"variant": "causal", "apply": "absent"}, STAGES),
}
COMMON = {"batch_size": 8, "lr": 2e-3, "warmup": 20, "lr_end": 1e-4, "validations_per_epoch": 1}
AT_ELEMENTS = (
    "precision",
    "recall",
    "weak_recall",
    "decoys_kept",
)  # at the share of bases that the mask's elements hold
AT_TENTH = ("weak_recall", "decoys_kept")  # and at a tenth, more than all causal elements hold
TENTH = 0.1
COLUMNS = {
    "auprc": "AUPRC",
    "precision": "precision",
    "recall": "causal kept",
    "weak_recall": "weak kept",
    "decoys_kept": "decoys kept",
    "weak_recall_tenth": "weak kept at 10 %",
    "decoys_kept_tenth": "decoys kept at 10 %",
}
OF_MODELS = {"prior_correlation": "rank with prior", "pearson": "Pearson", "minutes": "minutes"}
UNMASKED = "unmasked-0"  # the run whose occlusion is a rival
RIVALS = ("signal prior", "H3K27ac", "DNase", "MACS3", f"occlusion of {UNMASKED}", "nearest the TSS", "random")
KNOCK_OUTS = "knock-out of elements"
SCAN, SITES = "oracle: scan for the true grammar x DNase", "oracle: true sites x DNase"
MISMATCHES = 1  # allowed in a motif that the oracle counts
NEIGHBOURHOOD = 150  # bp over which the oracle counts motifs


def study_of(folder: Path, world: World) -> Study:
    """Return the world's study, with its peaks called; it is simulated where it does not exist yet."""
    if not (folder / "study.toml").exists():
        simulate_study(folder, seed=1, world=world)
    study = load_study(folder / "study.toml")
    peaks_of_study(study)
    return study


def trained(study: Study, config: Seq2ExpConfig, training: TrainConfig, out: Path) -> tuple[Run, float]:
    """Train a model; return its run and the minutes of the training, including those of a shared encoder."""
    run = begin_run(study, config, training, out)
    before = borrowed_encoder(run, training)
    started = time.monotonic()
    run = train(study, config, training, out)
    minutes = (time.monotonic() - started + before) / 60
    lend_encoder(run, training, 60 * minutes - run.metrics["training"]["seconds"])
    if not (out / "minutes.json").exists():  # an existing training takes no time
        write_json(out / "minutes.json", {"minutes": minutes})
    return run, json.loads((out / "minutes.json").read_text())["minutes"]


def shared_encoder(run: Run, training: TrainConfig) -> Path:
    """Return the path of the encoder that the models of a world and seed share; it depends on study and seed alone."""
    return run.path.parent / f"encoder-{training.seed}-{training.pretrain_steps}.safetensors"


def borrowed_encoder(run: Run, training: TrainConfig) -> float:
    """Copy the shared encoder into a run, where it exists; return the seconds of its training."""
    shared, own = shared_encoder(run, training), run.path / "training" / "pretrained.safetensors"
    if own.exists() or not shared.exists():
        return 0.0
    shutil.copy(shared, own)
    return json.loads(shared.with_suffix(".json").read_text())["seconds"]


def lend_encoder(run: Run, training: TrainConfig, seconds: float) -> None:
    shared, own = shared_encoder(run, training), run.path / "training" / "pretrained.safetensors"
    if own.exists() and not shared.exists():
        write_json(shared.with_suffix(".json"), {"seconds": seconds})
        with replacing(shared) as unfinished:
            shutil.copy(own, unfinished)


def compute_effects(run: Run, model: str) -> None:
    """Compute the effects that are compared with masks: occlusion of the unmasked model, knock-outs of a causal one."""
    if model == "unmasked":
        occlusion_of(RunModel(run), choose_scored(run))
    elif model == "causal":
        effects_of(RunModel(run), choose_scored(run), controls=1)


def judged(run: Run, study: Study, world: World, minutes: float) -> dict:
    """Return the results of a run: of its mask (smoothed over 100 bp, as for elements), and Pearson on test genes."""
    unmasked = run.path.parent / UNMASKED
    found = compare(run, beside=[unmasked] if is_scored(unmasked) and unmasked != run.path else [])
    scores, curves = found.tables["scores"].set_index("score"), found.tables["curves"].set_index("score")
    curves = curves[curves["kept_share"] == TENTH]
    own = "mask, smoothed" if "mask, smoothed" in scores.index else "mask"

    def shown(name: str) -> dict[str, float | None]:
        values = {key: float(scores.loc[name, key]) for key in ("auprc", *AT_ELEMENTS)}
        values |= {f"{key}_tenth": float(curves.loc[name, key]) for key in AT_TENTH}
        return {key: None if math.isnan(value) else value for key, value in values.items()}

    prior = found.summary["rank_correlation_with_prior"]  # None for a constant mask
    answer = {"pearson": run.metrics["prediction"]["test"]["pearson"], "minutes": minutes, "prior_correlation": prior}
    answer |= shown(own)
    if KNOCK_OUTS in scores.index:
        answer["knock_outs"] = shown(KNOCK_OUTS)
    rivals = {name: shown(name) for name in RIVALS if name in scores.index}
    rivals |= oracles(run, study, world, found.summary["element_share"])
    return {**answer, "rivals": rivals}


def is_scored(path: Path) -> bool:
    return (path / "manifest.json").exists() and bool(Run.open(path).manifest.get("assembled"))


def oracles(run: Run, study: Study, world: World, share: float) -> dict[str, dict[str, float]]:
    """Return COLUMNS of each oracle, which combines the causal grammar, or its sites, with the signal."""
    truth = Truth.read(study.truth.causal, study.truth.decoys)
    truth = truth.for_run(run.genes, run.chrom_sizes, study.gene_sites())
    sites = pd.concat([read_bed(study.truth.causal.with_name(name)) for name in ("causal.bed", "closed.bed")])
    genome, dnase = study.genome(), next(signal for signal in study.signals() if signal.name == "DNase")
    dnase.prepare()
    counts = {name: np.zeros((4, LEVELS), np.int64) for name in (SCAN, SITES)}  # by kind of base
    for gene in run.genes.loc[judged_genes(run.genes), "gene_id"]:
        mask = run.mask(gene)
        length = mask.end - mask.start
        signal = np.log1p(np.maximum(dnase.read(Window.between(mask.chrom, mask.start, mask.end)), 0))
        inside = np.zeros(length, np.float32)
        for start, end in sites.loc[sites["chrom"] == mask.chrom, ["start", "end"]].to_numpy() - mask.start:
            inside[max(start, 0) : max(end, 0)] = 1
        known = {SCAN: grammar(genome.sequence(mask.chrom, mask.start, mask.end), world), SITES: inside}
        kind = truth.of(gene, mask).kind[mask.learned]
        for name, where in known.items():
            level = levels((where * signal)[mask.learned])
            for number, row in enumerate(counts[name]):
                row += np.bincount(level[kind == number], minlength=LEVELS)
    return {name: measured(found, share) for name, found in counts.items()}


def measured(counts: np.ndarray, share: float) -> dict[str, float]:
    """Return COLUMNS of a score from the number of bases of each kind at each level, (4, LEVELS)."""
    causal, whole = counts[STRONG] + counts[WEAK], counts.sum(axis=1)
    kept, tenth = (kept_of(counts, part * counts.sum()) for part in (share, TENTH))
    return {
        "auprc": ranking(causal, counts.sum(axis=0) - causal)[0],
        "precision": (kept[STRONG] + kept[WEAK]) / kept.sum() if kept.sum() else 0.0,
        "recall": (kept[STRONG] + kept[WEAK]) / causal.sum(),
        "weak_recall": kept[WEAK] / whole[WEAK],
        "decoys_kept": kept[DECOY] / whole[DECOY],
        "weak_recall_tenth": tenth[WEAK] / whole[WEAK],
        "decoys_kept_tenth": tenth[DECOY] / whole[DECOY],
    }


def grammar(sequence: str, world: World) -> np.ndarray:
    """Count, around each base, the rarer motif of a causal grammar on either strand: float32 (L,)."""
    bases = np.frombuffer(sequence.upper().encode(), np.uint8)

    def count(letter: str) -> np.ndarray:
        motif = world.motif(letter)
        hits = np.zeros(len(bases), np.float32)
        for word in (motif, motif[::-1].translate(str.maketrans("ACGT", "TGCA"))):
            here = np.lib.stride_tricks.sliding_window_view(bases, len(word))
            same = (here == np.frombuffer(word.encode(), np.uint8)).sum(axis=1)
            hits[len(word) // 2 :][: len(same)] += same >= len(word) - MISMATCHES
        return np.convolve(hits, np.ones(NEIGHBOURHOOD, np.float32), "same")

    grammars = [np.minimum.reduce([count(letter) for letter in letters]) for letters, _ in world.causal_grammars]
    return np.maximum.reduce(grammars).astype(np.float32)


def table(world: str, found: dict[str, list[dict]]) -> str:
    """Return a world's table in Markdown."""
    names = [*COLUMNS.values(), *OF_MODELS.values(), "seeds"]
    lines = [f"\n### {world}\n", f"| | {' | '.join(names)} |", "|---|" + "--:|" * len(names)]
    for model, runs in found.items():
        cells = [spread([run[name] for run in runs]) for name in (*COLUMNS, *OF_MODELS)]
        lines.append(f"| {model} | {' | '.join(cells)} | {len(runs)} |")
        if knock_outs := [run["knock_outs"] for run in runs if "knock_outs" in run]:
            cells = [spread([run[name] for run in knock_outs]) for name in COLUMNS] + [""] * len(OF_MODELS)
            lines.append(f"| *{model}: effects of its elements* | {' | '.join(cells)} | {len(knock_outs)} |")
    rivals = max((runs[0]["rivals"] for runs in found.values()), key=len)  # the first models have no occlusion
    for name, values in rivals.items():
        cells = [spread([values[key]]) for key in COLUMNS] + [""] * len(OF_MODELS)
        lines.append(f"| *{name}* | {' | '.join(cells)} | |")
    return "\n".join(lines)


def spread(values: list[float | None]) -> str:
    """Format the mean, and sd of several values; "" where a value is unknown."""
    if None in values:
        return ""
    return f"{statistics.fmean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


def results(out: Path) -> dict[str, dict[str, list[dict]]]:
    """Read the results in OUT: world -> model -> results of its runs by seed, in the order of WORLDS and MODELS."""
    found: dict[str, dict[str, list[dict]]] = {}
    for world in WORLDS:
        for model in MODELS:
            paths = sorted((out / f"{world}-runs").glob(f"{slug(model)}-*/judged.json"))
            runs = [
                json.loads(path.read_text()) for path in paths if re.fullmatch(rf"{slug(model)}-\d+", path.parent.name)
            ]
            if runs:
                found.setdefault(world, {})[model] = runs
    return found


def slug(model: str) -> str:
    return model.replace(", ", "-").replace(" ", "-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["unmasked", "soft", "hard", "causal"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    a = parser.parse_args()
    for world in a.worlds:
        study = study_of(a.out / world, WORLDS[world])
        for model in a.models:
            for seed in a.seeds:
                started = time.monotonic()
                settings, training = MODELS[model]
                config = study.config(**settings, d_model=32, n_layers=2)
                training = study.train_config(**COMMON, **training, seed=seed)
                run, minutes = trained(study, config, training, a.out / f"{world}-runs" / f"{slug(model)}-{seed}")
                score(run, study, choose_genes(study.genes()))
                compute_effects(run, model)
                result = judged(run, study, WORLDS[world], minutes)
                write_json(run.path / "judged.json", result)
                shown = ", ".join(f"{COLUMNS[name]} {spread([result[name]])}" for name in ("auprc", "decoys_kept"))
                print(f"{world}, {model}, seed {seed}: {shown}; {time.monotonic() - started:.0f} s", file=sys.stderr)
    for world, models in results(a.out).items():
        print(table(world, models))


if __name__ == "__main__":
    main()
