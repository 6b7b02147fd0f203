"""The demo: a simulated study from reads to page, and how well the mask finds the planted elements."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from model_core.child import child_environment
from model_core.config import causal_stages
from model_core.evaluation.compare import FOLDER, Comparison, compare
from model_core.run_folder.run import Run
from model_core.scoring.score import choose_genes, score
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import WORLDS
from model_core.study.check import check_study
from model_core.study.peaks import peaks_of_study
from model_core.study.study import load_study
from model_core.training.train import begin_run, train
from seq2exp_viz.reports.comparison_report import write_report

WORLD = replace(WORLDS["plain"], genes=(700, 700, 160), changed=0.0)
COMMON = {"lr_end": 1e-4, "validations_per_epoch": 1}
SOFT = {"steps": 100, "warmup": 15, "lr": 6e-3, **COMMON}
CAUSAL = {"steps": 600, **causal_stages(600), **COMMON}


def run_demo(folder: Path, seed: int = 0, serve_page: bool = True, port: int | None = None) -> Run:
    """Simulate a study, train three models, score, compare, and show the page.

    A second call with the same folder resumes where the first one stopped.

    Parameters
    ----------
    folder : Path
        Folder for study/, run/ (the causal variant), soft/ (the variant as published) and control/ (a soft model that
        sees only the promoter).
    seed : int
        Random seed.
    serve_page : bool
        Show the page during the demo and afterwards.
    port : int or None
        Port of the page; None takes the first free one.

    Returns
    -------
    Run
        The run of the causal variant.
    """
    console = Console()
    console.print("[bold]All data of this demo are simulated.[/bold] Nothing in it was measured.")
    study_file = folder / "study" / "study.toml"
    if not study_file.exists():
        simulate_study(folder / "study", seed, WORLD)
    report = check_study(study_file)
    print(report.text())
    study = load_study(study_file)
    called, record = peaks_of_study(study)
    console.print(f"MACS3: {len(called):,} peaks. {record['limits']}", markup=False)
    soft, causal = study.config(variant="soft"), study.config(variant="causal")
    quick, staged = study.train_config(**SOFT, seed=seed), study.train_config(**CAUSAL, seed=seed)
    # The control is the same model on a window that is all promoter, so nothing else can be seen.
    control = study.config(variant="soft", window=soft.promoter)
    genes = choose_genes(study.genes())
    plans = {"run": (causal, staged), "soft": (soft, quick), "control": (control, quick)}
    runs = {name: begin_run(study, *plan, folder / name) for name, plan in plans.items()}
    with _page([runs["run"], runs["soft"]], serve_page, port) as page:  # open from now on; results appear as they come
        for name in reversed(plans):  # the longest last
            score(train(study, *plans[name], runs[name].path), study, genes)
        published = compare(Run.open(runs["soft"].path))
        found = compare(Run.open(runs["run"].path), beside=[runs["soft"].path, runs["control"].path])
        print_results(console, {name: Run.open(run.path) for name, run in runs.items()}, found, published)
        console.print(
            f"The full report, with figures: {write_report(runs['run'].path / FOLDER, found)}", soft_wrap=True
        )
        if page is not None:
            if page.poll() is None:
                console.print("The page is open at the address above. Ctrl-C stops it.")
            if code := page.wait():
                console.print(
                    f"The page ended with exit code {code}. To show it again: seq2exp-viz serve {runs['run'].path}"
                )
    return runs["run"]


@contextmanager
def _page(runs: list[Run], serve_page: bool, port: int | None) -> Iterator[subprocess.Popen | None]:
    """Run the page in a process of its own (it never imports torch) and stop it at the end."""
    if not serve_page:
        yield None
        return
    words = [sys.executable, "-m", "seq2exp_viz.cli", "serve", *(str(run.path) for run in runs)]
    words += ["--port", str(port)] if port is not None else []
    page = subprocess.Popen(words, env=child_environment(ends_with_parent=True))
    try:
        yield page
    finally:
        page.terminate()
        page.wait()


def print_results(console: Console, runs: dict[str, Run], found: Comparison, published: Comparison) -> None:
    """Print the results of the demo as tables: prediction, ranking of bases, sets of bases.

    Parameters
    ----------
    console : Console
        Where to print.
    runs : dict[str, Run]
        "run", "soft" and "control", as in `run_demo`.
    found, published : Comparison
        Comparison of the causal run and of the soft run.
    """
    summary = found.summary
    console.print(f"\n[bold]Prediction on held-out chromosomes[/bold] ({summary['study']}, simulated)")
    table = Table("model", "genes", "Pearson", "95 % interval", "MSE")
    for name, label in {"run": "causal", "soft": "soft, as published", "control": "promoter only"}.items():
        test = runs[name].metrics["prediction"]["test"]
        low, high = test["pearson_95"]
        interval = f"{low:.3f} to {high:.3f}"
        table.add_row(label, str(test["genes"]), f"{test['pearson']:.3f}", interval, f"{test['mse']:.3f}")
    console.print(table)
    of_soft = published.tables["scores"]
    of_soft = of_soft[of_soft["score"] == "mask elements"].assign(score="soft mask elements")
    scores = pd.concat([found.tables["scores"], of_soft])  # its mask is already one of the scores compared with
    console.print(
        f"[bold]Does the mask rank planted causal bases?[/bold] {summary['judged']['genes']} genes, "
        f"{summary['learned_bases']:,} bases, {summary['causal_share']:.1%} of them causal (the AUPRC by chance). "
        f"Rank correlation of the soft mask with its prior: {published.summary['rank_correlation_with_prior']:.4f}"
    )
    table = Table("score", "AUPRC", "AUROC")
    for row in scores[scores["kind"] != "set"].itertuples():
        table.add_row(row.score, f"{row.auprc:.3f}", f"{row.auroc:.3f}")
    console.print(table)
    console.print("[bold]Sets that keep the same share of bases[/bold] (peaks as called keep their own share)")
    columns = ("kept_share", "precision", "recall", "elements_found", "weak_found", "decoys_kept")
    table = Table("set", "kept", "precision", "recall", "causal elements found", "weak ones found", "decoy bases kept")
    for _, row in scores.iterrows():
        table.add_row(row["score"], *(f"{row[name]:.1%}" for name in columns))
    console.print(table)
    for sentence in summary["limits"]:
        console.print(f"- {sentence}", markup=False, highlight=False)
