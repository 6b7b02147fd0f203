"""The demo: a simulated study from reads to page, and how well the mask finds what was planted."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from model_core.evidence.compare import FOLDER, Comparison, compare
from model_core.inputs.check import check_study
from model_core.inputs.peaks import peaks_of_study
from model_core.inputs.study import load_study
from model_core.network.score import choose_genes, score
from model_core.network.train import begin_run, train
from model_core.outputs.run import Run
from model_core.simulation.simulate import simulate_study
from seq2exp_viz.comparison.report import write_report

TRAINING = {"steps": 80, "warmup": 15, "lr": 6e-3, "lr_end": 1e-4, "validations_per_epoch": 2}


def run_demo(folder: Path, seed: int = 0, serve_page: bool = True, port: int | None = None) -> Run:
    """Everything at once, into `folder`: study/, run/ (soft) and control/ (a model that sees the promoter only).

    Called again on the same folder it goes on where it was.
    """
    console = Console()
    console.print("[bold]All data of this demo are simulated.[/bold] Nothing in it was measured.")
    study_file = folder / "study" / "study.toml"
    if not study_file.exists():
        simulate_study(folder / "study", seed)
    report = check_study(study_file)
    print(report.text())
    study = load_study(study_file)
    called, record = peaks_of_study(study)
    console.print(f"MACS3: {len(called):,} peaks. {record['limits']}", markup=False)
    recipe = study.train_config(**TRAINING, seed=seed)
    config = study.config(variant="soft")
    genes = choose_genes(study.genes())
    run = begin_run(study, config, recipe, folder / "run")
    with _page(run, serve_page, port) as page:  # there from now on; it fills as results come
        train(study, config, recipe, run.path)
        score(run, study, genes)
        # The control is the same model on a window that is all promoter, so nothing else can be seen.
        control = train(study, study.config(variant="soft", window=config.promoter), recipe, folder / "control")
        score(control, study, genes)
        found = compare(run, beside=[control.path])
        print_results(console, run, control, found)
        console.print(f"All of it, with figures: {write_report(run.path / FOLDER, found)}", markup=False)
        if page is not None:
            console.print("The page is open at the address above; Ctrl-C stops it.")
            page.wait()
    return run


@contextmanager
def _page(run: Run, serve_page: bool, port: int | None):
    """The page in a process of its own (it never imports torch), stopped at the end."""
    if not serve_page:
        yield None
        return
    words = [sys.executable, "-m", "seq2exp_viz.cli", "serve", str(run.path)]
    page = subprocess.Popen(words + (["--port", str(port)] if port is not None else []))
    try:
        yield page
    finally:
        page.terminate()
        page.wait()


def print_results(console: Console, run: Run, control: Run, found: Comparison) -> None:
    """What the demo found, as tables: prediction, ranking of bases, sets of bases."""
    summary, scores = found.summary, found.tables["scores"]
    console.print(f"\n[bold]Prediction on held-out chromosomes[/bold] ({summary['study']}, simulated)")
    table = Table("model", "genes", "Pearson", "95 % interval", "MSE")
    for name, one in {"soft": run, "promoter only": control}.items():
        test = one.metrics["prediction"]["test"]
        low, high = test["pearson_95"]
        interval = f"{low:.3f} to {high:.3f}"
        table.add_row(name, str(test["genes"]), f"{test['pearson']:.3f}", interval, f"{test['mse']:.3f}")
    console.print(table)
    console.print(
        f"[bold]Does the mask rank planted causal bases?[/bold] {summary['judged']['genes']} genes, "
        f"{summary['learned_bases']:,} bases, {summary['causal_share']:.1%} of them causal (the AUPRC of a guess)"
    )
    table = Table("score", "AUPRC", "AUROC")
    for row in scores[scores["kind"] != "set"].itertuples():
        table.add_row(row.score, f"{row.auprc:.3f}", f"{row.auroc:.3f}")
    console.print(table)
    console.print("[bold]The same share of bases kept by each[/bold] (of peaks as called, their own)")
    columns = ("kept_share", "precision", "recall", "elements_found", "weak_found", "decoys_kept")
    table = Table("set", "kept", "precision", "recall", "causal elements found", "weak ones found", "decoy bases kept")
    for _, row in scores.iterrows():
        table.add_row(row["score"], *(f"{row[name]:.1%}" for name in columns))
    console.print(table)
    for sentence in summary["limits"]:
        console.print(f"- {sentence}", markup=False, highlight=False)
