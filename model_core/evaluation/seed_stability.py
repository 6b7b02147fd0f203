"""Stability over random seeds: how many elements recur, how much masks and effects change."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from model_core.errors import InputError
from model_core.evaluation.ranking import levels, rank_correlation
from model_core.intervals import overlap_pairs
from model_core.listing import folders_in
from model_core.run_folder.band import band_words
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.run import Run

COLUMNS = (
    *("run_a", "run_b", "genes", "elements_a", "elements_b", "elements_back", "element_jaccard"),
    *(
        "mask_difference",
        "mask_rank_correlation",
        "elements_with_effect",
        "effect_difference",
        "effect_rank_correlation",
    ),
)
SAMPLED = 2_000_000  # bases whose ranks are compared


def runs_of_seeds(run: Run) -> list[Path]:
    """Return the folders of the other seeds if the run is one of `train --seeds`: OUT/seed-N next to OUT/seeds.json."""
    if not (run.path.resolve().parent / "seeds.json").is_file():
        return []
    folders = folders_in(run.path.resolve().parent, "seed-*")
    folders = [path for path in folders if re.fullmatch(r"seed-\d+", path.name)]  # no copy of one
    return [path for path in folders if path != run.path.resolve() and (path / "manifest.json").is_file()]


def check_seeds(runs: Sequence[Run]) -> None:
    """Raise InputError unless all are different runs with masks of the same windows, and elements."""
    first = runs[0]
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise InputError("seeds", found="the same run twice", expected="runs of different seeds", fix="remove one")
    for run in runs:
        for name in ("window", "promoter", "resolution", "variant"):
            if run.manifest[name] != first.manifest[name]:
                found, expected = f"{name} {run.manifest[name]}", f"{first.manifest[name]}, as in {first.path}"
                fix = "give runs that differ only in their seed"
                raise InputError(run.path, found=found, expected=expected, fix=fix)
        if not run.manifest.get("assembled"):
            raise InputError(
                run.path, found="no elements", expected="a scored run", fix=f"run `seq2exp-viz score {run.path}`"
            )


def seed_table(runs: dict[str, Run]) -> tuple[pd.DataFrame, dict[str, float | None]]:
    """Compare runs of different seeds, pair by pair.

    elements_back: share of both runs' elements of which at least half lies in elements of the other. element_jaccard:
    bases in elements of both over those in either. mask_difference: mean |difference|, 0 to 1. Effects: of elements
    that share a base. The second result has genes, seed_sd (mean over bases of the standard deviation of the mask
    between the runs) and beta_sd (mean over bases and runs of the standard deviation of z under its Beta; None where
    it follows from the mean, as the runs have no such band).

    Parameters
    ----------
    runs : dict[str, Run]
        Runs by name, two or more that passed `check_seeds`; only genes that all have scored are used.

    Returns
    -------
    table : DataFrame
        COLUMNS, one row per pair of runs.
    means : dict[str, float or None]
        genes, seed_sd and beta_sd.
    """
    names = list(runs)
    genes = sorted(set.intersection(*(run.scored for run in runs.values())))
    if not genes:
        found = f"no gene that all of {', '.join(names)} have scored"
        expected, fix = "some genes in common", "score the same genes in all runs"
        raise InputError("seeds", found=found, expected=expected, fix=fix)
    bins = runs[names[0]].manifest["window"] // runs[names[0]].manifest["resolution"]
    every = max(1, bins * len(genes) // SAMPLED)
    moved = {pair: 0.0 for pair in itertools.combinations(names, 2)}
    sample: dict[str, list[np.ndarray]] = {name: [] for name in names}
    total, seed_sd, beta_sd = 0, 0.0, 0.0
    for gene in genes:
        masks = [run.mask(gene) for run in runs.values()]
        learned = np.logical_and.reduce([mask.learned for mask in masks])
        values = {name: mask.mask[learned] for name, mask in zip(names, masks, strict=True)}
        total += int(learned.sum())
        for one, two in moved:
            moved[one, two] += float(np.abs(values[one] - values[two]).sum(dtype=np.float64))
        seed_sd += float(np.std(list(values.values()), axis=0, ddof=1).sum(dtype=np.float64))
        beta_sd += float(np.mean([mask.sd[learned] for mask in masks], axis=0).sum(dtype=np.float64))
        for name in names:
            sample[name].append(levels(values[name][::every]))
    ranks = {name: np.concatenate(parts) for name, parts in sample.items()}
    elements = {name: _elements(run, genes) for name, run in runs.items()}
    rows = []
    for one, two in moved:
        row = {"run_a": one, "run_b": two, "genes": len(genes), "mask_difference": moved[one, two] / max(total, 1)}
        row["mask_rank_correlation"] = rank_correlation(ranks[one], ranks[two])
        rows.append(row | _elements_back(elements[one], elements[two]) | _effects(runs[one], runs[two], genes))
    width = beta_sd / max(total, 1) if all(band_words(run.band) for run in runs.values()) else None
    means = {"genes": len(genes), "seed_sd": seed_sd / max(total, 1), "beta_sd": width}
    return pd.DataFrame(rows, columns=list(COLUMNS)), means


def _elements(run: Run, genes: list[str]) -> pd.DataFrame:
    """Return start, end of elements with the gene_id as chromosome, so that only elements of one gene meet."""
    table = run.elements
    table = table[(table["class"] != PROMOTER_CLASS) & table["gene_id"].isin(genes)]
    return pd.DataFrame({"chrom": table["gene_id"], "start": table["start"], "end": table["end"]}).reset_index(
        drop=True
    )


def _elements_back(one: pd.DataFrame, two: pd.DataFrame) -> dict[str, float]:
    left, right = overlap_pairs(one, two)
    ends = np.minimum(one["end"].to_numpy()[left], two["end"].to_numpy()[right])
    shared = ends - np.maximum(one["start"].to_numpy()[left], two["start"].to_numpy()[right])
    back, sizes = 0, []
    for table, rows in ((one, left), (two, right)):
        size = (table["end"] - table["start"]).to_numpy()
        covered = np.bincount(rows, weights=shared, minlength=len(table))
        back += int((covered * 2 >= size).sum())
        sizes.append(int(size.sum()))
    either = sum(sizes) - int(shared.sum())
    return {
        "elements_a": len(one),
        "elements_b": len(two),
        "elements_back": back / (len(one) + len(two)) if len(one) + len(two) else float("nan"),
        "element_jaccard": float(shared.sum() / either) if either else float("nan"),
    }


def _effects(one: Run, two: Run, genes: list[str]) -> dict[str, float]:
    tables = []
    for run in (one, two):
        table = run.effects
        table = table[table["gene_id"].isin(genes)]
        tables.append(table.assign(chrom=table["gene_id"]).reset_index(drop=True))
    left, right = overlap_pairs(*(table[["chrom", "start", "end"]] for table in tables))
    here, there = tables[0]["effect"].to_numpy()[left], tables[1]["effect"].to_numpy()[right]
    nothing = float("nan")
    return {
        "elements_with_effect": len(left),
        "effect_difference": float(np.abs(here - there).mean()) if len(left) else nothing,
        "effect_rank_correlation": _rank_correlation(here, there),
    }


def _rank_correlation(one: np.ndarray, two: np.ndarray) -> float:
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return float("nan")
    return float(stats.spearmanr(one, two).statistic)
