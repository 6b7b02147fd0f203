"""Kill a command at random moments, check what it has left, run it again, and compare the end with an undisturbed run.

    python -m tests.torture.kills [--command score ...] [--kills 30] [--processes 2] [--seed 7] [--scratch FOLDER]

The command is killed (SIGKILL) or asked to end (SIGTERM, SIGINT), alone or with the processes that it has started, or
one of these is killed. Then it goes on, now and then in a folder of another name and on a host of another name.

Faults: a file that cannot be read, a record that is lost, repeated or differs, a gene scored twice, a traceback,
another exit code, a command or a process that does not end, other bytes at the end. The same seed draws the same
moments, as shares of the time that the undisturbed command took.
"""

import argparse
import csv
import json
import os
import random
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from . import TESTS, forked
from .whole_case import call

GENES = 50
TRAINING = (
    *("--steps", "12", "--batch-size", "8", "--warmup", "1", "--width", "8", "--depth", "1"),
    *("--window", "500", "--promoter", "40", "--device", "cpu"),
)
HOSTS = ("node1", "node2")
RUNS = ("run", "run-moved")
PATIENCE = 60  # seconds until a command that was asked to end has ended, on an idle machine


class Command(NamedTuple):
    """A command that is killed.

    Attributes
    ----------
    words : tuple[str, ...]
        The command; RUN stands for the run folder.
    begin : str or None
        Folder of which the run is a copy at the beginning.
    results : tuple[str, ...]
        Files that must have the same bytes at the end.
    kept : callable
        (run) -> what the run promises to keep, in order.
    """

    words: tuple[str, ...]
    begin: str | None
    results: tuple[str, ...]
    kept: Callable[[Path], list]


def scored_genes(run: Path) -> list:
    """Return each line of the journal with the bytes of its arrays."""
    records = [json.loads(line) for line in _lines(run / "scores.jsonl")]
    if [record["row"] for record in records] != list(range(len(records))):
        raise ValueError("rows of the journal out of order")
    arrays = sorted((run / "masks.zarr").glob("*/zarr.json"))
    return [(record, *((array.parent / f"c.{record['row']}.0").read_bytes() for array in arrays)) for record in records]


def _by_gene(genes: list) -> list:
    """Return what `scored_genes` returns in the order of the ids, and without the numbers of the rows."""
    without_rows = [({**record, "row": None}, *masks) for record, *masks in genes]
    return sorted(without_rows, key=lambda gene: gene[0]["gene_id"])


def effects_of_genes(run: Path) -> list:
    """Return the lines of effects.jsonl."""
    return [json.loads(line) for line in _lines(run / "effects" / "effects.jsonl")]


def trained_steps(run: Path) -> list:
    """Return the rows of history.csv without their times."""
    path = run / "training" / "history.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


COMMANDS = {
    "score": Command(
        ("score", "RUN", "--checkpoint", "model.safetensors", "--study", "study", "--all", "--device", "cpu"),
        None,
        ("genes.tsv", "elements/elements.bed", "tracks/mask.bigWig"),
        scored_genes,
    ),
    "effects": Command(
        ("effects", "RUN", "--genes", "gene1,gene2,gene3,gene4,gene5,gene6", "--controls", "3", "--device", "cpu"),
        "score-undisturbed/run",
        ("effects/effects.tsv",),
        effects_of_genes,
    ),
    "train": Command(
        ("train", "trained-study", *TRAINING, "-o", "RUN"),
        None,
        ("checkpoint.safetensors",),
        trained_steps,
    ),
}


class Killed:
    """A command that is killed again and again in a scratch folder.

    Parameters
    ----------
    name : str
        A key of COMMANDS.
    scratch : Path
        An empty folder, or one that was used before.
    seed : int
        Which moments, signals and processes.
    processes : int
        How many processes share the work; only of `score` and `train`.
    """

    def __init__(self, name: str, scratch: Path, seed: int, processes: int = 1):
        self.name, self.command, self.scratch, self.processes = name, COMMANDS[name], scratch, processes
        self.rng = random.Random(f"{seed} {name} {processes}")
        self.undisturbed = scratch / f"{name}-undisturbed" / RUNS[0]  # a run keeps the name of its first folder
        self.run = scratch / RUNS[0]
        self.seconds = 0.0  # that the undisturbed command took
        self.completed = self.sent = 0
        self.faults: list[str] = []
        self._kept: list = []
        self._expected: list = []

    def torture(self, kills: int) -> list[str]:
        """Kill the command `kills` times, let it come to its end at last, and return the faults."""
        os.chdir(self.scratch)
        os.environ["SEQ2EXP_CACHE"] = str(self.scratch / "cache")
        self._prepare()
        self._renew()
        while self.sent < kills:
            self._once()
        for _ in range(3):  # a child that was killed may have stopped the last one
            if self._to_the_end():
                break
        else:
            self.faults.append("the command does not come to its end")
        return self.faults

    def _prepare(self) -> None:
        for make in (_make_studies, *([_score_undisturbed] if self.command.begin else [])):
            done = forked.run(make, self.scratch, seconds=600)
            if done.code != 0:
                raise RuntimeError(f"{make.__name__} ended with {done.code}:\n{done.words}")
        shutil.rmtree(self.undisturbed.parent, ignore_errors=True)
        self.undisturbed.parent.mkdir()
        self._begin(self.undisturbed)
        done = forked.run(lambda: self._call(self.undisturbed, HOSTS[0]), self.scratch, seconds=600)
        if done.code != 0:
            raise RuntimeError(f"the undisturbed command ended with {done.code}:\n{done.words}")
        self.seconds, self._expected = done.seconds, self.command.kept(self.undisturbed)

    def _begin(self, run: Path) -> None:
        if self.command.begin is not None:
            shutil.copytree(self.scratch / self.command.begin, run)

    def _renew(self) -> None:
        for name in RUNS:
            shutil.rmtree(self.scratch / name, ignore_errors=True)
        self.run, self._kept = self.scratch / RUNS[0], []
        self._begin(self.run)

    def _call(self, run: Path, host: str) -> forked.Answers:
        words = [str(run) if word == "RUN" else word for word in self.command.words]
        if self.processes > 1:  # each of the others is started as the first one was
            program = [sys.executable, "-m", "seq2exp_viz.cli", *words, "--processes", str(self.processes)]
            os.execve(sys.executable, program, {**os.environ, "PYTHONPATH": str(TESTS.parent)})
        socket.gethostname = lambda: host
        call(*words)
        return {}

    def _once(self) -> None:
        """Start the command, send it a signal at a random moment, wait for its end and check the run."""
        output = self.scratch / "output"
        if self.run.exists() and self.rng.random() < 0.3:
            moved = self.scratch / RUNS[self.run.name == RUNS[0]]
            self.run.rename(moved)
            self.run = moved
        host, number = (
            self.rng.choice(HOSTS),
            self.rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)),
        )
        whom = self.rng.choice(("all", "parent", "child")) if self.processes > 1 else "all"
        wait = max(self.rng.uniform(0.02, 1.05) * self.seconds, 0.3 if number != signal.SIGKILL else 0)
        before = len(self._kept)
        child = forked.start(lambda: self._call(self.run, host), output)
        code = _ended(child, wait)
        when = f"{self.name} x {self.processes}, kill {self.sent}: {number.name} to {whom} after {wait:.1f} s"
        if code is None:
            self.sent += 1
            others = descendants(child)
            targets = {"all": [child, *others], "parent": [child], "child": others[:1] or [child]}[whom]
            for process in targets:
                with suppress(ProcessLookupError):
                    os.kill(process, number)
            code = self._after_signal(when, child, others, output, number if child in targets else None)
        elif code != 0:
            self.faults.append(f"{when}: exit code {code} before it: {_last(output)}")
        self._check(when)
        if code == 0:
            self._compare(when, before)
            self._renew()

    def _after_signal(self, when: str, child: int, others: list[int], output: Path, number: int | None) -> int | None:
        """Wait for the end of a command that got a signal (None: a process of it did), and of its processes."""
        patience = PATIENCE * forked.busy()
        code = _ended(child, patience)
        if code is None:
            self.faults.append(f"{when}: still running after {patience:.0f} s")
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        words = output.read_text(errors="replace")
        if forked.TRACEBACK.search(words):
            self.faults.append(f"{when}: a traceback: {_last(output)}")
        allowed: tuple[int, ...] = (0, 128 + number) if number else (0, 2, 128 + signal.SIGTERM)
        if number == signal.SIGKILL:
            allowed = (0, -number)
        if code not in allowed:
            self.faults.append(f"{when}: exit code {code}: {_last(output)}")
        until = time.monotonic() + patience / 4
        while any(_alive(process) for process in others) and time.monotonic() < until:
            time.sleep(0.05)
        for process in filter(_alive, others):
            self.faults.append(f"{when}: a process of it lives on")
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        return code

    def _to_the_end(self) -> bool:
        before = len(self._kept)
        done = forked.run(lambda: self._call(self.run, HOSTS[0]), self.scratch, seconds=600)
        self._check("the last sitting")
        if done.code != 0:
            return False
        if done.fault:
            self.faults.append(f"the last sitting: {done.fault}")
        self._compare("the last sitting", before)
        return True

    def _check(self, when: str) -> None:
        """Check that the run can be read, keeps what it had, and has nothing that the undisturbed run has not."""
        try:
            now = self.command.kept(self.run)
            if (self.run / "manifest.json").exists():
                json.loads((self.run / "manifest.json").read_text())
        except (OSError, ValueError, KeyError) as problem:
            self.faults.append(f"{when}: cannot be read: {problem}")
            return
        if now[: len(self._kept)] != self._kept and self.processes == 1:
            self.faults.append(f"{when}: {len(self._kept)} records were there, now {len(now)} others")
        if self.processes == 1:
            expected = self._expected[: len(now)]
            if now != expected:
                first = next((n for n, (a, b) in enumerate(zip(now, expected, strict=False)) if a != b), len(expected))
                self.faults.append(f"{when}: record {first} of {len(now)} differs from the undisturbed run's")
        self._kept = now

    def _compare(self, when: str, before: int) -> None:
        """Compare a finished run with the undisturbed one; `before` records were there when the last sitting began."""
        self.completed += 1
        for name in self.command.results:
            path = self.run / name
            if not path.exists() or path.read_bytes() != (self.undisturbed / name).read_bytes():
                self.faults.append(f"{when}: {name} differs from the undisturbed run's")
        now, expected = self.command.kept(self.run), self._expected
        if self.name == "score" and self.processes > 1:  # rows of killed processes are taken in before the others
            now, expected = _by_gene(now), _by_gene(expected)
        if now != expected:
            self.faults.append(f"{when}: the records differ from the undisturbed run's")
        if self.name == "score" and self.processes == 1:
            windows = json.loads((self.run / "metrics.json").read_text()).get("scoring", {}).get("windows")
            if windows is not None and before < GENES != before + windows:
                self.faults.append(f"{when}: {windows} windows were scored where {GENES - before} were missing")
        for path in self.run.rglob("*"):
            if path.name.startswith(".") or path.name in ("lock", "parts") or path.name.endswith(".partial"):
                self.faults.append(f"{when}: {path.relative_to(self.run)} stays")


def _make_studies() -> forked.Answers:
    """study/ of 50 genes, a small model's weights, and trained-study/, whose second chromosome is for validation."""
    from model_run import lively
    from small_study import edit, write_small_study

    from model_core.model.checkpoint import save_checkpoint
    from model_core.study.study import load_study

    if Path("model.safetensors").exists():
        return {}
    for name in ("study", "trained-study"):
        Path(name).mkdir(exist_ok=True)
        small = write_small_study(Path(name))
        edit(small, "window = 4_000", "window = 1_000")
        edit(small, "promoter = 400", "promoter = 100")
    edit(Path("trained-study/study.toml"), "validation = []", 'validation = ["chr2"]')
    edit(Path("trained-study/study.toml"), 'test = ["chr2"]', "test = []")
    study = load_study("study")
    config = study.config(d_model=8, n_layers=1)
    signals = [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs]
    metadata = {"feature_scale": study.feature_scale().to_dict(), "signals": signals, "signal_quantiles": {}}
    save_checkpoint("model.safetensors", lively(config, 3), metadata)
    return {}


def _score_undisturbed() -> forked.Answers:
    """score-undisturbed/run/, with which `effects` begins."""
    run = Path(COMMANDS["effects"].begin or "")
    if not (run / "genes.tsv").exists():
        run.parent.mkdir(exist_ok=True)
        call(*(word.replace("RUN", str(run)) for word in COMMANDS["score"].words))
    return {}


def descendants(process: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
    found: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, path.read_text().split())
    return found + [inner for one in found for inner in descendants(one)]


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _ended(child: int, seconds: float) -> int | None:
    """Return the exit code of a child that ends within some seconds, else None."""
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.005)


def _last(output: Path) -> str:
    lines = [line for line in output.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "no word"


def main() -> None:
    """Read the options, kill the commands and print what came of it; exit code 1 where there are faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", action="append", choices=list(COMMANDS), help="repeatable (default: all)")
    parser.add_argument("--kills", type=int, default=10, help="of each command")
    parser.add_argument("--processes", type=int, default=1, help="that share the work; of score and train")
    parser.add_argument("--seed", type=int, default=None, help="which moments (default: a random one, printed)")
    parser.add_argument("--scratch", type=Path, help="folder whose studies are used again")
    given = parser.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    forked.import_everything()
    faults = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = (given.scratch or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for name in given.command or list(COMMANDS):
            killed = Killed(name, folder, seed, given.processes)
            began = time.monotonic()
            killed.torture(given.kills)
            took = time.monotonic() - began
            print(
                f"{name} on {given.processes} processes: {killed.sent} signals, {killed.completed} compared ends, "
                f"{len(killed.faults)} faults, {took:.0f} s (undisturbed {killed.seconds:.1f} s)",
                flush=True,
            )
            faults += killed.faults
        os.chdir("/")
    print(*faults, sep="\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
