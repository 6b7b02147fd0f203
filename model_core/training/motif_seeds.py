"""Words of DNA that stand where signals are high: the first guess of an encoder's motifs.

Trained from random filters, an encoder needs many thousand steps to find degenerate motifs in a small genome. Counting
finds them in seconds: for each word of K bases, read on both strands, how far the mean signal at its places lies above
the mean of all places (z). The best words that do not resemble each other become filters, which training then refines.
"""

from __future__ import annotations

import numpy as np

K = 8  # bases of a word
_FEWEST = 20  # places of a word that can be judged
_LEAST_Z = 4.0
_MOST_SHARED = 5  # bases that two chosen words may share, whatever their shift and strand
_SHIFTS = range(-3, 4)
_RANKED = 4_000  # best words that are looked at
_FLOOR = 0.03  # share of each other base in a position of a matrix


def word_scores(codes: np.ndarray, signal: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return z and number of places of each word.

    Parameters
    ----------
    codes : ndarray
        uint8 (G, L), 0-3 for A, C, G, T and 4 for N.
    signal : ndarray
        float (G, L), at each base.
    counted : ndarray
        bool (G, L), bases that count.

    Returns
    -------
    z : ndarray
        float64 (4**K,); a word and its reverse complement are one, under the smaller number; 0 where there are fewer
        than 20 places.
    places : ndarray
        int64 (4**K,).
    """
    size = codes.shape[1] - K + 1
    forward, backward = (np.zeros((len(codes), size), np.int32) for _ in range(2))
    known = np.ones((len(codes), size), bool)
    for place in range(K):
        base = codes[:, place : place + size]
        known &= base < 4
        base = np.minimum(base, 3).astype(np.int32)
        forward = forward * 4 + base
        backward += (3 - base) << (2 * place)
    middle = slice(K // 2, K // 2 + size)
    known &= counted[:, middle]
    words, values = np.minimum(forward, backward)[known], signal[:, middle][known].astype(np.float64)
    places = np.bincount(words, minlength=4**K)
    total = np.bincount(words, values, minlength=4**K)
    z, judged = np.zeros(4**K), places >= _FEWEST
    if judged.any() and values.std() > 0:
        z[judged] = (total[judged] / places[judged] - values.mean()) / values.std() * np.sqrt(places[judged])
    return z, places


def chosen_words(z: np.ndarray, count: int) -> list[np.ndarray]:
    """Return up to `count` words with the highest z, at least 4, that do not resemble each other; uint8 (K,) each."""
    chosen: list[np.ndarray] = []
    for number in np.argsort(-z, kind="stable")[:_RANKED]:
        if z[number] < _LEAST_Z or len(chosen) == count:
            break
        word = _bases(int(number))
        if all(_shared(word, other) <= _MOST_SHARED for other in chosen):
            chosen.append(word)
    return chosen


def word_matrix(word: np.ndarray, z: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return a weight matrix of a word, float64 (K, 4): each base weighted by the word that has it in its place."""
    weights = np.zeros((K, 4))
    for place in range(K):
        for base in range(4):
            other = word.copy()
            other[place] = base
            number = _number(other)
            weights[place, base] = max(z[number], 0.0) * np.sqrt(places[number])
    weights += _FLOOR * weights.sum(axis=1, keepdims=True) + 1e-9
    return weights / weights.sum(axis=1, keepdims=True)


def _bases(number: int) -> np.ndarray:
    return np.array([number >> (2 * (K - 1 - place)) & 3 for place in range(K)], np.uint8)


def _number(word: np.ndarray) -> int:
    forward = backward = 0
    for place, base in enumerate(word.tolist()):
        forward = forward * 4 + base
        backward += (3 - base) << (2 * place)
    return min(forward, backward)


def _shared(one: np.ndarray, two: np.ndarray) -> int:
    """Return the most bases that two words share over shifts and strands."""
    most = 0
    for other in (two, (3 - two)[::-1]):
        for shift in _SHIFTS:
            left, right = (one[shift:], other[: K - shift]) if shift >= 0 else (one[:shift], other[-shift:])
            most = max(most, int((left == right).sum()))
    return most
