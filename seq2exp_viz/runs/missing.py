"""List of what a run cannot show, and why, for the page, the terminal and programs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from model_core.cache import notices


class Missing(NamedTuple):
    """Something that is not available.

    Attributes
    ----------
    what : str
        Consequence for the user, such as "Bases are not shown".
    why : str
        The reason.
    """

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


class MissingList:
    """All that is missing of one run, each entry once; it may grow from any thread while background work continues."""

    def __init__(self) -> None:
        self._found: list[Missing] = []
        self._notify: Callable[[str], None] | None = None
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Missing]:
        return iter(list(self._found))

    def add(self, found: Missing) -> None:
        """Add an entry and notify the listener, unless the entry is known."""
        with self._lock:
            if found in self._found:
                return
            self._found.append(found)
        if self._notify is not None:
            self._notify(str(found))

    def listen(self, notify: Callable[[str], None]) -> None:
        """Call `notify` with a line for each entry so far, and for each later one when it is added."""
        self._notify = notify
        for found in self:
            notify(str(found))

    def lines(self) -> list[str]:
        """Return a line for each entry, and for each cache folder that another folder replaces."""
        lines = [str(found) for found in self]
        return [*lines, *(words for words in notices() if words not in lines)]
