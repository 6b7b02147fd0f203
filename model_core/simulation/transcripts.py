"""Transcripts of simulated genes, with start and stop codons, splice sites and untranslated regions."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

UTR5_GC = (0.35, 0.75)  # drawn uniformly from here
LEAVE = 5  # code of an intron's base, which keeps what stood there
_LONGEST = 5_600  # bp of the transcripts that have the longest exons
_STOPS = ("TAA", "TAG", "TGA")
_SENSE = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in _STOPS]


class Transcript(NamedTuple):
    """Transcript in its own direction; positions count from its start site.

    Attributes
    ----------
    sequence : ndarray
        uint8 (length,), unspliced, codes 0-3 for A, C, G, T; LEAVE inside introns, but for their splice sites.
    exons : ndarray
        int64 (n, 2), start and end of each.
    coding : tuple[int, int]
        Start of the start codon and end of the stop codon.
    utr5_gc : float
        Share of G and C in the 5'UTR without introns.
    """

    sequence: np.ndarray
    exons: np.ndarray
    coding: tuple[int, int]
    utr5_gc: float


def encode(text: str) -> np.ndarray:
    """Encode A, C, G, T as 0, 1, 2, 3; uint8 (L,)."""
    return np.array(["ACGT".index(letter) for letter in text], np.uint8)


def random_bases(rng: np.random.Generator, length: int, gc: float) -> np.ndarray:
    """Draw independent bases, a share `gc` of them G or C; uint8 (length,)."""
    strong = rng.random(length) < gc
    first = rng.random(length) < 0.5
    return np.where(strong, np.where(first, 1, 2), np.where(first, 0, 3)).astype(np.uint8)


def draw_transcript(rng: np.random.Generator, longest: int = _LONGEST) -> Transcript:
    """Draw a coding transcript of 2 to 8 exons and at most `longest` bp; the exons are shorter where that is less."""
    scale = min(1.0, longest / _LONGEST)
    utr5 = random_bases(rng, int(rng.integers(40, 220)), rng.uniform(*UTR5_GC))
    utr3 = random_bases(rng, int(rng.integers(150, round(200 + 500 * scale))), 0.4)
    codons = ["ATG", *rng.choice(_SENSE, int(rng.integers(80, round(90 + 260 * scale)))), str(rng.choice(_STOPS))]
    coding = encode("".join(codons))
    spliced = np.concatenate([utr5, coding, utr3])
    lengths = _exon_lengths(rng, len(spliced))
    introns = _intron_lengths(rng, len(lengths) - 1, longest - len(spliced))
    ends = np.cumsum(lengths) + np.concatenate([[0], np.cumsum(introns)])
    exons = np.stack([ends - lengths, ends], axis=1)
    unspliced = np.concatenate([np.arange(start, end) for start, end in exons])  # place of each spliced base
    sequence = np.full(int(ends[-1]), LEAVE, np.uint8)
    sequence[unspliced] = spliced
    for start, end in zip(exons[:-1, 1], exons[1:, 0], strict=True):
        sequence[start : start + 2] = encode("GT")
        sequence[end - 2 : end] = encode("AG")
    span = int(unspliced[len(utr5)]), int(unspliced[len(utr5) + len(coding) - 1]) + 1
    return Transcript(sequence, exons, span, float(np.isin(utr5, (1, 2)).mean()))


def _exon_lengths(rng: np.random.Generator, total: int, shortest: int = 50) -> np.ndarray:
    count = int(rng.integers(2, min(8, total // (2 * shortest)) + 1))
    cuts = np.sort(rng.integers(0, total - count * shortest + 1, count - 1))
    return np.diff(np.concatenate([[0], cuts, [total - count * shortest]])) + shortest


def _intron_lengths(rng: np.random.Generator, count: int, room: int) -> np.ndarray:
    lengths = 80 + rng.lognormal(np.log(300), 0.7, count)
    return np.floor(lengths * min(1.0, room / lengths.sum())).astype(np.int64)


def gtf_text(genes: pd.DataFrame, exons: pd.DataFrame) -> str:
    """Format genes with one transcript each as GTF (1-based, inclusive): exons, CDS, codons and UTRs.

    Parameters
    ----------
    genes : DataFrame
        Genes: gene_id symbol chrom strand.
    exons : DataFrame
        Exons: gene_id start end cds_start cds_end; the coding span includes the stop codon, GTF's CDS rows do not.
    """
    exons_of = dict(iter(exons.groupby("gene_id")))
    lines = []
    for gene in genes.itertuples():
        names = f'gene_id "{gene.gene_id}"; gene_name "{gene.symbol}"; gene_type "protein_coding";'
        transcript = f'{names} transcript_id "{gene.gene_id}.t1"; transcript_type "protein_coding";'
        for feature, start, end, phase in _gtf_rows(exons_of[gene.gene_id], gene.strand):
            owner = names if feature == "gene" else transcript
            fields = (gene.chrom, "simulated", feature, start + 1, end, ".", gene.strand, phase, owner)
            lines.append("\t".join(map(str, fields)) + "\n")
    return "".join(lines)


def _gtf_rows(exons: pd.DataFrame, strand: str) -> Iterator[tuple[str, int, int, str | int]]:
    bases = np.concatenate([np.arange(start, end) for start, end in zip(exons.start, exons.end, strict=True)])
    before, after = exons.cds_start.iloc[0], exons.cds_end.iloc[0]
    coding = bases[(bases >= before) & (bases < after)]
    if strand == "+":
        start_codon, translated, stop_codon = coding[:3], coding[:-3], coding[-3:]
    else:
        start_codon, translated, stop_codon = coding[-3:], coding[3:], coding[:3]
    left, right = ("five", "three") if strand == "+" else ("three", "five")
    for feature in ("gene", "transcript"):
        yield feature, bases[0], bases[-1] + 1, "."
    for start, end in _runs(bases):
        yield "exon", start, end, "."
    for feature, part in (("CDS", translated), ("start_codon", start_codon), ("stop_codon", stop_codon)):
        yield from _phased(feature, _runs(part), strand)
    for side, part in ((left, bases[bases < before]), (right, bases[bases >= after])):
        for start, end in _runs(part):
            yield f"{side}_prime_utr", start, end, "."


def _phased(feature: str, spans: list[tuple[int, int]], strand: str) -> Iterator[tuple[str, int, int, int]]:
    """Yield each span with its phase: the number of its first bases that end a codon begun in the span before."""
    read = 0
    for start, end in spans if strand == "+" else spans[::-1]:
        yield feature, start, end, -read % 3
        read += end - start


def _runs(bases: np.ndarray) -> list[tuple[int, int]]:
    """Return the half-open runs of consecutive numbers in a sorted int array."""
    parts = np.split(bases, np.flatnonzero(np.diff(bases) > 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts if len(part)]
