"""Effects for the genes of a run, one gene after the other, resumable and with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from model_core.errors import InputError
from model_core.perturbation.knockout import CONTROLS, knock_out, smallest_set
from model_core.perturbation.occlusion import BLOCK, STEP, check_blocks, occlude
from model_core.perturbation.run_model import RunModel
from model_core.perturbation.shuffled_sequence import shuffled_rows
from model_core.perturbation.what_if import WhatIf
from model_core.progress import Job
from model_core.run_folder.effects import append_effects, write_effect_table
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.occlusion import write_occlusion
from model_core.run_folder.run import Run


def choose_scored(run: Run, names: Sequence[str] = (), everything: bool = False) -> pd.DataFrame:
    """Return rows of `Run.genes`: the named ones, all, or by default the test split (all genes if none is in it).

    Raises
    ------
    InputError
        No gene is scored, or a named one is not.
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
    """Return the journal's record of a gene: the effect of each of its elements and the settings of the computation.

    Parameters
    ----------
    model : RunModel
        The model of the run.
    what_if : WhatIf
        The gene's window.
    gene : Mapping
        gene_id, symbol, chrom.
    elements : DataFrame
        The gene's elements by the run's rule.
    controls : int
        Control regions per length class.
    arrived : callable
        As in `knock_out`.
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


def effects_of(model: RunModel, genes: pd.DataFrame, controls: int = CONTROLS, shuffles: int = 0) -> pd.DataFrame:
    """Knock out every element of the given genes, record each gene in the journal, and write effects/effects.tsv.

    Genes that are recorded with the same elements, weights and numbers of controls and shuffled copies are skipped, so
    an interrupted call can be repeated. Shuffled copies that are recorded are kept where `shuffles` is 0.

    Parameters
    ----------
    model : RunModel
        The model of the run.
    genes : DataFrame
        Rows of `choose_scored`.
    controls : int
        Control regions per length class.
    shuffles : int
        Copies of each element with shuffled bases (`shuffled_sequence`).

    Returns
    -------
    DataFrame
        `Run.effects`.
    """
    run = model.run
    left = [gene for gene in genes.to_dict("records") if not _done(run, gene["gene_id"], controls, shuffles)]
    try:
        with Job("knocking out elements", len(genes), len(genes) - len(left)) as job:
            for gene in left:
                append_effects(run.path, _completed(model, gene, controls, shuffles))
                job.advance(note=gene["symbol"])
    finally:
        write_effect_table(run.path, run.effects)
    return run.effects


def _completed(model: RunModel, gene: Mapping, controls: int, shuffles: int) -> dict:
    """Return a gene's record with all that was asked for; parts that are recorded already are taken from there."""
    run, gene_id = model.run, str(gene["gene_id"])
    what_if, before = model.what_if(gene_id), run.effect_records.get(gene_id, {})
    if before and before["controls"] == controls:
        record = dict(before)
    else:
        record = effects_record(model, what_if, gene, run.cut(gene_id), controls)
        record |= {name: before[name] for name in ("shuffles", "shuffled") if name in before}
    if shuffles not in (0, record.get("shuffles")):
        record |= {"shuffles": shuffles, "shuffled": shuffled_rows(what_if, record["rows"], shuffles, gene_id)}
    return record


def occlusion_of(model: RunModel, genes: pd.DataFrame, block: int = BLOCK, step: int = STEP) -> None:
    """Write the occlusion tracks of genes of a run; skip those that exist with the same blocks and weights.

    Raises
    ------
    InputError
        The step does not divide the block.
    """
    check_blocks(block, step)
    run = model.run
    tracks = (run.occlusion(name) for name in genes["gene_id"])
    left = genes[[track is None or (track.block, track.step) != (block, step) for track in tracks]]
    with Job("occluding", len(genes), len(genes) - len(left)) as job:
        for gene in left.to_dict("records"):
            gene_id = gene["gene_id"]
            write_occlusion(run.path, occlude(model.what_if(gene_id), gene_id, model.checkpoint, block, step))
            job.advance(note=gene["symbol"])


def smallest_sets(model: RunModel, genes: pd.DataFrame) -> Iterator[str]:
    """Yield a line of text per gene: the smallest set of elements that retains most of the effect of all."""
    for gene in genes.to_dict("records"):
        elements = model.run.cut(gene["gene_id"])
        found = smallest_set(model.what_if(gene["gene_id"]), elements)
        count = int((elements["class"] != PROMOTER_CLASS).sum())
        names = ", ".join(found.elements) or "none"
        kept = f"{found.share:.0%} of the effect of all {count} ({found.effect:+.3f})"
        yield f"{gene['symbol']}: the elements {names} retain {kept}"


def _done(run: Run, gene_id: str, controls: int, shuffles: int) -> bool:
    record = run.effect_records.get(gene_id)
    return record is not None and record["controls"] == controls and shuffles in (0, record.get("shuffles"))


def strongest(effects: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """Return the `most` rows of `Run.effects` with the largest absolute effects."""
    order = effects["effect"].abs().sort_values(ascending=False).index[:most]
    return effects.loc[order]
