"""Check whether the model of a run can be used on this machine, without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from model_core.errors import InputError
from model_core.run_folder.run import Run

MODEL_PACKAGES = ("torch", "lightning", "numba", "safetensors")  # of the extra `model`


def missing_packages(needed: Sequence[str] = MODEL_PACKAGES) -> list[str]:
    """Return which of some packages of the extra `model` are not installed."""
    return [name for name in needed if find_spec(name) is None]


def require_packages(needed: Sequence[str] = MODEL_PACKAGES) -> None:
    """Check that packages of the extra `model` are installed; by default those that running a model needs.

    Raises
    ------
    InputError
        Some of them are missing.
    """
    if missing := missing_packages(needed):
        found, fix = f"no {', '.join(missing)}", "pip install 'seq2exp-viz[model]'"
        raise InputError("this installation", found=found, expected="the extra `model`", fix=fix)


def unavailable_reason(run: Run) -> str:
    """Return why the model of a run cannot be used here, as a sentence for the page; "" where it can."""
    missing = missing_packages()
    if missing:
        names, are = ", ".join(missing), "is" if len(missing) == 1 else "are"
        return f"What-if is off: {names} {are} not installed. Install with: pip install 'seq2exp-viz[model]'"
    if run.checkpoint_sha256 is None or run.checkpoint is None:
        return "What-if is off: the weights of this run's model are not on this machine."
    recorded = run.manifest["study"]
    if recorded is None or not any(p.is_file() for p in (Path(recorded["path"]), run.path / recorded["relative"])):
        return "What-if is off: the study that this run was made from is not on this machine."
    return ""
