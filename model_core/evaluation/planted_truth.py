"""Planted truth: the bases that a simulation made causal in a gene's window, and the elements that are found."""

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
from model_core.remote.address import InputPath
from model_core.run_folder.elements import ElementRule, kept_runs
from model_core.run_folder.mask_store import GeneMask
from model_core.study.whole_inputs import read_whole

NONE, STRONG, WEAK, DECOY = range(4)  # role of a base for one gene
# Columns that may name the gene of an element, in any case; each is tried until one gene is found.
GENE_COLUMNS = ("gene", "gene_id", "gene_name", "gene_symbol", "symbol", "target", "target_gene", "targetgene")


class Found(NamedTuple):
    """Counts over genes of the elements that one score finds; sums of these become shares by `found_shares`."""

    causal: int = 0  # planted for the gene, with learned bases
    causal_found: int = 0  # at least half of their bases kept
    weak: int = 0
    weak_found: int = 0
    decoys: int = 0
    decoys_found: int = 0
    elements: int = 0  # elements cut from the kept bases
    elements_causal: int = 0  # those of them that share a base with a causal element

    def __add__(self, other: Found) -> Found:  # type: ignore[override]  # adds counts, does not join tuples
        return Found(*(a + b for a, b in zip(self, other, strict=True)))


class GeneTruth(NamedTuple):
    """Planted elements in one gene's window, in bins of the mask."""

    kind: np.ndarray  # int8 (bins,): NONE, STRONG, WEAK or DECOY
    causal: list[tuple[np.ndarray, bool]]  # learned bins of each causal element, and whether its signal is weak
    decoys: list[np.ndarray]


class Truth:
    """Causal elements and decoys of a study.

    Parameters
    ----------
    causal : DataFrame
        chrom, start, end; where known one of GENE_COLUMNS (the gene it acts on, in `of` as gene_id in `gene`; else
        every gene whose window holds it) and `strength` ("weak" or another word).
    decoys : DataFrame or None
        chrom, start, end.
    path : str or Path
        File of the causal elements, for messages.
    limits : Sequence[str]
        Sentences on elements of the file that are not used.
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
    def read(cls, causal: InputPath, decoys: InputPath | None = None) -> Truth:
        """Read BED files with a header line for the further columns.

        Raises
        ------
        InputError
            Unreadable, or without any element.
        """
        table = read_whole(causal, read_bed, "planted elements")
        if table.empty:
            fix = "give the file of planted elements"
            raise InputError(causal, found="no element", expected="at least one element", fix=fix)
        return cls(table, None if decoys is None else read_whole(decoys, read_bed, "planted decoys"), str(causal))

    def for_run(self, genes: pd.DataFrame, sizes: Mapping[str, int], study_genes: pd.DataFrame | None = None) -> Truth:
        """Return the truth with the run's own gene_id in `gene`, by whatever name the file calls the gene.

        Elements that cannot count are reported in `limits`: those of genes that neither run nor study have, or whose
        name several genes share, those on other chromosomes, of genes that the run did not score, and outside the
        window of their gene. So is a file that names no genes.

        Parameters
        ----------
        genes : DataFrame
            Genes of the run: gene_id, symbol, chrom, start, end (of the window).
        sizes : Mapping[str, int]
            Length in bp of each chromosome of the run.
        study_genes : DataFrame or None
            All genes of the study, scored or not; None where they are not available.

        Raises
        ------
        InputError
            No element matches.
        """
        table: pd.DataFrame = self.causal
        limits: list[str] = []
        if len(table):
            require_shared(table["chrom"].unique(), sizes, self.path)
        total, elsewhere = len(table), int((~table["chrom"].isin(list(sizes))).sum())
        if elsewhere:
            limits.append(f"{elsewhere:,} of {total:,} planted elements are on chromosomes that the run does not have.")
        finders = [GeneFinder(known["gene_id"], known["symbol"]) for known in (genes, study_genes) if known is not None]
        names = _names_of_genes(table, finders)
        if len(table) and not names:
            limits.append(
                "The planted elements name no gene (no column gene, gene_id or symbol): each counts for every gene "
                "whose window holds it."
            )
        if len(table) and names:
            rows = _first_match(names, finders[0])
            known = np.logical_or.reduce([_first_match(names, finder) >= 0 for finder in finders])
            unknown = sorted({words[0] for words, yes in zip(zip(*names, strict=True), known, strict=True) if not yes})
            if not known.any():
                found = f"no gene of the run among the {len(unknown):,} in its column 'gene' ({listed(unknown, 3)})"
                expected = f"ids or symbols such as {listed([*genes['gene_id'][:2], *genes['symbol'][:1]])}"
                fix = "check that it is the truth of this study"
                raise InputError(self.path, found=found, expected=expected, fix=fix)
            if unknown:
                count = int((~known).sum())
                limits.append(
                    f"{count:,} of {total:,} planted elements are of genes with an unknown or ambiguous name "
                    f"({listed(unknown, 3)}): they are not used."
                )
            ids = genes["gene_id"].to_numpy(object)
            table = table.assign(gene=[ids[row] if row >= 0 else "" for row in rows])
            limits += _unused(table, rows, known, genes)
        return Truth(table, self.decoys, self.path, limits)

    def of(self, gene_id: str, mask: GeneMask) -> GeneTruth:
        """Return what is planted for a gene in its window; causal takes precedence over decoy in a shared bin."""
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


def _names_of_genes(table: pd.DataFrame, finders: Sequence[GeneFinder]) -> list[list[str]]:
    """Return the columns that name the element's gene, the one to try first in front.

    Without one, the column `name` of a BED where all of it are names of genes; else none.
    """
    by_name = {str(column).lower(): column for column in table.columns}
    found = [table[by_name[name]].astype(str).tolist() for name in GENE_COLUMNS if name in by_name]
    if not found and "name" in table:
        names = table["name"].astype(str).tolist()
        if np.logical_or.reduce([matched(names, finder) >= 0 for finder in finders]).all():
            found = [names]
    return found


def _first_match(names: list[list[str]], finder: GeneFinder) -> np.ndarray:
    """Return the row of each element's gene by the first of its names that means one gene, int64 (n,); -1: none."""
    rows = matched(names[0], finder)
    for column in names[1:]:
        rows = np.where(rows >= 0, rows, matched(column, finder))
    return rows


def _unused(table: pd.DataFrame, rows: np.ndarray, known: np.ndarray, genes: pd.DataFrame) -> list[str]:
    """Return sentences on elements of known genes that no mask of the run can find."""
    said, total, here = [], len(table), rows >= 0
    unscored = int((known & ~here).sum())
    if unscored and not here.any():
        said.append(
            f"None of the {total:,} planted elements is of a gene of this run: nothing here is judged by planted truth."
        )
    elif unscored:
        said.append(f"{unscored:,} of {total:,} planted elements are of genes that this run did not score.")
    windows, elements = genes.iloc[rows[here]], table[here]
    inside = (elements["chrom"].to_numpy(object) == windows["chrom"].to_numpy(object)) & (
        (elements["end"].to_numpy() > windows["start"].to_numpy())
        & (elements["start"].to_numpy() < windows["end"].to_numpy())
    )
    if not inside.all():
        said.append(
            f"{int((~inside).sum()):,} of {total:,} planted elements lie outside the window of their gene: no mask of "
            "this run can find them, and they are not counted."
        )
    return said


def found_elements(kept: np.ndarray, truth: GeneTruth, mask: GeneMask, rule: ElementRule) -> Found:
    """Count the planted elements that a set of kept bins finds, and its own elements that are causal.

    A planted element is found where at least half of its learned bins are kept. The kept bins are cut into elements by
    the rule (runs joined, short ones dropped).

    Parameters
    ----------
    kept : ndarray
        bool (bins,).
    truth : GeneTruth
        The planted elements.
    mask : GeneMask
        The gene's mask, for its learned bins and resolution.
    rule : ElementRule
        The rule that cuts elements.
    """
    causal = [kept[bins].sum() * 2 >= len(bins) for bins, _ in truth.causal]
    weak = [found for found, (_, is_weak) in zip(causal, truth.causal, strict=True) if is_weak]
    decoys = [kept[bins].sum() * 2 >= len(bins) for bins in truth.decoys]
    starts, ends = kept_runs(kept, mask.learned, rule.at(0.5), mask.resolution)
    right = touched(starts, ends, (truth.kind == STRONG) | (truth.kind == WEAK))
    counts = (len(causal), sum(causal), len(weak), sum(weak), len(decoys), sum(decoys), len(starts), right.sum())
    return Found(*(int(count) for count in counts))


def found_shares(found: Found) -> dict[str, float]:
    """Return elements_found, weak_found, decoys_found (recall) and elements_causal (precision), 0 to 1.

    NaN where the denominator is 0.
    """
    pairs = {
        "elements_found": (found.causal_found, found.causal),
        "weak_found": (found.weak_found, found.weak),
        "decoys_found": (found.decoys_found, found.decoys),
        "elements_causal": (found.elements_causal, found.elements),
    }
    return {name: part / whole if whole else float("nan") for name, (part, whole) in pairs.items()}
