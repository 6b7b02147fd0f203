"""A block of the backbone on the CPU without gradients: the same numbers, computed chunk by chunk.

A window of 200,000 bases fits into no cache, and each intermediate tensor of it costs 200 MB of memory traffic. Here a
block processes the window twice, from left to right for the forward scan and back for the reversed one, a few thousand
bases at a time: intermediate values stay in the cache, and only the branches x and z, the sum of both scans and the
residual stream exist at full length.
"""

from __future__ import annotations

import itertools
from typing import Protocol

import torch
from torch import Tensor, nn

from model_core.model.kernels.scan_cpu import CarriedScan, convolve
from model_core.model.kernels.simd import LANES

CHUNK = 4096  # bases


class Direction(Protocol):
    """Parameters of one direction, as in `model_core.model.backbone.Direction`."""

    convolution: nn.Conv1d
    x_proj: nn.Linear
    dt_proj: nn.Linear
    A_log: nn.Parameter
    D: nn.Parameter


class Mixer(Protocol):
    """Parameters of a mixer, as in `model_core.model.backbone.Mixer`."""

    in_proj: nn.Linear
    out_proj: nn.Linear

    @property
    def forward_scan(self) -> Direction: ...

    @property
    def reverse_scan(self) -> Direction: ...


class Block(Protocol):
    """Parts of a block, as in `model_core.model.backbone.Block`."""

    @property
    def norm(self) -> nn.RMSNorm: ...

    @property
    def mixer(self) -> Mixer: ...


def can_run(block: Block, residual: Tensor, valid: Tensor | None) -> bool:
    """Return whether `advance` can compute the block.

    It needs float32 on the CPU, no gradient, no padding, and a number of channels that LANES divides.
    """
    return (
        residual.device.type == "cpu"
        and residual.dtype == block.norm.weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and valid is None
        and block.mixer.out_proj.in_features % LANES == 0
    )


def room_for(block: Block, residual: Tensor) -> list[Tensor]:
    """Allocate memory for x, z and the sum of the scans of one gene, (L, E) each; blocks can share it in turn."""
    return [residual.new_empty(residual.shape[1], block.mixer.out_proj.in_features) for _ in range(3)]


def advance(
    block: Block, residual: Tensor, keep: Tensor | None, normed: bool, wanted: slice, room: list[Tensor]
) -> Tensor:
    """Return the residual stream (B, length of `wanted`, d) after a block, gene by gene.

    The arguments are those of `model_core.model.backbone.Block.advance`, without padding.
    """
    out = residual[:, wanted].clone()
    for g in range(len(residual)):
        _one(block, residual[g], None if keep is None else keep[g], normed, wanted, room, out[g])
    return out


def _one(
    block: Block,
    residual: Tensor,
    keep: Tensor | None,
    normed: bool,
    wanted: slice,
    room: list[Tensor],
    out: Tensor,
) -> None:
    """Add the output of the block at the positions `wanted` of one gene to `out`."""
    mixer, (x, z, y) = block.mixer, room
    L = residual.shape[0]
    into_x, into_z = (weight.t() for weight in mixer.in_proj.weight.chunk(2))
    for part in _parts(slice(0, L)):
        h = residual[part] if normed else block.norm(residual[part])
        if keep is not None:
            h = h * keep[part]
        torch.mm(h, into_x, out=x[part])
        if part.stop > wanted.start and part.start < wanted.stop:
            torch.mm(h, into_z, out=z[part])
    _scan(mixer.forward_scan, x, z, y, slice(0, wanted.stop), wanted, reverse=False)
    _scan(mixer.reverse_scan, x, z, y, slice(wanted.start, L), wanted, reverse=True)
    back = mixer.out_proj.weight.t()
    for part in _parts(wanted):
        out[part.start - wanted.start : part.stop - wanted.start].addmm_(y[part], back)


def _scan(direction: Direction, x: Tensor, z: Tensor, y: Tensor, over: slice, wanted: slice, reverse: bool) -> None:
    """Scan the positions `over` of x; write outputs at `wanted` to y, or with `reverse` add them to it."""
    scan = CarriedScan(direction.A_log, direction.D, reverse)
    R, N = direction.dt_proj.in_features, direction.A_log.shape[1]
    weight, bias = direction.convolution.weight[:, 0].t().contiguous(), direction.convolution.bias
    assert bias is not None  # a Conv1d has one unless it is made without
    into, widen, offset = direction.x_proj.weight.t(), direction.dt_proj.weight.t(), direction.dt_proj.bias
    parts = [part for piece in _pieces(over, wanted) for part in _parts(piece)]
    for part in reversed(parts) if reverse else parts:
        u = convolve(x, weight, bias, part, reverse)
        low, B, C = (u @ into).split([R, N, N], dim=1)
        out = y if wanted.start <= part.start < wanted.stop else None
        scan(u, torch.addmm(offset, low, widen), B, C, z, part.start, out, add=reverse)


def _parts(over: slice) -> list[slice]:
    """Return a range in chunks of at most CHUNK bases."""
    return [slice(i, min(i + CHUNK, over.stop)) for i in range(over.start, over.stop, CHUNK)]


def _pieces(over: slice, wanted: slice) -> list[slice]:
    """Return the parts of a range, split where `wanted` begins and ends."""
    cuts = sorted({over.start, over.stop, *(c for c in (wanted.start, wanted.stop) if over.start < c < over.stop)})
    return [slice(*ends) for ends in itertools.pairwise(cuts)]
