"""Masks on real input (K562, chromosome 22): a soft, a causal and an unmasked model, trained and compared.

    python benchmarks/real.py --data FOLDER --out real [--window 200000]

Training genes are those of five blocks of the chromosome, test genes those of the last block; the label is RNA. The
models are narrow (width 16, 2 + 2 blocks) and the windows a third of the paper's, so that the benchmark takes half an
hour on two cores; at the paper's 200,000 bp it takes three times as long, and more tested pairs lie in the windows.
Pairs that were tested by CRISPR are evaluated for every gene, training genes included, as no model was trained on them.
Elements of those genes are switched off one by one, in the soft and the causal model.

Interrupted trainings are resumed; existing runs are used again. The limits are printed first, then the tables; each
run's report is written to OUT/MODEL/compare.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from real_study import real_study_toml
from worlds import trained

from model_core.config import LOGIT_RECIPE, causal_stages
from model_core.evaluation.compare import Comparison, compare
from model_core.evaluation.crispr_pairs import read_pairs
from model_core.perturbation.rank import choose_scored, effects_of
from model_core.perturbation.run_model import RunModel
from model_core.run_folder.run import Run
from model_core.scoring.score import choose_genes, score
from model_core.study.study import Study, load_study
from seq2exp_viz.reports.comparison_report import write_report

WINDOW = 65_536  # bp
LOGIT = {"variant": "causal", **LOGIT_RECIPE}
STAGES = {"pretrain_steps": 800, "block_steps": 100, "steps": 250}
COMMON = {"batch_size": 4, "lr": 2e-3, "warmup": 20, "lr_end": 1e-4, "validations_per_epoch": 1}
MODELS = {  # model settings, training settings
    "unmasked": ({**LOGIT, "mask": "all"}, STAGES),
    "soft": ({"variant": "soft"}, {"steps": 150}),
    "logit": (LOGIT, STAGES),  # what `causal` was before
    "causal": ({"variant": "causal"}, {"steps": 250, **causal_stages(250), "batch_size": 8}),
}
PEAKS = "K562.DNase.macs3_bdgpeakcall.narrowPeak"  # in addition to the study's own peaks, of MACS2
PAIRS = "crispr_pairs.chr22.tsv"
OF_SCORES = {
    "in_peaks": "in MACS2 peaks",
    "jaccard_with_elements": "Jaccard with elements",
    "rank_correlation": "rank with mask",
}


def made(study: Study, model: str, window: int, tested: list[str], out: Path) -> Run:
    """Train and score a model, switch off the elements of the tested genes if it has a mask, and return its run."""
    settings, training = MODELS[model]
    config = study.config(**{"window": window, **settings, "d_model": 16, "n_layers": 2})
    run, minutes = trained(study, config, study.train_config(**{**COMMON, **training}), out)
    print(f"{model}: {minutes:.0f} minutes", file=sys.stderr)
    genes = study.genes()
    score(run, study, choose_genes(genes, names=tested))
    run = score(run, study, choose_genes(genes))
    if config.mask.kind == "learned":
        effects_of(RunModel(run), choose_scored(run, tested), controls=1)
    return run


def tested_genes(study: Study, pairs: Path, window: int) -> list[str]:
    """Return the genes of the study with a label and a tested element within the window."""
    genes, near = study.genes().set_index("symbol"), read_pairs(pairs)
    near = near[near["gene"].isin(genes.index[genes["label"].notna()])]
    middle = (near["start"] + near["end"]) / 2
    return sorted(set(near["gene"][(middle - near["gene"].map(genes["tss"])).abs() < window / 2]))


def interval(row: pd.Series, name: str) -> str:
    return f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"


def printed(found: dict[str, Comparison]) -> None:
    """Print the limits, first those common to all models, then each model's own, and the tables in Markdown."""
    limits = {model: [*one.summary["limits"], *one.summary["limits_of_pairs"]] for model, one in found.items()}
    common = [limit for limit in next(iter(limits.values())) if all(limit in own for own in limits.values())]
    print("\n".join(f"- {limit}" for limit in common))
    for model, own in limits.items():
        print("\n".join(f"- {model}: {limit}" for limit in own if limit not in common))
    print("\n| model | Pearson | Spearman | test genes |\n|---|--:|--:|--:|")
    for model, comparison in found.items():
        rows = comparison.tables["prediction"]
        row = rows[(rows["run"] == model) & (rows["group"] == "test")].iloc[0]
        print(f"| {model} | {interval(row, 'pearson')} | {interval(row, 'spearman')} | {row['genes']} |")
    for model in ("soft", "logit", "causal"):
        scores = found[model].tables["scores"]
        print(f"\n{model}, at {scores['kept_share'].iloc[0]:.1%} of the bases\n")
        print(f"| score | {' | '.join(OF_SCORES.values())} |\n|---|" + "--:|" * len(OF_SCORES))
        for row in scores.to_dict("records"):
            print(f"| {row['score']} | {' | '.join('' if pd.isna(row[c]) else f'{row[c]:.3f}' for c in OF_SCORES)} |")
        print(f"\n{model}, tested pairs\n\n| score | AUPRC | pairs | regulated |\n|---|--:|--:|--:|")
        pairs = found[model].tables["crispr"]
        for _, row in pairs[pairs["distance"] == pairs["distance"].iloc[-1]].iterrows():
            print(f"| {row['score']} | {interval(row, 'auprc')} | {row['pairs']} | {row['positives']} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--window", type=int, default=WINDOW, help="window of the models in bp")
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "study.toml").write_text(real_study_toml(a.data))
    study = load_study(a.out / "study.toml")
    tested = tested_genes(study, a.data / PAIRS, a.window)
    runs = {model: made(study, model, a.window, tested, a.out / model) for model in MODELS}
    found = {}
    for model, run in runs.items():
        beside = [other.path for name, other in runs.items() if name != model]
        found[model] = compare(run, against=[a.data / PEAKS], crispr=a.data / PAIRS, beside=beside)
        write_report(run.path / "compare", found[model])
    printed(found)


if __name__ == "__main__":
    main()
