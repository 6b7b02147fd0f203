"""The server of the page: opens runs, binds a port, prints the address, and answers requests until it is stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from model_core.errors import InputError
from seq2exp_viz.app import Settings, clean_prefix, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.serving.allowed_files import AllowedFiles
from seq2exp_viz.serving.byte_ranges import HAND_OVER
from seq2exp_viz.serving.connections import SETTINGS, answer_until, nobody, serve_by
from seq2exp_viz.serving.security import Access, access_for, is_loopback, refusal
from seq2exp_viz.worker.availability import unavailable_reason
from seq2exp_viz.worker.jobs import Jobs, Task

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

DEFAULT_PORT = 8050
PORTS_TRIED = 50
THREADS = 8
OPEN_FILES = 4_096
FOLLOW_SECONDS = 0.5


def serve(
    runs: Sequence[str | Path],
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = True,
    url_prefix: str | None = None,
    token: str | None = None,
    igv: str = "vendored",
    allow: Sequence[str | Path] = (),
    read_only: bool = False,
    score: Sequence[str] = (),
    notify: Callable[[str], None] = print,
) -> None:
    """Serve run folders until Ctrl-C.

    Parameters
    ----------
    runs : Sequence[str or Path]
        Run folders; all can be chosen on the page, the first is shown first.
    host : str
        Address to listen on. Any address other than a loopback address requires a token.
    port : int or None
        Port to listen on. None tries 8050 to 8099; a given port must be free; 0 lets the system choose.
    open_browser : bool
        Open the page, unless there is no display or the session came through SSH.
    url_prefix : str or None
        Path below which a proxy shows the page; None takes the proxy path of JupyterHub, else "/".
    token : str or None
        Secret that the page requires (on a login node, other users can reach 127.0.0.1, too). None makes a
        random one where the host requires a token.
    igv : str
        "vendored" for igv.js 3.8 where it is installed, "notebook" for the 3.1.4 of igv-notebook.
    allow : Sequence[str or Path]
        Folders whose tracks (BED, peaks, bedGraph, bigWig, GTF, VCF ...) may be opened.
    read_only : bool
        Refuse whatever could store something or make the model work: jobs, what-if, audit decisions, dropped tracks.
    score : Sequence[str]
        Ids or symbols of genes that the first run is to have: those that it lacks are scored as *Score now* does, and
        the page opens at once with the first of them.
    notify : Callable[[str], None]
        Called with each line for the user.

    Raises
    ------
    InputError
        A folder is not a run, or the port is taken.
    """
    registry, allowed = RunRegistry(runs), AllowedFiles(allow)
    sock = bind(host, port)
    chosen = sock.getsockname()[1]
    prefix = clean_prefix(url_prefix if url_prefix is not None else hub_prefix(chosen))
    access = access_for(host, token, prefix, read_only)
    jobs = Jobs()
    app = create_app(registry, Settings(prefix=prefix, access=access, igv=igv, allowed=allowed), jobs)
    address = url(host, chosen, prefix, access.token, score[0] if score else None)
    registry.prepare(notify)
    try:
        score_now(jobs, registry.first, score, notify)
        listen(app.server, sock, lambda: _announce(address, host, chosen, open_browser, notify), access)
    finally:
        registry.close()


def score_now(jobs: Jobs, view: RunView, names: Sequence[str], notify: Callable[[str], None]) -> None:
    """Start a job for each of these genes that a run has not scored, and tell how far each is, from a thread.

    Raises
    ------
    InputError
        The model of the run cannot be used here.
    """
    missing = [name for name in names if not view.run.finder.rows(name)]
    if missing and (off := unavailable_reason(view.run)):
        raise InputError(view.run.path, found=off, expected="a run whose model can score", fix="score genes elsewhere")
    for name in missing:
        job = jobs.start(view.key, view.run.path, name, "score", name)
        threading.Thread(target=_follow, args=(jobs, job, name, notify), daemon=True).start()


def _follow(jobs: Jobs, job: Task, name: str, notify: Callable[[str], None]) -> None:
    told = ""
    while not job.ended:
        jobs.wait(job, FOLLOW_SECONDS)
        words = "scored" if job.state == "done" else job.message
        if words and words != told:  # not each change of what was moved
            told = words
            notify(f"{name}: {words}" + (f" ({job.moved})" if job.moved and job.state != "failed" else ""))


def bind(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on the given port, or on the first free one from DEFAULT_PORT on.

    Raises
    ------
    InputError
        The port, or each of those tried, is taken, or the address does not belong to this machine.
    """
    wanted = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED) if port is None else [port]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in wanted:
        sock = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host.strip("[]"), candidate))
            sock.listen(128)
            return sock
        except OSError as problem:
            sock.close()
            reason = problem.strerror or str(problem)
    asked = f"port {port}" if port is not None else f"ports {wanted[0]} to {wanted[-1]}"
    raise InputError(
        f"{host}", found=f"{asked}: {reason}", expected="a free port", fix="choose another with --port"
    ) from None


def listen(
    application: WSGIApplication,
    sock: socket.socket,
    ready: Callable[[], None] | None = None,
    access: Access | None = None,
) -> None:
    """Answer requests on a bound socket with waitress until interrupted.

    Parameters
    ----------
    application : WSGIApplication
        What answers.
    sock : socket
        Where to listen.
    ready : Callable[[], None] or None
        Called once requests are answered.
    access : Access or None
        The rule by which the application refuses requests: their bodies are not read.
    """
    from waitress.server import create_server

    def handing_over(environ: dict, start_response: Callable) -> Iterable[bytes]:
        environ[HAND_OVER] = environ["wsgi.file_wrapper"]
        return application(environ, start_response)

    logging.getLogger("waitress.queue").setLevel(
        logging.ERROR
    )  # a browser asks for more at once than there are threads
    _allow_open_files()
    server = create_server(handing_over, sockets=[sock], threads=THREADS, ident=None, **SETTINGS)
    refused = nobody if access is None else lambda environ: refusal(access, environ) is not None
    serve_by(server, refused)
    if ready is not None:
        threading.Thread(target=ready, daemon=True).start()
    stopped = threading.Event()

    def stop(*_: object) -> None:
        """Leave the loop. An exception raised here would be lost where Python ignores them (in a `__del__`)."""
        stopped.set()
        server.pull_trigger()

    if threading.current_thread() is threading.main_thread():  # a shell's background jobs start with SIGINT ignored
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
    try:
        answer_until(stopped, server)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait for the rest
        server.task_dispatcher.shutdown()
        server.close()


def _allow_open_files() -> None:
    """Let this process open as many files as it may, at most OPEN_FILES: systems start with 256 to 1,024."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limits
        import resource

        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
        if now != resource.RLIM_INFINITY and now < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def url(host: str, port: int, prefix: str = "/", token: str | None = None, gene: str | None = None) -> str:
    """Return the address to open, with the token where one is needed, and the gene that is shown first."""
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(
        host, f"[{host}]" if ":" in host else host
    )
    given = {name: value for name, value in (("token", token), ("gene", gene)) if value}
    return f"http://{shown}:{port}{prefix}" + (f"?{urlencode(given)}" if given else "")


def hub_prefix(port: int) -> str:
    """Return the path under which JupyterHub's server proxy shows a port, "/" outside JupyterHub."""
    service = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{service.rstrip('/')}/proxy/{port}/" if service else "/"


def _announce(address: str, host: str, port: int, open_browser: bool, notify: Callable[[str], None]) -> None:
    notify(f"seq2exp-viz is ready at {address}  (Ctrl-C stops it)")
    remote = bool(os.environ.get("SSH_CONNECTION"))
    if remote and is_loopback(host):
        user = os.environ.get("USER", "you")
        notify(f"From your own computer: ssh -L {port}:127.0.0.1:{port} {user}@{socket.gethostname()}")
    seen = sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if open_browser and seen and not remote:
        webbrowser.open(address)
