"""The page for another WSGI server, set up by environment variables: `gunicorn seq2exp_viz.wsgi:application`.

SEQ2EXP_RUNS        run folders, separated as in PATH; needed
SEQ2EXP_TOKEN       secret that every request must show
SEQ2EXP_HOSTS       without a token: names that the server answers to, comma between (default: this machine's)
SEQ2EXP_URL_PREFIX  path below which a proxy shows the page
SEQ2EXP_ALLOW       folders whose tracks may be opened, separated as in PATH
SEQ2EXP_IGV         "notebook" takes igv-notebook's igv.js in any case
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from functools import lru_cache

from flask import Flask

from model_core.errors import InputError, complaint
from seq2exp_viz.page.app import Settings, clean_prefix, create_app
from seq2exp_viz.serving.allowed import AllowedFiles
from seq2exp_viz.serving.security import LOOPBACK_NAMES, Access
from seq2exp_viz.shelf.runs import Shelf


def from_environment(environ: Mapping[str, str]) -> Flask:
    """The WSGI application that these variables describe.

    Raises:
        InputError: no run is named, or one cannot be opened.
    """
    folders = [part for part in environ.get("SEQ2EXP_RUNS", "").split(os.pathsep) if part]
    if not folders:
        raise InputError(complaint("SEQ2EXP_RUNS", "no run", "run folders, separated as in PATH", "set the variable"))
    hosts = frozenset(name.strip().lower() for name in environ.get("SEQ2EXP_HOSTS", "").split(",") if name.strip())
    prefix = clean_prefix(environ.get("SEQ2EXP_URL_PREFIX", ""))
    access = Access(token=environ.get("SEQ2EXP_TOKEN") or None, hosts=hosts or LOOPBACK_NAMES, path=prefix)
    shelf = Shelf(folders)
    shelf.prepare()
    atexit.register(shelf.close)
    allowed = AllowedFiles(part for part in environ.get("SEQ2EXP_ALLOW", "").split(os.pathsep) if part)
    igv = "notebook" if environ.get("SEQ2EXP_IGV") == "notebook" else "vendored"
    return create_app(shelf, Settings(prefix=prefix, access=access, igv=igv, allowed=allowed)).server


@lru_cache(maxsize=1)
def _application() -> Flask:
    return from_environment(os.environ)


def __getattr__(name: str):
    """`application`, made when a server first asks for it."""
    if name == "application":
        return _application()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
