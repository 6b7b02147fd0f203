"""Prediction of many windows: other processes read ahead, and results are passed on while the model computes.

On a GPU nothing here waits for the card: windows are read from pinned memory, results are copied to pinned memory while
the next batch is queued, and only their user waits for them (`Scored.arrays`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from model_core.errors import InputError
from model_core.model.additive import contact_shares
from model_core.model.gene_model import GeneModel
from model_core.run_folder.gene_scores import ScoredGene
from model_core.run_folder.member_effects import along_forward_strand
from model_core.training.dataset import Batch

MOST_WORKERS = 8  # each reads about 50 windows of 200 kb per second: more than any card scores


class Scored(NamedTuple):
    """Outputs of the model for a batch of B genes, which are being copied to the CPU's memory."""

    rows: list[int]  # row of each gene in the table
    expression: Tensor  # (B,) float32
    alpha: Tensor  # (B, L) float32
    beta: Tensor  # (B, L) float32
    arrived: torch.cuda.Event | None  # reached when the copies are complete; None on the CPU
    no_contact: list[bool]  # whether the contact that the readout is weighted by is 0 in the gene's whole window
    effects: Tensor | None = None  # (M, B, N) float32, of an additive model's members
    contact: Tensor | None = None  # (B, L) float32, log10(1 + contact), where it is to be stored

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (expression, alpha, beta), float32 (B,), (B, L), (B, L); wait until they are copied."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.expression.numpy(), self.alpha.numpy(), self.beta.numpy()

    def of_gene(self, i: int, gene: Mapping[str, Any], reversed_strand: bool) -> ScoredGene:
        """Return what a run takes of one gene of the batch, its arrays along the forward strand.

        Parameters
        ----------
        i : int
            Its place in the batch, 0 to B - 1.
        gene : Mapping[str, Any]
            Its journal's entries.
        reversed_strand : bool
            Whether the model has read its window along the minus strand.
        """
        _, alpha, beta = self.arrays()
        way = -1 if reversed_strand else 1
        effects = contact = None
        if self.effects is not None:
            effects = along_forward_strand(self.effects[:, i].numpy(), alpha.shape[1], reversed_strand)
        if self.contact is not None:
            logged = self.contact[i].flip(0) if reversed_strand else self.contact[i]
            contact = contact_shares(logged[None])[0].clamp(0, 1).numpy()
        return ScoredGene(gene, alpha[i][::way], beta[i][::way], effects, contact)


class Stopwatch:
    """Total seconds spent waiting for the items of a stream."""

    def __init__(self):
        self.seconds = 0.0

    def waits(self, items: Iterable) -> Iterator:
        """Yield the items and add the time until each is available."""
        source = iter(items)
        while True:
            began = time.perf_counter()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - began
            yield item


def default_workers(device: torch.device, windows: int) -> int:
    """Return how many processes should read ahead: none on a CPU, where the model takes much longer than reading.

    Parameters
    ----------
    device : device
        Where the model computes.
    windows : int
        Number of windows to read; a few are read sooner than a process starts.
    """
    if device.type != "cuda" or windows < 16:
        return 0
    return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0)) - 1))


@torch.no_grad()
def scored(model: GeneModel, batches: Iterable[Batch], contact: str | None = None) -> Iterator[Scored]:
    """Yield the model's outputs for batches, in their order; set the model to evaluation mode.

    Parameters
    ----------
    model : GeneModel
        The model.
    batches : Iterable[Batch]
        What it reads.
    contact : str or None
        Signal of the contact that is passed on.

    Raises
    ------
    InputError
        Memory runs out.
    """
    for batch in batches:
        try:
            yield score_batch(model.eval(), batch, contact)
        except (torch.cuda.OutOfMemoryError, MemoryError):
            pass
        except RuntimeError as error:  # the CPU allocator has no class of its own for it
            if "can't allocate memory" not in str(error) and "not enough memory" not in str(error):
                raise
        else:
            continue
        found = f"not enough memory for {len(batch.rows)} windows of {batch.sequence.shape[1]:,} bp at once"
        raise InputError(
            "scoring", found=found, expected="memory for a batch", fix="use --batch-size 1, or another --device"
        )


@torch.no_grad()
def score_batch(model: GeneModel, batch: Batch, contact: str | None = None) -> Scored:
    """Return the outputs of a model in evaluation mode for one batch; `contact` as in `scored`."""
    device = model.device

    def there(tensor: Tensor, dtype: torch.dtype) -> Tensor:
        # Copied in the dtype of storage: a base is four bytes, a quarter of what the model reads.
        return tensor.to(device, non_blocking=True).to(dtype)

    def here(tensor: Tensor) -> Tensor:
        return tensor.float().to("cpu", non_blocking=True)

    arrays = [there(x, torch.float32) for x in (batch.sequence, batch.signals, batch.gene_features)]
    out = model(*arrays, there(batch.blacklist, torch.bool), peaks=there(batch.peaks, torch.bool))
    expression, alpha, beta = here(out.expression), here(out.z.alpha), here(out.z.beta)
    effects = None if out.effects is None else here(out.effects)
    arrived = None
    if device.type == "cuda":
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(device))
    # A copy, so that the other signals of the batch do not wait with it for the disk.
    logged = None if contact is None else batch.signals[..., model.config.signals.index(contact)].float().clone()
    without = _without_contact(model, batch)
    return Scored(batch.rows.tolist(), expression, alpha, beta, arrived, without, effects, logged)


def _without_contact(model: GeneModel, batch: Batch) -> list[bool]:
    """Return for each gene whether a readout over the window has only weights of 0, as no contact is measured."""
    predictor = model.config.predictor
    if predictor.readout == "promoter" or predictor.contact is None:
        return [False] * len(batch.rows)
    contact = batch.signals[..., model.config.signals.index(predictor.contact)]
    return (contact <= 0).all(1).tolist()
