"""A convolutional encoder of motifs, which is trained on the study's own signals before the rest of the model.

One label per gene is too little to learn motifs from; the signals along the whole genome are enough (docs/results.md).
The features are added to the embedded one-hot sequence, in generator and predictor. A feature depends on `REACH` bp on
either side, so features near a hidden base still carry some information about it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_core.bins import EFFECT_BIN

STEP = EFFECT_BIN  # bp per feature
MOTIF = 15  # bp the first convolution sees
DILATIONS = (1, 2, 4)
REACH = MOTIF // 2 + STEP * (2 + 2 * sum(DILATIONS)) + STEP  # bp on either side that a feature can see


class MotifEncoder(nn.Module):
    """Convolutions from one-hot sequence (B, L, 4) to features of mean 0 and sd 1, one vector of them per `STEP` bp.

    Parameters
    ----------
    channels : int
        Features.
    filters : int
        Motifs that the first convolution looks for; 0 for as many as `channels`.
    both_strands : bool
        Whether a motif counts on either strand: of both, the higher value is taken, so that a window and its reverse
        complement have the same motifs.
    """

    mean: Tensor  # (channels,)
    sd: Tensor  # (channels,)

    def __init__(self, channels: int, filters: int = 0, both_strands: bool = False):
        super().__init__()
        self.both_strands = both_strands
        self.motifs = nn.Conv1d(4, filters or channels, MOTIF, padding=MOTIF // 2)
        self.beside = nn.Conv1d(filters or channels, channels, 5, padding=2)
        self.around = nn.ModuleList(nn.Conv1d(channels, channels, 5, padding=2 * d, dilation=d) for d in DILATIONS)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("sd", torch.ones(channels))

    def hidden(self, sequence: Tensor) -> Tensor:
        """Return features before standardisation, (B, channels, ceil(L / STEP))."""
        x = F.pad(sequence.transpose(1, 2), (0, -sequence.shape[1] % STEP))
        if self.both_strands:
            weight = self.motifs.weight  # reversed in both directions, A, C, G, T become their complements
            x = torch.cat([F.conv1d(x, w, self.motifs.bias, padding=MOTIF // 2) for w in (weight, weight.flip(1, 2))])
            x = F.max_pool1d(x, STEP).unflatten(0, (2, -1)).amax(0)
            x = F.gelu(x)
        else:
            x = F.max_pool1d(F.gelu(self.motifs(x)), STEP)
        x = F.gelu(self.beside(x))
        for convolution in self.around:
            x = x + F.gelu(convolution(x))
        return x

    def features(self, sequence: Tensor) -> Tensor:
        """Return standardised features, (B, ceil(L / STEP), channels)."""
        return (self.hidden(sequence).transpose(1, 2) - self.mean) / self.sd

    def forward(self, sequence: Tensor) -> Tensor:
        """Return standardised features of each base, (B, L, channels)."""
        return self.features(sequence).repeat_interleave(STEP, dim=1)[:, : sequence.shape[1]]

    @torch.no_grad()
    def standardise(self, sequence: Tensor) -> None:
        """Set mean and sd of the features to those of these windows (B, L, 4)."""
        x = self.hidden(sequence).transpose(1, 2).flatten(0, 1)
        self.mean.copy_(x.mean(0))
        self.sd.copy_(x.std(0).clamp(min=1e-3))
