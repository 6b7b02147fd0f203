"""`seq2exp-viz figure` and `seq2exp-viz report`: thin functions that the command line registers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="run folder, as train leaves it")]
Threshold = Annotated[float | None, typer.Option(help="0 to 1, to cut elements at [default: the run's]")]
ANNOTATION_SECONDS = 600  # a whole genome's GTF is read once, then kept


def figure(
    run: RunPath,
    gene: Annotated[str, typer.Option(help="symbol or id")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="file: .pdf, .svg or .png")] = None,
    locus: Annotated[
        str | None, typer.Option(help="chr1:1,000-2,000 or 1,000-2,000, counted from 1 [default: the gene's window]")
    ] = None,
    threshold: Threshold = None,
    caption: Annotated[bool, typer.Option("--caption/--no-caption", help="write under it what is drawn")] = True,
    dpi: Annotated[int, typer.Option(min=50, max=1200, help="dots an inch of a .png")] = 300,
):
    """Draw a gene's locus for a paper: genes, signals, peaks, mask with its 95 % band, elements; vector PDF or SVG."""
    from model_core.files import replacing
    from seq2exp_viz.reports.export import file_stem
    from seq2exp_viz.reports.locus_figure import locus_bytes, place_of

    view = _opened(run)
    place = place_of(view, gene, locus, threshold)
    path = _target(output or Path(f"{file_stem(view.run, gene)}.locus.pdf"))
    content = locus_bytes(view, place, path.suffix.lower().removeprefix("."), caption, dpi)
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)
    typer.echo(f"wrote {path}")


def report(
    run: RunPath,
    genes: Annotated[str, typer.Option(metavar="A,B", help="symbols or ids, comma between")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="file to write, .html")] = None,
    threshold: Threshold = None,
):
    """Write chosen genes as one HTML file that opens offline: figures, tables, observed and predicted, caveats."""
    from model_core.files import write_text
    from seq2exp_viz.reports.export import file_stem
    from seq2exp_viz.reports.gene_report import report as write_report

    view = _opened(run)
    names = [name.strip() for name in genes.split(",") if name.strip()]
    path = _target(output or Path(f"{file_stem(view.run)}.report.html"))
    write_text(path, write_report(view, names, threshold, lambda symbol: typer.echo(f"drew {symbol}", err=True)))
    typer.echo(f"wrote {path}")


def _opened(run: Path):
    from seq2exp_viz.runs.registry import RunRegistry

    view = RunRegistry([run]).first
    view.missing.listen(lambda line: typer.echo(f"note: {line}", err=True))
    view.wait_for_models(ANNOTATION_SECONDS)
    return view


def _target(path: Path) -> Path:
    from model_core.errors import InputError

    if not path.parent.is_dir():
        raise InputError(path, found=f"no folder {path.parent}", expected="an existing folder", fix="make it first")
    return path
