"""The questions and jobs of a web server with several processes, all kept by one further process."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from model_core.errors import InputError
from seq2exp_viz.worker.jobs import Task, TooMany
from seq2exp_viz.worker.jobs_server import place_of

COMMAND = (sys.executable, "-m", "seq2exp_viz.worker.jobs_server")
START_SECONDS = 30.0
ANSWER_SECONDS = 30.0  # more than any request waits for the model
LONGEST_PLACE = 100  # bytes of a socket's path; systems take 104 to 108
GONE = "The process that keeps the jobs has ended; the log of the server may show why. Ask again to start a new one."


def shared_folder() -> Path:
    """Return a folder below the system's temporary folder that only this user can use; it is created if missing.

    Raises
    ------
    InputError
        It cannot be created, or other users can write to it.
    """
    advice = "set TMPDIR to a folder that only this user can write to"
    try:
        folder = Path(tempfile.gettempdir()) / f"seq2exp-viz-{os.getuid()}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as problem:
        where = problem.filename or "the temporary folder"
        raise InputError(
            where, found=problem.strerror or str(problem), expected="a place for a socket", fix=advice
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InputError(
            folder, found="a path that other users can write to", expected="a folder of this user only", fix=advice
        )
    return folder


class SharedJobs:
    """The interface of `Jobs`, with all tasks in one process that the first question of any web process starts.

    Tasks are snapshots: `get` and `wait` return newer ones. Safe to use from several threads and after a fork.

    Parameters
    ----------
    name : str
        Processes that give the same name share their tasks.
    folder : Path or None
        Folder of this user only, for the socket and its locks; default `shared_folder()`.
    command : Sequence[str]
        Command line of the process that keeps the tasks; the stem of its files is appended.

    Raises
    ------
    InputError
        There is no such folder, or its path is too long for a socket.
    """

    def __init__(self, name: str, folder: Path | None = None, command: Sequence[str] = COMMAND):
        self.command = tuple(command)
        self.stem = (folder or shared_folder()) / hashlib.sha256(name.encode()).hexdigest()[:16]
        if len(os.fsencode(place_of(self.stem, "socket"))) > LONGEST_PLACE:
            found = f"a path of {len(os.fsencode(self.stem))} bytes"
            raise InputError(
                self.stem, found=found, expected="a short one", fix="set TMPDIR to a folder with a shorter path"
            )
        self._lock = threading.Lock()
        # The lock lasts until every process that has the descriptor, also by a fork, has closed it or ended.
        self._present: int | None = os.open(place_of(self.stem, "present"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._present, fcntl.LOCK_SH)

    # ---- the interface of Jobs

    def ask(self, run: str, path: Path, version: str, gene: str, question: Mapping, page: str = "") -> Task:
        """Start a what-if about a gene, as `Jobs.ask`."""
        given = {"run": run, "path": str(path), "version": version, "gene": gene, "question": question, "page": page}
        return self._begun("whatif", run, gene, "ask", given)

    def start(
        self, run: str, path: Path, gene: str, kind: str, name: str | None = None, threshold: float | None = None
    ) -> Task:
        """Start a job about a gene, as `Jobs.start`."""
        given = {"run": run, "path": str(path), "gene": gene, "kind": kind, "name": name, "threshold": threshold}
        return self._begun(kind, run, gene, "start", given)

    def cancel(self, number: int) -> bool:
        """Cancel a task, and return whether there was one to cancel."""
        return bool(self._request("cancel", number=number))

    def get(self, number: int) -> Task | None:
        """Return a task by its id; None where it is unknown or no longer kept."""
        return _task(self._request("get", number=number))

    def all(self) -> list[dict]:
        """Return every job that is kept, the newest first; questions are not among them."""
        jobs = self._request("all")
        return jobs if isinstance(jobs, list) else []

    def running(self, run: str, gene: str, kind: str) -> Task | None:
        """Return the waiting or running job of a kind about a gene at the run's own threshold, or None."""
        return _task(self._request("running", run=run, gene=gene, kind=kind))

    def wait(self, task: Task, seconds: float) -> Task:
        """Return the newest state of a task once it has ended, or after `seconds`."""
        if task.ended:
            return task
        now = _task(self._request("wait", number=task.id, seconds=seconds))
        return now if now is not None else _failed(task)

    def close(self) -> None:
        """Stop using the process that keeps the tasks; it ends some time after the last web process has."""
        with self._lock:
            present, self._present = self._present, None
            if present is not None:
                os.close(present)  # not unlocked: a process that was forked may still need it

    # ---- inside

    def _begun(self, kind: str, run: str, gene: str, do: str, given: dict) -> Task:
        if self._present is None:
            return Task(0, run, gene, kind, "", state="failed", message="The server is stopping.")
        try:
            task = _task(self._request(do, **given) or self._request(do, begin=True, **given))
            return task if task is not None else Task(0, run, gene, kind, "", state="failed", message=GONE)
        except OSError as problem:
            words = f"The process that keeps the jobs could not be started ({problem})."
            return Task(0, run, gene, kind, "", state="failed", message=words)

    def _request(self, do: str, begin: bool = False, **given: object) -> object:
        """Return the answer to a request; None where no process keeps tasks, unless `begin` starts one."""
        if begin:
            self._begin()
        try:
            with self._connected() as line, line.makefile("rwb") as both:
                both.write(json.dumps({"do": do, "with": given}).encode() + b"\n")
                both.flush()
                answered = both.readline()
        except OSError:
            if begin:
                raise
            return None
        if not answered:
            if begin:
                raise OSError("it ended at once")
            return None
        reply = json.loads(answered)
        if "error" in reply:
            raise TooMany(reply["error"])
        return reply["value"]

    def _connected(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(ANSWER_SECONDS)
        try:
            line.connect(str(place_of(self.stem, "socket")))
        except BaseException:
            line.close()
            raise
        return line

    def _begin(self) -> None:
        """Start the process that keeps the tasks, unless another process or thread does so first."""
        with self._lock, place_of(self.stem, "starting").open("ab") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if self._answers():
                return
            process = subprocess.Popen([*self.command, str(self.stem)], stdin=subprocess.DEVNULL)
            end = time.monotonic() + START_SECONDS
            while not self._answers():
                if process.poll() is not None:
                    raise OSError(f"it ended with exit code {process.returncode}")
                if time.monotonic() > end:
                    process.kill()
                    process.wait()
                    raise OSError(f"it did not answer within {START_SECONDS:.0f} s")
                time.sleep(0.02)
            threading.Thread(target=process.wait, daemon=True).start()  # so that no zombie process remains

    def _answers(self) -> bool:
        try:
            self._connected().close()
        except (FileNotFoundError, ConnectionError):
            return False
        return True


def _task(values: object) -> Task | None:
    return Task(**values) if isinstance(values, dict) else None


def _failed(task: Task) -> Task:
    task.state, task.message = "failed", GONE
    return task
