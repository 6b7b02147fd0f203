"""The genome of a simulated world: genes, promoters and elements written into random sequence."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.simulation.transcripts import draw_transcript, encode, random_bases
from model_core.simulation.world import Grammars, World
from model_core.window import window_start

UNKNOWN = 4  # the code of N
TELOMERE = 2_000  # bases of N at both ends of a chromosome
_MARGIN = 8_000  # from a chromosome's end to the nearest start site


class Planted(NamedTuple):
    """Contents of a simulated genome.

    Attributes
    ----------
    sequences : dict[str, ndarray]
        By chromosome uint8 (size,), codes 0-3 for A, C, G, T and 4 for N.
    genes : DataFrame
        gene_id symbol chrom tss strand split promoter_strength dnase h3k27ac (heights of the promoter's signals)
        utr5_gc, in order of position.
    exons : DataFrame
        gene_id chrom strand start end cds_start cds_end, in order of position; the CDS span includes the stop codon.
    elements : DataFrame
        gene_id chrom start end kind ("causal", "decoy", "closed") grammar strength ("strong", "weak", "none")
        dnase h3k27ac (heights of its signals) size (effect on expression in full contact).
    blacklist : DataFrame
        chrom start end artefact (whether the signals have an artefact there).
    """

    sequences: dict[str, np.ndarray]
    genes: pd.DataFrame
    exons: pd.DataFrame
    elements: pd.DataFrame
    blacklist: pd.DataFrame


def plant(world: World, seed: int) -> Planted:
    """Generate the genome of `world`; the same seed gives the same genome."""
    rng = np.random.default_rng([seed, 1])
    genes, sizes = _lay_out(world, rng)
    sequences = {chrom: random_bases(rng, size, world.gc) for chrom, size in sizes.items()}
    blacklist = _blacklist(genes)
    exons, gc = _write_transcripts(sequences, genes, rng)
    genes["utr5_gc"] = gc
    _write_promoters(world, sequences, genes, rng)
    elements = _place_elements(world, genes, exons, blacklist, rng)
    for element in elements.itertuples():
        _write_grammar(world, sequences[element.chrom][element.start : element.end], element.grammar, rng)
    for sequence in sequences.values():
        sequence[:TELOMERE] = sequence[-TELOMERE:] = UNKNOWN
    return Planted(sequences, genes, exons, elements, blacklist)


def _lay_out(world: World, rng: np.random.Generator) -> tuple[pd.DataFrame, dict[str, int]]:
    tables, sizes = [], {}
    for chrom, count in zip(world.chromosomes, world.genes, strict=True):
        tss = _MARGIN + np.cumsum(rng.integers(world.spacing[0], world.spacing[1] + 1, count)) - world.spacing[0]
        sizes[chrom] = int(tss[-1]) + _MARGIN
        strand = rng.choice(["+", "-"], count)
        tables.append(pd.DataFrame({"chrom": chrom, "tss": tss, "strand": strand, "split": "train"}))
    tables[-1]["split"] = "test"
    if world.validation_genes:
        tables[-2].loc[tables[-2].index[-world.validation_genes :], "split"] = "validation"
    genes = pd.concat(tables, ignore_index=True)
    genes.insert(0, "gene_id", [f"SIMG{number:05d}" for number in range(1, len(genes) + 1)])
    genes.insert(1, "symbol", [f"MOCK{number}" for number in range(1, len(genes) + 1)])
    strength = genes["promoter_strength"] = rng.normal(size=len(genes))
    for signal in ("dnase", "h3k27ac"):
        height = 0.8 * strength + 0.6 * rng.normal(size=len(genes))
        genes[signal] = world.promoter_height * np.exp(world.peak_spread * height)
    return genes, sizes


def _blacklist(genes: pd.DataFrame) -> pd.DataFrame:
    """Choose regions of each sort: at a window's edge, between windows, and (without artefact) over a promoter."""
    rows = []
    for number, gene in enumerate(genes.itertuples()):
        for period, phase, start, end, artefact in (
            (80, 7, 3_600, 4_900, True),
            (80, 47, 6_200, 7_400, True),
            (160, 30, -150, 50, False),
        ):
            if number % period == phase % min(period, len(genes)):
                rows.append((gene.chrom, gene.tss + start, gene.tss + end, artefact))
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "artefact"])
    return table.sort_values(["chrom", "start"], ignore_index=True)


def _write_transcripts(sequences, genes: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, list[float]]:
    tables, gc = [], []
    for gene in genes.itertuples():
        transcript = draw_transcript(rng)
        _write(sequences[gene.chrom], gene.tss, gene.strand, 0, transcript.sequence)
        spans = np.vstack([transcript.exons, transcript.coding])
        spans = gene.tss + spans if gene.strand == "+" else gene.tss + 1 - spans[:, ::-1]
        exons = np.sort(spans[:-1], axis=0)
        row = {"gene_id": gene.gene_id, "chrom": gene.chrom, "strand": gene.strand}
        row |= {"start": exons[:, 0], "end": exons[:, 1], "cds_start": spans[-1, 0], "cds_end": spans[-1, 1]}
        tables.append(pd.DataFrame(row))
        gc.append(transcript.utr5_gc)
    return pd.concat(tables, ignore_index=True), gc


def _write_promoters(world: World, sequences, genes: pd.DataFrame, rng: np.random.Generator) -> None:
    """Write GC-rich bases upstream of each start site, with more copies of motif P for stronger promoters."""
    motif = encode(world.motif("P"))
    for gene in genes.itertuples():
        upstream = random_bases(rng, world.promoter // 2, 0.6)
        copies = int(np.clip(np.rint(2.5 + 1.3 * gene.promoter_strength), 0, 6))
        for place in rng.permutation(6)[:copies]:
            start = len(upstream) - 40 * (place + 1) + int(rng.integers(0, 20))
            upstream[start : start + len(motif)] = _mutated(motif, world.mutation, rng)
        _write(sequences[gene.chrom], gene.tss, gene.strand, -len(upstream), upstream)


def _write(sequence: np.ndarray, tss: int, strand: str, offset: int, bases: np.ndarray) -> None:
    """Write `bases`, given in the gene's direction, from `offset` bp downstream of its start site on."""
    if strand == "+":
        sequence[tss + offset : tss + offset + len(bases)] = bases
    else:
        end = tss + 1 - offset
        sequence[end - len(bases) : end] = 3 - bases[::-1]


def _place_elements(world: World, genes, exons, blacklist, rng: np.random.Generator) -> pd.DataFrame:
    exons_of = dict(iter(exons.groupby("gene_id")))
    rows = []
    for gene in genes.itertuples():
        half = world.promoter // 2
        taken = [(gene.tss - half, gene.tss + half)]
        for table in (exons_of[gene.gene_id], blacklist[blacklist.chrom == gene.chrom]):
            taken += list(zip(table.start, table.end, strict=True))
        for kind in _kinds(world, rng):
            length = int(rng.integers(world.element_length[0], world.element_length[1] + 1))
            start = _free_place(gene.tss, world, length, taken, rng)
            if start is not None:  # None: no space left in the window
                taken.append((start, start + length))
                rows.append((gene.gene_id, gene.chrom, start, start + length, kind, *_nature(world, kind, rng)))
    columns = ["gene_id", "chrom", "start", "end", "kind", "grammar", "strength", "dnase", "h3k27ac", "size"]
    return pd.DataFrame(rows, columns=columns).sort_values(["chrom", "start"], ignore_index=True)


def _kinds(world: World, rng: np.random.Generator) -> np.ndarray:
    """Return the elements of one gene in random order, so that no kind is placed before another."""
    ranges = {"causal": world.causal, "decoy": world.decoys, "closed": world.closed}
    kinds = [kind for kind, (few, many) in ranges.items() for _ in range(rng.integers(few, many + 1))]
    return rng.permutation(kinds)


def _free_place(tss: int, world: World, length: int, taken, rng: np.random.Generator) -> int | None:
    low = window_start(tss, world.window)
    high = low + world.window - length
    for _ in range(200):
        start = int(rng.integers(low, high + 1))
        # Exon boundaries would need less distance than elements; one distance for both keeps it simple.
        near = world.element_gap
        if all(start + length + near <= left or right + near <= start for left, right in taken):
            return start
    return None


def _nature(world: World, kind: str, rng: np.random.Generator) -> tuple[str, str, float, float, float]:
    """Draw grammar, strength class, heights of both signals and effect size; height and effect are independent."""
    grammar = _one_of(world.decoy_grammars if kind == "decoy" else world.causal_grammars, rng)
    height = world.peak_height * rng.lognormal(0, world.peak_spread)
    heights = np.minimum(height * rng.lognormal(0, 0.25, 2), world.highest_peak)
    weak = rng.random() < world.weak_share
    size = world.effect * rng.uniform(*world.effect_range)
    if kind == "closed":
        return grammar, "none", 0.0, 0.0, 0.0
    if kind == "decoy":
        return grammar, "strong", *heights, 0.0
    return grammar, "weak" if weak else "strong", *(heights * (world.weak_factor if weak else 1.0)), size


def _one_of(grammars: Grammars, rng: np.random.Generator) -> str:
    shares = np.array([share for _, share in grammars])
    return grammars[rng.choice(len(grammars), p=shares / shares.sum())][0]


def _write_grammar(world: World, sequence: np.ndarray, grammar: str, rng: np.random.Generator) -> None:
    """Write the grammar's motifs next to each other, about every `motif_spacing` bp, into an element's sequence."""
    start = int(rng.integers(8, 20))
    while grammar:
        motifs = [encode(world.motif(letter)) for letter in grammar]
        if world.either_strand:
            motifs = [3 - motif[::-1] if rng.random() < 0.5 else motif for motif in motifs]
            motifs = [motifs[place] for place in rng.permutation(len(motifs))]
        place = start
        for motif in motifs:
            if place + len(motif) > len(sequence):
                return
            sequence[place : place + len(motif)] = _mutated(motif, world.mutation, rng)
            place += len(motif) + int(rng.integers(2, 7))
        start += world.motif_spacing + int(rng.integers(-6, 7))


def _mutated(motif: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    hit = rng.random(len(motif)) < share
    return np.where(hit, (motif + rng.integers(1, 4, len(motif))) % 4, motif).astype(np.uint8)
