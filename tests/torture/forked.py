"""Run a function in a forked child, with limits on time and memory, and tell how it ended.

The parent has imported everything and holds no threads, so that a case costs what it does and not its imports. It must
not have computed with the model: a child of a process whose OpenMP threads ran is ended by OpenMP.
"""

import ctypes
import hashlib
import importlib
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

SECONDS = 30  # on an idle machine; on a busy one as many times longer as processes wait for a processor
MEGABYTES = 2_048  # of resident memory; the imported libraries take a quarter of it
ADDRESSES = 12 << 30  # bytes of address space, which ends what would fill the machine
MODULES = (  # what the commands import when they are called
    *("h5py", "matplotlib", "numba", "pandas", "pybigtools", "pyBigWig", "pysam", "torch", "zarr"),
    *("model_core.evaluation.compare", "model_core.model.checkpoint", "model_core.perturbation.rank"),
    *("model_core.scoring.score", "model_core.study.check", "model_core.training.train"),
    *("seq2exp_viz.app", "seq2exp_viz.cli", "seq2exp_viz.page.tabs", "seq2exp_viz.reports.export"),
    *("seq2exp_viz.reports.gene_report", "seq2exp_viz.reports.locus_figure", "seq2exp_viz.runs.check"),
)
TRACEBACK = re.compile(r"Traceback \(most recent call last\)|panicked at")
_FRAME = re.compile(r'File "[^"]*?((?:model_core|seq2exp_viz)/[^"]*)", line (\d+)')
_TIMES = re.compile(r"\d+:\d\d(:\d\d)?|\d[\d,.]* ?(s|ms|MB|genes/s|steps/s)\b")

Answers = dict[str, bytes]


class Outcome(NamedTuple):
    """How a child ended.

    Attributes
    ----------
    code : int or None
        Its exit code, minus the number of the signal that ended it, None where it was ended after its time.
    words : str
        What it wrote to standard output and error.
    answers : dict[str, str]
        Name and digest of each answer that it gave.
    seconds, megabytes : float
        How long it took, and the resident memory that it held at most, its own children included.
    """

    code: int | None
    words: str
    answers: dict[str, str]
    seconds: float
    megabytes: float

    @property
    def fault(self) -> str | None:
        """What a program must never do, in one line; None where it answered, or refused in words with exit code 2."""
        if self.code is None:
            return f"still running after {self.seconds:.0f} s"
        if self.code < 0:
            return f"ended by {signal.Signals(-self.code).name}"
        if TRACEBACK.search(self.words):
            frames = _FRAME.findall(self.words)
            where = f" at {frames[-1][0]}:{frames[-1][1]}" if frames else ""
            return f"traceback, exit code {self.code}{where}: {self._raised()}"
        if self.code not in (0, 2):
            return f"exit code {self.code}: {self._last_line()}"
        if self.code == 2 and not self.words.strip():
            return "exit code 2 without a word"
        if self.megabytes > MEGABYTES:
            return f"{self.megabytes:,.0f} MB of memory"
        return None

    def says(self, other: "Outcome") -> bool:
        """Return whether both wrote the same words, times left out."""
        return _TIMES.sub("", self.words) == _TIMES.sub("", other.words)

    def _raised(self) -> str:
        """Return the line that names the exception of the last traceback."""
        lines = self.words.rpartition("Traceback (most recent call last)")[2].splitlines()[1:]
        return next(
            (line.strip()[:160] for line in lines if line.strip() and not line.startswith(" ")), self._last_line()
        )

    def _last_line(self) -> str:
        lines = [line for line in self.words.splitlines() if line.strip()]
        return lines[-1].strip()[:160] if lines else ""


def import_everything() -> None:
    """Import what the commands import, so that children need not."""
    os.environ["MPLBACKEND"] = "agg"
    for name in MODULES:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)


def start(action: Callable[[], Answers], output: Path, answers: Path | None = None) -> int:
    """Fork a child that runs `action` in a process group of its own and ends with its exit code; return its id.

    Its words go to the file `output`, a digest of each of its answers to the file `answers`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        with suppress(OSError):  # the child does it too: whoever comes first
            os.setpgid(child, child)
        return child
    code = 1
    try:
        _become_a_child(output)
        found = action()
        if answers is not None:
            digests = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in found.items()}
            answers.write_text(json.dumps(digests))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # whatever it is, pytest's or a shell's loop must not go on in this child
        traceback.print_exc()
    finally:
        with suppress(Exception):  # nothing may keep the child alive
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def run(action: Callable[[], Answers], scratch: Path, seconds: float = SECONDS) -> Outcome:
    """Run `action` in a child and wait for its end; after its seconds, and what it leaves running, is killed."""
    output, answers = scratch / "output", scratch / "answers"
    answers.unlink(missing_ok=True)
    began = time.monotonic()
    child = start(action, output, answers)
    code, megabytes = _waited(child, began + seconds * busy())
    seconds = time.monotonic() - began
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    found = json.loads(answers.read_text()) if answers.exists() else {}
    return Outcome(code, output.read_text(errors="replace"), found, seconds, megabytes)


def busy() -> float:
    """Return by how much longer work takes on this machine now: processes that want a processor, for each of them."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _become_a_child(output: Path) -> None:
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a stopped test leaves no process behind
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, file), (2, file)):
        os.dup2(source, target)
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115  open until the child ends
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115  open until the child ends
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored


def _waited(child: int, until: float) -> tuple[int | None, float]:
    """Return exit code and megabytes of a child, None for the code where it had to be ended."""
    while time.monotonic() < until:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024
        time.sleep(0.003)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _, _, usage = os.wait4(child, 0)
    return None, usage.ru_maxrss / 1024
