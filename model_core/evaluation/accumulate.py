"""Counts over a run's genes for the tables of `compare`; memory does not grow with the number of genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.evaluation import peak_overlap
from model_core.evaluation.base_scores import MASK, ScoreReader
from model_core.evaluation.gene_counts import GeneCounts, group_count
from model_core.evaluation.planted_truth import DECOY, NONE, STRONG, WEAK, Found, Truth, found_elements
from model_core.evaluation.ranking import ScoreHistogram, cut_at, levels, rank_correlation, split
from model_core.run_folder.elements import PROMOTER_CLASS, KeptHistogram, smoothed
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.run import Run

SAMPLED = 2_000_000  # evenly spaced bases whose ranks are compared
_FIRST_GENES = 100  # genes from which the thresholds of the curve are chosen
_IN_ELEMENT, _IN_PEAK, _KIND = 1, 2, 4  # bits of a stratum; the kind of planted base is multiplied by 4
_STRATA = 16


class Judged(NamedTuple):
    """What scores find of planted truth.

    Attributes
    ----------
    found : dict[str, Found]
        By score: the planted elements that it finds when it keeps as many bases as the mask's elements. "mask elements"
        are the run's own, and each peak set's name with ", as called" is all of its peaks.
    by_gene : dict[str, GeneCounts]
        By score: each gene's causal bases and all of its bases, by the score.
    """

    found: dict[str, Found]
    by_gene: dict[str, GeneCounts]


class Accumulator:
    """Counts over genes.

    Attributes
    ----------
    histograms : dict[str, ScoreHistogram]
        By score: the judged genes' learned bases.
    genes : dict[str, int]
        By score: number of judged genes that have it.
    by_gene : list[dict]
        Rows of peak_set, gene_id, symbol, chrom, COUNTS.
    by_distance, by_threshold : dict[str, ndarray]
        By peak set: int64 (n, COUNTS).

    Parameters
    ----------
    run : Run
        Scored and assembled.
    reader : ScoreReader
        Its scores.
    peaks : Mapping[str, peak_overlap.Peaks]
        Peak sets by name; the strata distinguish only the first.
    truth : Truth or None
        Planted elements, where known.
    """

    def __init__(self, run: Run, reader: ScoreReader, peaks: Mapping[str, peak_overlap.Peaks], truth: Truth | None):
        self.run, self.reader, self.peaks, self.truth = run, reader, dict(peaks), truth
        self.histograms = {name: ScoreHistogram(_STRATA) for name in reader.kinds}
        self.genes = dict.fromkeys(reader.kinds, 0)
        self.by_gene: list[dict] = []
        self.thresholds = _thresholds(run)
        distances = len(peak_overlap.DISTANCES) - 1
        self.by_distance = {name: np.zeros((distances, len(peak_overlap.COUNTS)), np.int64) for name in peaks}
        self.by_threshold = {
            name: np.zeros((len(self.thresholds), len(peak_overlap.COUNTS)), np.int64) for name in peaks
        }
        self._samples: dict[str, dict[str, np.ndarray]] = {}
        self._every = max(1, run.manifest["window"] // run.manifest["resolution"] * len(run.scored) // SAMPLED)
        self._elements = _elements_by_gene(run)

    def add(self, gene: Mapping, judged: bool) -> None:
        """Count one gene.

        Parameters
        ----------
        gene : Mapping
            A row of `Run.genes`.
        judged : bool
            Whether its bases enter the histograms; peaks are compared in any case.
        """
        mask = self.run.mask(gene["gene_id"])
        starts, ends = self.elements(gene["gene_id"], mask)
        covers = [peaks.cover(mask) for peaks in self.peaks.values()]
        values = smoothed(mask, self.run.rule.smooth_bp)
        self._count_overlap(gene, mask, values, starts, ends, covers)
        if judged:
            stratum = _IN_ELEMENT * peak_overlap.marked(starts, ends, len(mask.alpha)).astype(np.int8)
            if covers:
                stratum += _IN_PEAK * covers[0].covered
            self._count_scores(gene["gene_id"], mask, values, stratum)

    def elements(self, gene_id: str, mask: GeneMask) -> tuple[np.ndarray, np.ndarray]:
        """Return (starts, ends) of a gene's elements without the promoter, in bins of its window; int64."""
        table = self._elements.get(gene_id)
        if table is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        starts, ends = (table[name].to_numpy(np.int64) for name in ("start", "end"))
        return (starts - mask.start) // mask.resolution, (ends - mask.start) // mask.resolution

    def _count_overlap(self, gene: Mapping, mask: GeneMask, values: np.ndarray, starts, ends, covers: Sequence) -> None:
        rule, learned = self.run.rule, int(mask.learned.sum())
        curves = peak_overlap.threshold_counts(mask, values, rule, self.thresholds, covers)
        for name, cover, curve in zip(self.peaks, covers, curves, strict=True):
            counts = peak_overlap.overlap_counts(learned, starts, ends, cover, mask.resolution)
            row = {"peak_set": name, **{key: gene[key] for key in ("gene_id", "symbol", "chrom")}}
            self.by_gene.append(row | dict(zip(peak_overlap.COUNTS, counts, strict=True)))
            self.by_distance[name] += peak_overlap.overlap_by_distance(mask, starts, ends, cover)
            self.by_threshold[name] += curve

    def _count_scores(self, gene_id: str, mask: GeneMask, values: np.ndarray, stratum: np.ndarray) -> None:
        learned = mask.learned
        if self.truth is not None:
            stratum = stratum + _KIND * self.truth.of(gene_id, mask).kind
        parts = split(stratum[learned])
        sample = self._samples[gene_id] = {}
        for name, scores in self.reader.read(gene_id, mask, values).items():
            level = levels(scores[learned])
            self.histograms[name].add(level, parts, mask.resolution)
            self.genes[name] += 1
            sample[name] = level[:: self._every].copy()

    # ---- results

    @property
    def element_share(self) -> float:
        """Share of the judged learned bases that lie in the mask's elements, 0 to 1."""
        counts = self.histograms[MASK].counts.sum(axis=1)
        return float(counts[_with(_IN_ELEMENT)].sum() / max(counts.sum(), 1))

    def classes(self, name: str) -> dict[str, np.ndarray]:
        """Return the counts (LEVELS,) of a score's bases by class.

        The classes are "all", "causal", "weak", "decoy", "in_peak" and "in_element".
        """
        counts = self.histograms[name].counts
        kinds = {kind: counts[_KIND * kind : _KIND * (kind + 1)].sum(axis=0) for kind in (NONE, STRONG, WEAK, DECOY)}
        return {
            "all": counts.sum(axis=0),
            "causal": kinds[STRONG] + kinds[WEAK],
            "weak": kinds[WEAK],
            "decoy": kinds[DECOY],
            "in_peak": counts[_with(_IN_PEAK)].sum(axis=0),
            "in_element": counts[_with(_IN_ELEMENT)].sum(axis=0),
        }

    def set_classes(self, bit: str) -> dict[str, float]:
        """Return the number of bases of a set by class (see `classes`).

        Parameters
        ----------
        bit : str
            The set: bases "in_element" or "in_peak".
        """
        chosen = np.zeros(_STRATA, bool)
        chosen[_with({"in_element": _IN_ELEMENT, "in_peak": _IN_PEAK}[bit])] = True
        counts = np.where(chosen, self.histograms[MASK].counts.sum(axis=1), 0)
        kind = np.arange(_STRATA) // _KIND
        return {
            "all": float(counts.sum()),
            "causal": float(counts[(kind == STRONG) | (kind == WEAK)].sum()),
            "weak": float(counts[kind == WEAK].sum()),
            "decoy": float(counts[kind == DECOY].sum()),
            "in_peak": float(counts[_with(_IN_PEAK)].sum()),
            "in_element": float(counts[_with(_IN_ELEMENT)].sum()),
        }

    def rank_correlation(self, name: str) -> float:
        """Return Spearman's correlation of a score with the mask over evenly spaced judged bases."""
        genes = [sample for sample in self._samples.values() if name in sample]
        if not genes:
            return float("nan")
        one, two = (np.concatenate([sample[key] for sample in genes]) for key in (MASK, name))
        return rank_correlation(one, two)

    def judged(self, genes: Sequence[Mapping]) -> Judged:
        """Count what each score finds of the planted truth in each gene; this reads the genes a second time.

        Parameters
        ----------
        genes : Sequence[Mapping]
            The judged genes, rows of `Run.genes`.
        """
        assert self.truth is not None
        cuts, by_gene = {}, {}
        groups = group_count(len(genes), len(self.histograms))
        for name, histogram in self.histograms.items():
            counts = histogram.counts.sum(axis=0)
            cuts[name] = cut_at(counts, self.element_share * counts.sum())
            by_gene[name] = GeneCounts(len(genes), self.classes(name)["causal"], counts, groups)
        total = {"mask elements": Found(), **{f"{name}, as called": Found() for name in self.peaks}}
        total |= dict.fromkeys(self.histograms, Found())
        for row, gene in enumerate(genes):
            mask = self.run.mask(gene["gene_id"])
            truth = self.truth.of(gene["gene_id"], mask)
            causal = ((truth.kind == STRONG) | (truth.kind == WEAK))[mask.learned]
            kept = {"mask elements": peak_overlap.marked(*self.elements(gene["gene_id"], mask), len(mask.alpha))}
            for name, peaks in self.peaks.items():
                kept[f"{name}, as called"] = peaks.cover(mask).covered & mask.learned
            values = smoothed(mask, self.run.rule.smooth_bp)
            for name, scores in self.reader.read(gene["gene_id"], mask, values).items():
                level = levels(scores)
                kept[name] = _kept(level, *cuts[name], mask.learned)
                by_gene[name].add(row, level[mask.learned], causal)
            for name, chosen in kept.items():
                total[name] += found_elements(chosen, truth, mask, self.run.rule)
        return Judged(total, by_gene)


def _with(bit: int) -> np.ndarray:
    return np.flatnonzero(np.arange(_STRATA) & bit)


def _kept(level: np.ndarray, cut: int, share: float, learned: np.ndarray) -> np.ndarray:
    """Return the learned bins above the cut and a fixed random `share` of those at it; bool (bins,)."""
    tied = np.flatnonzero((level == cut) & learned)
    kept = (level > cut) & learned
    kept[np.random.default_rng(len(level)).permutation(tied)[: round(share * len(tied))]] = True
    return kept


def _elements_by_gene(run: Run) -> dict[str, pd.DataFrame]:
    table = run.elements
    return dict(iter(table[table["class"] != PROMOTER_CLASS].groupby("gene_id")))


def _thresholds(run: Run) -> list[float]:
    """Return the run's threshold and others that keep about SHARES of the smoothed mask, ascending."""
    histogram, names = KeptHistogram(), list(run.genes["gene_id"])
    for name in names[:: max(1, len(names) // _FIRST_GENES)]:
        mask = run.mask(name)
        histogram.add(smoothed(mask, run.rule.smooth_bp)[mask.learned])
    return sorted({run.rule.threshold, *(histogram.threshold(share)[0] for share in peak_overlap.SHARES)})
