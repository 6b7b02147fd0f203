"""Position weight matrices of transcription factors: drawing sites, and the log odds of each place of a sequence.

Bases are coded 0-3 for A, C, G, T and 4 for N. The log odds of a place are the sum over its bases of
log2(probability in the motif / probability in the background), as in the MEME suite.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

IUPAC = {
    **{"A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC"},
    **{"B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"},
}
_ROUNDING = 1e-3  # bits, by which sums in float32 may differ
NOWHERE = -1e4  # log odds of a place with an unknown base, or beyond the sequence's end


@dataclass(frozen=True, eq=False)
class WeightMatrix:
    """A motif's probabilities of A, C, G and T at each position.

    Attributes
    ----------
    name : str
        Name of the motif.
    probabilities : ndarray
        float64 (width, 4), each row adds up to 1, no entry is 0.
    """

    name: str
    probabilities: np.ndarray

    @classmethod
    def of_consensus(cls, name: str, consensus: str, certainty: float) -> WeightMatrix:
        """Return the matrix of an IUPAC consensus: its bases share `certainty` of a position, the others the rest.

        Parameters
        ----------
        name : str
            Name of the motif.
        consensus : str
            IUPAC letters; N is a position without information.
        certainty : float
            Share of sites that follow the consensus at a position, between 0 and 1.
        """
        rows = []
        for letter in consensus:
            inside = np.array([base in IUPAC[letter] for base in "ACGT"])
            outside = (1 - certainty) / max(4 - inside.sum(), 1)
            rows.append(np.where(inside, (1.0 if inside.all() else certainty) / inside.sum(), outside))
        return cls(name, np.array(rows))

    @property
    def width(self) -> int:
        """Number of positions."""
        return len(self.probabilities)

    @property
    def reverse_complement(self) -> WeightMatrix:
        """The motif on the other strand."""
        return WeightMatrix(self.name, self.probabilities[::-1, ::-1])

    @property
    def information(self) -> float:
        """Information content against equal shares of the four bases, in bits."""
        p = self.probabilities
        return float((p * np.log2(p / 0.25)).sum())

    @cached_property
    def _cumulative(self) -> np.ndarray:
        return np.cumsum(self.probabilities, axis=1)[:, :3]

    def site(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a site, uint8 (width,): each position by its own probabilities."""
        return (rng.random(self.width)[:, None] > self._cumulative).sum(axis=1).astype(np.uint8)

    def log_odds(self, sequence: np.ndarray, background: Iterable[float] = (0.25,) * 4) -> np.ndarray:
        """Return the log odds in bits of a site that starts at each base, float32 (L,).

        Parameters
        ----------
        sequence : ndarray
            uint8 (L,), codes 0-4.
        background : Iterable[float]
            Probabilities of A, C, G and T in the background.

        Returns
        -------
        ndarray
            float32 (L,); NOWHERE where the site would hold an unknown base or pass the sequence's end.
        """
        weights = np.full((self.width, 5), NOWHERE, np.float32)
        weights[:, :4] = np.log2(self.probabilities / np.array(list(background)))
        found = np.full(len(sequence), NOWHERE, np.float32)
        count = len(sequence) - self.width + 1
        if count > 0:
            found[:count] = 0
            for position, row in enumerate(weights):
                found[:count] += row[sequence[position : position + count]]
        found[found < NOWHERE / 2] = NOWHERE
        return found

    def threshold(self, share: float, seed: int = 0, draws: int = 20_000) -> float:
        """Return the log odds that a `share` (0 to 1) of the motif's own sites reaches, by drawing sites."""
        rng = np.random.default_rng(seed)
        sites = (rng.random((draws, self.width))[..., None] > self._cumulative).sum(axis=2)
        scores = np.log2(self.probabilities / 0.25)[np.arange(self.width), sites].sum(axis=1)
        return float(np.quantile(scores, 1 - share)) - _ROUNDING


def meme_text(matrices: Iterable[WeightMatrix], background: Iterable[float]) -> str:
    """Return motifs in the minimal MEME format, version 4.

    Parameters
    ----------
    matrices : Iterable[WeightMatrix]
        The motifs.
    background : Iterable[float]
        Frequencies of A, C, G and T in the background.
    """
    shares = " ".join(f"{letter} {share:.4f}" for letter, share in zip("ACGT", background, strict=True))
    text = f"MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies\n{shares}\n"
    for matrix in matrices:
        text += f"\nMOTIF {matrix.name}\nletter-probability matrix: alength= 4 w= {matrix.width} nsites= 20 E= 0\n"
        text += "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in matrix.probabilities)
    return text
