"""What the training of an additive model needs before and after its steps: constants, first openness, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from model_core.model.additive import AdditiveModel
from model_core.model.checkpoint import load_with_metadata, save_checkpoint
from model_core.model.gene_model import TrainingBatch
from model_core.run_folder.run import Run
from model_core.study.study import Study
from model_core.study.windows import WindowData
from model_core.training.bootstrap import drawn
from model_core.training.dataset import Batch, GeneWindows, collate
from model_core.training.lightning_module import as_training_batch

_OPENNESS_BASES = 1_000_000  # of the windows that the signal of openness is chosen by
_CALIBRATION_GENES = 600  # of the training genes
_CONSTANT_BASES = 4_000_000  # of those that constants of standardisation are computed from


def set_constants(model: AdditiveModel, study: Study, genes: GeneWindows) -> None:
    """Set a model's constants of standardisation from evenly spaced windows of training genes."""
    signals = torch.from_numpy(np.stack([data.signals for data in _evenly(genes, _CONSTANT_BASES)]))
    logged = [spec.transform == "none" and not spec.is_contact for spec in study.signal_specs]
    model.set_constants(signals, logged, float(np.std(genes.labels)))


def begin_openness(model: AdditiveModel, genes: GeneWindows) -> None:
    """Let openness begin with the signal that the pre-trained encoder explains best, in windows of training genes."""
    chosen = _evenly(genes, _OPENNESS_BASES)
    sequence, signals = (
        torch.from_numpy(np.stack(x)) for x in zip(*((d.sequence, d.signals) for d in chosen), strict=True)
    )
    model.begin_openness(sequence.float(), signals)


def calibrate(run: Run, validation: Iterable[Batch], genes: GeneWindows, seed: int) -> None:
    """Scale the effects of a run's best weights by genes that were not trained on, and save them.

    These are the validation genes, and training genes by the members of the ensemble that have not drawn them.

    Parameters
    ----------
    run : Run
        The run.
    validation : Iterable[Batch]
        Validation genes.
    genes : GeneWindows
        Training genes, of which `_CALIBRATION_GENES` at most are read.
    seed : int
        Seed of the training.
    """
    path = run.path / "checkpoint.safetensors"
    model, kept = load_with_metadata(path, "cpu")
    assert isinstance(model, AdditiveModel)
    members = len(model.members)

    def judged() -> Iterator[tuple[TrainingBatch, torch.Tensor]]:
        for batch in validation:
            yield as_training_batch(batch), torch.ones(members, len(batch.rows), dtype=torch.bool)
        some = np.linspace(0, len(genes) - 1, min(len(genes), _CALIBRATION_GENES)).astype(int)
        for row in np.unique(some).tolist() if members > 1 else ():
            unseen = drawn([row], members, seed) == 0
            if unseen.any():
                yield as_training_batch(collate([genes[row]])), unseen

    factor, limit = model.calibrate(judged())
    save_checkpoint(path, model, {**kept, "effect_scale": factor, "effect_limit": limit})


def _evenly(genes: GeneWindows, bases: int) -> list[WindowData]:
    """Read evenly spaced windows of at most about `bases` bases, but of 8 genes at least."""
    count = min(len(genes), max(8, bases // genes.windows[0].length))
    rows = np.unique(np.linspace(0, len(genes) - 1, count).astype(int))
    return [genes.reader.read(genes.windows[row]) for row in rows]
