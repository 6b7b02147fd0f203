"""Models on real input (K562, chromosome 22): expression, tested pairs, and agreement with peaks and known links.

    python benchmarks/real.py --data FOLDER --pairs FILE --links FILE --out real
    python benchmarks/real.py                                       (prints the results that are there)

A cell is one model with one window and seed: its results are one JSON file in benchmarks/results/real, and a cell whose
file exists is not computed again. What needs no model (boosted trees, signals, contact, distance, the published signal
prior, and predictions of other programs) is a cell of its own, "rivals"; `--models` without a name computes it alone.
Cells hold predictions and scores of each gene and pair, so that printing computes all intervals, over the same
resampled genes. Runs are kept in OUT, where interrupted trainings are resumed.

FOLDER is that of chromosome 22 (`real_study`). The pairs are the training table of EngreitzLab/CRISPR_comparison for
K562, the links those of ENCODE-rE2G; both are in `seq2exp-viz fetch crispr-k562`.

Training genes are those of five blocks of the chromosome, test genes those of the last block; the label is RNA. The
models are narrow (width 16, 2 + 2 blocks). Tested pairs are judged for every gene, training genes included, as no model
was trained on them. The limits are printed first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import rivals as rival
import torch
from planted import read_windows
from real_links import agreement
from real_pairs import EFFECT, EFFECT_SD, TREES, scores_of_rivals, scores_of_run, tested_pairs
from real_study import real_study_toml
from worlds import commit, slug, trained

from model_core.config import LOGIT_RECIPE, causal_stages
from model_core.evaluation.crispr_pairs import genes_of, pair_limits
from model_core.evaluation.element_scores import NEARNESS
from model_core.evaluation.resampling import (
    Resampled,
    clustered_average_precision,
    prediction_differences,
    prediction_intervals,
)
from model_core.evaluation.rivals import read_rival
from model_core.files import json_values, write_json
from model_core.run_folder.element_gene_score import direction
from model_core.scoring.score import score
from model_core.study.study import Study, load_study

RESULTS = Path(__file__).parent / "results" / "real"
WINDOW = 65_536  # bp
LOGIT = {"variant": "causal", **LOGIT_RECIPE}
STAGES = {"pretrain_steps": 800, "block_steps": 100, "steps": 250}
COMMON = {"batch_size": 4, "lr": 2e-3, "warmup": 20, "lr_end": 1e-4, "validations_per_epoch": 1}
CAUSAL = "causal"
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # model settings, training settings
    CAUSAL: ({"variant": "causal"}, {"steps": 250, **causal_stages(250), "batch_size": 8}),
    "unmasked": ({**LOGIT, "mask": "all"}, STAGES),
    "soft": ({"variant": "soft"}, {"steps": 150}),
    "logit": (LOGIT, STAGES),  # what `causal` was before
}
RIVALS = "rivals"  # the cell of what needs no model
ABC, LINKS = "ABC, published", "ENCODE-rE2G, published"  # predictions of other programs
ABC_FILE = "K562.ABC_predictions.chr22.tsv"  # in FOLDER
LIMITS = (
    "Links of ENCODE-rE2G are predictions of another program, fitted to tested pairs of K562: no truth.",
    "The models are narrow and trained for few steps; the rivals' signals are those that the models read.",
)
MEASURES = ("pearson", "spearman")

Interval = tuple[float, float, float]  # value, low, high


class Place(NamedTuple):
    """The study with a window's length, and what its models are judged on."""

    study: Study
    window: int
    pairs: pd.DataFrame  # of `tested_pairs`
    left_out: pd.DataFrame
    data: Path
    links: Path
    out: Path

    @property
    def judged(self) -> pd.DataFrame:
        """Test genes with a label."""
        genes = self.study.genes()
        return genes[(genes["split"] == "test") & genes["label"].notna()]

    @property
    def seen(self) -> pd.DataFrame:
        """Genes whose windows are scored: `judged`, and those of the pairs."""
        genes = self.study.genes()
        return genes[genes["gene_id"].isin(self.judged["gene_id"]) | genes["symbol"].isin(self.pairs["gene"])]


def open_place(data: Path, pairs: Path, links: Path, out: Path, window: int) -> Place:
    """Write the study of a data folder into OUT, and return it with the pairs in windows of this length."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "study.toml").write_text(real_study_toml(data), encoding="utf-8")
    study = load_study(out / "study.toml")
    kept, left_out = tested_pairs(pairs, study, window, study.config(window=window).promoter)
    return Place(study, window, kept, left_out, data, links, out)


# ---- cells


def rivals_cell(place: Place) -> dict[str, Any]:
    """Return what is judged, with all that needs no model: predictions of trees, and scores of pairs."""
    study, judged = place.study, place.judged
    genes, promoter = study.genes(), study.config(window=place.window).promoter
    learned = genes[(genes["split"] == "train") & genes["label"].notna()]
    windows = read_windows(study, place.seen, promoter, place.window)
    effects, predicted = rival.trees_on_expression(study, read_windows(study, learned, promoter, place.window), windows)
    foreign = [read_rival(f"{ABC}={place.data / ABC_FILE}"), read_rival(f"{LINKS}={place.links}")]
    of_trees = dict(zip(windows.genes["gene_id"], predicted, strict=True))
    return {
        "limits": [*study.limits, f"{(windows.codes == 4).mean():.0%} of the bases in the judged windows are N."],
        "training_genes": len(learned),
        "observed": dict(zip(judged["gene_id"], judged["label"], strict=True)),
        "predicted": {gene: of_trees[gene] for gene in judged["gene_id"]},
        "pairs": place.pairs.to_dict("list"),
        "left_out": place.left_out.to_dict("list"),
        "scores": scores_as_lists(scores_of_rivals(place.pairs, study, windows, effects, foreign)),
    }


def model_cell(place: Place, model: str, seed: int) -> dict[str, Any]:
    """Return a model's results: predictions of the test genes, scores of the pairs, agreement of its elements."""
    settings, training = MODELS[model]
    study, judged = place.study, list(place.judged["gene_id"])
    config = study.config(**{"window": place.window, **settings, "d_model": 16, "n_layers": 2})
    folder = place.out / f"{slug(model)}-{place.window}-{seed}"
    run, minutes = trained(study, config, study.train_config(**{**COMMON, **training}, seed=seed), folder)
    run = score(run, study, place.seen)  # at once, as their masks decide where elements are cut
    found: dict[str, Any] = {"model": model, "seed": seed, "minutes": minutes}
    predicted = run.genes.set_index("gene_id")["predicted"]
    found["predicted"] = {gene: predicted[gene] for gene in judged}
    found["pairs"] = names_of(place.pairs)
    found["scores"] = scores_as_lists(scores_of_run(run, place.pairs))
    peaks = study.peaks()
    if config.mask.kind == "learned" and peaks is not None:
        found["agreement"] = agreement(run, judged, peaks, read_rival(f"{LINKS}={place.links}"))
    return found


def scores_as_lists(scores: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    """Return scores as JSON holds them."""
    return {name: values.tolist() for name, values in scores.items()}


def names_of(pairs: pd.DataFrame) -> list[str]:
    """Return a name of each pair: its element and gene."""
    return [f"{pair.chrom}:{pair.start}-{pair.end} {pair.gene}" for pair in pairs.itertuples()]


def cell_path(window: int, model: str, seed: int | None = None) -> Path:
    """Return the file of a cell."""
    return RESULTS / f"{window}-{slug(model)}{'' if seed is None else f'-{seed}'}.json"


# ---- results


class Results(NamedTuple):
    """The cells of one window: that of the rivals, and those of models by title, in the order of MODELS."""

    window: int
    rivals: dict[str, Any]
    models: dict[str, dict[str, Any]]

    @property
    def pairs(self) -> pd.DataFrame:
        """Judged pairs with a column for each score: of rivals by name, of models as "causal 0: effect"."""
        columns = dict(self.rivals["scores"])
        for title, cell in self.models.items():
            columns |= {f"{title}: {name}": values for name, values in cell["scores"].items()}
        pairs = pd.DataFrame(self.rivals["pairs"])
        return pd.concat([pairs, pd.DataFrame(columns, index=pairs.index, dtype=float)], axis=1)

    @property
    def predictions(self) -> pd.DataFrame:
        """Test genes with their observed value and a column for each prediction: of trees and models."""
        columns = {TREES: self.rivals["predicted"]} | {name: cell["predicted"] for name, cell in self.models.items()}
        return pd.DataFrame({"observed": self.rivals["observed"], **columns})

    @property
    def own(self) -> str | None:
        """Title of the first causal model, which the others are compared with."""
        return next((title for title, cell in self.models.items() if cell["model"] == CAUSAL), None)


def results() -> list[Results]:
    """Return the results of each window, the shortest first; a window without a cell of rivals is left out.

    Raises
    ------
    ValueError
        A model was judged on other pairs than the rivals.
    """
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    found = []
    for own in sorted((cell for cell in cells if "model" not in cell), key=lambda cell: cell["window"]):
        models = [cell for cell in cells if "model" in cell and cell["window"] == own["window"]]
        models.sort(key=lambda cell: (list(MODELS).index(cell["model"]), cell["seed"]))
        names = names_of(pd.DataFrame(own["pairs"]))
        other = [cell["model"] for cell in models if cell["pairs"] != names]
        if other:
            raise ValueError(f"{', '.join(other)}: judged on other pairs than the rivals; compute the cells again")
        found.append(Results(own["window"], own, {f"{cell['model']} {cell['seed']}": cell for cell in models}))
    return found


def limits(found: Results) -> list[str]:
    """Return sentences on what the numbers of a window do not say."""
    left_out = pd.DataFrame(found.rivals["left_out"])
    pairs, told = found.pairs, []
    if auprc(pairs, [NEARNESS]).values[0] == 1:
        told.append("Distance alone tells the positive pairs from the others: no score can do better on these pairs.")
    return [
        *found.rivals["limits"],
        f"Expression is judged on {len(found.rivals['observed'])} test genes of one block, after training on "
        f"{found.rivals['training_genes']} genes.",
        *pair_limits(pairs, left_out),
        *told,
        *LIMITS,
    ]


def left_out_table(found: Results) -> str:
    """Return why pairs are not judged, with their number and how many of them are positive."""
    table = pd.DataFrame(found.rivals["left_out"])
    rows = [[reason, len(part), int(part["positive"].sum())] for reason, part in table.groupby("reason", sort=True)]
    return markdown(["pairs that are not judged", "pairs", "positive"], rows)


def expression_table(found: Results) -> str:
    """Return the correlations of predictions of test genes, and their paired differences from the causal model's."""
    table, rows = found.predictions, []
    observed = table["observed"].to_numpy()
    for name in [column for column in table if column != "observed"]:
        own = prediction_intervals(observed, table[name].to_numpy())
        row = [name, *(words(own[measure]) for measure in MEASURES)]
        if found.own not in (None, name):
            pair = table[found.own].to_numpy(), table[name].to_numpy()
            row += [words(prediction_differences(observed, *pair)[measure], "+.2f") for measure in MEASURES]
        rows.append(row)
    columns = ["Pearson", "Spearman", f"Pearson, {found.own} minus it", f"Spearman, {found.own} minus it"]
    return markdown(["expression of test genes", *(columns if found.own else columns[:2])], rows)


def pair_table(found: Results) -> str:
    """Return the AUPRC of each score of tested pairs, and the causal effect's minus it, on the pairs that both have."""
    pairs, rows = found.pairs, []
    own = None if found.own is None else f"{found.own}: {EFFECT}"
    names = [*found.rivals["scores"]]
    for title, cell in found.models.items():
        names += [f"{title}: {name}" for name in cell["scores"] if name != EFFECT_SD]
    for name in names:
        known = pairs.dropna(subset=[name])
        row = [name, words(auprc(known, [name]).interval(0)), len(known), int(known["positive"].sum())]
        if own not in (None, name):
            row.append(words(auprc(known, [own, name]).difference(0, 1), "+.2f"))
        rows.append(row)
    share = pairs["positive"].mean() if len(pairs) else float("nan")
    columns = [f"tested pairs (a guess: {share:.2f})", "AUPRC", "pairs", "positive"]
    return markdown([*columns, f"{own} minus it"] if own else columns, rows)


def auprc(pairs: pd.DataFrame, names: list[str]) -> Resampled:
    """Return the AUPRC of scores over pairs, genes resampled."""
    scores = [pairs[name].to_numpy(float) for name in names]
    return clustered_average_precision(pairs["positive"].to_numpy(bool), scores, genes_of(pairs))


def each_pair_table(found: Results) -> str:
    """Return every judged pair with the causal model's effect, its error and direction."""
    pairs, rows = found.pairs, []
    own = found.own or ""
    for _, pair in pairs.sort_values(["positive", "distance"], ascending=[False, True]).iterrows():
        effect, sd = pair.get(f"{own}: {EFFECT}", np.nan), pair.get(f"{own}: {EFFECT_SD}", np.nan)
        place = f"{pair['chrom']}:{pair['start']:,}-{pair['end']:,}"
        about = [place, pair["gene"], pair["split"], "yes" if pair["positive"] else "no", f"{pair['distance']:,.0f}"]
        rows.append([*about, "" if np.isnan(effect) else f"{effect:+.3f} ± {sd:.3f}", direction(effect, sd)])
    return markdown(["element", "gene", "split", "positive", "bp to the TSS", f"{own}: effect", "direction"], rows)


def agreement_table(found: Results) -> str:
    """Return how often elements of test genes lie in peaks and are links of their gene, and how often chance does."""
    rows = []
    for title, cell in found.models.items():
        for row in cell.get("agreement", ()):
            shares = ["" if row[key] is None else f"{row[key]:.3f}" for key in ("in_peaks", "linked")]
            counts = [row["elements"], row["genes"], row["linkable"]]
            rows.append([f"{title}: {row['set']}", *counts[:2], shares[0], counts[2], shares[1]])
    columns = ["test genes", "elements", "genes", "in MACS2 peaks", "of genes with rE2G links", "linked to their gene"]
    return markdown(columns, rows)


def markdown(columns: list[str], rows: list[list[Any]]) -> str:
    """Return a table in Markdown; short rows are filled up."""
    lines = [f"| {' | '.join(columns)} |", "|---|" + "--:|" * (len(columns) - 1)]
    for row in rows:
        lines.append(f"| {' | '.join([*map(str, row), *[''] * (len(columns) - len(row))])} |")
    return "\n".join(lines)


def words(interval: Interval, form: str = ".2f") -> str:
    """Return a number with its interval as words; "" where it is unknown."""
    if np.isnan(interval[0]):
        return ""
    value, low, high = (format(number, form) for number in interval)
    return f"{value} ({low} to {high})"


def printed(found: Results) -> None:
    """Print the limits and the tables of a window in Markdown."""
    print(f"\n## Windows of {found.window:,} bp\n")
    print("\n".join(f"- {limit}" for limit in limits(found)))
    for table in (left_out_table, expression_table, pair_table, each_pair_table, agreement_table):
        print(f"\n{table(found)}")
    commits = {title: f"{cell['commit']}, {cell['minutes']:.0f} minutes" for title, cell in found.models.items()}
    print("\n" + "; ".join(f"{title}: {about}" for title, about in {RIVALS: found.rivals["commit"], **commits}.items()))


def computed(path: Path, window: int, cell: Callable[[], dict[str, Any]]) -> None:
    """Compute a cell and write its file, unless there is one."""
    if not path.exists():
        started = time.monotonic()
        write_json(path, json_values({"window": window, "commit": commit(), **cell()}))
        print(f"{path.stem}: {time.monotonic() - started:.0f} s", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of study and runs; without it results are printed only")
    parser.add_argument("--data", type=Path, help="folder of chromosome 22")
    parser.add_argument("--pairs", type=Path, help="table of tested pairs")
    parser.add_argument("--links", type=Path, help="table of links of ENCODE-rE2G")
    parser.add_argument("--window", type=int, default=WINDOW, help="window of the models in bp")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=1, help="of torch, for each call")
    a = parser.parse_args()
    if a.out:
        if None in (a.data, a.pairs, a.links):
            parser.error("--out needs --data, --pairs and --links")
        torch.set_num_threads(a.threads)
        RESULTS.mkdir(parents=True, exist_ok=True)
        place = open_place(a.data, a.pairs, a.links, a.out, a.window)
        computed(cell_path(a.window, RIVALS), a.window, partial(rivals_cell, place))
        for model, seed in ((model, seed) for seed in a.seeds for model in a.models):
            computed(cell_path(a.window, model, seed), a.window, partial(model_cell, place, model, seed))
    for found in results():
        printed(found)


if __name__ == "__main__":
    main()
