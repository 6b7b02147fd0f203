"""scores.jsonl: one line per scored gene, appended once its masks are on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from model_core.errors import InputError
from model_core.files import whole_lines

FIELDS = ("gene_id", "symbol", "chrom", "tss", "strand", "split", "observed", "predicted", "row")


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
        A line before the last is no JSON, lacks a field, is out of row order, or repeats a gene.
    """
    whole = list(whole_lines(path))
    records: list[dict[str, Any]] = []
    seen: set[str] = set()
    length = sum(len(line) + 1 for line in whole)
    for number, line in enumerate(whole, 1):
        try:
            record = _record(line)
        except ValueError:
            if number == len(whole):  # a newline can reach the disk before the bytes in front of it
                return records, length - len(line) - 1
            _damaged(path, number, "a damaged line")
        if record["row"] != number - 1:
            _damaged(path, number, f"row {record['row']} where {number - 1} is due")
        if record["gene_id"] in seen:
            _damaged(path, number, f"gene {record['gene_id']!r} a second time")
        seen.add(record["gene_id"])
        records.append(record)
    return records, length


def _record(line: bytes) -> dict[str, Any]:
    record = json.loads(line)
    if not isinstance(record, dict) or any(name not in record for name in FIELDS):
        raise ValueError("not the line of a gene")
    return record


def _damaged(path: Path, number: int, found: str) -> NoReturn:
    where = f"{path} line {number}"
    raise InputError(
        where, found=found, expected="one whole line for each gene", fix="score the genes again into a new run"
    )
