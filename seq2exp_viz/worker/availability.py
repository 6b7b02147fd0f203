"""Whether a model can be asked here, found out without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from model_core.errors import InputError
from model_core.run_folder.run import Run

MODEL_PACKAGES = ("torch", "lightning", "numba", "safetensors")  # of the extra `model`


def missing_packages() -> list[str]:
    """Packages of the extra `model` that are not installed."""
    return [name for name in MODEL_PACKAGES if find_spec(name) is None]


def require_packages() -> None:
    """Raise InputError where packages of the extra `model` are missing."""
    if missing := missing_packages():
        found, fix = f"no {', '.join(missing)}", "pip install 'seq2exp-viz[model]'"
        raise InputError("this installation", found=found, expected="the extra `model`", fix=fix)


def unavailable_reason(run: Run) -> str:
    """Why the model of a run cannot be asked here, in words for the page; "" where it can."""
    missing = missing_packages()
    if missing:
        names = ", ".join(missing)
        return f"What-if is off: {names} is not installed here. pip install 'seq2exp-viz[model]' brings it."
    if run.checkpoint_sha256 is None or run.checkpoint is None:
        return "What-if is off: the weights of this run's model are not on this machine."
    recorded = run.manifest["study"]
    if recorded is None or not any(p.is_file() for p in (Path(recorded["path"]), run.path / recorded["relative"])):
        return "What-if is off: the study that this run was made from is not on this machine."
    return ""
