"""Processes that are stopped, killed or left alone: they end in order, take their children along and name the dead."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from model_core.errors import InputError
from model_core.progress import Job
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import World
from model_core.stopping import STOP, Terminated
from model_core.study.study import load_study
from model_core.training import pretrain as pretraining
from model_core.training.other_processes import OtherProcesses
from model_core.training.train import train

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc")
ROOT = Path(__file__).parents[1]
SMALL = {"window": 512, "promoter": 128, "d_model": 8, "n_layers": 1}


def run(code: str, *words: object, **more) -> subprocess.Popen:
    """A Python program in a process and a session of its own."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], env=environ, text=True, start_new_session=True, **more
    )


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while lives(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not lives(pid)


# ---- children and their parent

PARENT = """
import subprocess, sys, time
from model_core.child import child_environment
lines = "import os, time", "from model_core import child", sys.argv[1], "print(os.getpid(), flush=True); time.sleep(99)"
child = "\\n".join(lines)
subprocess.Popen([sys.executable, "-c", child], env=child_environment(ends_with_parent=True))
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("follows", "stopped"),
    [
        ("child.follow_parent()", False),
        ("child.follow_parent()", True),
        ("child.end_with(os.getppid(), by_kernel=False)", False),
    ],
    ids=["kernel", "kernel, stopped child", "thread"],
)
def test_a_child_ends_within_five_seconds_of_its_killed_parent(follows, stopped):
    with run(PARENT, follows, stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        if stopped:
            os.kill(child, signal.SIGSTOP)
        parent.kill()
        assert gone(child)


def test_a_child_whose_parent_ended_before_it_asked_ends_at_once():
    code = "from model_core.child import end_with; end_with(2**22 + 1); print('still here')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (
            lambda child: child.send_signal(signal.SIGKILL),
            r"process 2 of 3.*signal 9 \(SIGKILL\), possibly because memory",
        ),
        (lambda child: child.stdin.close(), "process 2 of 3.*exit code 3"),
    ],
)
def test_a_process_that_ends_early_is_named_and_the_others_are_stopped(end, words):
    code = "import sys; sys.stdin.read(); sys.exit(3)"
    children = {rank: run(code, stdin=subprocess.PIPE) for rank in (1, 2)}
    others = OtherProcesses(children, 3)

    def work():
        with others.together(60):
            others.check()
            end(children[1])
            children[1].wait()
            raise RuntimeError("Connection closed by peer")  # how a library tells it

    with pytest.raises(InputError, match=words):
        work()
    assert children[2].returncode == -signal.SIGTERM
    for child in children.values():
        child.stdin.close()


def test_a_process_that_waits_inside_a_library_for_a_dead_one_ends_and_names_it():
    code = """
import subprocess, sys, time
from model_core.training.other_processes import OtherProcesses
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with OtherProcesses({1: child}, 2).together(0.2):
    child.kill()
    time.sleep(600)
"""
    began = time.monotonic()
    with run(code, stderr=subprocess.PIPE) as parent:
        _, said = parent.communicate(timeout=60)
    assert parent.returncode == 2
    assert "process 2 of 2" in said
    assert "SIGKILL" in said
    assert time.monotonic() - began < 10


# ---- stop signals

LOOP = """
import sys, time
from seq2exp_viz.cli.signals import stop_in_order
with stop_in_order():
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        print("flushing", flush=True)
        time.sleep(0.5)
        print("flushed", flush=True)
"""


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGTERM, 143, "Stopped by SIGTERM."), (signal.SIGINT, 130, "Interrupted.")],
)
def test_a_stop_signal_ends_a_command_with_one_line_and_its_code(number, code, words):
    with run(LOOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "flushing\n"
        process.send_signal(
            signal.SIGTERM
        )  # from the cluster and from the parent: the second does not cut the end short
        out, said = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "flushed\n")
    assert said == f"{words} Run the same command again to resume.\n"


def test_deferred_signals_wait_for_the_step_in_hand():
    steps = []

    def work(*numbers):
        with STOP.deferred():
            for number in numbers:
                signal.raise_signal(number)
                steps.append(number)

    with pytest.raises(Terminated):
        work(signal.SIGTERM, signal.SIGTERM)
    assert len(steps) == 2
    with pytest.raises(KeyboardInterrupt):
        work(signal.SIGINT, signal.SIGINT)  # the second does not wait
    assert len(steps) == 3
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


# ---- training


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    world = World(genes=(24, 24, 12), validation_genes=8)
    return load_study(simulate_study(tmp_path_factory.mktemp("study"), seed=1, world=world))


class StopsAt(Job):
    """Progress that sends this process SIGTERM once a step is reached."""

    step = 0

    def advance(self, count=1, note=""):
        super().advance(count, note)
        if self.done == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def results(path: Path) -> tuple:
    history = pd.read_csv(path / "training" / "history.csv").drop(columns="seconds")
    last = torch.load(path / "training" / "last.ckpt", weights_only=True)["state_dict"]
    return history.to_csv(), (path / "checkpoint.safetensors").read_bytes(), {k: v.tolist() for k, v in last.items()}


def test_a_training_that_is_stopped_anywhere_resumes_after_the_step_in_hand(study, tmp_path, monkeypatch):
    """Each step takes two batches; validations are due after steps 2, 4, 6 and 7, the last."""
    config = study.config(**SMALL)
    recipe = study.train_config(steps=7, warmup=2, batch_size=3, lr=1e-3, accumulate=2)
    recipe = dataclasses.replace(recipe, validations_per_epoch=3)
    undisturbed = train(study, config, recipe, tmp_path / "undisturbed" / "run", "cpu")
    assert pd.read_csv(undisturbed.path / "training" / "history.csv")["step"].tolist() == [2, 4, 6, 7]
    monkeypatch.setattr("model_core.training.train.Job", StopsAt)
    out = tmp_path / "stopped" / "run"
    for step in (1, 2, 5, 7):
        StopsAt.step = step
        with pytest.raises(Terminated):
            train(study, config, recipe, out, "cpu")
        assert torch.load(out / "training" / "last.ckpt", weights_only=True)["global_step"] == step
    StopsAt.step = 0
    train(study, config, recipe, out, "cpu")
    assert results(out) == results(undisturbed.path)


def test_a_training_killed_between_its_files_leaves_those_of_an_undisturbed_one(study, tmp_path, monkeypatch):
    config, recipe = study.config(**SMALL), study.train_config(steps=4, warmup=2, batch_size=4, lr=1e-3)
    recipe = dataclasses.replace(recipe, validations_per_epoch=5)
    undisturbed = train(study, config, recipe, tmp_path / "undisturbed" / "run", "cpu")
    out = tmp_path / "killed" / "run"

    def killed(*_):
        raise InputError("here", found="an end", expected="none", fix="resume")

    with monkeypatch.context() as patch:
        patch.setattr("model_core.training.train.Bookkeeping._save", killed)  # the other files are written before it
        with pytest.raises(InputError, match="an end"):
            train(study, config, recipe, out, "cpu")
    assert (out / "checkpoint.safetensors").exists()
    with monkeypatch.context() as patch:
        patch.setattr("model_core.training.train._record", lambda *_: None)  # after last.ckpt of the last step
        train(study, config, recipe, out, "cpu")
    run = train(study, config, recipe, out, "cpu")
    assert results(out) == results(undisturbed.path)
    assert run.manifest["checkpoint"]["sha256"] == undisturbed.manifest["checkpoint"]["sha256"]
    assert run.metrics["training"]["steps"] == 4


def test_a_pretraining_that_is_stopped_resumes_after_the_step_in_hand(study, tmp_path, monkeypatch):
    config = study.config(variant="causal", **SMALL)
    recipe = study.train_config(steps=2, warmup=1, batch_size=4, pretrain_steps=4)
    found = {}
    for name, step in (("undisturbed", 0), ("stopped", 2)):
        monkeypatch.setattr(pretraining, "Job", StopsAt)
        StopsAt.step = step
        if step:
            with pytest.raises(Terminated):
                train(study, config, recipe, tmp_path / name / "run", "cpu")
            StopsAt.step = 0
        path = train(study, config, recipe, tmp_path / name / "run", "cpu").path
        found[name] = (path / "training" / "pretrained.safetensors").read_bytes(), results(path)
        assert not (path / "training" / "pretraining.ckpt").exists()
    assert found["stopped"] == found["undisturbed"]


# ---- progress


def test_the_time_left_after_a_resume_is_that_of_this_session(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Job("scoring genes", 100, done=90) as job:
        now[0] += 8.0
        job.advance(2)
        assert job.done == 92
        assert job._left() == "0:32"  # 8 genes at 4 s; the 90 before took no time of this session


SERVER = """
import os, socket, sys, threading
from seq2exp_viz.serve import bind, listen
from seq2exp_viz.serving.connections import Channel


class Signals:
    def __del__(self):  # an exception that a handler raises here is lost
        os.kill(os.getpid(), int(sys.argv[1]))


def readable(self, asked=Channel.readable):
    global sent
    if not sent:
        sent = True
        Signals()
    return asked(self)


def answer(environ, start_response):
    start_response("200 OK", [])
    return [b""]


sent, Channel.readable = False, readable
sock = bind("127.0.0.1", 0)
ask = threading.Thread(target=lambda: socket.create_connection(sock.getsockname()), daemon=True)
listen(answer, sock, ask.start)
print("closed in order")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_ends_by_a_signal_that_arrives_where_exceptions_are_lost(number):
    process = run(SERVER, int(number), stdout=subprocess.PIPE)
    try:
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said.strip()) == (0, "closed in order")
