"""A real gunicorn in front of run folders, as docs/page.md says, for tests: started, looked into, stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from seq2exp_viz.serve import bind

ROOT = Path(__file__).parents[1]


def until(true, seconds: float = 60, log: Path | None = None):
    """Wait for a function to give something true, and give it back; a failure shows the end of the log."""
    end = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > end:
            pytest.fail(f"still not true after {seconds} s\n{log.read_text()[-6000:] if log is not None else ''}")
        time.sleep(0.05)
    return found


def is_there(pid: int) -> bool:
    """Whether a process runs (one that has ended and waits to be noticed does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    """Processes that a process has started and that run."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return [child for child in found if is_there(child)]


class Gunicorn:
    """A gunicorn that runs.

    Parameters
    ----------
    words : list[str]
        Of its command line, besides the address and the application.
    environ : dict[str, str]
        SEQ2EXP_ variables.
    folder : Path
        For its log and all that it makes.
    port : int or None
        None for a free one.
    """

    def __init__(self, words: list[str], environ: dict[str, str], folder: Path, port: int | None = None):
        with bind("127.0.0.1", port or 0) as free:
            self.port = free.getsockname()[1]
        self.log = folder / "gunicorn.log"
        self.temporary = Path(tempfile.mkdtemp(prefix="s2e-"))  # of its own and short, as sockets need it
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SEQ2EXP_")}
        places = {"TMPDIR": str(self.temporary), "SEQ2EXP_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
        places["HOME"] = str(folder)  # gunicorn writes there
        command = [sys.executable, "-m", "gunicorn", *words, "--bind", f"127.0.0.1:{self.port}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "seq2exp_viz.wsgi:application"], env={**kept, **places, **environ}, stderr=log, stdout=log
            )
        self.until(lambda: self.process.poll() is not None or self.answers())

    def until(self, true, seconds: float = 60):
        """Wait for a function to give something true."""
        return until(true, seconds, self.log)

    def answers(self) -> bool:
        """Whether a request is answered."""
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/runs", timeout=60).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    @property
    def workers(self) -> list[int]:
        """Processes that answer requests."""
        return [
            pid for pid in children_of(self.process.pid) if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def called(self, module: str) -> list[int]:
        """Processes of ours that run a module of seq2exp_viz.worker."""
        found = []
        for place in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                ours = f"TMPDIR={self.temporary}".encode() in place.read_bytes().split(b"\0")
                called = f"seq2exp_viz.worker.{module}".encode() in (place.parent / "cmdline").read_bytes().split(b"\0")
                if ours and called and is_there(int(place.parent.name)):
                    found.append(int(place.parent.name))
        return found

    @contextlib.contextmanager
    def only(self, pid: int) -> Iterator[None]:
        """All other workers stand still, so that this one answers."""
        others = [other for other in self.workers if other != pid]
        for other in others:
            os.kill(other, signal.SIGSTOP)
        try:
            yield
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)

    def stop(self) -> None:
        """End it, as a person or a system does."""
        self.process.terminate()
        self.process.wait(60)
        for pid in self.called("jobs_server"):  # it would end by itself, but later
            os.kill(pid, signal.SIGTERM)
        self.until(lambda: not self.called("jobs_server") and not self.called("child"))
