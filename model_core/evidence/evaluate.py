"""A run against planted truth: the mask, its rivals and MACS3 by one yardstick (simulated studies only).

Only bases that the model decided count: promoter and blacklist are left out everywhere. A base is causal for a gene
when it lies in an element planted for that gene; the same base may be without effect on the gene next to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from model_core.bed import read_bed
from model_core.config import Seq2ExpConfig
from model_core.errors import InputError, complaint
from model_core.evidence.controls import peak_scores, signal_prior
from model_core.inputs.study import Study
from model_core.intervals import Window, rasterise
from model_core.outputs.masks import GeneMask
from model_core.outputs.run import Run

MOST_BASES = 5_000_000  # beyond it genes are drawn at random, so that the tables fit into memory


class Gene(NamedTuple):
    """The learned bases (n,) of one scored gene, and everything that ranks them."""

    start: int  # of the window
    learned: np.ndarray  # (L,) bool
    causal: np.ndarray  # (n,) bool
    element: np.ndarray  # (n,) int32, 0 = none, else the number of the causal element
    weak: np.ndarray  # (n,) bool, in a causal element with weak signal
    decoy: np.ndarray  # (n,) bool
    scores: dict[str, np.ndarray]  # (n,) float each
    kept: np.ndarray  # (n,) bool, inside an element of the mask


def against_truth(run: Run, study: Study, seed: int = 0) -> dict:
    """How well a run's masks find what the simulation planted, beside its rivals.

    Args:
        run: scored and assembled; its test genes are used, or all where there is no split.
        study: simulated, with [truth].
        seed: of the random rival.

    Returns:
        {"genes", "bases", "causal_share", "prior_correlation" (Spearman of mask and signal prior over the bases),
        "bases_table": one row a score with auprc and auroc, "sets_table": one row a set of bases with kept, precision,
        recall, elements_found, weak_found, decoys_kept, all at the share of bases that the mask's elements keep}.

    Raises:
        InputError: the study has no truth, or no gene of it is scored.
    """
    if study.truth is None:
        raise InputError(complaint(study.path, "no [truth]", "a simulated study", "see `seq2exp-viz demo`"))
    genes = list(_genes(run, study))
    joined = {
        field: np.concatenate([getattr(g, field) for g in genes]) for field in ("causal", "weak", "decoy", "kept")
    }
    scores = {name: np.concatenate([g.scores[name] for g in genes]) for name in genes[0].scores}
    offsets = np.cumsum([0, *(g.element.max(initial=0) for g in genes)])
    element = np.concatenate([np.where(g.element, g.element + o, 0) for g, o in zip(genes, offsets, strict=False)])
    truth = {**joined, "element": element}
    kept = int(joined["kept"].sum())
    sets = {"mask elements": joined["kept"], "random elements": _random_elements(genes, seed)}
    sets |= {name: _top(values, kept, seed) for name, values in scores.items() if name != "mask"}
    return {
        "genes": len(genes),
        "bases": len(element),
        "causal_share": float(joined["causal"].mean()),
        "prior_correlation": float(stats.spearmanr(scores["mask"], scores["signal prior"]).statistic),
        "bases_table": [{"score": name, **_ranking(joined["causal"], values)} for name, values in scores.items()],
        "sets_table": [{"set": name, **set_measures(chosen, truth)} for name, chosen in sets.items()],
    }


def set_measures(chosen: np.ndarray, truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Measures of a set of bases.

    Args:
        chosen: (n,) bool.
        truth: "causal", "weak", "decoy" (n,) bool and "element" (n,) int, 0 = none.

    Returns:
        kept (share of bases), precision and recall over bases, elements_found and weak_found (share of causal elements
        with at least half of their bases chosen), decoys_kept (share of the decoys' bases chosen).
    """

    def share(part: np.ndarray, whole: np.ndarray) -> float:
        return float(part.sum() / whole.sum()) if whole.any() else float("nan")

    sizes = np.bincount(truth["element"])[1:]
    found = np.bincount(truth["element"], weights=chosen)[1:] >= sizes / 2
    weak = np.bincount(truth["element"], weights=truth["weak"])[1:] > 0
    return {
        "kept": float(chosen.mean()),
        "precision": share(chosen & truth["causal"], chosen),
        "recall": share(chosen & truth["causal"], truth["causal"]),
        "elements_found": share(found, np.ones_like(found)),
        "weak_found": share(found & weak, weak),
        "decoys_kept": share(chosen & truth["decoy"], truth["decoy"]),
    }


def _genes(run: Run, study: Study) -> Iterator[Gene]:
    table = run.genes
    if (table["split"] == "test").any():
        table = table[table["split"] == "test"]
    most = max(1, MOST_BASES // run.manifest["window"])
    if len(table) > most:
        table = table.sample(most, random_state=0)
    causal, decoys = (read_bed(path) for path in (study.truth.causal, study.truth.decoys))
    reader, config = study.reader(), Seq2ExpConfig.from_dict(run.config["model"])
    peaks = run.peaks
    for gene in table.itertuples():
        mask = run.mask(gene.gene_id)
        data = reader.read(Window(gene.chrom, int(gene.tss), gene.strand, mask.end - mask.start))
        scores = {"mask": mask.mean, "signal prior": signal_prior(data.signals, config)}
        scores |= {name: data.signals[:, i] for i, name in enumerate(config.signals)}
        if peaks is not None:
            scores["MACS3"] = peak_scores(peaks, mask.chrom, mask.start, mask.end)
        mine = causal[causal["gene"] == gene.gene_id]
        yield _gene(mask, mine, decoys, run.cut(gene.gene_id), scores)


def _gene(mask: GeneMask, causal: pd.DataFrame, decoys: pd.DataFrame, elements: pd.DataFrame, scores: dict) -> Gene:
    where = mask.chrom, mask.start, mask.end
    learned = np.repeat(mask.learned, mask.resolution)
    number = np.zeros(mask.end - mask.start, np.int32)
    for n in range(len(causal)):
        number[rasterise(causal.iloc[n : n + 1], *where)] = n + 1
    weak = rasterise(causal[causal["strength"] == "weak"], *where)
    elements = elements[elements["class"] != "promoter"]
    bases = {name: np.repeat(values, len(number) // len(values))[learned] for name, values in scores.items()}
    return Gene(
        mask.start, learned, (number > 0)[learned], number[learned], weak[learned],
        rasterise(decoys, *where)[learned], bases, rasterise(elements, *where)[learned],
    )  # fmt: skip


def _ranking(causal: np.ndarray, values: np.ndarray) -> dict[str, float]:
    return {"auprc": float(average_precision_score(causal, values)), "auroc": float(roc_auc_score(causal, values))}


def _top(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The `count` bases with the highest values; ties in random order."""
    chosen = np.zeros(len(values), bool)
    order = np.lexsort([np.random.default_rng(seed).random(len(values)), -values])
    chosen[order[:count]] = True
    return chosen


def _random_elements(genes: list[Gene], seed: int) -> np.ndarray:
    """As many kept bases as the mask has, at random places: each gene's kept pattern turned round in a circle."""
    rng = np.random.default_rng(seed)
    return np.concatenate([np.roll(g.kept, rng.integers(1, max(2, len(g.kept)))) for g in genes])
