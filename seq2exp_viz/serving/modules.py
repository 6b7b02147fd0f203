"""The JavaScript modules of the page: their bare names, and the import map that gives the address of each.

A module imports another by its bare name, "seq2exp/page/state" for assets/page/state.js, so that one file serves the
page (where a name maps to an address) and a notebook (where it maps to the text itself). In the page each address
ends with a digest of the file: a module has one address there, and a new version has a new address.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from model_core.listing import files_in
from seq2exp_viz.serving.static_files import folder

PAGE, NOTEBOOK = ("page", "tracks"), ("notebook", "tracks")  # folders of assets/ with the modules of each
FOLDERS = tuple(sorted({*PAGE, *NOTEBOOK}))


class Head(NamedTuple):
    """HTML of the page's head, and the source expression that allows it in the Content-Security-Policy."""

    html: str
    source: str


def modules(folders: Iterable[str]) -> dict[str, Path]:
    """Return the file of each module in some folders of assets/, by bare name."""
    found = [path for name in folders for path in files_in(folder() / name, "*.js")]
    return {f"seq2exp/{path.parent.name}/{path.stem}": path for path in found}


def page_head(base: str) -> Head:
    """Return the page's import map and a preload of each module, so that the browser requests all of them at once.

    Parameters
    ----------
    base : str
        Prefix of all addresses of the page, "/" or "/some/where/".
    """
    imports = {name: f"{base}assets/{_below(path)}?v={_digest(path)}" for name, path in modules(PAGE).items()}
    text = json.dumps({"imports": imports}, separators=(",", ":")).replace("<", "\\u003c")
    preloads = "\n".join(f'<link rel="modulepreload" href="{escape(address)}">' for address in imports.values())
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Head(f'<script type="importmap">{text}</script>\n{preloads}', f"'sha256-{digest}'")


def may_be_kept(place: str, digest: str | None) -> bool:
    """Return whether the address of a module, its place below assets/ and the digest it ends with, is of its content.

    What is served there never changes, so that a browser need not ask again.
    """
    return digest is not None and any(
        _below(path) == place and _digest(path) == digest for path in modules(PAGE).values()
    )


def embedded_imports() -> dict[str, str]:
    """Return the imports of a notebook's import map: bare name -> data: address that holds the module."""
    texts = {name: path.read_text(encoding="utf-8") for name, path in modules(NOTEBOOK).items()}
    return {name: f"data:text/javascript;charset=utf-8,{quote(text, safe=_KEPT)}" for name, text in texts.items()}


_KEPT = "!$&'()*+,-./:;=?@_~ "  # letters that a data: address may hold as they are, which compresses better


def _below(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
