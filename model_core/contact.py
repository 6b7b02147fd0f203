"""Contact of every base of a window to its transcription start, from Hi-C (.hic, .mcool, .cool)."""

import warnings
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model_core.errors import InputError, complaint
from model_core.handles import LazyHandle
from model_core.intervals import match_chromosomes
from model_core.signals import Signal
from model_core.windows import Window

TSS_REACH = 500  # bp on either side of the TSS, both ends excluded as in the release: 999 bases
TOO_LITTLE = 0.01  # contact summed over those bases, below which the gene has no contact vector


class PowerLaw(NamedTuple):
    """The pseudocount: contact expected at a distance of d bp, P(d) = exp(scale - gamma ln(max(d, nearest) + 1)).

    min(P(d), P(reference)) is added to the measured contact (method: section 1; defaults are the release's, which fit
    5 kb bins: scale = -4.80 + 11.63 gamma).
    """

    gamma: float = 0.87
    scale: float = -4.80 + 11.63 * 0.87
    nearest: float = 5_000
    reference: float = 1_000_000

    def expected(self, distance: np.ndarray | float) -> np.ndarray:
        """P(d), float64, for distances in bp."""
        return np.exp(self.scale - self.gamma * np.log(np.maximum(distance, self.nearest) + 1))

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        """min(P(d), P(reference)), float64: constant below `reference`."""
        return np.minimum(self.expected(distance), self.expected(self.reference))


class HicSignal(Signal):
    """log10(1 + x), x = normalised contact between the base's bin and the TSS's bin, plus a pseudocount.

    Args:
        name: as in the study.
        path: .hic, .mcool or .cool.
        resolution: bp of a bin; the file must hold it.
        normalisation: as the file names it ("VC", "KR", "weight", ...), or "NONE" for raw counts. Values differ
            20-fold between normalisations, and with them what the priors mean.
        pseudocount: the power law, None for the release's, or a constant number of contacts; 0 switches it off.
    """

    def __init__(
        self,
        name: str,
        path: str | Path,
        resolution: int = 5_000,
        normalisation: str = "VC",
        pseudocount: PowerLaw | float | None = None,
    ):
        self.name, self.path = name, Path(path)
        self.resolution, self.normalisation = int(resolution), normalisation
        self.pseudocount = PowerLaw() if pseudocount is None else pseudocount
        self._file = LazyHandle(partial(_open_hic, self.path, self.resolution, normalisation))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome of the file."""
        return dict(self._file.get().chromosomes())

    def read(self, window: Window) -> np.ndarray:
        """float32 (window.length,): log10(1 + x); 0 beyond the chromosome.

        All 0 where the contact summed over the bases nearer than TSS_REACH to the TSS is below TOO_LITTLE. Bins
        that the normalisation leaves out count as 0.

        Raises:
            InputError: unreadable file, no such chromosome, no such resolution or normalisation, TSS beyond its end.
        """
        match_chromosomes(self.sizes, window.chrom, self.path)
        size = self.sizes[window.chrom]
        if not 0 <= window.tss < size:
            found, expected = f"position {window.tss + 1:,} (from 1)", f"1 to {size:,} on {window.chrom}"
            raise InputError(complaint(self.path, found, expected, "check the assembly of the gene table"))
        vector = np.zeros(window.length, np.float32)
        if self._contact(window.chrom, self._around(window.tss, size), window.tss).sum() < TOO_LITTLE:
            return vector
        bases = np.arange(max(window.start, 0), min(window.end, size))
        contact = self._contact(window.chrom, bases, window.tss) + self._pseudocounts(np.abs(bases - window.tss))
        vector[bases - window.start] = np.log10(1 + contact)
        return vector

    def _around(self, tss: int, size: int) -> np.ndarray:
        return np.arange(max(tss - TSS_REACH + 1, 0), min(tss + TSS_REACH, size))

    def _pseudocounts(self, distance: np.ndarray) -> np.ndarray | float:
        return self.pseudocount(distance) if isinstance(self.pseudocount, PowerLaw) else float(self.pseudocount)

    def _contact(self, chrom: str, bases: np.ndarray, tss: int) -> np.ndarray:
        """float64 (bases,): measured contact of a stretch of neighbouring bases with the TSS's bin."""
        bins = bases // self.resolution
        return self._row(chrom, tss // self.resolution, int(bins[0]), int(bins[-1]) + 1)[bins - bins[0]]

    def _row(self, chrom: str, anchor: int, first: int, last: int) -> np.ndarray:
        """float64 (last - first,): contact of the bins first..last with the anchor bin; NaN -> 0."""
        row = np.zeros(last - first)
        # hictk holds the upper triangle alone: bins left of the anchor are a column, the others a row.
        if first < anchor:
            stop = min(last, anchor)
            row[: stop - first] = self._fetch(chrom, (first, stop), (anchor, anchor + 1)).ravel()
        if last > anchor:
            start = max(first, anchor)
            row[start - first :] = self._fetch(chrom, (anchor, anchor + 1), (start, last)).ravel()
        return np.nan_to_num(row, nan=0, posinf=0, neginf=0)

    def _fetch(self, chrom: str, *bins: tuple[int, int]) -> np.ndarray:
        size = self.sizes[chrom]
        places = [f"{chrom}\t{i * self.resolution}\t{min(j * self.resolution, size)}" for i, j in bins]
        try:
            pixels = self._file.get().fetch(
                *places, normalization=self.normalisation, count_type="float64", query_type="BED"
            )
            return pixels.to_numpy()
        except RuntimeError as error:
            reason = f"damaged data ({str(error).splitlines()[0]})"
            raise InputError(complaint(self.path, reason, "a whole Hi-C file", "copy or make it again")) from None


def _open_hic(path: Path, resolution: int, normalisation: str) -> Any:
    if not path.is_file():
        raise InputError(complaint(path, "no such file", "a .hic, .mcool or .cool file", "check the path"))
    try:
        file = _at_resolution(path, resolution)
        available = ["NONE", *(name for name in file.avail_normalizations() if name != "NONE")]
    except RuntimeError as error:
        found = f"no readable Hi-C ({str(error).splitlines()[0]})"
        raise InputError(
            complaint(path, found, "a whole .hic, .mcool or .cool file", "copy or convert it again")
        ) from None
    if normalisation not in available:
        found = f"no normalisation '{normalisation}' at {resolution:,} bp"
        raise InputError(complaint(path, found, f"one of {', '.join(available)}", "set normalisation to one of these"))
    return file


def _at_resolution(path: Path, resolution: int) -> Any:
    hictkpy = _hictkpy()
    single = hictkpy.File(path) if hictkpy.is_cooler(path) else None
    several = hictkpy.MultiResFile(path) if single is None else None
    held = several.resolutions().tolist() if single is None else [single.resolution()]
    if resolution not in held:
        expected = f"one of {', '.join(map(str, held))}"
        raise InputError(complaint(path, f"no bins of {resolution} bp", expected, "set resolution to one of these"))
    return several[resolution] if single is None else single


def _hictkpy() -> Any:
    """hictkpy, imported where Hi-C is read and nowhere else, with its logger silent.

    It warns at each fork that its logger does not follow. Reading does, as each process opens the file anew, so
    that data loaders may fork after all.
    """
    import hictkpy

    hictkpy.logging.setLevel("CRITICAL")
    warnings.filterwarnings("ignore", message="hictkpy: detected a call to fork")
    return hictkpy
