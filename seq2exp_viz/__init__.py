"""The viewer of Seq2Exp runs: command line, web page, notebook view, exports."""

from __future__ import annotations

__all__ = ["browse", "figure", "open_run"]


def __getattr__(name: str):
    """The notebook functions, imported when they are first asked for."""
    if name in __all__:
        from seq2exp_viz import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
