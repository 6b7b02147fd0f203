"""The GPU kernels against their definitions: on the card where there is one, else under Triton's interpreter."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from gpu_kernels import CONVOLUTIONS, SCANS

ROOT = Path(__file__).parents[1]
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton (extra dev)")


def child(code: list[str], interpret: bool, cache: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    environment.pop("TRITON_INTERPRET", None)
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    if cache:
        environment["TRITON_CACHE_DIR"] = str(cache)
    done = subprocess.run([sys.executable, *code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found() -> dict:
    return json.loads(child(["tests/gpu_kernels.py", "compare"], interpret=not torch.cuda.is_available()))


@needs_triton
@pytest.mark.parametrize("case", [*(f"scan: {name}" for name in SCANS), *(f"convolution: {n}" for n in CONVOLUTIONS)])
def test_kernels_agree_with_their_definitions_forward_and_back(found, case):
    exact = 5e-6 if torch.cuda.is_available() else 2e-6  # a card's exponential is good to 2 units in the last place
    bound = 8e-3 if "bf16" in case else exact  # bf16 rounds what goes out to 1 in 256
    print(case, {name: f"{deviation:.1e}" for name, deviation in found[case].items()})
    assert max(found[case].values()) < bound


@needs_triton
def test_every_kernel_compiles_for_a_card(tmp_path):
    sizes = json.loads(child(["tests/gpu_kernels.py", "compile"], interpret=False, cache=tmp_path))
    assert len(sizes) == 7
    assert all(size > 1_000 for size in sizes.values())


@needs_triton
def test_cuda_tensors_take_the_kernels():
    """The choice alone: where there is no card, tensors are made to look as if they lay on one."""
    code = """
import torch
from test_scan import relative, scan_inputs
from model_core.model.kernels import scan
from model_core.model.kernels.scan_gpu import _Scan
scan._on_gpu, scan._on_cpu = lambda x: x.dtype != torch.float64, lambda x: False
calls = []
whole, _Scan.apply = _Scan.apply, lambda *a: calls.append(1) or whole(*a)
inputs = scan_inputs(1, 9, 4, 2)
assert relative(scan.selective_scan(*inputs), scan.scan_definition(*inputs)) < 1e-6 and len(calls) == 1
x, weight, bias = inputs[0], torch.ones(4, 1, 3), torch.zeros(4)
assert relative(scan.causal_convolution(x, weight, bias), scan.convolution_definition(x, weight, bias)) < 1e-6
scan.selective_scan(*(t.double() for t in inputs))
assert len(calls) == 1
"""
    child(["-c", code], interpret=True)


@needs_triton
def test_a_model_on_the_kernels_learns_the_same_gradients():
    """As in training on a card: B and C are slices, and under bf16 autocast half of the inputs are bf16."""
    code = """
import torch
from model_core.config import recipe
from model_core.model.kernels import scan
from model_core.model.gene_model import loss_terms
from model_core.model.seq2exp import Seq2Exp
torch.manual_seed(0)
model = Seq2Exp(recipe("soft", window=24, promoter=8, d_model=8, n_layers=1, d_state=3, expand=1))
batch = torch.eye(4)[torch.randint(4, (1, 24))], torch.rand(1, 24, 3), torch.randn(1, 9), torch.zeros(1, 24).bool()

def gradients(low, kernels):
    scan._on_cpu, scan._on_gpu = lambda x: False, lambda x: kernels  # else the definitions
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        loss_terms(model(*batch), torch.ones(1), model.config)["loss"].backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])

for low in (False, True):
    want, found = gradients(low, False), gradients(low, True)
    print(float((found - want).norm() / want.norm()))
"""
    exact, low = map(float, child(["-c", code], interpret=True).split())
    assert 0 < exact < 1e-5
    assert exact < low < 3e-2


@needs_triton
def test_the_self_test_passes_on_the_kernels_and_sees_a_wrong_one():
    """Where there is no card, "the machine" is the CPU with the kernels, and "the CPU" the CPU without them."""
    code = """
import json
from model_core.model import selftest
from model_core.model.device import Machine
from model_core.model.kernels import scan

card, kernels = Machine("cpu"), []
tiny = {"promoter": 8, "d_model": 8, "n_layers": 1, "d_state": 3, "expand": 1}
sizes = selftest.QUICK._replace(model=tiny, definition=(16, 5, 4), scan=(24, 5, 4), compared=(24, 16))

def choose(on):
    scan._on_gpu, scan._on_cpu = lambda x: on and x.dtype != scan.torch.float64, lambda x: False

def on_its_machine(function):
    def called(machine, *rest):
        choose(machine is card)
        kernels.append(machine is card)
        return function(machine, *rest)
    return called

choose(True)
found = [selftest.scan_against_definition(card, sizes), selftest.convolution_against_definition(card, sizes)]
selftest._scored, selftest._trained = on_its_machine(selftest._scored), on_its_machine(selftest._trained)
found.append(selftest.against_cpu(card, sizes))
right, scan._gpu_kernels = scan._gpu_kernels, lambda: [lambda *a, run=run: 1.01 * run(*a) for run in right()]
choose(True)
wrong = [selftest.scan_against_definition(card, sizes), selftest.convolution_against_definition(card, sizes)]
wrong.append(selftest.against_cpu(card, sizes))
print(json.dumps({"right": found, "wrong": wrong, "kernels": kernels}))
"""
    found = json.loads(child(["-c", code], interpret=True))
    for check in found["right"]:
        assert check["passed"], check
    assert 0 < found["right"][2]["difference"]["gradient"] < 1e-4
    assert [check["passed"] for check in found["wrong"]] == [False] * 3
    assert found["kernels"][:5] == [False, True, True, False, True]


def test_without_triton_a_gpu_still_scans_and_says_why_it_is_slow():
    code = """
import sys, warnings
sys.modules["triton"] = None
import torch
from test_scan import relative, scan_inputs
from model_core.model.kernels import scan
scan._on_gpu, scan._on_cpu = lambda x: True, lambda x: False
inputs = scan_inputs(1, 9, 4, 2)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    assert torch.equal(scan.selective_scan(*inputs), scan.scan_definition(*inputs))
    scan.selective_scan(*inputs)
assert len(said) == 1 and "Install triton" in str(said[0].message)
"""
    child(["-c", code], interpret=False)


@needs_triton
@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("length", [1, 7, 2_000, 200_000, 3_000_000])
def test_chunks_cover_the_sequence_and_are_no_more_than_the_card_holds(batch, length):
    from model_core.model.kernels.scan_gpu import TILE, WARPS, plan

    for channels in (1, 32, 100, 256, 2048):
        for states in (1, 5, 16, 64):
            cut = plan(batch, length, channels, states, 132)
            assert cut.chunk % TILE == 0
            assert cut.rows in (1, 8, 16, 64)
            assert cut.rows >= states
            blocks = batch * -(-channels // cut.block) * cut.warps
            assert -(-length // cut.chunk) * blocks <= max(WARPS * 132, blocks)


@needs_triton
def test_one_window_fills_a_large_card():
    from model_core.model.kernels.scan_gpu import WARPS, plan

    cut = plan(1, 200_000, 256, 16, 132)
    assert -(-200_000 // cut.chunk) * 256 // cut.block > 0.9 * WARPS * 132
