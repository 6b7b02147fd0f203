"""The two sequence operations of Mamba: one function each, with a definition in PyTorch and faster kernels.

The selective scan:

    a_t = exp(dt_t A)            dt = softplus(delta)
    h_t = a_t h_{t-1} + dt_t B_t u_t
    y_t = (C_t . h_t + D u_t) silu(z_t)

(Gu and Dao 2023, section 3; h is (channels, states), everything else as in `selective_scan`.)
"""

from __future__ import annotations

import functools
import os
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from model_core.cache import notice, stand_in, why_not_writable

scan_cpu: Callable[..., Tensor] | None = None
convolution_cpu: Callable[..., Tensor] | None = None
try:
    from model_core.model.kernels import scan_cpu as compiled
except ImportError:
    pass  # a bare GPU machine has no numba
else:
    scan_cpu, convolution_cpu = compiled.scan_cpu, compiled.convolution_cpu


def _on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype != torch.float64


def _on_gpu(x: Tensor) -> bool:
    return x.device.type == "cuda" and x.dtype != torch.float64


@functools.cache
def _gpu_kernels() -> tuple[Callable, Callable] | None:
    """Import (scan, convolution) in Triton for the first CUDA tensor; None, with a warning, where Triton cannot run.

    Triton has its own compiler for kernels, but it builds one small file in C on its first start.
    """
    if "TRITON_CACHE_DIR" not in os.environ and why_not_writable(Path(os.path.expanduser("~")) / ".triton" / "cache"):
        os.environ["TRITON_CACHE_DIR"] = str(stand_in() / "triton")  # or it would fail
        notice("triton", f"The home directory is not writable: compiled GPU kernels are kept in {stand_in()}.")
    try:
        from model_core.model.kernels.convolution_gpu import convolution_gpu
        from model_core.model.kernels.scan_gpu import scan_gpu, start

        start()
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"the GPU kernels cannot be used ({error}); the scan runs step by step, which is slow. Install triton "
            "(part of PyTorch's GPU build) and, for its first start, gcc or clang and the header files of Python",
            stacklevel=3,
        )
        return None
    return scan_gpu, convolution_gpu


def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, reverse: bool = False
) -> Tensor:
    """Compute the gated output of the selective scan with the fastest kernel for the tensors' device and dtype.

    Parameters
    ----------
    u : Tensor
        (batch, length, channels) input after convolution and SiLU.
    delta : Tensor
        (batch, length, channels) step size before softplus, bias included.
    A : Tensor
        (channels, states) negative decay rates.
    B, C : Tensor
        (batch, length, states) input and output vectors.
    D : Tensor
        (channels,) skip weight.
    z : Tensor
        (batch, length, channels) gate before SiLU.
    reverse : bool
        Whether to scan from the last position to the first.

    Returns
    -------
    Tensor
        (batch, length, channels), the dtype of `u`.
    """
    if scan_cpu is not None and _on_cpu(u):
        return scan_cpu(*(t.float() for t in (u, delta, A, B, C, D, z)), reverse).to(u.dtype)
    if _on_gpu(u) and (kernels := _gpu_kernels()):
        return kernels[0](u, delta, A, B, C, D, z, reverse)
    return scan_definition(u, delta, A, B, C, D, z, reverse)


def scan_definition(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, reverse: bool = False
) -> Tensor:
    """Compute `selective_scan` by its recurrence, step by step, on any device; autograd by PyTorch."""
    dt = F.softplus(delta)
    h = u.new_zeros(u.shape[0], u.shape[2], A.shape[1])  # (batch, channels, states)
    ys = [u.new_empty(0)] * u.shape[1]
    positions = range(u.shape[1] - 1, -1, -1) if reverse else range(u.shape[1])
    for t in positions:
        decay = torch.exp(dt[:, t, :, None] * A)
        h = decay * h + (dt[:, t] * u[:, t])[..., None] * B[:, t, None, :]
        ys[t] = (h * C[:, t, None, :]).sum(-1)
    return (torch.stack(ys, 1) + u * D) * F.silu(z)


def causal_convolution(x: Tensor, weight: Tensor, bias: Tensor, reverse: bool = False) -> Tensor:
    """Compute the SiLU of a causal depthwise convolution (with `reverse`: anticausal).

    y_t = silu(bias + sum_k weight_k x_{t - K + 1 + k}), zeros before the first position.

    Parameters
    ----------
    x : Tensor
        (batch, length, channels).
    weight : Tensor
        (channels, 1, K).
    bias : Tensor
        (channels,).
    reverse : bool
        Whether a position sees those after it in place of those before it.

    Returns
    -------
    Tensor
        (batch, length, channels), the dtype of `x`.
    """
    if convolution_cpu is not None and _on_cpu(x):
        return convolution_cpu(*(t.float() for t in (x, weight, bias)), reverse).to(x.dtype)
    if _on_gpu(x) and (kernels := _gpu_kernels()):
        return kernels[1](x, weight, bias, reverse)
    return convolution_definition(x, weight, bias, reverse)


def convolution_definition(x: Tensor, weight: Tensor, bias: Tensor, reverse: bool = False) -> Tensor:
    """Compute `causal_convolution` as a sum of shifted copies, on any device; autograd by PyTorch."""
    if reverse:
        weight = weight.flip(-1)
    taps = weight.shape[-1]
    padded = F.pad(x, (0, 0, 0, taps - 1) if reverse else (0, 0, taps - 1, 0))
    y = bias
    for k in range(taps):
        y = y + padded[:, k : k + x.shape[1]] * weight[:, 0, k]
    return F.silu(y)
