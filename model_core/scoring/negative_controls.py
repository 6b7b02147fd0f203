"""Trainings of a study and of its negative controls with the same settings, and what each control loses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from model_core.config import Seq2ExpConfig, TrainConfig
from model_core.errors import InputError
from model_core.evaluation.lost_by_controls import REAL, gene_numbers, inputs_of, table_of
from model_core.files import write_text
from model_core.negative_control import CONTROLS, control_words
from model_core.run_folder.run import Run
from model_core.scoring.score import choose_genes, score
from model_core.study.study import Study
from model_core.training.train import train
from model_core.tsv import table_text

TABLE = "controls.tsv"


def negative_controls(
    study: Study,
    config: Seq2ExpConfig,
    training: TrainConfig,
    out: str | Path,
    device: str | None = None,
    say: Callable[[str], None] = lambda words: None,
) -> pd.DataFrame:
    """Train a study and its negative controls, score the test genes, and compare; write OUT/controls.tsv.

    Each has a run folder of its own in OUT: `real` and the names of CONTROLS. What is finished there is used as it is,
    and an interrupted training goes on.

    Parameters
    ----------
    study : Study
        The study.
    config : Seq2ExpConfig
        Settings of all models.
    training : TrainConfig
        Settings of all trainings, with the seed.
    out : str or Path
        The folder.
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.
    say : callable
        Called with a line of text as each run begins.

    Returns
    -------
    DataFrame
        Of `lost_by_controls.table_of`.

    Raises
    ------
    InputError
        No test gene has a label, the mask is not learned, or as `train` and `score`.
    """
    _check(study, config)
    study.genes()  # features are computed once, for all
    studies = {REAL: study, **{name: study.as_control(name, training.seed) for name in CONTROLS}}
    numbers = {}
    for number, (name, mixed) in enumerate(studies.items(), 1):
        say(f"{number} of {len(studies)}, {name}: {'the study as it is' if name == REAL else control_words(name)}")
        run = _scored(mixed, train(mixed, config, training, Path(out) / name, device), device)
        numbers[name] = gene_numbers(run, mixed, inputs_of(study, run))
    table = table_of(numbers)
    write_text(Path(out) / TABLE, table_text(table, "%.6g"))
    return table


def _check(study: Study, config: Seq2ExpConfig) -> None:
    sites = study.gene_sites()
    if not np.isfinite(sites["label"][sites["split"] == "test"]).any():
        expected = "measured expression of test genes, on which the controls are judged"
        fix = "name test chromosomes under [genes.split], and a label under [genes]"
        raise InputError(study.path, found="no test gene with a label", expected=expected, fix=fix)
    if config.mask.kind != "learned":
        found = f"the mask {config.mask.kind!r}, which is a control itself"
        raise InputError(study.path, found=found, expected="a learned mask", fix="remove `mask` from [model]")


def _scored(study: Study, run: Run, device: str | None) -> Run:
    """Return the run with the test genes scored and its files derived; nothing is done where that is finished."""
    genes = choose_genes(study.genes())
    if set(genes["gene_id"]) <= run.scored and run.manifest.get("assembled"):
        return run
    return score(run, study, genes, device=device)
