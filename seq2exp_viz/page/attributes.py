"""Attributes of HTML whose names Python cannot spell, as keyword arguments of a Dash component."""

from __future__ import annotations

from typing import Any


def aria(**values: str) -> dict[str, Any]:
    """Return aria attributes: `aria(label="Zoom in")` is {"aria-label": "Zoom in"}."""
    return {f"aria-{name}": value for name, value in values.items()}


def data(**values: str) -> dict[str, Any]:
    """Return data attributes: `data(action="svg")` is {"data-action": "svg"}."""
    return {f"data-{name}": value for name, value in values.items()}
