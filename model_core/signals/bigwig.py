"""BigWig files: opening, checking, and the summary in the header."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyBigWig

from model_core.errors import InputError
from model_core.remote.address import InputPath, RemotePath
from model_core.signals.bigwig_layout import check_layout
from model_core.signals.bigwig_ranges import BigWigRanges
from model_core.signals.checked_files import check_once
from model_core.track_formats import TO_SIGNAL, format_of, named

_BIGWIG = 0x888FFC26


class Summary(NamedTuple):
    """Summary of a signal in the file's own units, over its covered bases.

    Attributes
    ----------
    covered : int
        Number of covered bases.
    total, mean, minimum, maximum : float
        Sum, mean, smallest and largest value over these bases; NaN where the header holds no summary.
    """

    covered: int
    total: float
    mean: float
    minimum: float
    maximum: float


def open_bigwig(path: InputPath) -> Any:
    """Open a bigWig and return the pyBigWig file, or of an address the `BigWigRanges`, which has the same methods.

    Raises
    ------
    InputError
        Missing, not a bigWig, truncated or damaged.
    """
    if isinstance(path, RemotePath):
        return BigWigRanges(path)
    check_whole(path)
    with bigwig_errors(path, "a damaged header"):
        return pyBigWig.open(str(path))


@contextmanager
def bigwig_errors(path: InputPath, found: str) -> Iterator[None]:
    """Convert errors of the libraries that read bigWigs to InputError.

    Parameters
    ----------
    path : InputPath
        The bigWig.
    found : str
        What an error means, for the message.
    """
    try:
        yield
    except InputError:
        raise
    except BaseException as error:  # a panic in pybigtools is a BaseException, which no module exports
        panic = type(error).__name__ in ("PanicException", "BBIReadError")
        if not panic and not isinstance(error, RuntimeError | OSError | ValueError | OverflowError):
            raise
        fix = "copy or make it again"
        raise InputError(path, found=found, expected="a complete bigWig", fix=fix) from None


def check_whole(path: Path) -> None:
    """Check that a file begins and ends as a bigWig does and that no library can crash on it (`check_layout`).

    Raises
    ------
    InputError
        Missing, not a bigWig, truncated or damaged.
    """
    try:
        check_once(path, "bigWig", _check)
    except FileNotFoundError:
        raise InputError(path, found="no such file", expected="a bigWig", fix="check the path") from None
    except OSError as error:
        raise InputError(
            path, found=(error.strerror or str(error)).lower(), expected="a bigWig", fix="check the path"
        ) from None


def _check(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(64)
        file.seek(-min(4, len(start)), 2)
        end = file.read()
    if start[:4] not in {struct.pack(order + "I", _BIGWIG) for order in "<>"}:
        do = TO_SIGNAL.get(format_of(path), "convert its values to bigWig, for instance with bedGraphToBigWig")
        raise InputError(path, found=named(path, "another format"), expected="a bigWig", fix=do)
    if len(start) < 64 or end != start[:4]:
        raise InputError(
            path,
            found="a truncated file (no end mark)",
            expected="a complete bigWig",
            fix="copy or make it again",
        )
    check_layout(path)


def header_summary(path: InputPath) -> Summary:
    """Read the summary of the whole file from its header.

    The bytes are read here, as pyBigWig rounds the sum to an integer and crashes where it is NaN.

    Returns
    -------
    Summary
        NaN in all fields but `covered` (0) where the header of an old file holds no summary.

    Raises
    ------
    InputError
        As `open_bigwig`.
    """
    if isinstance(path, RemotePath):
        covered, total, low, high = BigWigRanges(path).summary()
        return _of_covered(covered, total, low, high)
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
    return _of_covered(covered, total, low, high)


def zoomed_summary(file: Any, path: InputPath, chrom: str, size: int) -> Summary:
    """Return the approximate summary of a chromosome of an open bigWig, from its zoom levels.

    Parameters
    ----------
    file : Any
        From `open_bigwig`.
    path : InputPath
        Its path, for messages.
    chrom : str
        A chromosome that it lists.
    size : int
        Its length in bp.

    Raises
    ------
    InputError
        Damaged zoom levels.
    """
    if isinstance(file, BigWigRanges):
        share, mean, low, high = file.statistics(chrom)
    else:
        kinds = ("coverage", "mean", "min", "max")
        with bigwig_errors(path, f"damaged zoom levels of {chrom}"):
            share, mean, low, high = (file.stats(chrom, type=kind)[0] or 0.0 for kind in kinds)
    covered = round(share * size)
    return Summary(covered, mean * covered, mean, low, high)


def _of_covered(covered: int, total: float, low: float, high: float) -> Summary:
    if not np.isfinite(total):
        return Summary(covered, total, np.nan, low, high)
    return Summary(covered, total, total / covered, low, high) if covered else Summary(0, 0.0, 0.0, 0.0, 0.0)
