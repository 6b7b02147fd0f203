"""Client of the model process: starts it when it is first needed, reports its end, and stops it with the server."""

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
    """A child process, at most one at a time, that receives and sends dicts as `model_process` describes them.

    Parameters
    ----------
    heard : callable
        Called with each answer, from a separate thread.
    died : callable
        Called with the number of a process and a message once it has ended by itself, after its last answer.
    command : Sequence[str]
        Command line of the process.
    """

    def __init__(
        self,
        heard: Callable[[dict], None],
        died: Callable[[int, str], None],
        command: Sequence[str] = COMMAND,
    ):
        self.heard, self.died, self.command = heard, died, tuple(command)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._number = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Id of the process; None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def send(self, message: dict) -> int:
        """Send a task to the process, which is started where there is none.

        Parameters
        ----------
        message : dict
            The task, as `model_process` describes it.

        Returns
        -------
        int
            The number of the process that received it, counted from 1.

        Raises
        ------
        OSError
            The process cannot be started, or ended while the task was sent.
        """
        with self._lock:
            if self._closed:
                raise OSError("the server is stopping")
            process = self._process
            if process is None or process.poll() is not None:
                process = self._start()
            try:
                _write(process, message)
            except BrokenPipeError:
                process.wait()
                _write(self._start(), message)
            return self._number

    def cancel(self, number: int) -> None:
        """Send the process a request to cancel a task."""
        with self._lock, suppress(BrokenPipeError, ValueError):  # a process that has ended works on nothing
            process = self._process
            if process is not None and process.poll() is None:
                _write(process, {"cancel": number})

    def close(self) -> None:
        """Close the process: kill it where it does not end within STOP_SECONDS; nothing can be sent afterwards."""
        with self._lock:
            self._closed, process = True, self._process
        if process is None:
            return
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command,
            text=True,
            encoding="utf-8",
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._process = process
        self._number += 1
        threading.Thread(target=self._listen, args=(process, self._number), daemon=True).start()
        return process

    def _listen(self, process: subprocess.Popen[str], number: int) -> None:
        words = None
        try:
            if process.stdout is not None:
                with process.stdout as lines:
                    for line in lines:
                        self.heard(json.loads(line))
        except Exception as problem:  # no caller waits for this thread; callers that wait for an answer get the error
            traceback.print_exc()
            process.kill()
            why = f"The answer of the model process could not be read ({type(problem).__name__})."
            words = f"{why} Ask again to start a new one."
        code = process.wait()
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()
        if not self._closed:
            self.died(number, words or _words(code))


def _write(process: subprocess.Popen[str], message: dict) -> None:
    assert process.stdin is not None  # it was started with a pipe
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _words(code: int) -> str:
    if code == -signal.SIGKILL:
        return "The model process was killed, possibly because memory ran out. Ask again to start a new one."
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return f"The model process ended {how}; the terminal of the server may show why. Ask again to start a new one."
