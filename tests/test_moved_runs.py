"""The command line under a cluster's hands: stopped or killed at any moment, moved, and resumed on another host."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from model_core.model.checkpoint import save_checkpoint
from model_core.model.seq2exp import Seq2Exp
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import World
from model_core.study.study import load_study

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc"),
]
ROOT = Path(__file__).parents[1]
MODEL = {"window": 4096, "promoter": 256, "d_model": 16, "n_layers": 1}
TRAIN = ("--window", "1024", "--promoter", "128", "--width", "16", "--depth", "1", "--batch-size", "4", "--steps", "60")
FILES = {
    "score": ("scores.jsonl", "genes.tsv", "elements/elements.bed", "tracks/mask.bigWig"),
    "effects": ("effects/effects.tsv",),
    "train": ("checkpoint.safetensors",),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Folder with a study and the weights of a model."""
    folder = tmp_path_factory.mktemp("base")
    world = World(genes=(24, 24, 12), validation_genes=8)
    study = load_study(simulate_study(folder / "study", seed=1, world=world))
    torch.manual_seed(0)
    signals = [{"name": signal.name, "transform": signal.transform} for signal in study.signal_specs]
    quantiles = {signal["name"]: [0.0, 0.0, 0.0] for signal in signals}
    metadata = {"signals": signals, "feature_scale": study.feature_scale().to_dict(), "signal_quantiles": quantiles}
    save_checkpoint(folder / "model.safetensors", Seq2Exp(study.config(**MODEL)), metadata)
    return folder


def words_of(what: str, base: Path, run: Path, processes: int = 1) -> list[str]:
    if what == "train":
        return ["train", str(base / "study"), "-o", str(run), *TRAIN, "--warmup", "2", "--device", "cpu"]
    if what == "effects":
        return ["effects", str(run), "--all", "--controls", "1", "--device", "cpu"]
    weights = ["--checkpoint", str(base / "model.safetensors"), "--study", str(base / "study")]
    return ["score", str(run), *weights, "--all", "--device", "cpu", "--processes", str(processes)]


def start(words: list[str], host: str | None = None, **more) -> subprocess.Popen:
    """The command in a process and a session of its own, on this host or on one of another name."""
    command = [sys.executable, "-m", "seq2exp_viz.cli", *words]
    if host is not None:
        command = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host, *command]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def complete(words: list[str], host: str | None = None) -> None:
    process = start(words, host)
    _, said = process.communicate(timeout=900)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def undisturbed(base, tmp_path_factory):
    """Run folder of each command that nothing has disturbed."""
    folders = {}
    for what in FILES:
        folders[what] = tmp_path_factory.mktemp(what) / "run"
        if what == "effects":
            shutil.copytree(folders["score"], folders[what])
        complete(words_of(what, base, folders[what]))
    return folders


def content(what: str, run: Path) -> dict:
    found = {name: (run / name).read_bytes() for name in FILES[what]}
    if what == "train":
        found["history"] = pd.read_csv(run / "training" / "history.csv").drop(columns="seconds").to_csv()
    return found


def done(what: str, run: Path) -> int:
    """Number of genes that are done, of all parts; of a training the steps that last.ckpt has."""
    if what == "train":
        path = run / "training" / "last.ckpt"
        return torch.load(path, weights_only=True)["global_step"] if path.exists() else 0
    names = ("effects/effects.jsonl",) if what == "effects" else ("scores.jsonl", "parts/*/scores.jsonl")
    return sum(path.read_bytes().count(b"\n") for name in names for path in run.glob(name))


def until_underway(process: subprocess.Popen, what: str, run: Path, more_than: int = 0) -> None:
    end = time.monotonic() + 300
    while done(what, run) <= more_than:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)


def family(pid: int) -> list[int]:
    found = [int(x) for task in Path(f"/proc/{pid}/task").glob("*/children") for x in task.read_text().split()]
    return found + [one for child in found for one in family(child)]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def begin(what: str, base: Path, undisturbed: dict, run: Path) -> list[str]:
    if what == "effects":
        shutil.copytree(undisturbed["score"], run)
    return words_of(what, base, run)


@pytest.mark.parametrize("what", FILES)
def test_stopped_moved_and_resumed_on_another_host_it_ends_with_the_same_bytes(what, base, undisturbed, tmp_path):
    if subprocess.run(["unshare", "--uts", "hostname", "elsewhere"], capture_output=True).returncode:
        pytest.skip("needs the right to set a host name (unshare --uts)")
    run = tmp_path / "here" / "run"
    process = start(begin(what, base, undisturbed, run))
    until_underway(process, what, run)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert said.count("Stopped by SIGTERM. Run the same command again to resume.") == 1
    before = done(what, run)
    moved = tmp_path / "elsewhere" / "run"
    moved.parent.mkdir()
    shutil.move(run, moved)
    complete(words_of(what, base, moved), host="elsewhere")
    assert content(what, moved) == content(what, undisturbed[what])
    if what == "score":  # no gene twice
        assert json.loads((moved / "metrics.json").read_text())["scoring"]["windows"] == 60 - before


@pytest.mark.parametrize("whom", ["first", "second"])
def test_where_one_of_two_scoring_processes_is_killed_both_end_and_nothing_is_lost(whom, base, undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start(words_of("score", base, run, processes=2))
    until_underway(process, "score", run)
    children = family(process.pid)
    os.kill(process.pid if whom == "first" else children[0], signal.SIGKILL)
    _, said = process.communicate(timeout=30)
    if whom == "second":
        assert process.returncode == 2
        assert "process 2 of 2" in said
        assert "SIGKILL" in said
    end = time.monotonic() + 5
    while any(map(lives, children)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(lives, children))
    before = done("score", run)
    complete(words_of("score", base, run))
    assert json.loads((run / "metrics.json").read_text())["scoring"]["windows"] == 60 - before
    found, expected = content("score", run), content("score", undisturbed["score"])
    assert {**found, "scores.jsonl": ""} == {**expected, "scores.jsonl": ""}  # its lines are in another order


def test_two_training_processes_end_where_one_is_killed_and_resume(base, tmp_path):
    words = [*words_of("train", base, tmp_path / "run"), "--processes", "2"]
    process = start(words)
    until_underway(process, "train", tmp_path / "run")
    os.kill(family(process.pid)[0], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "process 2 of 2" in said
    process = start(words)
    until_underway(process, "train", tmp_path / "run", done("train", tmp_path / "run"))
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    complete(words)
    resumed = tmp_path / "undisturbed" / "run"
    complete([*words_of("train", base, resumed), "--processes", "2"])
    assert content("train", tmp_path / "run") == content("train", resumed)
