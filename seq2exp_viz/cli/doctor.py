"""Command that says whether this machine, and every file that a study names, is as it must be: doctor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from model_core.errors import InputError, Problems
from model_core.records import read_toml
from model_core.remote.address import InputPath


def doctor(
    study: Annotated[
        Path | None,
        typer.Argument(
            metavar="STUDY", help="study.toml, or the folder that holds it; every file that it names is tried"
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="public data; the addresses of k562-hg38, gm12878-hg38 or h1-hg38 are tried")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the findings as JSON")] = False,
) -> None:
    """Check this machine, and ask for 1 kB of every address of a study: each line is good, or says what to do."""
    from model_core.datasets.public_study import public_addresses
    from seq2exp_viz import machine

    if study is not None and preset is not None:
        raise InputError("doctor", found="a study and --preset", expected="one of them", fix="leave one out")
    files: Mapping[str, InputPath] = {}
    if study is not None:
        files = named_by_study(study)
    elif preset is not None:
        files = public_addresses(preset)
    findings = [*machine.machine(), *machine.inputs(files)]
    good = all(finding.good for finding in findings if finding.needed)
    if as_json:
        typer.echo(json.dumps({"good": good, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        for finding in findings:
            typer.echo(finding.text())
    raise typer.Exit(0 if good else 2)


def named_by_study(path: Path) -> Mapping[str, InputPath]:
    """Return the files that a study.toml names, by their place in it; none of them is opened.

    Raises
    ------
    InputError
        It cannot be read, or is no study.
    """
    from model_core.study.study import Study
    from model_core.study.validate import schema_problems

    path = path.expanduser().absolute()
    path = path / "study.toml" if path.is_dir() else path
    raw = read_toml(path, "a study.toml", "check the path, or write one with `seq2exp-viz init`")
    try:
        return Study.model_validate(raw, context={"folder": path.parent}).inputs()
    except ValidationError as error:
        raise Problems(schema_problems(error, Study, path)) from None
