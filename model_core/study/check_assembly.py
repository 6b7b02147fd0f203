"""Check whether genome, annotation, gene table and signals are of one assembly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import bioframe
import numpy as np
import pandas as pd

from model_core.signals.signal import BigWigSignal
from model_core.study.annotation import gene_exons, match_genes
from model_core.study.gene_features import PROMOTER_FLANK
from model_core.study.gene_table import lengths_of
from model_core.study.genome import Genome

# Measured on K562, chromosome 22: at TSSs DNase, ATAC and H3K27ac are 22 to 30 times as high as elsewhere, and 0.9 to
# 1.8 times when displaced by 20 to 700 kb, as a wrong assembly displaces them.
SIGNAL_RATIO = 3.0
# GENCODE's longest coding sequences: 95 % of start codons ATG, 99 % of donors GT or GC and of acceptors AG; in a wrong
# assembly 1 to 13 %.
CODON_SHARE = 0.7
TSS_SHARE = 0.5  # of start sites inside their annotated gene; almost none in a wrong assembly
TSS_SLACK = 5_000  # bp outside the annotated gene that a start site may lie
FEWEST = 20  # fewest observations for a judgement
AWAY = 2_000  # bp: "elsewhere" is further than this from any TSS


class Verdict(NamedTuple):
    """Verdict of one comparison between files of a study.

    Attributes
    ----------
    what : str
        What was compared.
    measured, expected : str
        What was found, and what the right assembly would show.
    agrees : bool or None
        Whether the assemblies agree; None where there is too little data.
    """

    what: str
    measured: str
    expected: str
    agrees: bool | None

    @property
    def word(self) -> str:
        """Verdict in words."""
        return {True: "builds agree", False: "BUILDS DISAGREE", None: "not judged"}[self.agrees]


def judge_lengths(assembly: str, sizes: Mapping[str, int]) -> Verdict:
    """Judge whether the FASTA's chromosomes have the lengths of the assembly that the study names.

    Parameters
    ----------
    assembly : str
        Such as "hg38"; an unknown name is not judged.
    sizes : Mapping[str, int]
        Length in bp of each chromosome.
    """
    what, known = "FASTA and assembly name", _known_lengths(assembly)
    if _fits(known, sizes):
        return Verdict(what, f"chromosomes of {assembly}'s lengths", f"those of {assembly}", True)
    fits = " or ".join(fitting_assemblies(sizes))
    wrong = [chrom for chrom in sizes if known.get(_bare(chrom), sizes[chrom]) != sizes[chrom]]
    if not wrong:
        return Verdict(what, f"lengths of {fits or 'no known assembly'}", f"'{assembly}' is not known here", None)
    measured = f"{wrong[0]} of {sizes[wrong[0]]:,} bp" + (f", as in {fits}" if fits else "")
    return Verdict(what, measured, f"{known[_bare(wrong[0])]:,} bp in {assembly}", False)


def fitting_assemblies(sizes: Mapping[str, int]) -> list[str]:
    """Return the names of the known assemblies (UCSC's) whose chromosomes have these lengths.

    Parameters
    ----------
    sizes : Mapping[str, int]
        Length in bp of each chromosome.
    """
    table = bioframe.assemblies_available()
    names = table.provider_build[table.provider == "ucsc"]
    return [name for name in names if _fits(_known_lengths(name), sizes)]


def holds_assembly(assembly: str, sizes: Mapping[str, int]) -> bool:
    """Return whether a FASTA has all chromosomes of a known assembly at their lengths, Y and M left aside.

    Parameters
    ----------
    assembly : str
        Such as "hg38".
    sizes : Mapping[str, int]
        Length in bp of each chromosome of the FASTA.
    """
    known, here = _known_lengths(assembly), {_bare(chrom): size for chrom, size in sizes.items()}
    return bool(known) and all(here.get(chrom) == size for chrom, size in known.items() if chrom not in ("Y", "M"))


def judge_signal(
    signal: BigWigSignal, starts: pd.DataFrame, elsewhere: pd.DataFrame, sizes: Mapping[str, int]
) -> Verdict:
    """Judge whether a signal of open chromatin is high at the start sites, as it is in the right assembly only.

    The means over TSS +/- 500 bp are compared with those over regions of the same width elsewhere. Values above the
    95th percentile of both groups (weighted equally) are set to it, so that a few extreme peaks do not decide.

    Parameters
    ----------
    signal : BigWigSignal
        Activity (DNase, ATAC, acetylation), not contact.
    starts : DataFrame
        Genes: chrom, tss.
    elsewhere : DataFrame
        Other places: chrom, tss (`random_places`).
    sizes : Mapping[str, int]
        Length in bp of each chromosome.
    """
    what = f"{signal.name} at TSSs over elsewhere"
    expected = f"at least {SIGNAL_RATIO:g} times (right build: 10 to 30; wrong build: 1 to 2)"
    if len(starts) < FEWEST or len(elsewhere) < FEWEST:
        return Verdict(what, f"{len(starts)} TSSs, {len(elsewhere)} places", expected, None)
    near, far = _means(signal, starts, sizes), _means(signal, elsewhere, sizes)
    levels = np.linspace(0, 1, 1001)
    highest = np.quantile([np.quantile(near, levels), np.quantile(far, levels)], 0.95)
    if highest > 0:
        near, far = np.minimum(near, highest), np.minimum(far, highest)
    if not near.mean() > 0 and not far.mean() > 0:
        return Verdict(what, "no signal at either", expected, None)
    ratio = near.mean() / far.mean() if far.mean() > 0 else np.inf
    measured = f"{near.mean():.3g} / {far.mean():.3g} = {ratio:.1f} times ({len(near)} TSSs, {len(far)} places)"
    return Verdict(what, measured, expected, bool(ratio >= SIGNAL_RATIO))


def spread_out(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return at most `count` rows, evenly spaced over the table."""
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, min(len(table), count)).astype(int))]


def random_places(genes: pd.DataFrame, genome: Genome, count: int, seed: int = 0) -> pd.DataFrame:
    """Draw up to `count` random known bases at least 2 kb from any TSS.

    Parameters
    ----------
    genes : DataFrame
        Genes: chrom, tss. Places are drawn on their chromosomes in proportion to length.
    genome : Genome
        Gives chromosome lengths and unknown bases.
    count : int
        Number of places, at most.
    seed : int
        Random seed.

    Returns
    -------
    DataFrame
        Columns chrom and tss (the place, 0-based), sorted.
    """
    rng = np.random.default_rng(seed)
    starts = {chrom: np.sort(part.tss.to_numpy()) for chrom, part in genes.groupby("chrom")}
    sizes = {chrom: genome.sizes[chrom] for chrom in starts}
    lengths = np.array(list(sizes.values()), float)
    drawn = []
    chroms = rng.choice(list(sizes), 10 * count, p=lengths / lengths.sum()).tolist() if sizes else []
    for chrom, share in zip(chroms, rng.random(10 * count), strict=False):
        place = int(share * sizes[chrom])
        nearest = np.searchsorted(starts[chrom], [place - AWAY, place + AWAY])
        if nearest[0] == nearest[1] and genome.sequence(chrom, place, place + 1) != "N":
            drawn.append((chrom, place))
        if len(drawn) == count:
            break
    return pd.DataFrame(sorted(drawn), columns=["chrom", "tss"])


def judge_annotation(gtf: pd.DataFrame, genome: Genome, genes: int = 400) -> list[Verdict]:
    """Judge whether start codons and splice sites are in the sequence where the annotation says.

    Parameters
    ----------
    gtf : DataFrame
        From `read_gtf`.
    genome : Genome
        The sequence; sites with unknown bases are left out.
    genes : int
        Number of genes to check, evenly over the annotation.
    """
    coding = gtf[(gtf.type == "CDS") & gtf.chrom.isin(list(genome.sizes))].gene_id.unique()
    chosen = spread_out(pd.DataFrame({"gene_id": coding.astype(str)}), genes).gene_id
    exons = gene_exons(gtf, chosen.tolist())
    exons = exons[exons.end <= lengths_of(exons.chrom, genome.sizes)]
    sites: dict[str, tuple[list[str], tuple[str, ...]]] = {"start codons": (_start_codons(exons, genome), ("ATG",))}
    donors, acceptors = _splice_sites(exons, genome)
    sites |= {"splice donors": (donors, ("GT", "GC")), "splice acceptors": (acceptors, ("AG",))}
    return [_judge_sites(name, found, motifs) for name, (found, motifs) in sites.items()]


def judge_start_sites(genes: pd.DataFrame, gtf: pd.DataFrame) -> Verdict:
    """Judge whether the gene table's start sites lie in the same genes of the annotation.

    Parameters
    ----------
    genes : DataFrame
        The gene table: gene_id, symbol, chrom, tss.
    gtf : DataFrame
        From `read_gtf`.
    """
    what = "gene table's TSSs and annotation"
    expected = f"at least {TSS_SHARE:.0%} inside the annotated gene (or within {TSS_SLACK:,} bp of it)"
    spans = gtf.groupby("gene_id", observed=True).agg(start=("start", "min"), end=("end", "max"))
    matched = match_genes(genes, gtf)
    known = matched.notna().to_numpy()
    if known.sum() < FEWEST:
        return Verdict(what, f"{known.sum()} of {len(genes)} genes found in the annotation", expected, None)
    spans = spans.loc[matched[known].tolist()]
    tss = genes.tss.to_numpy()[known]
    inside = (tss >= spans.start.to_numpy() - TSS_SLACK) & (tss < spans.end.to_numpy() + TSS_SLACK)
    measured = f"{inside.sum()} of {known.sum()} ({inside.mean():.0%})"
    return Verdict(what, measured, expected, bool(inside.mean() >= TSS_SHARE))


def _means(signal: BigWigSignal, places: pd.DataFrame, sizes: Mapping[str, int]) -> np.ndarray:
    """Return the mean of the signal over each place +/- 500 bp, cut at the chromosome's ends; float64 (n,)."""
    regions = [
        (chrom, max(place - PROMOTER_FLANK, 0), min(place + PROMOTER_FLANK, sizes[chrom]))
        for chrom, place in zip(places.chrom, places.tss.tolist(), strict=True)
    ]
    signal.read_ahead(regions)
    return np.array([signal.mean_over(*region) for region in regions], float)


def _start_codons(exons: pd.DataFrame, genome: Genome) -> list[str]:
    codons = []
    for exon in exons.itertuples():
        start = exon.cds_start if exon.strand == "+" else exon.cds_end - 3
        if exon.cds_end - exon.cds_start >= 3 and exon.start <= start and start + 3 <= exon.end:
            codons.append(_bases(genome, exon.chrom, start, start + 3, exon.strand))
    return codons


def _splice_sites(exons: pd.DataFrame, genome: Genome) -> tuple[list[str], list[str]]:
    donors, acceptors = [], []
    following = exons.shift(-1)
    introns = exons.assign(next_start=following.start)[exons.gene_id == following.gene_id]
    for intron in introns.itertuples():
        start, end = intron.end, int(intron.next_start)
        if end - start < 4:
            continue
        left = _bases(genome, intron.chrom, start, start + 2, intron.strand)
        right = _bases(genome, intron.chrom, end - 2, end, intron.strand)
        donors.append(left if intron.strand == "+" else right)
        acceptors.append(right if intron.strand == "+" else left)
    return donors, acceptors


def _bases(genome: Genome, chrom: str, start: int, end: int, strand: str) -> str:
    bases = genome.sequence(chrom, start, end)
    return bases if strand == "+" else bases.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def _judge_sites(name: str, found: list[str], motifs: tuple[str, ...]) -> Verdict:
    known = [bases for bases in found if "N" not in bases]
    hits = sum(bases in motifs for bases in known)
    expected = f"at least {CODON_SHARE:.0%} {' or '.join(motifs)} (95 % or more in the right build)"
    if len(known) < FEWEST:
        return Verdict(f"{name} in the sequence", f"{len(known)} with known bases", expected, None)
    measured = f"{hits} of {len(known)} ({hits / len(known):.0%})"
    return Verdict(f"{name} in the sequence", measured, expected, hits >= CODON_SHARE * len(known))


def _known_lengths(assembly: str) -> dict[str, int]:
    try:
        sizes = bioframe.assembly_info(assembly).chromsizes
    except ValueError:
        return {}
    return {_bare(chrom): int(size) for chrom, size in sizes.items()}


def _fits(known: Mapping[str, int], sizes: Mapping[str, int]) -> bool:
    shared = [chrom for chrom in sizes if _bare(chrom) in known]
    return bool(shared) and all(known[_bare(chrom)] == sizes[chrom] for chrom in shared)


def _bare(chrom: str) -> str:
    bare = str(chrom).removeprefix("chr")
    return "M" if bare == "MT" else bare
