"""The command line: all commands in the order of use, and how errors are reported."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, NamedTuple, NoReturn

import typer

from model_core.errors import InputError
from seq2exp_viz.cli import (
    analysis,
    bench,
    cache,
    doctor,
    failures,
    gene,
    model,
    models,
    negative_controls,
    output,
    server,
    study,
)
from seq2exp_viz.cli.options import OptionalValues
from seq2exp_viz.cli.signals import stop_in_order


class Command(NamedTuple):
    """A command: its heading in `--help`, its function and an example of its use that works on the demo's files."""

    panel: str
    function: Callable
    example: str


COMMANDS = (  # the order of `--help`
    Command("Start", gene.gene, "gene GATA1 --cell K562"),
    Command("Study", study.init, "init k562 --preset k562-hg38 --download"),
    Command("Study", study.fetch, "fetch k562 --dry-run"),
    Command("Study", study.check, "check demo/study"),
    Command("Study", study.peaks, "peaks demo/study"),
    Command("Model", model.train, "train demo/study --variant soft --steps 100 -o my-run"),
    Command("Model", model.score, "score demo/run --genes MOCK2,MOCK7"),
    Command("Model", model.convert, "convert demo/run/checkpoint.safetensors released.ckpt"),
    Command("Model", models.models, "models"),
    Command("Analysis", analysis.effects, "effects demo/run --genes MOCK1401"),
    Command("Analysis", analysis.compare, "compare demo/run --compared-with demo/control"),
    Command("Analysis", analysis.calibrate, "calibrate demo/run"),
    Command("Analysis", bench.bench, "bench crispr --pairs pairs.tsv --by dataset"),
    Command("Analysis", negative_controls.negative_controls, "negative-controls demo/study --steps 400 -o controls"),
    Command("Output", output.export, "export demo/run bed --genes MOCK1401 -o MOCK1401.bed"),
    Command("Output", output.figure, "figure demo/run --genes MOCK1401 -o MOCK1401.pdf"),
    Command("Output", output.report, "report demo/run --genes MOCK1401,MOCK1402 -o report.html"),
    Command("Page", server.serve, "serve demo/run"),
    Command("Page", server.demo, "demo demo --no-serve"),
    Command("Machine", doctor.doctor, "doctor demo/study"),
    Command("Machine", cache.cache, "cache"),
)

app = typer.Typer(
    name="seq2exp-viz",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    epilog = f"Example: [bold]seq2exp-viz {command.example}[/bold]"
    spelled = command.function.__name__.replace("_", "-")
    app.command(spelled, cls=OptionalValues, rich_help_panel=command.panel, epilog=epilog)(command.function)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"seq2exp-viz {metadata.version('seq2exp-viz')}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version and exit")
    ] = False,
) -> None:
    """Train Seq2Exp models, score genes, and show in a genome browser which bases a predicted expression depends on."""


def main() -> None:
    """Run the program.

    What a person or the machine did ends with one message and exit code 2, never with a traceback; a fault of the
    program ends with a traceback and a line that asks for a report, exit code 1. With SEQ2EXP_DEBUG set, a message is
    preceded by its traceback.
    """
    # Waiting threads sleep: on a busy machine, spinning ones make each other twice as slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["MPLBACKEND"] = "agg"  # no figure needs a display, and matplotlib stops at a name that it does not know
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that knows ASCII only shows \u03b2 for what it cannot
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            with stop_in_order():
                app()
        finally:
            failures.flush_output()
    except InputError as error:
        _fail(str(error))
    except SystemExit as ended:  # typer ends itself after a broken pipe
        if isinstance(ended.__context__, BrokenPipeError):
            _broken_pipe(ended.__context__)
        raise
    except BrokenPipeError as error:
        _broken_pipe(error)
    except (OSError, MemoryError) as error:
        failures.discard_output()
        _fail(failures.system_words(error))
    except UnicodeEncodeError as error:
        if not failures.is_no_text(error):
            raise
        _fail(failures.no_text_words(error))
    except Exception:  # a fault of the program: the traceback is what a report needs
        traceback.print_exc()
        typer.secho(failures.REPORT, err=True, fg=typer.colors.RED)
        sys.exit(1)


def _broken_pipe(error: BrokenPipeError) -> NoReturn:
    """Exit quietly where the reader of the output has ended, as in `... | head`."""
    if failures.output_is_unread():
        failures.discard_output()
        sys.exit(failures.BROKEN_PIPE)
    _fail(failures.system_words(error))


def _fail(message: str) -> NoReturn:
    """Print an error and exit with code 2."""
    if os.environ.get("SEQ2EXP_DEBUG"):
        traceback.print_exc()
    typer.secho(f"error: {message}", err=True, fg=typer.colors.RED)
    sys.exit(2)
