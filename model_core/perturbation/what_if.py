"""Predictions for one gene under edited masks: the generator runs once, then only the predictor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from model_core.beta import BLACKLISTED, forced_state, promoter_bases
from model_core.model.gene_model import GeneModel
from model_core.model.mask import BetaParameters
from model_core.scoring.predict import Scored, score_batch
from model_core.training.dataset import Batch
from model_core.window import Window

BASES_AT_ONCE = {"cpu": 1 << 17, "cuda": 1 << 21}  # of all masks in one batch of the predictor


class Edit(NamedTuple):
    """Regions (start, end) of the genome to switch off and to keep, 0-based half-open; `on` wins where both overlap."""

    off: tuple[tuple[int, int], ...] = ()  # mask 0
    on: tuple[tuple[int, int], ...] = ()  # mask 1


class WhatIf:
    """Window of one gene with its mask, for predictions under other masks.

    Expression is in the label's unit, log10(CAGE + 1) in the paper. The effect of a region is the prediction with the
    mask as it is minus the prediction with that region switched off; positive = the region raises expression.

    Parameters
    ----------
    model : GeneModel
        The model, in evaluation mode.
    batch : Batch
        The gene alone, as the model reads it.
    window : Window
        The gene's window.
    reversed_strand : bool
        Whether the model reads the window along the minus strand.
    on_progress : callable
        Called with the number of masks done after each batch of them; may raise to stop.
    """

    def __init__(
        self,
        model: GeneModel,
        batch: Batch,
        window: Window,
        reversed_strand: bool = False,
        on_progress: Callable[[int], None] = lambda done: None,
    ):
        self.model, self.window, self.reversed_strand, self.on_progress = model, window, reversed_strand, on_progress
        self._batch = batch
        device = model.device
        self._sequence = batch.sequence.to(device, torch.float32)  # (1, L, 4)
        self._signals = batch.signals.to(device, torch.float32)  # (1, L, S)
        self._features = batch.gene_features.to(device, torch.float32)  # (1, n_gene_features)
        self._blacklist = batch.blacklist.to(device, torch.bool)  # (1, L)
        self._peaks = batch.peaks.to(device, torch.bool)
        at_once = BASES_AT_ONCE["cpu" if device.type == "cpu" else "cuda"] // window.length
        # With the release's padding a gene's number depends on its batch (difference 10): one at a time.
        self.at_once = 1 if model.config.predictor.released_padding else max(1, at_once)

    @property
    def mask(self) -> np.ndarray:
        """Mask as the predictor uses it, float32 (L,), 0-1, left to right on the forward strand."""
        return self._generated[2]

    @property
    def beta(self) -> tuple[np.ndarray, np.ndarray]:
        """Parameters alpha and beta of z, float32 (L,) each, before forcing, left to right on the forward strand."""
        return self._generated[:2]

    @cached_property
    def _generated(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with torch.inference_mode():
            z = self.model.mask_parameters(self._sequence, self._signals, self._peaks)
            return self._arrays_of(z)

    def _arrays_of(self, z: BetaParameters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = (z.alpha, z.beta, self.model.decide(z.mean, self._blacklist))
        alpha, beta, mask = (self._forward_strand(x[0].float().cpu().numpy()) for x in found)
        return alpha, beta, mask

    def scored(self, contact: str | None = None) -> Scored:
        """Return all that scoring stores of the gene, from one pass of the model; mask and baseline are then known.

        Parameters
        ----------
        contact : str or None
            As in `scoring.predict.scored`.
        """
        result = score_batch(self.model, self._batch, contact)
        expression, *of_z = (torch.from_numpy(x).to(self._sequence.device) for x in result.arrays())
        self._generated, self.baseline = self._arrays_of(BetaParameters(*of_z)), float(expression[0])
        return result

    @cached_property
    def promoter(self) -> np.ndarray:
        """Promoter, (L,) bool: bases that are always kept, also inside a region that is switched off."""
        return self._forward_strand(promoter_bases(self.window.length, self.model.config.promoter))

    @cached_property
    def hidden(self) -> np.ndarray:
        """Blacklist outside the promoter, (L,) bool: bases that are always hidden, also inside a kept region."""
        return forced_state(self.promoter, self._forward_strand(self._blacklist[0].cpu().numpy())) == BLACKLISTED

    @property
    def bases(self) -> np.ndarray:
        """Bases of the window, uint8 (L, 4), one-hot, left to right on the forward strand."""
        return self._forward_bases(self._batch.sequence[0].numpy())

    def with_bases(self, bases: np.ndarray) -> WhatIf:
        """Return the gene with `bases` (as `bases`) in place of its own: its mask is generated anew, all else is kept.

        Signals, gene features, promoter and blacklist are those of the gene.
        """
        sequence = torch.from_numpy(self._forward_bases(bases))[None]  # (1, L, 4)
        batch = self._batch._replace(sequence=sequence)
        return WhatIf(self.model, batch, self.window, self.reversed_strand, self.on_progress)

    @cached_property
    def everything(self) -> np.ndarray:
        """Mask that keeps everything but the blacklist, float32 (L,)."""
        return np.where(self.hidden, 0, 1).astype(np.float32)

    @cached_property
    def baseline(self) -> float:
        """Predicted expression with the mask as it is."""
        return float(self.predicted(self.mask[None])[0])

    def edited(self, edit: Edit, base: np.ndarray | None = None) -> np.ndarray:
        """Return `base` (by default the mask as it is) with the edit's regions set to 0 and 1, float32 (L,).

        Regions are clipped to the window. Promoter and blacklist are unchanged.
        """
        base = self.mask if base is None else base
        mask = base.copy()
        for regions, value in ((edit.off, 0.0), (edit.on, 1.0)):
            for start, end in regions:
                first, stop = (min(max(x - self.window.start, 0), self.window.length) for x in (start, end))
                mask[first:stop] = value
        fixed = self.promoter | self.hidden
        mask[fixed] = base[fixed]
        return mask

    def predicted(self, masks: np.ndarray) -> np.ndarray:
        """Predict expression, float32 (K,), under `masks`.

        Parameters
        ----------
        masks : ndarray
            (K, L) float, 0-1, left to right on the forward strand, each used exactly as it is.
        """
        return np.array(list(self._each(masks)), np.float32)

    def under(self, edits: Iterable[Edit], base: np.ndarray | None = None) -> np.ndarray:
        """Predict expression, float32 (K,), under each edit of `base` (by default the mask as it is).

        Memory use does not depend on the number of edits.
        """
        return np.array(list(self.arriving(edits, base)), np.float32)

    def arriving(self, edits: Iterable[Edit], base: np.ndarray | None = None) -> Iterator[float]:
        """Yield the predictions of `under` one by one, as they are computed."""
        return self._each(self.edited(edit, base) for edit in edits)

    def _each(self, masks: Iterable[np.ndarray]) -> Iterator[float]:
        device, masks = self._sequence.device, iter(masks)
        while group := list(islice(masks, self.at_once)):
            k = len(group)
            mask = torch.as_tensor(np.stack([self._forward_strand(one) for one in group]), dtype=torch.float32)
            inputs = (self._sequence, self._signals, self._features)
            sequence, signals, features = (x.expand(k, *x.shape[1:]) for x in inputs)
            with torch.inference_mode():
                found = self.model.predict(sequence, signals, features, mask.to(device)).float().cpu()
            self.on_progress(k)
            yield from found.tolist()

    def _forward_strand(self, values: np.ndarray) -> np.ndarray:
        """Convert a vector over bases from the direction in which the model reads to the forward strand, or back."""
        return values[::-1].copy() if self.reversed_strand else values

    def _forward_bases(self, bases: np.ndarray) -> np.ndarray:
        """Convert one-hot bases as `_forward_strand` does; the order of A, C, G, T reversed is the complement."""
        return bases[::-1, ::-1].copy() if self.reversed_strand else bases
