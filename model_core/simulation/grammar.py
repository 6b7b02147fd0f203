"""Where a grammar of motifs stands in a sequence, by the weight matrices that it was written with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from model_core.simulation.world import World

PASSED = 0.75  # share of a motif's own sites that count as a site
TOGETHER = 60  # bp within which all motifs of a grammar must stand


class Site(NamedTuple):
    """A motif site in an element: letter, strand, first base and end."""

    letter: str
    strand: str
    start: int
    end: int


class Grammar:
    """Motifs that must stand together.

    Parameters
    ----------
    world : World
        Its motifs.
    letters : str
        The motifs' letters.
    """

    def __init__(self, world: World, letters: str):
        self.motifs = [world.motif(letter) for letter in letters]
        self.thresholds = [motif.threshold(PASSED) for motif in self.motifs]

    def around(self, sequence: np.ndarray, within: int = TOGETHER) -> np.ndarray:
        """Count the sites of the grammar's rarest motif within `within` bp around each base; int32 (L,).

        Parameters
        ----------
        sequence : ndarray
            uint8 (L,), codes 0-4.
        within : int
            Width of the neighbourhood in bp.
        """
        counts = []
        for motif, threshold in zip(self.motifs, self.thresholds, strict=True):
            best = np.maximum(motif.log_odds(sequence), motif.reverse_complement.log_odds(sequence))
            hits = np.zeros(len(sequence) + 1, np.int32)
            middle = motif.width // 2
            hits[1 + middle :] = np.cumsum(best >= threshold)[: len(sequence) - middle]
            edges = np.arange(len(sequence))
            last, first = np.minimum(edges + within // 2, len(sequence)), np.maximum(edges - within // 2, 0)
            counts.append(hits[last] - hits[first])
        return np.minimum.reduce(counts)

    def stands(self, sequence: np.ndarray) -> bool:
        """Return whether all motifs of the grammar stand together somewhere in the sequence."""
        return bool((self.around(sequence) > 0).any())
