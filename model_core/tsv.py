"""Tab-separated tables: one rule for reading and writing the cells of a line.

A line is a row, and only a tab ends a cell, so a quote never joins lines or cells. A cell with a quote at both ends and
every quote between them doubled is what spreadsheets write: it is read without its outer quotes, the doubled ones made
single. Any other quote is an ordinary character (`5" end`, `"5 prime`). `cell_text` quotes in this form what would be
read differently otherwise, so that every cell without a tab or a line end is read back unchanged.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pandas as pd

from model_core.bed import read_lines
from model_core.errors import InputError
from model_core.intervals import listed

MOST_COLUMNS, LONGEST_NAME = 10_000, 1_000  # of a table; letters
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_BREAKS = re.compile(r"[\t\r\n]+")
_NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons"}


def cells_of(line: str, separator: str = "\t") -> list[str]:
    """Split a line into cells, without the blanks around each.

    Parameters
    ----------
    line : str
        The line without its line end.
    separator : str
        A tab; or another character, which a cell may then hold between quotes (CSV).

    Raises
    ------
    ValueError
        Unpaired quotes, where the separator is not a tab.
    """
    if '"' not in line:
        return [cell.strip() for cell in line.split(separator)]
    if separator == "\t":
        return [_unquoted(cell.strip()) for cell in line.split("\t")]
    try:
        (cells,) = csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True)
    except csv.Error as error:
        raise ValueError(f"a quote that is never closed, or text after a closing quote ({error})") from None
    return [cell.strip() for cell in cells]


def cell_text(value: object) -> str:
    """Format a value as the text of a cell, which `cells_of` reads back; tabs and line ends become a blank."""
    text = _BREAKS.sub(" ", str(value))
    changed = text != text.strip() or _unquoted(text) != text
    return '"' + text.replace('"', '""') + '"' if changed else text


def read_table(path: str | Path, what: str | None = "a line for each row", separator: str = "\t") -> pd.DataFrame:
    """Read all cells of a table with a header; the index is the line number in the file, from 1.

    A table is UTF-8 text, plain or gzipped, with or without a byte-order mark; lines end in LF, CRLF or CR, the last
    one with or without. Empty lines are skipped. The header may begin with "#"; before it, lines that begin with "#"
    and are as wide as no other line are skipped as comments.

    Parameters
    ----------
    path : str or Path
        The file.
    what : str or None
        Description of the rows, for messages; None where a table with a header only is accepted.
    separator : str
        As in `cells_of`.

    Returns
    -------
    DataFrame
        str columns, named as in the header, in its order; "" where a cell is empty. One row per line with text after
        the header.

    Raises
    ------
    InputError
        Unreadable, no row, two columns with the same name, or a line with too few or too many cells.
    """
    lines: list[tuple[int, list[str]]] = []
    for number, line in read_lines(path):
        if line.strip():
            try:
                lines.append((number, cells_of(line, separator)))
            except ValueError as error:
                expected = f"cells between {_NAMES.get(separator, separator)}"
                raise InputError(
                    f"{path} line {number}", found=str(error), expected=expected, fix="correct the line"
                ) from None
    lines = _without_comments(lines)
    if not lines:
        raise InputError(path, found="an empty file", expected=f"a header and {what or 'rows'}", fix="check the path")
    header = lines[0][1]
    header = [header[0].lstrip("#").strip(), *header[1:]]
    if len(header) > MOST_COLUMNS or max(map(len, header)) > LONGEST_NAME:
        found = f"{len(header):,} columns, the longest name of {max(map(len, header)):,} letters"
        raise InputError(path, found=found, expected="a header with names of columns", fix="check the format")
    _check_separator(path, header, separator)
    if len(lines) == 1 and what is not None:
        raise InputError(path, found="a header only", expected=f"a header and {what}", fix="check the path")
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise _odd_line(path, number, cells, header, separator)
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise InputError(
            path, found=f"repeated column names: {listed(twice)}", expected="distinct names", fix="rename one"
        )
    numbers, rows = [number for number, _ in lines[1:]], [cells for _, cells in lines[1:]]
    return pd.DataFrame(rows, columns=header, index=numbers, dtype=str)


def table_text(table: pd.DataFrame, floats: str | None = None) -> str:
    """Format a table as tab-separated text with a header line, read back by `read_table`; missing numbers are "".

    Parameters
    ----------
    table : DataFrame
        The table, with columns of any type; its index is left out.
    floats : str or None
        Format of float columns, such as "%.6g"; None writes every digit.
    """
    columns = [_texts(table.iloc[:, place], floats) for place in range(table.shape[1])]
    lines = map("\t".join, chain([map(cell_text, table.columns)], zip(*columns, strict=True)))
    # `read_table` skips a line without text.
    return "".join((line if line.strip() else '""' + line) + "\n" for line in lines)


def _texts(column: pd.Series, floats: str | None) -> Iterator[str]:
    missing = column.isna().to_numpy()
    values: Iterable[str]
    if pd.api.types.is_float_dtype(column.dtype):
        values = ((floats % value if floats else repr(float(value))) for value in column)
    else:
        values = map(cell_text, column)
    return iter(["" if none else text for none, text in zip(missing, values, strict=True)])


def _unquoted(cell: str) -> str:
    found = _QUOTED.fullmatch(cell)
    return found.group(1).replace('""', '"') if found else cell


def _without_comments(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Return the lines from the header on, without comments.

    Comments are lines before the first row that begin with "#" and are not as wide as most rows.
    """
    begin = next((at for at, (_, cells) in enumerate(lines) if not cells[0].startswith("#")), len(lines))
    widths = Counter(len(cells) for _, cells in lines[begin:]).most_common(1)
    kept = [line for line in lines[:begin] if not widths or len(line[1]) == widths[0][0]]
    while kept and kept[0][1][0].startswith("##"):
        kept.pop(0)
    return kept + lines[begin:]


def _check_separator(path: str | Path, header: list[str], separator: str) -> None:
    """Raise InputError if the cells are plainly separated by another character."""
    if len(header) > 1:
        return
    for other, name in _NAMES.items():
        if other != separator and other in header[0]:
            wanted = _NAMES.get(separator, separator)
            found, expected = f"cells separated by {name}", f"cells separated by {wanted}"
            raise InputError(path, found=found, expected=expected, fix=f"save it with {wanted}")


def _odd_line(path: str | Path, number: int, cells: list[str], header: list[str], separator: str) -> InputError:
    expected = f"{len(header)} cells, as in the header, separated by {_NAMES.get(separator, separator)}"
    do = "correct the line"
    if any(cell.count('"') % 2 for cell in cells):
        do += "; a quote never joins cells or lines, so remove tabs and line ends from the cell in quotes"
    return InputError(f"{path} line {number}", found=f"{len(cells)} cells", expected=expected, fix=do)
