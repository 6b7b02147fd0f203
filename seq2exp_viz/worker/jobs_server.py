"""One process with the questions and jobs of all processes of a web server: `python -m ... jobs_server STEM`.

The web processes (seq2exp_viz.worker.shared_jobs) start it and send requests over a Unix socket, one line of JSON per
request: {"do": name of a method, "with": its arguments}, answered by {"value": ...} or {"error": message}. It ends, and
with it the model process, when no web process has existed for LINGER_SECONDS.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socketserver
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from seq2exp_viz.worker.jobs import Jobs, Task, TooMany

LINGER_SECONDS = 45.0  # without any web process: where all were killed, new ones have started within it
LOOK_SECONDS = 1.0
METHODS = ("ask", "start", "cancel", "get", "all", "running", "wait")
ENDINGS = {"socket": ".socket", "present": ".present", "starting": ".starting"}


def place_of(stem: Path, what: str) -> Path:
    """Return the path of the "socket", or of the lock file of the "present" processes or of the "starting" one."""
    return stem.with_name(stem.name + ENDINGS[what])


def answer(jobs: Jobs, line: bytes) -> dict:
    """Return the answer to one request, a JSON object."""
    request = json.loads(line)
    if request["do"] not in METHODS:
        return {"error": f"no method {request['do']!r}"}
    given = request["with"]
    if "path" in given:
        given["path"] = Path(given["path"])
    try:
        if request["do"] == "wait":
            task = jobs.get(given["number"])
            value = None if task is None else jobs.wait(task, given["seconds"])
        else:
            value = getattr(jobs, request["do"])(**given)
    except TooMany as problem:
        return {"error": str(problem)}
    return {"value": jobs.record(value) if isinstance(value, Task) else value}


class JobsServer(socketserver.ThreadingUnixStreamServer):
    """Server for the web processes; each request has its own thread, because some wait for the model."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, stem: Path, jobs: Jobs):
        self.jobs = jobs
        super().__init__(str(place_of(stem, "socket")), Request)

    def handle_error(self, request, client_address) -> None:
        """Report an error, unless it is that a web process was killed during its request."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Request(socketserver.StreamRequestHandler):
    """One connection of a web process, with one request."""

    server: JobsServer

    def handle(self) -> None:
        """Read the request and answer it."""
        line = self.rfile.readline()
        if line:
            self.wfile.write(json.dumps(answer(self.server.jobs, line), allow_nan=False).encode() + b"\n")


def wait_until_alone(present: int, stopped: threading.Event, linger: float = LINGER_SECONDS) -> None:
    """Return once no web process has held its lock for `linger` seconds, or when `stopped` is set.

    Parameters
    ----------
    present : int
        Descriptor of the file that each web process holds a shared lock on. It is left locked, so that a web process
        that starts now waits until this process has ended, and then starts another.
    stopped : Event
        Ends the wait.
    linger : float
        Seconds without a web process.
    """
    alone = None
    while not stopped.wait(LOOK_SECONDS):
        try:
            fcntl.flock(present, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = None
            continue
        alone = time.monotonic() if alone is None else alone
        if time.monotonic() - alone >= linger:
            return
        fcntl.flock(present, fcntl.LOCK_UN)


def main(stem: Path, linger: float = LINGER_SECONDS) -> None:
    """Answer requests until all web processes have ended, or until SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the web server, whose end is noticed
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    present = os.open(place_of(stem, "present"), os.O_RDWR | os.O_CREAT, 0o600)
    with suppress(FileNotFoundError):
        place_of(stem, "socket").unlink()  # left by a killed process; our starter holds the lock
    # Numbers that no earlier process has used, so that a page that asks for an old job does not get another one.
    jobs = Jobs(first=int(time.time()))
    server = JobsServer(stem, jobs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        wait_until_alone(present, stopped, linger)
    finally:
        with suppress(FileNotFoundError):
            place_of(stem, "socket").unlink()
        server.shutdown()
        jobs.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(float, sys.argv[2:3]))
