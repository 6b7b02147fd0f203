"""The chunk-wise backbone against the whole one: same hidden states whatever is cut where."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.config import recipe
from model_core.model import backbone as backbones
from model_core.model.backbone import Backbone
from model_core.model.kernels import block_cpu


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return Backbone(recipe("soft", window=512, promoter=32, d_model=16, n_layers=3, d_state=5).backbone).eval()


def whole(backbone, h, **options):
    """`Backbone.forward` as it is computed where gradients are wanted."""
    with torch.enable_grad():
        return backbone(h, **options).detach()


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 90),
    chunk=st.integers(1, 40),
    ends=st.tuples(st.integers(0, 89), st.integers(0, 89)),
    way=st.sampled_from(["plain", "gate", "absent"]),
)
def test_chunks_agree_with_the_whole(backbone, length, chunk, ends, way):
    torch.manual_seed(length)
    h = torch.randn(2, length, 16)
    options = {} if way == "plain" else {"gate": torch.rand(2, length)}
    if way == "absent":
        options["absent"] = torch.randn(16)
    first, last = sorted(end % length for end in ends)
    options["wanted"] = slice(first, last + 1)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(block_cpu, "CHUNK", chunk)
        cut = backbone(h, **options)
    assert cut.shape == (2, last + 1 - first, 16)
    assert torch.allclose(cut, whole(backbone, h, **options), rtol=1e-5, atol=1e-5)


def test_wanted_positions_are_those_of_the_whole_window(backbone):
    h = torch.randn(1, 300, 16)
    with torch.no_grad():
        assert block_cpu.can_run(backbone.blocks[0], h, None)
        assert torch.allclose(backbone(h, wanted=slice(100, 140)), backbone(h)[:, 100:140], atol=1e-6)


def test_what_it_cannot_do_is_left_to_the_whole(backbone, monkeypatch):
    h = torch.randn(1, 8, 16)
    assert not block_cpu.can_run(backbone.blocks[0], h, None)  # a gradient is wanted
    with torch.no_grad():
        assert not block_cpu.can_run(backbone.blocks[0], h.double(), None)
        assert not block_cpu.can_run(backbone.blocks[0], h, torch.ones(1, 8, dtype=torch.bool))
        narrow = Backbone(recipe("soft", window=64, promoter=8, d_model=4, n_layers=1).backbone)
        assert not block_cpu.can_run(narrow.blocks[0], torch.randn(1, 8, 4), None)
        monkeypatch.setattr(backbones, "block_cpu", None)  # no numba
        assert torch.allclose(backbone(h), whole(backbone, h), atol=1e-6)


def graph_of(tensor) -> list[str]:
    """Names of all nodes between a tensor and its leaves."""
    seen, left = set(), [tensor.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [parent for parent, _ in node.next_functions]
    return [type(node).__name__ for node in seen]


@pytest.mark.parametrize("way", ["plain", "gate", "absent", "padding"])
def test_blocks_that_are_computed_again_have_the_same_gradients(backbone, monkeypatch, way):
    torch.manual_seed(1)
    h, options = torch.randn(2, 70, 16), {"wanted": slice(20, 40)}
    if way in ("gate", "absent"):
        options["gate"] = torch.rand(2, 70).requires_grad_()
    if way == "absent":
        options["absent"] = torch.randn(16).requires_grad_()
    if way == "padding":
        options["valid"] = torch.arange(70) < torch.tensor([[70], [50]])
    leaves = [*backbone.parameters(), *(t for t in options.values() if getattr(t, "requires_grad", False))]

    def gradients():
        out = backbone(h, **options)
        return [out, *torch.autograd.grad(out.square().sum(), leaves)]

    kept = gradients()
    monkeypatch.setattr(backbones, "bytes_to_keep", lambda device: 0)
    again = gradients()
    assert graph_of(again[0]).count("RecomputedBackward") == 3
    assert graph_of(kept[0]).count("RecomputedBackward") == 0
    for a, b in zip(again, kept, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)
