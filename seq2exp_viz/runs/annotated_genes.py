"""Genes of the annotation, of every type, that a run has not scored: each can be looked up, and scored."""

from __future__ import annotations

import numpy as np
import pandas as pd

from model_core.gene_finder import GeneFinder
from seq2exp_viz.runs.run_view import RunView

COLUMNS = ("gene_id", "symbol", "chrom", "tss", "strand", "kind")


def annotated(view: RunView) -> pd.DataFrame:
    """Return COLUMNS of the genes of the annotation that lie on the run's chromosomes and are not scored.

    There are no rows while the annotation is being read. A gene at several places is taken at the first.
    """
    table = view.models.table("gene") if view.models is not None else None
    if table is None:
        return pd.DataFrame(columns=list(COLUMNS))

    def make() -> pd.DataFrame:
        tss = np.where(table.strand == "-", table.end - 1, table.start)
        values = (table.id, table.name, table.chrom, tss, table.strand, np.char.replace(table.kind, "_", " "))
        genes = pd.DataFrame(dict(zip(COLUMNS, values, strict=True))).drop_duplicates("gene_id")
        here = genes["chrom"].isin(list(view.run.chrom_sizes)) & ~genes["gene_id"].isin(view.run.scored)
        return genes[here].reset_index(drop=True)

    return view.keep("annotated genes", (id(table), view.revision), make)


def annotated_gene(view: RunView, text: str) -> dict | None:
    """Return COLUMNS of an unscored gene of the annotation, by id or symbol; None where it has none of this name."""
    genes = annotated(view)
    if not len(genes):
        return None
    finder = view.keep("finder of annotated genes", id(genes), lambda: GeneFinder(genes["gene_id"], genes["symbol"]))
    found = finder.rows(text)
    if not found:
        return None
    row = genes.iloc[found[0]]
    return {**{name: str(row[name]) for name in COLUMNS}, "tss": int(row["tss"])}
