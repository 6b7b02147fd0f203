"""What a command does when it is stopped: by Ctrl-C, by SIGTERM, or by the end of the process that started it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from model_core.child import follow_parent
from model_core.stopping import STOP, exit_code

RESUME = "Run the same command again to resume."


@contextmanager
def stop_in_order() -> Iterator[None]:
    """Run a command inside the block; a stop signal ends it with one line and exit code 130 (SIGINT) or 143 (SIGTERM).

    What the command has computed is written first. A process that another one started for its own work ends with that
    one, and leaves the line to it.
    """
    started_by_another = follow_parent()
    with STOP.handled():
        try:
            yield
        except KeyboardInterrupt as stop:
            _end(stop, started_by_another)
        except SystemExit as end:
            interruption = _behind(end)
            if interruption is None:
                raise
            _end(interruption, started_by_another)
        except RuntimeError as problem:
            # A signal to all processes ends those that read ahead, which PyTorch reports as an error of its own.
            if STOP.first is None or "DataLoader worker" not in str(problem):
                raise
            try:
                STOP.check()
            except KeyboardInterrupt as stop:
                _end(stop, started_by_another)


def _behind(end: SystemExit) -> KeyboardInterrupt | None:
    """Return the interruption that Typer has made an exit of."""
    found: BaseException | None = end
    while found is not None and not isinstance(found, KeyboardInterrupt):
        found = found.__cause__ or found.__context__
    return found


def _end(stop: KeyboardInterrupt, quietly: bool) -> None:
    code = exit_code(stop)
    if not quietly:
        typer.echo(f"{'Interrupted' if code == 130 else 'Stopped by SIGTERM'}. {RESUME}", err=True)
    sys.exit(code)
