"""Write results behind the model: a thread takes scored genes off a short queue and writes them to disk."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from model_core.run_folder.run import Run

Scored = tuple[Mapping, np.ndarray, np.ndarray]  # what `Run.append` takes
AT_ONCE = 16  # genes that share the waiting for the disk


class WriteBehind:
    """Appends genes to a run in a thread of its own, in the order in which they were put.

    A context manager, inside `run.writing()`. At its end, also by an exception or Ctrl-C, everything in the queue is
    written. Where writing fails, `put` and the end of the block raise what it failed with.

    Parameters
    ----------
    run : Run
        The run that is being written.
    written : callable
        Told of each group of genes once it is on the disk.
    depth : int
        How many things that were put may wait.
    """

    def __init__(
        self, run: Run, written: Callable[[Sequence[Mapping]], None] = lambda genes: None, depth: int = AT_ONCE
    ):
        self.run, self._written = run, written
        self.waited = 0.0  # seconds that `put` waited because the disk was slower
        self._queue: queue.Queue[Callable[[], Sequence[Scored]] | None] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="write-behind", daemon=True)

    def __enter__(self) -> WriteBehind:
        self._thread.start()
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            self._finish()
        except KeyboardInterrupt as error:  # a second Ctrl-C: what is being written is finished, the rest is left
            self._error = error
            self._finish()
        if self._error is not None and (kind is None or issubclass(kind, KeyboardInterrupt)):
            raise self._error  # also after Ctrl-C: what it left behind is then not what it says

    def put(self, scored: Callable[[], Sequence[Scored]]) -> None:
        """Hand over the next genes, as a function that gives them; it is called in the thread and may wait for a GPU.

        Waits while the queue is full.

        Raises
        ------
        whatever writing failed with.
        """
        if self._error is not None:
            raise self._error
        began = time.perf_counter()
        self._queue.put(scored)
        self.waited += time.perf_counter() - began

    def _finish(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        ended = False
        while not ended:
            group: list[Scored] = []
            failed_before = self._error is not None  # then the queue is only emptied, so that nobody waits
            while not ended and len(group) < AT_ONCE:
                try:
                    taken = self._queue.get(block=not group)
                except queue.Empty:
                    break
                ended = taken is None
                if not ended and self._error is None:
                    self._try(self._take, taken, group)
            if group and not failed_before:
                self._try(self._write, group)

    def _take(self, scored: Callable[[], Sequence[Scored]], group: list[Scored]) -> None:
        group.extend(scored())

    def _write(self, group: Sequence[Scored]) -> None:
        self.run.extend(group)
        self._written([gene for gene, _, _ in group])

    def _try(self, step: Callable[..., None], *arguments) -> None:
        try:
            step(*arguments)
        except BaseException as error:  # it belongs to the thread that put the genes
            self._error = error
