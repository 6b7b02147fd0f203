"""All runs of a server, by the keys that stand in URLs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from model_core.errors import InputError
from model_core.outputs.run import Run
from seq2exp_viz.shelf.view import OpenRun


class Shelf:
    """All runs of a server, by key, in the order given."""

    def __init__(self, runs: Iterable[str | Path | Run], cache: Path | None = None):
        self.runs: dict[str, OpenRun] = {}
        self._stops: list[Callable[[], None]] = []
        for item in runs:
            run = item if isinstance(item, Run) else Run.open(item)
            key = _free_key(run.name, self.runs)
            self.runs[key] = OpenRun(key, run, cache)
        if not self.runs:
            raise InputError(
                "serve: found no run; expected at least one run folder; give the folder that train or score wrote"
            )

    def __getitem__(self, key: str) -> OpenRun:
        return self.runs[key]

    def __iter__(self) -> Iterator[OpenRun]:
        return iter(self.runs.values())

    def get(self, key: str) -> OpenRun | None:
        """The run with this key, or None."""
        return self.runs.get(key)

    @property
    def first(self) -> OpenRun:
        """The run that is shown when a link names none."""
        return next(iter(self.runs.values()))

    def at_close(self, stop: Callable[[], None]) -> None:
        """Have `stop` called when the shelf is closed."""
        self._stops.append(stop)

    def read_annotations(self) -> None:
        """Begin to read gene models in the background, where no earlier server has left them in the cache."""
        for view in self:
            if view.models is not None:
                view.models.start()

    def close(self) -> None:
        """Stop what goes on in the background."""
        while self._stops:
            self._stops.pop()()
        for view in self:
            if "models" in view.__dict__ and view.models is not None:
                view.models.close()


def _free_key(name: str, taken: dict) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    key, number = stem, 2
    while key in taken:
        key, number = f"{stem}-{number}", number + 1
    return key
