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
