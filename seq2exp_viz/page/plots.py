"""Plotly figures as plain dicts in one quiet look; colours of text and lines come from the stylesheet (.chart)."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's colours, told apart with any colour vision.
BLUE, ORANGE, GREEN, GREY, RED = "#0072b2", "#e69f00", "#009e73", "#8a93a0", "#d55e00"
SPLIT_COLOURS = {"train": GREY, "validation": ORANGE, "test": BLUE, "": GREEN}
MARGINS = {"l": 40, "r": 10, "t": 8, "b": 34}


def figure(data: list[dict], across: str, up: str, **layout: Any) -> dict:
    """A figure of these traces.

    Parameters
    ----------
    across, up : str
        Titles of the axes.
    layout : Any
        Further entries of Plotly's layout; xaxis and yaxis are added to ours.
    """
    axes = {
        name: {
            "title": {"text": words, "standoff": 4, "font": {"size": 11}},
            "zeroline": False,
            "automargin": True,
            **layout.pop(name, {}),
        }
        for name, words in (("xaxis", across), ("yaxis", up))
    }
    return {
        "data": data,
        "layout": {
            "font": {"family": "system-ui, -apple-system, 'DejaVu Sans', sans-serif", "size": 11},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": MARGINS,
            "showlegend": False,  # the page writes it above the figure, where it has room
            "hoverlabel": {"font": {"size": 11}},
            "dragmode": "zoom",
            **axes,
            **layout,
        },
    }  # fmt: skip


def colour(trace: dict) -> str:
    """The colour of a trace, of its line or its marks."""
    return (trace.get("line") or {}).get("color") or trace["marker"]["color"]


def text(value: object) -> str:
    """Words out of a file, safe where Plotly would read them as HTML."""
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
