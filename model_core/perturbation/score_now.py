"""Scoring of one more gene into an existing run."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from model_core.errors import InputError
from model_core.perturbation.run_model import RunModel
from model_core.perturbation.what_if import WhatIf
from model_core.run_folder.assemble import assemble
from model_core.scoring.one_gene import read_inputs
from model_core.scoring.score import run_metrics

MOST_ASSEMBLED = 500  # genes up to which the derived files of a run are written again after one more gene (seconds)


def read_gene(
    model: RunModel, name: str, progress: Callable[[str], None] = lambda step: None
) -> tuple[pd.Series, WhatIf]:
    """Read what scoring a gene of the study, by id or symbol, or a position, needs.

    Nothing of the run changes, so a caller may stop waiting for it.

    Parameters
    ----------
    model : RunModel
        The model.
    name : str
        As `RunModel.gene`.
    progress : callable
        Called with each step, such as "reading DNase", as it begins.

    Returns
    -------
    tuple[Series, WhatIf]
        Its row, and its window for predictions.

    Raises
    ------
    InputError
        There is no such gene, it is already scored, or an input cannot be read.
    """
    progress("reading annotation")
    genes = model.gene(name)
    gene_id = str(genes.iloc[0]["gene_id"])
    if gene_id in model.run.scored:
        found = f"{gene_id!r} is already scored"
        raise InputError(model.run.path, found=found, expected="a gene without a mask", fix="open the gene")
    if model.run.manifest["element_rule"] is None:
        model.study.peaks()  # which `derive` needs: that they cannot be read is found before the run changes
    read_inputs(model.study, model.study.windows(genes)[0], progress)
    return genes.iloc[0], model.what_if_of(genes)


def score_now(model: RunModel, gene: pd.Series, what_if: WhatIf) -> None:
    """Score a gene as `read_gene` returns it into the model's run.

    Raises
    ------
    InputError
        Another process writes to the run.
    """
    record = gene[["gene_id", "symbol", "chrom", "tss", "strand", "split"]].to_dict()
    result = what_if.scored(model.run.manifest.get("contact"))
    record |= {"observed": float(gene["label"]), "predicted": what_if.baseline, "no_contact": result.no_contact[0]}
    with model.run.writing():
        if not model.run.scored:  # else a scoring has looked at more of the study
            model.note_ranges(gene.to_frame().T.infer_objects())
        model.run.extend([result.of_gene(0, record, what_if.reversed_strand)])


def derive(model: RunModel) -> bool:
    """Derive the files of a run again by its own element rule; return whether that was done.

    The first gene of a run decides the rule, as `score` does, and brings the study's peaks. For a run of more than
    MOST_ASSEMBLED genes, or without a rule, they are unchanged until it is scored or assembled again. The page still
    shows the new gene's mask and elements, which it computes itself.
    """
    run = model.run
    first = len(run.scored) == 1
    if len(run.scored) > MOST_ASSEMBLED or (run.manifest["element_rule"] is None and not first):
        return False
    with run.writing():
        if run.manifest["element_rule"] is None:
            assemble(run, model.study.peaks_path())
        else:
            assemble(run, rule=run.rule)
        run.write_json("metrics.json", {**run.metrics, "prediction": run_metrics(run)})
    return True
