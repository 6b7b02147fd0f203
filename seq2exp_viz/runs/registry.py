"""All runs of a server, by the keys in their URLs."""

from __future__ import annotations

import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from model_core.errors import InputError
from model_core.run_folder.run import Run
from seq2exp_viz.runs.gene_list import gene_list
from seq2exp_viz.runs.missing import Missing
from seq2exp_viz.runs.run_view import RunView


class RunRegistry:
    """All runs of a server, by key, in the order given.

    Parameters
    ----------
    runs : Iterable[str or Path or Run]
        Run folders or opened runs.
    cache : Path or None
        Folder for derived files; None takes the user's cache.

    Raises
    ------
    InputError
        No run, or a folder that is not a run.
    """

    def __init__(self, runs: Iterable[str | Path | Run], cache: Path | None = None):
        self.runs: dict[str, RunView] = {}
        self._stops: list[Callable[[], None]] = []
        for item in runs:
            run = item if isinstance(item, Run) else Run.open(item)
            key = _free_key(run.name, self.runs)
            self.runs[key] = RunView.open(key, run, cache)
        if not self.runs:
            expected, fix = "at least one run folder", "give the folder that train or score wrote"
            raise InputError("serve", found="no run", expected=expected, fix=fix)

    def __getitem__(self, key: str) -> RunView:
        return self.runs[key]

    def __iter__(self) -> Iterator[RunView]:
        return iter(self.runs.values())

    def get(self, key: str) -> RunView | None:
        """Return the run with this key, or None."""
        return self.runs.get(key)

    @property
    def first(self) -> RunView:
        """The run that is shown when a link names none."""
        return next(iter(self.runs.values()))

    def at_close(self, stop: Callable[[], None]) -> None:
        """Register `stop`, which is called when the registry is closed."""
        self._stops.append(stop)

    def prepare(self, notify: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)) -> None:
        """Start reading in the background what the first page needs, and gene models that are not in the cache.

        Parameters
        ----------
        notify : callable
            Called with a line for each missing input, now and later, from any thread.
        """
        for view in self:
            view.missing.listen(partial(_notify_of_run, notify, view.key))
        threading.Thread(target=_read_ahead, args=(self.first,), daemon=True).start()
        for view in self:
            if view.models is not None:
                view.models.start()

    def close(self) -> None:
        """Stop all background work."""
        while self._stops:
            self._stops.pop()()
        for view in self:
            if view.models is not None:
                view.models.close()


def _notify_of_run(notify: Callable[[str], None], key: str, line: str) -> None:
    notify(f"note on {key}: {line}")


def _read_ahead(view: RunView) -> None:
    """Read a run's list of genes and its first gene; what cannot be read is reported as missing."""
    try:
        genes = gene_list(view)
        if view.run.scored:
            view.interval(genes["gene_id"].iloc[0])
            view.cut(genes["gene_id"].iloc[0])
    except (InputError, OSError) as problem:
        view.missing.add(Missing("The first gene could not be read", str(problem)))
    except Exception as problem:  # no caller waits for this thread, so it reports its own error
        traceback.print_exc()
        view.missing.add(Missing("The first gene could not be read", f"{type(problem).__name__}: {problem}"))


def _free_key(name: str, taken: dict) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    key, number = stem, 2
    while key in taken:
        key, number = f"{stem}-{number}", number + 1
    return key
