"""The gene table of a study: ids, start sites, labels, splits, and the features in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from model_core.errors import InputError, Problem, Problems
from model_core.gene_finder import GeneFinder
from model_core.intervals import listed, match_chromosomes
from model_core.remote.address import InputPath
from model_core.signals.signal import TAKE_NEGATIVE, TRANSFORMS
from model_core.study.annotation import genes_from_gtf
from model_core.study.gene_features import FEATURES
from model_core.study.whole_inputs import read_whole
from model_core.tsv import read_table

if TYPE_CHECKING:
    from model_core.study.schema import Genes, Split

WARNINGS = "warnings"  # key of a gene table's attrs
TABLE_COLUMNS = ("gene_id", "symbol", "chrom", "tss", "strand", "label", "split")
MISSING = frozenset({"", ".", "NA", "N/A", "NaN", "nan", "null", "None"})
_STRANDS = {"+": "+", "-": "-", "1": "+", "+1": "+", "-1": "-"}


def read_gene_table(settings: Genes, sizes: Mapping[str, int] | None = None) -> pd.DataFrame:
    """Read the genes of a study's table.

    Parameters
    ----------
    settings : Genes
        [genes] of study.toml, with a table.
    sizes : Mapping[str, int] or None
        Length in bp of each chromosome; None leaves positions unchecked.

    Returns
    -------
    DataFrame
        TABLE_COLUMNS and FEATURES, in the order of the file: gene_id, symbol, chrom, strand, split (str); tss (int64,
        0-based); label (float64, transformed, NaN where there is none); features (float64, NaN where empty or not in
        the table). attrs[WARNINGS] lists the values of [genes.split] that match no gene.

    Raises
    ------
    Problems
        All problems of the table.
    """
    path = settings.table
    assert path is not None
    cells = read_whole(path, lambda file: read_table(file, "a line for each gene"), "gene table")
    cells = cells.apply(lambda column: column.str.strip())  # inside quotes, too
    problems, usable = _missing_columns(settings, cells, path)
    if usable is None:
        raise Problems(problems)
    settings = usable
    table = pd.DataFrame({"gene_id": cells[settings.id]})
    symbol = settings.symbol or ("symbol" if "symbol" in cells else settings.id)
    table["symbol"] = cells[symbol].where(cells[symbol] != "", cells[settings.id])
    table["chrom"] = cells[settings.chrom]
    tss, odd = numbers(cells[settings.tss], whole=True)
    table["tss"] = np.where(np.isnan(tss), 0, tss).astype(np.int64) - int(settings.one_based)
    table["strand"] = cells[settings.strand].map(_STRANDS).fillna("")
    problems += _id_problems(path, cells[settings.id], settings.id)
    problems += _odd_cells(path, cells[settings.tss], odd | np.isnan(tss), settings.tss, "whole numbers of bp")
    problems += _odd_cells(path, cells[settings.strand], table.strand == "", settings.strand, "+ or -")
    problems += [] if sizes is None else position_problems(table[~np.isnan(tss)], sizes, path)
    table["label"] = _label(settings, cells, problems)
    table["split"], more, warnings = split_genes(table, settings.split, path, cells)
    problems += more
    for name in FEATURES:
        table[name] = _feature(settings, cells, name, problems)
    if problems:
        raise Problems(problems)
    table = table.reset_index(drop=True)
    table.attrs[WARNINGS] = warnings
    return table


def gene_table_from_gtf(gtf: pd.DataFrame, settings: Genes, sizes: Mapping[str, int], path: InputPath) -> pd.DataFrame:
    """Make the gene table of a study without one: the genes of its annotation, without labels and features.

    Parameters
    ----------
    gtf : DataFrame
        From `annotation.read_gtf`.
    settings : Genes
        [genes] of study.toml, for the gene types and the split.
    sizes : Mapping[str, int]
        Length in bp of each chromosome.
    path : Path or RemotePath
        The GTF, for messages.

    Returns
    -------
    DataFrame
        As `read_gene_table`.

    Raises
    ------
    Problems
        No such gene, a start site off the genome, or a split that does not fit.
    """
    genes = genes_from_gtf(gtf, settings.gene_types)
    genes["label"] = np.nan
    genes["split"], problems, warnings = split_genes(genes, settings.split, path)
    problems += position_problems(genes, sizes, path)
    if problems:
        raise Problems(problems)
    genes = genes[list(TABLE_COLUMNS)].assign(**dict.fromkeys(FEATURES, np.nan))
    genes.attrs[WARNINGS] = warnings
    return genes


def numbers(cells: pd.Series, whole: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Parse cells as numbers.

    Parameters
    ----------
    cells : Series
        N strings.
    whole : bool
        Whether only whole numbers up to 10^12 are accepted.

    Returns
    -------
    values : ndarray
        float64 (n,), NaN where the cell is empty or odd.
    odd : ndarray
        bool (n,), where the cell is neither empty nor an accepted number.
    """
    empty = cells.isin(MISSING).to_numpy()
    values = pd.to_numeric(cells.where(~empty, "0"), errors="coerce").to_numpy(np.float64)
    odd = ~np.isfinite(values)
    if whole:
        with np.errstate(invalid="ignore"):
            odd |= (values != np.floor(values)) | (np.abs(values) > 1e12)
    return np.where(empty | odd, np.nan, values), odd & ~empty


def split_genes(
    table: pd.DataFrame, split: Split, path: InputPath, cells: pd.DataFrame | None = None
) -> tuple[np.ndarray, list[Problem], list[Problem]]:
    """Assign each gene to "train", "validation", "test" or "aside" (a training gene within the gap).

    Parameters
    ----------
    table : DataFrame
        Genes with chrom and tss.
    split : Split
        [genes.split]; without lists all genes train. Where its column is that of ids or symbols, genes are found by any
        of their names (`gene_finder.GeneFinder`).
    path : Path or RemotePath
        Source of the genes, for messages.
    cells : DataFrame or None
        The table's columns; None where the genes come from the annotation, which can only be split by chromosome.

    Returns
    -------
    names : ndarray
        object (n,): the part of each gene.
    problems : list[Problem]
        Settings that cannot be used.
    warnings : list[Problem]
        Values that match no gene.
    """
    names = np.full(len(table), "train", dtype=object)
    if not split.validation and not split.test:
        return names, [], []
    warnings: list[Problem] = []
    column = split.column or "chrom"
    if cells is None and column != "chrom":
        found, do = f"column = {column!r} without a gene table", "split by chromosome, or set genes.table"
        return names, [Problem("[genes.split]", found=found, expected='column = "chrom"', fix=do)], []
    given = (table.chrom if cells is None or split.column is None else cells[column]).astype(str)
    values = given.map(_plain_value).to_numpy()
    finder = None
    if any(np.array_equal(given.to_numpy(object), table[name].to_numpy(object)) for name in ("gene_id", "symbol")):
        finder = GeneFinder(table.gene_id, table.symbol)  # the split lists genes
    problems: list[Problem] = []
    chosen = {}
    for part in ("validation", "test"):
        wanted = {_plain_value(value) for value in getattr(split, part)}
        rows = _rows_of(wanted, values, finder)
        chosen[part] = np.isin(np.arange(len(table)), [row for found in rows.values() for row in found])
        names[chosen[part]] = part
        without = sorted(value for value, found in rows.items() if not found)
        if without and chosen[part].any():
            unknown = f"{len(without)} of {len(wanted)} values of {part} that no gene has ({listed(without, 3)})"
            expected, fix = f"values of the column {column}", "correct or remove them"
            warnings.append(Problem(f"{path} [genes.split]", found=unknown, expected=expected, fix=fix))
        if wanted and not chosen[part].any():
            unknown = f"no gene with {column} {listed(sorted(wanted))}"
            expected = f"some {part} genes; the column has {listed(sorted(set(values.tolist())))}"
            problems.append(Problem(path, found=unknown, expected=expected, fix=f"correct {part} in [genes.split]"))
    both = sorted({_plain_value(v) for v in split.validation} & {_plain_value(v) for v in split.test})
    if both:
        found, expected = f"{listed(both)} in both validation and test", "each value in one of the two"
        problems.append(Problem("[genes.split]", found=found, expected=expected, fix="remove it from one of them"))
    if split.gap:
        held_out = chosen["validation"] | chosen["test"]
        near = distance_to_others(table, ~held_out, held_out) <= split.gap
        names[np.flatnonzero(~held_out)[near]] = "aside"
    return names, problems, warnings


def _rows_of(wanted: Iterable[str], values: np.ndarray, finder: GeneFinder | None) -> dict[str, list[int]]:
    """Return the rows that have each value or, with a finder, that are called so; ambiguous names have none."""
    if finder is None:
        return {value: np.flatnonzero(values == value).tolist() for value in wanted}
    rows = {value: finder.rows(value) for value in wanted}
    return {value: found if len(found) == 1 else [] for value, found in rows.items()}


def distance_to_others(table: pd.DataFrame, mine: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return bp from each TSS in `mine` to the nearest in `others`; inf without one on its chromosome.

    Parameters
    ----------
    table : DataFrame
        N genes with chrom and tss.
    mine, others : ndarray
        bool (n,).

    Returns
    -------
    ndarray
        float64 (mine.sum(),).
    """
    chroms, tss = table.chrom.to_numpy(), table.tss.to_numpy()
    rows = np.flatnonzero(mine)
    nearest = np.full(len(rows), np.inf)
    for chrom in set(chroms[rows].tolist()):
        places = np.sort(tss[others & (chroms == chrom)]).astype(np.float64)
        here = np.flatnonzero(chroms[rows] == chrom)
        if len(places):
            right = np.searchsorted(places, tss[rows[here]])
            before = places[np.maximum(right - 1, 0)]
            after = places[np.minimum(right, len(places) - 1)]
            nearest[here] = np.minimum(np.abs(tss[rows[here]] - before), np.abs(after - tss[rows[here]]))
    return nearest


def position_problems(table: pd.DataFrame, sizes: Mapping[str, int], path: InputPath) -> list[Problem]:
    """Return the problems with the genes' chromosomes and start sites.

    Parameters
    ----------
    table : DataFrame
        Genes with gene_id, chrom, tss.
    sizes : Mapping[str, int]
        Length in bp of each chromosome of the genome.
    path : Path or RemotePath
        Source of the genes, for messages.
    """
    problems: list[Problem] = []
    unknown = table[~table.chrom.isin(list(sizes))]
    if len(unknown):
        try:
            match_chromosomes(list(sizes), sorted(unknown.chrom.unique()), "the genome's FASTA")
        except InputError as error:
            found = f"{len(unknown)} genes on chromosomes that the FASTA does not have ({error.found})"
            problems.append(Problem(path, found=found, expected=error.expected, fix=error.fix))
    known = table[table.chrom.isin(list(sizes))]
    off = known[(known.tss < 0) | (known.tss >= lengths_of(known.chrom, sizes))]
    if len(off):
        first = "; ".join(f"{row.gene_id} at {row.chrom}:{row.tss + 1:,}" for row in off.head(3).itertuples())
        expected = "TSSs inside their chromosomes"
        do = "check that table and FASTA are of the same assembly"
        problems.append(Problem(path, found=f"{len(off)} TSSs off the chromosome ({first})", expected=expected, fix=do))
    return problems


def lengths_of(chroms: Iterable[str], sizes: Mapping[str, int]) -> np.ndarray:
    """Return the length in bp of each row's chromosome, NaN where it is unknown; float64 (n,)."""
    return np.array([sizes.get(str(chrom), np.nan) for chrom in chroms], np.float64)


def _missing_columns(settings: Genes, cells: pd.DataFrame, path: InputPath) -> tuple[list[Problem], Genes | None]:
    """Return (problems, settings without missing columns); the settings are None where a vital column is missing."""
    vital = {key: getattr(settings, key) for key in ("id", "chrom", "tss", "strand")}
    other = {key: getattr(settings, key) for key in ("symbol", "label")}
    if settings.split.validation or settings.split.test:
        other["split"] = settings.split.column
    features = {f"features.{name}": column.column for name, column in settings.features.items()}
    problems: list[Problem] = []
    missing = set()
    for key, column in {**vital, **other, **features}.items():
        if column is not None and column not in cells:
            missing.add(key)
            has = f"the table's columns are {listed(list(cells.columns), 30)}"
            near = difflib.get_close_matches(column, cells.columns, 1, 0.6)
            do = f"did you mean '{near[0]}'?" if near else "correct the name in study.toml"
            problems.append(
                Problem(path, found=f"no column '{column}'", expected=f"a column for genes.{key}; {has}", fix=do)
            )
    if missing & set(vital):
        return problems, None
    kept = {name: column for name, column in settings.features.items() if f"features.{name}" not in missing}
    without = {key: None if key != "split" else type(settings.split)() for key in other if key in missing}
    return problems, settings.model_copy(update={**without, "features": kept})


def _id_problems(path: InputPath, ids: pd.Series, column: str) -> list[Problem]:
    problems = _odd_cells(path, ids, ids.isin(MISSING), column, "an id for each gene")
    twice = ids[ids.duplicated() & ~ids.isin(MISSING)]
    if len(twice):
        found = f"{twice.nunique()} repeated gene ids in column '{column}' ({listed(list(twice.unique()), 3)})"
        problems.append(Problem(path, found=found, expected="one line for each gene", fix="keep one line per gene"))
    return problems


def _label(settings: Genes, cells: pd.DataFrame, problems: list[Problem]) -> np.ndarray:
    if settings.table is None or settings.label is None or settings.label_transform is None:
        return np.full(len(cells), np.nan)
    values, odd = numbers(cells[settings.label])
    expected = "numbers, or empty where a gene was not measured"
    problems += _odd_cells(settings.table, cells[settings.label], odd, settings.label, expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        label = np.asarray(TRANSFORMS[settings.label_transform](values), np.float64)
    impossible = np.isfinite(values) & ~np.isfinite(label)
    if settings.label_transform not in TAKE_NEGATIVE:
        impossible |= values < 0
    expected = f"no negative values for the label_transform '{settings.label_transform}'"
    problems += _odd_cells(settings.table, cells[settings.label], impossible, settings.label, expected)
    return label


def _feature(settings: Genes, cells: pd.DataFrame, name: str, problems: list[Problem]) -> np.ndarray:
    column = settings.features.get(name)
    if settings.table is None or column is None:
        return np.full(len(cells), np.nan)
    values, odd = numbers(cells[column.column])
    problems += _odd_cells(settings.table, cells[column.column], odd, column.column, f"numbers for {name}")
    if not column.zscored:
        expected = f"0 or more for {name}; for z-scores give {{ column = ..., zscored = true }}"
        problems += _odd_cells(settings.table, cells[column.column], values < 0, column.column, expected)
    return values


def _odd_cells(path: InputPath, cells: pd.Series, odd: ArrayLike, column: str, expected: str) -> list[Problem]:
    odd = np.asarray(odd, bool)
    if not odd.any():
        return []
    first = ", ".join(f"{cell!r} in line {line}" for line, cell in cells[odd].head(3).items())
    found = f"{odd.sum()} of {len(odd)} cells in column '{column}' ({first}{', ...' if odd.sum() > 3 else ''})"
    return [Problem(path, found=found, expected=expected, fix="correct them")]


def _plain_value(value: object) -> str:
    """Return a value as text, whole numbers without decimals, so that 5, "5" and 5.0 are equal."""
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else str(number)
