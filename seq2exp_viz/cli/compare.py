"""`seq2exp-viz compare`: a thin function that the command line registers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="run folder with scored genes")]


def compare(
    run: RunPath,
    against: Annotated[
        list[Path] | None, typer.Option(metavar="NARROWPEAK", help="peaks beside the run's own; again for more")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="BED", help="planted elements [default: those of a simulated study]")
    ] = None,
    crispr: Annotated[
        Path | None, typer.Option(metavar="TSV", help="tested element-gene pairs, as EngreitzLab/CRISPR_comparison")
    ] = None,
    cell_type: Annotated[str | None, typer.Option(help="of the tested pairs that count, such as K562")] = None,
    beside: Annotated[
        list[Path] | None, typer.Option(metavar="RUN", help="another run, such as one under a control mask; again")
    ] = None,
    seeds: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="a run of another seed; again [default: those of train --seeds]"),
    ] = None,
):
    """Judge a run's masks beside peaks, planted truth, CRISPR pairs, other runs and seeds: tables and a report."""
    from model_core.evaluation.compare import FOLDER
    from model_core.evaluation.compare import compare as compare_run
    from model_core.run_folder.run import Run
    from seq2exp_viz.reports.comparison_report import write_report

    opened = Run.open(run)
    found = compare_run(opened, against or (), truth, crispr, beside or (), seeds or (), cell_type)
    for sentence in [*found.summary["limits"], *found.summary.get("limits_of_pairs", ())]:
        typer.echo(f"- {sentence}")
    path = write_report(opened.path / FOLDER, found)
    typer.echo(f"wrote {len(found.tables)} tables and {path}")
