"""Functions that all matplotlib figures share: settings independent of matplotlibrc, and SVG for HTML pages."""

from __future__ import annotations

import re

import matplotlib as mpl

_NO_STYLE = ("backend", "backend_fallback", "interactive", "toolbar", "timezone", "datapath")


def plain_settings(style: dict) -> dict:
    """Return matplotlib's default settings, updated with `style`."""
    return {name: value for name, value in mpl.rcParamsDefault.items() if name not in _NO_STYLE} | style


def inline_svg(svg: str, prefix: str) -> str:
    """Return a drawing without XML header and metadata, its ids prefixed so that they are unique in a page."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r'(\bid=")', rf"\1{prefix}", svg)
    return re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\1{prefix}", svg)
