"""Windows around transcription start sites: bases, signals and blacklist per gene."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.intervals import match_chromosomes, rasterise, require_shared
from model_core.negative_control import SEQUENCE, SIGNALS, rotated_signals, shuffled_bases
from model_core.signals.signal import Signal
from model_core.study.genome import Genome, one_hot
from model_core.window import Window


class WindowData(NamedTuple):
    """Input of the model for one window of L bp with S signals.

    Attributes
    ----------
    sequence : ndarray
        uint8 (L, 4), one-hot in the order A, C, G, T; all zero for N and beyond the chromosome.
    signals : ndarray
        float32 (L, S), transformed, in the study's order; 0 where unknown.
    blacklist : ndarray
        bool (L,).
    """

    sequence: np.ndarray
    signals: np.ndarray
    blacklist: np.ndarray


class WindowReader:
    """Reader of one study's windows. It can be pickled; files are opened on first use in each process.

    Parameters
    ----------
    genome : Genome
        The sequence.
    signals : Sequence[Signal]
        S signals, in the model's order.
    blacklist : DataFrame or None
        Intervals: chrom, start, end.
    control : str or None
        Negative control for which what is read is mixed (`negative_control.CONTROLS`).
    still : Sequence[int]
        Signals that the control leaves in place: those of contact.
    """

    def __init__(
        self,
        genome: Genome,
        signals: Sequence[Signal],
        blacklist: pd.DataFrame | None = None,
        control: str | None = None,
        still: Sequence[int] = (),
    ):
        self.genome, self._control = genome, control
        self.signals = tuple(signals)
        self._moving = [column for column in range(len(self.signals)) if column not in still]
        columns = ["chrom", "start", "end"]
        tables = {} if blacklist is None else dict(iter(blacklist[columns].groupby("chrom")))
        self._shared = False  # whether each signal is known to share a chromosome with this genome
        self._blacklist = {str(chrom): table.reset_index(drop=True) for chrom, table in tables.items()}

    def read(self, window: Window) -> WindowData:
        """Read sequence, signals and blacklist of a window; the cost depends only on the window's length.

        Raises
        ------
        InputError
            No such chromosome, a start site beyond the chromosome, or a signal that cannot be read.
        """
        self.check(window)
        if not self._shared:
            for signal in self.signals:
                require_shared(signal.sizes, self.genome.sizes, signal.path)
            self._shared = True
        sequence = one_hot(self.genome.sequence(window.chrom, window.start, window.end))  # (L, 4)
        signals = np.zeros((window.length, len(self.signals)), np.float32)  # (L, S)
        for column, signal in enumerate(self.signals):
            signals[:, column] = signal.read(window)
        table = self._blacklist.get(window.chrom)
        blacklist = np.zeros(window.length, bool)
        if table is not None:
            blacklist = rasterise(table, window.chrom, window.start, window.end)
        if self._control == SIGNALS:
            signals = rotated_signals(signals, self._moving, blacklist, window)
        elif self._control == SEQUENCE:
            sequence = shuffled_bases(sequence, window)
        return WindowData(sequence, signals, blacklist)

    def check(self, window: Window) -> None:
        """Raise InputError unless the window's TSS is a base of this genome and its length is positive."""
        sizes = self.genome.sizes
        match_chromosomes(sizes, window.chrom, self.genome.path)
        size = sizes[window.chrom]
        if not 0 <= window.tss < size:
            here = f"TSS {window.tss + 1:,} (1-based)"
            limits = f"1 to {size:,} on {window.chrom}"
            raise InputError(self.genome.path, found=here, expected=limits, fix="check the assembly of the gene table")
        if window.length < 1:
            found = f"a window of {window.length} bp"
            raise InputError("window", found=found, expected="at least 1 bp", fix="set a longer window")
