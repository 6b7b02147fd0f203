"""Occlusion tracks on disk: the effect of hiding each block of a window on an unmasked prediction. No torch."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_core.errors import InputError
from model_core.files import replacing
from model_core.input_file import open_input
from model_core.lock import writing_into
from model_core.run_folder.effects import FOLDER

_MOST_BYTES = 1 << 28  # of an array


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
        None where there is no track that was computed with this checkpoint.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = occlusion_path(run_folder, gene_id)
    if not path.exists():
        return None
    try:
        with open_input(path) as file, zipfile.ZipFile(file) as stored:
            values = {name: _array(stored, name) for name in Occlusion.__dataclass_fields__}
        track = _track(values)
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise errors of some ten kinds for damaged bytes
        found, fix = f"a damaged file ({error or type(error).__name__})", "delete it, and compute the track again"
        raise InputError(path, found=found, expected="an occlusion track", fix=fix) from None
    return track if (track.gene_id, track.checkpoint) == (gene_id, checkpoint) else None


def _array(stored: zipfile.ZipFile, name: str) -> np.ndarray:
    """Read an array; ValueError where it is no plain one, or its header states another size than it has."""
    size = stored.getinfo(f"{name}.npy").file_size
    if size > _MOST_BYTES:
        raise ValueError(f"{name} of {size:,} bytes")
    with stored.open(f"{name}.npy") as file:
        content = file.read(_MOST_BYTES)
    header = io.BytesIO(content)
    version = np.lib.format.read_magic(header)
    if version != (1, 0):
        raise ValueError(f"{name} in version {version} of its format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - header.tell():
        raise ValueError(f"{name} of {shape} values in {len(content):,} bytes")
    return np.frombuffer(content, dtype, offset=header.tell()).reshape(shape)


def _track(values: Mapping[str, np.ndarray]) -> Occlusion:
    """Return the track of its arrays; ValueError where they do not fit together."""
    words: dict[str, Any] = {name: str(values[name][()]) for name in ("gene_id", "chrom", "checkpoint")}
    numbers: dict[str, Any] = {name: int(values[name]) for name in ("start", "length", "block", "step")}
    effects, predicted = np.array(values["effects"], np.float32), float(values["predicted"])
    sound = numbers["step"] > 0 and numbers["block"] > 0 and abs(numbers["start"]) < 10**12
    if not sound or effects.shape != (-(-numbers["length"] // numbers["step"]),) or not math.isfinite(predicted):
        raise ValueError(f"{effects.shape} effects for {numbers}")
    if np.isinf(effects).any():
        raise ValueError("an infinite effect")
    return Occlusion(**words, **numbers, effects=effects, predicted=predicted)
