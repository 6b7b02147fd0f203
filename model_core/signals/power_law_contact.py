"""Contact with a transcription start site without Hi-C: the power law of the distance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from model_core.signals.hic import PowerLaw, log_contact
from model_core.signals.signal import Signal
from model_core.window import Window

POWER_LAW = Path("powerlaw")  # a study's word in place of a file
NOTE = (
    "contact is the power law of distance, not measured Hi-C as in the paper"  # said with every number that rests on it
)


class PowerLawContact(Signal):
    """Contact x with the start site that the power law of the distance expects, as log10(1 + x).

    This is what the activity-by-contact model takes where Hi-C is missing: P(d) of `PowerLaw`, the law that the
    pseudocount of measured contact follows. It has no file, and holds on every chromosome.

    Parameters
    ----------
    name : str
        As in the study.
    sizes : Mapping[str, int] or None
        Length in bp of each chromosome of the genome; None: unknown, so that no end of a chromosome is seen.
    law : PowerLaw
        Its constants; by default those of the release.
    """

    note = NOTE

    def __init__(self, name: str, sizes: Mapping[str, int] | None = None, law: PowerLaw = PowerLaw()):  # noqa: B008  never changed
        self.name, self.path, self.law = name, POWER_LAW, law
        self._sizes = dict(sizes or {})

    @property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome of the genome."""
        return self._sizes

    def absent(self, chroms: Iterable[str] | str) -> list[str]:
        """Return an empty list: the law holds on every chromosome."""
        return []

    def read(self, window: Window) -> np.ndarray:
        """Return log10(1 + P(d)) per base, float32 (window.length,); 0 beyond the chromosome."""
        start, end = max(window.start, 0), min(window.end, self._sizes.get(window.chrom, window.end))
        vector = np.zeros(window.length, np.float32)
        if start < end:
            distance = np.abs(np.arange(start, end) - window.tss)
            vector[start - window.start : end - window.start] = log_contact(self.law.expected(distance))
        return vector
