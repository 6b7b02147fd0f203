"""The Dash application, built from opened runs; it opens no socket, so that tests can call it directly."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from dash import Dash
from dash.exceptions import DependencyException
from flask import Response, request

from model_core.remote.address import InputPath
from seq2exp_viz.api import genes
from seq2exp_viz.api.http import answer_what_is_gone
from seq2exp_viz.page import callbacks, layout
from seq2exp_viz.page.callback_requests import check_callback_requests
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving import modules, static_files
from seq2exp_viz.serving.allowed_files import AllowedFiles
from seq2exp_viz.serving.body_limits import LONGEST_UPLOAD
from seq2exp_viz.serving.byte_ranges import answer
from seq2exp_viz.serving.guard import Guard
from seq2exp_viz.serving.security import ALWAYS, Access, ReadableCookies, content_security_policy, protect, refusal
from seq2exp_viz.worker.jobs import Jobs

if TYPE_CHECKING:
    from seq2exp_viz.worker.shared_jobs import SharedJobs

# As Dash's own, with the page's language and modules, and without a second footer, which screen readers would stop at.
INDEX = """<!DOCTYPE html>
<html lang="en">
    <head>
        {%metas%}
        <title>{%title%}</title>
        {%favicon%}
        {%css%}
        @MODULES@
    </head>
    <body>
        {%app_entry%}
        <div>
            {%config%}
            {%scripts%}
            {%renderer%}
        </div>
    </body>
</html>"""
# Folders of assets/ whose scripts Dash must not list: a module that is listed as well would be loaded twice, and igv.js
# is loaded alongside the page and not before it.
UNLISTED = [rf"^{name}$" for name in ("vendor", *modules.FOLDERS)]


@dataclass(frozen=True)
class Settings:
    """How the page is served.

    Parameters
    ----------
    prefix : str
        Path below which browsers reach the page, "/" or "/some/where/"; requests may come with or without it.
    access : Access
        The rule on who may use the page.
    igv : str
        "vendored" for igv.js 3.8 where it is installed, "notebook" for the 3.1.4 of igv-notebook.
    cache : Path or None
        Folder for derived files, or None for the user's cache.
    allowed : AllowedFiles
        Track files on the server that the page may open.
    """

    prefix: str = "/"
    access: Access = field(default_factory=Access)
    igv: str = "vendored"
    cache: Path | None = None
    allowed: AllowedFiles = field(default_factory=AllowedFiles)


def create_app(registry: RunRegistry, settings: Settings = Settings(), jobs: Jobs | SharedJobs | None = None) -> Dash:
    """Return the page and its HTTP interface for the runs of a registry.

    Parameters
    ----------
    registry : RunRegistry
        The runs that can be chosen.
    settings : Settings
        How the page is served.
    jobs : Jobs or SharedJobs or None
        Questions and jobs, such as those shared by several processes; None makes some for this process.
    """
    script, head = static_files.igv_script(settings.igv), modules.page_head(settings.prefix)
    mimetypes.add_type("text/javascript", ".js")  # whatever this machine's tables say: browsers refuse other types
    app = Dash(
        "seq2exp_viz",
        title="seq2exp-viz",
        index_string=INDEX.replace("@MODULES@", head.html),
        update_title="",
        assets_folder=str(static_files.folder()),
        assets_path_ignore=UNLISTED,
        requests_pathname_prefix=settings.prefix,
        routes_pathname_prefix="/",
        serve_locally=True,
        suppress_callback_exceptions=True,
    )
    app.renderer = files("seq2exp_viz").joinpath("page_start.js").read_text(encoding="utf-8")
    app.layout = layout.page(registry, settings.prefix, script, settings.access.read_only)
    callbacks.register(app, registry, settings.prefix)
    jobs = Jobs() if jobs is None else jobs  # their process is started by the first question
    registry.at_close(jobs.close)
    app.server.register_blueprint(
        genes.api(registry, settings.prefix, jobs, settings.igv, settings.allowed, settings.access.read_only)
    )
    ranges_first = RangesFirst(app.server.wsgi_app, registry, settings.access)
    app.server.wsgi_app = Guard(ReadableCookies(WithPrefix(ranges_first, settings.prefix)))
    protect(app.server, settings.access, content_security_policy([*app.csp_hashes(), head.source]))
    check_callback_requests(app)  # after `protect`: Flask asks them in this order
    app.server.after_request(_keep_modules)
    answer_what_is_gone(app.server)
    app.server.register_error_handler(DependencyException, _no_such_script)
    app.server.config["MAX_CONTENT_LENGTH"] = LONGEST_UPLOAD
    _write_once(app)
    return app


def _no_such_script(_problem: DependencyException) -> tuple[str, int]:
    """Answer a request for a script that no component has; Dash itself would fail."""
    return "There is no such script.\n", 404


def _keep_modules(answer: Response) -> Response:
    """Let the browser keep the page's modules, whose addresses change with their content."""
    place = request.path.removeprefix("/assets/")
    if answer.status_code == 200 and place != request.path and modules.may_be_kept(place, request.args.get("v")):
        answer.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return answer


def _write_once(app: Dash) -> None:
    """Render the page once before the first visitor.

    Dash serves only scripts of components that a page of this process has named, and several first visitors at once
    could meet its callbacks half set up.
    """
    with app.server.test_request_context("/"):
        app.server.preprocess_request()
        app.index()


class RangesFirst:
    """WSGI middleware that answers ranges of served files before Flask, which would cost more than reading them.

    igv.js requests hundreds of ranges. The access rule and the table of files are the same as behind Flask.
    """

    def __init__(self, inner, registry: RunRegistry, access: Access):
        self.inner, self.registry, self.access = inner, registry, access

    def __call__(self, environ: dict, start_response):
        path = self._file(environ) if "HTTP_RANGE" in environ and environ["REQUEST_METHOD"] == "GET" else None
        if path is None or refusal(self.access, environ):
            return self.inner(environ, start_response)
        status, headers, body = answer(path, environ)
        start_response(f"{status} {HTTPStatus(status).phrase}", [*headers, *ALWAYS])
        return body

    def _file(self, environ: dict) -> InputPath | None:
        parts = environ.get("PATH_INFO", "").split("/")
        view = self.registry.get(parts[2]) if len(parts) == 4 and parts[1] == "data" else None
        return view.file(parts[3]) if view is not None else None


class WithPrefix:
    """WSGI middleware that serves the same page whether a proxy in front removes the prefix of the path or not."""

    def __init__(self, inner, prefix: str):
        self.inner, self.prefix = inner, prefix.rstrip("/")

    def __call__(self, environ: dict, start_response):
        path = environ.get("PATH_INFO", "")
        if self.prefix and (path == self.prefix or path.startswith(self.prefix + "/")):
            environ["PATH_INFO"] = path[len(self.prefix) :] or "/"
        return self.inner(environ, start_response)


def clean_prefix(text: str) -> str:
    """Return a path with one slash at each end: "a/b", "/a/b" and "a/b/" become "/a/b/", and "" becomes "/"."""
    inner = "/".join(part for part in text.split("/") if part)
    return f"/{inner}/" if inner else "/"
