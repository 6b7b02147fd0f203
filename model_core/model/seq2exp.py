"""Seq2Exp: from 200,000 bases and their signals to a mask and to the expression of one gene.

    sequence --> generator --> (alpha1, beta1) --+
    signals  ------------------> (alpha2, beta2) --+--> z ~ Beta(alpha, beta) --> mask
    (embedded sequence + signals) under the mask --> predictor --> mean over the promoter --> log10(CAGE + 1)

Su, Yu, Zhi and Ji, "Learning to Discover Regulatory Elements for Gene Expression Prediction", ICLR 2025. Keys: batch B,
window length L, width d, signals S.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model_core.config import Seq2ExpConfig
from model_core.model import mask as masks
from model_core.model.backbone import Backbone
from model_core.model.gene_model import GeneModel
from model_core.model.mask import BetaParameters
from model_core.model.motif_encoder import MotifEncoder


class Seq2Exp(GeneModel):
    """The model of the paper, as its released code computes it.

    The release differs from the paper, or from what one would expect, in these points (the numbers are those of
    docs/method.md; points that can be switched are settings of `Seq2ExpConfig`):

    1. Two Beta densities multiplied have parameters a1 + a2 - 1; the release omits the -1, and so does this model
       (`mask.beta_product_exact` includes it).
    2. Hard: the kept positions are gathered and never multiplied by the mask, so the prediction gives the mask head no
       gradient. `mask.hard_gradient` multiplies them by the straight-through mask.
    3. Soft and hard differ in five ways at once: `shared`, `generator_signals` and `position_embedding` of the
       backbone, the prior, and multiplying against gathering.
    4. Genes on the minus strand are not reverse-complemented (`reverse_complement` does; see dataset.py).
    5. The continuity loss exists with weight 0: contiguity is not trained for.
    6. The max-pooling of the prior has no effect in the release and is left out.
    7. Signals enter twice (prior and predictor) and again as a gene feature.
    8. Promoter and blacklist are forced after z, the promoter last; forced positions get no gradient.
    9. The soft mask hides little: the masked embedding goes into RMSNorm, which does not see scale. Only an exact 0
       hides a base, and the mask of a trained soft model follows its signal prior. The settings `apply`, `head` and
       `kl` of the mask and `prior.learned` are alternatives.
    10. Hard: the release pads shorter genes of a batch with zeros that reach the reversed scan (5e-6 to 9e-5). Here
       padding is masked: the numbers are those of the gene alone (`predictor.released_padding` restores it).
    11. Hard needs exactly the trained window, because of the position embedding.
    12. Output projections are initialised for 64 layers, whatever the real depth.
    13. Weight decay: see `model_core.training.lightning_module`.
    14. Lower-case bases count as upper case (the release stops with an error).
    15. The spread of z at zero signal is set by the prior (`prior.scale`), it is not a calibrated confidence.
    16. A soft model is not trained on masks with elements switched off, so a what-if is outside its training data.

    Parameters
    ----------
    config : Seq2ExpConfig
        The settings.

    Examples
    --------
    >>> import numpy as np
    >>> import model_core
    >>> config = model_core.Seq2ExpConfig().replace(window=1_000, promoter=100, d_model=8, n_layers=1)
    >>> model = model_core.Seq2Exp(config)
    >>> sequence, signals, features = np.zeros((1, 1_000, 4)), np.zeros((1, 1_000, 3)), np.zeros((1, 9))
    >>> found = model.score(sequence, signals, features)
    >>> found.mask.shape, found.expression.shape
    ((1, 1000), (1,))
    """

    def __init__(self, config: Seq2ExpConfig):
        super().__init__(config)
        backbone, readout = config.backbone, config.predictor.readout
        d, channels = backbone.d_model, backbone.encoder
        self.sequence_embedding = nn.Linear(4, d)
        self.signal_embedding = nn.Linear(len(config.signals), d)
        self.position_embedding = nn.Parameter(torch.zeros(config.window, d)) if backbone.position_embedding else None
        strands = backbone.encoder_filters, backbone.both_strands
        self.encoder = MotifEncoder(channels, *strands) if channels else None
        self.encoder_embedding = nn.Linear(channels, d, bias=False) if channels else None
        self.generator = Backbone(backbone)
        self.mask_head = nn.Linear(d, 2)
        self.predictor = None if backbone.shared else Backbone(backbone)
        self.absent_embedding = nn.Parameter(torch.zeros(d)) if config.mask.apply == "absent" else None
        self.signal_logit = nn.Linear(len(config.signals), 1) if config.mask.head == "logit" else None
        learned = torch.tensor(math.log(config.prior.scale)) if config.prior.learned else None
        self.log_prior_scale = None if learned is None else nn.Parameter(learned)
        seen = (2 * d if readout == "window" else d) + config.predictor.n_gene_features
        self.expression_head = nn.Sequential(nn.Linear(seen, d), nn.ReLU(), nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 1))
        for name, parameter in self.named_parameters():
            if name.endswith("bias") and "dt_proj" not in name:
                nn.init.zeros_(parameter)
        if self.signal_logit is not None:
            # Start at the mean of the KL and with the weights of the published prior: training hardly changes three
            # numbers, and where they started negative by chance the mask kept motifs without any signal.
            nn.init.constant_(self.signal_logit.bias, math.log(config.mask.kl_mu / (1 - config.mask.kl_mu)))
            with torch.no_grad():
                self.signal_logit.weight.copy_(torch.tensor([config.prior.w]))

    def mask_parameters(self, sequence: Tensor, signals: Tensor, peaks: Tensor | None = None) -> BetaParameters:
        """Return alpha and beta of z, (B, L) each, before promoter and blacklist are forced.

        Parameters
        ----------
        sequence : Tensor
            (B, L, 4) float, one-hot.
        signals : Tensor
            (B, L, S) float.
        peaks : Tensor or None
            (B, L) bool, needed by the control mask `macs3`.
        """
        if self.config.mask.kind != "learned":
            return masks.beta_with_mean(self._control(sequence, signals, peaks))
        logits = self.mask_head(self.read_sequence(sequence, signals))  # (B, L, 2)
        if self.signal_logit is not None:  # the logit head
            by_signal = self.signal_logit(torch.log1p(signals))[..., 0]  # (B, L)
            return masks.beta_with_mean(torch.sigmoid(logits[..., 1] - logits[..., 0] + by_signal))
        scale = None if self.log_prior_scale is None else self.log_prior_scale.exp()
        sequence_beta = masks.sequence_beta(logits, self.config)
        signal_beta = masks.signal_beta(signals, self.config, scale)
        return masks.posterior(sequence_beta, signal_beta, self.config)

    def read_sequence(self, sequence: Tensor, signals: Tensor) -> Tensor:
        """Return the generator's hidden states (B, L, d)."""
        h = self._embed(sequence)  # (B, L, d)
        if self.config.backbone.generator_signals:
            h = h + self.signal_embedding(signals)
        if self.position_embedding is not None:
            h = h + self.position_embedding
        return self.generator(h)

    def _embed(self, sequence: Tensor) -> Tensor:
        h = self.sequence_embedding(sequence)
        if self.encoder is None or self.encoder_embedding is None:
            return h
        return h + self.encoder_embedding(self.encoder(sequence))

    def predict(self, sequence: Tensor, signals: Tensor, gene_features: Tensor, mask: Tensor) -> Tensor:
        """Return the expression (B,) of genes under `mask` (B, L), which is used exactly as it is."""
        settings = self.config.predictor
        seen_signals = torch.log1p(signals) if settings.log_signals else signals
        h = self._embed(sequence) + self.signal_embedding(seen_signals)  # (B, L, d)
        backbone = self.generator if self.predictor is None else self.predictor
        apply = self.config.mask.apply
        if apply == "gather":
            seen = self._predict_gathered(backbone, h, mask)
        else:
            promoter = self.config.promoter_in(h.shape[1])
            wanted = slice(0, h.shape[1]) if settings.readout == "window" else promoter
            if apply == "multiply":
                h = backbone(h * mask[..., None], wanted=wanted)
            else:
                h = backbone(h, gate=mask, absent=self.absent_embedding, wanted=wanted)
            if settings.readout == "window":
                seen = torch.cat([h[:, promoter].mean(1), self._over_window(h, mask, signals)], -1)  # (B, 2 d)
            else:
                seen = h.mean(1)  # (B, d)
        return self.expression_head(torch.cat([seen, gene_features], -1))[:, 0]

    def _over_window(self, h: Tensor, mask: Tensor, signals: Tensor) -> Tensor:
        """Return hidden states (B, d) summed over the window with weight mask x contact, per promoter length.

        Contact is relative to the window's highest value, as in the activity-by-contact model (Fulco et al. 2019).
        """
        weight = mask
        name = self.config.predictor.contact
        if name is not None:
            contact = signals[..., self.config.signals.index(name)]
            weight = mask * contact / contact.amax(1, keepdim=True).clamp(min=1e-6)
        return torch.einsum("bld,bl->bd", h, weight) / self.config.promoter

    def _predict_gathered(self, backbone: Backbone, h: Tensor, mask: Tensor) -> Tensor:
        """Return the mean hidden state (B, d) over the promoter, of a predictor that reads the kept positions only."""
        if self.position_embedding is not None:
            h = h + self.position_embedding
        kept = mask.detach() >= self.config.mask.decision.threshold  # (B, L)
        padded = self.config.predictor.released_padding
        if self.config.mask.hard_gradient:
            h = h * mask[..., None]
        promoter = self.config.promoter_in(mask.shape[1])
        if not torch.is_grad_enabled() and not padded:  # gene by gene nothing is padded
            rows = []
            for gene, keep in zip(h, kept, strict=True):
                before, inside = int(keep[: promoter.start].sum()), int(keep[promoter].sum())
                where = slice(before, before + inside)  # the promoter's positions among the kept ones
                rows.append(
                    backbone(gene[keep][None], wanted=where)[0].mean(0) if inside else torch.zeros_like(gene[0])
                )
            return torch.stack(rows)
        order = torch.argsort(~kept, dim=1, stable=True)  # kept positions first, in their order
        longest = max(int(kept.sum(1).max()), 1)
        order = order[:, :longest]
        valid = torch.gather(kept, 1, order)  # (B, longest)
        h = torch.gather(h, 1, order[..., None].expand(-1, -1, h.shape[-1])) * valid[..., None]
        h = backbone(h, None if padded else valid)  # (B, longest, d)
        inside = valid & (order >= promoter.start) & (order < promoter.stop)
        return (h * inside[..., None]).sum(1) / inside.sum(1, keepdim=True).clamp(min=1)
