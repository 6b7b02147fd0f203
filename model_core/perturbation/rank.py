"""Effects of whole runs: gene after gene, resumable, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from model_core.errors import InputError
from model_core.perturbation.knockout import CONTROLS, knock_out, smallest_set
from model_core.perturbation.occlusion import BLOCK, STEP, check_blocks, occlude
from model_core.perturbation.run_model import RunModel
from model_core.perturbation.what_if import WhatIf
from model_core.progress import Job
from model_core.run_folder.effects import append_effects, write_effect_table
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.occlusion import write_occlusion
from model_core.run_folder.run import Run


def choose_scored(run: Run, names: Sequence[str] = (), everything: bool = False) -> pd.DataFrame:
    """Rows of `Run.genes`: those named, all, or by default the test split (all, where nothing scored is in it).

    Raises
    ------
    InputError
        Nothing is scored, or no such scored gene.
    """
    genes = run.genes
    if genes.empty:
        raise InputError(run.path, found="no scored gene", expected="at least one", fix="score genes first")
    if names:
        wanted = {run.gene(name)["gene_id"] for name in names}
        return genes[genes["gene_id"].isin(wanted)].reset_index(drop=True)
    test = genes[genes["split"] == "test"]
    return (genes if everything or test.empty else test).reset_index(drop=True)


def effects_record(
    model: RunModel,
    what_if: WhatIf,
    gene: Mapping,
    elements: pd.DataFrame,
    controls: int = CONTROLS,
    arrived: Callable[[list], None] = lambda row: None,
) -> dict:
    """The journal's record of a gene: the effect of each of its elements, and what they were computed with.

    Parameters
    ----------
    gene : Mapping
        gene_id, symbol, chrom.
    elements : DataFrame
        Cut by the run's rule.
    controls : int
        Random stretches for each length class.
    arrived : callable
        As in knock_out.
    """
    run = model.run
    rows = knock_out(what_if, elements, run.chrom_sizes, str(gene["gene_id"]), controls, arrived)
    return {
        **{name: str(gene[name]) for name in ("gene_id", "symbol", "chrom")},
        "predicted": what_if.baseline,
        "label_transform": model.label_transform,
        "rule": run.rule.to_dict(),
        "checkpoint": model.checkpoint,
        "controls": controls,
        "rows": rows,
    }


def effects_of(model: RunModel, genes: pd.DataFrame, controls: int = CONTROLS) -> pd.DataFrame:
    """Knock out every element of genes of the model's run; journal each gene, and write effects/effects.tsv.

    Genes that were done before with the same elements, weights and number of controls are left out; what a killed run
    did is kept.

    Parameters
    ----------
    genes : DataFrame
        Rows of `choose_scored`.

    Returns
    -------
    DataFrame
        `Run.effects`.
    """
    run = model.run
    left = [gene for gene in genes.to_dict("records") if not _done(run, gene["gene_id"], controls)]
    try:
        with Job("knocking out elements", len(genes), len(genes) - len(left)) as job:
            for gene in left:
                gene_id = gene["gene_id"]
                record = effects_record(model, model.what_if(gene_id), gene, run.cut(gene_id), controls)
                append_effects(run.path, record)
                job.advance(note=gene["symbol"])
    finally:
        write_effect_table(run.path, run.effects)
    return run.effects


def occlusion_of(model: RunModel, genes: pd.DataFrame, block: int = BLOCK, step: int = STEP) -> None:
    """Write the occlusion track of genes of a run; those that are there with the same blocks and weights are left out.

    Raises
    ------
    InputError
        A step that does not divide the block.
    """
    check_blocks(block, step)
    run = model.run
    there = {name: run.occlusion(name) for name in genes["gene_id"]}
    left = genes[[there[name] is None or (there[name].block, there[name].step) != (block, step) for name in there]]
    with Job("occluding", len(genes), len(genes) - len(left)) as job:
        for gene in left.to_dict("records"):
            gene_id = gene["gene_id"]
            write_occlusion(run.path, occlude(model.what_if(gene_id), gene_id, model.checkpoint, block, step))
            job.advance(note=gene["symbol"])


def smallest_sets(model: RunModel, genes: pd.DataFrame) -> Iterator[str]:
    """A line for each gene: the few elements that keep most of the effect of all (`smallest_set`)."""
    for gene in genes.to_dict("records"):
        elements = model.run.cut(gene["gene_id"])
        found = smallest_set(model.what_if(gene["gene_id"]), elements)
        count = int((elements["class"] != PROMOTER_CLASS).sum())
        names = ", ".join(found.elements) or "none"
        kept = f"{found.share:.0%} of the effect of all ({found.difference:+.3f})"
        yield f"{gene['symbol']}: {names} of {count} elements keep {kept}"


def _done(run: Run, gene_id: str, controls: int) -> bool:
    record = run.effect_records.get(gene_id)
    return record is not None and record["controls"] == controls


def strongest(effects: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """The rows of `Run.effects` that matter most, with or without sign."""
    order = effects["effect"].abs().sort_values(ascending=False).index[:most]
    return effects.loc[order]
