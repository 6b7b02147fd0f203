"""Score one more gene into a run, at once."""

from __future__ import annotations

from model_core.errors import InputError
from model_core.perturbation.run_model import RunModel
from model_core.perturbation.what_if import WhatIf
from model_core.run_folder.assemble import assemble
from model_core.run_folder.run import Run
from model_core.scoring.score import run_metrics

MOST_ASSEMBLED = 500  # genes of a run whose derived files are made anew after one more gene; it takes seconds


def score_now(model: RunModel, name: str) -> tuple[str, WhatIf]:
    """Score a gene of the study, by id or symbol, or a typed place, into the model's run.

    Returns
    -------
    tuple[str, WhatIf]
        Its gene_id, and its window ready for questions.

    Raises
    ------
    InputError
        No such gene, it is scored already, or another process writes to the run.
    """
    run, gene = model.run, model.gene(name).iloc[0]
    gene_id = str(gene["gene_id"])
    if gene_id in run.scored:
        raise InputError(
            run.path, found=f"{gene_id!r} scored already", expected="a gene without a mask", fix="look at it"
        )
    what_if = model.what_if(gene_id)
    record = gene[["gene_id", "symbol", "chrom", "tss", "strand", "split"]].to_dict()
    record |= {"observed": float(gene["label"]), "predicted": what_if.baseline}
    with run.writing():
        run.append(record, *what_if.beta)
    return gene_id, what_if


def derive(run: Run) -> bool:
    """Derive the files of a run again by its own rule; return whether that was done.

    Of a run with many genes they stay as they are until it is next scored or assembled: the new gene's mask and its
    elements can be looked at all the same, for the page cuts them itself.
    """
    if len(run.scored) > MOST_ASSEMBLED or run.manifest["element_rule"] is None:
        return False
    assemble(run, rule=run.rule)
    run.write_json("metrics.json", {**run.metrics, "prediction": run_metrics(run)})
    return True
