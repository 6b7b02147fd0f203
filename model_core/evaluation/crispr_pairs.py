"""Element-gene pairs tested by CRISPR (tables as of EngreitzLab/CRISPR_comparison) against a run's scores.

Pairs of one gene share its experiment, so intervals and differences resample genes, never pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.beta import LEARNED, PROMOTER
from model_core.errors import InputError
from model_core.evaluation.base_scores import GET_EFFECTS, MASK, NEAREST, ScoreReader
from model_core.evaluation.element_scores import activity_scores
from model_core.gene_finder import GeneFinder
from model_core.intervals import listed, require_shared
from model_core.run_folder.element_gene_score import element_gene_score
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.member_effects import MemberEffects, mean_contact, region_effect
from model_core.run_folder.run import Run
from model_core.track_formats import TO_TEXT, require_format
from model_core.tsv import read_table
from model_core.window import window_start

COLUMNS = {  # name here -> accepted names in the table, the first found
    "chrom": ("chrom", "chr", "chromosome"),
    "start": ("chromStart", "start", "elementStart"),
    "end": ("chromEnd", "end", "elementEnd"),
    "gene": ("measuredGeneSymbol", "GeneSymbol", "gene", "TargetGene", "symbol"),
    "positive": ("Regulated", "Significant", "positive"),
}
FURTHER = {
    "gene_id": ("measuredGeneEnsemblId", "gene_id"),
    "cell_type": ("CellType", "cell_type"),
    "dataset": ("Dataset", "dataset", "Reference"),
    "valid": ("ValidConnection",),
    "effect_size": ("EffectSize",),
    "tss": ("startTSS", "TSS", "tss"),
    "distance_to_tss": ("distanceToTSS", "distance"),
    "h3k27ac": ("H3K27ac.RPM", "H3K27ac_RPM"),
    "dnase": ("DHS.RPM", "DNase.RPM", "DHS_RPM"),
    "abc": ("ABC.Score", "ABCScore", "ABC_Score", "ABC"),
    "direct": ("direct_vs_indirect_negative",),
    "direct_rate": ("direct_rate_negative",),
    "indirect_rate": ("indirect_rate_negative",),
}
NUMBERS = (  # columns of FURTHER that hold numbers
    *("effect_size", "tss", "distance_to_tss", "h3k27ac", "dnase", "abc", "direct", "direct_rate", "indirect_rate"),
)
# What counts as a positive pair, by the columns of the table: the column `outcome`.
REGULATED = "Regulated"
DECREASE = "Significant, with a negative EffectSize"
ANY_SIGN = "Significant, of either sign"
LEFT_OUT = ("chrom", "start", "end", "gene", "positive", "reason")
_TRUE, _FALSE = ("TRUE", "T", "1", "YES"), ("FALSE", "F", "0", "NO")
UNKNOWN_GENE = "gene not in the study"
MEAN_MASK = "mean mask"
AGAIN = "the same element and gene are in the table before"
OTHER_CELL_TYPE = "of another cell type"
INVALID = "not a valid connection according to the table"
NO_OUTCOME = "no outcome (neither true nor false)"
_FEW = 20  # fewest positives for a meaningful AUPRC


def read_pairs(path: str | Path) -> pd.DataFrame:
    """Read the pairs of a table, one per row.

    Parameters
    ----------
    path : str or Path
        Tab-separated table with a header, plain or gzipped.

    Returns
    -------
    DataFrame
        chrom, gene (str); start, end (int64, 0-based half-open); positive (bool, NA where the table has no outcome);
        outcome (str, the same in all rows: what the table counts as positive, REGULATED, DECREASE, ANY_SIGN or the
        name of its column); and where the table has them: gene_id, cell_type, dataset, valid (str), NUMBERS (float64).

    Raises
    ------
    InputError
        Not readable, a missing column, or a malformed position.
    """
    path = Path(path)
    require_format(path, ("BED",), "a table of element-gene pairs with a line of column names", TO_TEXT)
    table = read_table(path, None)
    found = {}
    for ours, names in {**COLUMNS, **FURTHER}.items():
        name = next((name for name in names if name in table.columns), None)
        if name is None and ours in COLUMNS:
            has, do = f"columns {listed(list(table.columns), 8)}", f"rename the column to {names[0]}"
            raise InputError(path, found=has, expected=f"a column {' or '.join(names)}", fix=do)
        if name is not None:
            found[ours] = table[name].str.strip()
    pairs = pd.DataFrame(found)
    for name in ("start", "end"):
        bad = ~pairs[name].str.fullmatch(r"[0-9]{1,12}")
        if bad.any():
            line = pairs.index[bad][0]
            found_there, fix = repr(pairs[name][line]), "correct the line"
            raise InputError(f"{path} line {line}", found=found_there, expected="a whole number of bp", fix=fix)
        pairs[name] = pairs[name].astype(np.int64)
    empty = pairs["end"] <= pairs["start"]
    if empty.any():
        line = pairs.index[empty][0]
        raise InputError(
            f"{path} line {line}", found="an end at or before the start", expected="start < end", fix="correct the line"
        )
    for name in NUMBERS:
        if name in pairs:
            pairs[name] = pd.to_numeric(pairs[name], errors="coerce").where(lambda values: np.isfinite(values))
    named = next(name for name in COLUMNS["positive"] if name in table.columns)
    pairs["positive"], pairs["outcome"] = _outcome(pairs, named)
    if pairs.empty:
        expected = "a line for each element-gene pair"
        raise InputError(path, found="a header only", expected=expected, fix="check the path")
    return pairs.reset_index(drop=True)


def _outcome(pairs: pd.DataFrame, named: str) -> tuple[pd.Series, str]:
    """Return which pairs are positive (bool, or NA), and what that means.

    A column `Significant` says nothing about the sign: only a decrease of expression is an enhancer's loss.
    """
    words = pairs["positive"].str.upper()
    found = pd.Series(pd.NA, index=pairs.index, dtype="boolean")
    found[words.isin(_FALSE)] = False
    if named != "Significant" or "effect_size" not in pairs:
        found[words.isin(_TRUE)] = True
        return found, ANY_SIGN if named == "Significant" else named
    known = words.isin(_TRUE) & pairs["effect_size"].notna()
    found[known] = pairs.loc[known, "effect_size"] < 0
    return found, DECREASE


def validity(pairs: pd.DataFrame) -> list[str]:
    """Return why each pair is no connection to judge by, "" where it is one.

    Only TRUE, in any case, is valid: any other word names the reason, such as "overlaps target gene exon". A table
    without the column ValidConnection has valid pairs only.
    """
    if "valid" not in pairs:
        return [""] * len(pairs)
    return [_invalid(word) for word in pairs["valid"]]


def _invalid(word: str) -> str:
    if word.upper() == "TRUE":
        return ""
    return INVALID if word.upper() in _FALSE else f"{INVALID} ({word or 'no word'})"


def genes_of(pairs: pd.DataFrame) -> np.ndarray:
    """Return the gene of each pair as text: its id where the pair has one, else its symbol."""
    symbols = pairs["gene"].str.upper() if "gene" in pairs else pd.Series("", index=pairs.index)
    if "gene_id" not in pairs:
        return symbols.to_numpy(str)
    ids = pairs["gene_id"].fillna("").str.upper()
    return ids.mask(ids.isin(("", "NA")), symbols).to_numpy(str)


def check_cell_type(pairs: pd.DataFrame, cell_type: str | None) -> None:
    """Raise InputError if a cell type is given and no pair is of it."""
    known = sorted(set(pairs.get("cell_type", pd.Series(dtype=str))))
    if cell_type is not None and cell_type not in known:
        found = f"no pair of cell type {cell_type!r}"
        raise InputError("tested pairs", found=found, expected=f"one of {listed(known, 8)}", fix="correct --cell-type")


def match_pairs(
    pairs: pd.DataFrame, run: Run, study_genes: Sequence[str] = (), cell_type: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split pairs into those that can be judged with a run and those that cannot.

    Parameters
    ----------
    pairs : DataFrame
        From `read_pairs`.
    run : Run
        The run.
    study_genes : Sequence[str]
        Symbols and ids of the study's genes, to distinguish genes that are not scored from unknown ones.
    cell_type : str or None
        Pairs of other cell types are left out.

    Returns
    -------
    kept : DataFrame
        Pairs that can be judged, with the columns gene_id, symbol, split and distance (bp from the element's middle to
        the start site) added.
    left_out : DataFrame
        The other pairs, with the columns LEFT_OUT.

    Raises
    ------
    InputError
        No pair is of this cell type, on a chromosome of the run, or of a known gene.
    """
    check_cell_type(pairs, cell_type)
    require_shared(pairs["chrom"].unique(), run.chrom_sizes, "tested pairs")
    genes = run.genes.reset_index(drop=True)
    finder, known = run.finder, GeneFinder(study_genes)
    row_of: list[int] = []
    why: list[str] = []
    for pair, invalid in zip(pairs.itertuples(), validity(pairs), strict=True):
        gene_id = getattr(pair, "gene_id", "")
        row = finder.row(pair.gene, gene_id)
        row_of.append(-1 if row is None else row)
        if row is not None:
            why.append(_reason(pair, invalid, genes.loc[row], run))
        elif finder.rows(pair.gene):
            why.append("several genes of the run have this symbol")
        else:
            of_study = known.rows(pair.gene) or (gene_id and known.rows(gene_id))
            why.append("gene of the study, but not scored in this run" if of_study else UNKNOWN_GENE)
        if cell_type is not None and pair.cell_type != cell_type:
            why[-1] = OTHER_CELL_TYPE
    reasons, rows = np.array(why, object), np.array(row_of, np.int64)
    if why.count(UNKNOWN_GENE) == len(pairs):
        named = listed(list(pairs["gene"].unique()), 3)
        found = f"no gene of the study or the run in {len(pairs):,} pairs (named {named})"
        expected = f"genes such as {listed([*genes['symbol'][:2], *genes['gene_id'][:1]])}"
        fix = "check the gene column and the species"
        raise InputError("tested pairs", found=found, expected=expected, fix=fix)
    fit = np.flatnonzero(reasons == "")
    again = pairs.assign(row=rows).iloc[fit].duplicated(["chrom", "start", "end", "row"]).to_numpy()
    reasons[fit[again]] = AGAIN
    left_out = pairs.assign(reason=reasons)[reasons != ""][list(LEFT_OUT)].reset_index(drop=True)
    kept = pairs[reasons == ""].reset_index(drop=True)
    chosen = genes.loc[rows[reasons == ""]]
    kept["gene_id"], kept["symbol"] = chosen["gene_id"].to_numpy(), chosen["symbol"].to_numpy()
    kept["split"] = chosen["split"].fillna("").to_numpy()
    kept["distance"] = ((kept["start"] + kept["end"]) // 2 - chosen["tss"].to_numpy()).abs()
    return kept, left_out


def score_pairs(pairs: pd.DataFrame, run: Run, reader: ScoreReader) -> tuple[pd.DataFrame, dict[str, str]]:
    """Add one column per score to the pairs.

    "mean mask" and "max mask" over the element's learned bases; the mean of every other score of `reader` but nearness;
    "element effect" (the largest knock-out effect of an element of the run that shares a base with it, 0 where none
    does), "effect x mask"; "region effect" (of a run that stores effects: the sum over the tested region on this gene)
    and "element-gene score" (`element_gene_score`: of the region effect, else of the element effect and the region's
    contact); "1/distance", "activity" (the root of H3K27ac x DNase, of the table), "activity/distance",
    "ABC" where the table has them.

    Parameters
    ----------
    pairs : DataFrame
        The pairs to judge, from `match_pairs`.
    run : Run
        The run.
    reader : ScoreReader
        Its scores.

    Returns
    -------
    scored : DataFrame
        The pairs with one column per score.
    missing : dict[str, str]
        Column -> reason why it is missing.
    """
    columns: dict[str, np.ndarray] = {}
    effects = run.effects
    for gene_id, rows in pairs.groupby("gene_id").groups.items():
        mask = run.mask(gene_id)
        values = reader.read(gene_id, mask)
        mine = effects[effects["gene_id"] == gene_id] if len(effects) else effects
        stored, contact = run.member_effects(str(gene_id)), run.contact(str(gene_id))
        for row in rows:
            found = _of_element(pairs.loc[row], mask, values)
            if len(effects) and gene_id in run.effect_records:
                found["element effect"] = _effect(pairs.loc[row], mine)
                found["effect x mask"] = found["element effect"] * found.get(MEAN_MASK, np.nan)
            found |= _on_this_gene(pairs.loc[row], mask, stored, contact, found.get("element effect", np.nan))
            for name, value in found.items():
                columns.setdefault(name, np.full(len(pairs), np.nan))[pairs.index.get_loc(row)] = value
    missing = dict(reader.missing)
    if not {"element effect", "region effect"} & set(columns):
        missing["element effect, effect x mask"] = f"no element of these genes was knocked out yet; {GET_EFFECTS}"
    of_table, without = activity_scores(pairs)
    columns |= of_table
    missing |= without
    return pd.concat([pairs, pd.DataFrame(columns, index=pairs.index)], axis=1), missing


def pair_limits(scored: pd.DataFrame, left_out: pd.DataFrame) -> list[str]:
    """Return sentences on the limits of these pairs."""
    positives, found = int(scored["positive"].sum()), []
    total = len(scored) + len(left_out)
    if len(left_out):
        found.append(f"{len(left_out):,} of {total:,} tested pairs cannot be judged; each is listed with its reason.")
    if positives < _FEW:
        found.append(
            f"Of the {len(scored):,} tested pairs that can be judged, {positives} {'are' if positives != 1 else 'is'} "
            f"positive: with fewer than {_FEW} an AUPRC is not informative."
        )
    found += outcome_limits(scored)
    cells = sorted(set(scored.get("cell_type", pd.Series(dtype=str))) - {""})
    if len(cells) > 1:
        found.append(f"The pairs are of several cell types ({', '.join(cells)}); the model is of one.")
    seen = int((scored.get("split", pd.Series(dtype=str)) == "train").sum())
    if seen:
        found.append(f"{seen:,} of the {len(scored):,} pairs are of genes that the model was trained on.")
    return found


def outcome_limits(pairs: pd.DataFrame) -> list[str]:
    """Return a sentence where what counts as positive is not a proven decrease of expression."""
    if (pairs.get("outcome", pd.Series(dtype=str)) == ANY_SIGN).any():
        return [
            "The table has neither the column `Regulated` nor `EffectSize`: pairs count as positive where "
            "`Significant` is true, also those whose gene rose when the element was silenced."
        ]
    return []


def _reason(pair: Any, invalid: str, gene: pd.Series, run: Run) -> str:
    """Return why a pair cannot be judged; "" where it can."""
    if pair.positive is pd.NA or pd.isna(pair.positive):
        return NO_OUTCOME
    if invalid:
        return invalid
    if pair.chrom != gene["chrom"]:
        return "element on another chromosome than the gene"
    first = window_start(gene["tss"], run.manifest["window"])
    last = first + run.manifest["window"]
    if pair.end <= first or pair.start >= last:
        return "element outside the gene's window"
    forced = run.forced(gene["chrom"], int(first))
    bins = forced[_bins(pair.start, pair.end, int(first), run.manifest["resolution"])]
    if (bins == LEARNED).any():
        return ""
    return "element inside the promoter, which is always kept" if (bins == PROMOTER).any() else "element blacklisted"


def _of_element(pair: pd.Series, mask: GeneMask, values: dict[str, np.ndarray]) -> dict[str, float]:
    bins = _bins(pair["start"], pair["end"], mask.start, mask.resolution)
    chosen = bins.start + np.flatnonzero(mask.learned[bins])

    def mean(score: np.ndarray) -> float:
        return float(score[chosen].mean(dtype=np.float64))  # exact for equal values: rounding must not rank elements

    found = {MEAN_MASK: mean(mask.mask), "max mask": float(mask.mask[chosen].max())}
    return found | {name: mean(score) for name, score in values.items() if name not in (MASK, NEAREST)}


def _on_this_gene(
    pair: pd.Series, mask: GeneMask, stored: MemberEffects | None, contact: np.ndarray | None, knock_out: float
) -> dict[str, float]:
    """Return "region effect" and "element-gene score" of a pair, as far as they are known."""
    start, end, found = int(pair["start"]), int(pair["end"]), dict[str, float]()
    effect = share = float("nan")
    if stored is not None:
        effect = found["region effect"] = region_effect(stored, start, end).effect
    if contact is not None:
        share = mean_contact(contact, (mask.start, mask.end), start, end)
    score = float(element_gene_score(effect, knock_out, share))
    return found if np.isnan(score) else {**found, "element-gene score": score}


def _bins(start: int, end: int, window_start: int, resolution: int) -> slice:
    """Return the bins of a window that an interval touches."""
    return slice(max(start - window_start, 0) // resolution, -(-(end - window_start) // resolution))


def _effect(pair: pd.Series, effects: pd.DataFrame) -> float:
    here = effects[(effects["start"] < pair["end"]) & (effects["end"] > pair["start"])]
    return float(here["effect"].max()) if len(here) else 0.0
