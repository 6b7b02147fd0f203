"""`bench crispr`: how scores of elements, of other programs and of a run rank element-gene pairs that CRISPR tested.

docs/compare.md describes the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.evaluation.base_scores import ScoreReader
from model_core.evaluation.compare import peak_tables, require_masks, study_genes, study_or_reason
from model_core.evaluation.crispr_pairs import (
    AGAIN,
    INVALID,
    LEFT_OUT,
    MEAN_MASK,
    NO_OUTCOME,
    OTHER_CELL_TYPE,
    check_cell_type,
    genes_of,
    match_pairs,
    pair_limits,
    score_pairs,
    validity,
)
from model_core.evaluation.element_scores import NEARNESS, PRIOR, activity_scores, prior_scales, signal_scores
from model_core.evaluation.pair_ranking import AUPRC, BASELINES, ranking_of, shared
from model_core.evaluation.resampling import average_precision
from model_core.evaluation.rivals import Rival, rival_scores
from model_core.evaluation.written_tables import write_tables
from model_core.records import parse_json
from model_core.run_folder.run import Run

KIND = "bench crispr"
MAX_DISTANCE = 100_000  # bp
ALL = "all"
TABLES = ("scores", "differences", "pairs", "left_out", "prior_scales", "rivals")
EDGES = (0, 10_000, 100_000, 1_000_000)  # bp, of the classes of distance
WEIGHT = "direct_weight"  # column of the weights
NO_DISTANCE = "no distance to the start site"


class Bench(NamedTuple):
    """Result of `bench_crispr`.

    Attributes
    ----------
    summary : dict
        Content of summary.json.
    tables : dict[str, DataFrame]
        Those of TABLES that there are.
    """

    summary: dict[str, Any]
    tables: dict[str, pd.DataFrame]


def bench_crispr(
    pairs: pd.DataFrame,
    run: Run | None = None,
    rivals: Sequence[Rival] = (),
    max_distance: int = MAX_DISTANCE,
    by: str | None = None,
    cell_type: str | None = None,
) -> Bench:
    """Rank tested pairs by scores of the table, of rivals and of a run.

    Parameters
    ----------
    pairs : DataFrame
        From `crispr_pairs.read_pairs`.
    run : Run or None
        A scored run, whose scores are ranked on the pairs in its reach; None: scores without a model only.
    rivals : Sequence[Rival]
        Predictions of other programs; each is compared on the pairs that it covers.
    max_distance : int
        Pairs at this distance in bp or farther are left out.
    by : str or None
        Column of `pairs` whose groups get rows of their own: "dataset" or "cell_type"; where the table has no dataset,
        the cell type takes its place.
    cell_type : str or None
        Only pairs of this cell type.

    Returns
    -------
    Bench
        Summary and tables; without scores where no pair is left.

    Raises
    ------
    InputError
        A table without distances, no pair of the cell type, or a run that cannot be used with these pairs.
    """
    check_cell_type(pairs, cell_type)
    kept, out_of_reach = (pairs, pairs.head(0)) if run is None else _in_reach(pairs, run, cell_type)
    kept, left_out = near_pairs(with_distance(kept), max_distance, cell_type)
    left_out = pd.concat([out_of_reach, left_out], ignore_index=True) if len(out_of_reach) else left_out
    tables: dict[str, pd.DataFrame] = {"left_out": left_out}
    summary: dict[str, Any] = {
        "schema": 1,
        "kind": KIND,
        "run": None if run is None else run.name,
        "max_distance": max_distance,
        "pairs": len(pairs),
        "judged": len(kept),
        "positives": int(kept["positive"].sum()),
        "genes": len(set(genes_of(kept))),
        "outcome": next(iter(pairs["outcome"]), None),
        "left_out": {reason: int(count) for reason, count in left_out["reason"].value_counts().items()},
        "missing": {},
        "limits": [],
    }
    if kept.empty:
        summary["limits"].append(f"None of the {len(pairs):,} tested pairs can be judged.")
        return Bench(summary, tables)
    group = _group_column(kept, by)
    scored, names, summary["missing"] = _scored(kept, run)
    summary["missing"].pop("ABC", None)  # predictions come with `rivals`
    scored, covered = _add_rivals(scored, rivals)
    weights = _direct_weights(scored)
    if weights is not None:
        scored[WEIGHT] = weights
        summary["weighted_pairs"] = int(np.isfinite(weights).sum())
    tables |= _rankings(scored, names, [rival.name for rival in rivals], max_distance, group)
    tables["pairs"] = scored
    if rivals:
        tables["rivals"] = covered
    complete = scored.dropna(subset=["h3k27ac", "dnase"]) if PRIOR in names else scored.head(0)
    if complete["positive"].any():
        tables["prior_scales"] = prior_scales(complete)
        summary["prior"] = _prior_summary(tables["prior_scales"], complete)
    summary["limits"] = _limits(scored, left_out, names, covered)
    return Bench(summary, tables)


def with_distance(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs with `distance`, bp from element to start site.

    It is the table's distance; where that is missing, from the element's middle to the table's start site; else what
    the pairs have already, from a run.

    Raises
    ------
    InputError
        Nothing of this.
    """
    if not {"distance_to_tss", "tss", "distance"} & set(pairs.columns):
        expected = "a column distanceToTSS (bp) or startTSS (position)"
        raise InputError("tested pairs", found="no distance", expected=expected, fix="add the column, or give a run")
    nothing = pd.Series(np.nan, index=pairs.index)
    middle = (pairs["start"] + pairs["end"]) // 2
    found = pairs.get("distance_to_tss", nothing).abs()
    found = found.fillna((middle - pairs.get("tss", nothing)).abs()).fillna(pairs.get("distance", nothing))
    return pairs.assign(distance=found)


def near_pairs(
    pairs: pd.DataFrame, max_distance: float, cell_type: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split pairs with a distance into those that can be judged without a model and those that cannot.

    Returns
    -------
    kept : DataFrame
        The rows of `pairs` that can be judged.
    left_out : DataFrame
        The others, with the columns LEFT_OUT.
    """
    invalid = np.array(validity(pairs), object)
    other = pairs["cell_type"] != cell_type if cell_type is not None else pd.Series(False, index=pairs.index)
    checks = {  # reason -> where it holds; the first one is told
        OTHER_CELL_TYPE: other,
        NO_OUTCOME: pairs["positive"].isna(),
        INVALID: invalid != "",
        NO_DISTANCE: pairs["distance"].isna(),
        f"{kb(max_distance)} or farther from the start site": pairs["distance"] >= max_distance,
    }
    words = [invalid if reason == INVALID else np.full(len(pairs), reason, object) for reason in checks]
    reasons = np.select([np.asarray(holds, bool) for holds in checks.values()], words, "")
    fit = np.flatnonzero(reasons == "")
    keys = ["chrom", "start", "end", "own_gene", *(["cell_type"] if "cell_type" in pairs else [])]
    again = pairs.assign(own_gene=genes_of(pairs)).iloc[fit].duplicated(keys).to_numpy()
    reasons[fit[again]] = AGAIN
    left_out = pairs.assign(reason=reasons)[reasons != ""][list(LEFT_OUT)].reset_index(drop=True)
    return pairs[reasons == ""].reset_index(drop=True), left_out


def write_bench(folder: Path, bench: Bench) -> None:
    """Write the tables and summary.json of a bench into a folder, created where missing.

    Raises
    ------
    InputError
        The folder holds the summary of something else.
    """
    summary = folder / "summary.json"
    if summary.exists():
        try:
            about = parse_json(summary.read_bytes())
        except ValueError:
            about = None
        if not isinstance(about, dict) or about.get("kind") != KIND:
            found, expected = "the summary.json of something else", f"a new folder, or one that `{KIND}` wrote"
            raise InputError(folder, found=found, expected=expected, fix="choose another folder for --output")
    folder.mkdir(parents=True, exist_ok=True)
    stale = [folder / f"{name}.tsv" for name in TABLES if name not in bench.tables]
    write_tables(folder, bench.tables, bench.summary, stale)


def kb(distance: float) -> str:
    """Return a distance in bp as words in kb."""
    return f"{distance / 1000:g} kb"


def _in_reach(pairs: pd.DataFrame, run: Run, cell_type: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs that a run can judge, and the others."""
    require_masks(run)
    sites = study_genes(study_or_reason(run)[0])
    known = [] if sites is None else list(sites[["gene_id", "symbol"]].to_numpy().ravel())
    return match_pairs(pairs, run, known, cell_type)


def _scored(kept: pd.DataFrame, run: Run | None) -> tuple[pd.DataFrame, list[str], dict[str, str]]:
    """Return the pairs with a column for each score, the names of the scores, and why others are missing.

    Of a run, whatever `score_pairs` gives. Its signals may be called as the table's: those get "of the run".
    """
    own, missing = signal_scores(kept)
    if run is None:
        of_table, without = activity_scores(kept)
        return _with(kept, {**of_table, **own}), [*of_table, *own], missing | without
    study, why = study_or_reason(run)
    scored, without = score_pairs(kept, run, ScoreReader(run, study, peak_tables(run, ()), without=why))
    found = scored.iloc[:, len(kept.columns) :]
    taken = {*kept.columns, *own}
    columns = {f"{name} of the run" if name in taken else name: found[name].to_numpy() for name in found.columns}
    return _with(kept, {**columns, **own}), [*columns, *own], missing | without


def _with(pairs: pd.DataFrame, columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    return pd.concat([pairs, pd.DataFrame(columns, index=pairs.index)], axis=1)


def _add_rivals(scored: pd.DataFrame, rivals: Sequence[Rival]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs with a column for each rival, and what each covers.

    Raises
    ------
    InputError
        A rival is named as another column.
    """
    rows = []
    for rival in rivals:
        if rival.name in scored:
            fix = "give the predictions another name"
            raise InputError("--rival", found=f"the name {rival.name!r} twice", expected="names of their own", fix=fix)
        scores, predicted = rival_scores(scored, rival)
        covered, positive = np.isfinite(scores), scored["positive"].to_numpy(bool)
        scored = _with(scored, {rival.name: scores})
        about = {"rival": rival.name, "file": rival.path.name, "column": rival.column, "predictions": len(rival.table)}
        numbers = {"covered": covered, "covered_positives": covered & positive, "predicted": predicted}
        rows.append(about | {name: int(values.sum()) for name, values in numbers.items()})
    return scored, pd.DataFrame(rows)


def _direct_weights(pairs: pd.DataFrame) -> np.ndarray | None:
    """Return the probability that an effect in each pair is direct, as the benchmark weighs pairs; None without it.

    It is the column direct_vs_indirect_negative; without it direct_rate_negative over the sum of both rates.
    """
    if "direct" in pairs:
        found = pairs["direct"]
    elif {"direct_rate", "indirect_rate"} <= set(pairs.columns):
        found = pairs["direct_rate"] / (pairs["direct_rate"] + pairs["indirect_rate"])
    else:
        return None
    return found.where(found.between(0, 1)).to_numpy(float)


def _rankings(
    scored: pd.DataFrame, names: list[str], rivals: Sequence[str], max_distance: int, group: str | None
) -> dict[str, pd.DataFrame]:
    """Return the tables scores and differences.

    Scores that nearly all pairs have are judged together (`pairs_of` "all"). A rival, or a score that fewer have, is
    judged on its own pairs, with those scores on the same pairs beside it.
    """
    (common, wide), *few = shared(scored, names)
    blocks = [(ALL, common, wide)]
    for name in [*(own[0] for _, own in few), *rivals]:
        blocks.append((name, common.dropna(subset=[name]), [name, *wide]))
    rows, differences = [], []
    for pairs_of, pairs, own in blocks:
        for by, value, part in _parts(pairs, max_distance, group):
            bases = [*BASELINES, MEAN_MASK, pairs_of] if value == ALL and by == "distance" else []
            found = ranking_of(part, own, bases)
            about = {"pairs_of": pairs_of, "by": by, "group": value}
            rows += [about | row | weighted for row, weighted in zip(found.rows, _weighted(part, own), strict=True)]
            differences += [{"pairs_of": pairs_of, **row} for row in found.differences]
    return {"scores": pd.DataFrame(rows), "differences": pd.DataFrame(differences)}


def _weighted(part: pd.DataFrame, names: list[str]) -> list[dict[str, float]]:
    """Return the AUPRC of scores with each pair weighed by the probability of a direct effect; empty without it."""
    if WEIGHT not in part:
        return [{}] * len(names)
    found = ranking_of(part.dropna(subset=[WEIGHT]), names, weight=WEIGHT).rows
    return [{f"{name}_weighted": row[name] for name in ("positive_share", *AUPRC)} for row in found]


def _parts(pairs: pd.DataFrame, max_distance: int, group: str | None) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield (kind, name, pairs) of each class of distance, of all pairs, and of each group."""
    edges = [edge for edge in EDGES if edge < max_distance] + [max_distance]
    if len(edges) > 2:
        for first, last in pairwise(edges):
            inside = (pairs["distance"] >= first) & (pairs["distance"] < last)
            yield "distance", f"{first / 1000:g}-{kb(last)}", pairs[inside]
    yield "distance", ALL, pairs
    if group is not None:
        for value, part in pairs.groupby(group, sort=True):
            yield group, str(value), part


def _group_column(pairs: pd.DataFrame, by: str | None) -> str | None:
    """Return the column whose groups get rows: the one asked for, or the cell type where there is no dataset."""
    if by is None or by in pairs:
        return by
    if "cell_type" in pairs:
        return "cell_type"
    expected = "a column Dataset, Reference or CellType"
    raise InputError("tested pairs", found=f"no {by}", expected=expected, fix="add the column, or leave out --by")


def _prior_summary(table: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, Any]:
    """Return the AUPRC of the prior: as it is, lowest and highest over the factors, and where above 1/distance."""
    alike = table[(table["h3k27ac_factor"] == 1) & (table["dnase_factor"] == 1) & (table["contact_factor"] == 1)]
    found: dict[str, Any] = {"auprc": float(alike["auprc"].iloc[0]), "combinations": len(table)}
    for name, part in (("of_signals", table[table["contact_factor"] == 1]), ("of_all", table)):
        low, high = part.loc[part["auprc"].idxmin()], part.loc[part["auprc"].idxmax()]
        found[name] = {"lowest": low.to_dict(), "highest": high.to_dict()}
    nearness = float(average_precision(pairs["positive"].to_numpy(bool), pairs[NEARNESS].to_numpy(float))[0])
    above = table[table["auprc"] > nearness]
    most = above[["h3k27ac_factor", "dnase_factor"]].max(axis=1).max() if len(above) else None
    return found | {"nearness": nearness, "above_nearness": len(above), "most_signal_above": most}


def _limits(scored: pd.DataFrame, left_out: pd.DataFrame, names: list[str], rivals: pd.DataFrame) -> list[str]:
    """Return sentences on what these numbers do not say."""
    found = [
        "Tested elements are chosen: mostly strong candidates near expressed genes. An AUPRC over them says little "
        "about the rest of the genome.",
        *pair_limits(scored, left_out),
    ]
    if PRIOR in names:
        found.append(
            f"The {PRIOR} is formed from one value of each signal for a whole element, in the table's unit, with the "
            "contact that the power law expects. It is no mask of a window of bases."
        )
    if len(rivals):
        found.append(
            "Predictions of other programs may have been fitted to these very pairs. Each is compared on the pairs "
            "whose gene its table names on the pair's chromosome; an element without a prediction for that gene gets "
            "the lowest score."
        )
    return found
