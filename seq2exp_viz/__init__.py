"""The viewer of Seq2Exp runs: command line, web page, notebook view, exports."""

from __future__ import annotations

from typing import Any

__all__ = ["browse", "figure", "open_run"]


def __getattr__(name: str) -> Any:
    """Return a notebook function, which is imported when it is first used."""
    if name in __all__:
        from seq2exp_viz import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
