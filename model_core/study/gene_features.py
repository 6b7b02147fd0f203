"""The nine gene features of Seq2Exp, computed from annotation, sequence and signals, and scaled for the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.study.annotation import gene_exons, match_genes
from model_core.study.genome import Genome

LENGTHS = ("UTR5LEN", "CDSLEN", "INTRONLEN", "UTR3LEN")  # bp; these four enter as z-scores of log10(x + 0.1)
FEATURES = (*LENGTHS, "UTR5GC", "CDSGC", "UTR3GC", "ORFEXONDENSITY", "PROMOTERACTIVITY")
MRNA = FEATURES[:-1]
PROMOTER_FLANK = 500  # bp on either side of the TSS


class Activity(Protocol):
    """Signal over the genome that gives means and sums of its values before any transform."""

    name: str

    def mean_over(self, chrom: str, start: int, end: int) -> float:
        """Return the mean of the measured values over chrom:start-end; unknown bases count as 0."""

    def read_ahead(self, regions: Sequence[tuple[str, int, int]]) -> None:
        """Bring what these regions need of a file at an address together."""

    def total(self) -> float:
        """Return the sum of the measured values over the genome."""


@dataclass(frozen=True)
class FeatureScale:
    """Scale of the gene features as the model's input; kept in a checkpoint.

    Each field has nine entries in the order of FEATURES. A feature x becomes (t - mean) / sd with t = log10(x + 0.1)
    where `log10` is set and t = x elsewhere; a missing one becomes `fill`, the mean over the genes from which the scale
    was computed.
    """

    log10: tuple[bool, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    fill: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("log10", "mean", "sd", "fill"):
            values = tuple(getattr(self, name))
            if len(values) != len(FEATURES):
                found = f"{len(values)} values of {name}"
                expected = f"{len(FEATURES)} values"
                raise InputError("feature scale", found=found, expected=expected, fix="use another checkpoint")
            object.__setattr__(self, name, values)

    def to_dict(self) -> dict[str, list]:
        """Return plain JSON values; `FeatureScale(**values)` reads them back."""
        return {name: list(values) for name, values in asdict(self).items()}

    @property
    def zscored(self) -> frozenset[str]:
        """Lengths that this scale takes as z-scores already, not as bp."""
        return frozenset(name for name in LENGTHS if not self.log10[FEATURES.index(name)])


def feature_scale(raw: pd.DataFrame, zscored: Collection[str] = (), logged: Collection[str] = LENGTHS) -> FeatureScale:
    """Compute the scale from a set of genes, normally the training genes.

    Parameters
    ----------
    raw : DataFrame
        N genes with the columns FEATURES; NaN where missing.
    zscored : Collection[str]
        Features that are z-scores already and are used as they are.
    logged : Collection[str]
        Features used as z-scores of log10(x + 0.1), with mean and standard deviation (n in the denominator) over the
        genes that have them; all others are used as they are. The paper: the four lengths.

    Returns
    -------
    FeatureScale
        The scale.
    """
    log10 = tuple(name in logged and name not in zscored for name in FEATURES)
    values = _logged(raw, log10)  # (n, 9)
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, values, 0.0).sum(axis=0) / count
    spreads = np.sqrt(np.where(known, (values - means) ** 2, 0.0).sum(axis=0) / count)
    mean = np.where(log10, means, 0.0)
    sd = np.where(log10 & (spreads > 0), spreads, 1.0)
    return FeatureScale(log10, *(tuple(row.tolist()) for row in (mean, sd, (means - mean) / sd)))


def standardise(raw: pd.DataFrame, scale: FeatureScale) -> np.ndarray:
    """Return the features as the model takes them; missing ones are replaced by the scale's mean.

    Parameters
    ----------
    raw : DataFrame
        N genes with the columns FEATURES: bp, shares 0-1, junctions per kb, promoter activity; NaN where missing.
    scale : FeatureScale
        Kept in the checkpoint, or from `feature_scale`.

    Returns
    -------
    ndarray
        float32 (n, 9).
    """
    values = (_logged(raw, scale.log10) - scale.mean) / scale.sd
    return np.where(np.isfinite(values), values, scale.fill).astype(np.float32)


def raw_features(
    genes: pd.DataFrame,
    gtf: pd.DataFrame | None,
    genome: Genome | None,
    activity: Sequence[Activity] = (),
    only: Collection[str] = FEATURES,
) -> pd.DataFrame:
    """Compute the gene features on their own scales; NaN where a gene has none.

    Lengths in bp, GC as shares of the known bases, ORFEXONDENSITY in coding-exon junctions per kb of coding sequence,
    all of the transcript that `gene_exons` chooses; PROMOTERACTIVITY by `promoter_activity`. A gene without coding
    sequence has an INTRONLEN and no other mRNA feature: it gets the average gene's (`standardise`).

    Parameters
    ----------
    genes : DataFrame
        N genes: gene_id, symbol, chrom, tss.
    gtf : DataFrame or None
        From `read_gtf`; may be None where `only` has no mRNA feature.
    genome : Genome or None
        The sequence; may be None where `only` has no GC content.
    activity : Sequence[Activity]
        No, one or two signals.
    only : Collection[str]
        The features to compute; the others are NaN.

    Returns
    -------
    DataFrame
        float64 (n, 9) with the columns FEATURES and the index of `genes`.
    """
    table = pd.DataFrame(np.nan, index=genes.index, columns=list(FEATURES))
    mrna = [name for name in MRNA if name in only]
    if mrna:
        assert gtf is not None
        matched = match_genes(genes, gtf)
        exons = gene_exons(gtf, matched.dropna().tolist())
        wants_sequence = any(name.endswith("GC") for name in mrna)
        features = mrna_features(exons, genome if wants_sequence else None)
        table[mrna] = features.reindex(matched.to_numpy())[mrna].to_numpy()
    if "PROMOTERACTIVITY" in only and activity:
        table["PROMOTERACTIVITY"] = promoter_activity(genes, activity)
    return table


def promoter_activity(genes: pd.DataFrame, activity: Sequence[Activity]) -> np.ndarray:
    """Compute the geometric mean of one or two signals at each TSS, in RPM: sqrt(H3K27ac * DNase) in the paper.

    RPM = 10^6 * (sum of the measured signal over TSS +/- 500 bp) / (its sum over the genome). For coverage by fragments
    of one length this is reads per million, for any other unit a share in millionths; the unit cancels.

    Parameters
    ----------
    genes : DataFrame
        N genes: chrom, tss.
    activity : Sequence[Activity]
        One or two signals.

    Returns
    -------
    ndarray
        float64 (n,), 0 or more.
    """
    rpm = np.ones((len(genes), max(len(activity), 1)))
    for column, signal in enumerate(activity):
        total = signal.total()
        promoters = [
            (chrom, max(int(tss) - PROMOTER_FLANK, 0), int(tss) + PROMOTER_FLANK)
            for chrom, tss in zip(genes.chrom, genes.tss, strict=True)
        ]
        signal.read_ahead(promoters)
        for row, (chrom, start, end) in enumerate(promoters):
            summed = signal.mean_over(chrom, start, end) * (end - start)
            rpm[row, column] = 1e6 * summed / total if total > 0 else 0.0
    return np.maximum(rpm, 0).prod(axis=1) ** (1 / rpm.shape[1])


def mrna_features(exons: pd.DataFrame, genome: Genome | None = None) -> pd.DataFrame:
    """Compute the eight features of each gene's transcript.

    Parameters
    ----------
    exons : DataFrame
        From `gene_exons`.
    genome : Genome or None
        The sequence for the GC contents; without it they are NaN.

    Returns
    -------
    DataFrame
        float64 (n, 8) with the columns MRNA, indexed by the annotation's gene_id.
    """
    parts = _parts(exons)  # part -> (start, end) of it in each exon
    sums = pd.DataFrame({"gene_id": exons.gene_id})
    for part, (starts, ends) in parts.items():
        sums[f"{part}LEN"] = ends - starts
        sums[f"{part}GC"], sums[f"{part}known"] = _gc_counts(exons, starts, ends, genome)
    sums["coding_exons"] = sums.CDSLEN > 0
    by_gene = sums.groupby("gene_id").sum()
    span = exons.groupby("gene_id").end.max() - exons.groupby("gene_id").start.min()
    features = pd.DataFrame(index=by_gene.index, columns=list(MRNA), dtype=np.float64)
    for part in parts:
        features[f"{part}LEN"] = by_gene[f"{part}LEN"]
        features[f"{part}GC"] = by_gene[f"{part}GC"] / by_gene[f"{part}known"].where(by_gene[f"{part}known"] > 0)
    features["INTRONLEN"] = span - by_gene.UTR5LEN - by_gene.CDSLEN - by_gene.UTR3LEN
    coding = by_gene.CDSLEN > 0
    features["ORFEXONDENSITY"] = (by_gene.coding_exons - 1) / by_gene.CDSLEN.where(coding) * 1000
    features.loc[~coding, [name for name in MRNA if name != "INTRONLEN"]] = np.nan
    return features


def _parts(exons: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    start, end = exons.start.to_numpy(), exons.end.to_numpy()
    cds_start, cds_end = exons.cds_start.to_numpy(), exons.cds_end.to_numpy()
    left = start, np.maximum(np.minimum(end, cds_start), start)
    right = np.minimum(np.maximum(start, cds_end), end), end
    coding_start = np.clip(start, cds_start, cds_end)
    coding = coding_start, np.maximum(np.clip(end, cds_start, cds_end), coding_start)
    plus = exons.strand.to_numpy() == "+"
    upstream = np.where(plus, left, right)
    downstream = np.where(plus, right, left)
    return {"UTR5": (upstream[0], upstream[1]), "CDS": coding, "UTR3": (downstream[0], downstream[1])}


def _gc_counts(
    exons: pd.DataFrame, starts: np.ndarray, ends: np.ndarray, genome: Genome | None
) -> tuple[np.ndarray, np.ndarray]:
    """Count (G and C, known bases) in each span; the strand does not matter, as C pairs with G."""
    counts = np.zeros((2, len(exons)), np.int64)
    if genome is not None:
        for row in np.flatnonzero(ends > starts):
            sequence = genome.sequence(exons.chrom.iat[row], int(starts[row]), int(ends[row]))
            counts[0, row] = sequence.count("G") + sequence.count("C")
            counts[1, row] = counts[0, row] + sequence.count("A") + sequence.count("T")
    return counts[0], counts[1]


def _logged(raw: pd.DataFrame, log10: Sequence[bool]) -> np.ndarray:
    values = raw[list(FEATURES)].to_numpy(np.float64, copy=True)
    chosen = np.asarray(log10)
    values[:, chosen] = np.log10(values[:, chosen] + 0.1)
    return values
