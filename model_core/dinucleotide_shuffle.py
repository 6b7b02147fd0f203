"""Random sequences with the dinucleotides of a given one, each equally likely (Altschul and Erickson 1985).

A sequence is a walk over the bases in which each pair of neighbours is a step. Every walk that takes the same steps in
another order has the same dinucleotides, the same first and the same last base. Such a walk is drawn in two parts: the
last step out of each base, which together must lead to the last base, and the order of all other steps.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

BASES = 4
UNKNOWN = 4  # code of N and of all else that is no base


def shuffled(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a sequence with the dinucleotides of `codes`, drawn with the same probability as any other.

    Each stretch of known bases is shuffled by itself and keeps its first and last base; unknown ones stay in place.

    Parameters
    ----------
    codes : ndarray
        uint8 (L,): 0 to 3 for A, C, G, T; any other value is unknown.
    rng : Generator
        Source of randomness; the same state gives the same sequence.

    Returns
    -------
    ndarray
        uint8 (L,).

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([0, 1, 0, 2, 0, 3, 0, 4, 2, 1], np.uint8)
    >>> shuffled(codes, np.random.default_rng(2)).tolist()
    [0, 3, 0, 2, 0, 1, 0, 4, 2, 1]
    """
    out = codes.copy()
    edges = np.flatnonzero(np.diff(codes < BASES, prepend=False, append=False))
    for start, end in edges.reshape(-1, 2):
        out[start:end] = _walk(codes[start:end], rng)
    return out


def codes_of(one_hot: np.ndarray) -> np.ndarray:
    """Return the codes (uint8, (L,)) of one-hot rows (L, 4) in the order A, C, G, T; UNKNOWN where a row is zero."""
    return np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), UNKNOWN).astype(np.uint8)


def one_hot_of(codes: np.ndarray) -> np.ndarray:
    """Return one-hot rows, uint8 (L, 4), of codes (L,); zeros for unknown bases."""
    return np.eye(BASES + 1, BASES, dtype=np.uint8)[np.minimum(codes, UNKNOWN)]


def _walk(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random walk, uint8 (L,), with the steps of `codes`, which holds known bases only."""
    if len(codes) < 4:  # first and last base stay, so one between them does, too
        return codes
    origin, target = codes[:-1], codes[1:]
    counts = np.bincount(origin.astype(np.intp) * BASES + target, minlength=BASES**2).reshape(BASES, BASES)
    exits = _last_exits(counts, int(codes[-1]), rng)
    ways = []
    for base, final in enumerate(exits):
        steps = target[origin == base]
        if final >= 0:
            steps = np.delete(steps, np.argmax(steps == final))
        order = rng.permutation(steps).tolist()
        ways.append(iter([*order, final] if final >= 0 else order))
    place, walk = int(codes[0]), [int(codes[0])]
    for _ in range(len(codes) - 1):
        place = next(ways[place])
        walk.append(place)
    return np.array(walk, np.uint8)


def _last_exits(counts: np.ndarray, end: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Draw the target of the last step out of each base; -1 for `end` and for bases without a step.

    All sets of targets that lead every base to `end` are listed, and one is drawn by the number of steps that give it.

    Parameters
    ----------
    counts : ndarray
        (4, 4), number of steps from each base to each.
    end : int
        The base at which the walk ends.
    rng : Generator
        Source of randomness.
    """
    steps = [{target: count for target, count in enumerate(row) if count} for row in counts.tolist()]
    free = [base for base in range(BASES) if base != end and steps[base]]
    sets, weights = [], []
    for targets in itertools.product(*(steps[base] for base in free)):
        exits = dict(zip(free, targets, strict=True))
        if all(_leads_to(base, end, exits) for base in free):
            sets.append(tuple(exits.get(base, -1) for base in range(BASES)))
            weights.append(math.prod(steps[base][target] for base, target in exits.items()))
    shares = np.array(weights, float) / sum(weights)
    return sets[int(rng.choice(len(sets), p=shares))]


def _leads_to(base: int, end: int, exits: dict[int, int]) -> bool:
    for _ in range(BASES):
        if base == end:
            return True
        base = exits[base]
    return base == end
