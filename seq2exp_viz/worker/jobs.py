"""Questions and jobs for the models of the runs: their origin, their progress and their results."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from seq2exp_viz.worker.client import COMMAND, Worker

KINDS = {
    "effects": "Rank the elements of {}",
    "smallest": "Smallest set of elements of {}",
    "occlusion": "Occlusion track of {}",
    "score": "Score {}",
}
ENDED = ("done", "failed", "cancelled")
MOST_WAITING = 50  # jobs that have not ended
MOST_QUESTIONS = 24  # that have not ended; of each page there is one
MOST_OF_PROGRAMS = 8  # of them, those that name no page, so that a program leaves places for people
MOST_KEPT = 200  # jobs, and as many questions, that are remembered
MOST_ANSWERS = 2_000  # of questions


@dataclass
class Task:
    """One question (kind "whatif") or job.

    Attributes
    ----------
    id : int
        Increasing number.
    run, gene, kind, title, page : str
        Key of the run, gene_id, "whatif" or one of KINDS, title for the list of jobs, and id of the page that asked.
    threshold : float or None
        At which a job's elements are cut, 0 to 1; None for the run's.
    state : str
        "queued", "running", "done", "failed" or "cancelled".
    done, total : int
        Predictions or steps, so far and in all.
    message : str
        Current step, or why the task failed.
    moved : str
        What was read over the network for it, in words; "" for nothing.
    rows : dict[str, dict]
        Early results of a job, by element.
    result : dict or None
        Final result.
    """

    id: int
    run: str
    gene: str
    kind: str
    title: str
    page: str = ""
    threshold: float | None = None
    state: str = "queued"
    done: int = 0
    total: int = 0
    message: str = ""
    moved: str = ""
    rows: dict[str, dict] = field(default_factory=dict)
    result: dict | None = None
    began: float | None = None  # time of the first report of progress
    first: int = 0
    key: tuple | None = None  # under which an answer is remembered
    process: int | None = None  # the number of the process that works on it
    sent: dict | None = None  # what that process was sent

    @property
    def ended(self) -> bool:
        """Whether the task is done, failed or cancelled."""
        return self.state in ENDED

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds left from the pace so far; None while that is unknown."""
        if self.state != "running" or self.began is None or self.done <= self.first:
            return None
        return round((now - self.began) / (self.done - self.first) * (self.total - self.done), 1)

    def shown(self) -> dict:
        """Return the task as JSON values for a list of jobs."""
        names = ("id", "run", "gene", "kind", "title", "state", "done", "total", "message", "moved")
        return {name: getattr(self, name) for name in names} | {"seconds_left": self.seconds_left(time.monotonic())}


class TooMany(RuntimeError):
    """Too many jobs or questions are waiting already."""


class Jobs:
    """All tasks of a server; the worker is started with the first of them. Thread-safe.

    Parameters
    ----------
    command : Sequence[str]
        Command line of the worker.
    first : int
        Id of the first task.
    """

    def __init__(self, command: Sequence[str] = COMMAND, first: int = 1):
        self.worker = Worker(self._heard, self._died, command)
        self._changed = threading.Condition(threading.RLock())
        self._tasks: OrderedDict[int, Task] = OrderedDict()
        self._answers: OrderedDict[tuple, dict] = OrderedDict()
        self._number = first - 1

    # ---- asking

    def ask(self, run: str, path: Path, version: str, gene: str, question: Mapping, page: str = "") -> Task:
        """Start a what-if about a gene; a question that was answered before gets its earlier answer at once.

        An earlier question of the same page is cancelled.

        Parameters
        ----------
        run : str
            Key of the run.
        path : Path
            Folder of the run.
        version : str
            A text that changes with the run's weights, rule and masks.
        gene : str
            gene_id.
        question : Mapping
            off, on (lists of [start, end], 0-based half-open), threshold (None: the run's), controls (their number).
        page : str
            Id of the page that asks; "" for a program.

        Returns
        -------
        Task
            The task, which may have ended.

        Raises
        ------
        TooMany
            MOST_QUESTIONS questions are waiting already, or MOST_OF_PROGRAMS of programs and `page` is "".
        """
        key = (str(path), version, gene, repr(sorted(question.items())))
        with self._changed:
            if page:
                for task in self._waiting("whatif"):
                    if task.page == page:
                        self.cancel(task.id)
            if key not in self._answers:
                self._require_place(page)
            task = self._new(run, gene, "whatif", "What-if", page)
            task.key = key
            if key in self._answers:
                self._answers.move_to_end(key)
                task.state, task.result = "done", self._answers[key]
                return task
        return self._hand_over(task, path, dict(question))

    def start(
        self, run: str, path: Path, gene: str, kind: str, name: str | None = None, threshold: float | None = None
    ) -> Task:
        """Start a job about a gene, or return the same job where it is waiting or running.

        Parameters
        ----------
        run : str
            Key of the run.
        path : Path
            Folder of the run.
        gene : str
            gene_id.
        kind : str
            One of KINDS.
        name : str or None
            Name of the gene, for the title.
        threshold : float or None
            At which its elements are cut, 0 to 1; None for the run's, the only one whose effects are stored in the run.

        Returns
        -------
        Task
            The job.

        Raises
        ------
        TooMany
            MOST_WAITING jobs are waiting already.
        """
        with self._changed:
            for task in self._waiting(kind):
                if (task.run, task.gene, task.threshold) == (run, gene, threshold):
                    return task
            if len(self._waiting()) >= MOST_WAITING:
                raise TooMany(f"{MOST_WAITING} jobs are waiting already: cancel some, or try again later.")
            task = self._new(run, gene, kind, KINDS[kind].format(name or gene))
            task.threshold = threshold
        return self._hand_over(task, path, {"threshold": threshold})

    def cancel(self, number: int) -> bool:
        """Cancel a task, and return whether there was one to cancel."""
        with self._changed:
            task = self._tasks.get(number)
            if task is None or task.ended:
                return False
            self._end(task, "cancelled", "Cancelled.")
            self.worker.cancel(number)
        return True

    def close(self) -> None:
        """Stop the worker; all tasks that have not ended fail."""
        self.worker.close()
        with self._changed:
            for task in self._waiting():
                self._end(task, "failed", "The server is stopping.")

    # ---- reading

    def get(self, number: int) -> Task | None:
        """Return a task by its id; None where it is unknown or no longer kept."""
        with self._changed:
            return self._tasks.get(number)

    def all(self) -> list[dict]:
        """Return every job that is kept, the newest first; questions are not among them."""
        with self._changed:
            return [task.shown() for task in reversed(self._tasks.values()) if task.kind != "whatif"]

    def running(self, run: str, gene: str, kind: str) -> Task | None:
        """Return the waiting or running job of a kind about a gene at the run's own threshold, or None."""
        with self._changed:
            found = (t for t in self._waiting(kind) if (t.run, t.gene, t.threshold) == (run, gene, None))
            return next(found, None)

    def record(self, task: Task) -> dict:
        """Return a snapshot of a task as JSON values for another process, which calls `Task(**record)`."""
        with self._changed:
            return asdict(replace(task, key=None, process=None, sent=None))

    def wait(self, task: Task, seconds: float) -> Task:
        """Return the task once it has ended, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: task.ended, seconds)
            return task

    # ---- inside

    def _waiting(self, kind: str | None = None) -> list[Task]:
        return [task for task in self._tasks.values() if not task.ended and kind in (None, task.kind)]

    def _require_place(self, page: str) -> None:
        """Raise TooMany where no further question of this page, or of a program, can wait."""
        waiting = self._waiting("whatif")
        programs = sum(not task.page for task in waiting)
        if len(waiting) >= MOST_QUESTIONS or (not page and programs >= MOST_OF_PROGRAMS):
            raise TooMany(f"{len(waiting)} questions are waiting already: ask again in some seconds.")

    def _new(self, run: str, gene: str, kind: str, title: str, page: str = "") -> Task:
        self._number += 1
        task = self._tasks[self._number] = Task(self._number, run, gene, kind, title, page)
        alike = [one for one in self._tasks.values() if (one.kind == "whatif") == (kind == "whatif")]
        for old in [one for one in alike if one.ended][: max(0, len(alike) - MOST_KEPT)]:
            del self._tasks[old.id]
        return task

    def _hand_over(self, task: Task, path: Path, more: dict) -> Task:
        with self._changed:  # so that the end of this process is handled after the task has its number
            task.sent = {"id": task.id, "kind": task.kind, "run": str(path), "gene": task.gene, **more}
            self._send(task)
        return task

    def _send(self, task: Task) -> None:
        if self.worker.pid is None:
            task.message = "starting the model"
        try:
            task.process = self.worker.send(task.sent or {})
        except OSError as problem:
            self._end(task, "failed", f"The model process could not be started ({problem}).")

    def _heard(self, message: dict) -> None:
        with self._changed:
            task = self._tasks.get(message["id"])
            if task is None or task.ended:
                return
            if "row" in message:
                task.rows[message["row"]["element"]] = message["row"]
            elif message["state"] == "running":
                self._progress(task, message)
            else:
                task.result = message.get("result")
                if message["state"] == "done" and task.key is not None:
                    self._remember(task.key, task.result or {})
                words = message.get("message") or (task.result or {}).get("message", "")
                self._end(task, message["state"], words)
            self._changed.notify_all()

    def _progress(self, task: Task, message: dict) -> None:
        if task.began is None or message["total"] != task.total:
            task.began, task.first = time.monotonic(), message["done"]
        task.state, task.message = "running", message["message"]
        task.done, task.total, task.moved = message["done"], message["total"], message.get("moved", "")

    def _remember(self, key: tuple, answer: dict) -> None:
        self._answers[key] = answer
        while len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)

    def _died(self, process: int, words: str) -> None:
        with self._changed:
            for task in self._waiting():
                if task.process == process and words:
                    self._end(task, "failed", words)
                elif task.process == process:  # not begun
                    self._send(task)

    def _end(self, task: Task, state: str, words: str) -> None:
        task.state, task.message = state, words
        if state == "done":
            task.done = task.total
        self._changed.notify_all()
