"""The scan and the convolution: by hand, and the CPU kernels against their definitions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.model.kernels.scan import (
    causal_convolution,
    convolution_definition,
    scan_definition,
    selective_scan,
)


def scan_inputs(batch, length, channels, states, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=dtype, generator=generator)

    A = -torch.exp(normal(channels, states) * 0.5 + 1)
    u, delta, z = (normal(batch, length, channels) for _ in range(3))
    B, C = normal(batch, length, states), normal(batch, length, states)
    return [u, delta - 2, A, B, C, normal(channels), z]


def relative(a, b):
    return float((a - b).detach().norm() / b.detach().norm())


def test_two_steps_worked_by_hand():
    u = torch.tensor([[[1.0], [2.0]]])
    delta = torch.full((1, 2, 1), math.log(math.e - 1))  # softplus of it is 1
    A, D = torch.tensor([[-math.log(2)]]), torch.tensor([10.0])  # the state halves at each step
    B, C = torch.tensor([[[3.0], [1.0]]]), torch.tensor([[[1.0], [2.0]]])
    z = torch.full((1, 2, 1), 100.0)  # silu(100) = 100
    y = selective_scan(u, delta, A, B, C, D, z)
    assert torch.allclose(y[0, :, 0], torch.tensor([(3 + 10) * 100.0, (2 * (1.5 + 2) + 20) * 100.0]))
    back = selective_scan(u, delta, A, B, C, D, z, reverse=True)
    assert torch.allclose(back[0, :, 0], torch.tensor([(1 + 3 + 10) * 100.0, (2 * 2 + 20) * 100.0]))


def agrees(kernel, definition, inputs):
    """Output and all gradients of a float32 kernel against the definition in float64."""
    inputs = [t.requires_grad_() for t in inputs]
    exact = [t.detach().double().requires_grad_() for t in inputs]
    ours, theirs = kernel(*inputs), definition(*exact)
    assert relative(ours.double(), theirs) < 2e-6
    upstream = torch.cos(torch.arange(ours.numel(), dtype=torch.float64)).reshape(ours.shape)
    found = torch.autograd.grad(ours, inputs, upstream.float())
    for a, b in zip(found, torch.autograd.grad(theirs, exact, upstream), strict=True):
        # A gradient may be a sum of many terms that cancel; float32 rounds each of them.
        assert float((a.double() - b).norm()) < 5e-6 * float(b.norm()) + 1e-6 * ours.numel() ** 0.5


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 70), st.integers(1, 130), st.integers(1, 17), st.booleans(), st.integers(0, 999)
)
def test_kernel_agrees_with_the_definition_in_any_shape(batch, length, channels, states, reverse, seed):
    inputs = scan_inputs(batch, length, channels, states, seed=seed)
    agrees(lambda *a: selective_scan(*a, reverse), lambda *a: scan_definition(*a, reverse), inputs)


@pytest.mark.parametrize("reverse", [False, True])
def test_kernel_agrees_over_a_long_sequence_with_many_states(reverse):
    inputs = scan_inputs(1, 2048, 48, 64)
    agrees(lambda *a: selective_scan(*a, reverse), lambda *a: scan_definition(*a, reverse), inputs)


def test_the_definition_passes_gradcheck():
    inputs = [t.requires_grad_() for t in scan_inputs(2, 17, 3, 2, torch.float64)]
    assert torch.autograd.gradcheck(lambda *a: selective_scan(*a, True), inputs)  # float64 is left to the definition


def test_large_and_tiny_steps_stay_finite():
    u, delta, A, B, C, D, z = scan_inputs(1, 64, 8, 4)
    delta = torch.linspace(-100, 100, 64).reshape(1, 64, 1).expand(1, 64, 8)
    z = z * 60
    kernel, definition = selective_scan(u, delta, A, B, C, D, z), scan_definition(u, delta, A, B, C, D, z)
    assert torch.isfinite(kernel).all()
    assert relative(kernel, definition) < 1e-6


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 600), st.integers(1, 40), st.integers(1, 5), st.booleans())
def test_convolution_agrees_with_its_definition(batch, length, channels, taps, reverse):
    generator = torch.Generator().manual_seed(length)
    shapes = (batch, length, channels), (channels, 1, taps), (channels,)
    inputs = [torch.randn(*shape, generator=generator) for shape in shapes]
    agrees(lambda *a: causal_convolution(*a, reverse), lambda *a: convolution_definition(*a, reverse), inputs)


def test_convolution_looks_back_only_and_reversed_ahead_only():
    x = torch.zeros(1, 9, 1)
    x[0, 4] = 1.0
    weight, bias = torch.ones(1, 1, 3), torch.zeros(1)
    assert causal_convolution(x, weight, bias).nonzero()[:, 1].tolist() == [4, 5, 6]
    assert causal_convolution(x, weight, bias, reverse=True).nonzero()[:, 1].tolist() == [2, 3, 4]


def test_bf16_inputs_are_computed_in_float32():
    inputs = scan_inputs(1, 200, 16, 4)
    low = [t if t.ndim < 3 else t.bfloat16() for t in inputs]  # A and D stay float32, as under autocast
    y = selective_scan(*low)
    assert y.dtype == torch.bfloat16
    assert relative(y.float(), selective_scan(*(t.float() for t in low))) < 5e-3
    x = inputs[0].bfloat16()
    assert causal_convolution(x, torch.ones(16, 1, 4), torch.zeros(16)).dtype == torch.bfloat16
