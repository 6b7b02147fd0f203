"""Reads of remote files on behalf of requests: none holds a thread of the server for long, however slow a host is.

A read runs in a thread of its own. The request waits for it for some seconds, and is then told to come again; the read
goes on meanwhile, and the next request for the same gets its result. Few requests may wait at once, so that threads
are left for the rest of the page, and a host that let a request wait in vain is not waited for again until it answers.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS = 8.0  # that a request waits for a read
SECONDS_OF_SLOW = 0.4  # where the host let another request wait in vain, and has not answered since
MOST_WAITING = 5  # requests that wait at once; the server has eight threads
PLACE_SECONDS = 1.0  # that a request waits for its place among them
AT_ONCE = 4  # reads from one host
MOST_READS = 24  # from one host that have not ended
MOST_KEPT = 8  # results that nobody has come for yet
COME_AGAIN = 3  # seconds after which a client may ask again


class ComeAgain(Exception):
    """A read takes too long, or too many run: the same request succeeds later.

    Parameters
    ----------
    words : str
        A sentence for the user.
    status : int
        Of the HTTP answer: 503 (too many) or 504 (too slow).
    """

    def __init__(self, words: str, status: int):
        super().__init__(words)
        self.status = status


@dataclass(eq=False)
class _Read:
    """A read that runs or has ended."""

    host: str
    ended: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    problem: BaseException | None = None


class RemoteReads:
    """The reads of one process. Thread-safe.

    Parameters
    ----------
    seconds, seconds_of_slow : float
        How long a request waits; see SECONDS and SECONDS_OF_SLOW.
    most_waiting, at_once : int
        Requests that wait at once, and reads from one host at once.
    """

    def __init__(
        self,
        seconds: float = SECONDS,
        seconds_of_slow: float = SECONDS_OF_SLOW,
        most_waiting: int = MOST_WAITING,
        at_once: int = AT_ONCE,
    ):
        self.seconds, self.seconds_of_slow, self.at_once = seconds, seconds_of_slow, at_once
        self._places = threading.BoundedSemaphore(most_waiting)
        self._lock = threading.Lock()
        self._reads: dict[Hashable, _Read] = {}
        self._turns: dict[str, threading.BoundedSemaphore] = {}
        self._slow: set[str] = set()

    def get(self, host: str, key: Hashable, read: Callable[[], T]) -> T:
        """Return what `read` returns, or raise what it raises.

        Parameters
        ----------
        host : str
            The server that is read from.
        key : Hashable
            What is read there: a request with the same key waits for the same read.
        read : callable
            Reads; it may take long.

        Raises
        ------
        ComeAgain
            It has not ended yet, or too many reads are running.
        """
        key = (host, key)
        running = self._running(host, key, read)
        if not running.ended.wait(0.02):  # what the cache has needs no place
            self._wait(running)
        with self._lock:
            if self._reads.get(key) is running:
                del self._reads[key]
        if running.problem is not None:
            raise running.problem
        return running.value

    def is_slow(self, host: str) -> bool:
        """Return whether a request has waited for a host in vain, and it has not answered since."""
        return host in self._slow

    def _wait(self, running: _Read) -> None:
        host = running.host
        seconds = self.seconds_of_slow if self.is_slow(host) else self.seconds
        if not self._places.acquire(timeout=min(PLACE_SECONDS, seconds)):
            if running.ended.is_set():
                return
            raise ComeAgain("Too many requests wait for files of other servers: try again in some seconds.", 503)
        try:
            ended = running.ended.wait(seconds)
        finally:
            self._places.release()
        if not ended:
            self._slow.add(host)
            raise ComeAgain(f"{host} has not answered yet, or is slow: try again in some seconds.", 504)

    def _running(self, host: str, key: Hashable, read: Callable) -> _Read:
        with self._lock:
            if key in self._reads:
                return self._reads[key]
            if Counter(one.host for one in self._reads.values() if not one.ended.is_set())[host] >= MOST_READS:
                raise ComeAgain(f"Too many reads from {host} are waiting: try again in some seconds.", 503)
            done = [known for known, one in self._reads.items() if one.ended.is_set()]
            for known in done[: max(0, len(done) - MOST_KEPT + 1)]:
                del self._reads[known]
            running = self._reads[key] = _Read(host)
            turn = self._turns.setdefault(host, threading.BoundedSemaphore(self.at_once))
        # A daemon, so that a host that does not answer never delays the end of the server.
        threading.Thread(target=self._run, args=(running, turn, read), name=f"reads {host}", daemon=True).start()
        return running

    def _run(self, running: _Read, turn: threading.BoundedSemaphore, read: Callable) -> None:
        try:
            with turn:
                running.value = read()
            self._slow.discard(running.host)
        except BaseException as problem:  # raised again in the request that waits for it
            running.problem = problem
        finally:
            running.ended.set()


READS = RemoteReads()
