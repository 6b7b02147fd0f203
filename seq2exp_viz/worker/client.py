"""Client of the model process: starts it when it is first needed, reports its end, and stops it with the server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

from model_core.child import child_environment

COMMAND = (sys.executable, "-m", "seq2exp_viz.worker.model_process")
STOP_SECONDS = 3.0  # for the process to end by itself
PATIENCE_SECONDS = 60.0  # for the process to read what it is sent
LOOK_SECONDS = 0.5  # between two looks at whether it reads
LEFT = 75  # exit code of a process that ends so that a read which nobody waits for ends


class Worker:
    """A child process, at most one at a time, that receives and sends dicts as `model_process` describes them.

    No method waits for the process to read: messages are written by a thread of their own.

    Parameters
    ----------
    heard : callable
        Called with each answer, from a separate thread.
    died : callable
        Called with the number of a process and a message once it has ended by itself, or was ended because it read
        nothing for `patience`, after its last answer. The message is "" where it ended because a cancelled task still
        read from a server: it has begun no other task, so the others are to be sent again.
    command : Sequence[str]
        Command line of the process.
    patience : float
        Seconds for the process to read what it is sent.
    """

    def __init__(
        self,
        heard: Callable[[dict], None],
        died: Callable[[int, str], None],
        command: Sequence[str] = COMMAND,
        patience: float = PATIENCE_SECONDS,
    ):
        self.heard, self.died, self.command, self.patience = heard, died, tuple(command), patience
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._number = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Id of the process; None while there is none."""
        child = self._child
        return child.process.pid if child is not None and child.lives else None

    def send(self, message: dict) -> int:
        """Send a task to the process, which is started where there is none.

        Parameters
        ----------
        message : dict
            The task, as `model_process` describes it.

        Returns
        -------
        int
            The number of the process that receives it, counted from 1.

        Raises
        ------
        OSError
            The process cannot be started.
        """
        with self._lock:
            if self._closed:
                raise OSError("the server is stopping")
            if self._child is None or not self._child.lives:
                self._number += 1
                self._child = Child(self.command, self._number, self.patience, self.heard, self._ended)
            self._child.send(message)
            return self._number

    def cancel(self, number: int) -> None:
        """Send the process a request to cancel a task."""
        with self._lock:
            if self._child is not None:
                self._child.cancel(number)

    def close(self) -> None:
        """Close the process: kill it where it does not end within STOP_SECONDS; nothing can be sent afterwards."""
        with self._lock:
            self._closed = True
        if self._child is not None:
            self._child.close()

    def _ended(self, number: int, words: str) -> None:
        if not self._closed:
            self.died(number, words)


class Child:
    """One process with the threads that write to it, read from it, and look at whether it reads.

    Parameters
    ----------
    command : Sequence[str]
        Command line.
    number : int
        Its number, for `ended`.
    patience : float
        Seconds for it to read what it is sent; then it is killed. Seconds in which the server itself was stopped do not
        count.
    heard, ended : callable
        As `Worker.heard` and `Worker.died`.

    Raises
    ------
    OSError
        It cannot be started.
    """

    process: subprocess.Popen[bytes]

    def __init__(
        self,
        command: Sequence[str],
        number: int,
        patience: float,
        heard: Callable[[dict], None],
        ended: Callable[[int, str], None],
    ):
        self._command, self._number, self._patience = tuple(command), number, patience
        self._heard, self._when_ended = heard, ended
        self._changed = threading.Condition()
        self._outbox: deque[dict] = deque()
        self._closing, self._written, self._read, self._words = False, 0, 0, ""
        self._problem: OSError | None = None
        started = threading.Event()
        threading.Thread(target=self._write, args=(started,), name="model-writer", daemon=True).start()
        started.wait()
        if self._problem is not None:
            raise self._problem
        threading.Thread(target=self._listen, name="model-listener", daemon=True).start()
        threading.Thread(target=self._watch, name="model-watch", daemon=True).start()

    @property
    def lives(self) -> bool:
        """Whether the process runs, and is not about to be ended."""
        return not self._words and self.process.poll() is None

    def send(self, message: dict) -> None:
        """Queue a message."""
        with self._changed:
            self._outbox.append(message)
            self._changed.notify()

    def cancel(self, number: int) -> None:
        """Take a task back that is not written yet, or queue a request to cancel it."""
        with self._changed:
            waiting = [message for message in self._outbox if message.get("id") == number]
            for message in waiting:
                self._outbox.remove(message)
        if not waiting:
            self.send({"cancel": number})

    def close(self) -> None:
        """Close its input, and kill it where it does not end within STOP_SECONDS."""
        with self._changed:
            self._closing = True
            self._outbox.clear()
            self._changed.notify()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _write(self, started: threading.Event) -> None:
        """Start the process and write what is queued, until it ends.

        This thread starts it because the kernel ends the process with the thread that has started it.
        """
        try:
            environ = child_environment(ends_with_parent=True)
            self.process = subprocess.Popen(
                self._command, env=environ, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as problem:
            self._problem = problem
            return
        finally:
            started.set()
        assert self.process.stdin is not None  # it was started with a pipe
        with suppress(OSError), self.process.stdin as pipe:  # a process that has ended reads nothing
            while (message := self._next()) is not None:
                _write_all(pipe, (json.dumps(message) + "\n").encode())
        self.process.wait()

    def _next(self) -> dict | None:
        """Wait for the next message; None where the process is to end or has ended."""
        with self._changed:
            while not self._outbox and not self._closing:
                self._changed.wait(LOOK_SECONDS)
                if self.process.poll() is not None:
                    return None
            if self._closing:
                return None
            self._written += 1
            return self._outbox.popleft()

    def _listen(self) -> None:
        try:
            assert self.process.stdout is not None  # it was started with a pipe
            with open(self.process.stdout.fileno(), "rb", closefd=False) as lines:
                for line in lines:
                    self._take(json.loads(line))
        except Exception as problem:  # no caller waits for this thread; callers that wait for an answer get the error
            traceback.print_exc()
            why = f"The answer of the model process could not be read ({type(problem).__name__})."
            self._end(f"{why} Ask again to start a new one.")
        code = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._when_ended(self._number, self._words or ("" if code == LEFT else _words(code)))

    def _take(self, message: dict) -> None:
        if "read" in message:  # how many messages it has read; comes alone
            with self._changed:
                self._read += message["read"]
        else:
            self._heard(message)

    def _watch(self) -> None:
        read, waited = 0, 0.0
        with self._changed:
            while self.process.poll() is None and not self._closing:
                self._changed.wait_for(lambda: self._closing, LOOK_SECONDS)
                waited = waited + LOOK_SECONDS if self._written > self._read == read else 0.0
                read = self._read
                if waited > self._patience:
                    what = f"The model process has read nothing for {self._patience:.0f} s and was ended; "
                    self._end(what + "it was stopped, or the machine is overloaded. Ask again to start a new one.")
                    return

    def _end(self, words: str) -> None:
        self._words = words
        self.process.kill()


def _write_all(pipe: IO[bytes], data: bytes) -> None:
    while data:
        data = data[pipe.write(data) :]


def _words(code: int) -> str:
    if code == -signal.SIGKILL:
        return "The model process was killed, possibly because memory ran out. Ask again to start a new one."
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return f"The model process ended {how}; the terminal of the server may show why. Ask again to start a new one."
