"""What all models of a gene share: inputs, forced bases, outputs as arrays, and the loss of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_core.config import Seq2ExpConfig
from model_core.errors import InputError
from model_core.model import mask as masks
from model_core.model.mask import BetaParameters
from model_core.model.motif_encoder import MotifEncoder


class Output(NamedTuple):
    """Outputs of the model for a batch of B genes, as tensors."""

    expression: Tensor  # (B,) predicted log10(CAGE + 1)
    mask: Tensor  # (B, L), 0-1, as the predictor used it
    z: BetaParameters  # (B, L) each; before promoter and blacklist are forced
    effects: Tensor | None = None  # (M, B, N), of the N bins of an additive model's M members; None in other models


class Score(NamedTuple):
    """Outputs of the model for a batch of B genes, as float32 numpy arrays."""

    expression: np.ndarray  # (B,) predicted log10(CAGE + 1)
    mask: np.ndarray  # (B, L), 0-1, promoter and blacklist forced
    alpha: np.ndarray  # (B, L), of the Beta before forcing
    beta: np.ndarray  # (B, L)


class TrainingBatch(NamedTuple):
    """Inputs of the model and labels for B genes, as tensors of the model's device."""

    sequence: Tensor  # (B, L, 4) float
    signals: Tensor  # (B, L, S) float
    gene_features: Tensor  # (B, n_gene_features)
    blacklist: Tensor  # (B, L) bool
    peaks: Tensor  # (B, L) bool
    label: Tensor  # (B,)


class GeneModel(nn.Module, ABC):
    """Model of one gene's expression from its window under a mask.

    A subclass computes z (`mask_parameters`) and the expression under a mask (`predict`).

    Parameters
    ----------
    config : Seq2ExpConfig
        The settings.
    """

    encoder: MotifEncoder | None  # of motifs, which is trained on signals first; None in the published models

    def __init__(self, config: Seq2ExpConfig):
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @abstractmethod
    def mask_parameters(self, sequence: Tensor, signals: Tensor, peaks: Tensor | None = None) -> BetaParameters:
        """Return alpha and beta of z, (B, L) each, before promoter and blacklist are forced."""

    @abstractmethod
    def predict(self, sequence: Tensor, signals: Tensor, gene_features: Tensor, mask: Tensor) -> Tensor:
        """Return the expression (B,) of genes under `mask` (B, L), which is used exactly as it is."""

    def training_terms(self, batch: TrainingBatch, weights: Tensor, sample: bool = True) -> dict[str, Tensor]:
        """Return the training loss of a batch and its parts: {"prediction", "kl", "loss"}, scalars.

        Parameters
        ----------
        batch : TrainingBatch
            The genes.
        weights : Tensor
            (members, B), how often each member of an ensemble has drawn each gene.
        sample : bool
            Whether z is drawn or its mean taken.
        """
        out = self(*batch[:4], sample=sample, peaks=batch.peaks)
        return loss_terms(out, batch.label, self.config)

    def _control(self, sequence: Tensor, signals: Tensor, peaks: Tensor | None) -> Tensor:
        """Return the mask (B, L) of a control, before promoter and blacklist are forced."""
        kind = self.config.mask.kind
        if kind == "signal":
            return masks.signal_beta(signals, self.config).mean
        if kind == "macs3":
            if peaks is None:
                raise InputError(
                    "mask macs3",
                    found="no peaks",
                    expected="the study's peaks",
                    fix="call peaks, or add [peaks] to study.toml",
                )
            return peaks.to(signals.dtype)
        if kind == "random":  # the same for the same gene, whatever its batch
            with torch.random.fork_rng(devices=[]):
                rows = []
                for gene in sequence:
                    torch.manual_seed(int((gene.argmax(-1) * torch.arange(len(gene), device=gene.device)).sum()))
                    rows.append(masks.random_blocks(1, len(gene), self.config.mask.decision.share))
            return torch.cat(rows).to(signals)
        # all: nothing is hidden but the blacklist; promoter: only what is forced is kept
        return torch.full_like(signals[..., 0], 1.0 if kind == "all" else 0.0)

    def decide(self, z: Tensor, blacklist: Tensor | None) -> Tensor:
        """Return the mask (B, L) of z (B, L), drawn or its mean, with promoter and blacklist forced."""
        promoter = self.config.promoter_in(z.shape[1])
        if self.config.mask.decision.kind == "top":  # forced positions do not count among the highest
            return masks.force(masks.decide(z, self.config), blacklist, promoter)
        return masks.decide(masks.force(z, blacklist, promoter), self.config)

    def forward(
        self,
        sequence: Tensor,
        signals: Tensor,
        gene_features: Tensor,
        blacklist: Tensor | None = None,
        sample: bool = False,
        mask_override: Tensor | None = None,
        peaks: Tensor | None = None,
    ) -> Output:
        """Return mask, Beta of z and expression of a batch of genes.

        Parameters
        ----------
        sequence : Tensor
            (B, L, 4) float, one-hot in the order A, C, G, T; N is all zero.
        signals : Tensor
            (B, L, S) float, in the order of `config.signals`.
        gene_features : Tensor
            (B, n_gene_features) float, standardised.
        blacklist : Tensor or None
            (B, L) bool, bases to hide; None hides none.
        sample : bool
            Whether z is drawn (training) or its mean taken.
        mask_override : Tensor or None
            (B, L) float, a mask used exactly as it is in place of the learned one.
        peaks : Tensor or None
            (B, L) bool, needed by the control mask `macs3`.

        Returns
        -------
        Output
            Tensors on the device of the model.
        """
        z = self.mask_parameters(sequence, signals, peaks)
        mask = self.mask_of(z, blacklist, sample) if mask_override is None else mask_override
        return Output(self.predict(sequence, signals, gene_features, mask), mask, z)

    def mask_of(self, z: BetaParameters, blacklist: Tensor | None, sample: bool = False) -> Tensor:
        """Return the mask (B, L) of z, drawn (`sample`) or its mean, with promoter and blacklist forced."""
        drawn = sample and self.config.mask.kind == "learned"
        return self.decide(masks.draw(z, self.config) if drawn else z.mean, blacklist)

    @torch.no_grad()
    def score(
        self,
        sequence: np.ndarray,
        signals: np.ndarray,
        gene_features: np.ndarray,
        blacklist: np.ndarray | None = None,
        mask_override: np.ndarray | None = None,
        peaks: np.ndarray | None = None,
    ) -> Score:
        """Return mask and expression of a batch of genes as numpy arrays, without gradients.

        Genes of a batch do not change each other's numbers.

        Parameters
        ----------
        sequence : ndarray
            (B, L, 4), any dtype, one-hot in the order A, C, G, T; N is all zero.
        signals : ndarray
            (B, L, S), any dtype, in the order of `config.signals`, transformed as in training.
        gene_features : ndarray
            (B, n_gene_features), standardised.
        blacklist : ndarray or None
            (B, L) bool, or None.
        mask_override : ndarray or None
            (B, L), 0-1, a mask used in place of the learned one, exactly as it is (promoter and blacklist not forced).
        peaks : ndarray or None
            (B, L) bool, needed by models trained under the control mask `macs3`.

        Returns
        -------
        Score
            Arrays of float32.

        Raises
        ------
        InputError
            Shapes that do not fit each other or the model.
        """
        self._check_shapes(sequence, signals, gene_features, blacklist, mask_override, peaks)
        device = self.device

        def tensor(array, dtype=torch.float32):
            return None if array is None else torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

        training = self.training
        self.eval()
        try:
            flags = tensor(blacklist, torch.bool), False, tensor(mask_override), tensor(peaks, torch.bool)
            out = self(tensor(sequence), tensor(signals), tensor(gene_features), *flags)
        finally:
            self.train(training)
        return Score(*(t.float().cpu().numpy() for t in (out.expression, out.mask, out.z.alpha, out.z.beta)))

    def _check_shapes(self, sequence, signals, gene_features, blacklist, mask_override, peaks):
        config = self.config
        shape = np.shape(sequence)
        if len(shape) != 3 or shape[2] != 4:
            raise InputError(
                "sequence", found=f"shape {shape}", expected="(genes, length, 4)", fix="pass one-hot bases"
            )
        expected = {
            "signals": (signals, (*shape[:2], len(config.signals))),
            "gene_features": (gene_features, (shape[0], config.predictor.n_gene_features)),
            "blacklist": (blacklist, shape[:2]),
            "mask_override": (mask_override, shape[:2]),
            "peaks": (peaks, shape[:2]),
        }
        for name, (array, wanted) in expected.items():
            if array is not None and np.shape(array) != wanted:
                raise InputError(
                    name, found=f"shape {np.shape(array)}", expected=f"{wanted}", fix="pass arrays of these shapes"
                )
        if shape[1] != config.window and (config.backbone.position_embedding or shape[1] < config.promoter):
            raise InputError(
                "sequence",
                found=f"{shape[1]} bases",
                expected=f"the trained window of {config.window}",
                fix="score that window",
            )


def loss_terms(out: Output, y: Tensor, config: Seq2ExpConfig) -> dict[str, Tensor]:
    """Return the training loss of a batch and its parts: {"prediction", "kl", "loss"}, scalars.

    loss = SmoothL1(expression, y) + kl_weight * KL, as published (lambda = kl_weight).
    """
    prediction = F.smooth_l1_loss(out.expression, y)
    kl = masks.kl_to_marginal(out.z, config)
    weight = config.mask.kl_weight if config.mask.kind == "learned" else 0.0
    return {"prediction": prediction, "kl": kl, "loss": prediction + weight * kl}
