"""The smoke test of a machine: it runs with numpy and torch alone, and says so when something is wrong."""

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.model import selftest
from model_core.model.device import Machine

ROOT = Path(__file__).parents[1]


def test_a_bare_machine_runs_it_in_seconds(tmp_path):
    """numpy and torch alone; sizes are small because there is no GPU or because of --quick."""
    code = """
import runpy, sys
for name in ("numba", "pandas", "safetensors", "lightning", "pydantic", "zarr", "scipy"):
    sys.modules[name] = None
runpy.run_module("model_core.model.selftest", run_name="__main__")
"""
    out = tmp_path / "smoke.json"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "--quick", "--out", out], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "throughput: passed" in done.stderr
    assert ("no GPU" in done.stderr) is not torch.cuda.is_available()
    found = json.loads(out.read_text())
    assert found["passed"]
    assert found["quick"]
    assert found["machine"]["torch"] == torch.__version__
    checks = found["checks"]
    assert 0 < checks["scan_against_definition"]["relative_deviation"]["bfloat16 reversed"]["delta"] < 1e-2
    assert all(step["gradients_finite"] for step in checks["training_step"]["steps"].values())
    assert set(checks["throughput"]["models"]) == {"soft float32", "soft bfloat16", "hard float32", "hard bfloat16"}
    assert 0.05 < checks["throughput"]["models"]["hard float32"]["kept_share"] < 0.2
    assert checks["scan_speed"]["scan"]["float32"]["forward_over_floor"] > 1
    assert checks["convolution_against_definition"]["relative_deviation"]["bfloat16 reversed"]["x"] < 1e-2
    assert set(checks["against_cpu"]["difference"]) == set(selftest.CPU_BOUNDS)
    assert set(checks) == set(selftest.LIMITS)
    assert done.stderr.count("s left in all") == len(checks) - 1  # parity is left out
    assert "skipped" in checks["parity"]


def test_parity_holds_and_a_changed_number_is_seen(shared_golden, tmp_path):
    folder = tmp_path / "golden" / "tiny_soft"
    folder.mkdir(parents=True)
    for file in (shared_golden / "tiny_soft").iterdir():
        shutil.copyfile(file, folder / file.name)
    found = selftest.parity(Machine("cpu"), folder.parent)
    assert found["passed"]
    recorded = dict(np.load(folder / "outputs_eval.npz"))
    recorded["pred_single"] = recorded["pred_single"] + np.float32(1e-3)
    np.savez(folder / "outputs_eval.npz", **recorded)
    changed = selftest.parity(Machine("cpu"), folder.parent)
    assert not changed["passed"]
    assert changed["deviation"]["tiny_soft"]["expression"] == pytest.approx(1e-3, rel=0.01)


def test_a_scan_that_gives_no_number_fails(monkeypatch):
    right = selftest.selective_scan
    monkeypatch.setattr(selftest, "selective_scan", lambda *inputs: right(*inputs) * torch.nan)
    found = selftest.scan_against_definition(Machine("cpu"), selftest.QUICK)
    assert found["passed"] is False
    assert json.loads(json.dumps(selftest._plain(found)))["relative_deviation"]["float32 forward"]["output"] == "nan"


def test_a_check_that_breaks_leaves_the_others_running_and_fails_the_whole(monkeypatch, capsys):
    monkeypatch.setattr(selftest, "training_step", lambda *_: 1 / 0)
    monkeypatch.setattr(selftest, "throughput", lambda *_: {"passed": True})
    monkeypatch.setattr(sys, "argv", ["smoke", "--quick"])
    assert selftest.main() == 1
    found = json.loads(capsys.readouterr().out)
    assert found["checks"]["training_step"]["error"] == "ZeroDivisionError: division by zero"
    assert found["checks"]["throughput"]["passed"]
    assert found["checks"]["scan_speed"]["passed"]


def test_a_convolution_that_is_wrong_fails(monkeypatch):
    assert selftest.convolution_against_definition(Machine("cpu"), selftest.QUICK)["passed"]
    right = selftest.causal_convolution
    for factor in (1 + 1e-4, torch.nan):
        monkeypatch.setattr(selftest, "causal_convolution", lambda *a, f=factor, **k: right(*a, **k) * f)
        assert selftest.convolution_against_definition(Machine("cpu"), selftest.QUICK)["passed"] is False


@pytest.mark.parametrize("what", ["expression", "mask", "loss", "gradients"])
@pytest.mark.parametrize("wrong", [0.01, torch.nan])
def test_a_card_that_differs_from_the_cpu_fails(monkeypatch, what, wrong):
    small = selftest.QUICK._replace(compared=(256, 256))
    machine, function = Machine("cpu"), "_trained" if what in ("loss", "gradients") else "_scored"
    right = getattr(selftest, function)

    def changed(place, *rest):
        found = right(place, *rest)
        if place is machine and what == "gradients":
            name = sorted(found[what])[0]
            found[what] = {**found[what], name: found[what][name] * (1 + wrong)}
        elif place is machine:
            found[what] = found[what] + wrong * abs(found[what]).mean() if what == "mask" else found[what] + wrong
        return found

    assert selftest.against_cpu(machine, small)["passed"]
    monkeypatch.setattr(selftest, function, changed)
    assert selftest.against_cpu(machine, small)["passed"] is False


def test_limits_of_the_checks_make_eight_minutes():
    assert sum(selftest.LIMITS.values()) == selftest.TIME_LIMIT == 480


def test_a_check_that_hangs_ends_the_test_in_time_and_fails_it():
    """A process of its own, whose end must not wait for the thread that hangs."""
    code = """
import sys, time
from model_core.model import selftest
selftest.LIMITS["convolution_against_definition"] = 0.5
selftest.convolution_against_definition = lambda *_: time.sleep(600)
selftest.scan_against_definition = lambda *_: {"passed": True}
sys.argv = ["selftest", "--quick"]
selftest.leave(selftest.main())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "convolution_against_definition: at most 0 s; 480 s left in all" in done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert checks["scan_against_definition"]["passed"]
    assert checks["convolution_against_definition"]["error"] == "not finished within 0.5 s"
    for name in ("training_step", "against_cpu", "throughput", "scan_speed"):
        assert checks[name]["skipped"] == "0.5 s for convolution_against_definition had passed"
        assert checks[name]["passed"] is False


def test_no_check_begins_after_eight_minutes(monkeypatch):
    monkeypatch.setattr(selftest, "TIME_LIMIT", 0)
    said = []
    found = selftest.smoke("cpu", True, None, said.append)
    assert found["passed"] is False
    assert {check.get("passed") for check in found["checks"].values()} == {False, None}
    assert "scan_speed: 0 s for all checks had passed (0.0 s)" in said


def test_a_gpu_without_kernels_fails_at_once(monkeypatch):
    monkeypatch.setattr(selftest.scan, "_gpu_kernels", lambda: None)
    machine = Machine("cpu")
    machine.is_gpu = True
    found = selftest.scan_against_definition(machine, selftest.QUICK)
    assert found == {"passed": False, "error": "the GPU kernels cannot be used: Triton or a C compiler is missing"}


@pytest.mark.parametrize(("option", "path"), [("--golden", "empty"), ("--out", "missing/selftest.json")])
def test_a_wrong_folder_is_said_at_once(tmp_path, monkeypatch, capsys, option, path):
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(sys, "argv", ["smoke", "--quick", option, str(tmp_path / path)])
    monkeypatch.setattr(selftest, "scan_against_definition", lambda *_: {"passed": True})
    assert selftest.main() == 2
    assert "expected" in capsys.readouterr().err


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_what_tensors_give_back_is_kept():
    """A process of its own, for the setting stays: a block of 64 MB seldom costs pages again, left alone each time."""
    code = """
import resource, sys, torch
from model_core.model.device import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory(100 << 20)
def pages(call):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
call = lambda: torch.ones(16 << 20)
for _ in range(30):  # until the heap has a hole that fits
    call()
print(sum(pages(call) for _ in range(10)))
"""

    def pages(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", code, how], cwd=ROOT, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert pages("kept") < 0.5 * pages("alone")
