"""Commands that make and check a study: init, fetch, check, peaks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model_core.errors import InputError
from seq2exp_viz.cli import options
from seq2exp_viz.cli.options import StudyPath


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="folder of the study (created if missing), or path of a .toml file")
    ],
    preset: Annotated[str | None, typer.Option(help="public data; k562-hg38, gm12878-hg38, h1-hg38, or encode")] = None,
    biosample: Annotated[
        str | None, typer.Option(metavar="NAME", help="cell type as ENCODE spells it (HepG2); with --preset encode")
    ] = None,
    expression: Annotated[
        str | None,
        typer.Option(metavar="ACCESSION", help="with --preset: gene quantification of ENCODE, the labels for training"),
    ] = None,
    download: Annotated[
        bool,
        typer.Option("--download", help="with --preset: a study whose files `fetch` downloads, with the paper's Hi-C"),
    ] = False,
    from_airs: Annotated[
        Path | None, typer.Option(metavar="DATA_ROOT", help="folder with the authors' released data")
    ] = None,
    cell_type: Annotated[str | None, options.cell_type("with --from-airs: K562, GM12878 or H1")] = None,
    fold: Annotated[int, typer.Option(help="fold of the released split; with --from-airs")] = 11,
    annotation: Annotated[
        Path | None, typer.Option(help="GTF file, which the release does not include; with --from-airs")
    ] = None,
    blacklist: Annotated[
        Path | None, typer.Option(help="BED file to use instead of the released pickle; with --from-airs")
    ] = None,
    shifted_contact: Annotated[
        bool,
        typer.Option("--shifted-contact", help="place Hi-C near chromosome ends as the release does; with --from-airs"),
    ] = False,
) -> None:
    """Write a study.toml: a commented template, one of public files, or one of the authors' released data."""
    if (biosample is not None) != (preset == "encode") or (
        (download and (expression or preset in (None, "encode"))) or (expression and preset is None)
    ):
        found = "--biosample, --expression, --download and --preset that do not fit together"
        expected = "--preset encode with --biosample NAME, or --download with another --preset"
        raise InputError("init", found=found, expected=expected, fix="correct the options")
    if preset is not None and from_airs is not None:
        raise InputError("init", found="--preset and --from-airs", expected="one of them", fix="leave one out")
    if from_airs is not None:
        from model_core.datasets.airs_study import study_from_airs

        if cell_type is None:
            raise InputError(
                "init", found="--from-airs without --cell-type", expected="both", fix="add K562, GM12878 or H1"
            )
        path = study_from_airs(from_airs, cell_type, folder, fold, annotation, blacklist, shifted_contact)
        typer.echo(f"wrote {path}; next: seq2exp-viz check {path}")
    elif preset is not None:
        _from_public_files(preset, biosample, expression, download, folder)
    else:
        from model_core.study.study import write_template

        path = write_template(folder)
        typer.echo(f"wrote {path}; fill it in, then: seq2exp-viz check {path}")


def _from_public_files(
    preset: str, biosample: str | None, expression: str | None, download: bool, folder: Path
) -> None:
    """Write the study of a preset, and say what comes next."""
    if download:
        from model_core.datasets.presets import study_to_download

        path = study_to_download(preset, folder)
        typer.echo(f"wrote {path}; next: seq2exp-viz fetch {path}")
        return
    from model_core.datasets.public_study import study_from_encode, study_from_preset

    if biosample is not None:
        path = study_from_encode(biosample, folder, typer.echo, expression)
    else:
        path = study_from_preset(preset, folder, typer.echo, expression)
    typer.echo(f"wrote {path}; next: seq2exp-viz check {path}")


def fetch(
    study: Annotated[Path, options.study("crispr-k562 for the public table of pairs that `bench crispr` reads")],
    dry_run: Annotated[bool, options.dry_run("lists files and their sizes")] = False,
) -> None:
    """Download the files of a study that `init --preset NAME --download` wrote; resumes, and verifies checksums."""
    from model_core.datasets import tested_pairs
    from model_core.datasets.fetch import fetch_study

    if str(study) == tested_pairs.NAME and not study.exists():
        tested_pairs.fetch_tested_pairs(dry_run, typer.echo)
    else:
        fetch_study(study, dry_run, typer.echo)


def check(study: StudyPath) -> None:
    """Read every file that a study names, report all problems at once, and report whether the genome builds agree."""
    from model_core.study.check import check_study

    report = check_study(study)
    typer.echo(report.text())
    if not report.ok:
        raise typer.Exit(2)


def peaks(study: StudyPath) -> None:
    """Call the peaks of a study with MACS3, or read its narrowPeak file, and report what peaks can and cannot show."""
    from model_core.study.peaks import peaks_of_study
    from model_core.study.study import load_study

    table, record = peaks_of_study(load_study(study))
    typer.echo(f"{len(table):,} peaks  {record.get('command') or ''}".rstrip())
    for said in (record.get("genome_size_rule"), record["limits"]):
        if said:
            typer.echo(said)
