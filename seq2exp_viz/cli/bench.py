"""Command that ranks what experiments found: bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from model_core.errors import InputError
from seq2exp_viz.cli import options

_RIVAL = (
    "predictions of another program, a table of elements, genes and a score, as NAME=FILE or NAME=FILE:COLUMN; "
    "repeatable"
)


def bench(
    truth: Annotated[
        Literal["crispr"], typer.Argument(metavar="TRUTH", help="crispr: element-gene pairs that were tested by CRISPR")
    ],
    run: Annotated[Path | None, options.run("its scores are ranked, too")] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV",
            show_default=False,
            help="tested pairs, in the columns of EngreitzLab/CRISPR_comparison (default: what `fetch crispr-k562` "
            "wrote)",
        ),
    ] = None,
    rival: Annotated[list[str] | None, typer.Option(metavar="NAME=FILE", help=_RIVAL)] = None,
    max_distance: Annotated[
        int, typer.Option(min=1, help="distance in bp from the start site at which pairs are left out")
    ] = 100_000,
    by: Annotated[
        Literal["dataset", "cell-type"] | None, typer.Option(help="what to group pairs by, with rows for each group")
    ] = None,
    cell_type: Annotated[
        str | None, options.cell_type("only pairs tested in it are used, such as K562 (default: all)")
    ] = None,
    output: Annotated[Path | None, options.output("a folder for the tables and summary.json")] = None,
) -> None:
    """Rank CRISPR-tested pairs by distance, signals, other programs' predictions and a run, with intervals."""
    from model_core.datasets.tested_pairs import tested_pairs
    from model_core.evaluation.crispr_bench import bench_crispr, write_bench
    from model_core.evaluation.crispr_pairs import read_pairs
    from model_core.evaluation.rivals import read_rival
    from model_core.run_folder.run import Run
    from seq2exp_viz.reports.bench_text import bench_text

    place = pairs or tested_pairs()
    if pairs is None and not place.exists():
        do = "run `seq2exp-viz fetch crispr-k562`, or give --pairs FILE"
        raise InputError("--pairs", found="no table of tested pairs", expected=f"--pairs FILE, or {place}", fix=do)
    opened = None if run is None else Run.open(run)
    rivals = [read_rival(text) for text in rival or ()]
    column = None if by is None else by.replace("-", "_")
    found = bench_crispr(read_pairs(place), opened, rivals, max_distance, column, cell_type)
    if output is not None:
        write_bench(output, found)
    typer.echo(bench_text(found, place))
    if output is not None:
        typer.echo(f"wrote {len(found.tables)} tables and {output / 'summary.json'}")
