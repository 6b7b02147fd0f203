"""Progress of long jobs: a live bar on a terminal, an occasional line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.text import Text

_QUIET_SECONDS = 10.0  # between lines where there is no terminal


class Job:
    """Progress of a job towards `total`, with the count and the time left, on standard error.

    Use as a context manager: ``with Job("scoring genes", 120) as job: job.advance(note="GATA1")``.

    Parameters
    ----------
    what : str
        Name of the job, shown first.
    total : int
        Units of work.
    done : int
        Units already done (a resumed job).
    """

    def __init__(self, what: str, total: int, done: int = 0):
        self.what, self.total, self.done = what, total, done
        self._first = done
        self._started = self._reported = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Job:
        if sys.stderr.isatty():
            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            text = TextColumn("{task.description}"), TextColumn("{task.fields[note]}")
            self._bar = Progress(text[0], *columns, text[1], console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total, completed=self.done, note="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self.done > self._first:
            spent = time.monotonic() - self._started
            print(f"{self.what}: {self.done}/{self.total} in {_clock(spent)}", file=sys.stderr, flush=True)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Report `count` more units as done; `note` is the latest result."""
        self.done += count
        if self._bar is not None:
            self._bar.update(self._task, advance=count, note=note)
        elif time.monotonic() - self._reported >= _QUIET_SECONDS and self.done < self.total:
            self._reported = time.monotonic()
            print(f"{self.what}: {self.done}/{self.total}, {self._left()} left  {note}", file=sys.stderr, flush=True)

    def _left(self) -> str:
        spent, done = time.monotonic() - self._started, self.done - self._first
        return _clock(spent / done * (self.total - self.done)) if done else "unknown time"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Steps:
    """Steps of unknown length, on standard error: on a terminal one line that changes, elsewhere a line for each.

    Use as a context manager around the steps, and end it before anything else is printed.

    Parameters
    ----------
    moved : Callable[[], str]
        Returns what was moved over the network so far, in words; "" for nothing.
    """

    def __init__(self, moved: Callable[[], str] = lambda: ""):
        self._moved, self._words, self._began = moved, "", time.monotonic()
        self._spinner = Spinner("dots")
        self._live: Live | None = None

    def __enter__(self) -> Steps:
        if sys.stderr.isatty():
            self._live = Live(get_renderable=self._line, console=Console(stderr=True), transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def step(self, words: str) -> None:
        """Report a step that begins."""
        if words != self._words:
            self._words = words
            if self._live is None:
                print(self._text(), file=sys.stderr, flush=True)

    def until(self, last: str) -> Callable[[str], None]:
        """Return a function that reports each step it is called with, and ends with `last`, which shows its own."""

        def report(words: str) -> None:
            self.step(words)
            if words == last:
                self.end()

        return report

    def end(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _text(self) -> str:
        moved = self._moved()
        return f"{self._words}  ({moved})" if moved else self._words

    def _line(self) -> Spinner:
        spent = time.monotonic() - self._began
        self._spinner.update(text=Text(f"{self._text()}  {_clock(spent)}", overflow="ellipsis", no_wrap=True))
        return self._spinner
