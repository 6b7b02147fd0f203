"""Plotly figures as plain dicts in one quiet look; colours of text and lines come from the stylesheet (.chart)."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's colours, told apart with any colour vision.
BLUE, ORANGE, GREEN, GREY, RED = "#0072b2", "#e69f00", "#009e73", "#8a93a0", "#d55e00"
SPLIT_COLOURS = {"train": GREY, "validation": ORANGE, "test": BLUE, "": GREEN}
MARGINS = {"l": 46, "r": 12, "t": 30, "b": 38}


def figure(data: list[dict], title: str, across: str, up: str, **layout: Any) -> dict:
    """A figure of these traces.

    Args:
        across, up: titles of the axes. layout: further entries of Plotly's layout; xaxis and yaxis are added to ours.
    """
    axes = {
        name: {"title": {"text": words, "standoff": 6}, "zeroline": False, "automargin": True, **layout.pop(name, {})}
        for name, words in (("xaxis", across), ("yaxis", up))
    }
    return {
        "data": data,
        "layout": {
            "title": {"text": title, "x": 0, "xref": "paper", "y": 1, "yref": "container", "yanchor": "top",
                      "pad": {"t": 8}, "font": {"size": 12}},
            "font": {"family": "system-ui, -apple-system, 'DejaVu Sans', sans-serif", "size": 11},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": MARGINS,
            "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom",
                       "font": {"size": 10}},
            "hoverlabel": {"font": {"size": 11}},
            "dragmode": "zoom",
            **axes,
            **layout,
        },
    }  # fmt: skip


def text(value: object) -> str:
    """Words out of a file, safe where Plotly would read them as HTML."""
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
