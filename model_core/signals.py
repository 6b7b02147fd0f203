"""Raw measured tracks, read per window: bigWig files, BAM files through a cached bigWig, Hi-C contact."""

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyBigWig

from model_core.coverage import cached_coverage
from model_core.errors import InputError, complaint
from model_core.handles import LazyHandle
from model_core.intervals import match_chromosomes
from model_core.windows import Window

# Arrays of any float type, elementwise; log1p is the natural logarithm.
TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda values: values,
    "log1p": np.log1p,
    "log10p1": lambda values: np.log1p(values) / np.log(10),
    "sqrt": np.sqrt,
    "arcsinh": np.arcsinh,
}
TAKE_NEGATIVE = ("none", "arcsinh")
_BIGWIG, _BIGBED = 0x888FFC26, 0x8789F2EB
_BLOCK = 1 << 20  # bp read at a time where a whole chromosome must be


class Summary(NamedTuple):
    """A signal in its file's own units: covered bases, and sum, mean, smallest and largest value over those bases."""

    covered: int
    total: float
    mean: float
    minimum: float
    maximum: float


class Signal(ABC):
    """One number per base of any window. It can be pickled; each process and thread opens the file on first use."""

    name: str
    path: Path

    @property
    @abstractmethod
    def chromosomes(self) -> dict[str, int]:
        """Length in bp of each chromosome the file has."""

    @abstractmethod
    def read(self, window: Window) -> np.ndarray:
        """float32 (window.length,), transformed; 0 where nothing is known and beyond the chromosome's ends.

        Raises:
            InputError: unreadable file, no such chromosome, or values that the transform cannot take.
        """

    def quantiles(self, windows: Sequence[Window], levels: Sequence[float], every: int = 50) -> np.ndarray:
        """float64 (levels,): quantiles of the transformed signal over every `every`-th base of these windows.

        Args:
            windows: at least one.
            levels: probabilities, 0 to 1.
        """
        return np.quantile(np.concatenate([self.read(window)[::every] for window in windows]).astype(float), levels)


class BigWigSignal(Signal):
    """A bigWig file; every value is multiplied by `scale`, then transformed.

    Args:
        name: as in the study.
        path: the bigWig.
        transform: a name in TRANSFORMS.
        scale: factor on the file's values, before the transform.
    """

    def __init__(self, name: str, path: str | Path, transform: str = "none", scale: float = 1.0):
        if transform not in TRANSFORMS:
            raise InputError(
                complaint(f"signal {name}", f"transform '{transform}'", f"one of {', '.join(TRANSFORMS)}", "choose one")
            )
        self.name, self.path, self.transform, self.scale = name, Path(path), transform, float(scale)
        self._file = LazyHandle(partial(_open_bigwig, self.path))

    @cached_property
    def chromosomes(self) -> dict[str, int]:
        """Length in bp of each chromosome in the header. Some writers list only chromosomes that have data."""
        return dict(self._file.get().chroms())

    def read(self, window: Window) -> np.ndarray:
        """float32 (window.length,): see `Signal.read`."""
        values = self.values(window.chrom, window.start, window.end)
        if self.transform == "none" and self.scale == 1:
            return values
        values = values * np.float64(self.scale)
        if self.transform not in TAKE_NEGATIVE and values.min(initial=0) < 0:
            self._refuse_negative(values, window)
        return TRANSFORMS[self.transform](values).astype(np.float32)

    def values(self, chrom: str, start: int, end: int) -> np.ndarray:
        """float32 (end - start,): the file's own values, NaN -> 0, 0 beyond the chromosome's ends.

        Raises:
            InputError: unreadable file, no such chromosome, or an infinite value.
        """
        match_chromosomes(self.chromosomes, chrom, self.path)
        first, last = (min(max(edge, 0), self.chromosomes[chrom]) for edge in (start, end))
        values = np.zeros(end - start, np.float32)
        if first < last:
            found = self._fetch(chrom, first, last)
            if len(found):  # a file without any data gives none
                values[first - start : last - start] = np.nan_to_num(found, nan=0, posinf=np.inf, neginf=-np.inf)
        if not np.isfinite(values.sum()) and not np.isfinite(values).all():
            place = start + int(np.flatnonzero(~np.isfinite(values))[0])
            found = f"an infinite value at {chrom}:{place + 1:,}"
            raise InputError(complaint(self.path, found, "finite numbers", "make the bigWig again without it"))
        return values

    def total(self) -> float:
        """Sum of the file's own values over the genome."""
        return self.summary().total

    def mean_over(self, chrom: str, start: int, end: int) -> float:
        """Mean of the file's own values over all end - start > 0 bases, uncovered ones as 0.

        Raises:
            InputError: as `values`.
        """
        return float(self.values(chrom, start, end).sum(dtype=np.float64) / (end - start))

    def summary(self, chrom: str | None = None) -> Summary:
        """The whole file, exactly, from its header; or one chromosome, nearly, from the zoom levels."""
        whole = _header_summary(self.path)
        # A NaN written as a value spoils the sums in the header and in the zoom levels: then every base is read.
        if not np.isfinite(whole.total):
            return self._summed(chrom)
        return whole if chrom is None else self._zoomed(chrom)

    def _zoomed(self, chrom: str) -> Summary:
        match_chromosomes(self.chromosomes, chrom, self.path)
        file, size = self._file.get(), self.chromosomes[chrom]
        kinds = ("coverage", "mean", "min", "max")
        try:
            share, mean, low, high = (file.stats(chrom, type=kind)[0] or 0.0 for kind in kinds)
        except RuntimeError:
            raise InputError(
                complaint(self.path, f"damaged zoom levels of {chrom}", "a whole bigWig", "make it again")
            ) from None
        covered = round(share * size)
        return Summary(covered, mean * covered, mean, low, high)

    def _summed(self, chrom: str | None) -> Summary:
        parts = [part for name in ([chrom] if chrom else self.chromosomes) for part in self._covered_values(name)]
        covered = sum(part.size for part in parts)
        total = float(sum(part.sum(dtype=np.float64) for part in parts))
        low, high = (
            min((float(part.min()) for part in parts), default=0.0),
            max((float(part.max()) for part in parts), default=0.0),
        )
        return Summary(covered, total, total / max(covered, 1), low, high)

    def _covered_values(self, chrom: str) -> Iterator[np.ndarray]:
        size = self.chromosomes[chrom]
        for start in range(0, size, _BLOCK):
            found = self._fetch(chrom, start, min(start + _BLOCK, size))
            if not np.isnan(found).all():
                yield found[~np.isnan(found)]

    def _fetch(self, chrom: str, first: int, last: int) -> np.ndarray:
        try:
            return np.asarray(self._file.get().values(chrom, first, last, numpy=True), np.float32)
        except RuntimeError:
            found = f"damaged data at {chrom}:{first + 1:,}-{last:,}"
            raise InputError(complaint(self.path, found, "a whole bigWig", "copy or make it again")) from None

    def _refuse_negative(self, values: np.ndarray, window: Window) -> None:
        place = int(np.flatnonzero(values < 0)[0])
        found = f"{values[place]:g} at {window.chrom}:{window.start + place + 1:,}"
        expected = f"no negative values for the transform '{self.transform}' of signal {self.name}"
        raise InputError(complaint(self.path, found, expected, f"use {' or '.join(TAKE_NEGATIVE)}, or another file"))


def open_signal(
    spec: Mapping[str, Any] | Any, cache: str | Path, progress: Callable[[float], None] | None = None
) -> Signal:
    """The signal of one [[signals]] entry, by its file's ending.

    Args:
        spec: name, path, and where given transform, scale; for BAM extend, shift; for Hi-C resolution, normalisation,
            pseudocount: keys of a mapping or attributes. None means the default.
        cache: folder for the coverage computed from a BAM, now if it is not there yet.
        progress: told the share done, 0 to 1, while coverage is computed.

    Raises:
        InputError: unreadable file or impossible setting.
    """
    from model_core.contact import HicSignal

    def given(*keys: str) -> dict[str, Any]:
        get = spec.get if isinstance(spec, Mapping) else partial(_attribute, spec)
        return {key: get(key) for key in keys if get(key) is not None}

    basic = given("name", "path")
    ending = Path(basic["path"]).suffix.lower()
    if ending in (".hic", ".mcool", ".cool"):
        transform = given("transform").get("transform", "none")
        if transform != "none":
            found = f"transform '{transform}' for signal {basic['name']}"
            raise InputError(
                complaint(basic["path"], found, "none for contact, which is log10(1 + x) as it is", "remove it")
            )
        return HicSignal(**basic, **given("resolution", "normalisation", "pseudocount"))
    if ending == ".bam":
        basic["path"] = cached_coverage(basic["path"], cache, **given("extend", "shift"), progress=progress)
    elif ending not in (".bw", ".bigwig"):
        raise InputError(
            complaint(
                basic["path"], f"ending '{ending}'", ".bw, .bigWig, .bam, .hic, .mcool or .cool", "rename or convert it"
            )
        )
    return BigWigSignal(**basic, **given("transform", "scale"))


def _attribute(spec: Any, key: str) -> Any:
    return getattr(spec, key, None)


def _open_bigwig(path: Path) -> Any:
    _check_bigwig(path)
    try:
        return pyBigWig.open(str(path))
    except RuntimeError:
        raise InputError(complaint(path, "a damaged header", "a whole bigWig", "copy or make it again")) from None


def _check_bigwig(path: Path) -> None:
    """InputError unless the file begins and ends as a bigWig does; libBigWig itself crashes on some cut-off files."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
            file.seek(-min(4, len(start)), 2)
            end = file.read()
    except FileNotFoundError:
        raise InputError(complaint(path, "no such file", "a bigWig", "check the path")) from None
    except OSError as error:
        raise InputError(
            complaint(path, (error.strerror or str(error)).lower(), "a bigWig", "check the path")
        ) from None
    magic = {struct.pack(order + "I", number): number for order in "<>" for number in (_BIGWIG, _BIGBED)}.get(start[:4])
    if magic != _BIGWIG:
        found = "a bigBed" if magic == _BIGBED else "no bigWig"
        raise InputError(complaint(path, found, "a bigWig", "convert it, for instance with bedGraphToBigWig"))
    if len(start) < 64 or end != start[:4]:
        raise InputError(complaint(path, "no end mark", "a whole bigWig", "it is cut off: copy or make it again"))


def _header_summary(path: Path) -> Summary:
    """Summary in a bigWig's header. (pyBigWig rounds the sum to a whole number and crashes where it is NaN.)"""
    _check_bigwig(path)
    with path.open("rb") as file:
        header = file.read(64)
        order = "<" if header[:4] == struct.pack("<I", _BIGWIG) else ">"
        (offset,) = struct.unpack(order + "Q", header[44:52])
        file.seek(offset)
        block = file.read(40)
    if not offset or len(block) < 40:
        return Summary(0, np.nan, np.nan, np.nan, np.nan)  # versions 1 and 2 have none
    covered, low, high, total, _ = struct.unpack(order + "Qdddd", block)
    return Summary(covered, total, total / covered, low, high) if covered else Summary(0, 0.0, 0.0, 0.0, 0.0)
