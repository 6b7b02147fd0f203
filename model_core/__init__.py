"""Seq2Exp: studies, the model, its training and scoring, and run folders.

A public name is imported at its first use, so that torch is loaded only by the names that need it.

`__version__` is the version of the installed package, a str.

Examples
--------
>>> import model_core
>>> model_core.__version__.count(".") >= 2
True
>>> study = model_core.load_study("my-study")
>>> run = model_core.open_run("my-run")
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_core.config import Seq2ExpConfig
    from model_core.evaluation.compare import compare
    from model_core.model.checkpoint import load_checkpoint
    from model_core.model.seq2exp import Seq2Exp
    from model_core.run_folder.run import Run, open_run
    from model_core.scoring.score import score
    from model_core.study.study import Study, load_study
    from model_core.training.train import train

__all__ = [
    "Run",
    "Seq2Exp",
    "Seq2ExpConfig",
    "Study",
    "__version__",
    "compare",
    "load_checkpoint",
    "load_study",
    "open_run",
    "score",
    "train",
]

_PLACES = {
    "Run": "run_folder.run",
    "Seq2Exp": "model.seq2exp",
    "Seq2ExpConfig": "config",
    "Study": "study.study",
    "compare": "evaluation.compare",
    "load_checkpoint": "model.checkpoint",
    "load_study": "study.study",
    "open_run": "run_folder.run",
    "score": "scoring.score",
    "train": "training.train",
}


def __getattr__(name: str) -> Any:
    """Import a public name, or return the version."""
    if name == "__version__":
        return metadata.version("seq2exp-viz")
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
