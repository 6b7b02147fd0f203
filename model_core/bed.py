"""Reading of BED files, called peaks and bedGraph, plain or gzipped; every error names the file and the line."""

import gzip
import math
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.input_file import GZIP, open_text
from model_core.signals.bigbed import bigbed_lines
from model_core.track_formats import (
    BINARY,
    FORMATS,
    INTERVALS,
    PEAKS,
    TO_BED,
    TO_PEAKS,
    UNTOLD,
    accept_format,
    fields_of,
    format_of,
    format_of_head,
    is_header,
    require_format,
)

_MEASURES = ("signal_value", "minus_log10_p", "minus_log10_q")
_NUMBERS = ("score", *_MEASURES, "value")
BED_COLUMNS = (
    *("chrom", "start", "end", "name", "score", "strand"),
    *("thick_start", "thick_end", "item_rgb", "block_count", "block_sizes", "block_starts"),
)
NARROWPEAK_COLUMNS = (
    *("chrom", "start", "end", "name", "score", "strand"),
    *(*_MEASURES, "summit"),
)
BROADPEAK_COLUMNS = NARROWPEAK_COLUMNS[:-1]
GAPPEDPEAK_COLUMNS = (*BED_COLUMNS, *_MEASURES)
_PEAK_COLUMNS = {"broadPeak": BROADPEAK_COLUMNS, "gappedPeak": GAPPEDPEAK_COLUMNS}
_FIRST_ROWS = 100  # of a bigBed, by which the format of its rows is recognised
_POSITION = re.compile(r"[0-9]{1,12}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?inf|nan", re.IGNORECASE)


def read_bed(path: str | Path, names: Sequence[str] | None = None, sort: bool = True) -> pd.DataFrame:
    """Read the intervals of a BED file (3 or more columns; tabs or spaces; plain or gzipped) or a bigBed.

    Other formats are recognised by their content (`track_formats`) and rejected; a narrowPeak, broadPeak or gappedPeak
    is BED with further columns.

    Parameters
    ----------
    path : str or Path
        The file. Comment, track, browser and empty lines are skipped.
    names : Sequence[str] or None
        Names of the first columns, at least chrom, start, end; further columns are left out. By default the names in a
        header line ("#chrom start end ..."), else BED_COLUMNS, then column13, ...
    sort : bool
        Whether to sort the rows by chrom, start, end; False keeps the file's order (for `intervals.is_sorted`).

    Returns
    -------
    DataFrame
        chrom (str); start, end (int64, 0-based half-open, start <= end); score (float64 of any size, NaN for ".");
        other columns str.

    Raises
    ------
    InputError
        Missing, unreadable, of another format, or malformed, with the line number.
    """
    path = Path(path)
    expected = "a BED file: chrom, start, end and further columns"
    _, lines = _open_intervals(path, INTERVALS, expected, TO_BED, "check the path")
    return _read_table(
        path, lines, lambda header, width: _bed_names(path, names, header, width), {"score": _number}, sort
    )


def read_narrowpeak(path: str | Path, sort: bool = True) -> pd.DataFrame:
    """Read the peaks of a narrowPeak, broadPeak or gappedPeak file (10, 9 or 15 columns; plain, gzipped or bigBed).

    The format is recognised by its content.

    Parameters
    ----------
    path, sort
        As `read_bed`.

    Returns
    -------
    DataFrame
        NARROWPEAK_COLUMNS: as `read_bed`, and signal_value, minus_log10_p, minus_log10_q (float64, -1: not given),
        summit (int64, 0-based offset from start, -1: not given, as in a broadPeak or gappedPeak). Several rows may
        share one interval (--call-summits of MACS3).

    Raises
    ------
    InputError
        As `read_bed`, another format, or a summit outside its peak.
    """
    path = Path(path)
    advice = "give the file that the peak caller wrote"
    expected = "called peaks: narrowPeak (10 columns), broadPeak (9) or gappedPeak (15)"
    found, lines = _open_intervals(path, (*PEAKS, "BED", "BED12"), expected, TO_PEAKS, advice)

    def names(header: Sequence[str] | None, width: int | None) -> Sequence[str]:
        columns = _PEAK_COLUMNS.get(found, NARROWPEAK_COLUMNS)
        if width is not None and (width < len(columns) or (found in ("BED", "BED12") and width > len(columns))):
            kind = FORMATS[found] if found not in UNTOLD else "text"
            raise InputError(path, found=f"{kind} with {width} columns", expected=expected, fix=advice)
        return columns

    numbers = {**dict.fromkeys(_NUMBERS, _number), "summit": _summit}
    table = _read_table(path, lines, names, numbers, sort, _check_summit if found not in _PEAK_COLUMNS else None)
    return table.assign(**({} if "summit" in table else {"summit": np.int64(-1)}))[list(NARROWPEAK_COLUMNS)]


def read_bedgraph(path: str | Path) -> pd.DataFrame:
    """Read the values of a bedGraph file.

    Returns
    -------
    DataFrame
        chrom (str); start, end (int64, 0-based half-open); value (float64); sorted.

    Raises
    ------
    InputError
        As `read_bed`.
    """
    columns = (*BED_COLUMNS[:3], "value")
    return _read_table(Path(path), read_lines(path), lambda _header, _width: columns, {"value": _number}, True)


def is_gzipped(path: Path) -> bool:
    """Return whether a file begins as a gzip file does."""
    with path.open("rb") as raw:
        return raw.read(2) == GZIP


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end) of a UTF-8 text file, plain or gzipped by its first bytes.

    Raises
    ------
    InputError
        No readable regular file, a truncated gzip, not text, or more than `input_file.open_text` allows.
    """
    path = Path(path)
    number = 0
    with open_text(path) as lines:
        try:
            for number, line in enumerate(lines, 1):
                yield number, line.rstrip("\n")
        except UnicodeDecodeError:
            kind = format_of(path)
            found = FORMATS[kind] if kind in BINARY else f"bytes that are not text after line {number}"
            expected = "a text file, plain or gzipped"
            raise InputError(path, found=found, expected=expected, fix="check the format") from None
        except (EOFError, gzip.BadGzipFile, zlib.error):
            found, do = f"a damaged or truncated gzip file after line {number}", "copy or download it again"
            raise InputError(path, found=found, expected="a complete file", fix=do) from None
        except OSError as error:
            found, do = f"{(error.strerror or str(error)).lower()} after line {number}", "check the disk"
            raise InputError(path, found=found, expected="a readable file", fix=do) from None


def _open_intervals(
    path: Path, accepted: Collection[str], expected: str, advice: Mapping[str, str], otherwise: str
) -> tuple[str, Iterator[tuple[int, str]]]:
    """Return the format of a table of intervals, as `require_format`, and its lines; of a bigBed those of its rows."""
    if format_of(path) != "bigBed" and path.suffix.lower() not in (".bigbed", ".bb"):
        return require_format(path, accepted, expected, advice, otherwise), read_lines(path)
    rows = bigbed_lines(path)
    first = list(islice(rows, _FIRST_ROWS))
    found = format_of_head("".join(f"{row}\n" for row in first).encode(), "rows.bed")
    return accept_format(path, found, accepted, expected, advice, otherwise), enumerate(chain(first, rows), 1)


def _read_table(
    path: Path,
    lines: Iterator[tuple[int, str]],
    choose_names: Callable[[Sequence[str] | None, int | None], Sequence[str]],
    converters: Mapping[str, Callable[[str], Any]],
    sort: bool,
    check: Callable[[dict[str, Any]], None] | None = None,
) -> pd.DataFrame:
    converters = {"start": _position, "end": _position, "strand": _strand, **converters}
    names: Sequence[str] | None = None
    header: Sequence[str] | None = None
    width, rows = 0, []
    for number, line in lines:
        fields = fields_of(line)
        if not fields or fields[0] in ("track", "browser"):
            continue
        if fields[0].startswith("#") or (names is None and is_header(fields)):
            header = fields if is_header(fields) else header
            continue
        if names is None:
            width = len(fields)
            names = choose_names(header, width)
        try:
            rows.append(_row(fields, width, names, converters, check))
        except InputError as error:
            raise error.at(f"{path} line {number}") from None
    return _as_table(choose_names(header, None) if names is None else names, rows, sort)


def _row(
    fields: Sequence[str],
    width: int,
    names: Sequence[str],
    converters: Mapping[str, Callable[[str], Any]],
    check: Callable[[dict[str, Any]], None] | None,
) -> tuple:
    if len(fields) < len(names) or (len(fields) != width and len(names) == width):
        expected = f"{width} columns, as in the first row" if len(names) == width else f"at least {len(names)} columns"
        raise InputError("line", found=f"{len(fields)} columns", expected=expected, fix="separate columns by tabs")
    row = {name: converters.get(name, str)(field) for name, field in zip(names, fields, strict=False)}
    if not row["chrom"]:
        expected = "a chromosome name in the first column"
        raise InputError("line", found="no chromosome name", expected=expected, fix="correct the line")
    if row["end"] < row["start"]:
        found = f"start {row['start']} after end {row['end']}"
        raise InputError("line", found=found, expected="0-based half-open start <= end", fix="correct the line")
    if check:
        check(row)
    return tuple(row.values())


def _as_table(names: Sequence[str], rows: list[tuple], sort: bool) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    types = {"start": np.int64, "end": np.int64, "summit": np.int64} | dict.fromkeys(_NUMBERS, np.float64)
    table = pd.DataFrame(
        {name: pd.Series(values, dtype=types.get(name, str)) for name, values in zip(names, columns, strict=True)}
    )
    return table.sort_values(["chrom", "start", "end"], kind="stable", ignore_index=True) if sort else table


def _bed_names(
    path: Path, names: Sequence[str] | None, header: Sequence[str] | None, width: int | None
) -> Sequence[str]:
    if names is not None:
        if tuple(names[:3]) != BED_COLUMNS[:3] or len(set(names)) < len(names):
            raise ValueError(f"names must be distinct and begin with chrom, start, end: {list(names)}")
        if width is not None and width < len(names):
            found, expected = f"{width} columns", f"{len(names)} ({', '.join(names)})"
            raise InputError(path, found=found, expected=expected, fix="add the missing columns")
        return names
    if width is None:
        width = len(header) if header else 3
    if width < 3:
        found = f"{width} column{'s' * (width != 1)} in the first row"
        raise InputError(path, found=found, expected="at least chrom, start, end", fix="separate columns by tabs")
    named = [*BED_COLUMNS[:3], *header[3:]] if header else []
    if len(named) == width == len(set(named)):
        return named
    return [*BED_COLUMNS[:width], *(f"column{i + 1}" for i in range(len(BED_COLUMNS), width))]


def _position(text: str) -> int:
    if not _POSITION.fullmatch(text):
        raise InputError(
            "line", found=f"{text[:40]!r} as a position", expected="a whole number from 0", fix="correct the line"
        )
    return int(text)


def _number(text: str) -> float:
    if text in (".", ""):
        return math.nan
    if not _NUMBER.fullmatch(text):
        advice = "correct the line, or name the columns in a header line '#chrom start end ...'"
        raise InputError("line", found=f"{text[:40]!r} as a number", expected="a number or '.'", fix=advice)
    return float(text)


def _summit(text: str) -> int:
    return -1 if text in ("-1", ".", "") else _position(text)


def _strand(text: str) -> str:
    if text not in ("+", "-", ".", ""):
        advice = "correct the line, or name the columns in a header line '#chrom start end ...'"
        raise InputError("line", found=f"{text[:40]!r} as a strand", expected="+, - or .", fix=advice)
    return text or "."


def _check_summit(row: dict[str, Any]) -> None:
    if row["summit"] >= max(row["end"] - row["start"], 1):
        found = f"summit {row['summit']} in a peak of {row['end'] - row['start']} bp"
        raise InputError(
            "line", found=found, expected="an offset from start inside the peak, or -1", fix="correct the line"
        )
