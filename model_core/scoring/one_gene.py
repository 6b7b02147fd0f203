"""Scoring of a few genes by name into a run folder that is kept, with a report of each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from model_core.datasets.known_models import ModelFile
from model_core.run_folder.notes import gene_note
from model_core.run_folder.run import Run
from model_core.scoring.score import choose_genes, run_for, score, with_features
from model_core.study.study import Study
from model_core.window import Window

SCORING = "scoring"  # the last step, which shows progress of its own


class GeneResult(NamedTuple):
    """What a scored gene's row of the run says."""

    gene_id: str
    symbol: str
    predicted: float  # in the unit that the model was trained on
    observed: float | None  # the same; None where it was not measured
    kept_percent: float  # of the window's bases
    elements: int
    note: str | None = None  # what has to be said of this gene

    def text(self) -> str:
        """Return the result as one line; nothing is said of an expression that was not measured."""
        observed = "" if self.observed is None else f", observed {self.observed:.2f}"
        count = f"{self.elements} element{'' if self.elements == 1 else 's'}"
        note = f"; {self.note}" if self.note else ""
        return f"{self.symbol}: predicted {self.predicted:.2f}{observed}, {self.kept_percent:.1f} % kept, {count}{note}"


def prepare_genes(
    out: str | Path,
    study: Study,
    checkpoint: str | Path,
    names: Sequence[str],
    progress: Callable[[str], None] = lambda step: None,
    device: str | None = None,
    model: ModelFile | None = None,
) -> tuple[Run, list[GeneResult]]:
    """Score genes into a run folder, new or made from the same study and checkpoint; skip those that it holds.

    A gene costs its window, the bases of its exons and the signals at its start site. An interrupted call goes on when
    it is repeated.

    Parameters
    ----------
    out : str or Path
        The run folder.
    study : Study
        The study.
    checkpoint : str or Path
        Checkpoint, ours or the authors'.
    names : Sequence[str]
        Ids or symbols.
    progress : callable
        Called with each step, such as "reading DNase", as it begins.
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.
    model : ModelFile or None
        The checkpoint as `known_models.model_file` found it, for a new folder: recorded, so that the run says what its
        model was trained on.

    Raises
    ------
    InputError
        An unknown name, with the nearest known ones; or as `run_for` and `score`.
    """
    progress("reading annotation")
    chosen = choose_genes(study.gene_sites(), names)
    progress("opening the model")
    run = run_for(study, checkpoint, out, model=model)
    left = chosen[~chosen["gene_id"].isin(run.scored)].reset_index(drop=True)
    for window in study.windows(left):
        read_inputs(study, window, progress)
    if len(left) or not _is_complete(run):
        progress("reading gene features")
        genes = with_features(study, left)
        progress(SCORING)
        run = score(run, study, genes, checkpoint, device)
    return run, [_result(run, gene_id) for gene_id in chosen["gene_id"]]


def read_inputs(study: Study, window: Window, progress: Callable[[str], None]) -> None:
    """Read sequence and signals of a window, so that what lies on servers is in the cache; tell what is being read."""
    progress("reading sequence")
    study.genome().sequence(window.chrom, window.start, window.end)
    for signal in study.signals():
        progress(f"reading {signal.name}")
        signal.read(window)


def _is_complete(run: Run) -> bool:
    """Return whether elements and tables were derived from all genes that are scored: a call may have been cut off."""
    assembled = run.manifest["assembled"]
    return assembled is not None and assembled["genes"] == len(run.scored)


def _result(run: Run, gene_id: str) -> GeneResult:
    row = run.gene(gene_id)
    observed = None if row["observed"] != row["observed"] else float(row["observed"])
    numbers = float(row["predicted"]), observed, float(row["kept_percent"]), int(row["elements"])
    return GeneResult(gene_id, str(row["symbol"]), *numbers, gene_note(run.manifest, row))
