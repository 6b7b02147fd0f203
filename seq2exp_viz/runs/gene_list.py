"""All genes of a run's study in one table: scored genes with their numbers, the others with their start site only."""

from __future__ import annotations

import numpy as np
import pandas as pd

from model_core.gene_finder import GeneFinder
from model_core.run_folder.seen_genes import seen_genes
from seq2exp_viz.runs.annotated_genes import annotated
from seq2exp_viz.runs.element_tables import element_table
from seq2exp_viz.runs.run_view import RunView

SCORED, UNSCORED = "scored", "not scored"
SITE_COLUMNS = ("gene_id", "symbol", "chrom", "tss", "strand", "split")


def gene_list(view: RunView, second: RunView | None = None) -> pd.DataFrame:
    """Return every gene of the study's table that lies on the run's chromosomes, scored ones first.

    Parameters
    ----------
    view : RunView
        The run.
    second : RunView or None
        A second run, whose prediction for the same gene_id is the column `predicted_beside`.

    Returns
    -------
    DataFrame
        gene_id, symbol, chrom, tss (0-based), strand, split, observed, predicted, kept_percent, elements,
        elements_without_peak, seen_in_training, state ("scored" or "not scored"); effect (the largest, by size) and
        effect_element where effects were computed; predicted_beside with a second run.
    """
    scored = view.run.genes.drop(columns=["start", "end", "residual"]).assign(state=SCORED)
    sites = unscored(view)
    table = pd.concat([scored, sites], ignore_index=True) if len(sites) else scored
    strongest = strongest_effects(view)
    if len(strongest):
        found = strongest.reindex(table["gene_id"])
        table["effect"], table["effect_element"] = found["effect"].to_numpy(), found["element"].to_numpy()
    if second is not None:
        other = second.run.genes.set_index("gene_id")["predicted"]
        table["predicted_beside"] = other.reindex(table["gene_id"]).to_numpy()
    return table


def unscored(view: RunView) -> pd.DataFrame:
    """Return SITE_COLUMNS, observed, seen_in_training and state of the study's genes that the run has not scored.

    There are no rows where the study has no table (its genes are then those of the annotation, which is slow to read),
    or where the table is not on this machine.
    """
    columns = [*SITE_COLUMNS, "observed", "seen_in_training", "state"]
    sites = view.sites
    if sites is None:
        return pd.DataFrame(columns=columns)
    known = sites["chrom"].isin(list(view.run.chrom_sizes)) & ~sites["gene_id"].isin(view.run.scored)
    rows = sites[known].rename(columns={"label": "observed"}).assign(state=UNSCORED)
    rows["seen_in_training"] = pd.Series(seen_genes(rows, view.run.manifest), rows.index, object)
    return rows.reindex(columns=columns).reset_index(drop=True)


def unscored_gene(view: RunView, text: str) -> dict | None:
    """Return gene_id, symbol, chrom, tss and strand of an unscored gene of the study, by id or symbol, or None."""
    rows = unscored(view)
    finder = view.keep(
        "unscored genes", (view.revision, id(view.sites)), lambda: GeneFinder(rows["gene_id"], rows["symbol"])
    )
    found = finder.rows(text)
    return _site(rows.iloc[found[0]]) if found else None


def suggestions(view: RunView, text: str, most: int = 8) -> list[str]:
    """Return symbols that begin with `text`, then those that contain it; within each, shorter symbols first."""
    typed = text.strip().upper()[:40]
    if not typed:
        return []
    version = (view.revision, id(view.sites), len(annotated(view)))
    symbols, upper = view.keep("symbols", version, lambda: _symbols(view))
    where = np.where(upper.str.startswith(typed), 0, np.where(upper.str.contains(typed, regex=False), 1, 2))
    found = pd.DataFrame({"symbol": symbols, "where": where, "length": symbols.str.len()})
    found = found[found["where"] < 2].sort_values(["where", "length", "symbol"], kind="stable")
    return list(found["symbol"].head(most))


def _symbols(view: RunView) -> tuple[pd.Series, pd.Series]:
    """Return the symbols of all genes, scored or not, of study and annotation, and the same in upper case."""
    parts = [table["symbol"] for table in (view.run.genes, unscored(view), annotated(view))]
    symbols = pd.concat(parts).astype(str).drop_duplicates()
    return symbols, symbols.str.upper()


def strongest_effects(view: RunView) -> pd.DataFrame:
    """Return element and effect of each gene's strongest element, by gene_id; no rows where no effect is known.

    Effects are those that the run stores, else those of knock-outs.
    """
    table = view.effects
    if view.members == view.members:
        table = element_table(view).rename(columns={"name": "element"}).dropna(subset="effect")
    if not len(table):
        return pd.DataFrame(columns=["element", "effect"])
    size = table["effect"].abs()
    rows = table.loc[size.groupby(table["gene_id"], observed=True).idxmax().dropna()]
    return rows.astype({"gene_id": str, "element": str}).set_index("gene_id")[["element", "effect"]]


def _site(row: pd.Series) -> dict:
    return {
        **{name: str(row[name]) for name in ("gene_id", "symbol", "chrom", "strand")},
        "tss": int(row["tss"]),
    }
