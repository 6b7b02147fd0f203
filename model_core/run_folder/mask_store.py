"""Arrays of single genes: the Zarr store that holds them, and the mask of one gene as it is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model_core import beta as beta_distribution
from model_core.bins import bin_means, equal_means, rounded, view_grid
from model_core.errors import InputError
from model_core.files import fsync
from model_core.listing import temporary_files
from model_core.run_folder.mask_layout import StoredArray, check_array, check_group, frame_problem, mask_arrays

_SMALLEST = float(np.finfo(np.float16).tiny)  # 6.1e-5: below it float16 loses digits
_LARGEST = float(np.finfo(np.float16).max)  # 65,504
_MOST_STEPS = 8  # of float16 by which a rounded number is moved back across the cutoff; two are the most seen


@dataclass(frozen=True, eq=False)
class GeneMask:
    """Mask of one gene's window, in bins of `resolution` bases, left to right on the forward strand.

    Attributes
    ----------
    chrom : str
        Chromosome of the window.
    start, end : int
        Bounds of the window, 0-based half-open; start may be negative, end may lie beyond the chromosome.
    resolution : int
        bp per bin.
    alpha, beta : ndarray
        float32 (bins,), above 0: parameters of the Beta of z from the model, before forcing.
    forced : ndarray
        int8 (bins,): -1 learned, 0 blacklist or beyond the chromosome, 1 promoter.
    cutoff : float or None
        Lowest E[z] that the model keeps (`DecisionRule.cutoff`) where its mask is 1[E[z] >= cutoff]; None where its
        mask is E[z].
    """

    chrom: str
    start: int
    end: int
    resolution: int
    alpha: np.ndarray
    beta: np.ndarray
    forced: np.ndarray
    cutoff: float | None = None

    @cached_property
    def learned(self) -> np.ndarray:
        """Bins that the model decided: bool (bins,)."""
        return self.forced == beta_distribution.LEARNED

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean E[z], 0 to 1, and 0 or 1 where forced: float32 (bins,)."""
        return self._with_forced(self._expected)

    @cached_property
    def mask(self) -> np.ndarray:
        """Mask as the predictor reads it, 0 to 1: E[z] or 1[E[z] >= cutoff], forced as `mean`: float32 (bins,)."""
        return self.mean if self.cutoff is None else self._with_forced(self._expected >= self.cutoff)

    @cached_property
    def sd(self) -> np.ndarray:
        """Standard deviation of z under its Beta; 0 where forced: float32 (bins,)."""
        return np.where(self.learned, beta_distribution.beta_sd(self.alpha, self.beta), 0).astype(np.float32)

    def interval(self, level: float = 0.95, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the central `level` range of z.

        Parameters
        ----------
        level : float
            Probability of the range, between 0 and 1.
        exact : bool
            Whether to invert the Beta exactly (about 0.5 s for 200,000 bins); else a table made for drawing is used
            (within 0.001, about 20 ms).

        Returns
        -------
        low, high : ndarray
            float32 (bins,); both hold the forced value where a bin is forced.
        """
        ends = beta_distribution.beta_interval if exact else beta_distribution.beta_interval_for_drawing
        low, high = ends(self.alpha, self.beta, level)
        return self._with_forced(low), self._with_forced(high)

    @cached_property
    def drawn_interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Range `interval(0.95)`, computed once, which the page and the figures draw around the mean."""
        return self.interval(0.95)

    def per_base(self, start: int, end: int) -> np.ndarray:
        """Return the mask of each base of start-end (0-based half-open, inside the window): float32 (end - start,)."""
        return np.repeat(self.mask, self.resolution)[start - self.start : end - self.start]

    def summary(
        self, start: int, end: int, bins: int, interval: tuple[np.ndarray, np.ndarray] | None = None, digits: int = 4
    ) -> dict[str, Any]:
        """Return the mask in chrom:start-end, averaged into at most about `bins` bins, as JSON values.

        A bin is the mean over the bins of the mask that the model decided; one without any has the forced value.

        Parameters
        ----------
        start, end : int
            Bounds of the view, 0-based half-open.
        bins : int
            Number of bins over the view.
        interval : tuple[ndarray, ndarray] or None
            (low, high), float32 (bins of the mask,), of the central 95 % of z; None where it is not to be drawn.
        digits : int
            Decimals of the values.

        Returns
        -------
        dict
            chrom, start, end, bin (bp) and equally long lists mean, low and high (unless there is no interval) and
            forced (-1 learned, 0 blacklist or beyond the chromosome, 1 promoter); empty outside the window.
        """
        grid = view_grid(self.start, len(self.mask), start, end, bins, self.resolution)
        learned, forced = self.learned[grid.part], self.forced[grid.part]
        middle = np.minimum(np.arange(0, len(forced), grid.size) + grid.size // 2, max(0, len(forced) - 1))
        state = np.maximum(forced[middle], 0)
        drawn = {"mean": self.mask} | ({} if interval is None else dict(zip(("low", "high"), interval, strict=True)))
        means = {name: bin_means(values[grid.part], grid.size, learned) for name, values in drawn.items()}
        undecided = np.isnan(means["mean"])
        return {
            "chrom": self.chrom,
            "start": grid.start,
            "end": grid.end,
            "bin": grid.width,
            **{name: rounded(np.where(undecided, state, values), digits) for name, values in means.items()},
            "forced": np.where(undecided, state, beta_distribution.LEARNED).tolist(),
        }

    @property
    def kept_fraction(self) -> float:
        """Share of the learned bins that is kept, 0 to 1: mean of a soft mask, share of ones in a hard mask."""
        return beta_distribution.kept_fraction(self.mask, self.forced)

    @cached_property
    def _expected(self) -> np.ndarray:
        return beta_distribution.beta_mean(self.alpha, self.beta)

    def _with_forced(self, values: np.ndarray) -> np.ndarray:
        return np.where(self.learned, values, self.forced).astype(np.float32)


def binned(values: np.ndarray, bins: int) -> np.ndarray:
    """Return the means over `bins` equal runs of `values`, float32 (bins,); of `bins` values, these themselves.

    Parameters
    ----------
    values : ndarray
        Float (n,), n a multiple of `bins`.
    bins : int
        Number of runs.

    Raises
    ------
    ValueError
        The values cannot be cut into `bins` equal runs.
    InputError
        They are not all finite and 0 or more.
    """
    values = np.asarray(values)
    if values.ndim != 1 or not len(values) or len(values) % bins:
        raise ValueError(f"alpha and beta of shape {values.shape}: expected ({bins},) or a multiple of {bins} values")
    if not np.isfinite(values).all() or values.min() < 0:
        found, do = "NaN, infinite or negative values", "check the weights of the model, and its signals at this gene"
        raise InputError("alpha and beta", found=found, expected="finite numbers, 0 or more", fix=do)
    return equal_means(values, bins)


def packed(alpha: np.ndarray, beta: np.ndarray, cutoff: np.ndarray | float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Round alpha and beta to float16 so that E[z] moves by at most 0.0003 and stays on its side of `cutoff`.

    The side is kept for a cutoff of at least 0.001; below it, the steps of float16 are too wide. Pairs beyond the range
    of float16 are scaled down together: the mean stays, and the standard deviation, below 0.002 there, grows a little.

    Parameters
    ----------
    alpha, beta : ndarray
        float32 (genes, bins) or (bins,).
    cutoff : ndarray or float
        0 to 1, one for all or broadcast against them.

    Returns
    -------
    alpha, beta : ndarray
        float16, of the inputs' shape.
    """
    shrink = np.minimum(1, _LARGEST / np.maximum(alpha, beta).clip(1))
    small = [np.clip(x * shrink, _SMALLEST, _LARGEST).astype(np.float16) for x in (alpha, beta)]
    kept = beta_distribution.beta_mean(alpha, beta) >= cutoff
    for _ in range(_MOST_STEPS):
        moved = (beta_distribution.beta_mean(*(x.astype(np.float32) for x in small)) >= cutoff) != kept
        if not moved.any():
            break
        # The smaller of the two has the finer steps, and does not leave the range of float16 when it grows.
        for x, smaller, grows in ((small[0], alpha <= beta, kept), (small[1], beta < alpha, ~kept)):
            more, less = moved & smaller & grows, moved & smaller & ~grows
            x[more] = np.nextafter(x[more], np.float16(np.inf))
            x[less] = np.nextafter(x[less], np.float16(0))
    return small[0], small[1]


class MaskStore:
    """Zarr store masks.zarr: the arrays `alpha` and `beta` (rows, bins), and further ones; float16, one chunk per row.

    Each chunk of a new store ends with a crc32c of its bytes. A store of an older run has none, and gets none: rows
    are appended as the array's own metadata say.

    Parameters
    ----------
    path : Path
        The Zarr folder (Zarr format 3).
    bins : int
        Bins of a mask.
    further : Sequence[StoredArray]
        What the run stores of each gene beside its mask.
    """

    def __init__(self, path: Path, bins: int, further: Sequence[StoredArray] = ()):
        self.path, self.bins = Path(path), bins
        self._masks = mask_arrays(bins)
        self.layout = {array.name: array for array in (*self._masks, *further)}
        self._open: dict[str, _Array] | None = None

    @property
    def rows(self) -> int:
        """Number of rows on disk; those beyond the journal's end are leftovers of a killed writer."""
        if not self.path.exists():
            return 0
        arrays = self._arrays(again=True)
        return min(arrays[array.name].rows for array in self._masks)

    def write(
        self,
        row: int,
        alpha: np.ndarray,
        beta: np.ndarray,
        cutoff: np.ndarray | float = 0.5,
        further: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Write rows from `row` on and wait until they are on the disk.

        Parameters
        ----------
        row : int
            First row that is written, 0 to `rows`.
        alpha, beta : ndarray
            float32 (genes, bins); rows that are written together wait only once for the arrays' metadata.
        cutoff : ndarray or float
            As in `packed`.
        further : Mapping[str, ndarray] or None
            (genes, width) of each further array, in its range.
        """
        masks = zip((array.name for array in self._masks), packed(alpha, beta, cutoff), strict=True)
        self._write(row, {**dict(masks), **(further or {})})

    def adopt(self, row: int, others: Sequence[tuple[MaskStore, int]]) -> None:
        """Take over rows of other stores with the same arrays as the rows from `row` on.

        The files of chunks are linked, without a copy; those of a store with other codecs are written again, with the
        same values.

        Parameters
        ----------
        row : int
            First row that is written, 0 to `rows`.
        others : Sequence[tuple[MaskStore, int]]
            (store, its row), all on the same file system.

        Raises
        ------
        InputError
            A row of another store is missing or damaged, or it has other arrays.
        """
        self._begin()
        mine = {name: array.checksum for name, array in self._arrays().items()}
        for place, (store, theirs) in enumerate(others, row):
            try:
                if store.layout.keys() != self.layout.keys():
                    found, expected = (", ".join(sorted(x.layout)) for x in (store, self))
                    raise InputError(store.path, found=f"the arrays {found}", expected=expected, fix="")
                values = {name: store.read_array(name, theirs) for name in self.layout}
            except InputError as error:
                part = store.path.parent
                do = f"delete {part} and score again; its genes are then computed again"
                raise InputError(error.where, found=error.found, expected=error.expected, fix=do) from None
            if mine == {name: array.checksum for name, array in store._arrays().items()}:
                self._link(place, store, theirs)
            else:
                self._write(place, {name: x[None] for name, x in values.items()})
        last = row + len(others)
        for name in self._resized(last):
            self._to_disk(name, range(row, last))

    def read(self, row: int, gene: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read alpha and beta of a row: (alpha, beta), float32 (bins,) each, above 0 and finite.

        Parameters
        ----------
        row : int
            The row.
        gene : str or None
            Name of its gene, for messages.

        Raises
        ------
        InputError
            The row is missing or damaged.
        """
        alpha, beta = (self.read_array(array.name, row, gene) for array in self._masks)
        return alpha, beta

    def read_array(self, name: str, row: int, gene: str | None = None) -> np.ndarray:
        """Read a row of one array: float32 (width,), in the array's range; arguments and errors as of `read`."""
        array = self._arrays(again=self._open is None or any(x.rows <= row for x in self._open.values()))[name]
        if row >= array.rows:
            found, expected = f"{array.rows} rows of {name}", f"row {row}, which the journal names"
            raise InputError(self.path, found=found, expected=expected, fix="copy the whole run folder again")
        return self._values(name, array, row, gene)

    def tidy(self) -> None:
        """Remove the half-written chunks of a killed writer; only the holder of the run's lock may call it."""
        for name in (".", *self.layout):
            for path in temporary_files(self.path / name, r".*\.partial"):
                path.unlink()

    def _values(self, name: str, array: _Array, row: int, gene: str | None) -> np.ndarray:
        """Return a row of an array; raise InputError where its chunk is missing, damaged or out of range."""
        chunk, layout = self._chunk(name, row), self.layout[name]
        found = None if array.checksum else frame_problem(chunk, layout.width)
        if found is None:
            try:
                values = np.asarray(array.stored[row])
            except (ValueError, RuntimeError) as error:  # of the checksum, of Blosc, and of Zarr's shapes
                found = f"a damaged chunk ({error})"
            else:
                if layout.sound(values):  # the fill value is never written, and out of range
                    return values.astype(np.float32)
                found = f"values of {name} from {values.min():g} to {values.max():g}" if chunk.exists() else "no data"
        whose = f"row {row}" if gene is None else f"row {row}, gene {gene!r}"
        expected = f"the {name} that was written: whole, {layout.allowed}"
        do = "restore the file from a copy of the run, or score the gene again into a new run"
        raise InputError(chunk, found=f"{found} in {whose}", expected=expected, fix=do)

    def _write(self, row: int, values: Mapping[str, np.ndarray]) -> None:
        """Write rows of every array, (genes, width) each, rounded to float16."""
        self._begin()
        for name in self.layout:
            stored = values[name].astype(np.float16)
            if not all(map(self.layout[name].sound, stored)):
                raise ValueError(f"values of {name}: expected {self.layout[name].allowed}")
            last = row + len(stored)
            self._resized(last, [name])[name].stored[row:last] = stored
            self._to_disk(name, range(row, last))

    def _link(self, row: int, store: MaskStore, theirs: int) -> None:
        for name in self.layout:
            chunk = self._chunk(name, row)
            chunk.unlink(missing_ok=True)  # of a killed writer; no line of the journal names it
            os.link(store._chunk(name, theirs), chunk)

    def _resized(self, rows: int, names: Iterable[str] | None = None) -> dict[str, _Array]:
        """Return the arrays, of which those named (None: all) have so many rows."""
        arrays = self._arrays()
        for name in self.layout if names is None else names:
            if arrays[name].rows != rows:
                arrays[name].stored.resize((rows, self.layout[name].width))
        return arrays

    def _chunk(self, name: str, row: int) -> Path:
        return self.path / name / f"c.{row}.0"

    def _begin(self) -> None:
        if not self.path.exists():
            self._create()

    def _to_disk(self, name: str, rows: Iterable[int]) -> None:
        for path in (*(self._chunk(name, row) for row in rows), self.path / name / "zarr.json", self.path / name):
            fsync(path)

    def _create(self) -> None:
        import zarr
        from zarr.codecs import BloscCodec, Crc32cCodec

        temporary = self.path.with_name(f".{os.getpid()}.{self.path.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        group = zarr.create_group(temporary)
        for array in self.layout.values():
            group.create_array(
                array.name,
                shape=(0, array.width),
                chunks=(1, array.width),
                dtype="float16",
                fill_value=array.fill,
                compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()],
                chunk_key_encoding={"name": "default", "separator": "."},  # one file per row, no folder per row
            )
        os.replace(temporary, self.path)
        fsync(self.path.parent)

    def _arrays(self, again: bool = False) -> dict[str, _Array]:
        import zarr

        if self._open is None or again:
            check_group(self.path)
            mode = "r+" if os.access(self.path, os.W_OK) else "r"
            opened = {}
            for name, array in self.layout.items():
                checksum = check_array(self.path, array)
                opened[name] = _Array(zarr.open_array(self.path / name, mode=mode, zarr_format=3), checksum)
            self._open = opened
        return self._open


class _Array(NamedTuple):
    """Array of a store, as Zarr has opened it, and whether its chunks end with a checksum."""

    stored: Any  # zarr.Array, which is imported on first use
    checksum: bool

    @property
    def rows(self) -> int:
        return self.stored.shape[0]
