"""Writing of results while the model computes: a thread takes scored genes from a short queue and writes them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from model_core.run_folder.gene_scores import ScoredGene
from model_core.run_folder.run import Run

AT_ONCE = 16  # genes that are written to the disk together


class WriteBehind:
    """Writer that appends genes to a run in a thread of its own, in the order of the calls of `put`.

    A context manager, used inside `run.writing()`. At its end, also after an exception or Ctrl-C, everything in the
    queue is written. If writing fails, `put` and the end of the block raise its exception.

    Parameters
    ----------
    run : Run
        The run that is being written.
    written : callable
        Called with each group of genes once it is on the disk.
    depth : int
        Largest number of calls of `put` that wait in the queue.
    """

    def __init__(
        self, run: Run, written: Callable[[Sequence[Mapping]], None] = lambda genes: None, depth: int = AT_ONCE
    ):
        self.run, self._written = run, written
        self.waited = 0.0  # seconds that `put` waited because the disk was slower
        self._queue: queue.Queue[Callable[[], Sequence[ScoredGene]] | None] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="write-behind", daemon=True)

    def __enter__(self) -> WriteBehind:
        self._thread.start()
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            self._finish()
        except KeyboardInterrupt as error:  # a second Ctrl-C: the current write is finished, the rest is dropped
            self._error = error
            self._finish()
        if self._error is not None and (kind is None or issubclass(kind, KeyboardInterrupt)):
            raise self._error  # also after Ctrl-C: the run is then not what the message would claim

    def put(self, scored: Callable[[], Sequence[ScoredGene]]) -> None:
        """Queue the next genes; wait while the queue is full.

        Parameters
        ----------
        scored : callable
            Returns the genes; it is called in the thread and may wait for a GPU.

        Raises
        ------
        BaseException
            The exception with which writing failed.
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
            group: list[ScoredGene] = []
            failed_before = self._error is not None  # then the queue is only emptied, so that `put` does not wait
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

    def _take(self, scored: Callable[[], Sequence[ScoredGene]], group: list[ScoredGene]) -> None:
        group.extend(scored())

    def _write(self, group: Sequence[ScoredGene]) -> None:
        self.run.extend(group)
        self._written([each.gene for each in group])

    def _try(self, step: Callable[..., None], *arguments) -> None:
        try:
            step(*arguments)
        except BaseException as error:  # it is raised in the thread that called `put`
            self._error = error
