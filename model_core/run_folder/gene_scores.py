"""Scored genes: the journal's record of one gene, and the table of all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from model_core.errors import InputError
from model_core.intervals import listed, match_chromosomes
from model_core.records import shown
from model_core.run_folder.journal import FIELDS
from model_core.tsv import read_table
from model_core.window import Site, window_start

_AGAIN = "assemble the run again: seq2exp-viz score RUN"
DERIVED = ("kept_percent", "elements", "elements_without_peak")  # added by `assemble`
GENE_COLUMNS = (
    *("gene_id", "symbol", "chrom", "tss", "strand", "start", "end"),
    *("split", "observed", "predicted", "residual", *DERIVED, "seen_in_training"),
)


class ScoredGene(NamedTuple):
    """What a model gives of one gene, as `Run.append` takes it; arrays lie along the forward strand.

    Attributes
    ----------
    gene : Mapping[str, Any]
        gene_id, chrom, tss (0-based), strand, predicted; symbol, split, observed where known.
    alpha, beta : ndarray
        Float (window,) or (bins,), above 0: parameters of the Beta of z, before forcing.
    effects : ndarray or None
        Float (members, bins of EFFECT_BIN bp), summed over each bin, in the label's unit; of additive models.
    contact : ndarray or None
        Float (bins of EFFECT_BIN bp,), 0 to 1: linear share of the window's highest contact.
    """

    gene: Mapping[str, Any]
    alpha: np.ndarray
    beta: np.ndarray
    effects: np.ndarray | None = None
    contact: np.ndarray | None = None


def journal_record(gene: Mapping[str, Any], row: int, sizes: Mapping[str, int], run: Path) -> dict[str, Any]:
    """Return the journal's record of a scored gene.

    Parameters
    ----------
    gene : Mapping[str, Any]
        gene_id, chrom, tss (0-based), strand, predicted; symbol, split, observed where known; no_contact = True where
        the contact that the model's readout is weighted by is 0 in the whole window.
    row : int
        Row of the gene's masks in the store.
    sizes : Mapping[str, int]
        Length in bp of each chromosome.
    run : Path
        The run folder, for messages.

    Returns
    -------
    dict[str, Any]
        FIELDS as JSON values; predicted and observed in the label's unit, None where not finite. no_contact only where
        it is True.

    Raises
    ------
    InputError
        The TSS is not on these chromosomes, the strand is neither + nor -, or a name holds a tab or line end.
    """
    gene_id, chrom, tss, strand = str(gene["gene_id"]), str(gene["chrom"]), int(gene["tss"]), gene["strand"]
    symbol = _text(gene.get("symbol")) or gene_id
    match_chromosomes(sizes, chrom, run / "chrom.sizes")
    if not 0 <= tss < sizes[chrom]:
        found, expected = f"TSS {tss:,} of {gene_id!r}", f"0 to {sizes[chrom] - 1:,} on {chrom}"
        raise InputError(run, found=found, expected=expected, fix="check the assembly of the gene table")
    if strand not in ("+", "-"):
        raise InputError(run, found=f"strand {strand!r} of {gene_id!r}", expected="+ or -", fix="correct it")
    if not gene_id.isprintable() or not symbol.isprintable() or not gene_id:
        found, expected = f"gene_id {gene_id!r}, symbol {symbol!r}", "names without tabs and line ends"
        raise InputError(run, found=found, expected=expected, fix="correct the gene table")
    place = {"gene_id": gene_id, "symbol": symbol, "chrom": chrom, "tss": tss, "strand": strand}
    values = {name: _number(gene.get(name)) for name in ("observed", "predicted")}
    without = {"no_contact": True} if gene.get("no_contact") else {}
    return {**place, "split": _text(gene.get("split")), **values, "row": row, **without}


def site_gene(site: Site) -> dict[str, Any]:
    """Return gene_id, symbol, chrom, tss and strand of a site that is no gene of a table.

    The id is the site as users type it, 1-based: Site("chr22", 19854894, "+") is "chr22:19854895:+".
    """
    name = f"{site.chrom}:{site.position + 1}:{site.strand}"
    return {"gene_id": name, "symbol": name, "chrom": site.chrom, "tss": site.position, "strand": site.strand}


def gene_table(
    records: Mapping[str, Mapping[str, Any]], window: int, sizes: Mapping[str, int], derived: Path
) -> pd.DataFrame:
    """Return the table of the journal's records: GENE_COLUMNS without the last, sorted by chrom, start, gene_id.

    Parameters
    ----------
    records : Mapping[str, Mapping[str, Any]]
        gene_id -> journal record.
    window : int
        Length of the windows in bp.
    sizes : Mapping[str, int]
        Length in bp of each chromosome.
    derived : Path
        genes.tsv, which may be missing or lack some of the genes.
    """
    table = pd.DataFrame(records.values(), columns=list(FIELDS)).drop(columns="row")
    table = table.astype({"tss": np.int64, "observed": np.float64, "predicted": np.float64})
    start = window_start(table["tss"], window)
    table["start"] = start.clip(lower=0)
    table["end"] = np.minimum(start + window, table["chrom"].map(dict(sizes)).astype(np.int64))
    table["residual"] = table["observed"] - table["predicted"]
    known = _derived(derived).reindex(table["gene_id"])
    for name in DERIVED:
        table[name] = known[name].to_numpy()
    return table.sort_values(["chrom", "start", "gene_id"], ignore_index=True)[list(GENE_COLUMNS[:-1])]


def _derived(path: Path) -> pd.DataFrame:
    """Read the columns DERIVED of genes.tsv, indexed by gene_id; no rows without the file."""
    if not path.exists():
        return pd.DataFrame(columns=list(DERIVED), index=pd.Index([], dtype=str), dtype=np.float64)
    table = read_table(path, None)
    if missing := [name for name in ("gene_id", *DERIVED) if name not in table]:
        found = f"no column {listed(missing)}"
        raise InputError(path, found=found, expected="the table of a run", fix=_AGAIN)
    _require(path, table["gene_id"], ~table["gene_id"].duplicated(), "each gene once")
    values = {name: pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64) for name in DERIVED}
    empty = {name: (table[name] == "").to_numpy() for name in DERIVED}
    percent, whole = values["kept_percent"], DERIVED[1:]
    _require(path, table["kept_percent"], empty["kept_percent"] | ((percent >= 0) & (percent <= 100)), "0 to 100")
    for name in whole:
        sound = (values[name] >= 0) & (values[name] < 2**53) & (np.floor(values[name]) == values[name])
        _require(path, table[name], empty[name] | sound, "a number of elements")
    return pd.DataFrame(values, index=pd.Index(table["gene_id"], name="gene_id"))


def _require(path: Path, cells: pd.Series, sound: ArrayLike, expected: str) -> None:
    """Raise InputError at the first cell of a column that is not sound; its index is the line."""
    odd = cells[~np.asarray(sound, bool)]
    if len(odd):
        where = f"{path} line {odd.index[0]} {cells.name}"
        raise InputError(where, found=shown(odd.iloc[0]), expected=expected, fix=_AGAIN)


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
