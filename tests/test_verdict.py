"""The verdict of the self-test on a GPU: kept per card, believed only where it can be read, shown to the user."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from model_run import make_model_run
from typer.testing import CliRunner
from viewer_run import make_study

from model_core import cache, verdict
from model_core.errors import InputError
from model_core.model import device, selftest
from model_core.run_folder.run import Run
from model_core.verdict import Card, Verdict, read_verdict, save_verdict, verdict_words
from seq2exp_viz import cli
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.worker import gpu

CARD = Card("NVIDIA H100 PCIe", "550.54.15", "2.12.0+cu128", "0123456789ab")
GOOD = {"passed": True, "checks": {"throughput": {"passed": True}, "parity": {"skipped": "no golden folder"}}}
BAD = {"passed": False, "checks": {"throughput": {"passed": True}, "training_step": {"passed": False}}}


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    forget = gpu.card_here.cache_clear  # a test may replace the function
    forget()
    yield tmp_path / "cache"
    forget()


def test_a_verdict_is_read_as_it_was_kept():
    assert read_verdict(CARD) == Verdict("missing")
    save_verdict(CARD, BAD)
    found = read_verdict(CARD)
    assert (found.state, found.failed) == ("failed", ("training_step",))
    path = save_verdict(CARD, GOOD)
    assert read_verdict(CARD).state == "passed"
    assert json.loads(path.read_text())["findings"] == GOOD
    assert read_verdict(CARD).date == json.loads(path.read_text())["date"]


@pytest.mark.parametrize("field", Card._fields)
def test_a_verdict_holds_for_its_card_driver_torch_and_kernels_alone(field):
    save_verdict(CARD, GOOD)
    assert read_verdict(CARD._replace(**{field: "another"})) == Verdict("missing")


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"{}", b'"passed"', b"\xff\x00", b'{"card": 3}'])
def test_a_damaged_verdict_is_not_believed(content):
    path = save_verdict(CARD, GOOD)
    path.write_bytes(content)
    assert read_verdict(CARD) == Verdict("damaged")
    assert "cannot be read" in verdict_words(CARD)
    save_verdict(CARD, GOOD)
    assert read_verdict(CARD).state == "passed"


@pytest.mark.parametrize(
    "change", [{"passed": "yes"}, {"passed": 1}, {"failed": None}, {"card": CARD._asdict() | {"name": "x"}}]
)
def test_a_verdict_with_other_values_is_damaged(change):
    path = save_verdict(CARD, GOOD)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert read_verdict(CARD).state == "damaged"


def test_a_verdict_that_cannot_be_kept_in_the_cache_is_kept_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQ2EXP_CACHE", "/proc/none")
    monkeypatch.setattr(cache, "stand_in", lambda: tmp_path / "stand-in")
    assert save_verdict(CARD, GOOD).parent == tmp_path / "stand-in"
    assert read_verdict(CARD).state == "passed"


def test_a_changed_kernel_asks_for_a_new_test(monkeypatch, tmp_path):
    assert verdict.kernel_hash() == verdict.kernel_hash() != ""
    monkeypatch.setattr(verdict, "KERNELS", tmp_path)
    before = verdict.kernel_hash()
    (tmp_path / "scan_gpu.py").write_text("a = 1")
    first = verdict.kernel_hash()
    (tmp_path / "scan_gpu.py").write_text("a = 2")
    assert len({before, first, verdict.kernel_hash()}) == 3


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024", "550.54.15"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build  (a)", "570.133.20"),
        ("GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)", "unknown"),
    ],
)
def test_the_driver_is_asked_of_the_kernel(monkeypatch, tmp_path, text, version):
    monkeypatch.setattr(device, "DRIVER_FILE", tmp_path / "version")
    (tmp_path / "version").write_text(text + "\nGCC version:  gcc version 11.4.0\n")
    assert device.driver_version() == version


def test_without_that_file_nvidia_smi_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "DRIVER_FILE", tmp_path / "version")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device.driver_version() == "unknown"
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 535.183.01\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert device.driver_version() == "535.183.01"


def test_a_cpu_needs_no_verdict():
    assert device.card_of(torch.device("cpu")) is None
    assert device.untested_words(torch.device("cpu")) == ""


def test_words_say_what_is_known_and_what_to_do(monkeypatch):
    monkeypatch.setattr(device, "card_of", lambda place: CARD)
    place = torch.device("cuda")
    assert device.untested_words(place) == verdict_words(CARD)
    for word in (CARD.name, CARD.driver, CARD.torch, "not tested", verdict.COMMAND, "8 minutes"):
        assert word in verdict_words(CARD)
    save_verdict(CARD, BAD)
    assert "self-test failed" in device.untested_words(place)
    assert "(training_step)" in device.untested_words(place)
    save_verdict(CARD, GOOD)
    assert device.untested_words(place) == ""
    assert verdict_words(CARD).startswith(f"{CARD.name}: self-test passed on 20")


# ---------------------------------------------------------------------------------------------- the self-test keeps it


@pytest.mark.parametrize("words", [[], ["--quick"]])
def test_the_self_test_keeps_its_verdict_of_a_card_at_full_size_alone(monkeypatch, capsys, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(selftest, "card_of", lambda place: CARD)
    monkeypatch.setattr(selftest, "smoke", lambda *_: {**GOOD, "seconds": float("nan")})
    monkeypatch.setattr(sys, "argv", ["selftest", *words])
    assert selftest.main() == 0
    assert read_verdict(CARD).state == ("missing" if words else "passed")
    assert ("The verdict is stored in" in capsys.readouterr().err) is not bool(words)


# ---------------------------------------------------------------------------------------------- where it is shown


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return make_model_run(tmp_path_factory.mktemp("verdict"))


@pytest.mark.parametrize("findings", [None, BAD, GOOD])
def test_training_and_scoring_say_in_a_line_that_the_card_is_untested(monkeypatch, tmp_path, path, findings):
    if findings:
        save_verdict(CARD, findings)
    monkeypatch.setattr(device, "card_of", lambda place: CARD)

    def stop(*_, **__):
        raise InputError("here", found="a card", expected="none", fix="end")

    monkeypatch.setattr("model_core.training.train.train", stop)
    monkeypatch.setattr("model_core.scoring.score.score", stop)
    study = str(make_study(tmp_path / "study"))
    for words in (["train", study, "-o", str(tmp_path / "new"), "--device", "cpu"], ["score", str(path), "--all"]):
        done = CliRunner().invoke(cli.app, words)
        assert isinstance(done.exception, InputError), done.output
        notes = [line for line in done.stderr.splitlines() if line.startswith("note: NVIDIA H100 PCIe")]
        assert len(notes) == (0 if findings is GOOD else 1), done.stderr
        assert not notes or ("not tested" if findings is None else "failed") in notes[0]


def test_the_card_is_asked_of_a_process_of_its_own(monkeypatch, tmp_path):
    def no_process(*_, **__):
        raise AssertionError("no driver, no process")

    with monkeypatch.context() as without:
        without.setattr(gpu, "DRIVERS", (tmp_path / "none",))
        without.setattr(gpu.subprocess, "run", no_process)
        assert gpu.gpu_words() == ""
    (tmp_path / "driver").touch()
    monkeypatch.setattr(gpu, "DRIVERS", (tmp_path / "none", tmp_path / "driver"))
    for answer, card in ((json.dumps(CARD._asdict()), CARD), ("null", None), ("", None), ('{"name": 1}', None)):
        monkeypatch.setattr(gpu, "COMMAND", (sys.executable, "-c", f"print({answer!r})"))
        gpu.card_here.cache_clear()
        assert gpu.card_here() == card
    monkeypatch.setattr(gpu, "COMMAND", ("/nowhere/python",))
    gpu.card_here.cache_clear()
    assert gpu.gpu_words() == ""


def test_the_real_process_names_the_card_of_this_machine():
    done = subprocess.run(gpu.COMMAND, capture_output=True, text=True, check=True)
    assert (json.loads(done.stdout) is not None) is torch.cuda.is_available()


def test_the_page_shows_the_verdict_where_the_model_runs_on_a_gpu(monkeypatch, path, tmp_path):
    registry = RunRegistry([Run.open(path)], cache=tmp_path)
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    routes = [rule.rule for rule in client.application.url_map.iter_rules() if rule.rule.endswith("<run>/whatif")]
    address = routes[0].replace("<run>", registry.first.key)

    def line() -> str:
        return client.get(address).json["line"]

    monkeypatch.setattr(gpu, "card_here", lambda: None)
    before = line()
    monkeypatch.setattr(gpu, "card_here", lambda: CARD)
    assert line() == f"{before} {verdict_words(CARD)}"
    assert "not tested" in line()
    save_verdict(CARD, GOOD)
    assert f"{CARD.name}: self-test passed" in line()  # also while the server runs
    monkeypatch.setattr("seq2exp_viz.api.model.unavailable_reason", lambda run: "What-if is off.")
    assert CARD.name not in line()
    registry.close()


def test_the_server_reads_verdicts_without_torch():
    code = "import sys, seq2exp_viz.worker.gpu as gpu; gpu.gpu_words(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
