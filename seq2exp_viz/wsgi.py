"""The page for another WSGI server, set up by environment variables: `gunicorn seq2exp_viz.wsgi:application`.

SEQ2EXP_RUNS        run folders, separated as in PATH; required
SEQ2EXP_TOKEN       secret that every request must carry
SEQ2EXP_HOSTS       without a token: comma-separated host names that the server answers to (default: localhost)
SEQ2EXP_URL_PREFIX  path below which a proxy shows the page
SEQ2EXP_ALLOW       folders whose tracks may be opened, separated as in PATH
SEQ2EXP_READ_ONLY   "1" refuses whatever could store something or make the model work
SEQ2EXP_IGV         "notebook" uses the igv.js of igv-notebook

The server may have several processes, forked before or after this module is loaded. Each reads the runs by
itself; questions to the model and jobs are kept by one more process, which all of them ask.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from flask import Flask

from model_core.errors import InputError
from seq2exp_viz.app import Settings, clean_prefix, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving.allowed_files import AllowedFiles
from seq2exp_viz.serving.guard import Guard
from seq2exp_viz.serving.security import LOOPBACK_NAMES, Access
from seq2exp_viz.worker.jobs import Jobs

if TYPE_CHECKING:
    from seq2exp_viz.worker.shared_jobs import SharedJobs


def from_environment(environ: Mapping[str, str]) -> Flask:
    """Return the WSGI application that environment variables describe.

    Raises
    ------
    InputError
        No run is named, or one cannot be opened.
    """
    folders = [part for part in environ.get("SEQ2EXP_RUNS", "").split(os.pathsep) if part]
    if not folders:
        raise InputError(
            "SEQ2EXP_RUNS", found="no run", expected="run folders, separated as in PATH", fix="set the variable"
        )
    hosts = frozenset(name.strip().lower() for name in environ.get("SEQ2EXP_HOSTS", "").split(",") if name.strip())
    prefix = clean_prefix(environ.get("SEQ2EXP_URL_PREFIX", ""))
    read_only = environ.get("SEQ2EXP_READ_ONLY", "").lower() not in ("", "0", "no", "false")
    token = environ.get("SEQ2EXP_TOKEN") or None
    access = Access(token=token, hosts=hosts or LOOPBACK_NAMES, path=prefix, read_only=read_only)
    registry = RunRegistry(folders)
    atexit.register(registry.close)
    allowed = AllowedFiles(part for part in environ.get("SEQ2EXP_ALLOW", "").split(os.pathsep) if part)
    igv = "notebook" if environ.get("SEQ2EXP_IGV") == "notebook" else "vendored"
    settings = Settings(prefix=prefix, access=access, igv=igv, allowed=allowed)
    server = create_app(registry, settings, jobs_of(environ)).server
    server.wsgi_app = Guard(OnceInEachProcess(server.wsgi_app, registry.prepare))
    return server


def jobs_of(environ: Mapping[str, str]) -> Jobs | SharedJobs:
    """Return the questions and jobs that all processes with the same variables, machine and user share.

    Raises
    ------
    InputError
        There is no folder for the socket that they share.
    """
    if os.name != "posix":  # no servers with several processes there
        return Jobs()
    from seq2exp_viz.worker.shared_jobs import SharedJobs

    settings = sorted(item for item in environ.items() if item[0].startswith("SEQ2EXP_"))
    return SharedJobs(repr((version("seq2exp-viz"), os.getcwd(), settings)))


class OnceInEachProcess:
    """WSGI middleware that calls `begin` at the first request of each process: threads do not survive a fork."""

    def __init__(self, inner: Callable, begin: Callable[[], None]):
        self.inner, self.begin = inner, begin
        self._process: int | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict, start_response: Callable):
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._process = os.getpid()
                    self.begin()
        return self.inner(environ, start_response)


@lru_cache(maxsize=1)
def _application() -> Flask:
    return from_environment(os.environ)


def __getattr__(name: str):
    """Return `application`, made when a server first asks for it."""
    if name == "application":
        return _application()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
