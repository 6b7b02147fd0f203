"""Occlusion tracks on disk: the effect of hiding each block of a window on an unmasked prediction. No torch."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_core.files import replacing
from model_core.lock import writing_into
from model_core.run_folder.effects import FOLDER


@dataclass(frozen=True, eq=False)
class Occlusion:
    """Occlusion track of one gene.

    Attributes
    ----------
    gene_id, chrom : str
        The gene and its chromosome.
    start : int
        First base of the window, 0-based; may be negative.
    length : int
        Length of the window in bp.
    block, step : int
        bp hidden at once, and bp from one block to the next; a bin has `step` bp.
    effects : ndarray
        float32 (bins,): the prediction with everything kept minus the prediction with a block hidden, mean of the
        block / step blocks over the bin; positive where the bin raises expression; NaN where the whole bin is forced
        (promoter, blacklist). Bin i covers the `step` bases from start + i * step on; the last bin may be shorter.
    predicted : float
        Prediction with everything kept but the blacklist, in the label's unit.
    checkpoint : str
        sha256 of the model's weights.
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
        """Effect at each base: float32 (length,), the value of the base's bin."""
        return np.repeat(self.effects, self.step)[: self.length]


def occlusion_path(run_folder: Path, gene_id: str) -> Path:
    """Return the path of a gene's track: a hash of the id, as an id may hold characters that a file name may not."""
    return run_folder / FOLDER / "occlusion" / f"{hashlib.sha256(gene_id.encode()).hexdigest()[:24]}.npz"


def write_occlusion(run_folder: Path, track: Occlusion) -> None:
    """Write a gene's track, atomically; several processes may do so at once."""
    path = occlusion_path(run_folder, track.gene_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {name: np.asarray(value) for name, value in vars(track).items()}
    with (
        writing_into(run_folder / FOLDER, (path.parent.name,)),
        replacing(path) as temporary,
        temporary.open("wb") as file,
    ):
        np.savez_compressed(file, **values)


def read_occlusion(run_folder: Path, gene_id: str, checkpoint: str | None) -> Occlusion | None:
    """Read the track of a gene.

    Parameters
    ----------
    run_folder : Path
        The run folder.
    gene_id : str
        The gene.
    checkpoint : str or None
        sha256 of the run's weights.

    Returns
    -------
    Occlusion or None
        None where the track was not computed with this checkpoint, or its file is damaged.
    """
    path = occlusion_path(run_folder, gene_id)
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = {name: stored[name][()] for name in stored.files}
        track = Occlusion(
            gene_id=str(values["gene_id"]),
            chrom=str(values["chrom"]),
            start=int(values["start"]),
            length=int(values["length"]),
            block=int(values["block"]),
            step=int(values["step"]),
            effects=np.asarray(values["effects"], np.float32),
            predicted=float(values["predicted"]),
            checkpoint=str(values["checkpoint"]),
        )
    except (FileNotFoundError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return track if (track.gene_id, track.checkpoint) == (gene_id, checkpoint) else None
