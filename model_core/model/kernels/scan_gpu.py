"""The selective scan on the GPU: Triton kernels, forward and backward, parallel over length.

The formulas are in `model_core.model.kernels.scan`. The sequence is cut into chunks, and a scan has three phases:

1. `_chunk_ends`: the state after each chunk for an initial state of zero, and the sum of its step sizes, which gives
   its decay: exp(A sum dt).
2. `_join`: a short scan over the chunks gives the initial state of each of them.
3. `_outputs`: each chunk again, from its initial state, with outputs.

The backward pass is the same from the other end: phases 1 and 2 on the gradient of the state, then `_gradients`, which
recomputes the states of `TILE` positions at a time from the one that the forward pass kept before them, so no
(length x channels x states) array is ever allocated. Every sum has a fixed order: same input, same bits.

In phases 1 and 3 and in `_gradients` a program processes a block of channels along its chunk with all states in
registers, one warp for up to 16 states; so sums over states or over the block's channels are cheap.

Bytes moved per base and direction, for E channels, N states and inputs of w bytes (float32 4, bf16 2). Forward:
w (6 E + 3 N), which is u and delta twice, z and y once, B twice, C once; once each would be w (4 E + 2 N), but a single
pass cannot be parallel over length. Backward: w (10 E + 4 N) + 16 N E / 32. In training the kept states are written
and read: 4 E N / TILE each way. A pass also takes E N exponentials per base; a multiprocessor issues 16 per cycle, so
that at 16 states these, and not the bytes, may limit a fast card (docs/speed.md).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 8  # positions between kept states; as many states as fit into a program's registers in the backward pass
BLOCK = 32  # channels of a program, one per lane
JOINED = 64  # chunks that `_join` takes at once
WARPS = 24  # per multiprocessor, to hide the latency of memory: as many as fit their states into registers
LOG2E, LN2 = tl.constexpr(math.log2(math.e)), tl.constexpr(math.log(2.0))


class Plan(NamedTuple):
    """Division of a scan into programs."""

    chunk: int  # positions that a program walks along, a multiple of TILE
    block: int  # its channels
    rows: int  # its states, padded to a power of two
    warps: int  # its warps: more than 16 states per channel are shared between several


def plan(batch: int, length: int, channels: int, states: int, processors: int) -> Plan:
    """Return the plan with the fewest chunks that occupy all multiprocessors; each chunk costs a state to join."""
    block, rows = min(BLOCK, triton.next_power_of_2(channels)), triton.next_power_of_2(states)
    warps = max(1, rows // 16)
    chunks = max(1, WARPS * processors // (warps * batch * triton.cdiv(channels, block)))
    return Plan(max(8, triton.cdiv(length, TILE * chunks)) * TILE, block, rows, warps)


@triton.jit
def _sigmoid(x):
    e = tl.exp2(-tl.abs(x) * LOG2E)
    return tl.where(x >= 0, 1.0, e) / (1.0 + e)


@triton.jit
def _softplus(x):
    """Return log(1 + exp(x)) = max(x, 0) + 2 artanh(e / (2 + e)), e = exp(-|x|), exact to float32 for tiny steps."""
    e = tl.exp2(-tl.abs(x) * LOG2E)
    s = e / (2.0 + e)
    q = s * s
    p = q * (1.0 / 15) + 1.0 / 13
    p = p * q + 1.0 / 11
    p = p * q + 1.0 / 9
    p = p * q + 1.0 / 7
    p = p * q + 1.0 / 5
    p = p * q + 1.0 / 3
    return tl.maximum(x, 0.0) + 2.0 * s * (p * q + 1.0)


@triton.jit
def _after(decay, value, next_decay, next_value):
    """Combine two steps h <- decay h + value into one."""
    return decay * next_decay, next_decay * value + next_value


@triton.jit
def _read(at, mask):
    """Read values as float32, 0 outside the mask."""
    return tl.load(at, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _load_decay(A, n, c, states, channels):
    """Read rows n and columns c of A (states, channels) in units of log 2, 0 beyond both."""
    inside = (n < states)[:, None] & (c < channels)[None, :]
    return tl.load(A + n[:, None] * channels + c[None, :], mask=inside, other=0.0) * LOG2E


@triton.jit
def _chunk_ends(
    value, gate, delta, A, W, w_batch, w_row, ends, dts,
    length, channels, states, chunk, REVERSE: tl.constexpr, ADJOINT: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute `ends` (batch, chunks, states, channels) and `dts` (batch, chunks, channels), phase 1.

    Forward: the state after the chunk, value = u, W = B. Adjoint: the gradient of the state before the chunk,
    value = gradient of the output, W = C, from the chunk's last position to its first.
    """
    k, g = tl.program_id(1), tl.program_id(2).to(tl.int64)
    c, n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    inside = c < channels
    decay = _load_decay(A, n, c, states, channels)
    h = tl.zeros([N, BLOCK], tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    first = k * chunk
    last = tl.minimum(first + chunk, length) - 1
    for j in range(0, last - first + 1):
        i = last - j if ADJOINT else first + j
        t = length - 1 - i if REVERSE else i
        at = (g * length + t) * channels + c
        v = _read(value + at, inside)
        dt = _softplus(_read(delta + at, inside))
        w = _read(W + g * w_batch + t * w_row + n, n < states)
        a = tl.exp2(dt[None, :] * decay)
        if ADJOINT:
            z = _read(gate + at, inside)
            h = a * (h + (v * z * _sigmoid(z))[None, :] * w[:, None])
        else:
            h = a * h + (dt * v)[None, :] * w[:, None]
        total += dt
    chunks = tl.num_programs(1)
    at = ((g * chunks + k) * states + n[:, None]) * channels + c[None, :]
    tl.store(ends + at, h, mask=(n < states)[:, None] & inside[None, :])
    tl.store(dts + (g * chunks + k) * channels + c, total, mask=inside)


@triton.jit
def _join(ends, dts, A, starts, chunks, channels, states, BACK: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Compute the initial state of each chunk (with BACK: the gradient of its final state), phase 2."""
    n, g = tl.program_id(1), tl.program_id(2).to(tl.int64)
    rows, c = tl.arange(0, ROWS), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    decay = tl.load(A + n * channels + c, mask=c < channels, other=0.0) * LOG2E
    carry = tl.zeros([BLOCK], tl.float32)
    for i0 in range(0, chunks, ROWS):
        i = i0 + rows
        k = chunks - 1 - i if BACK else i
        inside = (i < chunks)[:, None] & (c < channels)[None, :]
        total = tl.load(dts + (g * chunks + k[:, None]) * channels + c[None, :], mask=inside, other=0.0)
        at = ((g * chunks + k[:, None]) * states + n) * channels + c[None, :]
        a = tl.exp2(total * decay[None, :])
        h = tl.load(ends + at, mask=inside, other=0.0) + tl.where((rows == 0)[:, None], a * carry[None, :], 0.0)
        _, h = tl.associative_scan((a, h), 0, _after)
        step = -states * channels if BACK else states * channels
        tl.store(starts + at + step, h, mask=inside & (i + 1 < chunks)[:, None])
        carry = tl.sum(tl.where((rows == ROWS - 1)[:, None], h, 0.0), 0)


@triton.jit
def _outputs(
    u, delta, A, B, C, D, z, b_batch, b_row, c_batch, c_row, starts, out, kept,
    length, channels, states, chunk, REVERSE: tl.constexpr, KEEP: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr,
    SPAN: tl.constexpr,
):  # fmt: skip
    """Compute outputs, phase 3; with KEEP also the states (batch, tiles, states, channels) before every SPAN steps."""
    k, g = tl.program_id(1), tl.program_id(2).to(tl.int64)
    c, n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    inside, in_states = c < channels, n < states
    inside_both = in_states[:, None] & inside[None, :]
    decay = _load_decay(A, n, c, states, channels)
    skip = tl.load(D + c, mask=inside, other=0.0)
    cell = n[:, None] * channels + c[None, :]  # of a (states, channels) state
    h = tl.load(starts + (g * tl.num_programs(1) + k) * states * channels + cell, mask=inside_both, other=0.0)
    last = tl.minimum((k + 1) * chunk, length)
    for i0 in range(k * chunk, last, SPAN):
        if KEEP:
            tile = g * tl.cdiv(length, SPAN) + i0 // SPAN
            tl.store(kept + tile * states * channels + cell, h, mask=inside_both)
        for i in range(i0, tl.minimum(i0 + SPAN, last)):
            t = length - 1 - i if REVERSE else i
            at = (g * length + t) * channels + c
            v = _read(u + at, inside)
            gate = _read(z + at, inside)
            dt = _softplus(_read(delta + at, inside))
            b = _read(B + g * b_batch + t * b_row + n, in_states)
            w = _read(C + g * c_batch + t * c_row + n, in_states)
            h = tl.exp2(dt[None, :] * decay) * h + (dt * v)[None, :] * b[:, None]
            y = tl.sum(h * w[:, None], 0) + skip * v
            tl.store(out + at, y * gate * _sigmoid(gate), mask=inside)


@triton.jit
def _gradients(
    u, delta, A, B, C, D, z, b_batch, b_row, c_batch, c_row, dout, kept, flow, du, ddelta, dz, dA, dB, dC, dD,
    length, channels, states, chunk, REVERSE: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Compute all gradients of a chunk, from its last position to its first, SPAN positions at a time.

    `flow` (batch, chunks, states, channels): gradient of the state after the chunk. dA: the same shape. dB and dC:
    (batch, blocks, length, states). dD: (batch, chunks, channels).
    """
    block, k, g = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    c, n = block * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    in_channels, in_states = c < channels, n < states
    inside_both = in_states[:, None] & in_channels[None, :]
    decay = _load_decay(A, n, c, states, channels)
    skip = tl.load(D + c, mask=in_channels, other=0.0)
    cell = n[:, None] * channels + c[None, :]  # of a (states, channels) state
    own = (g * tl.num_programs(1) + k) * states * channels + cell
    flow_h = tl.load(flow + own, mask=inside_both, other=0.0)
    sum_A = tl.zeros([N, BLOCK], tl.float32)
    sum_D = tl.zeros([BLOCK], tl.float32)
    tiles = tl.cdiv(tl.minimum((k + 1) * chunk, length) - k * chunk, SPAN)
    for j in range(0, tiles):
        i0 = k * chunk + (tiles - 1 - j) * SPAN
        tile = g * tl.cdiv(length, SPAN) + i0 // SPAN
        h = tl.load(kept + tile * states * channels + cell, mask=inside_both, other=0.0)
        before = ()  # the state before each position
        for r in tl.static_range(SPAN):
            before = before + (h,)  # type: ignore[assignment]  # noqa: RUF005 (Triton can grow a tuple in no other way)
            t = length - 1 - (i0 + r) if REVERSE else i0 + r
            inside = in_channels & (i0 + r < length)
            at = (g * length + t) * channels + c
            dt = _softplus(_read(delta + at, inside))
            v = _read(u + at, inside)
            b = _read(B + g * b_batch + t * b_row + n, in_states & (i0 + r < length))
            h = tl.exp2(dt[None, :] * decay) * h + (dt * v)[None, :] * b[:, None]
        for r in tl.static_range(SPAN - 1, -1, -1):
            t = length - 1 - (i0 + r) if REVERSE else i0 + r
            inside = in_channels & (i0 + r < length)
            is_state = in_states & (i0 + r < length)
            at = (g * length + t) * channels + c
            step = _read(delta + at, inside)
            v = _read(u + at, inside)
            gate = _read(z + at, inside)
            upstream = _read(dout + at, inside)
            b = _read(B + g * b_batch + t * b_row + n, is_state)
            w = _read(C + g * c_batch + t * c_row + n, is_state)
            dt = _softplus(step)
            s = _sigmoid(gate)
            dy = upstream * gate * s
            x = dt * v
            a = tl.exp2(dt[None, :] * decay)
            past = a * before[r]
            h = past + x[None, :] * b[:, None]
            dh = flow_h + dy[None, :] * w[:, None]
            of_exponent = dh * past  # the gradient of dt A
            y = tl.sum(h * w[:, None], 0) + skip * v
            dx = tl.sum(dh * b[:, None], 0)
            ddt = tl.sum(of_exponent * decay, 0) * LN2 + dx * v
            at_state = ((g * tl.num_programs(0) + block) * length + t) * states + n
            tl.store(dB + at_state, tl.sum(dh * x[None, :], 1), mask=is_state)
            tl.store(dC + at_state, tl.sum(h * dy[None, :], 1), mask=is_state)
            tl.store(dz + at, upstream * y * s * (1.0 + gate * (1.0 - s)), mask=inside)
            tl.store(du + at, dy * skip + dx * dt, mask=inside)
            tl.store(ddelta + at, ddt * _sigmoid(step), mask=inside)
            sum_A += of_exponent * dt[None, :]
            sum_D += dy * v
            flow_h = a * dh
    tl.store(dA + own, sum_A, mask=inside_both)
    tl.store(dD + (g * tl.num_programs(1) + k) * channels + c, sum_D, mask=in_channels)


def start() -> None:
    """Start Triton's driver, so that missing parts raise RuntimeError or OSError before a kernel is launched."""
    if not triton.knobs.runtime.interpret:
        triton.runtime.driver.active.get_current_target()


def _processors(x: Tensor) -> int:
    return torch.cuda.get_device_properties(x.device).multi_processor_count if x.is_cuda else 1


def _starts(value, gate, delta, A, W, cut: Plan, reverse: bool, adjoint: bool) -> Tensor:
    """Run phases 1 and 2; return (batch, chunks, states, channels) float32. A is (states, channels) from here on."""
    batch, length, channels = value.shape
    states, chunks = len(A), triton.cdiv(length, cut.chunk)
    starts = value.new_zeros(batch, chunks, states, channels, dtype=torch.float32)
    if chunks > 1:
        ends, dts = torch.empty_like(starts), starts.new_empty(batch, chunks, channels)
        _chunk_ends[triton.cdiv(channels, cut.block), chunks, batch](
            value, gate, delta, A, W, W.stride(0), W.stride(1), ends, dts, length, channels, states, cut.chunk,
            reverse, adjoint, cut.rows, cut.block, num_warps=cut.warps,
        )  # fmt: skip
        _join[triton.cdiv(channels, cut.block), states, batch](
            ends, dts, A, starts, chunks, channels, states, adjoint,
            min(JOINED, triton.next_power_of_2(chunks)), cut.block,
        )  # fmt: skip
    return starts


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, delta, A, B, C, D, z, reverse, keep):
        u, delta, z = (t.contiguous() for t in (u, delta, z))
        A, D = A.float().t().contiguous(), D.float().contiguous()
        B, C = (t if t.stride(-1) == 1 else t.contiguous() for t in (B, C))
        batch, length, channels = u.shape
        states = len(A)
        out = torch.empty_like(u)
        kept = u.new_empty(batch, triton.cdiv(length, TILE) if keep else 0, states, channels, dtype=torch.float32)
        ctx.cut, ctx.reverse = plan(batch, length, channels, states, _processors(u)), reverse
        with torch.cuda.device_of(u):
            starts = _starts(u, z, delta, A, B, ctx.cut, reverse, adjoint=False)
            _outputs[triton.cdiv(channels, ctx.cut.block), starts.shape[1], batch](
                u, delta, A, B, C, D, z, B.stride(0), B.stride(1), C.stride(0), C.stride(1), starts, out, kept,
                length, channels, states, ctx.cut.chunk, reverse, keep, ctx.cut.rows, ctx.cut.block, TILE,
                num_warps=ctx.cut.warps,
            )  # fmt: skip
        ctx.save_for_backward(u, delta, A, B, C, D, z, kept)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout):
        u, delta, A, B, C, D, z, kept = ctx.saved_tensors
        dout = dout.contiguous()
        batch, length, channels = u.shape
        states, blocks = len(A), triton.cdiv(channels, ctx.cut.block)
        du, ddelta, dz = torch.empty_like(u), torch.empty_like(delta), torch.empty_like(z)
        with torch.cuda.device_of(u):
            flow = _starts(dout, z, delta, A, C, ctx.cut, ctx.reverse, adjoint=True)
            chunks = flow.shape[1]
            dA, dD = torch.empty_like(flow), flow.new_empty(batch, chunks, channels)
            dB, dC = (flow.new_empty(batch, blocks, length, states) for _ in range(2))
            _gradients[blocks, chunks, batch](
                u, delta, A, B, C, D, z, B.stride(0), B.stride(1), C.stride(0), C.stride(1), dout, kept, flow,
                du, ddelta, dz, dA, dB, dC, dD, length, channels, states, ctx.cut.chunk, ctx.reverse, ctx.cut.rows,
                ctx.cut.block, TILE, num_warps=ctx.cut.warps,
            )  # fmt: skip
        dB, dC = dB.sum(1).to(B.dtype), dC.sum(1).to(C.dtype)
        return du, ddelta, dA.sum((0, 1)).t(), dB, dC, dD.sum((0, 1)), dz, None, None


def scan_gpu(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, reverse: bool) -> Tensor:
    """Compute `scan.selective_scan` for CUDA tensors of float32, bf16 or float16; the state is float32.

    B and C may be slices of a wider tensor: only their last axis must be contiguous.
    """
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (u, delta, A, B, C, D, z))
    return _Scan.apply(u, delta, A, B, C, D, z, reverse, keep)
