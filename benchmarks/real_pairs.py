"""Element-gene pairs tested by CRISPR that lie in a model's windows, and the score of each by rivals and by runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from planted import Windows
from rivals import WIDE, linear_contact_of

from model_core.evaluation.crispr_bench import near_pairs, with_distance
from model_core.evaluation.crispr_pairs import LEFT_OUT, UNKNOWN_GENE, read_pairs
from model_core.evaluation.element_scores import NEARNESS, PRIOR, element_prior
from model_core.evaluation.rivals import Rival, rival_scores
from model_core.intervals import shared_bases
from model_core.perturbation.run_model import RunModel
from model_core.perturbation.what_if import Edit
from model_core.run_folder.element_gene_score import element_gene_score
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.member_effects import mean_contact, region_effect
from model_core.run_folder.run import Run
from model_core.study.study import Study
from model_core.window import promoter_slice, window_start

OUTSIDE = "element outside the gene's window"
CUT = "element cut by the end of the gene's window"
IN_PROMOTER = "element inside the promoter, which has no effect of its own"
BLACKLISTED = "element blacklisted"
COLUMNS = ["chrom", "start", "end", "gene", "gene_id", "positive", "split", "distance", "h3k27ac", "dnase", "outcome"]
TREES = "trees (expression)"
EFFECT, EFFECT_SD, SCORE, MASK = "effect", "effect_sd", "element-gene score", "mean mask"


def tested_pairs(path: Path, study: Study, window: int, promoter: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a table's pairs on the study's chromosomes into those that models of this window can judge and the others.

    Genes without a label are judged, too: their windows are scored like those of others.

    Returns
    -------
    kept : DataFrame
        COLUMNS: distance is that of the element's middle to the study's start site.
    left_out : DataFrame
        The others, with the columns LEFT_OUT.
    """
    genes = study.genes().set_index("symbol")
    pairs = read_pairs(path)
    pairs = pairs[pairs["chrom"].isin(set(genes["chrom"]))].reset_index(drop=True)
    valid, left_out = near_pairs(with_distance(pairs), math.inf)
    own = genes.reindex(valid["gene"]).reset_index()
    first = window_start(own["tss"], window)
    start, end, inside = valid["start"] - first, valid["end"] - first, promoter_slice(window, promoter)
    blacklist = study.blacklist()
    hidden = np.zeros(len(valid), int) if blacklist is None else shared_bases(valid, blacklist)
    checks = {  # reason -> where it holds; the first one is told
        UNKNOWN_GENE: own["tss"].isna(),
        OUTSIDE: (end <= 0) | (start >= window),
        CUT: (start < 0) | (end > window),
        IN_PROMOTER: (start >= inside.start) & (end <= inside.stop),
        BLACKLISTED: hidden == valid["end"] - valid["start"],
    }
    reasons = np.select([np.asarray(holds, bool) for holds in checks.values()], list(checks), "")
    of_study = {"split": own["split"].fillna(""), "distance": ((valid["start"] + valid["end"]) // 2 - own["tss"]).abs()}
    kept = valid.assign(**of_study)[reasons == ""][COLUMNS].reset_index(drop=True)
    outside = valid.assign(reason=reasons)[reasons != ""][list(LEFT_OUT)]
    return kept, pd.concat([left_out, outside], ignore_index=True)


def scores_of_rivals(
    pairs: pd.DataFrame, study: Study, windows: Windows, effects_of_trees: np.ndarray, foreign: Sequence[Rival]
) -> dict[str, np.ndarray]:
    """Return the score of each pair by what needs no model, float64 (pairs,) by name; NaN where it is not known.

    Signals are those of the study, summed over the element. Activity is the root of DNase x H3K27ac. "ABC formula" is
    activity x contact as a share of the sum over the study's peaks in the gene's window and the element.

    Parameters
    ----------
    pairs : DataFrame
        From `tested_pairs`.
    study : Study
        With peaks.
    windows : Windows
        Windows of the genes of all pairs, and perhaps of others.
    effects_of_trees : ndarray
        (G, L), from `rivals.trees_on_expression` of these windows.
    foreign : Sequence[Rival]
        Predictions of other programs.
    """
    row_of = pd.Series(windows.genes.index, index=windows.genes["symbol"])
    names = [spec.name for spec in study.signal_specs]
    dnase, h3k27ac = (np.maximum(windows.signals[..., names.index(name)], 0) for name in ("DNase", "H3K27ac"))
    contact = linear_contact_of(study, windows)
    rows = []
    for pair in pairs.itertuples():
        row = row_of[pair.gene]
        start = int(windows.start[row])
        first, last = pair.start - start, pair.end - start
        own = _activity(dnase[row], h3k27ac[row], first, last)
        near = float(contact[row, first:last].mean())
        others = sum(
            _activity(dnase[row], h3k27ac[row], *peak) * float(contact[row, slice(*peak)].mean())
            for peak in _peaks_beside(study, pair, start, windows.codes.shape[1])
        )
        found = {
            TREES: float(effects_of_trees[row, first:last].sum()) / WIDE,
            "contact": near,
            "DNase": float(dnase[row, first:last].sum()),
            "activity": own,
            "activity x contact": own * near,
            "ABC formula": own * near / max(own * near + others, 1e-12),
            NEARNESS: 1 / max(pair.distance, 1),
        }
        rows.append(found)
    prior = element_prior(*(pairs[name].to_numpy(float) for name in ("h3k27ac", "dnase", "distance")))
    theirs = {rival.name: rival_scores(pairs, rival)[0] for rival in foreign}
    return {**{name: column.to_numpy(float) for name, column in pd.DataFrame(rows).items()}, PRIOR: prior, **theirs}


def _activity(dnase: np.ndarray, h3k27ac: np.ndarray, first: int, last: int) -> float:
    """Return the root of the product of two signals (L,), each summed over first-last."""
    return math.sqrt(float(dnase[first:last].sum()) * float(h3k27ac[first:last].sum()))


def _peaks_beside(study: Study, pair: Any, start: int, window: int) -> list[tuple[int, int]]:
    """Return the study's peaks inside a window, counted from its start, that share no base with a pair's element."""
    peaks = study.peaks()
    assert peaks is not None
    here = (peaks["chrom"] == pair.chrom) & (peaks["start"] >= start) & (peaks["end"] <= start + window)
    here &= (peaks["end"] <= pair.start) | (peaks["start"] >= pair.end)
    bounds = peaks.loc[here, ["start", "end"]].drop_duplicates() - start  # one line for each sub-summit
    return list(bounds.itertuples(index=False, name=None))


def scores_of_run(run: Run, pairs: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the score of each pair by a run that scored all their genes, float64 (pairs,) by name.

    "effect": of an additive run the mean over its members of their summed effect over the element, else the knock-out
    of the element. "effect_sd": over the members. "element-gene score": as `element_gene_score`. "mean mask": over the
    bases of the element that the model decides. A score that is known for no pair is left out.
    """
    config, model = run.model_config, None
    additive = run.manifest.get("members") is not None
    found = {name: np.full(len(pairs), np.nan) for name in (EFFECT, EFFECT_SD, SCORE, MASK)}
    for gene, rows in pairs.groupby("gene").groups.items():
        regions = [(int(pairs["start"][row]), int(pairs["end"][row])) for row in rows]
        mask = run.mask(gene)
        bounds = mask.start, mask.end
        if additive:
            effects = run.member_effects(gene)
            assert effects is not None
            known = [region_effect(effects, *region) for region in regions]
            found[EFFECT][rows] = [one.effect for one in known]
            found[EFFECT_SD][rows] = [one.effect_sd for one in known]
        else:
            model = model or RunModel(run)
            what_if = model.what_if(run.gene(gene)["gene_id"])
            found[EFFECT][rows] = what_if.baseline - what_if.under([Edit(off=(region,)) for region in regions])
        contact = run.contact(gene)
        near = [math.nan if contact is None else mean_contact(contact, bounds, *region) for region in regions]
        effect = found[EFFECT][rows]
        found[SCORE][rows] = element_gene_score(effect if additive else np.nan, effect, near)
        if config is None or config.mask.kind == "learned":
            found[MASK][rows] = [mean_of_mask(mask, *region) for region in regions]
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def mean_of_mask(mask: GeneMask, start: int, end: int) -> float:
    """Return the mean of a `GeneMask` over the bins of start-end that the model decided; NaN without such bins."""
    bins = slice(max(start - mask.start, 0) // mask.resolution, -(-(end - mask.start) // mask.resolution))
    values = mask.mask[bins][mask.learned[bins]]
    return float(values.mean(dtype=np.float64)) if len(values) else math.nan
