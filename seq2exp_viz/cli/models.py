"""Command that lists the models that can be used by name: models."""

from __future__ import annotations

from typing import Annotated

import typer

from seq2exp_viz.worker.availability import require_packages


def models(
    anew: Annotated[bool, typer.Option("--update", help="ask Hugging Face again, and use its newest commit")] = False,
) -> None:
    """List the models that --checkpoint and --model take by name: source, size, licence, what they were trained on."""
    require_packages()
    from model_core.datasets.hugging_face import UnreachableHubError, listing
    from model_core.datasets.known_models import NAMES, REPOSITORY, TEST_CHROMOSOMES, named
    from model_core.errors import InputError

    typer.echo(f"The authors' models: https://huggingface.co/{REPOSITORY}")
    typer.echo(f"trained on fold_11: all chromosomes but {' and '.join(TEST_CHROMOSOMES)}")
    try:
        found = listing(REPOSITORY, anew=anew)
    except UnreachableHubError as error:
        for name in NAMES:
            typer.echo(f"  {name}")
        typer.echo(f"files, sizes and licence need a connection: {error}")
        return
    typer.echo(f"commit {found.revision}, licence: {found.licence or 'not stated'}")
    for name in NAMES:
        try:
            file = named(found, name)
        except InputError as error:
            typer.echo(f"  {name:<14} {error.problems[0].found}")
        else:
            size = "size not stated" if file.size is None else f"{file.size / 1e6:,.1f} MB"
            typer.echo(f"  {name:<14} {size:>10}  {file.path}")
    typer.echo("Any other: hf://USER/REPOSITORY/FILE, https://..., or a path")
