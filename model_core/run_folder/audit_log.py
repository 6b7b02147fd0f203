"""audit.jsonl: decisions by users on disagreements between mask and peaks, one line per decision, never rewritten."""

from __future__ import annotations

import getpass
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from model_core.errors import InputError, Problem
from model_core.files import append_json_line, cut_torn_line
from model_core.gene_finder import GeneFinder
from model_core.lock import Lock
from model_core.records import Base, Name, Record, read_json_lines

FILE = "audit.jsonl"
DECISIONS = ("agree", "doubt", "note")
COLUMNS = ("when", "who", "gene_id", "symbol", "kind", "chrom", "start", "end", "name", "decision", "note")
LONGEST = {"note": 1_000, "who": 60}  # letters
_NUMBERS = ("start", "end")
_WAIT_SECONDS = 10.0  # for another writer's line
_threads = threading.Lock()  # the lock file excludes other processes, this lock the other threads of a server


def append_decision(run: Path, decision: dict[str, Any]) -> dict[str, Any]:
    """Append one decision and wait until it is on the disk; several processes may do so at once.

    Parameters
    ----------
    run : Path
        The run folder.
    decision : dict[str, Any]
        gene_id, symbol, kind ("element" or "peak"), chrom, start, end (0-based half-open), name, decision (one of
        DECISIONS), note; who: by default the user of this process.

    Returns
    -------
    dict[str, Any]
        The line as written, with `when` (time of the decision, ISO 8601, UTC).

    Raises
    ------
    InputError
        An unknown decision, a note or name that is too long, or a run folder that cannot be written to.
    """
    who = " ".join(str(decision.get("who") or "").split()) or _user()
    line: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": who,
        **{name: str(decision[name]) for name in ("gene_id", "symbol", "kind", "chrom")},
        **{name: int(decision[name]) for name in _NUMBERS},
        "name": str(decision.get("name") or ""),
        "decision": decision.get("decision"),
        "note": " ".join(str(decision.get("note") or "").split()),
    }
    if line["decision"] not in DECISIONS:
        raise InputError("audit", found=repr(line["decision"])[:60], expected=" or ".join(DECISIONS), fix="choose one")
    for name, most in LONGEST.items():
        if len(line[name]) > most:
            raise InputError(
                "audit", found=f"{name} of {len(line[name])} letters", expected=f"at most {most}", fix="shorten it"
            )
    path = run / FILE
    try:
        with _threads, Lock(run / f"{FILE}.lock").held(_WAIT_SECONDS):
            cut_torn_line(path)
            append_json_line(path, line)
    except OSError as problem:
        found = f"cannot be written ({problem.strerror})"
        raise InputError(path, found=found, expected="a run folder of your own", fix="serve a copy of it") from None
    return line


class Decided(Record):
    """Fields of a line of audit.jsonl."""

    when: str
    who: str
    gene_id: Name
    symbol: str
    kind: str
    chrom: str
    start: Base
    end: Base
    name: str
    decision: Literal["agree", "doubt", "note"]
    note: str


def read_decisions(run: Path, problems: list[Problem] | None = None) -> pd.DataFrame:
    """Read all decisions, oldest first: a table of COLUMNS, empty without a file.

    A torn last line is left out.

    Parameters
    ----------
    run : Path
        The run folder.
    problems : list[Problem] or None
        Receives the problem of each damaged line, which is then left out; None raises the first.

    Raises
    ------
    InputError
        The file cannot be read; or a line before the last is no JSON, or lacks a field or has a wrong one.
    """
    fix = "correct or remove this line"
    rows = [line for _, _, line in read_json_lines(run / FILE, Decided, fix, problems)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def of_genes(decisions: pd.DataFrame, finder: GeneFinder) -> tuple[pd.DataFrame, int]:
    """Find the genes of decisions in a run.

    A decision that was copied from another run may name the gene by another version of its id, or by its symbol.

    Parameters
    ----------
    decisions : DataFrame
        From `read_decisions`.
    finder : GeneFinder
        Finder of the run's genes.

    Returns
    -------
    known : DataFrame
        The decisions on genes of the run, with the run's own gene_id.
    unknown : int
        Number of decisions on genes that the run does not have.
    """
    rows = [
        finder.row(symbol, gene_id) for symbol, gene_id in zip(decisions["symbol"], decisions["gene_id"], strict=True)
    ]
    known = decisions.assign(gene_id=["" if row is None else finder.ids[row] for row in rows])
    known = known[known["gene_id"] != ""].reset_index(drop=True)
    return known, len(decisions) - len(known)


def latest(decisions: pd.DataFrame) -> pd.DataFrame:
    """Return the last decision on each region of each gene."""
    return decisions.drop_duplicates(["gene_id", "kind", "chrom", "start", "end"], keep="last")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
