"""The sequence operations of Mamba on the CPU: numba kernels that need no compiler at installation.

The formulas are in `scan`; all numbers are float32, sixteen at once (`simd`). In the scan each
thread processes some channels of one gene along the sequence, with the states of these channels in its first-level
cache. Memory: the forward pass keeps the states once every `CHUNK` positions, the backward pass recomputes those of
one chunk for sixteen channels at a time, so no (length x channels x states) array is ever allocated.

Inside the kernels the decay rates A are in units of log 2 and laid out (channels / LANES, states, LANES), as are the
states: the values of sixteen channels are adjacent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from numba import njit, prange
from torch import Tensor

from model_core.cache import notice, stand_in
from model_core.model.kernels.simd import (
    LANES,
    LN2,
    LOG2E,
    constant,
    fma,
    load,
    power_of_two,
    prefetch,
    sigmoid,
    softplus,
    splat,
    store,
    total,
)

CHUNK = 32  # positions between saved states
AHEAD = 16  # positions between a prefetch and its use
ROWS = 256  # positions that a thread convolves at once
_NUMBA: Any = numba.config  # its settings are made at import, unseen by a type checker


def _compiled(**options) -> Callable:
    """Return `njit` with a cache of machine code for the next process.

    The cache is next to this file, in the user's cache, or, where neither is writable, in a temporary folder.
    """

    def decorate(function: Callable) -> Callable:
        settings = {"error_model": "numpy", **options}
        try:
            return njit(cache=True, **settings)(function)
        except RuntimeError:  # numba found no place to write to
            _NUMBA.CACHE_DIR = str(stand_in() / "numba")
        try:
            compiled = njit(cache=True, **settings)(function)
            words = "Neither the installation nor the home directory is writable: machine code is kept in"
            notice("numba", f"{words} {stand_in()}.")
        except RuntimeError:
            compiled = njit(**settings)(function)
            notice("numba", "No folder for machine code is writable: the kernels are compiled again at each start.")
        return compiled

    return decorate


# ---- selective scan


@_compiled(parallel=True)
def _scan_forward(u, delta, A, B, C, D, z, reverse, width, begin, write, add, h0, out, states):
    """Scan a chunk: position t of u, delta, B and C is position begin + t of z and out.

    `h0` (batch, channels * states) is the state before the chunk and becomes the state after it. `out` is unchanged
    without `write`, and added to with `add`. A task has `width` channels. `states` (batch, chunks, channels * states)
    has no chunks where no gradient is needed.
    """
    batch, length, channels = u.shape
    N, chunks = B.shape[2], states.shape[1]
    blocks = (channels + width - 1) // width
    for task in prange(batch * blocks):
        g, first = task // blocks, (task % blocks) * width
        last = min(first + width, channels)
        ahead = AHEAD * channels * (-1 if reverse else 1)
        h = h0[g, first * N : last * N].copy()
        for i in range(length):
            t = length - 1 - i if reverse else i
            if chunks > 0 and i % CHUNK == 0:
                saved = (g * chunks + i // CHUNK) * channels * N + first * N
                for k in range(0, h.size, LANES):
                    store(states, saved + k, load(h, k))
            row, there = (g * length + t) * channels, (g * z.shape[1] + begin + t) * channels
            for c in range(first, last, LANES):
                prefetch(u, row + c + ahead)
                prefetch(delta, row + c + ahead)
                prefetch(z, there + c + ahead)
                value = load(u, row + c)
                dt = softplus(load(delta, row + c))
                x = dt * value
                y = load(D, c) * value
                for n in range(N):
                    k = (c - first) * N + n * LANES
                    s = fma(power_of_two(dt * load(A, c * N + n * LANES)), load(h, k), x * splat(B[g, t, n]))
                    store(h, k, s)
                    y = fma(s, splat(C[g, t, n]), y)
                if write:
                    gate = load(z, there + c)
                    y = y * gate * sigmoid(gate)
                    if add:
                        y = y + load(out, there + c)
                    store(out, there + c, y)
        h0[g, first * N : last * N] = h


@_compiled()
def _chunk_again(u, delta, A, B, C, g, start, stop, reverse, c, hs, decays, dts, ys):
    """Recompute one chunk for the channels c .. c + LANES and keep what the backward pass needs.

    `hs` holds the state before the chunk in its first row and gets the state after each position.
    """
    length, channels = u.shape[1:]
    N = B.shape[2]
    for i in range(start, stop):
        t, k = (length - 1 - i if reverse else i), i - start
        here = (g * length + t) * channels + c
        value = load(u, here)
        dt = softplus(load(delta, here))
        x = dt * value
        y = constant(0.0)
        for n in range(N):
            decay = power_of_two(dt * load(A, c * N + n * LANES))
            s = fma(decay, load(hs, (k * N + n) * LANES), x * splat(B[g, t, n]))
            store(decays, (k * N + n) * LANES, decay)
            store(hs, ((k + 1) * N + n) * LANES, s)
            y = fma(s, splat(C[g, t, n]), y)
        store(dts, k * LANES, dt)
        store(ys, k * LANES, y)


@_compiled(parallel=True)
def _scan_backward(u, delta, A, B, C, D, z, reverse, width, states, dout, du, ddelta, dA, dB, dC, dD, dz):
    """Compute gradients.

    dA (batch, like A) and dD (batch, channels) are per gene, dB and dC per block (batch, blocks, length, states).
    """
    batch, length, channels = u.shape
    N, chunks = B.shape[2], states.shape[1]
    blocks = (channels + width - 1) // width
    for task in prange(batch * blocks):
        g, first = task // blocks, (task % blocks) * width
        hs = np.empty((CHUNK + 1) * N * LANES, np.float32)
        decays = np.empty(CHUNK * N * LANES, np.float32)
        dts, ys = np.empty(CHUNK * LANES, np.float32), np.empty(CHUNK * LANES, np.float32)
        to_b, to_c = np.empty(CHUNK * N * LANES, np.float32), np.empty(CHUNK * N * LANES, np.float32)
        dh = np.zeros(width * N, np.float32)
        for chunk in range(chunks - 1, -1, -1):
            start, stop = chunk * CHUNK, min(length, (chunk + 1) * CHUNK)
            to_b[:] = 0
            to_c[:] = 0
            for c in range(first, min(first + width, channels), LANES):
                for n in range(N):
                    k = n * LANES
                    store(hs, k, load(states, ((g * chunks + chunk) * channels + c) * N + k))
                _chunk_again(u, delta, A, B, C, g, start, stop, reverse, c, hs, decays, dts, ys)
                skip, dskip = load(D, c), load(dD, g * channels + c)
                for i in range(stop - 1, start - 1, -1):
                    t, k = (length - 1 - i if reverse else i), i - start
                    here = (g * length + t) * channels + c
                    gate, upstream, value, dt = load(z, here), load(dout, here), load(u, here), load(dts, k * LANES)
                    s = sigmoid(gate)
                    dy = upstream * gate * s
                    y = fma(skip, value, load(ys, k * LANES))
                    store(dz, here, upstream * y * s * fma(gate, constant(1.0) - s, constant(1.0)))
                    dskip = fma(dy, value, dskip)
                    x, dx, ddt = dt * value, constant(0.0), constant(0.0)
                    for n in range(N):
                        j, at = (k * N + n) * LANES, (c - first) * N + n * LANES
                        d = fma(dy, splat(C[g, t, n]), load(dh, at))
                        store(to_c, j, fma(dy, load(hs, j + N * LANES), load(to_c, j)))
                        store(to_b, j, fma(d, x, load(to_b, j)))
                        dx = fma(d, splat(B[g, t, n]), dx)
                        d = d * load(decays, j)
                        store(dh, at, d)
                        d = d * load(hs, j)
                        rate = c * N + n * LANES
                        ddt = fma(d, load(A, rate), ddt)
                        store(dA, g * A.size + rate, fma(d, dt, load(dA, g * A.size + rate)))
                    store(du, here, fma(dy, skip, dx * dt))
                    store(ddelta, here, fma(ddt, constant(LN2), dx * value) * sigmoid(load(delta, here)))
                store(dD, g * channels + c, dskip)
            for i in range(start, stop):
                t, k = (length - 1 - i if reverse else i), i - start
                for n in range(N):
                    dB[g, task % blocks, t, n] = total(load(to_b, (k * N + n) * LANES))
                    dC[g, task % blocks, t, n] = total(load(to_c, (k * N + n) * LANES))


# ---- causal convolution


@njit(inline="always")
def _before_silu(x, weight, bias, g, t, step, c):
    """Return bias + sum_k weight[k] x[t - step (K - 1 - k)] of LANES channels, zeros beyond the ends."""
    length, channels = x.shape[1:]
    pre = load(bias, c)
    for k in range(weight.shape[0]):
        source = t - step * (weight.shape[0] - 1 - k)
        if 0 <= source < length:
            pre = fma(load(weight, k * channels + c), load(x, (g * length + source) * channels + c), pre)
    return pre


@_compiled(parallel=True)
def _convolution_forward(x, weight, bias, step, begin, out):
    """Convolve a chunk: position t of out is position begin + t of x."""
    batch, length, channels = out.shape
    parts = (length + ROWS - 1) // ROWS
    for task in prange(batch * parts):
        g, first = task // parts, (task % parts) * ROWS
        for t in range(first, min(length, first + ROWS)):
            for c in range(0, channels, LANES):
                pre = _before_silu(x, weight, bias, g, begin + t, step, c)
                store(out, (g * length + t) * channels + c, pre * sigmoid(pre))


@_compiled(parallel=True)
def _convolution_backward(x, weight, bias, step, dout, dpre, dweight, dbias):
    """Compute gradients before SiLU, and per task those of weight and bias (summed by the caller)."""
    batch, length, channels = x.shape
    parts, taps = (length + ROWS - 1) // ROWS, weight.shape[0]
    for task in prange(batch * parts):
        g, first = task // parts, (task % parts) * ROWS
        for t in range(first, min(length, first + ROWS)):
            for c in range(0, channels, LANES):
                pre = _before_silu(x, weight, bias, g, t, step, c)
                here = (g * length + t) * channels + c
                s = sigmoid(pre)
                d = load(dout, here) * s * fma(pre, constant(1.0) - s, constant(1.0))
                store(dpre, here, d)
                store(dbias, task * channels + c, load(dbias, task * channels + c) + d)
                for k in range(taps):
                    source = t - step * (taps - 1 - k)
                    if 0 <= source < length:
                        at = (task * taps + k) * channels + c
                        value = load(x, (g * length + source) * channels + c)
                        store(dweight, at, fma(d, value, load(dweight, at)))


@_compiled(parallel=True)
def _convolution_input(dpre, weight, step, dx):
    """Compute the gradient of the input, a convolution in the other direction."""
    batch, length, channels = dpre.shape
    parts, taps = (length + ROWS - 1) // ROWS, weight.shape[0]
    for task in prange(batch * parts):
        g, first = task // parts, (task % parts) * ROWS
        for t in range(first, min(length, first + ROWS)):
            for c in range(0, channels, LANES):
                value = constant(0.0)
                for k in range(taps):
                    target = t + step * (taps - 1 - k)
                    if 0 <= target < length:
                        there = load(dpre, (g * length + target) * channels + c)
                        value = fma(load(weight, k * channels + c), there, value)
                store(dx, (g * length + t) * channels + c, value)


# ---- for PyTorch


def _arrays(*tensors):
    return [tensor.numpy() for tensor in tensors]


def _use_torch_threads() -> int:
    threads = min(torch.get_num_threads(), _NUMBA.NUMBA_NUM_THREADS)
    numba.set_num_threads(threads)
    return threads


def _width(batch: int, channels: int) -> int:
    """Return the channels per task: as many as leave work for all threads, since narrow rows are slow to read."""
    tasks = -(-_use_torch_threads() // batch)
    return -(-channels // (LANES * tasks)) * LANES


def _together(A: Tensor) -> Tensor:
    """Return (channels, states) in the layout of the kernels: (channels / LANES, states, LANES)."""
    return A.view(-1, LANES, A.shape[1]).transpose(1, 2).contiguous()


def _apart(A: Tensor) -> Tensor:
    """Invert `_together`."""
    return A.transpose(1, 2).reshape(-1, A.shape[1])


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, delta, A, B, C, D, z, reverse, keep_states):
        batch, length, channels = u.shape
        width = _width(batch, channels)
        A = _together(A.detach() * LOG2E)
        tensors = [t.detach().contiguous() for t in (u, delta, A, B, C, D, z)]
        chunks = -(-length // CHUNK) if keep_states else 0
        states = u.new_empty(batch, chunks, A.numel())
        out = torch.empty_like(tensors[0])
        h0 = u.new_zeros(batch, A.numel())
        _scan_forward(*_arrays(*tensors), reverse, width, 0, True, False, *_arrays(h0, out, states))
        if chunks:
            ctx.save_for_backward(*tensors, states)
            ctx.reverse = reverse
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout):
        *tensors, states = ctx.saved_tensors
        u, delta, A, B, _, _, z = tensors
        batch, _, channels = u.shape
        width = _width(batch, channels)
        blocks = -(-channels // width)
        du, ddelta, dz = torch.empty_like(u), torch.empty_like(delta), torch.empty_like(z)
        dA, dD = u.new_zeros(batch, *A.shape), u.new_zeros(batch, channels)
        # A thread adds up over its own channels only; the blocks are added afterwards.
        dB, dC = u.new_empty(batch, blocks, *B.shape[1:]), u.new_empty(batch, blocks, *B.shape[1:])
        gradients = (du, ddelta, dA, dB, dC, dD, dz)
        _scan_backward(*_arrays(*tensors), ctx.reverse, width, *_arrays(states, dout.contiguous(), *gradients))
        return du, ddelta, _apart(dA.sum(0)), dB.sum(1), dC.sum(1), dD.sum(0), dz, None, None


def scan_cpu(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, reverse: bool) -> Tensor:
    """Compute `scan.selective_scan` for float32 tensors on the CPU."""
    channels = u.shape[2]
    if missing := -channels % LANES:  # channels of zeros, which stay zero
        u, delta, z = (F.pad(t, (0, missing)) for t in (u, delta, z))
        A, D = F.pad(A, (0, 0, 0, missing)), F.pad(D, (0, missing))
    wants = torch.is_grad_enabled() and any(t.requires_grad for t in (u, delta, A, B, C, D, z))
    out = _Scan.apply(u, delta, A, B, C, D, z, reverse, wants)
    return out[..., :channels] if missing else out


class CarriedScan:
    """A scan of one gene in chunks, which keeps the state between them; no gradients.

    Parameters
    ----------
    A_log : Tensor
        (channels, states) float32, log of the negative decay rates; channels is a multiple of LANES.
    D : Tensor
        (channels,) float32, skip weight.
    reverse : bool
        Whether chunks are passed from right to left.
    """

    def __init__(self, A_log: Tensor, D: Tensor, reverse: bool):
        self.A = _together(-torch.exp(A_log) * LOG2E)
        self.D, self.reverse = D, reverse
        self.h = D.new_zeros(1, self.A.numel())
        self.width = _width(1, len(D))
        self.no_states = D.new_empty(1, 0, self.A.numel())

    def __call__(
        self, u: Tensor, delta: Tensor, B: Tensor, C: Tensor, z: Tensor, begin: int, out: Tensor | None, add: bool
    ) -> None:
        """Scan the next chunk.

        Parameters
        ----------
        u, delta : Tensor
            (length, channels), of the chunk.
        B, C : Tensor
            (length, states), of the chunk.
        z : Tensor
            (window, channels), of the whole window.
        begin : int
            Position of the chunk in z and out.
        out : Tensor or None
            (window, channels), receives the outputs. None: only the state is updated.
        add : bool
            Whether outputs are added to `out` instead of written.
        """
        inputs = [t[None] for t in (u, delta)], [t[None] for t in (B, C)]
        (u, delta), (B, C) = inputs
        target = z if out is None else out
        arrays = _arrays(u, delta, self.A, B, C, self.D, z[None])
        begin_write_add = begin, out is not None, add
        _scan_forward(
            *arrays, self.reverse, self.width, *begin_write_add, *_arrays(self.h, target[None], self.no_states)
        )


def convolve(x: Tensor, weight: Tensor, bias: Tensor, part: slice, reverse: bool) -> Tensor:
    """Compute `causal_convolution` of x at the positions `part`, without gradients.

    Parameters
    ----------
    x : Tensor
        (window, channels); positions outside `part` are read where the convolution needs them.
    weight : Tensor
        (taps, channels), contiguous.
    bias : Tensor
        (channels,).
    part : slice
        Positions to compute.
    reverse : bool
        As in `scan.causal_convolution`.

    Returns
    -------
    Tensor
        (length of `part`, channels).
    """
    _use_torch_threads()
    out = x.new_empty(1, part.stop - part.start, x.shape[1])
    _convolution_forward(*_arrays(x[None], weight, bias), -1 if reverse else 1, part.start, out.numpy())
    return out[0]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, reverse):
        _use_torch_threads()
        tensors = [t.detach().contiguous() for t in (x, weight[:, 0].t(), bias)]
        out = torch.empty_like(tensors[0])
        ctx.save_for_backward(*tensors)
        ctx.step = -1 if reverse else 1
        _convolution_forward(*_arrays(*tensors), ctx.step, 0, out.numpy())
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout):
        _use_torch_threads()
        x, weight, bias = ctx.saved_tensors
        tasks = x.shape[0] * -(-x.shape[1] // ROWS)
        dpre, dx = torch.empty_like(x), torch.empty_like(x)
        dweight, dbias = weight.new_zeros(tasks, *weight.shape), bias.new_zeros(tasks, *bias.shape)
        _convolution_backward(*_arrays(x, weight, bias), ctx.step, *_arrays(dout.contiguous(), dpre, dweight, dbias))
        _convolution_input(*_arrays(dpre, weight), ctx.step, dx.numpy())
        return dx, dweight.sum(0).t()[:, None], dbias.sum(0), None


def convolution_cpu(x: Tensor, weight: Tensor, bias: Tensor, reverse: bool) -> Tensor:
    """Compute `scan.causal_convolution` for float32 tensors on the CPU."""
    channels = x.shape[2]
    if missing := -channels % LANES:
        x, weight, bias = F.pad(x, (0, missing)), F.pad(weight, (0, 0, 0, 0, 0, missing)), F.pad(bias, (0, missing))
    out = _Convolution.apply(x, weight, bias, reverse)
    return out[..., :channels] if missing else out
