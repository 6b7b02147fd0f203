"""Window around a start site and the promoter inside it: the only place where their bounds are computed."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

Position: TypeAlias = Any  # int, or an array or column of int64


def window_start(tss: Position, length: int) -> Position:
    """Return the first base (0-based) of the window of `length` bp around `tss`; may be negative."""
    return tss - length // 2


def promoter_slice(length: int, promoter: int) -> slice:
    """Return the central `promoter` positions of a window of `length` positions."""
    start = (length - promoter) // 2
    return slice(start, start + promoter)


class Site(NamedTuple):
    """Stranded base: chromosome, 0-based position, strand ("+" or "-")."""

    chrom: str
    position: int
    strand: str = "+"


class Window(NamedTuple):
    """Window of `length` bp on the forward strand around the base `tss` (0-based), from `window_start`.

    The strand is kept for display and features; the sequence is never reverse-complemented (method: point 4).
    """

    chrom: str
    tss: int
    strand: str
    length: int

    @classmethod
    def between(cls, chrom: str, start: int, end: int, strand: str = "+") -> Window:
        """Return the window that covers start-end."""
        return cls(chrom, start - window_start(0, end - start), strand, end - start)

    @property
    def start(self) -> int:
        """First base; negative where the window begins before the chromosome."""
        return window_start(self.tss, self.length)

    @property
    def end(self) -> int:
        """End of the window, one past the last base; may lie beyond the chromosome."""
        return self.start + self.length
