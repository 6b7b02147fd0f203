"""The stretch-wise backbone against the whole one: same hidden states whatever is cut where."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.config import recipe
from model_core.network import backbone as backbones
from model_core.network import stretches
from model_core.network.backbone import Backbone


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return Backbone(recipe("soft", window=512, promoter=32, d_model=16, n_layers=3, d_state=5)).eval()


def whole(backbone, h, **options):
    """`Backbone.forward` as it is computed where gradients are wanted."""
    with torch.enable_grad():
        return backbone(h, **options).detach()


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 90),
    stretch=st.integers(1, 40),
    ends=st.tuples(st.integers(0, 89), st.integers(0, 89)),
    way=st.sampled_from(["plain", "gate", "absent"]),
)
def test_stretches_agree_with_the_whole(backbone, length, stretch, ends, way):
    torch.manual_seed(length)
    h = torch.randn(2, length, 16)
    options = {} if way == "plain" else {"gate": torch.rand(2, length)}
    if way == "absent":
        options["absent"] = torch.randn(16)
    first, last = sorted(end % length for end in ends)
    options["wanted"] = slice(first, last + 1)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(stretches, "STRETCH", stretch)
        cut = backbone(h, **options)
    assert cut.shape == (2, last + 1 - first, 16)
    assert torch.allclose(cut, whole(backbone, h, **options), rtol=1e-5, atol=1e-5)


def test_wanted_positions_are_those_of_the_whole_window(backbone):
    h = torch.randn(1, 300, 16)
    with torch.no_grad():
        assert stretches.can_run(backbone, h, None)
        assert torch.allclose(backbone(h, wanted=slice(100, 140)), backbone(h)[:, 100:140], atol=1e-6)


def test_what_it_cannot_do_is_left_to_the_whole(backbone, monkeypatch):
    h = torch.randn(1, 8, 16)
    assert not stretches.can_run(backbone, h, None)  # a gradient is wanted
    with torch.no_grad():
        assert not stretches.can_run(backbone, h.double(), None)
        assert not stretches.can_run(backbone, h, torch.ones(1, 8, dtype=torch.bool))
        narrow = Backbone(recipe("soft", window=64, promoter=8, d_model=4, n_layers=1))
        assert not stretches.can_run(narrow, torch.randn(1, 8, 4), None)
        monkeypatch.setattr(backbones, "stretches", None)  # no numba
        assert torch.allclose(backbone(h), whole(backbone, h), atol=1e-6)
