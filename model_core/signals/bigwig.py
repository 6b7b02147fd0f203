"""Opening bigWig files, and the summary in their headers."""

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyBigWig

from model_core.errors import InputError
from model_core.track_formats import TO_SIGNAL, format_of, named

_BIGWIG = 0x888FFC26


class Summary(NamedTuple):
    """A signal in its file's own units: covered bases, and sum, mean, smallest and largest value over those bases."""

    covered: int
    total: float
    mean: float
    minimum: float
    maximum: float


def open_bigwig(path: Path) -> Any:
    """The open pyBigWig file.

    Raises
    ------
    InputError
        Missing, no bigWig, or cut off.
    """
    check_whole(path)
    try:
        return pyBigWig.open(str(path))
    except RuntimeError:
        raise InputError(
            path, found="a damaged header", expected="a whole bigWig", fix="copy or make it again"
        ) from None


def check_whole(path: Path) -> None:
    """InputError unless the file begins and ends as a bigWig does; libBigWig itself crashes on some cut-off files."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
            file.seek(-min(4, len(start)), 2)
            end = file.read()
    except FileNotFoundError:
        raise InputError(path, found="no such file", expected="a bigWig", fix="check the path") from None
    except OSError as error:
        raise InputError(
            path, found=(error.strerror or str(error)).lower(), expected="a bigWig", fix="check the path"
        ) from None
    if start[:4] not in {struct.pack(order + "I", _BIGWIG) for order in "<>"}:
        do = TO_SIGNAL.get(format_of(path), "make a bigWig of its values, for instance with bedGraphToBigWig")
        raise InputError(path, found=named(path, "no bigWig"), expected="a bigWig", fix=do)
    if len(start) < 64 or end != start[:4]:
        raise InputError(
            path, found="no end mark", expected="a whole bigWig", fix="it is cut off: copy or make it again"
        )


def header_summary(path: Path) -> Summary:
    """What the header tells of the whole file; all NaN but for `covered` where an old file tells nothing.

    Read from the bytes, as pyBigWig rounds the sum to a whole number and crashes where it is NaN.

    Raises
    ------
    InputError
        As `open_bigwig`.
    """
    check_whole(path)
    with path.open("rb") as file:
        header = file.read(64)
        order = "<" if header[:4] == struct.pack("<I", _BIGWIG) else ">"
        (offset,) = struct.unpack(order + "Q", header[44:52])
        file.seek(offset)
        block = file.read(40)
    if not offset or len(block) < 40:
        return Summary(0, np.nan, np.nan, np.nan, np.nan)
    covered, low, high, total, _ = struct.unpack(order + "Qdddd", block)
    return Summary(covered, total, total / covered, low, high) if covered else Summary(0, 0.0, 0.0, 0.0, 0.0)
