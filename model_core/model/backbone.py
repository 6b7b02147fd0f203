"""Bidirectional Mamba blocks (Caduceus without reverse-complement sharing), channels last throughout.

Keys: batch B, length L, width d, inner channels E = expand d, states N, rank R.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_core.model.kernels.scan import causal_convolution, selective_scan
from model_core.setting_groups import BackboneConfig

try:
    from model_core.model.kernels import block_cpu
except ImportError:  # a bare GPU machine has no numba
    block_cpu = None  # type: ignore[assignment]  # mypy gives an imported module no other type

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4
DEFAULT_DEPTH = 64  # the depth by which the release scales output projections, whatever the real one (difference 12)


class Direction(nn.Module):
    """Parameters of one direction of a mixer: those that the forward and the reversed scan do not share."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        E, N, R = config.d_inner, config.d_state, config.rank
        self.convolution = nn.Conv1d(E, E, config.d_conv, groups=E)  # holds the parameters; see causal_convolution
        self.x_proj = nn.Linear(E, R + 2 * N, bias=False)
        self.dt_proj = nn.Linear(R, E)
        self.A_log = nn.Parameter(torch.empty(E, N))
        self.D = nn.Parameter(torch.ones(E))
        self._initialise()

    @torch.no_grad()
    def _initialise(self):
        """Draw step sizes log-uniform in 1e-3 .. 1e-1, through the inverse of softplus (Mamba's initialisation)."""
        if self.D.is_meta:  # without memory (`stored_weights.described_model`); what follows would import torch._dynamo
            return
        self.A_log.copy_(torch.log(torch.arange(1.0, self.A_log.shape[1] + 1)))
        nn.init.zeros_(self.convolution.bias)
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_proj.in_features**-0.5), self.dt_proj.in_features**-0.5)
        low, high = math.log(DT_MIN), math.log(DT_MAX)
        dt = torch.exp(torch.rand_like(self.dt_proj.bias) * (high - low) + low).clamp(min=DT_FLOOR)
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def forward(self, x: Tensor, z: Tensor, valid: Tensor | None, reverse: bool) -> Tensor:
        """Return the gated scan (B, L, E) of x (B, L, E) under gate z (B, L, E); `valid` (B, L, 1) is 0 on padding."""
        bias = self.convolution.bias
        assert bias is not None  # a Conv1d has one unless it is made without
        x = causal_convolution(x, self.convolution.weight, bias, reverse)  # (B, L, E)
        if valid is not None:
            x = x * valid
        R, N = self.dt_proj.in_features, self.A_log.shape[1]
        low, B, C = self.x_proj(x).split([R, N, N], dim=-1)
        return selective_scan(x, self.dt_proj(low), -torch.exp(self.A_log), B, C, self.D, z, reverse)


class Mixer(nn.Module):
    """Mamba in both directions with shared input and output projections: M(h) + flip(M_reversed(flip(h)))."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        d, E = config.d_model, config.d_inner
        self.in_proj = nn.Linear(d, 2 * E, bias=False)
        self.out_proj = nn.Linear(E, d, bias=False)
        self.forward_scan = Direction(config)
        self.reverse_scan = Direction(config)
        nn.init.kaiming_uniform_(self.out_proj.weight, a=math.sqrt(5))
        if not self.out_proj.weight.is_meta:
            with torch.no_grad():
                self.out_proj.weight /= math.sqrt(DEFAULT_DEPTH)

    def forward(self, h: Tensor, valid: Tensor | None = None, wanted: slice | None = None) -> Tensor:
        """Return hidden states (B, length of `wanted`, d) from h (B, L, d); by default at all positions."""
        # Two products in place of one and a split: both come out contiguous, so nothing is copied.
        x, z = (F.linear(h, weight) for weight in self.in_proj.weight.chunk(2))  # (B, L, E) each
        # The projections are tied between the directions, so each is applied once.
        if wanted is None or wanted == slice(0, h.shape[1]):
            y = self.forward_scan(x, z, valid, reverse=False) + self.reverse_scan(x, z, valid, reverse=True)
        else:  # a scan must reach the last position of `wanted`, and need not go further
            until, since = slice(0, wanted.stop), slice(wanted.start, h.shape[1])
            ahead, back = (
                scan(*(None if t is None else t[:, over] for t in (x, z, valid)), reverse)
                for scan, over, reverse in ((self.forward_scan, until, False), (self.reverse_scan, since, True))
            )
            y = ahead[:, wanted] + back[:, : wanted.stop - wanted.start]
        return self.out_proj(y)


class Norm(nn.RMSNorm):
    """RMSNorm computed in the precision of its weight, also for bf16 inputs."""

    def forward(self, h: Tensor) -> Tensor:
        return super().forward(h.to(self.weight.dtype)).to(h.dtype)


class Block(nn.Module):
    """Pre-norm residual block: r <- r + h, h <- mixer(RMSNorm(r))."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.norm = Norm(config.d_model, eps=config.norm_epsilon)
        self.mixer = Mixer(config)

    def advance(
        self,
        residual: Tensor,
        valid: Tensor | None,
        keep: Tensor | None,
        normed: bool,
        wanted: slice,
        room: list[Tensor] | None = None,
    ) -> Tensor:
        """Return the residual stream (B, length of `wanted`, d) after the block, at the positions `wanted`.

        Parameters
        ----------
        residual : Tensor
            (B, L, d).
        valid : Tensor or None
            (B, L, 1), 0 on padding.
        keep : Tensor or None
            (B, L, 1), multiplied after the norm.
        normed : bool
            Whether `residual` is normalised already, so that no norm is applied before the mixer.
        wanted : slice
            Positions to compute.
        room : list[Tensor] or None
            Working memory that blocks share (`block_cpu.room_for`); None allocates it.
        """
        if block_cpu is not None and block_cpu.can_run(self, residual, valid):
            room = room or block_cpu.room_for(self, residual)
            return block_cpu.advance(self, residual, keep, normed, wanted, room)
        h = residual if normed else self.norm(residual)
        if keep is not None:
            h = h * keep
        return residual[:, wanted] + self.mixer(h, valid, wanted)

    def saved_bytes(self, positions: int) -> int:
        """Return about how many bytes the backward pass keeps: 11 numbers per position and inner channel (measured)."""
        return positions * self.mixer.out_proj.in_features * 11 * 4


class Recomputed(torch.autograd.Function):
    """A block whose inner values are recomputed in the backward pass instead of kept (gradient checkpointing)."""

    @staticmethod
    def forward(ctx, block, valid, normed, wanted, residual, keep, *parameters):
        device = residual.device.type
        ctx.autocast = device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        ctx.how = block, normed, wanted
        ctx.save_for_backward(valid, residual, keep)
        return block.advance(residual, valid, keep, normed, wanted)  # no gradients are recorded in here

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        block, normed, wanted = ctx.how
        valid, residual, keep = ctx.saved_tensors
        residual = residual.detach().requires_grad_()
        keep = None if keep is None else keep.detach().requires_grad_(ctx.needs_input_grad[5])
        inputs = [residual, keep, *block.parameters()]
        wants = [t is not None and t.requires_grad for t in inputs]
        device, dtype, enabled = ctx.autocast
        with torch.enable_grad(), torch.autocast(device, dtype, enabled):
            out = block.advance(residual, valid, keep, normed, wanted)
        wanting = [t for t, want in zip(inputs, wants, strict=True) if want]
        found = iter(torch.autograd.grad(out, wanting, upstream, allow_unused=True))  # `normed` uses no norm
        return None, None, None, None, *(next(found) if want else None for want in wants)


def bytes_to_keep(device: torch.device) -> int:
    """Return how many bytes a backbone may keep for the backward pass before it recomputes blocks.

    An eighth of the GPU's memory, or 512 MB on the CPU.
    """
    return torch.cuda.get_device_properties(device).total_memory // 8 if device.type == "cuda" else 512 << 20


class Backbone(nn.Module):
    """A stack of blocks and a final norm, from (B, L, d) to (B, L, d)."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = Norm(config.d_model, eps=config.norm_epsilon)

    @property
    def stack(self) -> list[Block]:
        """Blocks in the order in which they are applied."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def forward(
        self,
        h: Tensor,
        valid: Tensor | None = None,
        gate: Tensor | None = None,
        absent: Tensor | None = None,
        wanted: slice | None = None,
    ) -> Tensor:
        """Return the hidden states of `h`.

        Parameters
        ----------
        h : Tensor
            (B, L, d).
        valid : Tensor or None
            (B, L) bool, False on padding after a gene's own positions; the padding then has no influence on the
            gene, so genes in a batch do not change each other's numbers (difference 10). None = no padding.
        gate : Tensor or None
            (B, L), 0 to 1, a mask multiplied in after the norm of every block (before it, the norm would undo it).
        absent : Tensor or None
            (d,), needs `gate`: hidden positions are replaced by this embedding, once, before the first block.
        wanted : slice or None
            Positions whose hidden states are returned, by default all. The last block computes no others.

        Returns
        -------
        Tensor
            (B, length of `wanted`, d).
        """
        everywhere = slice(0, h.shape[1])
        valid = None if valid is None else valid[..., None].to(h.dtype)
        keep = valid if gate is None else gate[..., None]
        blocks = self.stack
        if absent is not None:
            assert keep is not None  # `absent` comes with a gate
            h, keep = keep * blocks[0].norm(h) + (1 - keep) * absent, None
        residual, last = h, len(blocks) - 1
        plain = block_cpu is not None and block_cpu.can_run(blocks[0], h, valid)
        room = block_cpu.room_for(blocks[0], h) if plain else None
        left = bytes_to_keep(h.device)
        for number, block in enumerate(blocks):
            normed = absent is not None and number == 0
            seen = wanted if wanted is not None and number == last else everywhere
            left -= block.saved_bytes(h.shape[0] * h.shape[1])
            if torch.is_grad_enabled() and left < 0:
                residual = Recomputed.apply(block, valid, normed, seen, residual, keep, *block.parameters())
            else:
                residual = block.advance(residual, valid, keep, normed, seen, room)
        return self.norm(residual)
