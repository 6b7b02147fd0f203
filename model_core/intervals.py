"""Interval tables: pandas DataFrames with the columns chrom, start, end, 0-based and half-open.

All functions map tables or arrays to tables or arrays. Input by users (1-based) becomes 0-based only in
`model_core.places`. The operations use bioframe's array functions: its table functions warn under pandas 3 and fail
on empty tables.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from model_core.contig_names import ContigNames
from model_core.errors import InputError

COORDINATES = ("chrom", "start", "end")


def rasterise(table: pd.DataFrame, chrom: str, start: int, end: int) -> np.ndarray:
    """Return which bases of chrom:start-end lie in an interval of the table; bool (end - start,).

    Parameters
    ----------
    table : DataFrame
        Intervals in any order; they may overlap.
    start, end : int
        0-based half-open; start may be negative and end may lie beyond the chromosome.
    """
    starts, ends = (table[name].to_numpy(np.int64) for name in ("start", "end"))
    here = np.flatnonzero((starts < end) & (ends > start))
    here = here[(table["chrom"].iloc[here] == chrom).to_numpy(bool)]
    inside = np.zeros(end - start, bool)
    for first, last in zip((starts[here] - start).clip(0).tolist(), (ends[here] - start).tolist(), strict=True):
        inside[first:last] = True
    return inside


def runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts, ends), int64, of the runs of True in a bool array (L,), half-open, in ascending order."""
    edges = np.diff(np.concatenate(([False], np.asarray(mask, bool), [False])).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def sort(table: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by chrom (as text), start, end, with a new index; ties keep their order."""
    return table.sort_values(list(COORDINATES), kind="stable", ignore_index=True)


def is_sorted(table: pd.DataFrame) -> bool:
    """Return whether each chromosome is one block, in any order, in which starts never decrease."""
    chrom, start = table["chrom"].to_numpy(object), table["start"].to_numpy(np.int64)
    new_block = chrom[1:] != chrom[:-1]
    blocks = int(new_block.sum()) + (len(chrom) > 0)
    return blocks == table["chrom"].nunique() and bool(np.all(new_block | (start[1:] >= start[:-1])))


def merge(table: pd.DataFrame, gap: int = 0) -> pd.DataFrame:
    """Merge intervals that overlap, touch or are at most `gap` bp apart; columns chrom, start, end, sorted."""
    from bioframe import arrops

    merged = []
    for chrom, rows in table.groupby("chrom", sort=True):
        starts, ends = rows["start"].to_numpy(np.int64), rows["end"].to_numpy(np.int64)
        _, starts, ends = arrops.merge_intervals(starts, ends, min_dist=gap)
        merged.append(pd.DataFrame({"chrom": chrom, "start": starts, "end": ends}))
    return pd.concat(merged, ignore_index=True) if merged else empty_table()


def overlap_pairs(table: pd.DataFrame, others: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows of table, rows of others), int64 positions of the pairs that share a base, in order of both."""
    from bioframe import arrops

    lefts, rights = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for rows, other_rows in _rows_by_chromosome(table, others):
        mine, theirs = table.iloc[rows], others.iloc[other_rows]
        i, j = arrops.overlap_intervals(*_bounds(mine), *_bounds(theirs))
        lefts.append(rows[i])
        rights.append(other_rows[j])
    left, right = np.concatenate(lefts), np.concatenate(rights)
    shared = _shared(table, others, left, right) > 0  # bioframe counts empty intervals in; they share no base
    left, right = left[shared], right[shared]
    order = np.lexsort((right, left))
    return left[order], right[order]


def overlaps(table: pd.DataFrame, others: pd.DataFrame) -> np.ndarray:
    """Return whether each row of table shares at least one base with any row of others; bool (rows of table,)."""
    found = np.zeros(len(table), bool)
    found[overlap_pairs(table, others)[0]] = True
    return found


def shared_bases(table: pd.DataFrame, others: pd.DataFrame) -> np.ndarray:
    """Count the bases of each row of table that lie in any row of others, each base once; int64 (rows of table,)."""
    others = merge(others)
    left, right = overlap_pairs(table, others)
    total = np.zeros(len(table), np.int64)
    np.add.at(total, left, _shared(table, others, left, right))
    return total


def distance_to_nearest(table: pd.DataFrame, others: pd.DataFrame) -> np.ndarray:
    """Return bp between each row of table and the nearest of others on its chromosome; float64 (rows of table,).

    0 where they overlap or touch, NaN where the chromosome has none.
    """
    distance = np.full(len(table), np.nan)
    for rows, other_rows in _rows_by_chromosome(table, others):
        starts, ends = _bounds(table.iloc[rows])
        other_starts, other_ends = _bounds(others.iloc[other_rows])
        # The nearest on the left is the one that ends last among those starting before this row's end.
        order = np.argsort(other_starts, kind="stable")
        reach = np.maximum.accumulate(other_ends[order])
        before = np.searchsorted(other_starts[order], ends, "right")
        left = np.where(before > 0, starts - reach[np.maximum(before - 1, 0)], np.inf)
        after = np.minimum(before, len(order) - 1)
        right = np.where(before < len(order), other_starts[order][after] - ends, np.inf)
        distance[rows] = np.maximum(np.minimum(left, right), 0)
    return distance


def empty_table() -> pd.DataFrame:
    """Return a table with the columns chrom, start, end and no rows."""
    return pd.DataFrame({"chrom": pd.Series(dtype=str), "start": np.empty(0, np.int64), "end": np.empty(0, np.int64)})


def _bounds(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)


def _shared(table: pd.DataFrame, others: pd.DataFrame, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    (starts, ends), (other_starts, other_ends) = _bounds(table), _bounds(others)
    return np.minimum(ends[left], other_ends[right]) - np.maximum(starts[left], other_starts[right])


def _rows_by_chromosome(table: pd.DataFrame, others: pd.DataFrame) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    mine, theirs = table.groupby("chrom").indices, others.groupby("chrom").indices
    return [(mine[chrom], theirs[chrom]) for chrom in mine if chrom in theirs]


def match_chromosomes(found: Iterable[str], expected: Iterable[str] | str, path: object) -> None:
    """Check that a file has the required chromosomes.

    Parameters
    ----------
    found : Iterable[str]
        Chromosome names in the file.
    expected : Iterable[str] or str
        The names needed, or one name.
    path : object
        The file, for the message.

    Raises
    ------
    InputError
        A name is missing; the message contains the file's own spelling of it where there is one.
    """
    found = list(found)
    missing = _missing(found, expected)
    if not missing:
        return
    # Any missing name has the same cause; prefer one that the file spells differently, as it shows the cause.
    alias_of = _spellings(found).alias
    name, alias = next(((name, alias) for name in missing if (alias := alias_of(name))), (missing[0], None))
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    has = f"'{alias}'" if alias else listed(found)
    advice = f"rename {_renaming(path, alias, name)}" if alias else "check that it belongs to this genome assembly"
    raise InputError(path, found=f"chromosome {has}", expected=f"'{name}'{more}", fix=advice)


def unlisted(found: Iterable[str], expected: Iterable[str] | str, path: object) -> list[str]:
    """Return the requested chromosomes that a file of measurements does not list: it has no data there.

    Many programs list only the chromosomes that have data.

    Parameters
    ----------
    found, expected, path
        As in `match_chromosomes`.

    Raises
    ------
    InputError
        The file lists one of them under another spelling.
    """
    found = list(found)
    missing = _missing(found, expected)
    if any(map(_spellings(found).alias, missing)):
        match_chromosomes(found, missing, path)
    return missing


def require_shared(found: Iterable[str], sizes: Iterable[str] | None, path: object) -> None:
    """Raise InputError if a file has none of the genome's chromosomes; it may cover only a part of the genome.

    Parameters
    ----------
    found : Iterable[str]
        Chromosome names in the file.
    sizes : Iterable[str] or None
        Chromosome names of the genome; None or empty: unknown, nothing is checked.
    path : object
        The file, for the message.
    """
    names, known = list(found), list(sizes or ())
    if known and not set(names) & set(known):
        # The genome's name for one of the file's chromosomes makes the message, where there is one.
        match_chromosomes(names, next(filter(_spellings(names).alias, known), known[0]), path)


def _spellings(names: Iterable[str]) -> ContigNames:
    return ContigNames(dict.fromkeys(names, 0))


def _missing(found: list[str], expected: Iterable[str] | str) -> list[str]:
    held = set(found)
    return [name for name in ([expected] if isinstance(expected, str) else expected) if name not in held]


def listed(names: Sequence[str], shown: int = 5) -> str:
    """Format the first few names in quotes and their total number, for a message.

    Parameters
    ----------
    names : Sequence[str]
        The names.
    shown : int
        How many to show.
    """
    if not names:
        return "none"
    more = f", ... ({len(names)} in all)" if len(names) > shown else ""
    return ", ".join(f"'{name}'" for name in names[:shown]) + more


def _renaming(path: object, alias: str, name: str) -> str:
    suffixes = [suffix.lower() for suffix in Path(str(path)).suffixes]
    change = f"'{alias}' to '{name}' and so on"
    if ".bam" in suffixes:
        return f"{change} with samtools reheader"
    if ".bw" in suffixes or ".bigwig" in suffixes:
        return f"{change} with bigWigToBedGraph, sed and bedGraphToBigWig"
    if ".mcool" in suffixes or ".cool" in suffixes:
        return f"{change} with cooler.rename_chroms"
    return f"{change} with sed, or use the other file's names"
