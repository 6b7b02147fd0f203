"""What all matplotlib figures share: settings that no user's matplotlibrc changes, and SVG that HTML pages can hold."""

from __future__ import annotations

import re

import matplotlib as mpl

_NO_STYLE = ("backend", "backend_fallback", "interactive", "toolbar", "timezone", "datapath")


def plain_settings(style: dict) -> dict:
    """Return matplotlib's own settings with `style` over them."""
    return {name: value for name, value in mpl.rcParamsDefault.items() if name not in _NO_STYLE} | style


def inline_svg(svg: str, prefix: str) -> str:
    """Return a drawing without its XML head and metadata, its ids prefixed, for matplotlib numbers all alike."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r'(\bid=")', rf"\1{prefix}", svg)
    return re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\1{prefix}", svg)
