"""All genes of a run's study as one list: the scored ones with their numbers, the others with their place."""

from __future__ import annotations

import numpy as np
import pandas as pd

from model_core.gene_finder import GeneFinder
from seq2exp_viz.runs.run_view import RunView

SCORED, UNSCORED = "scored", "not scored"
SITE_COLUMNS = ("gene_id", "symbol", "chrom", "tss", "strand", "split")


def gene_list(view: RunView, second: RunView | None = None) -> pd.DataFrame:
    """Every gene of the study's table that lies on the run's chromosomes, scored ones first.

    Parameters
    ----------
    second : RunView or None
        A second run, whose prediction for the same gene_id stands in `predicted_beside`.

    Returns
    -------
    DataFrame
        Gene_id, symbol, chrom, tss (0-based), strand, split, observed, predicted, kept_percent, elements,
        elements_without_peak, state ("scored" or "not scored"); effect (the strongest, by size) and effect_element
        where effects were computed; predicted_beside with a second run.
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
    """SITE_COLUMNS, observed and state of the genes that the study's table names and the run has not scored.

    No rows where the study names no table (its genes are then those of the annotation, which takes long to read), or
    where the table is elsewhere.
    """
    columns = [*SITE_COLUMNS, "observed", "state"]
    sites = view.sites
    if sites is None:
        return pd.DataFrame(columns=columns)
    known = sites["chrom"].isin(list(view.run.chrom_sizes)) & ~sites["gene_id"].isin(view.run.scored)
    rows = sites[known].rename(columns={"label": "observed"}).assign(state=UNSCORED)
    return rows.reindex(columns=columns).reset_index(drop=True)


def unscored_gene(view: RunView, text: str) -> dict | None:
    """gene_id, symbol, chrom, tss, strand of a gene of the study that is not scored, by id or symbol, or None."""
    rows = unscored(view)
    finder = view.keep(
        "unscored genes", (view.revision, id(view.sites)), lambda: GeneFinder(rows["gene_id"], rows["symbol"])
    )
    found = finder.rows(text)
    return _site(rows.iloc[found[0]]) if found else None


def suggestions(view: RunView, text: str, most: int = 8) -> list[str]:
    """Symbols that begin with `text`, then such as hold it, scored genes first; shorter ones first."""
    typed = text.strip().upper()[:40]
    if not typed:
        return []
    symbols = pd.concat([view.run.genes["symbol"], unscored(view)["symbol"]]).drop_duplicates().astype(str)
    upper = symbols.str.upper()
    where = np.where(upper.str.startswith(typed), 0, np.where(upper.str.contains(typed, regex=False), 1, 2))
    found = pd.DataFrame({"symbol": symbols, "where": where, "length": symbols.str.len()})
    found = found[found["where"] < 2].sort_values(["where", "length", "symbol"], kind="stable")
    return list(found["symbol"].head(most))


def strongest_effects(view: RunView) -> pd.DataFrame:
    """By gene_id: element and effect of the strongest element, by size; no rows before effects are computed."""
    table = view.run.effects
    if not len(table):
        return pd.DataFrame(columns=["element", "effect"])
    size = table["effect"].abs()
    rows = table.loc[size.groupby(table["gene_id"]).idxmax().dropna()]
    return rows.set_index("gene_id")[["element", "effect"]]


def _site(row: pd.Series) -> dict:
    return {
        **{name: str(row[name]) for name in ("gene_id", "symbol", "chrom", "strand")},
        "tss": int(row["tss"]),
    }
