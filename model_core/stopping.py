"""Signals that stop a command: SIGTERM ends it as Ctrl-C does, with what is computed written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; whatever ends in order on Ctrl-C does so on SIGTERM, too."""


class StopSignals:
    """The stop signals of this process. There is one instance, `STOP`, because handlers belong to the process.

    The first signal raises KeyboardInterrupt (SIGINT) or `Terminated` (SIGTERM) in the main thread, or is kept for the
    work to look at (`deferred`). A further SIGTERM is ignored: a cluster may send it to each process, and the process
    that started them sends it, too. A further SIGINT raises.

    Attributes
    ----------
    first : int or None
        The first signal that arrived.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self._depth, self._deferring = 0, False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle both signals inside the block; those that are ignored, or that another program handles, are left."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python runs handlers in the main thread only
            return
        before = {number: signal.getsignal(number) for number in NUMBERS}
        if self._depth == 0:
            self.first = None
        self._depth += 1
        for number, handler in before.items():
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._arrived)
        try:
            yield
        finally:
            self._depth -= 1
            for number, handler in before.items():
                if handler in (signal.SIG_DFL, signal.default_int_handler):
                    signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Keep the first signal for `check` and for the end of the block, for work that can only stop between steps."""
        with self.handled():
            before, self._deferring = self._deferring, True
            try:
                yield
            finally:
                self._deferring = before
            self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt or `Terminated` if a signal has arrived."""
        if self.first is not None:
            raise _raised_by(self.first)

    def _arrived(self, number: int, _: FrameType | None) -> None:
        again, self.first = self.first is not None, self.first or number
        if (again and number == signal.SIGTERM) or (self._deferring and not again):
            return
        raise _raised_by(number)


def exit_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code of a stopped command, 128 and the number of the signal: 143 (SIGTERM) or 130 (SIGINT)."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def _raised_by(number: int) -> KeyboardInterrupt:
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()


STOP = StopSignals()
