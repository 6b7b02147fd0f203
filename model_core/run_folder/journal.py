"""scores.jsonl: one line per scored gene, appended once its masks are on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field

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
    no_contact: bool = False
    effect_unit: Annotated[float, Field(gt=1e-37, lt=1e37)] | None = None  # of its stored effects; None without them
    contact: bool = False  # whether its contact is stored


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
