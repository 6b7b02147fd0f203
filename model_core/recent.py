"""Cache of the last few values of a slow function."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Value = TypeVar("Value")


class Recent:
    """Cache of the `size` values that were used last, by key; several threads may share one object.

    Parameters
    ----------
    size : int
        Number of values that are kept.
    """

    def __init__(self, size: int = 8):
        self._begin(size)

    def _begin(self, size: int) -> None:
        self.size = size
        self._items: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, int]:
        return {"size": self.size}  # values stay with the process that computed them, and locks cannot be pickled

    def __setstate__(self, state: dict[str, int]) -> None:
        self._begin(state["size"])

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value kept under `key`, or the one that `make` returns now; exceptions are not kept."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]
        value = make()
        with self._lock:
            self._items[key] = value
            while len(self._items) > self.size:
                self._items.popitem(last=False)
        return value
