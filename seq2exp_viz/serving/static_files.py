"""Paths of the browser's files: the assets folder, in a checkout and in a wheel, and the igv.js to serve."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from model_core.errors import InputError
from seq2exp_viz.serving import vendor

CLASSIC_SCRIPT = "dash_clientside.js"  # distinguishes the assets folder from another of that name


class IgvScript(NamedTuple):
    """An igv.js file, its version, and a description of its origin."""

    path: Path
    version: str
    source: str


def folder() -> Path:
    """Return the assets folder: inside the package once installed, next to it in a checkout.

    Raises
    ------
    InputError
        Neither exists.
    """
    package = Path(__file__).resolve().parents[1]
    for place in (package / "assets", package.parent / "assets"):
        if (place / CLASSIC_SCRIPT).is_file():
            return place
    raise InputError(
        package, found="no assets folder", expected=f"assets/{CLASSIC_SCRIPT}", fix="install the package again"
    )


def igv_script(prefer: str = "vendored") -> IgvScript:
    """Return the igv.js 3.8 that the build put into assets/vendor, else the 3.1.4 of the igv-notebook package.

    Parameters
    ----------
    prefer : str
        "vendored", or "notebook" to use that of igv-notebook in any case.

    Raises
    ------
    InputError
        Neither exists.
    """
    vendored = folder() / "vendor" / "igv.min.js"
    if prefer == "vendored" and vendored.is_file():
        return IgvScript(vendored, vendor.VERSION, "bundled at build time")
    found = find_spec("igv_notebook")
    home = Path(found.origin).parent if found is not None and found.origin else None
    # js/igv.min.js of the same package is an older version: VERSION_IGV states the version of the .iife.js.
    script = home / "js" / "igv.iife.js" if home else None
    if home is None or script is None or not script.is_file():
        where = "assets/vendor and igv-notebook"
        raise InputError(
            where,
            found="no igv.js",
            expected="one of the two",
            fix="run `python -m seq2exp_viz.serving.vendor`, or pip install igv-notebook",
        )
    stated = home / "VERSION_IGV"
    version = stated.read_text(encoding="utf-8").strip() if stated.is_file() else "3.1.4"
    return IgvScript(script, re.sub(r"[^0-9.]", "", version), "from the igv-notebook package")
