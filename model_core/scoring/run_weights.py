"""Loading of the weights that a run's genes are computed with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from model_core.errors import InputError
from model_core.model.checkpoint import load_with_metadata
from model_core.model.gene_model import GeneModel
from model_core.run_folder.run import Run
from model_core.run_folder.run_weights import weights_of


class RunWeights(NamedTuple):
    """Model of a run, in evaluation mode, with the metadata of its checkpoint, its file and the file's sha256."""

    model: GeneModel
    metadata: dict[str, Any]
    path: Path
    sha256: str


def load_run_weights(run: Run, given: str | Path | None = None, device: str | None = None) -> RunWeights:
    """Load the weights that a run's genes are computed with (`weights_of`).

    Parameters
    ----------
    run : Run
        The run.
    given : str or Path or None
        Another file of the same weights; None for the run's own.
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.

    Raises
    ------
    InputError
        As `weights_of` and `load_with_metadata`; the file changed while it was read; or the run's manifest says that it
        stores what the model does not have.
    """
    path, sha256 = weights_of(run, given)
    model, metadata = load_with_metadata(path, device)
    if weights_of(run, given) != (path, sha256):
        raise InputError(path, found="a file that changed while it was read", expected="one file", fix="start again")
    _require_stored(run, model)
    return RunWeights(model, metadata, path, sha256)


def _require_stored(run: Run, model: GeneModel) -> None:
    """Raise InputError unless the model gives the effects and the contact that the run stores of each gene."""
    members, contact = (run.manifest.get(name) for name in ("members", "contact"))
    for name, stored, known in (
        ("members", members, [model.config.stored_members]),
        ("contact", contact, model.config.signals),
    ):
        if stored is not None and stored not in known:
            found, do = f"{name} {stored!r}", "copy the run again, or score into a new run"
            expected = f"what its model has: {', '.join(map(str, known))}"
            raise InputError(run.path / "manifest.json", found=found, expected=expected, fix=do)
