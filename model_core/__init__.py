"""Seq2Exp: genomes, the model and its files. Names that need torch are loaded on first use."""

from importlib import import_module

_LAZY = {
    "load_checkpoint": "model_core.model.checkpoint",
    "Seq2Exp": "model_core.model.seq2exp",
    "Seq2ExpConfig": "model_core.config",
}
__all__ = list(_LAZY)


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
