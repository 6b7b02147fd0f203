"""The process that runs the model: `python -m seq2exp_viz.worker.model_process [DEVICE]`. Only it imports torch.

It reads and writes lines of JSON. Input: {"id", "kind", "run", "gene", ...} is a task, {"cancel": id} cancels one; the
end of the input ends the process. Output: {"read": 1} for each line of input, so that the server notices where none are
read; and with the task's id {"state": "running", "done", "total", "message", "moved"} as progress (moved: what was read
over the network), {"row": {...}} for an early result, and finally {"state": "done", "result": {...}}, {"state":
"failed", "message"} or {"state": "cancelled"}. A task of kind "whatif" has priority, and also interrupts a longer one.
The process ends with exit code LEFT after a cancelled job that still reads.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from model_core.child import follow_parent
from model_core.errors import InputError, Problems
from model_core.files import json_values
from seq2exp_viz.worker.client import LEFT

if TYPE_CHECKING:
    import numpy as np

    from model_core.perturbation.run_model import RunModel
    from model_core.perturbation.what_if import Edit, WhatIf

MODELS, GENES = 2, 8  # kept in memory; a gene of 200 kb takes 10 MB
PROGRESS_SECONDS = 0.1  # between two reports of progress
LEAVE_SECONDS = 1.0  # for what a cancelled job reads to end by itself
TRAFFIC_SECONDS = 0.5  # between two looks at what was moved over the network
SHOWN = ("done", "total", "message", "moved")  # of a task that is running
STEPS = 4  # of scoring a gene, beside one for each signal: annotation, sequence, model, elements

T = TypeVar("T")


class Cancelled(Exception):
    """The task was cancelled."""


class StillReads(Cancelled):
    """The task was cancelled, and its thread waits for a server, with the locks of what it reads."""


class TaskQueue:
    """The waiting tasks: questions before jobs, each in order of arrival; a separate thread reads them.

    Parameters
    ----------
    lines : IO[str]
        Input of the process.
    send : callable
        Called with the message that a line was read.
    """

    def __init__(self, lines: IO[str], send: Callable[[dict], object]):
        self._lines, self._send, self._ready = lines, send, threading.Condition()
        self._questions: deque[dict] = deque()
        self._jobs: deque[dict] = deque()
        self._unwanted: set[int] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        code = 0
        try:
            for line in self._lines:
                self._send({"read": 1})
                message = json.loads(line)
                with self._ready:
                    if "cancel" in message:
                        self._unwanted.add(message["cancel"])
                    else:
                        (self._questions if message["kind"] == "whatif" else self._jobs).append(message)
                    self._ready.notify()
        except Exception:  # without this thread the process would wait for ever; the server notices its end
            traceback.print_exc()
            code = 1
        os._exit(code)  # 0: the server has ended, so no result is awaited

    def next(self) -> dict:
        """Wait for the next task and return it."""
        with self._ready:
            self._ready.wait_for(lambda: self._questions or self._jobs)
            return (self._questions or self._jobs).popleft()

    def question(self) -> dict | None:
        """Return the next question if one is waiting, else None."""
        with self._ready:
            return self._questions.popleft() if self._questions else None

    def unwanted(self, number: int) -> bool:
        """Return whether a task was cancelled."""
        with self._ready:
            return number in self._unwanted


class TaskRunner:
    """Runner of tasks, which keeps the models and windows of the last ones in memory.

    Parameters
    ----------
    inbox : TaskQueue
        Waiting tasks.
    send : callable
        Called with each message for the server.
    device : str or None
        Of torch, such as "cuda"; None chooses one.
    """

    def __init__(self, inbox: TaskQueue, send: Callable[[dict], object], device: str | None = None):
        self.inbox, self.send, self.device = inbox, send, device
        self._models: OrderedDict[str, tuple[int, RunModel]] = OrderedDict()
        self._genes: OrderedDict[tuple[str, str], WhatIf] = OrderedDict()
        self._controls: OrderedDict[tuple, np.ndarray] = OrderedDict()
        self._stack: list[dict] = []  # the current task is the last; those before wait for it

    def do(self, task: dict) -> None:
        """Run one task and send its result, or why it failed.

        Raises
        ------
        StillReads
            It was cancelled: no other task can be relied on in this process.
        """
        task_id = {"id": task["id"]}
        try:
            with self._current(task) as current:
                self._check(current)
                result = getattr(self, f"_{task['kind']}")(task)
            self.send({**task_id, "state": "done", "result": json_values(result)})
        except Cancelled as end:
            self.send({**task_id, "state": "cancelled"})
            if isinstance(end, StillReads):
                raise
        except InputError as problem:
            alone = isinstance(problem, Problems) and len(problem.problems) == 1  # no list of one
            words = str(problem.problems[0] if alone else problem)
            self.send({**task_id, "state": "failed", "message": words})
        except OSError as problem:
            words = f"{problem.filename or ''}: {problem.strerror}".strip(": ")
            self.send({**task_id, "state": "failed", "message": words})
        except Exception as problem:  # one bad task must not end the process that serves all others
            traceback.print_exc()
            self.send({**task_id, "state": "failed", "message": f"{type(problem).__name__}: {problem}"})

    # ---- the kinds of tasks

    def _whatif(self, task: dict) -> dict:
        from model_core.perturbation.knockout import summary
        from model_core.perturbation.what_if import Edit
        from model_core.run_folder.effects import control_rank, fold_change

        began = time.monotonic()
        model = self._model(task["run"])
        what_if = self._gene(model, task["gene"])
        edit = Edit(*(tuple((start, end) for start, end in task[name]) for name in ("off", "on")))
        self._expect(2 + task["controls"], "predicting expression")
        baseline = what_if.baseline
        predicted = float(what_if.under([edit])[0])
        delta, control = predicted - baseline, None
        if task["controls"] and (edit.off or edit.on):
            compared = self._compared(model, what_if, task, edit)
            number, mean, sd = summary(compared)
            rank = control_rank(delta, compared)
            control = {"control_n": number, "control_mean": mean, "control_sd": sd, "control_rank": rank}
        return {
            "predicted": predicted,
            "baseline": baseline,
            "delta": delta,
            "fold_change": float(fold_change(delta, model.label_transform)),
            "control": control,
            "seconds": round(time.monotonic() - began, 3),
        }

    def _compared(self, model: RunModel, what_if: WhatIf, task: dict, edit: Edit) -> np.ndarray:
        """Return the deltas of random edits of the same lengths, float32 (n,).

        Their regions lie outside the elements at the threshold of the question.
        """
        from model_core.perturbation.knockout import control_effects, free_bases, length_class

        off, on = (tuple(length_class(end - start) for start, end in regions) for regions in (edit.off, edit.on))
        key = (task["run"], model.checkpoint, task["gene"], task["threshold"], (off, on), task["controls"])
        if key not in self._controls:
            elements = model.run.cut(task["gene"], task["threshold"])
            free = free_bases(what_if, elements, model.run.chrom_sizes)
            found = -control_effects(what_if, free, off, on, task["controls"], task["gene"])
            _keep(self._controls, key, found, 500)
        return self._controls[key]

    def _effects(self, task: dict) -> dict:
        from model_core.perturbation.knockout import CONTROLS, count_knock_outs
        from model_core.perturbation.rank import effects_record
        from model_core.run_folder.effects import append_effects, row_values, write_effect_table

        model = self._model(task["run"])
        what_if, run = self._gene(model, task["gene"]), model.run
        elements = run.cut(task["gene"], task["threshold"])
        self._expect(count_knock_outs(elements), "switching off one element after another")

        def arrived(row: list) -> None:
            self.send({"id": task["id"], "row": row_values(row, model.label_transform)})

        record = effects_record(model, what_if, run.gene(task["gene"]), elements, CONTROLS, arrived)
        if task["threshold"] is None:  # the run stores effects of the elements at its own threshold only
            append_effects(run.path, record)
            write_effect_table(run.path, run.effects)
        return {"elements": len(record["rows"])}

    def _smallest(self, task: dict) -> dict:
        from model_core.perturbation.knockout import smallest_set

        model = self._model(task["run"])
        what_if, elements = self._gene(model, task["gene"]), model.run.cut(task["gene"], task["threshold"])
        self._expect(1 + len(elements) * (len(elements) - 1) // 2, "adding one element after another")
        found = smallest_set(what_if, elements)
        return {**found._asdict(), "effect": found.effect}

    def _occlusion(self, task: dict) -> dict:
        from model_core.perturbation.occlusion import count_blocks, occlude
        from model_core.run_folder.occlusion import write_occlusion

        model = self._model(task["run"])
        what_if = self._gene(model, task["gene"])
        self._expect(count_blocks(what_if.window.length), "hiding one region after another")
        write_occlusion(model.run.path, occlude(what_if, task["gene"], model.checkpoint))
        return {}

    def _score(self, task: dict) -> dict:
        from model_core.perturbation.score_now import derive, read_gene, score_now

        with self._reporting():
            model = self._model(task["run"])
            self._stack[-1]["total"] = STEPS + len(model.study.signal_specs)
            gene, what_if = self._apart(lambda step: read_gene(model, task["gene"], step))
            gene_id = str(gene["gene_id"])
            self._step("scoring")
            score_now(model, gene, what_if)
            _keep(self._genes, (task["run"], gene_id), what_if, GENES)
            self._step("cutting elements, merging tracks")
            derived = derive(model)
        late = "The merged track and the BED file will include this gene once the run is scored again."
        return {"gene": gene_id, "message": "" if derived else late}

    # ---- shared by the tasks

    def _model(self, path: str) -> RunModel:
        """Return the model of a run, with the run as it is on disk now."""
        from model_core.run_folder.run import Run

        stamp = (Path(path) / "manifest.json").stat().st_mtime_ns
        held = self._models.get(path)
        if held is None or held[0] != stamp:
            self._progress("reading the model's weights and the study")
            run = Run.open(path)
            if held is not None and held[1].checkpoint == run.checkpoint_sha256:
                model = held[1]
                model.run = run
            else:
                from model_core.perturbation.run_model import RunModel

                model = self._apart(lambda _: RunModel(run, self.device))
                for key in [key for key in self._genes if key[0] == path]:
                    del self._genes[key]
            _keep(self._models, path, (stamp, model), MODELS)
        return self._models[path][1]

    def _gene(self, model: RunModel, gene_id: str) -> WhatIf:
        """Return the window and mask of a gene."""
        key = (str(model.run.path), gene_id)
        if key not in self._genes:
            self._progress("reading the window and computing its mask")
            what_if = self._apart(lambda _: model.what_if(gene_id, self._predicted))
            what_if.mask  # noqa: B018  the generator is run here, once
            _keep(self._genes, key, what_if, GENES)
        self._genes.move_to_end(key)
        self._genes[key].on_progress = self._predicted
        return self._genes[key]

    @contextmanager
    def _current(self, task: dict) -> Iterator[dict]:
        self._stack.append({**task, "done": 0, "begun": 0, "total": 0, "message": "", "moved": "", "sent": 0.0})
        try:
            yield self._stack[-1]
        finally:
            self._stack.pop()

    def _expect(self, total: int, message: str) -> None:
        self._stack[-1]["total"] = total
        self._progress(message)

    def _progress(self, message: str, done: int | None = None) -> None:
        self._tell(self._stack[-1], message, done)

    def _tell(self, task: dict, message: str, done: int | None = None) -> None:
        task["message"], task["sent"] = message, time.monotonic()
        task["done"] = task["done"] if done is None else done
        self._check(task)
        self.send({"id": task["id"], "state": "running", **{name: task[name] for name in SHOWN}})

    def _step(self, words: str, task: dict | None = None) -> None:
        """Report a step that begins."""
        task = self._stack[-1] if task is None else task
        self._tell(task, words, task["begun"])
        task["begun"] += 1

    def _apart(self, read: Callable[[Callable[[str], None]], T]) -> T:
        """Return what `read` returns, which gets a function for its steps, from a thread that a cancelled job leaves.

        A server that does not answer may hold a read for minutes, and with it locks that other runs' reads need. So
        the process ends where the thread does not end soon; what it reads changes nothing but the caches. A cancelled
        question is waited for, as the newer one of the same page mostly needs the same.
        """
        task, found, ended = self._stack[-1], Future[T](), threading.Event()

        def run() -> None:
            try:
                found.set_result(read(lambda words: self._step(words, task)))
            except BaseException as problem:  # raised again by the task that waits
                found.set_exception(problem)
            finally:
                ended.set()

        threading.Thread(target=run, name="reads", daemon=True).start()
        while not ended.wait(PROGRESS_SECONDS):
            if task["kind"] != "whatif" and self.inbox.unwanted(task["id"]):
                raise Cancelled if ended.wait(LEAVE_SECONDS) else StillReads
        return found.result()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Report, while the block runs, how much was moved over the network since it began."""
        ended, task = threading.Event(), self._stack[-1]
        thread = threading.Thread(target=self._report_traffic, args=(task, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _report_traffic(self, task: dict, ended: threading.Event) -> None:
        from model_core.remote.traffic import TRAFFIC

        before = TRAFFIC.words()
        while not ended.wait(TRAFFIC_SECONDS):
            moved = TRAFFIC.words()
            if moved not in (task["moved"], before):
                task["moved"] = moved
                self.send({"id": task["id"], "state": "running", **{name: task[name] for name in SHOWN}})

    def _predicted(self, count: int) -> None:
        """Report progress after a batch of predictions, end a cancelled task, and answer waiting questions first."""
        task = self._stack[-1]
        task["done"] = min(task["done"] + count, task["total"])
        self._check(task)
        if time.monotonic() - task["sent"] >= PROGRESS_SECONDS:
            self._progress(task["message"])
        if task["kind"] != "whatif":
            while (question := self.inbox.question()) is not None:
                self.do(question)

    def _check(self, task: dict) -> None:
        if self.inbox.unwanted(task["id"]):
            raise Cancelled


def _keep(held: OrderedDict, key: object, value: object, most: int) -> None:
    held[key] = value
    held.move_to_end(key)
    while len(held) > most:
        held.popitem(last=False)


def main() -> None:
    """Run tasks until the input ends, or a cancelled one still reads."""
    follow_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then closes the input
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with the answers
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8")
    writing = threading.Lock()

    def send(message: dict) -> None:
        line = json.dumps(message, allow_nan=False) + "\n"
        with writing:
            answers.write(line)

    runner = TaskRunner(TaskQueue(sys.stdin, send), send, sys.argv[1] if len(sys.argv) > 1 else None)
    try:
        while True:
            runner.do(runner.inbox.next())
    except StillReads:
        with writing:  # no line is cut
            os._exit(LEFT)


if __name__ == "__main__":
    main()
