"""Commands that show the page: serve, demo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from model_core.errors import InputError
from seq2exp_viz.cli.options import Port, Seed
from seq2exp_viz.worker.availability import require_packages


def serve(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="run folders; the first is shown first")],
    port: Port = None,
    host: Annotated[
        str, typer.Option(help="address to listen on; any address other than 127.0.0.1 or ::1 requires a token")
    ] = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="open a browser window")] = True,
    url_prefix: Annotated[str | None, typer.Option(help="path under which a proxy shows the page")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SEQ2EXP_TOKEN",
            help="secret that the page requires; without a value, or where --host requires one, a random one is made",
        ),
    ] = None,
    allow: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="folder with tracks (BED, bigWig ...) that the page may open; repeatable"),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="show only: no genes are scored, no what-if, nothing is stored")
    ] = False,
    check_only: Annotated[
        bool, typer.Option("--check", help="open all runs, report what would be served, and exit")
    ] = False,
) -> None:
    """Show runs in the genome browser: masks, peaks and signals."""
    check_token(token)
    if check_only:
        from seq2exp_viz.runs.check import check_runs
        from seq2exp_viz.serving.allowed_files import AllowedFiles

        good = check_runs(runs, typer.echo)
        if allow:
            typer.echo(f"{len(AllowedFiles(allow).files()):,} tracks in the allowed folders")
        raise typer.Exit(0 if good else 2)
    from seq2exp_viz.serve import serve as serve_runs

    serve_runs(runs, host, port, open_browser, url_prefix, token, allow=allow or (), read_only=read_only)


def check_token(token: str | None) -> None:
    """Refuse what cannot be meant as a secret.

    Raises
    ------
    InputError
        An empty text, which would let everybody in, or a path, which stood behind --token without a value.
    """
    if token is not None and (not token.strip() or os.path.exists(token)):
        found = repr(token) if not token.strip() else f"the path {token}"
        fix = "set SEQ2EXP_TOKEN, or put --token without a value at the end, and one is made"
        raise InputError("--token", found=found, expected="a secret", fix=fix)


def demo(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="folder for study and runs (created if missing)")],
    serve_page: Annotated[
        bool, typer.Option("--serve/--no-serve", help="open the page; during the demo and afterwards")
    ] = True,
    seed: Seed = 0,
    port: Port = None,
) -> None:
    """Simulate a study with planted elements, train, score, call peaks with MACS3, and evaluate the mask."""
    require_packages()
    from seq2exp_viz.demo import run_demo

    run_demo(folder, seed, serve_page, port)
