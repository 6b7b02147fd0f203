"""Seq2Exp: genomes, the model and its files.

The public names; each is imported when it is first asked for, so that what needs no torch starts without it.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_core.config import Seq2ExpConfig
    from model_core.evaluation.compare import compare
    from model_core.model.checkpoint import load_checkpoint
    from model_core.model.seq2exp import Seq2Exp
    from model_core.run_folder.run import Run
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
    "score": "scoring.score",
    "train": "training.train",
}


def __getattr__(name: str) -> Any:
    """Import a public name, or look up the version."""
    if name == "__version__":
        return metadata.version("seq2exp-viz")
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
