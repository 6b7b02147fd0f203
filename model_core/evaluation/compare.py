"""`compare`: a run's masks against MACS3 peaks, planted truth, CRISPR pairs and control runs.

Every table is tab-separated with a header line; docs/compare.md describes the columns. Bases are counted once for each
gene whose window holds them, because a mask says "kept for this gene".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from model_core.bed import read_narrowpeak
from model_core.errors import InputError
from model_core.evaluation import caveats, crispr_pairs, peak_overlap, seed_stability
from model_core.evaluation.accumulate import Accumulator
from model_core.evaluation.base_scores import MASK, PRIOR, ScoreReader, named_runs
from model_core.evaluation.gene_counts import GeneCounts
from model_core.evaluation.pair_ranking import difference_table, pair_table
from model_core.evaluation.planted_truth import Found, Truth, found_shares
from model_core.evaluation.prediction import judged, mask_kind, prediction_difference_table, prediction_table
from model_core.evaluation.ranking import kept_of, ranking
from model_core.evaluation.resampling import auprc_difference, auprc_draws
from model_core.evaluation.written_tables import write_tables
from model_core.intervals import match_chromosomes
from model_core.listing import files_in
from model_core.progress import Job
from model_core.remote.address import input_path
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.run import Run
from model_core.run_folder.source import study_of
from model_core.study.study import Study

FOLDER = "compare"
SCORE_COLUMNS = (
    *("score", "kind", "genes", "bases", "kept_share", "auprc", "auroc", "precision", "recall", "weak_recall"),
    *("decoys_kept", "elements_found", "weak_found", "decoys_found", "elements_causal"),
    *("in_peaks", "jaccard_with_elements", "rank_correlation"),
)
DIFFERENCE_COLUMNS = ("score", "minus", "auprc_difference", "low", "high", "genes")
CURVE_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7)
UNMATCHED = (0, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, math.inf)  # bp to the nearest peak
CLASSES = ("causal", "weak", "decoy")


class Comparison(NamedTuple):
    """Result of `compare`.

    Attributes
    ----------
    summary : dict
        Content of summary.json.
    tables : dict[str, DataFrame]
        By name ("peaks" for peaks.tsv).
    """

    summary: dict
    tables: dict[str, pd.DataFrame]


def compare(
    run: Run,
    against: Sequence[str | Path] = (),
    truth: str | Path | None = None,
    crispr: str | Path | None = None,
    beside: Sequence[str | Path] = (),
    seed_runs: Sequence[str | Path] = (),
    cell_type: str | None = None,
) -> Comparison:
    """Compare a run and write the tables and summary.json into RUN/compare.

    Parameters
    ----------
    run : Run
        Scored and assembled.
    against : Sequence[str or Path]
        Further narrowPeak files, in addition to the run's own.
    truth : str or Path or None
        BED of planted elements; by default that of a simulated study.
    crispr : str or Path or None
        Table of tested element-gene pairs.
    beside : Sequence[str or Path]
        Other runs to compare with, such as those with control masks.
    seed_runs : Sequence[str or Path]
        Runs that differ only in their seed; by default those that `train --seeds` made with this one.
    cell_type : str or None
        Cell type of the tested pairs to use, as the table names it; by default all.

    Returns
    -------
    Comparison
        The summary and the tables written.

    Raises
    ------
    InputError
        The run has no elements, or a given file or run cannot be used.

    Examples
    --------
    >>> import model_core
    >>> comparison = model_core.compare(model_core.open_run("my-run"))
    >>> comparison.summary["run"], "mask" in comparison.tables["scores"]["score"].tolist()
    ('my-run', True)
    """
    require_masks(run)
    study, without = study_or_reason(run)
    others = named_runs([Run.open(path) for path in beside])
    if run.name in others:
        others = {str(other.path): other for other in others.values()}
    peaks = peak_tables(run, against)
    planted = _truth(run, study, truth)
    tested = None if crispr is None else crispr_pairs.read_pairs(crispr)
    if tested is not None:
        crispr_pairs.check_cell_type(tested, cell_type)
    seeds_here = [Run.open(path) for path in seed_runs or seed_stability.runs_of_seeds(run)]
    if seeds_here:
        seed_stability.check_seeds([run, *seeds_here])
    reader = ScoreReader(run, study, peaks, others, without)
    sums = Accumulator(run, reader, {name: peak_overlap.Peaks(table) for name, table in peaks.items()}, planted)
    chosen = judged(run.genes)
    genes = run.genes.to_dict("records")
    with Job(f"comparing {run.name}", len(genes)) as job:
        for gene, is_judged in zip(genes, chosen, strict=True):
            sums.add(gene, is_judged)
            job.advance(note=gene["symbol"])
    tables = _overlap_tables(sums)
    by_truth = None if planted is None else sums.judged([gene for gene, yes in zip(genes, chosen, strict=True) if yes])
    tables["scores"] = score_table(sums, {} if by_truth is None else by_truth.found)
    if by_truth is not None:
        tables["differences"] = score_difference_table(by_truth.by_gene)
    tables["curves"] = curve_table(sums)
    tables["prediction"] = prediction_table({run.name: run, **others})
    if others:
        tables["prediction_differences"] = prediction_difference_table({run.name: run, **others})
    limits = caveats.of_study(run, study)
    limits += [] if planted is None else planted.limits
    about: dict[str, Any] = {"missing": dict(reader.missing), "limits": limits}
    if tested is not None:
        about |= _pairs(run, study, reader, tested, tables, cell_type)
    if seeds_here:
        tables["seeds"], about["seeds"] = seed_stability.seed_table(named_runs([run, *seeds_here]))
    limits += caveats.of_numbers(run, tables, reader) + caveats.of_others(others, tables)
    return _write(run, tables, _summary(run, sums, study, others, about, planted is not None))


def require_masks(run: Run) -> None:
    """Raise InputError if a run has no elements, or no base that its mask decides."""
    if not run.manifest.get("assembled"):
        found, do = "no elements", f"run `seq2exp-viz score {run.path}`"
        raise InputError(run.path, found=found, expected="a scored run", fix=do)
    if run.manifest["promoter"] >= run.manifest["window"]:
        found, expected = "a promoter as long as the window", "a run with bases that its mask decides"
        fix = "compare such a run, and give this one as --beside"
        raise InputError(run.path, found=found, expected=expected, fix=fix)


def score_table(sums: Accumulator, found: Mapping[str, Found]) -> pd.DataFrame:
    """Return the table SCORE_COLUMNS: the mask's elements, peaks as called, then each score at the elements' share.

    Measures that need planted truth are NaN without it.

    Parameters
    ----------
    sums : Accumulator
        Counts over all genes.
    found : Mapping[str, Found]
        By score: the planted elements that it finds; empty without truth.
    """
    share = sums.element_share
    rows = []
    sets = {"mask elements": "in_element"}
    main = next(iter(sums.peaks), None)
    if main is not None:
        sets[f"{main}, as called"] = "in_peak"
    whole = {name: float(counts.sum()) for name, counts in sums.classes(MASK).items()}
    for name, bit in sets.items():
        kept = sums.set_classes(bit)
        row = {"score": name, "kind": "set", "genes": sums.genes[MASK], "bases": whole["all"]}
        rows.append(row | _set_measures(kept, whole, sums))
    for name, kind in sums.reader.kinds.items():
        classes = sums.classes(name)
        totals = {key: float(counts.sum()) for key, counts in classes.items()}
        stacked = np.stack(list(classes.values()))
        kept = _kept(stacked, share, list(classes))
        row = {"score": name, "kind": kind, "genes": sums.genes[name], "bases": totals["all"]}
        if sums.truth is not None:
            row["auprc"], row["auroc"] = ranking(classes["causal"], classes["all"] - classes["causal"])
        row["rank_correlation"] = sums.rank_correlation(name)
        rows.append(row | _set_measures(kept, totals, sums))
    table = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    for name, counts in found.items():
        for column, value in found_shares(counts).items():
            table.loc[table["score"] == name, column] = value
    return table.astype({"genes": np.int64, "bases": np.int64})


def score_difference_table(by_gene: Mapping[str, GeneCounts], minus: str = MASK) -> pd.DataFrame:
    """Return the table DIFFERENCE_COLUMNS: AUPRC of each score minus that of one, paired over the genes that have both.

    Parameters
    ----------
    by_gene : Mapping[str, GeneCounts]
        By score: counts of each judged gene.
    minus : str
        The score that is subtracted.
    """
    other, rows = by_gene[minus], []
    subtracted: dict[bytes, np.ndarray] = {}  # by the genes that both scores have
    for name, score in by_gene.items():
        if name == minus:
            continue
        both = score.known & other.known
        if both.tobytes() not in subtracted:
            subtracted[both.tobytes()] = auprc_draws(other.counts[both])
        found = auprc_difference(auprc_draws(score.counts[both]), subtracted[both.tobytes()])
        rows.append((name, minus, *(round(value, 9) + 0.0 for value in found), int(both.sum())))
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))


def curve_table(sums: Accumulator) -> pd.DataFrame:
    """Return the measures of each score at each of CURVE_SHARES.

    Columns: score, kept_share, precision, recall, weak_recall, decoys_kept, in_peaks.
    """
    rows = []
    for name in sums.reader.kinds:
        classes = sums.classes(name)
        totals = {key: float(counts.sum()) for key, counts in classes.items()}
        stacked = np.stack(list(classes.values()))
        for share in CURVE_SHARES:
            found = _set_measures(_kept(stacked, share, list(classes)), totals, sums)
            found.pop("jaccard_with_elements")
            rows.append({"score": name, **found})
    return pd.DataFrame(rows)


def _kept(stacked: np.ndarray, share: float, names: list[str]) -> dict[str, float]:
    """Return the number of bases of each class among the highest `share` of all; the first class is "all"."""
    everything = stacked[0]
    parts = np.concatenate([stacked[1:], (everything - stacked[1:])])  # each class and its rest add up to all
    half = len(names) - 1
    found = {"all": float(share * everything.sum())}
    for number, name in enumerate(names[1:]):
        found[name] = float(kept_of(parts[[number, number + half]], found["all"])[0])
    return found


def _set_measures(kept: dict[str, float], totals: dict[str, float], sums: Accumulator) -> dict[str, float]:
    nothing = float("nan")
    found = {"kept_share": _share(kept["all"], totals["all"])}
    if sums.truth is not None:
        found["precision"] = _share(kept["causal"], kept["all"])
        found |= {
            name: _share(kept[kind], totals[kind])
            for name, kind in zip(("recall", "weak_recall", "decoys_kept"), CLASSES, strict=True)
        }
    found["in_peaks"] = _share(kept["in_peak"], kept["all"]) if sums.peaks else nothing
    either = kept["all"] + totals["in_element"] - kept["in_element"]
    found["jaccard_with_elements"] = _share(kept["in_element"], either)
    return found


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _overlap_tables(sums: Accumulator) -> dict[str, pd.DataFrame]:
    """Return the tables peaks, peaks_by_gene, peaks_by_threshold and unmatched."""
    if not sums.peaks:
        return {}
    counts = list(peak_overlap.COUNTS)
    by_gene = pd.DataFrame(sums.by_gene)
    rows, curve, distances = [], [], []
    elements = sums.run.elements
    elements = elements[elements["class"] != PROMOTER_CLASS]
    for name, peaks in sums.peaks.items():
        total = by_gene.loc[by_gene["peak_set"] == name, counts].sum()
        rows.append({"peak_set": name, "by": "all", "group": "all", **total})
        for number, values in enumerate(sums.by_distance[name]):
            if values[0]:
                group = peak_overlap.distance_name(*peak_overlap.DISTANCES[number : number + 2])
                rows.append(
                    {"peak_set": name, "by": "distance", "group": group, **dict(zip(counts, values, strict=True))}
                )
        for threshold, values in zip(sums.thresholds, sums.by_threshold[name], strict=True):
            used = threshold == sums.run.rule.threshold
            curve.append(
                {"peak_set": name, "threshold": threshold, "used": used, **dict(zip(counts, values, strict=True))}
            )
        found = peak_overlap.distances_of_unmatched(elements, peaks)
        distances.append(_unmatched(name, found))
    table = peak_overlap.measured(pd.DataFrame(rows))
    middle = {part["peak_set"].iloc[0]: part.attrs["median"] for part in distances}
    whole = table["by"] == "all"
    table["median_distance_of_unmatched"] = table["peak_set"].map(middle).where(whole)
    return {
        "peaks": table,
        "peaks_by_gene": peak_overlap.measured(by_gene),
        "peaks_by_threshold": peak_overlap.measured(pd.DataFrame(curve)),
        "unmatched": pd.concat(distances, ignore_index=True),
    }


def _unmatched(name: str, distance: np.ndarray) -> pd.DataFrame:
    """Return peak_set, from, to (bp; no `to` in the last), elements; no `from` for chromosomes without peaks."""
    known = distance[np.isfinite(distance)]
    counts, _ = np.histogram(known, bins=np.array(UNMATCHED))
    rows = [
        {"peak_set": name, "from": first, "to": last if math.isfinite(last) else None, "elements": int(count)}
        for first, last, count in zip(UNMATCHED, UNMATCHED[1:], counts, strict=False)
    ]
    if len(known) < len(distance):
        rows.append({"peak_set": name, "from": None, "to": None, "elements": len(distance) - len(known)})
    table = pd.DataFrame(rows).astype({"from": "Int64", "to": "Int64"})
    table.attrs["median"] = float(np.median(known)) if len(known) else float("nan")
    return table


def _pairs(
    run: Run, study: Study | None, reader: ScoreReader, tested: pd.DataFrame, tables: dict, cell_type: str | None
) -> dict:
    sites = study_genes(study)
    names = [] if sites is None else list(sites[["gene_id", "symbol"]].to_numpy().ravel())
    kept, left_out = crispr_pairs.match_pairs(tested, run, names, cell_type)
    about: dict = {"crispr": {"pairs": len(tested), "judged": len(kept), "left_out": len(left_out)}}
    about["crispr"]["reasons"] = {k: int(v) for k, v in left_out["reason"].value_counts().items()}
    tables["crispr_left_out"] = left_out
    if kept.empty:
        about["limits_of_pairs"] = [f"None of the {len(tested):,} tested pairs can be judged with this run."]
        return about
    scored, missing = crispr_pairs.score_pairs(kept, run, reader)
    own = [name for name in scored.columns if name not in kept.columns]
    tables["crispr_pairs"] = scored
    tables["crispr"] = pair_table(scored, own)
    tables["crispr_differences"] = difference_table(scored, own)
    about["limits_of_pairs"] = crispr_pairs.pair_limits(scored, left_out)
    about["crispr"] |= {"positives": int(scored["positive"].sum()), "missing": missing}
    return about


def study_or_reason(run: Run) -> tuple[Study | None, str]:
    """Return the study of a run and "", or None and why it is not there."""
    try:
        return study_of(run), ""
    except InputError as error:
        return None, f"its study cannot be read ({str(error).splitlines()[0]})"


def peak_tables(run: Run, against: Sequence[str | Path]) -> dict[str, pd.DataFrame]:
    """Return the narrowPeak tables of a run and of further files, by file name."""
    found: dict[str, pd.DataFrame] = {}
    for path in [*run.peak_files, *map(Path, against)]:
        name = path.name.removesuffix(".gz").removesuffix(".narrowPeak")
        while name in found:
            name += "'"
        table = read_narrowpeak(path)
        if path not in run.peak_files and len(table) and not table["chrom"].isin(set(run.genes["chrom"])).any():
            match_chromosomes(table["chrom"].unique(), sorted(set(run.genes["chrom"])), path)
        found[name] = table
    return found


def _truth(run: Run, study: Study | None, given: str | Path | None) -> Truth | None:
    planted = study.truth if study is not None else None
    causal = planted.causal if given is None and planted is not None else given
    if causal is None:
        return None
    truth = Truth.read(input_path(causal), planted.decoys if planted is not None else None)
    return truth.for_run(run.genes, run.chrom_sizes, study_genes(study))


def study_genes(study: Study | None) -> pd.DataFrame | None:
    """Return the gene table of a study; None without a study, or where it cannot be read."""
    try:
        return None if study is None else study.gene_sites()
    except InputError:
        return None  # the run's own genes are used


def _summary(
    run: Run, sums: Accumulator, study: Study | None, others: Mapping[str, Run], about: dict, truth: bool
) -> dict:
    causal = sums.classes(MASK)["causal"].sum() / max(sums.classes(MASK)["all"].sum(), 1) if truth else None
    genes = run.genes
    return {
        "schema": 1,
        "run": run.name,
        "variant": run.manifest["variant"],
        "mask": mask_kind(run),
        "band": run.band,
        "study": study.name if study is not None else None,
        "simulated": bool(run.manifest["simulated"]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "genes": len(genes),
        "judged": {"genes": sums.genes[MASK], "split": "test" if (genes["split"] == "test").any() else "all"},
        "learned_bases": int(sums.classes(MASK)["all"].sum()),
        "element_share": sums.element_share,
        "element_rule": run.rule.to_dict(),
        "causal_share": None if causal is None else float(causal),
        "rank_correlation_with_prior": _number(sums.rank_correlation(PRIOR) if PRIOR in sums.genes else None),
        "sequence_part_hidden": sums.reader.unknown / sums.reader.asked if sums.reader.asked else None,
        "peak_sets": list(sums.peaks),
        "beside": {name: mask_kind(other) for name, other in others.items()},
        **about,
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _write(run: Run, tables: dict[str, pd.DataFrame], summary: dict) -> Comparison:
    folder = run.path / FOLDER
    folder.mkdir(exist_ok=True)
    stale = [path for path in files_in(folder, "*.tsv") if path.stem not in tables]  # of an earlier call
    return Comparison(write_tables(folder, tables, summary, stale), tables)
