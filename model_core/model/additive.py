"""An additive model of expression: a gene's promoter, and the effect of every base on this gene.

    expression = promoter(features, promoter's bases and signals) + sum over the other bases of kept x effect
    effect     = response(sequence(motif features) x openness(signals)) x contact,  with a sign, in the label's unit
    z of a member = |effect| / (|effect| + error + a little),  averaged over 100 bp; E[z] is its mean over the members

The activity of a base is sequence x openness. With T the sum of the activities over `SITE` bins around it, the
response is activity x most |T| / (most^2 + T^2): an element of the activity T has the effect
most T^2 / (most^2 + T^2) in full contact, a Hill function of exponent 2. Sites that stand alone hardly act, and no
element acts more than `most`, which is learned. The response is that of the whole window, whatever is hidden later.
Contact is linear, as in the activity-by-contact model (Fulco et al. 2019), in units of the training windows' mean
highest contact, over the window's own highest one to a power that is learned. At a power of 1 it is a share of that
value, whose noise all effects of the gene then have; at 0 windows are compared as they are, though balancing a contact
map raises the near contacts of a window that has few far ones.

Because the sum is additive, switching a region off changes the expression by exactly the region's summed effect: one
pass gives the effect of every base on this gene. Several members share the encoder and the inputs; each is trained on
its own resampling of the genes, and their standard deviation is the error of an effect. So z is about one half where an
effect is as large as its error.

Keys: batch B, window length L, bins of `STEP` bp N = ceil(L / STEP), signals S, channels C, members M.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_core.config import Seq2ExpConfig
from model_core.model import mask as masks
from model_core.model.gene_model import GeneModel, Output, TrainingBatch
from model_core.model.mask import BetaParameters
from model_core.model.motif_encoder import STEP, MotifEncoder

WIDTHS = (7, 39)  # bins over which openness is averaged: 56 and 312 bp
HIDDEN = 32  # units of each member's two small networks
DROPOUT = 0.3
SITE = 39  # bins whose activities act together: 312 bp
AROUND = 13  # bins over which effects are averaged for z: 104 bp
LITTLE = 0.01  # effect of 100 bp, in sd of the training labels, that is added to the error
_PER_LITTLE = 100  # bp
_FIRST_SCALE = 0.05  # of effects before training
_SHARPNESS = 4.0  # of the openness gate before training
_FIRST_SHARE = 0.5  # power of a window's highest contact before training
_FIRST_MOST = 1.5  # most effect of an element before training, in sd of the training labels
_FACTORS = 0.5, 4.0  # lowest and highest of the calibration
_LIMITS = (1.0, 1.5, 0.7, 0.5, 0.35, 0.25)  # that the calibration tries
_LEAST = 1e-9
_BASES_AT_ONCE = 1 << 18  # that the encoder reads: its first convolution needs 1 kB for each
_MOST_LOG_CONTACT = 30.0  # log10(1 + contact), beyond any measured; 10 to its power is finite in float32


def linear_contact(contact: Tensor) -> Tensor:
    """Return the linear contact of each bin of `STEP` bp: (B, N), 0 or more.

    Parameters
    ----------
    contact : Tensor
        (B, L), log10(1 + contact) of each base, as contact signals are read. A last bin of fewer bases has their mean.
    """
    linear = 10.0 ** contact.clamp(max=_MOST_LOG_CONTACT) - 1
    return F.avg_pool1d(linear[:, None], STEP, ceil_mode=True)[:, 0]


def contact_shares(contact: Tensor) -> Tensor:
    """Return `linear_contact` as a share of the window's highest: (B, N), 0 to 1."""
    binned = linear_contact(contact)
    return binned / binned.amax(1, keepdim=True).clamp(min=1e-6)


class Inputs(NamedTuple):
    """What the members read of a batch."""

    motifs: Tensor  # (B, N, C), standardised features of the encoder
    openness: Tensor  # (B, N, 2 S'), standardised averages of the S' signals other than contact
    contact: Tensor  # (B, N), linear contact in units of `contact_unit`, 0 or more
    highest: Tensor  # (B, 1), highest contact of the window
    promoter: Tensor  # (B, C + 2 S' + features), means over the promoter, and gene features
    length: int  # L


class Member(nn.Module):
    """One member of the ensemble.

    Parameters
    ----------
    channels : int
        Motif features.
    tracks : int
        Averages of signals.
    features : int
        Gene features.
    response : str
        "linear" or "hill" (`PredictorConfig`).
    """

    def __init__(self, channels: int, tracks: int, features: int, response: str):
        super().__init__()
        self.sequence = nn.Sequential(nn.Linear(channels, HIDDEN), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, 1))
        self.openness = nn.Linear(tracks, 1)
        self.scale = nn.Parameter(torch.tensor(_FIRST_SCALE))
        self.share = nn.Parameter(torch.tensor(_FIRST_SHARE))
        self.log_most = nn.Parameter(torch.tensor(0.0)) if response == "hill" else None
        self.promoter = nn.Sequential(
            nn.Linear(channels + tracks + features, HIDDEN), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, 1)
        )
        nn.init.constant_(self.openness.weight, _SHARPNESS / tracks)
        nn.init.zeros_(self.openness.bias)

    def effect(self, inputs: Inputs, limit: float = 1.0) -> Tensor:
        """Return the effect of each bin, (B, N), if `most` were multiplied by `limit`."""
        open_ = torch.sigmoid(self.openness(inputs.openness)[..., 0])
        activity = self.scale * self.sequence(inputs.motifs)[..., 0] * open_
        contact = inputs.contact * inputs.highest**-self.share
        if self.log_most is None:
            return activity * contact
        most = self.log_most.exp() * limit
        together = F.avg_pool1d(activity[:, None], SITE, 1, SITE // 2)[:, 0].abs() * SITE
        return activity * most * together / (most**2 + together**2) * contact

    @torch.no_grad()
    def rescale(self, factor: float, limit: float = 1.0) -> None:
        """Multiply all effects by a factor above 0, and `most` by `limit` ahead of that."""
        self.scale.mul_(factor)
        if self.log_most is not None:
            self.log_most.add_(math.log(factor * limit))


class AdditiveModel(GeneModel):
    """Additive model of one gene's expression (the variant `causal`).

    Its z is a function of the effects; `mask.kind` may replace the mask by a control, as in other models.

    Parameters
    ----------
    config : Seq2ExpConfig
        With `mask.head = "effect"`.
    """

    encoder: MotifEncoder
    signal_logged: Tensor  # (S',), 1 for signals of which this model takes the logarithm, else 0
    signal_sd: Tensor  # (S',), after that
    track_mean: Tensor  # (2 S',)
    track_sd: Tensor  # (2 S',)
    contact_unit: Tensor  # (), mean highest contact of the training windows
    little: Tensor  # (), effect of a bin that is added to the error

    def __init__(self, config: Seq2ExpConfig):
        super().__init__(config)
        backbone, names = config.backbone, list(config.signals)
        self.contact = None if config.predictor.contact is None else names.index(config.predictor.contact)
        self.tracks = [column for column in range(len(names)) if column != self.contact]
        count = len(self.tracks) * len(WIDTHS)
        self.encoder = MotifEncoder(backbone.encoder, backbone.encoder_filters, backbone.both_strands)
        sizes = backbone.encoder, count, config.predictor.n_gene_features
        self.members = nn.ModuleList(Member(*sizes, config.predictor.response) for _ in range(config.predictor.members))
        constants = {"signal_logged": torch.zeros(len(self.tracks)), "signal_sd": torch.ones(len(self.tracks))}
        constants |= {"track_mean": torch.zeros(count), "track_sd": torch.ones(count)}
        constants["contact_unit"] = torch.tensor(1.0)
        constants["little"] = torch.tensor(LITTLE * STEP / _PER_LITTLE)
        for name, values in constants.items():
            self.register_buffer(name, values)

    # ---- inputs

    def standardised(self, signals: Tensor) -> Tensor:
        """Return the signals other than contact with standard deviation 1, (B, L, S').

        A logarithm is taken of those whose transform in the study took none.
        """
        own = signals[..., self.tracks]
        logged = torch.log1p(own.clamp(min=0))
        return torch.where(self.signal_logged > 0, logged, own) / self.signal_sd

    def averages(self, signals: Tensor) -> Tensor:
        """Return averages of the signals around each bin before standardisation, (B, N, 2 S')."""
        own = F.pad(self.standardised(signals).transpose(1, 2), (0, -signals.shape[1] % STEP))
        binned = F.avg_pool1d(own, STEP)
        wide = [F.avg_pool1d(binned, width, 1, width // 2, count_include_pad=False) for width in WIDTHS]
        return torch.cat(wide, 1).transpose(1, 2)

    def read(self, sequence: Tensor, signals: Tensor, gene_features: Tensor) -> Inputs:
        """Return what the members read of a batch; arguments as those of `predict`."""
        at_once = max(1, _BASES_AT_ONCE // sequence.shape[1])
        motifs = torch.cat([self.encoder.features(part) for part in sequence.split(at_once)])
        openness = (self.averages(signals) - self.track_mean) / self.track_sd
        contact = torch.ones_like(openness[..., 0])
        if self.contact is not None:
            contact = linear_contact(signals[..., self.contact]) / self.contact_unit
        promoter = self.config.promoter_in(sequence.shape[1])
        bins = slice(promoter.start // STEP, -(-promoter.stop // STEP))
        near = torch.cat([motifs[:, bins].mean(1), openness[:, bins].mean(1), gene_features], -1)
        highest = contact.amax(1, keepdim=True).clamp(min=_LEAST)
        return Inputs(motifs, openness, contact, highest, near, sequence.shape[1])

    @torch.no_grad()
    def set_constants(self, signals: Tensor, logged: list[bool], label_sd: float) -> None:
        """Set the constants of standardisation.

        Parameters
        ----------
        signals : Tensor
            (B, L, S), windows of training genes.
        logged : list[bool]
            Signals whose transform takes no logarithm, so that this model takes one.
        label_sd : float
            Standard deviation of the training labels.
        """
        self.signal_logged.copy_(torch.tensor([float(logged[column]) for column in self.tracks]))
        self.signal_sd.fill_(1)
        self.signal_sd.copy_(self.standardised(signals).flatten(0, 1).std(0).clamp(min=1e-6))
        if self.contact is not None:
            self.contact_unit.copy_(linear_contact(signals[..., self.contact]).amax(1).mean().clamp(min=1e-6))
        seen = self.averages(signals).flatten(0, 1)
        self.track_mean.copy_(seen.mean(0))
        self.track_sd.copy_(seen.std(0).clamp(min=1e-3))
        self.little.fill_(LITTLE * label_sd * STEP / _PER_LITTLE)
        for member in self._members:
            if member.log_most is not None:
                member.log_most.fill_(math.log(max(_FIRST_MOST * label_sd, _LEAST)))

    @torch.no_grad()
    def begin_openness(self, sequence: Tensor, signals: Tensor) -> int:
        """Let the openness of every member begin with the average that the motifs explain best; return its column.

        Open places are where factors bind, so the signal of openness is the one that follows from motifs. From equal
        weights a short training does not find it.

        Parameters
        ----------
        sequence : Tensor
            (B, L, 4), windows of training genes; the encoder has been trained on the signals.
        signals : Tensor
            (B, L, S).
        """
        inputs = self.read(sequence, signals, sequence.new_zeros(len(sequence), self.config.predictor.n_gene_features))
        promoter = self.config.promoter_in(sequence.shape[1])
        distal = torch.ones(inputs.contact.shape[1], dtype=torch.bool, device=sequence.device)
        distal[promoter.start // STEP : -(-promoter.stop // STEP)] = False
        seen = F.pad(inputs.motifs[:, distal].flatten(0, 1).double(), (0, 1), value=1.0)
        tracks = inputs.openness[:, distal].flatten(0, 1).double()
        seen, tracks = seen.cpu(), tracks.cpu()  # CUDA has no solver for motifs that depend on each other
        left = tracks - seen @ torch.linalg.lstsq(seen, tracks, driver="gelsd").solution
        best = int((1 - left.var(0) / tracks.var(0).clamp(min=1e-12)).argmax())
        for member in self._members:
            member.openness.weight.zero_()
            member.openness.weight[0, best] = _SHARPNESS
        return best

    # ---- effects and mask

    def effects(self, sequence: Tensor, signals: Tensor) -> Tensor:
        """Return each member's effect of every base on this gene, (M, B, L), in the label's unit."""
        features = sequence.new_zeros(len(sequence), self.config.predictor.n_gene_features)  # act on no base
        effects = self._effects(self.read(sequence, signals, features)) / STEP
        return effects.repeat_interleave(STEP, dim=2)[..., : sequence.shape[1]]

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
        """Return what `GeneModel.forward` does, and the effects, from one reading of the windows.

        The effect of a bin is the sum over its bases; a last bin may have fewer than `STEP`.
        """
        inputs = self.read(sequence, signals, gene_features)
        effects = self._effects(inputs)
        learned = self.config.mask.kind == "learned"
        z = self._beta(effects, inputs.length) if learned else self.mask_parameters(sequence, signals, peaks)
        mask = self.mask_of(z, blacklist, sample) if mask_override is None else mask_override
        of_bases = effects * self._shares(torch.ones_like(sequence[:1, :, 0]))
        return Output(self._expression(inputs, effects, mask), mask, z, of_bases)

    def mask_parameters(self, sequence: Tensor, signals: Tensor, peaks: Tensor | None = None) -> BetaParameters:
        """Return alpha and beta of z, (B, L) each, before promoter and blacklist are forced."""
        if self.config.mask.kind != "learned":
            return masks.beta_with_mean(self._control(sequence, signals, peaks))
        features = sequence.new_zeros(len(sequence), self.config.predictor.n_gene_features)
        return self._beta(self._effects(self.read(sequence, signals, features)), sequence.shape[1])

    def predict(self, sequence: Tensor, signals: Tensor, gene_features: Tensor, mask: Tensor) -> Tensor:
        """Return the expression (B,) of genes under `mask` (B, L): a base counts in full from its own E[z] on.

        One window that is expanded to B rows, as for many masks of one gene, is read once.
        """
        if all(x.stride(0) == 0 for x in (sequence, signals, gene_features)):
            sequence, signals, gene_features = sequence[:1], signals[:1], gene_features[:1]
        inputs = self.read(sequence, signals, gene_features)
        return self._expression(inputs, self._effects(inputs), mask)

    def _beta(self, effects: Tensor, length: int) -> BetaParameters:
        """Return alpha and beta of z, (B, L) each, of the effects of the bins (M, B, N)."""
        mean, sd = (x.repeat_interleave(STEP, dim=1)[:, :length] for x in self.z_of(effects))
        return masks.beta_with_mean(mean, sd) if len(self.members) > 1 else masks.beta_with_mean(mean)

    def _expression(self, inputs: Inputs, effects: Tensor, mask: Tensor) -> Tensor:
        """Return the mean prediction (B,) under a mask (B, L), of the effects of the bins (M, B, N)."""
        if self.config.mask.kind == "learned":
            own = self.z_of(effects)[0].repeat_interleave(STEP, dim=1)[:, : mask.shape[1]]
            mask = (mask / own.clamp(min=_LEAST)).clamp(max=1)
        return self._expressions(inputs, effects * self._shares(mask)).mean(0)

    @property
    def _members(self) -> list[Member]:
        return [member for member in self.members if isinstance(member, Member)]

    def _effects(self, inputs: Inputs, limit: float = 1.0) -> Tensor:
        """Return each member's effect of each bin on this gene, (M, B, N), 0 in the promoter (`Member.effect`)."""
        effects = torch.stack([member.effect(inputs, limit) for member in self._members])
        outside = torch.ones(effects.shape[2], STEP, device=effects.device)
        outside.view(-1)[self.config.promoter_in(inputs.length)] = 0
        return effects * outside.mean(1)

    def z_of(self, effects: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and sd of z over the members in each bin, (B, N) each, from their effects (M, B, N).

        A member whose effect has another sign than the mean has a z of 0.
        """
        near = F.avg_pool1d(effects, AROUND, 1, AROUND // 2, count_include_pad=False)
        error = near.std(0) if len(near) > 1 else torch.zeros_like(near[0])
        size = (near * near.mean(0).sign()).clamp(min=0)
        z = size / (size + error + self.little)
        return z.mean(0), z.std(0) if len(z) > 1 else torch.zeros_like(error)

    @staticmethod
    def _shares(kept: Tensor) -> Tensor:
        """Return the mean of `kept` (B, L) over the bases of each bin, (B, N)."""
        return F.avg_pool1d(F.pad(kept[:, None], (0, -kept.shape[1] % STEP)), STEP)[:, 0]

    def _promoters(self, inputs: Inputs) -> Tensor:
        """Return each member's promoter part, (M, B)."""
        return torch.stack([member.promoter(inputs.promoter)[:, 0] for member in self._members])

    def _expressions(self, inputs: Inputs, effects: Tensor) -> Tensor:
        """Return each member's prediction, (M, B), from its effects of the kept bins (M, B, N)."""
        return self._promoters(inputs) + effects.sum(2)

    # ---- training

    def training_terms(self, batch: TrainingBatch, weights: Tensor, sample: bool = True) -> dict[str, Tensor]:
        """Return the loss of a batch and its parts; nothing is drawn.

        loss = sum over members of the weighted mean of SmoothL1(expression, y) + sparsity x sum of absolute effects

        The other arguments are those of `GeneModel.training_terms`.
        """
        with torch.no_grad():  # the encoder is not trained on expression
            inputs = self.read(batch.sequence, batch.signals, batch.gene_features)
        effects = self._effects(inputs) * self._shares(self._kept_in_training(batch))
        errors = F.smooth_l1_loss(
            self._expressions(inputs, effects), batch.label.expand(len(weights), -1), reduction="none"
        )
        weights = weights / weights.mean(1, keepdim=True).clamp(min=_LEAST)
        prediction, penalty = ((weights * part).mean(1) for part in (errors, effects.abs().sum(2)))
        # The sum, as members share no weight: each learns as if it were alone.
        loss = (prediction + self.config.predictor.sparsity * penalty).sum()
        return {"prediction": prediction.mean(), "kl": penalty.mean(), "loss": loss}

    def _kept_in_training(self, batch: TrainingBatch) -> Tensor:
        """Return what is kept of the windows, (B, L): everything but the blacklist, or a control's mask."""
        kept = torch.ones_like(batch.signals[..., 0])
        if self.config.mask.kind != "learned":
            kept = self._control(batch.sequence, batch.signals, batch.peaks)
        return self.decide(kept, batch.blacklist)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[tuple[TrainingBatch, Tensor]]) -> tuple[float, float]:
        """Fit the size of all effects to the labels of genes that were not trained on; return factor and limit.

        The penalty makes effects too small, most of all the small ones. Of `_LIMITS` by which the most effect is
        multiplied, the one is taken under which the label is closest to promoter part + factor x summed effects +
        constant, with the least-squares factor between `_FACTORS`. The promoter part is shifted by the constant.

        Parameters
        ----------
        batches : Iterable[tuple[TrainingBatch, Tensor]]
            Genes, and which members have not been trained on each, (M, B) bool: the mean over these is taken. Genes
            without such a member are left out.
        """
        limits = _LIMITS if self.config.predictor.response == "hill" else (1.0,)
        parts, labels = [], []
        for batch, unseen in batches:
            inputs = self.read(batch.sequence, batch.signals, batch.gene_features)
            shares = self._shares(self._kept_in_training(batch))
            sums = torch.stack([(self._effects(inputs, limit) * shares).sum(2) for limit in limits])  # (limits, M, B)
            judged = unseen.any(0)
            weights = unseen[:, judged] / unseen[:, judged].sum(0)
            of_members = torch.cat([self._promoters(inputs)[None], sums])[:, :, judged]
            parts.append((of_members * weights).sum(1))
            labels.append(batch.label[judged])
        promoter, *distal = torch.cat(parts, 1).double()
        left = torch.cat(labels).double() - promoter
        found = []
        for limit, sums in zip(limits, distal, strict=True):
            spread = sums - sums.mean()
            factor = float((spread * left).sum() / (spread**2).sum().clamp(min=1e-30))
            factor = min(max(factor, _FACTORS[0]), _FACTORS[1])
            rest = left - factor * sums
            found.append((float(rest.var(correction=0)), factor, limit, float(rest.mean())))
        _, factor, limit, shift = min(found)
        for member in self._members:
            member.rescale(factor, limit)
            last = member.promoter[-1]
            assert isinstance(last, nn.Linear)
            last.bias.add_(shift)
        return factor, limit
