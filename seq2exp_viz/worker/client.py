"""The worker as the server sees it: started when first needed, noticed when it dies, stopped at the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

from model_core.child import child_environment

COMMAND = (sys.executable, "-m", "seq2exp_viz.worker.model_process")
STOP_SECONDS = 3.0  # for the process to end by itself


class Worker:
    """One process at a time that takes and gives dicts (their words: seq2exp_viz.worker.model_process).

    Parameters
    ----------
    heard : callable
        Called with each answer, from a thread of its own.
    died : callable
        Called with the number of a process and words once it has ended by itself, after its last answer.
    command : Sequence[str]
        What to start.
    """

    def __init__(
        self,
        heard: Callable[[dict], None],
        died: Callable[[int, str], None],
        command: Sequence[str] = COMMAND,
    ):
        self.heard, self.died, self.command = heard, died, tuple(command)
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._number = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process, None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def send(self, message: dict) -> int:
        """Hand a task over, for which a process is started where there is none.

        Returns
        -------
        int
            The number of the process that has it, counted from 1.

        Raises
        ------
        OSError
            It cannot be started, or died this moment.
        """
        with self._lock:
            if self._closed:
                raise OSError("the server is stopping")
            if self.pid is None:
                self._start()
            try:
                self._process.stdin.write(json.dumps(message) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                self._process.wait()
                self._start()
                self._process.stdin.write(json.dumps(message) + "\n")
                self._process.stdin.flush()
            return self._number

    def cancel(self, number: int) -> None:
        """Tell a process that has a task that nobody wants it any more."""
        with self._lock, suppress(BrokenPipeError, ValueError):  # a process that has gone works on nothing
            if self.pid is not None:
                self._process.stdin.write(json.dumps({"cancel": number}) + "\n")
                self._process.stdin.flush()

    def close(self) -> None:
        """End the process, with force where it takes too long; nothing can be sent any more."""
        with self._lock:
            self._closed, process = True, self._process
        if process is None:
            return
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(self.command, text=True, encoding="utf-8", env=child_environment(), **pipes)
        self._number += 1
        threading.Thread(target=self._listen, args=(self._process, self._number), daemon=True).start()

    def _listen(self, process: subprocess.Popen, number: int) -> None:
        words = None
        try:
            with process.stdout:
                for line in process.stdout:
                    self.heard(json.loads(line))
        except Exception as problem:  # no caller waits for this thread; those who wait for an answer get the problem
            traceback.print_exc()
            process.kill()
            why = f"What the model process said could not be read ({type(problem).__name__})."
            words = f"{why} Ask again to start a new one."
        code = process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
        if not self._closed:
            self.died(number, words or _words(code))


def _words(code: int) -> str:
    if code == -signal.SIGKILL:
        return "The model process was killed (perhaps there was no memory left). Ask again to start a new one."
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return f"The model process ended {how}; the terminal of the server may say why. Ask again to start a new one."
