"""Do masks find planted causal elements? Several simulated worlds, several models, real training, real MACS3.

    python benchmarks/worlds.py --out worlds [--worlds harder] [--models causal soft] [--seeds 0 1 2]

Every model is trained from one-hot sequence (no motif is given to it), on windows of 4,096 bp with 700 + 600 training
genes, and judged on 200 genes of a chromosome that was not trained on. Of a causal model the elements are switched off
one by one; of the unmasked one, if it comes ahead of the others, the window is hidden block after block. A run that is
there already is not made again. A causal model takes some four minutes on two cores. Prints a table for each world and
writes OUT/worlds.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path

from model_core.effects.rank import choose_scored, effects_of, occlusion_of
from model_core.effects.run_model import RunModel
from model_core.evidence.compare import compare
from model_core.inputs.peaks import peaks_of_study
from model_core.inputs.study import Study, load_study
from model_core.network.score import choose_genes, score
from model_core.network.train import train
from model_core.outputs.run import Run
from model_core.simulation.simulate import HARDER, World, simulate_study

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
SHOWN = ("auprc", "precision", "recall", "weak_recall", "decoys_kept")
UNMASKED = "unmasked-0"  # the run whose occlusion is a rival
RIVALS = ("signal prior", "H3K27ac", "DNase", "MACS3", f"occlusion of {UNMASKED}", "nearest the TSS", "random")
KNOCK_OUTS = "knock-out of elements"


def study_of(folder: Path, world: World) -> Study:
    """The world's study, simulated and with its peaks called, or the one that is there."""
    if not (folder / "study.toml").exists():
        simulate_study(folder, seed=1, world=world)
    study = load_study(folder / "study.toml")
    peaks_of_study(study)
    return study


def trained(study: Study, model: str, seed: int, out: Path) -> tuple[Run, float]:
    """The run of a model, and the seconds that its training took."""
    settings, training = MODELS[model]
    config = study.config(**settings, d_model=32, n_layers=2)
    run = train(study, config, study.train_config(**COMMON, **training, seed=seed), out)
    score(run, study, choose_genes(study.genes()))
    with open(run.path / "training" / "history.csv") as file:
        seconds = float(file.readlines()[-1].split(",")[1])
    return run, seconds


def asked(run: Run, model: str) -> None:
    """The rivals that a model itself is: occlusion of the unmasked one, knock-outs of what a causal one keeps."""
    if model == "unmasked":
        occlusion_of(RunModel(run), choose_scored(run))
    elif model.startswith("causal"):
        effects_of(RunModel(run), choose_scored(run), controls=1)


def judged(run: Run, seconds: float) -> dict:
    """What is printed of a run: its mask (smoothed over 100 bp, as elements are cut) and Pearson on the test genes."""
    unmasked = run.path.parent / UNMASKED
    found = compare(run, beside=[unmasked] if unmasked.exists() and unmasked != run.path else [])
    scores = found.tables["scores"].set_index("score")
    own = "mask, smoothed" if "mask, smoothed" in scores.index else "mask"

    def shown(name: str) -> dict[str, float]:
        return {key: float(scores.loc[name, key]) for key in SHOWN}

    answer = {"pearson": run.metrics["prediction"]["test"]["pearson"], "seconds": seconds, **shown(own)}
    answer["prior_correlation"] = found.summary[
        "rank_correlation_with_prior"
    ]  # None: a mask that is the same everywhere
    if KNOCK_OUTS in scores.index:
        answer["knock_outs"] = shown(KNOCK_OUTS)
    return {**answer, "rivals": {name: shown(name) for name in RIVALS if name in scores.index}}


def spread(values: list[float]) -> str:
    """Mean, and sd where there are several."""
    return f"{statistics.fmean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


def table(world: str, found: dict[str, list[dict]]) -> str:
    """A world's table in Markdown."""
    names = ("AUPRC", "precision", "causal kept", "weak kept", "decoys kept", "Pearson", "seeds")
    lines = [f"\n### {world}\n", f"| | {' | '.join(names)} |", "|---|" + "--:|" * len(names)]
    for model, runs in found.items():
        cells = [spread([run[name] for run in runs]) for name in (*SHOWN, "pearson")]
        lines.append(f"| {model} | {' | '.join(cells)} | {len(runs)} |")
        if knock_outs := [run["knock_outs"] for run in runs if "knock_outs" in run]:
            cells = [spread([run[name] for run in knock_outs]) for name in SHOWN]
            lines.append(f"| *{model}: effects of its elements* | {' | '.join(cells)} | | {len(knock_outs)} |")
    rivals = max((runs[0]["rivals"] for runs in found.values()), key=len)  # without occlusion beside the first models
    for name, values in rivals.items():
        lines.append(f"| *{name}* | {' | '.join(f'{values[key]:.3f}' for key in SHOWN)} | | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["unmasked", "soft", "hard", "causal"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    a = parser.parse_args()
    record = a.out / "worlds.json"
    everything = json.loads(record.read_text()) if record.exists() else {}
    for world in a.worlds:
        study = study_of(a.out / world, WORLDS[world])
        for model in a.models:
            for seed in a.seeds:
                started = time.monotonic()
                place = a.out / f"{world}-runs" / f"{model.replace(', ', '-').replace(' ', '-')}-{seed}"
                run, seconds = trained(study, model, seed, place)
                asked(run, model)
                result = judged(run, seconds)
                everything.setdefault(world, {}).setdefault(model, {})[str(seed)] = result
                record.write_text(json.dumps(everything, indent=1))
                shown = ", ".join(f"{name} {result[name]:.3f}" for name in ("auprc", "decoys_kept", "pearson"))
                print(f"{world}, {model}, seed {seed}: {shown}; {time.monotonic() - started:.0f} s", file=sys.stderr)
    for world, models in everything.items():
        print(table(world, {model: list(runs.values()) for model, runs in models.items()}))


if __name__ == "__main__":
    main()
