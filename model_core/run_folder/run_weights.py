"""Weights of a run: all genes of a run are computed with the same ones, by whichever program adds or asks.

The manifest records their sha256 when the run is created, when its training ends, or, of a training that has not
ended, when its first genes are scored.
"""

from __future__ import annotations

from pathlib import Path

from model_core.errors import InputError
from model_core.fingerprint import sha256_of
from model_core.run_folder.manifest import described_file
from model_core.run_folder.run import Run

_SHOWN = 12  # digits of a hash in messages


def weights_of(run: Run, given: str | Path | None = None) -> tuple[Path, str]:
    """Return the file of the weights that a run's genes are computed with, and its sha256.

    Parameters
    ----------
    run : Run
        The run.
    given : str or Path or None
        Another file of the same weights; None for the one that `Run.checkpoint` finds.

    Raises
    ------
    InputError
        There is no such file, or it holds other weights than the manifest records.
    """
    path = run.checkpoint if given is None else Path(given)
    if path is None or not path.is_file():
        where, found = (run.path, "no checkpoint") if path is None else (path, "no such file")
        advice = "check the path, or train or score it on this machine"
        raise InputError(where, found=found, expected="the weights the run was scored with", fix=advice)
    present, recorded = sha256_of(path), run.checkpoint_sha256
    if recorded is not None and present != recorded:
        found = f"other weights than the run was scored with (sha256 {present[:_SHOWN]}...)"
        expected = f"those that {run.path / 'manifest.json'} records (sha256 {recorded[:_SHOWN]}...)"
        raise InputError(path, found=found, expected=expected, fix="restore those, or score into a new run")
    return path, present


def record_weights(run: Run, path: Path) -> None:
    """Record the weights of a run that records none yet; only the holder of the run's lock may call it."""
    if run.checkpoint_sha256 is None:
        run.update(checkpoint=described_file(path, run.path))


def require_unscored(run: Run) -> None:
    """Check that training on would not change the weights of genes that are already scored.

    Raises
    ------
    InputError
        The run has scored genes.
    """
    if count := len(run.scored):
        found = f"{count:,} genes scored with its weights" + (
            "" if run.checkpoint_sha256 is None else f" (sha256 {run.checkpoint_sha256[:_SHOWN]}...)"
        )
        expected = "no scored genes before the training has ended, as training on changes the weights"
        do = "train in another folder, or remove scores.jsonl and masks.zarr of this one"
        raise InputError(run.path, found=found, expected=expected, fix=do)
