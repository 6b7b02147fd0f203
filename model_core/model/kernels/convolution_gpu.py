"""The causal convolution with SiLU on the GPU: Triton kernels, forward and backward.

The formula is in `scan`. A program processes a tile of positions and channels and reads it once per
tap, from the cache after the first time. Bytes moved per base for E channels of w bytes: forward 2 w E (x read, y
written), the minimum; backward 3 w E, because the values before SiLU are recomputed and not kept.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from model_core.model.kernels.scan_gpu import _read, _sigmoid

# Positions and channels of a program: 16 values per thread of 8 warps, in rows of whole cache lines.
ROWS, BLOCK = 64, 64


@triton.jit
def _before_silu(x, weight, base, t, c, inside_c, length, channels, STEP: tl.constexpr, TAPS: tl.constexpr):
    """Return sum_k weight[k] x[t - STEP (TAPS - 1 - k)], zeros beyond the ends: (positions, channels)."""
    total = tl.zeros([t.shape[0], c.shape[0]], tl.float32)
    for k in tl.static_range(TAPS):
        source = t - STEP * (TAPS - 1 - k)
        inside = ((source >= 0) & (source < length))[:, None] & inside_c[None, :]
        tap = _read(weight + k * channels + c, inside_c)
        total += tap[None, :] * _read(x + base + source[:, None] * channels + c[None, :], inside)
    return total


@triton.jit
def _forward(
    x, weight, bias, out, length, channels,
    STEP: tl.constexpr, TAPS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    t, c = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    base = tl.program_id(2).to(tl.int64) * length * channels
    inside_c = c < channels
    pre = _before_silu(x, weight, base, t, c, inside_c, length, channels, STEP, TAPS) + _read(bias + c, inside_c)
    inside = (t < length)[:, None] & inside_c[None, :]
    tl.store(out + base + t[:, None] * channels + c[None, :], pre * _sigmoid(pre), mask=inside)


@triton.jit
def _backward(
    x, weight, bias, dout, dx, dweight, dbias, length, channels,
    STEP: tl.constexpr, TAPS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute dx, and per tile of positions the sums for `dweight` (batch, tiles, taps, channels) and `dbias`."""
    tile, g = tl.program_id(0), tl.program_id(2).to(tl.int64)
    rows, c = tile * ROWS + tl.arange(0, ROWS), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    base = g * length * channels
    part = g * tl.num_programs(0) + tile
    inside_c = c < channels
    offset = _read(bias + c, inside_c)
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    for lag in tl.static_range(TAPS):  # x at a position reaches the outputs of the next TAPS positions
        t = rows + STEP * lag
        inside = ((t >= 0) & (t < length))[:, None] & inside_c[None, :]
        pre = _before_silu(x, weight, base, t, c, inside_c, length, channels, STEP, TAPS) + offset
        s = _sigmoid(pre)
        d = _read(dout + base + t[:, None] * channels + c[None, :], inside) * s * (1.0 + pre * (1.0 - s))
        total += d * _read(weight + (TAPS - 1 - lag) * channels + c, inside_c)[None, :]
        if lag == 0:  # the tile's own outputs
            tl.store(dbias + part * channels + c, tl.sum(d, 0), mask=inside_c)
            for k in tl.static_range(TAPS):
                source = rows - STEP * (TAPS - 1 - k)
                there = ((source >= 0) & (source < length))[:, None] & inside_c[None, :]
                value = _read(x + base + source[:, None] * channels + c[None, :], there)
                tl.store(dweight + (part * TAPS + k) * channels + c, tl.sum(d * value, 0), mask=inside_c)
    inside = (rows < length)[:, None] & inside_c[None, :]
    tl.store(dx + base + rows[:, None] * channels + c[None, :], total, mask=inside)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, reverse):
        x, taps, bias = x.contiguous(), weight[:, 0].float().t().contiguous(), bias.float().contiguous()
        out = torch.empty_like(x)
        ctx.step = -1 if reverse else 1
        ctx.save_for_backward(x, taps, bias)
        with torch.cuda.device_of(x):
            _forward[_grid(x)](x, taps, bias, out, *x.shape[1:], ctx.step, len(taps), ROWS, BLOCK, num_warps=8)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout):
        x, taps, bias = ctx.saved_tensors
        grid = _grid(x)
        dx = torch.empty_like(x)
        dtaps, dbias = taps.new_empty(len(x), grid[0], *taps.shape), bias.new_empty(len(x), grid[0], len(bias))
        with torch.cuda.device_of(x):
            _backward[grid](
                x, taps, bias, dout.contiguous(), dx, dtaps, dbias, *x.shape[1:], ctx.step, len(taps), ROWS, BLOCK,
                num_warps=8,
            )  # fmt: skip
        return dx, dtaps.sum((0, 1)).t()[:, None], dbias.sum((0, 1)), None


def _grid(x: Tensor) -> tuple[int, int, int]:
    batch, length, channels = x.shape
    return triton.cdiv(length, ROWS), triton.cdiv(channels, BLOCK), batch


def convolution_gpu(x: Tensor, weight: Tensor, bias: Tensor, reverse: bool) -> Tensor:
    """Compute `scan.causal_convolution` for CUDA tensors of float32, bf16 or float16."""
    return _Convolution.apply(x, weight, bias, reverse)
