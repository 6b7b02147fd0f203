"""Negative controls: what of a study is mixed, so that a model can no longer learn one thing, while all else is kept.

A run of such a study records the control in its manifest. It must never be read as a run of the study itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from model_core.dinucleotide_shuffle import codes_of, one_hot_of, shuffled
from model_core.window import Window

LABELS, SIGNALS, SEQUENCE = "labels", "signals", "sequence"
CONTROLS = {  # control -> what was done, as it is said with every number of such a run
    LABELS: "expression was permuted among the training genes, and among the validation genes",
    SIGNALS: "in each window the signals, but not contact, were shifted along the sequence by a random distance",
    SEQUENCE: "in each window the bases were shuffled, with their dinucleotides kept",
}
SHIFTS = 0.25, 0.75  # of the window's length, between which a shift lies
_MIXED_SPLITS = ("train", "validation")


def control_words(control: str) -> str:
    """Return the sentence that is said with every number of a run of this control."""
    done = CONTROLS.get(control, f"{control!r}, which this version does not know")
    return f"Negative control, no real run: {done}."


def permuted_labels(genes: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return a gene table whose labels are permuted within the training genes and within the validation genes.

    Labels of test genes, of genes without a split, and missing ones stay where they are. The same table and seed give
    the same permutation.

    Parameters
    ----------
    genes : DataFrame
        With the columns split and label.
    seed : int
        Random seed.
    """
    mixed = genes.copy()
    for split in _MIXED_SPLITS:
        rows = np.flatnonzero((genes["split"] == split) & np.isfinite(genes["label"]))
        rng = np.random.default_rng([seed, zlib.crc32(split.encode())])
        mixed.iloc[rows, mixed.columns.get_loc("label")] = genes["label"].to_numpy()[rng.permutation(rows)]
    return mixed


def rotated_signals(signals: np.ndarray, moving: Sequence[int], blacklist: np.ndarray, window: Window) -> np.ndarray:
    """Return the signals of a window, shifted along it; what leaves at one end comes in at the other.

    All shifted signals move by the same distance, which depends on the window alone and is between a quarter and three
    quarters of its length.

    Parameters
    ----------
    signals : ndarray
        float32 (L, S).
    moving : Sequence[int]
        Columns that are shifted; the others, such as contact with the start site, stay.
    blacklist : ndarray
        bool (L,); artefacts of the assays there are not shifted to other places but set to 0.
    window : Window
        The window.
    """
    columns = list(moving)
    low, high = (round(share * window.length) for share in SHIFTS)
    distance = int(_drawn(window).integers(low, high + 1))
    mixed = signals.copy()
    mixed[:, columns] = np.roll(np.where(blacklist[:, None], 0, signals[:, columns]), distance, axis=0)
    return mixed


def shuffled_bases(sequence: np.ndarray, window: Window) -> np.ndarray:
    """Return the bases of a window (uint8 (L, 4), one-hot) in an order that depends on the window alone.

    Dinucleotides are kept, N stays in place (`dinucleotide_shuffle.shuffled`).
    """
    return one_hot_of(shuffled(codes_of(sequence), _drawn(window)))


def _drawn(window: Window) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(f"{window.chrom}:{window.start}-{window.end}".encode()))
