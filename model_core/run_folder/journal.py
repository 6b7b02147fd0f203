"""scores.jsonl: one line per scored gene, appended once its masks are on disk; and the lock of the one writer."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NoReturn

from model_core.errors import InputError
from model_core.records import Base, Count, Name, Record, Share, read_json_lines

FIELDS = ("gene_id", "symbol", "chrom", "tss", "strand", "split", "observed", "predicted", "row")
_AGAIN = "score the genes again into a new run"


class ScoredGene(Record):
    """Fields of a line of scores.jsonl."""

    gene_id: Name
    symbol: Name
    chrom: Name
    tss: Base
    strand: Literal["+", "-"]
    split: str | None
    observed: float | None
    predicted: float | None
    row: Count
    cutoff: Share | None = None


def read_journal(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Read the journal of scored genes.

    A torn last line (the writer was killed while writing it) is left out, and its row in the masks is free again.

    Parameters
    ----------
    path : Path
        scores.jsonl, which may be missing.

    Returns
    -------
    records : list[dict[str, Any]]
        FIELDS of each scored gene, by row.
    length : int
        Bytes of the file that these lines take.

    Raises
    ------
    InputError
        A line before the last is no JSON; a line lacks a field, has a wrong one, is out of row order, or repeats a
        gene.
    """
    records: list[dict[str, Any]] = []
    seen: set[str] = set()
    length = 0
    for number, end, record in read_json_lines(path, ScoredGene, _AGAIN):
        if record["row"] != number - 1:
            _damaged(path, number, f"row {record['row']} where {number - 1} is due")
        if record["gene_id"] in seen:
            _damaged(path, number, f"gene {record['gene_id']!r} a second time")
        seen.add(record["gene_id"])
        records.append(record)
        length = end
    return records, length


def _damaged(path: Path, number: int, found: str) -> NoReturn:
    raise InputError(f"{path} line {number}", found=found, expected="one whole line for each gene", fix=_AGAIN)


class Lock:
    """Lock that one writer at a time can hold: a file that names the writer's process and host.

    Parameters
    ----------
    path : Path
        The lock file, which exists while the lock is held. One that a dead process has left is taken over.
    """

    def __init__(self, path: Path):
        self.path = path

    def acquire(self) -> None:
        """Acquire the lock.

        Raises
        ------
        InputError
            Another writer holds it.
        """
        with suppress(FileExistsError):
            return self._create()
        holder = self._read()
        if _may_live(holder):
            found = f"another writer (process {holder.get('pid', '?')} on {holder.get('host', 'another host')})"
            advice = f"wait for it, or delete {self.path.name} if you know that it is dead"
            raise InputError(self.path, found=found, expected="one writer at a time", fix=advice)
        self.path.rename(self._mine("stale"))  # of two that take it over at once, one fails here or in _create
        self._mine("stale").unlink()
        try:
            self._create()
        except FileExistsError:
            raise InputError(
                self.path, found="another writer", expected="one writer at a time", fix="wait for it"
            ) from None

    def release(self) -> None:
        """Release the lock."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def held(self, seconds: float = 0.0) -> Iterator[None]:
        """Hold the lock inside the block; wait up to `seconds` for another writer to release it.

        Raises
        ------
        InputError
            Another writer holds it for longer.
        """
        limit = time.monotonic() + seconds
        while True:
            try:
                self.acquire()
                break
            except (InputError, FileNotFoundError):  # the holder, or one that took a dead holder's lock over
                if time.monotonic() > limit or not self.path.parent.is_dir():
                    raise
                time.sleep(0.05)
        try:
            yield
        finally:
            self.release()

    def _create(self) -> None:
        # Linked into place when complete, so that a lock is never read without its holder.
        temporary = self._mine("new")
        temporary.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")
        try:
            os.link(temporary, self.path)
        finally:
            temporary.unlink()

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            holder = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(holder, dict):
                return holder
        return {}

    def _mine(self, kind: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{kind}.{os.getpid()}")


def _may_live(holder: Mapping[str, Any]) -> bool:
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
        return True  # another machine, or unreadable: it cannot be known here
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
