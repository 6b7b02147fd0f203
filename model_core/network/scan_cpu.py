"""The sequence operations of Mamba on the CPU: numba kernels that need no compiler at installation.

The formulas are in `model_core.network.scan`. Each thread takes one gene and one block of channels and walks along
the sequence; the innermost loop runs over channels, so that the machine's vector units carry it. Memory: the forward
pass keeps the state once every `CHUNK` positions, the backward pass recomputes the states of one chunk at a time, so no
(length x channels x states) array ever exists. float32 uses the polynomials below, float64 (for gradient checks) the
exact functions.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from numba import njit, prange
from numba.extending import overload
from torch import Tensor

CHUNK = 32  # positions between saved states: one chunk's states fit into the second-level cache
BLOCK = 64  # channels a thread takes at once
ROWS = 256  # positions a thread convolves at once

LOG2E, LN2 = math.log2(math.e), math.log(2.0)
_JIT = {"fastmath": {"contract", "reassoc", "nsz", "arcp"}, "error_model": "numpy", "cache": True}
_INLINE = {**_JIT, "inline": "always"}


@njit(**_INLINE)
def _exp32(x):
    """exp(x) for float32, relative error below 2e-7, 0 below about -87 and clamped above 88; vectorises."""
    t = min(max(x * np.float32(LOG2E), np.float32(-127.0)), np.float32(127.0))
    k = np.floor(t + np.float32(0.5))
    # The remainder in two steps (Cody and Waite), so that large arguments lose nothing.
    r = (x - k * np.float32(0.693359375)) + k * np.float32(2.12194440e-4)
    r = min(max(r, np.float32(-0.35)), np.float32(0.35))
    p = np.float32(1.9875691500e-4)  # minimax coefficients of the Cephes library's expf
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(0.5)
    p = p * r * r + r + np.float32(1.0)
    return p * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(**_INLINE)
def _power_of_two32(t):
    """2^t for float32 t <= 0, absolute error below 1e-7; the inner loop's only elementary function."""
    t = max(t, np.float32(-126.0))
    k = np.floor(t + np.float32(0.5))
    r = t - k
    p = np.float32(1.535336188319500e-4)  # minimax coefficients of 2^r on [-1/2, 1/2] (Cephes library's exp2f)
    p = p * r + np.float32(1.339887440266574e-3)
    p = p * r + np.float32(9.618437357674640e-3)
    p = p * r + np.float32(5.550332471162809e-2)
    p = p * r + np.float32(2.402264791363012e-1)
    p = p * r + np.float32(6.931472028550421e-1)
    p = p * r + np.float32(1.0)
    return p * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(**_INLINE)
def _softplus32(x):
    """log(1 + exp(x)) for float32: max(x, 0) + 2 artanh(e / (2 + e)) with e = exp(-|x|)."""
    e = _exp32(-abs(x))
    s = e / (np.float32(2.0) + e)
    q = s * s
    p = np.float32(1.0 / 15.0)
    p = p * q + np.float32(1.0 / 13.0)
    p = p * q + np.float32(1.0 / 11.0)
    p = p * q + np.float32(1.0 / 9.0)
    p = p * q + np.float32(1.0 / 7.0)
    p = p * q + np.float32(1.0 / 5.0)
    p = p * q + np.float32(1.0 / 3.0)
    p = p * q + np.float32(1.0)
    return max(x, np.float32(0.0)) + np.float32(2.0) * s * p


@njit(**_INLINE)
def _sigmoid32(x):
    return np.float32(1.0) / (np.float32(1.0) + _exp32(-x))


def power_of_two(t):
    """2^t for t <= 0, in the precision of t."""


def softplus(x):
    """log(1 + exp(x)), in the precision of x."""


def sigmoid(x):
    """1 / (1 + exp(-x)), in the precision of x."""


@overload(power_of_two, inline="always")
def _power_of_two(t):
    return (lambda t: _power_of_two32(t)) if t == numba.float32 else (lambda t: 2.0**t)


@overload(softplus, inline="always")
def _softplus(x):
    if x == numba.float32:
        return lambda x: _softplus32(x)
    return lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@overload(sigmoid, inline="always")
def _sigmoid(x):
    return (lambda x: _sigmoid32(x)) if x == numba.float32 else (lambda x: 1.0 / (1.0 + math.exp(-x)))


@njit(**_INLINE)
def _load(A, D, c0, width):
    """The block's decay rates, transposed and in units of log 2, and skip weights, padded with zeros."""
    A_block, D_block = np.zeros((A.shape[1], BLOCK), A.dtype), np.zeros(BLOCK, A.dtype)
    for c in range(width):
        D_block[c] = D[c0 + c]
        for n in range(A.shape[1]):
            A_block[n, c] = A[c0 + c, n] * LOG2E
    return A_block, D_block


@njit(**_INLINE)
def _enter(u, delta, c0, width, dt, x):
    """Step sizes and scaled inputs of one position; channels beyond `width` stay as they are (zero)."""
    for c in range(width):
        dt[c] = softplus(delta[c0 + c])
        x[c] = dt[c] * u[c0 + c]


@njit(**_JIT)
def _step(h, y, dt, x, A, B, C):
    """One position: h <- exp(dt A) h + x B, y = C . h."""
    for c in range(BLOCK):
        y[c] = 0
    for n in range(h.shape[0]):
        for c in range(BLOCK):
            s = power_of_two(dt[c] * A[n, c]) * h[n, c] + x[c] * B[n]
            h[n, c] = s
            y[c] += s * C[n]


@njit(parallel=True, **_JIT)
def _scan_forward(u, delta, A, B, C, D, z, reverse, out, states):
    batch, length, channels = u.shape
    blocks = (channels + BLOCK - 1) // BLOCK
    for task in prange(batch * blocks):
        g, c0 = task // blocks, (task % blocks) * BLOCK
        width = min(BLOCK, channels - c0)
        A_block, D_block = _load(A, D, c0, width)
        h = np.zeros((A.shape[1], BLOCK), u.dtype)
        dt, x, y = np.zeros(BLOCK, u.dtype), np.zeros(BLOCK, u.dtype), np.zeros(BLOCK, u.dtype)
        for i in range(length):
            t = length - 1 - i if reverse else i
            if i % CHUNK == 0 and states.shape[1] > 0:
                states[g, i // CHUNK, task % blocks] = h
            _enter(u[g, t], delta[g, t], c0, width, dt, x)
            _step(h, y, dt, x, A_block, B[g, t], C[g, t])
            for c in range(width):
                gate = z[g, t, c0 + c]
                out[g, t, c0 + c] = (y[c] + D_block[c] * u[g, t, c0 + c]) * gate * sigmoid(gate)


@njit(**_JIT)
def _step_keeping(before, decay, after, y, dt, x, A, B, C):
    """`_step` that keeps the state before and the decays for the way back."""
    for c in range(BLOCK):
        y[c] = 0
    for n in range(before.shape[0]):
        for c in range(BLOCK):
            a = power_of_two(dt[c] * A[n, c])
            s = a * before[n, c] + x[c] * B[n]
            decay[n, c] = a
            after[n, c] = s
            y[c] += s * C[n]


@njit(**_JIT)
def _step_back(dh, before, decay, after, dt, x, dy, dx, ddt, dA, A, B, C, dB, dC):
    """From the gradient of y and of the state after to those of x, dt, A, B, C and of the state before.

    `A` is in units of log 2, so `ddt` comes out too large by 1 / log 2; `dA` is per natural unit.
    """
    for c in range(BLOCK):
        dx[c] = 0
        ddt[c] = 0
    for n in range(dh.shape[0]):
        to_b = x[0] * 0
        to_c = x[0] * 0
        for c in range(BLOCK):
            d = dh[n, c] + dy[c] * C[n]
            to_c += dy[c] * after[n, c]
            to_b += d * x[c]
            dx[c] += d * B[n]
            d *= decay[n, c]
            dh[n, c] = d
            d *= before[n, c]
            ddt[c] += d * A[n, c]
            dA[n, c] += d * dt[c]
        dB[n] = to_b
        dC[n] = to_c


@njit(parallel=True, **_JIT)
def _scan_backward(u, delta, A, B, C, D, z, reverse, states, dout, du, ddelta, dA, dB, dC, dD, dz):
    batch, length, channels = u.shape
    n_states = A.shape[1]
    blocks = (channels + BLOCK - 1) // BLOCK
    for task in prange(batch * blocks):
        g, block = task // blocks, task % blocks
        c0 = block * BLOCK
        width = min(BLOCK, channels - c0)
        A_block, D_block = _load(A, D, c0, width)
        hs = np.empty((CHUNK + 1, n_states, BLOCK), u.dtype)
        decays = np.empty((CHUNK, n_states, BLOCK), u.dtype)
        dts, xs = np.zeros((CHUNK, BLOCK), u.dtype), np.zeros((CHUNK, BLOCK), u.dtype)
        ys = np.empty((CHUNK, BLOCK), u.dtype)
        dh, dA_block = np.zeros((n_states, BLOCK), u.dtype), np.zeros((n_states, BLOCK), u.dtype)
        dy, dx, ddt = np.zeros(BLOCK, u.dtype), np.empty(BLOCK, u.dtype), np.empty(BLOCK, u.dtype)
        for chunk in range(states.shape[1] - 1, -1, -1):
            first, last = chunk * CHUNK, min(length, (chunk + 1) * CHUNK)
            hs[0] = states[g, chunk, block]
            for i in range(first, last):
                t, k = (length - 1 - i if reverse else i), i - first
                _enter(u[g, t], delta[g, t], c0, width, dts[k], xs[k])
                _step_keeping(hs[k], decays[k], hs[k + 1], ys[k], dts[k], xs[k], A_block, B[g, t], C[g, t])
            for i in range(last - 1, first - 1, -1):
                t, k = (length - 1 - i if reverse else i), i - first
                for c in range(width):
                    gate, upstream, value = z[g, t, c0 + c], dout[g, t, c0 + c], u[g, t, c0 + c]
                    s = sigmoid(gate)
                    dy[c] = upstream * gate * s
                    dz[g, t, c0 + c] = upstream * (ys[k, c] + D_block[c] * value) * s * (1 + gate * (1 - s))
                    dD[g, c0 + c] += dy[c] * value
                _step_back(
                    dh, hs[k], decays[k], hs[k + 1], dts[k], xs[k], dy, dx, ddt, dA_block, A_block,
                    B[g, t], C[g, t], dB[g, block, t], dC[g, block, t],
                )  # fmt: skip
                for c in range(width):
                    value = u[g, t, c0 + c]
                    du[g, t, c0 + c] = dy[c] * D_block[c] + dx[c] * dts[k, c]
                    ddelta[g, t, c0 + c] = (ddt[c] * LN2 + dx[c] * value) * sigmoid(delta[g, t, c0 + c])
        for c in range(width):
            for n in range(n_states):
                dA[g, c0 + c, n] = dA_block[n, c]


@njit(**_INLINE)
def _before_silu(x, weight, bias, t, step, pre):
    """pre[c] = bias + sum_k weight[k] x[t - step (K - 1 - k)], zeros beyond the ends; `step` is 1, or -1 reversed."""
    for c in range(x.shape[1]):
        pre[c] = bias[c]
    for k in range(weight.shape[0]):
        source = t - step * (weight.shape[0] - 1 - k)
        if 0 <= source < x.shape[0]:
            for c in range(x.shape[1]):
                pre[c] += weight[k, c] * x[source, c]


@njit(parallel=True, **_JIT)
def _convolution_forward(x, weight, bias, step, out):
    batch, length, channels = x.shape
    parts = (length + ROWS - 1) // ROWS
    for task in prange(batch * parts):
        g, first = task // parts, (task % parts) * ROWS
        pre = np.empty(channels, x.dtype)
        for t in range(first, min(length, first + ROWS)):
            _before_silu(x[g], weight, bias, t, step, pre)
            for c in range(channels):
                out[g, t, c] = pre[c] * sigmoid(pre[c])


@njit(parallel=True, **_JIT)
def _convolution_backward(x, weight, bias, step, dout, dpre, dweight, dbias):
    """Gradients before SiLU, and per task those of weight and bias (added up by the caller)."""
    batch, length, channels = x.shape
    parts = (length + ROWS - 1) // ROWS
    for task in prange(batch * parts):
        g, first = task // parts, (task % parts) * ROWS
        pre = np.empty(channels, x.dtype)
        for t in range(first, min(length, first + ROWS)):
            _before_silu(x[g], weight, bias, t, step, pre)
            for c in range(channels):
                s = sigmoid(pre[c])
                d = dout[g, t, c] * s * (1 + pre[c] * (1 - s))
                dpre[g, t, c] = d
                dbias[task, c] += d
            for k in range(weight.shape[0]):
                source = t - step * (weight.shape[0] - 1 - k)
                if 0 <= source < length:
                    for c in range(channels):
                        dweight[task, k, c] += dpre[g, t, c] * x[g, source, c]


@njit(parallel=True, **_JIT)
def _convolution_input(dpre, weight, step, dx):
    """Gradient of the input: the convolution turned round."""
    batch, length, channels = dpre.shape
    parts = (length + ROWS - 1) // ROWS
    for task in prange(batch * parts):
        g, first = task // parts, (task % parts) * ROWS
        for t in range(first, min(length, first + ROWS)):
            for c in range(channels):
                dx[g, t, c] = 0
            for k in range(weight.shape[0]):
                target = t + step * (weight.shape[0] - 1 - k)
                if 0 <= target < length:
                    for c in range(channels):
                        dx[g, t, c] += weight[k, c] * dpre[g, target, c]


def _arrays(*tensors):
    return [tensor.numpy() for tensor in tensors]


def _use_torch_threads():
    numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, delta, A, B, C, D, z, reverse):
        _use_torch_threads()
        tensors = [t.detach().contiguous() for t in (u, delta, A, B, C, D, z)]
        batch, length, channels = u.shape
        chunks = -(-length // CHUNK) if any(ctx.needs_input_grad) else 0
        states = u.new_empty(batch, chunks, -(-channels // BLOCK), A.shape[1], BLOCK)
        out = torch.empty_like(tensors[0])
        _scan_forward(*_arrays(*tensors), reverse, *_arrays(out, states))
        ctx.save_for_backward(*tensors, states)
        ctx.reverse = reverse
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout):
        *tensors, states = ctx.saved_tensors
        u, delta, A, B, _, _, z = tensors
        _use_torch_threads()
        batch, length, channels = u.shape
        n_states, blocks = B.shape[2], -(-channels // BLOCK)
        du, ddelta, dz = torch.empty_like(u), torch.empty_like(delta), torch.empty_like(z)
        dA = u.new_empty(batch, *A.shape)
        # A thread adds up over its own channels only; the blocks are added afterwards.
        dB, dC = u.new_empty(batch, blocks, length, n_states), u.new_empty(batch, blocks, length, n_states)
        dD = u.new_zeros(batch, channels)
        gradients = (du, ddelta, dA, dB, dC, dD, dz)
        _scan_backward(*_arrays(*tensors), ctx.reverse, *_arrays(states, dout.contiguous(), *gradients))
        return du, ddelta, dA.sum(0), dB.sum(1), dC.sum(1), dD.sum(0), dz, None


def scan_cpu(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, reverse: bool) -> Tensor:
    """`model_core.network.scan.selective_scan` for float32 and float64 tensors on the CPU."""
    return _Scan.apply(u, delta, A, B, C, D, z, reverse)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, reverse):
        _use_torch_threads()
        tensors = [t.detach().contiguous() for t in (x, weight[:, 0].t(), bias)]
        out = torch.empty_like(tensors[0])
        ctx.save_for_backward(*tensors)
        ctx.step = -1 if reverse else 1
        _convolution_forward(*_arrays(*tensors), ctx.step, out.numpy())
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
    """`model_core.network.scan.causal_convolution` for float32 and float64 tensors on the CPU."""
    return _Convolution.apply(x, weight, bias, reverse)
