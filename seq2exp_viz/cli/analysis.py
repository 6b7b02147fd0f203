"""Commands that evaluate a run: effects, compare, calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2exp_viz.cli import options
from seq2exp_viz.cli.options import AllGenes, Device, Genes, RunPath
from seq2exp_viz.worker.availability import require_packages


def effects(
    run: RunPath,
    genes: Genes = None,
    all_genes: AllGenes = False,
    controls: Annotated[int, typer.Option(min=0, help="number of random control regions per length of element")] = 20,
    shuffles: Annotated[
        int,
        typer.Option(
            min=0, help="number of copies of each element with shuffled bases, dinucleotides kept, put in its place"
        ),
    ] = 0,
    occlusion: Annotated[
        bool,
        typer.Option(
            "--occlusion", help="also hide each block of the window in turn, without a mask, and write a track"
        ),
    ] = False,
    block: Annotated[
        int, typer.Option("--block-size", "--block", min=1, help="block size in bp; with --occlusion")
    ] = 128,
    step: Annotated[
        int, typer.Option("--stride", "--step", min=1, help="distance between block starts in bp; with --occlusion")
    ] = 64,
    smallest: Annotated[
        bool,
        typer.Option(
            "--smallest", help="also find a small set of elements that retains 90 % of the effect (greedy search)"
        ),
    ] = False,
    device: Device = None,
) -> None:
    """Compute the effect of every element of scored genes: switch it off, predict again, compare with controls."""
    require_packages()
    from model_core.perturbation import rank
    from model_core.perturbation.run_model import RunModel
    from model_core.run_folder.effects import BACKGROUND, caveat, control_words, shuffle_words
    from model_core.run_folder.run import Run

    opened = Run.open(run)
    chosen = rank.choose_scored(opened, options.gene_names(genes), all_genes)
    model = RunModel(opened, device)
    table = rank.effects_of(model, chosen, controls, shuffles)
    mine = table[table["gene_id"].isin(chosen["gene_id"])]
    typer.echo(f"{len(mine):,} elements of {len(chosen):,} genes in {opened.path / 'effects' / 'effects.tsv'}")
    for row in rank.strongest(mine).itertuples():
        place = f"{row.chrom}:{row.start + 1:,}-{row.end:,}"
        words = control_words(row.control_rank, row.control_n)
        if shuffles:
            words += f"; {shuffle_words(row.shuffle_rank, row.shuffle_n)}"
        typer.echo(f"  {row.symbol} {row.element} {place}  effect {row.effect:+.3f}  {words}")
    if len(mine) and controls:
        typer.echo(BACKGROUND)
    if smallest:
        for found in rank.smallest_sets(model, chosen):
            typer.echo(f"  {found}")
    if occlusion:
        rank.occlusion_of(model, chosen, block, step)
    typer.echo(caveat(opened.config))


def compare(
    run: RunPath,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="NARROWPEAK", help="peaks to compare with, in addition to the run's own; repeatable"),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="BED", help="planted elements (default: those of a simulated study)")
    ] = None,
    crispr: Annotated[
        Path | None,
        typer.Option(metavar="TSV", help="tested element-gene pairs, in the columns of EngreitzLab/CRISPR_comparison"),
    ] = None,
    cell_type: Annotated[
        str | None, options.cell_type("only pairs tested in it are used, such as K562 (default: all)")
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--compared-with",
            "--beside",
            metavar="RUN",
            help="run to compare with, such as one with a control mask; repeatable",
        ),
    ] = None,
    seed_runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--seed-run",
            metavar="RUN",
            help="run trained with another random seed; repeatable (default: those of train --seeds)",
        ),
    ] = None,
) -> None:
    """Compare masks with peaks, planted truth, CRISPR pairs, other runs and other seeds; write tables and a report."""
    from model_core.evaluation.compare import FOLDER
    from model_core.evaluation.compare import compare as compare_run
    from model_core.run_folder.run import Run
    from seq2exp_viz.reports.comparison_report import write_report

    opened = Run.open(run)
    found = compare_run(opened, against or (), truth, crispr, beside or (), seed_runs or (), cell_type)
    for sentence in [*found.summary["limits"], *found.summary.get("limits_of_pairs", ())]:
        typer.echo(f"- {sentence}")
    path = write_report(opened.path / FOLDER, found)
    typer.echo(f"wrote {len(found.tables)} tables and {path}")


def calibrate(run: RunPath) -> None:
    """Fit the chance that an element is a planted one, on the validation genes of a simulated study.

    Score these genes first: seq2exp-viz score RUN --split validation. The map is written into the run. Only a study
    with planted truth can be calibrated, and the chance holds for that study only.
    """
    require_packages(("sklearn",))
    from model_core.evaluation.reliability import calibrate as calibrate_run
    from model_core.evaluation.reliability import reliability_text
    from model_core.run_folder.calibration import SCORE_WORDS
    from model_core.run_folder.run import Run
    from model_core.run_folder.source import study_of

    opened = Run.open(run)
    found = calibrate_run(opened, study_of(opened))
    typer.echo(reliability_text(found.record))
    typer.echo(f"chance of an element by {SCORE_WORDS[found.score]}: {found.words}, {found.record['truth']['path']}")
    typer.echo(f"wrote {opened.path / 'calibration.json'}")
