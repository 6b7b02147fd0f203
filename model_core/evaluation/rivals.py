"""Predictions of other programs (ABC, ENCODE-rE2G, ...) for tested element-gene pairs: tables of elements and genes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.gene_finder import GeneFinder
from model_core.intervals import listed, overlap_pairs
from model_core.track_formats import TO_TEXT, require_format
from model_core.tsv import read_table

COLUMNS = {  # name here -> accepted names in the table, the first found
    "chrom": ("chr", "chrom", "chromosome", "#chr"),
    "start": ("start", "chromStart", "elementStart"),
    "end": ("end", "chromEnd", "elementEnd"),
    "gene": ("TargetGene", "GeneSymbol", "gene", "measuredGeneSymbol", "symbol"),
}
GENE_ID = ("TargetGeneEnsembl_ID", "TargetGeneEnsemblID", "TargetGeneEnsemblId", "measuredGeneEnsemblId", "gene_id")
CELL_TYPE = ("CellType", "cell_type", "biosample")
SCORES = (  # columns that hold a score, the first found
    *("ENCODE-rE2G.Score", "ENCODE-rE2G_Extended.Score", "E2G.Score", "ABC.Score", "ABCScore", "ABC_Score"),
    *("powerlaw.Score", "Score", "score"),
)
_NONE = ("", "NA", "NaN", "nan", ".")


class Rival(NamedTuple):
    """Predictions to compare with.

    Attributes
    ----------
    name : str
        How they are called in the tables.
    path : Path
        Their file.
    column : str
        Column of the score; higher is more likely.
    table : DataFrame
        chrom, gene, gene_id (str), start, end (int64), score (float64): predictions that have a score.
    """

    name: str
    path: Path
    column: str
    table: pd.DataFrame


def read_rival(text: str) -> Rival:
    """Read predictions from the text NAME=FILE or NAME=FILE:COLUMN.

    Raises
    ------
    InputError
        Another form, not readable, a missing column, a malformed number, or predictions of several cell types.
    """
    name, _, place = text.partition("=")
    if not name.strip() or not place.strip():
        expected = "NAME=FILE or NAME=FILE:COLUMN, such as ABC=predictions.tsv.gz"
        raise InputError("--rival", found=repr(text), expected=expected, fix="correct it")
    path, column = _place(place.strip())
    require_format(path, ("BED",), "a table of predictions with a line of column names", TO_TEXT)
    table = read_table(path, "a line for each prediction")
    named = {ours: _column(path, table, names) for ours, names in COLUMNS.items()}
    column = _column(path, table, (column,) if column else SCORES)
    cells = table[next((own for own in CELL_TYPE if own in table), named["chrom"])]
    if cells.name in CELL_TYPE and cells.nunique() > 1:
        found = f"predictions of {cells.nunique():,} cell types ({listed(sorted(cells.unique()), 3)})"
        raise InputError(path, found=found, expected="predictions of one", fix="keep the lines of the tested one")
    found = pd.DataFrame({ours: table[own] for ours, own in named.items()})
    for ours in ("start", "end"):
        _refuse(path, found[ours], ~found[ours].str.fullmatch(r"[0-9]{1,12}"), "a whole number of bp")
        found[ours] = found[ours].astype(np.int64)
    score = pd.to_numeric(table[column], errors="coerce")
    _refuse(path, table[column], score.isna() & ~table[column].isin(_NONE), "a number, or NA")
    ids = next((table[own] for own in GENE_ID if own in table), pd.Series("NA", index=table.index))
    found["gene_id"] = ids.mask(ids.isin(_NONE), found["gene"])
    found["score"] = score
    return Rival(name.strip(), path, column, found[np.isfinite(score)].reset_index(drop=True))


def rival_scores(pairs: pd.DataFrame, rival: Rival) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each pair, and whether a prediction overlaps it.

    A pair's score is the highest of the predictions for its gene that share a base with its element, and 0, or the
    lowest score of the table where that is below 0, where none does. Pairs whose gene the table does not name on the
    pair's chromosome are not covered: of them it says nothing. A table without its low scores does not name genes that
    have low ones only, and these are not covered either.

    Parameters
    ----------
    pairs : DataFrame
        chrom, start, end, gene; gene_id where it is known.
    rival : Rival
        The predictions.

    Returns
    -------
    scores : ndarray
        float64 (pairs,); NaN where the pair is not covered.
    predicted : ndarray
        bool (pairs,).
    """
    table = rival.table
    genes = table[["gene_id", "gene"]].drop_duplicates(ignore_index=True)
    finder = GeneFinder(genes["gene_id"], genes["gene"])
    code_of = {(gene_id, gene): code for code, (gene_id, gene) in enumerate(genes.itertuples(index=False))}
    theirs = np.array([code_of[key] for key in table[["gene_id", "gene"]].itertuples(index=False, name=None)], np.int64)
    mine = np.full(len(pairs), -1, np.int64)
    for number, pair in enumerate(pairs.itertuples()):
        row = finder.row(pair.gene, getattr(pair, "gene_id", ""))
        mine[number] = -1 if row is None else row
    named = set(zip(table["chrom"], theirs, strict=True))
    covered = np.array([key in named for key in zip(pairs["chrom"], mine, strict=True)], bool)
    scores = np.where(covered, min(0.0, float(table["score"].min())) if len(table) else 0.0, np.nan)
    left, right = overlap_pairs(pairs, table)
    same = (mine[left] == theirs[right]) & covered[left]
    np.maximum.at(scores, left[same], table["score"].to_numpy()[right[same]])
    predicted = np.zeros(len(pairs), bool)
    predicted[left[same]] = True
    return scores, predicted


def _place(text: str) -> tuple[Path, str]:
    """Return the file and the column of FILE or FILE:COLUMN; a file whose name holds a colon is found first."""
    path, colon, column = text.rpartition(":")
    if colon and path and column and not os.path.exists(text):
        return Path(os.path.expanduser(path)), column
    return Path(os.path.expanduser(text)), ""


def _column(path: Path, table: pd.DataFrame, names: tuple[str, ...]) -> str:
    for name in names:
        if name in table.columns:
            return name
    found, expected = f"columns {listed(list(table.columns), 25)}", f"a column {' or '.join(names)}"
    fix = "name the column of the score as NAME=FILE:COLUMN" if names == SCORES else "check the names of the columns"
    raise InputError(path, found=found, expected=expected, fix=fix)


def _refuse(path: Path, cells: pd.Series, bad: pd.Series, expected: str) -> None:
    if bad.any():
        line = cells.index[bad][0]
        raise InputError(f"{path} line {line}", found=repr(cells[line]), expected=expected, fix="correct the line")
