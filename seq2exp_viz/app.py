"""The Dash application, built from opened runs: no sockets here, so that tests can talk to it directly."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dash import Dash

from seq2exp_viz import api, browser_files, callbacks, layout
from seq2exp_viz.security import Access, content_security_policy, protect
from seq2exp_viz.shelf import Shelf


@dataclass(frozen=True)
class Settings:
    """How the page is served.

    Args:
        prefix: path below which browsers reach it, "/" or "/some/where/"; requests may come with or without it.
        access: who is let in.
        igv: "vendored" for igv.js 3.8 where it is there, "notebook" for igv-notebook's 3.1.4 in any case.
        cache: folder for derived files, or None for the user's cache.
    """

    prefix: str = "/"
    access: Access = field(default_factory=Access)
    igv: str = "vendored"
    cache: Path | None = None


def create_app(shelf: Shelf, settings: Settings = Settings()) -> Dash:
    """The page and its interface over the runs of `shelf`."""
    script = browser_files.igv_script(settings.igv)
    app = Dash(
        "seq2exp_viz",
        title="seq2exp-viz",
        update_title=None,
        assets_folder=str(browser_files.folder()),
        assets_ignore=r".*\.min\.js$",  # igv.js is loaded by the bridge, beside the page and not before it
        requests_pathname_prefix=settings.prefix,
        routes_pathname_prefix="/",
        serve_locally=True,
        suppress_callback_exceptions=True,
    )
    app.layout = layout.page(shelf, settings.prefix, script)
    callbacks.register(app, shelf, settings.prefix)
    app.server.register_blueprint(api.api(shelf, settings.prefix, settings.igv))
    app.server.wsgi_app = WithPrefix(app.server.wsgi_app, settings.prefix)
    protect(app.server, settings.access, content_security_policy(app.csp_hashes()))
    return app


class WithPrefix:
    """WSGI: the same page whether a proxy in front strips the prefix off the path or leaves it."""

    def __init__(self, inner, prefix: str):
        self.inner, self.prefix = inner, prefix.rstrip("/")

    def __call__(self, environ: dict, start_response):
        path = environ.get("PATH_INFO", "")
        if self.prefix and (path == self.prefix or path.startswith(self.prefix + "/")):
            environ["PATH_INFO"] = path[len(self.prefix) :] or "/"
        return self.inner(environ, start_response)


def clean_prefix(text: str) -> str:
    """ "/a/b/" of "a/b", "/a/b" or "a/b/"; "/" of nothing."""
    inner = "/".join(part for part in text.split("/") if part)
    return f"/{inner}/" if inner else "/"
