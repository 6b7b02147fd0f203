"""Occlusion tracks on disk: what hiding each block of a gene's window does to an unmasked prediction. No torch."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_core.files import replacing
from model_core.run_folder.effects import FOLDER


@dataclass(frozen=True, eq=False)
class Occlusion:
    """The occlusion track of one gene.

    gene_id, chrom, start: the gene, and the first base of its window (may be negative).
    block, step: bp hidden at once, and bp from one block to the next; a bin has `step` bp.
    effects: float32 (bins,): prediction of everything kept minus the same with a block hidden, mean of the
        block / step blocks over the bin; positive = the bin raises expression; NaN where all of a bin is forced
        (promoter, blacklist). Bin i covers start + i * step and the step - 1 bases after it, the last one perhaps
        fewer.
    predicted: of everything kept but the blacklist.
    checkpoint: sha256.
    """

    gene_id: str
    chrom: str
    start: int
    length: int
    block: int
    step: int
    effects: np.ndarray
    predicted: float
    checkpoint: str

    @property
    def bases(self) -> np.ndarray:
        """float32 (length,): the effects, each bin's value at each of its bases."""
        return np.repeat(self.effects, self.step)[: self.length]


def occlusion_path(run_folder: Path, gene_id: str) -> Path:
    """Where a gene's track lies; names of genes, which may hold any letter, do not become names of files."""
    return run_folder / FOLDER / "occlusion" / f"{hashlib.sha256(gene_id.encode()).hexdigest()[:24]}.npz"


def write_occlusion(run_folder: Path, track: Occlusion) -> None:
    """Write a gene's track, atomically."""
    path = occlusion_path(run_folder, track.gene_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{name: np.asarray(value) for name, value in vars(track).items()})


def read_occlusion(run_folder: Path, gene_id: str, checkpoint: str | None) -> Occlusion | None:
    """A gene's track by the checkpoint of this sha256; None where it was not computed, or the file is damaged."""
    path = occlusion_path(run_folder, gene_id)
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = {name: stored[name][()] for name in stored.files}
        words = {name: str(values[name]) for name in ("gene_id", "chrom", "checkpoint")}
        numbers = {name: int(values[name]) for name in ("start", "length", "block", "step")}
        effects, predicted = np.asarray(values["effects"], np.float32), float(values["predicted"])
    except (FileNotFoundError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    track = Occlusion(**words, **numbers, effects=effects, predicted=predicted)
    return track if (track.gene_id, track.checkpoint) == (gene_id, checkpoint) else None
