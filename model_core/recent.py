"""The last few values of a slow function, kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

Value = TypeVar("Value")


class Recent:
    """The `size` values used last, by key; several threads may use one object at once.

    Parameters
    ----------
    size : int
        How many values are kept.
    """

    def __init__(self, size: int = 8):
        self.size = size
        self._items: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict:
        return {"size": self.size}  # values stay with the process that computed them, and locks cannot be pickled

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["size"])  # type: ignore[misc]

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value kept under `key`, or the one that `make` returns now; its exceptions are not kept."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]  # type: ignore[return-value]
        value = make()
        with self._lock:
            self._items[key] = value
            while len(self._items) > self.size:
                self._items.popitem(last=False)
        return value
