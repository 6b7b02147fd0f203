"""Rule by which z becomes the mask that the predictor reads; the model and the run folder both use it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from model_core.settings import SHARE, SHARE_OR_1, Range, Settings

KINDS = ("soft", "hard", "top")


@dataclass(frozen=True)
class DecisionRule(Settings):
    """Rule by which z, drawn or its mean, becomes the mask; the settings `mask.decision` of a model.

    Parameters
    ----------
    kind : str
        "soft": z itself; "hard": 1 where z >= `threshold`, else 0; "top": 1 for the `share` of the positions of the
        window with the highest z, else 0 (positions that tie with the lowest of them are also kept).
    threshold : float
        Lowest z that "hard" keeps; above 0, at most 1.
    share : float
        Share of the positions that "top" keeps; above 0, below 1.

    Raises
    ------
    InputError
        A value that cannot be used.
    """

    PREFIX: ClassVar[str] = "mask.decision"
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"kind": KINDS}
    RANGES: ClassVar[Mapping[str, Range]] = {"threshold": SHARE_OR_1, "share": SHARE}

    kind: str = "soft"
    threshold: float = 0.5
    share: float = 0.1

    @property
    def binary(self) -> bool:
        """Whether the mask holds 0 and 1 only."""
        return self.kind != "soft"

    def positions(self, length: int) -> int:
        """Return the number of positions that "top" keeps in a window of `length` positions; at least 1."""
        return max(1, round(self.share * length))

    def cutoff(self, z: np.ndarray) -> float | None:
        """Return the lowest z that is kept in a window, 0 to 1; None where the mask is z itself.

        Parameters
        ----------
        z : ndarray
            float (positions,), 0 to 1, before promoter and blacklist are forced.
        """
        if self.kind == "soft":
            return None
        if self.kind == "hard":
            return self.threshold
        first = len(z) - self.positions(len(z))
        return float(np.partition(z, first)[first])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DecisionRule:
        """Return the rule that a manifest states."""
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls) if field.name in values})
