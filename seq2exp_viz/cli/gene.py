"""Command that scores genes of a cell type from public files and shows them: gene."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model_core.errors import InputError
from seq2exp_viz.cli import options
from seq2exp_viz.cli.options import Device, Port
from seq2exp_viz.worker.availability import require_packages


def gene(
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="gene symbols or IDs")],
    cell: Annotated[
        str, typer.Option(metavar="NAME", help="cell type: K562, GM12878, H1, or any biosample as ENCODE spells it")
    ] = "K562",
    model: Annotated[
        str, options.model("soft and hard are the ones released for this cell type, of K562 where there are none")
    ] = "soft",
    serve_page: Annotated[
        bool, typer.Option("--serve/--no-serve", help="open the page; it shows what is still on its way")
    ] = True,
    run: Annotated[
        Path | None, options.output("run folder, which may hold genes already; by default in the user's data folder")
    ] = None,
    port: Port = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="open a browser window")] = True,
    device: Device = None,
) -> None:
    """Score genes with a released model on public data of a cell type; reads the genes' windows, no whole genome."""
    require_packages()
    from model_core.datasets.kept import kept_model, kept_run, kept_study
    from model_core.datasets.known_models import model_file, model_for
    from model_core.progress import Steps
    from model_core.remote.traffic import TRAFFIC
    from model_core.run_folder.notes import notes_of
    from model_core.scoring.one_gene import SCORING, prepare_genes
    from model_core.scoring.score import run_for
    from model_core.study.study import load_study

    names = options.gene_names(symbols)
    if not names:
        raise InputError("gene", found="no gene", expected="a symbol or an ID", fix="add one, such as GATA1")
    path = kept_study(cell, typer.echo)
    with Steps(TRAFFIC.words) as steps:
        steps.step("opening the study")
        study = load_study(path)
        steps.step("finding the model")
        chosen = model_file(model_for(cell, model))
        weights, out = kept_model(chosen), run or kept_run(study.name, chosen.name)
        if serve_page:
            opened = run_for(study, weights, out, model=chosen)
        else:
            opened, results = prepare_genes(out, study, weights, names, steps.until(SCORING), device, chosen)
    if not serve_page:
        for result in results:
            typer.echo(result.text())
        for note in notes_of(opened):
            typer.echo(f"note: {note.text}")
    if moved := TRAFFIC.words():
        typer.echo(moved)
    typer.echo(f"run: {opened.path}")
    if not serve_page:
        typer.echo(f"next: seq2exp-viz serve {opened.path}")
        return
    from seq2exp_viz.serve import serve

    serve([opened.path], port=port, open_browser=open_browser, score=names, notify=typer.echo)
