"""Effects of one gene's window on its expression, by member of an additive model, as a run stores them. No torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from model_core.bins import EFFECT_BIN
from model_core.errors import InputError

_LARGEST_EXPONENT = 120  # of a unit; float32 holds up to 2^127


class BinShares(NamedTuple):
    """Bins of EFFECT_BIN bp that a region touches, and the bases that it takes of each."""

    bins: slice
    bases: np.ndarray  # int64 (bins,), bases of the region in each bin
    lengths: np.ndarray  # int64 (bins,), bases of each bin inside the window

    @property
    def shares(self) -> np.ndarray:
        """Share of each bin's bases, 0 to 1: float64 (bins,)."""
        return self.bases / self.lengths


def bin_count(window: int) -> int:
    """Return the number of bins of EFFECT_BIN bp of a window of `window` bp; the last may be shorter."""
    return -(-window // EFFECT_BIN)


def shares_of(window: tuple[int, int], start: int, end: int) -> BinShares:
    """Return the bins that start-end touches in a window (its start and end), without what lies outside the window.

    Bins are counted from the window's start along the forward strand.
    """
    first, last = window
    start, end = max(start, first), min(end, last)
    bins = slice((start - first) // EFFECT_BIN, -(-(end - first) // EFFECT_BIN)) if start < end else slice(0, 0)
    lower = first + EFFECT_BIN * np.arange(bins.start, bins.stop)
    upper = np.minimum(lower + EFFECT_BIN, last)
    return BinShares(bins, np.minimum(upper, end) - np.maximum(lower, start), upper - lower)


class MemberEffects(NamedTuple):
    """Effect of each bin on one gene's expression, by member of the ensemble, along the forward strand.

    The model is additive, so the effect of a region is the sum over its bins: exactly the fall of the prediction when
    the region is switched off. Effects are in the label's unit; positive where a bin raises the expression; 0 in the
    promoter, which has no effect of its own, and at blacklisted bases, which the model never reads.

    Attributes
    ----------
    chrom : str
        Chromosome of the window.
    start, end : int
        Bounds of the window, 0-based half-open; start may be negative, end may lie beyond the chromosome.
    resolution : int
        bp per bin; the last bin ends with the window.
    values : ndarray
        float32 (members, bins).
    """

    chrom: str
    start: int
    end: int
    resolution: int
    values: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over the members: float32 (bins,)."""
        return self.values.mean(axis=0, dtype=np.float64).astype(np.float32)

    @property
    def sd(self) -> np.ndarray:
        """Standard deviation over the members (ddof 1): float32 (bins,); NaN with one member."""
        if len(self.values) < 2:
            return np.full(self.values.shape[1], np.nan, np.float32)
        return self.values.std(axis=0, ddof=1, dtype=np.float64).astype(np.float32)

    def of(self, start: int, end: int) -> np.ndarray:
        """Return the summed effect of start-end (0-based half-open) by member: float32 (members,).

        A bin that the region cuts counts by its share of bases; what lies outside the window counts nothing.
        """
        part = shares_of((self.start, self.end), start, end)
        return (self.values[:, part.bins].astype(np.float64) @ part.shares).astype(np.float32)


class RegionEffect(NamedTuple):
    """Effect of a region on one gene, over the members.

    Attributes
    ----------
    effect : float
        Mean over the members of their summed effect, in the label's unit: what a knock-out gives.
    effect_sd : float
        Standard deviation of that sum over the members (ddof 1), its error; NaN with one member.
    recurrence : int
        Number of members whose summed effect has the sign of the mean and at least half its size.
    """

    effect: float
    effect_sd: float
    recurrence: int


def region_effect(effects: MemberEffects, start: int, end: int) -> RegionEffect:
    """Return the effect of start-end (0-based half-open) with its error and recurrence."""
    sums = effects.of(start, end).astype(np.float64)
    mean = float(sums.mean())
    sd = float(sums.std(ddof=1)) if len(sums) > 1 else float("nan")
    agree = (np.sign(sums) == np.sign(mean)) & (np.abs(sums) >= abs(mean) / 2)
    return RegionEffect(mean, sd, int(agree.sum()))


def mean_contact(contact: np.ndarray, window: tuple[int, int], start: int, end: int) -> float:
    """Return the mean over the bases of start-end of a window's contact in bins of EFFECT_BIN bp; NaN outside it."""
    part = shares_of(window, start, end)
    total = part.bases.sum()
    return float(contact[part.bins].astype(np.float64) @ part.bases / total) if total else float("nan")


def along_forward_strand(sums: np.ndarray, window: int, reversed_strand: bool) -> np.ndarray:
    """Return the effects of a window's bins along the forward strand, counted from the window's start.

    Read along the minus strand, a window whose last bin is shorter has other bins than on the forward strand; the bases
    of a bin then share its effect equally.

    Parameters
    ----------
    sums : ndarray
        Float (..., bins), summed over the bases of each bin, in the direction in which the model reads.
    window : int
        Length of the window in bp.
    reversed_strand : bool
        Whether that is the minus strand.

    Returns
    -------
    ndarray
        Of the shape of `sums`; the sum over the bins is the same.
    """
    if not reversed_strand:
        return sums
    if window % EFFECT_BIN == 0:
        return sums[..., ::-1]
    starts = np.arange(0, window, EFFECT_BIN)
    lengths = np.diff(np.append(starts, window))
    bases = np.repeat(sums / lengths, lengths, axis=-1)
    return np.add.reduceat(bases[..., ::-1], starts, axis=-1)


def packed_effects(effects: np.ndarray) -> tuple[np.ndarray, float]:
    """Return effects as float16 shares of a unit, and the unit: a power of two, so that the largest is 0.5 to 1 units.

    So effects in any label's unit neither overflow float16 nor vanish; each is kept to 11 bits, or to 2^-24 units.

    Parameters
    ----------
    effects : ndarray
        Float, any shape.

    Raises
    ------
    InputError
        They are not all finite, or too large for float32.
    """
    largest = float(np.abs(effects).max(initial=0))
    exponent = int(np.frexp(largest)[1]) if np.isfinite(largest) else _LARGEST_EXPONENT + 1
    if exponent > _LARGEST_EXPONENT:
        found, do = f"{largest:g} as largest effect", "check the weights of the model, and its signals at this gene"
        raise InputError("effects", found=found, expected="finite numbers", fix=do)
    unit = 2.0 ** max(exponent, -_LARGEST_EXPONENT) if largest else 1.0
    return (effects / unit).astype(np.float16), unit


def checked(name: str, values: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Return what a run stores of a gene beside its mask; ValueError where it is missing or has another shape."""
    if values is None or np.shape(values) != shape:
        found: Any = None if values is None else np.shape(values)
        raise ValueError(f"{name} of shape {found}: expected {shape}, as the run's manifest says")
    return np.asarray(values, np.float32)
