"""How much of each remote file was moved over the network by this process."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass
class Moved:
    """What was moved of one file.

    Attributes
    ----------
    moved : int
        Bytes received.
    requests : int
        Requests made.
    size : int
        Bytes of the whole file, 0 where unknown.
    whole : bool
        Whether it was fetched as a whole, and not by ranges.
    """

    moved: int = 0
    requests: int = 0
    size: int = 0
    whole: bool = False


class Traffic:
    """Counts of this process, by file. There is one instance, `TRAFFIC`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.files: dict[str, Moved] = {}

    def add(self, name: str, moved: int, size: int = 0, whole: bool = False) -> None:
        """Count one request for a file.

        Parameters
        ----------
        name : str
            Address of the file.
        moved : int
            Bytes received.
        size : int
            Bytes of the whole file, where known.
        whole : bool
            Whether it is fetched as a whole.
        """
        with self._lock:
            entry = self.files.setdefault(name, Moved())
            entry.moved, entry.requests = entry.moved + moved, entry.requests + 1
            entry.size, entry.whole = size or entry.size, entry.whole or whole

    def opened(self, name: str, size: int) -> None:
        """Note a file whose bytes may all come from the cache."""
        with self._lock:
            self.files.setdefault(name, Moved()).size = size

    def words(self) -> str:
        """Return a line such as "9.4 MB of 21 GB read in 31 requests", and what was fetched whole; "" without any."""
        with self._lock:
            ranges = [entry for entry in self.files.values() if not entry.whole]
            whole = sum(entry.moved for entry in self.files.values() if entry.whole)
        said = []
        if ranges:
            moved, size = sum(entry.moved for entry in ranges), sum(entry.size for entry in ranges)
            said.append(f"{human(moved)} of {human(size)} read in {sum(entry.requests for entry in ranges):,} requests")
        if whole:
            said.append(f"{human(whole)} fetched whole, once")
        return "; ".join(said)

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self.files.clear()


def human(count: float) -> str:
    """Return a number of bytes in words: "812 kB", "9.4 MB", "21 GB"."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" or count >= 10 else f"{count:.1f} {unit}"


TRAFFIC = Traffic()
