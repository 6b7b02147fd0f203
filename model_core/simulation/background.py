"""Background of a simulated genome: a Markov chain of human sequence, with CpG islands and repeats.

The frequencies in background.npz were counted in human chromosome 22 by scripts/fit_background.py, which names the
source: order 5 outside CpG islands, order 3 inside.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np

_PIECE = 4_000  # bp drawn in one go; pieces of a sequence do not see each other
_ISLAND = (300, 1_500)  # bp
_REPEAT = (120, 400)  # bp of a family's consensus
_AGE = (0.04, 0.2)  # share of bases by which a copy differs from its family
_SATELLITE = (20, 80)  # bp


@cache
def _table(name: str) -> np.ndarray:
    with (files("model_core.simulation") / "background.npz").open("rb") as file, np.load(file) as kept:
        shares = kept[name].astype(np.float64)
    return np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)[:, :3]


def chain(rng: np.random.Generator, length: int, kind: str = "background") -> np.ndarray:
    """Draw `length` bases of a "background" or "island" sequence; uint8 (length,), codes 0-3."""
    table = _table(kind)
    contexts = len(table)
    pieces = -(-length // _PIECE)
    steps = min(_PIECE, length)
    drawn = np.empty((steps, pieces), np.uint8)
    context = rng.integers(0, contexts, pieces)
    for step in range(steps):
        base = (rng.random(pieces)[:, None] > table[context]).sum(axis=1)
        drawn[step] = base
        context = (context * 4 + base) % contexts
    return drawn.T.ravel()[:length].copy()


def background(
    rng: np.random.Generator,
    sizes: dict[str, int],
    island_every: int,
    repeat_share: float,
    repeat_families: int,
    microsatellite_every: int,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Draw the background of each chromosome.

    Parameters
    ----------
    rng : Generator
        Source of random numbers.
    sizes : dict[str, int]
        Length in bp by chromosome.
    island_every, microsatellite_every : int
        Mean distance of CpG islands and of microsatellites, in bp.
    repeat_share : float
        Share of bases that are drawn as copies of repeats.
    repeat_families : int
        Number of families of repeats; copies of one differ by 4 to 20 % of their bases and lie on either strand.

    Returns
    -------
    sequences : dict[str, ndarray]
        uint8 (size,) by chromosome, codes 0-3.
    repeats : dict[str, ndarray]
        bool (size,) by chromosome: bases in repeats and microsatellites.
    """
    families = [chain(rng, int(rng.integers(*_REPEAT))) for _ in range(repeat_families)]
    sequences, repeats = {}, {}
    for chrom, size in sizes.items():
        bases, inside = chain(rng, size), np.zeros(size, bool)
        for _ in range(size // island_every):
            _put(bases, rng, chain(rng, int(rng.integers(*_ISLAND)), "island"))
        covered = 0
        while families and covered < repeat_share * size:
            family = families[int(rng.integers(len(families)))]
            inside[_put(bases, rng, _copy(family, rng))] = True
            covered += len(family)
        for _ in range(size // microsatellite_every):
            unit = rng.integers(0, 4, int(rng.integers(1, 5))).astype(np.uint8)
            inside[_put(bases, rng, np.resize(unit, int(rng.integers(*_SATELLITE))))] = True
        sequences[chrom], repeats[chrom] = bases, inside
    return sequences, repeats


def _copy(family: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hit = rng.random(len(family)) < rng.uniform(*_AGE)
    copied = np.where(hit, (family + rng.integers(1, 4, len(family))) % 4, family).astype(np.uint8)
    return 3 - copied[::-1] if rng.random() < 0.5 else copied


def _put(bases: np.ndarray, rng: np.random.Generator, piece: np.ndarray) -> slice:
    start = int(rng.integers(0, max(len(bases) - len(piece), 1)))
    where = slice(start, start + len(piece))
    bases[where] = piece[: len(bases) - start]
    return where
