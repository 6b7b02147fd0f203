"""Contact of every base of a window with its transcription start site, from Hi-C (.hic, .mcool, .cool)."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model_core.errors import InputError
from model_core.remote.address import InputPath, RemotePath, input_path
from model_core.signals.cooler_rows import WHOLE, CoolerRows
from model_core.signals.hic_cache import REACH, HicRows
from model_core.signals.hic_file_rows import HicFileRows
from model_core.signals.remote_rows import RemoteRows
from model_core.signals.signal import Signal
from model_core.track_formats import FORMATS, HEAD, TO_SIGNAL, format_of_head, require_format
from model_core.window import Window

TSS_REACH = 500  # bp on either side of the TSS, both ends excluded as in the release: 999 bases
TOO_LITTLE = 0.01  # contact summed over those bases; below it the gene has no contact vector


class PowerLaw(NamedTuple):
    """Pseudocount by distance: contact expected at d bp, P(d) = exp(scale - gamma ln(max(d, nearest) + 1)).

    min(P(d), P(reference)) is added to the measured contact (method: section 1). The defaults are those of the released
    code, which fit 5 kb bins: scale = -4.80 + 11.63 gamma.

    Attributes
    ----------
    gamma : float
        Exponent of the decay with distance.
    scale : float
        Natural logarithm of the contact at distance 0 without `nearest`.
    nearest : float
        Distance in bp below which P is constant.
    reference : float
        Distance in bp whose P is the largest pseudocount.
    """

    gamma: float = 0.87
    scale: float = -4.80 + 11.63 * 0.87
    nearest: float = 5_000
    reference: float = 1_000_000

    def expected(self, distance: np.ndarray | float) -> np.ndarray:
        """Return P(d), float64, for distances in bp."""
        return np.exp(self.scale - self.gamma * np.log(np.maximum(distance, self.nearest) + 1))

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        """Return min(P(d), P(reference)), float64, for distances in bp: constant below `reference`."""
        return np.minimum(self.expected(distance), self.expected(self.reference))


def log_contact(contact: np.ndarray) -> np.ndarray:
    """Return contact x >= 0 as the model sees it: float32 log10(1 + x), of the input's shape."""
    return np.log10(1 + contact).astype(np.float32)


def _with_chr(chrom: str) -> str:
    return "chrM" if chrom == "MT" else f"chr{chrom}"


class HicSignal(Signal):
    """Hi-C contact with the TSS per base: log10(1 + x).

    x is the normalised contact between the base's bin and the TSS's bin plus a pseudocount.

    Parameters
    ----------
    name : str
        As in the study.
    path : str, Path or RemotePath
        .hic, .mcool or .cool. Of one at an address only what a window needs is read.
    resolution : int
        bp per bin; the file must hold it.
    normalisation : str
        As the file names it ("VC", "KR", "weight", ...), or "NONE" for raw counts. Values differ 20-fold between
        normalisations, and the meaning of the priors changes with them.
    pseudocount : PowerLaw or float or None
        A power law of the distance, None for the release's, or a constant number of contacts (0: none).
    cache : str or Path or None
        Folder for the maps made of a .hic (`hic_cache`); None for the folder `cache` next to the file.
    """

    def __init__(
        self,
        name: str,
        path: str | InputPath,
        resolution: int = 5_000,
        normalisation: str = "VC",
        pseudocount: PowerLaw | float | None = None,
        cache: str | Path | None = None,
    ):
        self.name, self.path = name, input_path(path)
        self.resolution, self.normalisation = int(resolution), normalisation
        self.pseudocount = PowerLaw() if pseudocount is None else pseudocount
        beside = self.path.parent if isinstance(self.path, Path) else Path()
        self.cache = beside / "cache" if cache is None else Path(cache)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome of the file; for a .hic with names 1, 2, ... also as chr1, chr2, ...

        The .hic files of public portals omit "chr" where their other files have it.
        """
        own = self._rows.sizes
        if isinstance(self._rows, CoolerRows | RemoteRows) or any(name.startswith("chr") for name in own):
            return own
        return {_with_chr(name): own[name] for name in own} | own

    def prepare(self, progress: Callable[[float], None] | None = None) -> None:
        """Make the map of a .hic for windows up to 2 * REACH bp, unless the cache has it.

        Parameters
        ----------
        progress : callable or None
            Called with the share done, 0 to 1.
        """
        if isinstance(self._rows, HicRows):
            self._rows.within(REACH, progress)

    def read(self, window: Window) -> np.ndarray:
        """Return log10(1 + x) per base, float32 (window.length,).

        0 beyond the chromosome and on a chromosome that the file does not list. All 0 where the contact summed over
        the bases nearer than TSS_REACH to the TSS is below TOO_LITTLE. Bins that the normalisation leaves out count
        as 0. The first read of a .hic makes its map (`prepare`).

        Raises
        ------
        InputError
            Unreadable file, a chromosome under another name, no such resolution or normalisation, or a TSS beyond
            the chromosome's end.
        """
        if self.absent(window.chrom):
            return np.zeros(window.length, np.float32)
        size = self.sizes[window.chrom]
        if not 0 <= window.tss < size:
            found, expected = f"TSS {window.tss + 1:,} (1-based)", f"1 to {size:,} on {window.chrom}"
            raise InputError(self.path, found=found, expected=expected, fix="check the assembly of the gene table")
        vector = np.zeros(window.length, np.float32)
        near = (max(window.tss - TSS_REACH + 1, 0), min(window.tss + TSS_REACH, size))
        inside = (max(window.start, 0), min(window.end, size))
        first = min(near[0], inside[0]) // self.resolution
        last = (max(near[1], inside[1]) - 1) // self.resolution + 1
        rows = self._rows.within(max(window.end - window.tss, TSS_REACH))
        chrom = next(name for name in rows.sizes if window.chrom in (name, _with_chr(name)))
        contact = rows.row(chrom, window.tss // self.resolution, first, last)
        if self._per_base(contact, first, *near).sum() < TOO_LITTLE:
            return vector
        pseudocount = self._constant_pseudocount(max(window.tss - inside[0], inside[1] - window.tss))
        if pseudocount is None:
            assert isinstance(self.pseudocount, PowerLaw)
            distance = np.abs(np.arange(*inside) - window.tss)
            values = log_contact(self._per_base(contact, first, *inside) + self.pseudocount(distance))
        else:
            # Rounded before it is repeated over the bases of its bin: the same numbers in half the memory.
            values = self._per_base(log_contact(contact + pseudocount), first, *inside)
        vector[inside[0] - window.start : inside[1] - window.start] = values
        return vector

    @cached_property
    def _rows(self) -> CoolerRows | HicRows | HicFileRows | RemoteRows:
        if isinstance(self.path, RemotePath):
            return self._remote_rows(self.path)
        try:
            with self.path.open("rb") as file:
                is_hic = file.read(3) == b"HIC"
        except OSError as error:
            found = "no such file" if isinstance(error, FileNotFoundError) else f"no readable file ({error.strerror})"
            raise InputError(self.path, found=found, expected=WHOLE, fix="check the path") from None
        require_format(self.path, ("hic", "HDF5"), WHOLE, TO_SIGNAL)
        if is_hic:
            return HicRows(self.path, self.resolution, self.normalisation, self.cache)
        return CoolerRows(self.path, self.resolution, self.normalisation)

    def _remote_rows(self, path: RemotePath) -> HicFileRows | RemoteRows:
        from model_core.remote.remote_file import open_ranges  # no network code where files are local

        file = open_ranges(path)
        found = format_of_head(file.read_at(0, min(HEAD, file.size)), path.name)
        if found not in ("hic", "HDF5"):
            fix = TO_SIGNAL.get(found, "check the address")
            raise InputError(path, found=FORMATS[found], expected=WHOLE, fix=fix)
        return (HicFileRows if found == "hic" else RemoteRows)(path, self.resolution, self.normalisation)

    def _per_base(self, row: np.ndarray, first: int, start: int, end: int) -> np.ndarray:
        """Return for each base from start to end the value of its bin, in a row that begins with the bin `first`."""
        edges = np.clip(np.arange(first, first + len(row) + 1) * self.resolution, start, end)
        return np.repeat(row, np.diff(edges))

    def _constant_pseudocount(self, furthest: int) -> float | None:
        """Return the pseudocount of all bases up to `furthest` bp from the TSS, None where it varies."""
        law = self.pseudocount
        if not isinstance(law, PowerLaw):
            return float(law)
        return float(law.expected(law.reference)) if law.gamma >= 0 and furthest <= law.reference else None
