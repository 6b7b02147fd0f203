"""The processes that work together with the one that started them, and how all end where one of them does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from model_core.errors import InputError

LOOK_SECONDS = 0.5  # between two looks at the other processes
NOTICE_SECONDS = 4.0  # for the work of this process to notice that another one has ended
FLUSH_SECONDS = 20.0  # for a process that is stopped to write what it has computed


class OtherProcesses:
    """The processes of this host that this one has started; none in a process that was started itself.

    Parameters
    ----------
    processes : Mapping[int, Popen]
        By their rank among all.
    size : int
        Number of all processes, with this one.
    """

    def __init__(self, processes: Mapping[int, subprocess.Popen], size: int):
        self._processes, self._size = dict(processes), size

    def check(self) -> None:
        """Check that none has ended with an error.

        Raises
        ------
        InputError
            One has; it is named.
        """
        for rank, process in self._processes.items():
            if code := process.poll():
                raise InputError(
                    f"process {rank + 1} of {self._size}",
                    found=f"process id {process.pid} {_end(code)}",
                    expected="all to work until the end",
                    fix="run the same command again to resume",
                )

    @contextmanager
    def together(self, seconds: float) -> Iterator[None]:
        """Work with them inside the block.

        Where one of them ends with an error, the block has to end: by `check`, or by the error that a lost connection
        causes, which is replaced. Where it does not within NOTICE_SECONDS, the ended process is reported, and after
        `seconds` this process is ended, too. Where the block fails or is stopped, the others are stopped.

        Parameters
        ----------
        seconds : float
            Time for the block to end.

        Raises
        ------
        InputError
            One of them has ended; it is named.
        """
        left = threading.Event()
        if self._processes:
            threading.Thread(target=self._watch, args=(left, seconds), name="other-processes", daemon=True).start()
        try:
            yield
        except BaseException as problem:
            left.set()
            if isinstance(problem, Exception) and not isinstance(problem, InputError):
                self._look_for_ended()
            self._stop()
            raise
        finally:
            left.set()

    def _look_for_ended(self) -> None:
        """Raise as `check`, also for a process that ends within NOTICE_SECONDS; stop the others before."""
        end = time.monotonic() + NOTICE_SECONDS
        while time.monotonic() < end and self._processes:
            try:
                self.check()
            except InputError as ended:
                self._stop()
                raise ended from None
            time.sleep(LOOK_SECONDS / 5)

    def _stop(self) -> None:
        """Stop them by SIGTERM, so that they write what they have computed, and after FLUSH_SECONDS by SIGKILL."""
        for process in self._processes.values():
            process.terminate()
        end = time.monotonic() + FLUSH_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _watch(self, left: threading.Event, seconds: float) -> None:
        while not left.wait(LOOK_SECONDS):
            try:
                self.check()
            except InputError as ended:
                if left.wait(NOTICE_SECONDS):
                    return
                print(f"error: {ended}", file=sys.stderr, flush=True)
                if left.wait(seconds):
                    return
                for process in self._processes.values():
                    process.kill()
                os._exit(2)  # the main thread waits inside a library for the process that has ended


def _end(code: int) -> str:
    """Return how a process ended, from its return code."""
    if code > 0:
        return f"ended with exit code {code}, its message stands above"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    memory = ", possibly because memory ran out" if -code == signal.SIGKILL else ""
    return f"was ended by signal {-code} ({name}){memory}"
