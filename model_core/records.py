"""JSON, lines of JSON and TOML from files, read strictly, and checked against declared fields.

Every JSON file of a run folder is read here. Strict means: UTF-8, no NaN or infinity, no lone surrogates, no number
beyond 64 bits, at most 200 levels, in a file that is not read further than its limit. What is declared is a `Record` in
the module that owns the file; fields that are not declared are kept, as a later version may write them.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from model_core.errors import InputError, Problem
from model_core.input_file import read_input

MOST_JSON = 1 << 26  # bytes of a JSON file
MOST_LINES = 1 << 29  # bytes of a file of lines of JSON
MOST_TOML = 1 << 24  # bytes
DEEPEST = 200  # lists and objects in each other, as in `from_json`
COPY_AGAIN = "copy the run again"
_WORDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a text without tabs, line ends and other characters that cannot be printed")
    return text


Name = Annotated[str, Field(min_length=1), AfterValidator(_printable)]
PathText = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Base = Annotated[int, Field(ge=0, le=10**12)]  # a position or length on a chromosome, in bp
Share = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """Declared fields of a JSON object; the object itself is used, never an instance of its declaration."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


def parse_json(text: bytes) -> Any:
    """Parse JSON strictly (RFC 8259, at most DEEPEST levels).

    Raises
    ------
    ValueError
        No JSON; the text says where.
    """
    return from_json(text, allow_inf_nan=False)


def is_whole(line: bytes) -> bool:
    """Return whether a line was written to its end: it is JSON, if with numbers that are none (NaN, Infinity)."""
    try:
        from_json(line)
    except ValueError:
        return False
    return True


def check(value: Any, kind: type[Record], where: object, fix: str = COPY_AGAIN) -> None:
    """Check a value against declared fields.

    Parameters
    ----------
    value : Any
        From `parse_json`.
    kind : type[Record]
        The declaration.
    where : object
        File, and line where there are lines.
    fix : str
        What to do about a wrong value.

    Raises
    ------
    InputError
        The first field that is missing or wrong.
    """
    try:
        kind.model_validate(value)
    except ValidationError as error:
        raise InputError.of(_problem(error, where, fix)) from None


def read_json(path: Path, kind: type[Record] = Record, fix: str = COPY_AGAIN) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Parameters
    ----------
    path : Path
        The file.
    kind : type[Record]
        Its declared fields.
    fix : str
        What to do where it is damaged.

    Returns
    -------
    dict[str, Any]
        The object as it is in the file.

    Raises
    ------
    InputError
        Missing, unreadable, no strict JSON, a key twice, no object, or a field that is missing or wrong.
    """
    value = read_json_value(path, fix)
    if not isinstance(value, dict):
        raise InputError(path, found=_words(value), expected="a JSON object", fix=fix)
    check(value, kind, path, fix)
    return value


def read_json_value(path: Path, fix: str = COPY_AGAIN) -> Any:
    """Read a JSON file of any value; as `read_json` without its checks of fields."""
    text = read_input(path, MOST_JSON, "a JSON file", fix)
    try:
        value = parse_json(text)
        json.loads(text, object_pairs_hook=_distinct)  # `from_json` takes the last of equal keys
        check_numbers(value)
    except ValueError as error:
        found = "a byte-order mark" if text.startswith(b"\xef\xbb\xbf") else str(error)
        raise InputError(path, found=f"damaged JSON ({found})", expected="JSON in UTF-8", fix=fix) from None
    return value


def read_json_lines(
    path: Path, kind: type[Record], fix: str, problems: list[Problem] | None = None
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Read a file to which lines of JSON are appended; one that is missing has none.

    A torn last line is left out: one without its end, or one that is no JSON (a line's end can reach the disk before
    the bytes in front of it).

    Parameters
    ----------
    path : Path
        The file.
    kind : type[Record]
        Declared fields of each line.
    fix : str
        What to do about a damaged line.
    problems : list[Problem] or None
        Receives the problem of each damaged line, which is then left out; None raises the first.

    Yields
    ------
    number : int
        Number of the line, from 1.
    end : int
        Bytes of the file up to the end of this line.
    record : dict[str, Any]
        The object as it is in the file.

    Raises
    ------
    InputError
        Unreadable, or a damaged line.
    """
    if not path.exists():
        return
    *lines, _ = read_input(path, MOST_LINES, "lines of JSON").split(b"\n")
    end = 0
    for number, line in enumerate(lines, 1):
        end += len(line) + 1
        try:
            record = _line(line, kind, f"{path} line {number}", fix, number == len(lines))
        except InputError as error:
            if problems is None:
                raise
            problems.extend(error.problems)
        else:
            if record is not None:
                yield number, end, record


def read_toml(path: Path, expected: str, missing: str) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : Path
        The file.
    expected : str
        What the file should be, for messages.
    missing : str
        What to do where there is no file.

    Raises
    ------
    InputError
        Missing, unreadable, no TOML, nested too deeply, or with a number beyond 64 bits.
    """
    text = read_input(path, MOST_TOML, expected, "check the path" if path.exists() else missing)
    try:
        value = tomllib.loads(text.decode("utf-8-sig"))
        check_numbers(value)
    except UnicodeDecodeError:
        raise InputError(path, found="bytes that are not UTF-8 text", expected=expected, fix="check the path") from None
    except (ValueError, RecursionError) as error:
        found = "lists or tables in each other without end" if isinstance(error, RecursionError) else str(error)
        do = "correct that line"
        raise InputError(path, found=f"text that is not TOML ({found})", expected=expected, fix=do) from None
    return value


def check_numbers(value: Any) -> None:
    """Raise ValueError at a whole number beyond 64 bits, a number that is not finite, or more than DEEPEST levels."""
    level = [value]
    for _ in range(DEEPEST + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, int) and not -(2**63) <= item < 2**63:
                raise ValueError(f"a whole number of {item.bit_length():,} bits; at most 64 are read")
            elif isinstance(item, float) and not math.isfinite(item):
                raise ValueError("a number that is not finite")
        if not inner:
            return
        level = inner
    raise ValueError(f"more than {DEEPEST} lists or objects in each other")


def shown(value: object) -> str:
    """Return a value for a message: short, and never as more than it is."""
    if isinstance(value, dict | list):
        return f"{_words(value)} of {len(value):,}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _line(line: bytes, kind: type[Record], where: str, fix: str, last: bool) -> dict[str, Any] | None:
    """Return the object of a line; None where it is the last and torn."""
    try:
        record = parse_json(line)
    except ValueError as error:
        if last and not is_whole(line):
            return None
        raise InputError(where, found=f"a damaged line ({error})", expected="one whole line of JSON", fix=fix) from None
    check(record, kind, where, fix)
    return record


def _problem(error: ValidationError, where: object, fix: str) -> Problem:
    """Return the first of pydantic's errors as a problem of a file."""
    item = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "missing":
        return Problem(where, f"no {place}", "all fields of this file", fix)
    expected = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if item["type"] == "model_type":
        return Problem(f"{where} {place}".rstrip(), _words(item["input"]), "an object", fix)
    return Problem(f"{where} {place}".rstrip(), shown(item["input"]), expected, fix)


def _words(value: object) -> str:
    return _WORDS.get(type(value), "a number")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of its (key, value); ValueError where a key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return found
