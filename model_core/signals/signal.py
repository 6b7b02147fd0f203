"""Measured tracks, read per window: bigWig files, BAM files through a cached bigWig, Hi-C contact."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from model_core.errors import InputError
from model_core.intervals import unlisted
from model_core.remote.address import InputPath, RemotePath, input_path
from model_core.signals.bam_coverage import cached_coverage
from model_core.signals.bam_header import bam_sizes
from model_core.signals.bigwig import Summary, bigwig_errors, header_summary, open_bigwig, zoomed_summary
from model_core.signals.file_handles import LazyHandle
from model_core.window import Window

# Elementwise, on arrays of any float type; log1p is the natural logarithm.
TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda values: values,
    "log1p": np.log1p,
    "log10p1": lambda values: np.log1p(values) / np.log(10),
    "sqrt": np.sqrt,
    "arcsinh": np.arcsinh,
}
TAKE_NEGATIVE = ("none", "arcsinh")
_BLOCK = 1 << 20  # bp read at once where a whole chromosome is read


class Signal(ABC):
    """Signal with one number per base of any window.

    An instance can be pickled; each process and thread opens the file on first use.

    Attributes
    ----------
    name : str
        As in the study.
    path : Path or RemotePath
        Its file.
    note : str or None
        What must be said with every number that rests on the signal; None: nothing.
    """

    name: str
    path: InputPath
    note: str | None = None

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome in the file."""

    @abstractmethod
    def read(self, window: Window) -> np.ndarray:
        """Return the transformed signal per base, float32 (window.length,).

        0 where nothing is known, beyond the chromosome's ends, and on a chromosome that the file does not list.

        Raises
        ------
        InputError
            Unreadable file, a chromosome under another name, or values that the transform cannot take.
        """

    def absent(self, chroms: Iterable[str] | str) -> list[str]:
        """Return those of these chromosomes that the file does not list; the signal reads as 0 there.

        Raises
        ------
        InputError
            Unreadable file, or it lists one of them under another name.
        """
        return unlisted(self.sizes, chroms, self.path)

    def prepare(self, progress: Callable[[float], None] | None = None) -> None:  # noqa: B027  optional: most signals need none
        """Do now the work that the first read would otherwise wait for.

        Parameters
        ----------
        progress : callable or None
            Called with the share done, 0 to 1.
        """

    def quantiles(self, windows: Sequence[Window], levels: Sequence[float], every: int = 50) -> np.ndarray:
        """Return quantiles of the transformed signal over every `every`-th base of these windows.

        Parameters
        ----------
        windows : Sequence[Window]
            At least one.
        levels : Sequence[float]
            Probabilities, 0 to 1.
        every : int
            Step in bp between the bases that are used.

        Returns
        -------
        ndarray
            float64 (levels,).
        """
        return np.quantile(np.concatenate([self.read(window)[::every] for window in windows]).astype(float), levels)


class BigWigSignal(Signal):
    """Signal of a bigWig file; every value is multiplied by `scale`, then transformed.

    Parameters
    ----------
    name : str
        As in the study.
    path : str, Path or RemotePath
        The bigWig: a path or an address.
    transform : str
        A name in TRANSFORMS.
    scale : float
        Factor on the file's values, before the transform.
    """

    path: InputPath

    def __init__(self, name: str, path: str | Path | RemotePath, transform: str = "none", scale: float = 1.0):
        if transform not in TRANSFORMS:
            found, expected = f"transform '{transform}'", f"one of {', '.join(TRANSFORMS)}"
            raise InputError(f"signal {name}", found=found, expected=expected, fix="choose one")
        self.name, self.path, self.transform, self.scale = name, input_path(path), transform, float(scale)
        self._file = LazyHandle(partial(open_bigwig, self.path))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome in the header. Some programs list only chromosomes that have data."""
        return dict(self._file.get().chroms())

    def read(self, window: Window) -> np.ndarray:
        """Return the scaled and transformed signal per base, float32 (window.length,); see `Signal.read`."""
        values = self.values(window.chrom, window.start, window.end)
        if self.transform == "none" and self.scale == 1:
            return values
        values = values * np.float64(self.scale)
        if self.transform not in TAKE_NEGATIVE and values.min(initial=0) < 0:
            place = int(np.flatnonzero(values < 0)[0])
            found = f"{values[place]:g} at {window.chrom}:{window.start + place + 1:,}"
            expected = f"no negative values for the transform '{self.transform}' of signal {self.name}"
            advice = f"use the transform {' or '.join(TAKE_NEGATIVE)}, or another file"
            raise InputError(self.path, found=found, expected=expected, fix=advice)
        return TRANSFORMS[self.transform](values).astype(np.float32)

    def values(self, chrom: str, start: int, end: int) -> np.ndarray:
        """Return the file's own values per base, float32 (end - start,).

        NaN -> 0; 0 beyond the chromosome's ends and on chromosomes that are `absent`.

        Raises
        ------
        InputError
            Unreadable file, a chromosome under another name, or an infinite value.
        """
        size = self.sizes[chrom] if chrom in self.sizes or not self.absent(chrom) else 0
        first, last = (min(max(edge, 0), size) for edge in (start, end))
        values = np.zeros(end - start, np.float32)
        if first < last:
            fetched = self._fetch(chrom, first, last)
            if len(fetched):  # empty for a file without any data
                fetched[np.isnan(fetched)] = 0
                values[first - start : last - start] = fetched
        finite = np.isfinite(values)
        if not finite.all():
            found = f"an infinite value at {chrom}:{start + int(np.argmin(finite)) + 1:,}"
            fix = "make the bigWig again without infinite values"
            raise InputError(self.path, found=found, expected="finite numbers", fix=fix)
        return values

    def total(self) -> float:
        """Return the sum of the file's own values over the genome."""
        return self.summary().total

    def mean_over(self, chrom: str, start: int, end: int) -> float:
        """Return the mean of the file's own values over all end - start > 0 bases; uncovered bases count as 0.

        Raises
        ------
        InputError
            As `values`.
        """
        return float(self.values(chrom, start, end).sum(dtype=np.float64) / (end - start))

    def read_ahead(self, regions: Sequence[tuple[str, int, int]]) -> None:
        """Bring what these regions (chromosome, start, end) need of a file at an address together, in few requests.

        Parameters
        ----------
        regions : Sequence[tuple[str, int, int]]
            0-based half-open; they may leave a chromosome, or lie on one that is `absent`.
        """
        if isinstance(self.path, RemotePath):
            inside = [
                (chrom, max(start, 0), min(end, self.sizes[chrom]))
                for chrom, start, end in regions
                if chrom in self.sizes and max(start, 0) < min(end, self.sizes[chrom])
            ]
            self._file.get().read_ahead(inside)

    def summary(self, chrom: str | None = None) -> Summary:
        """Return the summary of the whole file, or of one chromosome.

        The whole file's is exact, from the header; that of one chromosome is approximate, from the zoom levels.
        """
        whole = header_summary(self._bigwig())
        # A NaN written as a value makes the sums in the header and in the zoom levels NaN: every base is read then.
        if not np.isfinite(whole.total):
            if isinstance(self.path, RemotePath):
                expected, fix = "the sum of all values in its header", "download the file, and give its path"
                raise InputError(self.path, found="none, or a sum that is no number", expected=expected, fix=fix)
            return self._summed(chrom)
        return whole if chrom is None else self._zoomed(chrom)

    def _bigwig(self) -> InputPath:
        return self.path

    def _zoomed(self, chrom: str) -> Summary:
        if self.absent(chrom):
            return Summary(0, 0.0, 0.0, 0.0, 0.0)
        return zoomed_summary(self._file.get(), self.path, chrom, self.sizes[chrom])

    def _summed(self, chrom: str | None) -> Summary:
        covered, total, low, high = 0, 0.0, np.inf, -np.inf
        for values in self._covered_values([chrom] if chrom else list(self.sizes)):
            covered, total = covered + values.size, total + float(values.sum(dtype=np.float64))
            low, high = min(low, float(values.min())), max(high, float(values.max()))
        return Summary(covered, total, total / covered, low, high) if covered else Summary(0, 0.0, 0.0, 0.0, 0.0)

    def _covered_values(self, chroms: Sequence[str]) -> Iterator[np.ndarray]:
        missing = self.absent(chroms)
        for chrom in (name for name in chroms if name not in missing):
            for start in range(0, self.sizes[chrom], _BLOCK):
                found = self._fetch(chrom, start, min(start + _BLOCK, self.sizes[chrom]))
                if not np.isnan(found).all():
                    yield found[~np.isnan(found)]

    def _fetch(self, chrom: str, first: int, last: int) -> np.ndarray:
        file = self._file.get()
        with bigwig_errors(self.path, f"damaged data at {chrom}:{first + 1:,}-{last:,}"):
            return np.asarray(file.values(chrom, first, last, numpy=True), np.float32)


class BamSignal(BigWigSignal):
    """Read coverage of a BAM (`bam_coverage.coverage`), computed into the cache on first use.

    Parameters
    ----------
    name, transform, scale
        As BigWigSignal.
    path : str or Path
        The BAM, sorted by coordinate.
    cache : str or Path
        Folder for the coverage.
    extend, shift
        As `bam_coverage.coverage`.
    """

    path: Path

    def __init__(
        self,
        name: str,
        path: str | Path,
        cache: str | Path,
        transform: str = "none",
        scale: float = 1.0,
        extend: int | None = None,
        shift: int = 0,
    ):
        super().__init__(name, Path(path), transform, scale)
        self.cache, self.extend, self.shift = Path(cache), extend, shift
        self._file = LazyHandle(self._open)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome in the BAM's header; computes no coverage."""
        return bam_sizes(self.path)

    def prepare(self, progress: Callable[[float], None] | None = None) -> None:
        """Compute the coverage unless the cache has it.

        Parameters
        ----------
        progress : callable or None
            Called with the share of the genome done, 0 to 1.
        """
        self._bigwig(progress)

    def _bigwig(self, progress: Callable[[float], None] | None = None) -> Path:
        return cached_coverage(self.path, self.cache, self.extend, self.shift, progress)

    def _open(self) -> Any:
        return open_bigwig(self._bigwig())
