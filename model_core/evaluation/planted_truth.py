"""Planted truth: which bases of a gene's window a simulation made causal, and how many of the elements are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.bed import read_bed
from model_core.errors import InputError
from model_core.evaluation.peak_overlap import covered_bins, touched
from model_core.gene_finder import GeneFinder, matched
from model_core.intervals import listed, overlaps, require_shared
from model_core.run_folder.elements import ElementRule, kept_runs
from model_core.run_folder.mask_store import GeneMask

NONE, STRONG, WEAK, DECOY = range(4)  # what a base is to one gene


class Found(NamedTuple):
    """Elements of one score, counted over genes; sums of these are shares by `found_shares`."""

    causal: int = 0  # planted for the gene, with learned bases
    causal_found: int = 0  # at least half of their bases kept
    weak: int = 0
    weak_found: int = 0
    decoys: int = 0
    decoys_found: int = 0
    elements: int = 0  # what the score keeps, cut into elements
    elements_causal: int = 0  # of these, share a base with a causal element

    def __add__(self, other: Found) -> Found:
        return Found(*(a + b for a, b in zip(self, other, strict=True)))


class GeneTruth(NamedTuple):
    """What is planted in one gene's window; bins of the mask."""

    kind: np.ndarray  # int8 (bins,): NONE, STRONG, WEAK or DECOY
    causal: list[tuple[np.ndarray, bool]]  # learned bins of each causal element, and whether its signal is weak
    decoys: list[np.ndarray]


class Truth:
    """Causal elements and decoys of a study.

    Parameters
    ----------
    causal : DataFrame
        chrom, start, end; `gene` (the gene_id it acts on; without it: every gene whose window holds it) and `strength`
        ("weak" or another word) where known.
    decoys : DataFrame or None
        chrom, start, end, or None.
    path : str or Path
        Where the causal ones come from, for messages.
    limits : Sequence[str]
        Sentences on what of the file counts for nothing.
    """

    def __init__(
        self,
        causal: pd.DataFrame,
        decoys: pd.DataFrame | None = None,
        path: str | Path = "planted elements",
        limits: Sequence[str] = (),
    ):
        self.causal, self.decoys, self.path, self.limits = causal, decoys, path, list(limits)

    @classmethod
    def read(cls, causal: Path, decoys: Path | None = None) -> Truth:
        """From BED files, with a header line for the further columns.

        Raises
        ------
        InputError
            Unreadable, or without any element.
        """
        table = read_bed(causal)
        if table.empty:
            raise InputError(
                causal, found="no element", expected="at least one", fix="give the file of planted elements"
            )
        return cls(table, None if decoys is None else read_bed(decoys), causal)

    def for_run(self, genes: pd.DataFrame, sizes: Mapping[str, int], study_genes: pd.DataFrame | None = None) -> Truth:
        """The same with the run's own gene_id in `gene`, by whatever name the file calls the gene.

        What matches nothing is told in `limits`: elements of genes that neither run nor study have, or that several
        genes are called; elements on other chromosomes.

        Parameters
        ----------
        genes : DataFrame
            Of the run, with gene_id and symbol.
        sizes : Mapping[str, int]
            bp of each chromosome of the run.
        study_genes : DataFrame or None
            All of the study, which need not be scored; None where they are not to be had.

        Raises
        ------
        InputError
            Nothing matches.
        """
        table, limits = self.causal, []
        if len(table):
            require_shared(table["chrom"].unique(), sizes, self.path)
        total, elsewhere = len(table), int((~table["chrom"].isin(list(sizes))).sum())
        if elsewhere:
            limits.append(f"{elsewhere:,} of {total:,} planted elements lie on chromosomes that the run does not have.")
        if "gene" in table:
            finder = GeneFinder(genes["gene_id"], genes["symbol"])
            names = table["gene"].tolist()
            rows = matched(names, finder)
            known = rows >= 0
            if study_genes is not None:
                other = GeneFinder(study_genes["gene_id"], study_genes["symbol"])
                known |= np.array([len(other.rows(name)) == 1 for name in names], bool)
            unknown = sorted(set(table["gene"][~known]))
            if not known.any():
                found = f"no gene of the run among the {len(unknown):,} in its column 'gene' ({listed(unknown, 3)})"
                expected = f"ids or symbols such as {listed([*genes['gene_id'][:2], *genes['symbol'][:1]])}"
                raise InputError(
                    self.path, found=found, expected=expected, fix="check that it is the truth of this study"
                )
            if unknown:
                count = int((~known).sum())
                limits.append(
                    f"{count:,} of {total:,} planted elements are of genes that are unknown or not told apart by their "
                    f"name ({listed(unknown, 3)}): they count for nothing."
                )
            ids = genes["gene_id"].to_numpy(object)
            table = table.assign(gene=[ids[row] if row >= 0 else "" for row in rows])
        return Truth(table, self.decoys, self.path, limits)

    def of(self, gene_id: str, mask: GeneMask) -> GeneTruth:
        """What is planted for a gene in its window; of a bin that two cover, causal goes before decoy."""
        here = self._in_window(self.causal, mask)
        if "gene" in here:
            here = here[here["gene"] == gene_id]
        weak = (here["strength"] == "weak").to_numpy() if "strength" in here else np.zeros(len(here), bool)
        kind = np.zeros(len(mask.alpha), np.int8)
        decoys = [] if self.decoys is None else self._bins(self._in_window(self.decoys, mask), mask)
        causal = self._bins(here, mask)
        for bins in decoys:
            kind[bins] = DECOY
        for bins, is_weak in zip(causal, weak, strict=True):
            kind[bins] = WEAK if is_weak else STRONG
        pairs = [(np.flatnonzero(x & mask.learned), bool(w)) for x, w in zip(causal, weak, strict=True)]
        inside = [np.flatnonzero(bins & mask.learned & (kind == DECOY)) for bins in decoys]
        return GeneTruth(kind, [pair for pair in pairs if len(pair[0])], [bins for bins in inside if len(bins)])

    @staticmethod
    def _in_window(table: pd.DataFrame, mask: GeneMask) -> pd.DataFrame:
        window = pd.DataFrame({"chrom": [mask.chrom], "start": [mask.start], "end": [mask.end]})
        near = (table["start"] < mask.end) & (table["end"] > mask.start)
        return table[near][overlaps(table[near], window)]

    @staticmethod
    def _bins(table: pd.DataFrame, mask: GeneMask) -> list[np.ndarray]:
        length = mask.end - mask.start
        bounds = (np.clip(table[name].to_numpy(np.int64) - mask.start, 0, length) for name in ("start", "end"))
        return [covered_bins(np.array([first]), np.array([last]), mask) for first, last in zip(*bounds, strict=True)]


def found_elements(kept: np.ndarray, truth: GeneTruth, mask: GeneMask, rule: ElementRule) -> Found:
    """How many planted elements a set of kept bins finds, and how many of its own elements are causal.

    A planted element is found where at least half of its learned bins are kept. The kept bins are cut into elements as
    the rule says (runs joined, short ones dropped).

    Parameters
    ----------
    kept : ndarray
        Bool (bins,).
    """
    causal = [kept[bins].sum() * 2 >= len(bins) for bins, _ in truth.causal]
    weak = [found for found, (_, is_weak) in zip(causal, truth.causal, strict=True) if is_weak]
    decoys = [kept[bins].sum() * 2 >= len(bins) for bins in truth.decoys]
    starts, ends = kept_runs(kept, mask.learned, rule.at(0.5), mask.resolution)
    right = touched(starts, ends, (truth.kind == STRONG) | (truth.kind == WEAK))
    counts = (len(causal), sum(causal), len(weak), sum(weak), len(decoys), sum(decoys), len(starts), right.sum())
    return Found(*(int(count) for count in counts))


def found_shares(found: Found) -> dict[str, float]:
    """elements_found, weak_found, decoys_found (recall) and elements_causal (precision), 0-1; NaN of nothing."""
    pairs = {
        "elements_found": (found.causal_found, found.causal),
        "weak_found": (found.weak_found, found.weak),
        "decoys_found": (found.decoys_found, found.decoys),
        "elements_causal": (found.elements_causal, found.elements),
    }
    return {name: part / whole if whole else float("nan") for name, (part, whole) in pairs.items()}
