"""The genome of a simulated world: genes, promoters, insulators and elements written into a background."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.motifs.weight_matrix import WeightMatrix
from model_core.simulation.background import background, chain
from model_core.simulation.grammar import Grammar, Site
from model_core.simulation.transcripts import LEAVE, draw_transcript
from model_core.simulation.world import Grammars, World
from model_core.window import window_start

UNKNOWN = 4  # the code of N
TELOMERE = 2_000  # bases of N at both ends of a chromosome
_MARGIN = 8_000  # from a chromosome's end to the nearest start site
_TRIES = 200  # places tried for an element, and sequences for a decoy
COLUMNS = ("name", "gene_id", "chrom", "start", "end", "kind", "grammar", "strength", "dnase", "h3k27ac", "size")


class Planted(NamedTuple):
    """Contents of a simulated genome.

    Attributes
    ----------
    sequences : dict[str, ndarray]
        By chromosome uint8 (size,), codes 0-3 for A, C, G, T and 4 for N.
    repeats : dict[str, ndarray]
        By chromosome bool (size,), bases in repeats.
    genes : DataFrame
        gene_id symbol chrom tss strand split promoter_strength dnase h3k27ac (heights of the promoter's signals)
        utr5_gc, in order of position.
    exons : DataFrame
        gene_id chrom strand start end cds_start cds_end, in order of position; the CDS span includes the stop codon.
    elements : DataFrame
        COLUMNS, in order of position, no two of which share a base: gene_id (in whose window it was placed), kind
        ("causal", "decoy", "closed", "insulator"), grammar, strength ("strong", "weak", "none"), dnase, h3k27ac
        (heights of its signals), size (effect on expression in full contact).
    other_cell : DataFrame or None
        The same elements in a second cell type, with other kinds and heights where their openness changed.
    sites : DataFrame
        chrom start end letter strand element, the motif sites that were written.
    blacklist : DataFrame
        chrom start end artefact (whether the signals have an artefact there).
    """

    sequences: dict[str, np.ndarray]
    repeats: dict[str, np.ndarray]
    genes: pd.DataFrame
    exons: pd.DataFrame
    elements: pd.DataFrame
    other_cell: pd.DataFrame | None
    sites: pd.DataFrame
    blacklist: pd.DataFrame


class Occupied:
    """Bases of each chromosome that are taken, in one list for all genes.

    Parameters
    ----------
    sizes : dict[str, int]
        Length in bp by chromosome.
    """

    def __init__(self, sizes: dict[str, int]):
        self._taken = {chrom: np.zeros(size, bool) for chrom, size in sizes.items()}
        for taken in self._taken.values():
            taken[:TELOMERE] = taken[-TELOMERE:] = True

    def take(self, chrom: str, start: int, end: int) -> None:
        """Mark [start, end) as taken."""
        self._taken[chrom][max(start, 0) : end] = True

    def is_free(self, chrom: str, start: int, end: int, gap: int = 0) -> bool:
        """Return whether no base of [start, end), nor within `gap` bp of it, is taken."""
        return start >= gap and not self._taken[chrom][start - gap : end + gap].any()


def plant(world: World, seed: int) -> Planted:
    """Generate the genome of `world`; the same seed gives the same genome."""
    rng = np.random.default_rng([seed, 1])
    genes, sizes = _lay_out(world, rng)
    kinds = (world.island_every, world.repeat_share, world.repeat_families, world.microsatellite_every)
    sequences, repeats = background(rng, sizes, *kinds)
    occupied = Occupied(sizes)
    half = world.promoter // 2
    for gene in genes.itertuples():
        occupied.take(gene.chrom, gene.tss - half, gene.tss + half)
    exons, gc = _write_transcripts(world, sequences, genes, rng)
    genes["utr5_gc"] = gc
    for exon in exons.itertuples():
        occupied.take(exon.chrom, exon.start, exon.end)
    promoter_sites = _write_promoters(world, sequences, genes, rng)
    blacklist = _blacklist(world, genes, occupied)
    rows = [*_insulators(world, genes, occupied, rng), *_elements(world, genes, occupied, rng)]
    elements = pd.DataFrame(rows, columns=list(COLUMNS[1:]))
    elements = _named(elements.sort_values(["chrom", "start"], ignore_index=True), genes)
    sites = promoter_sites + _write_grammars(world, sequences, elements, rng)
    for chrom, sequence in sequences.items():
        sequence[:TELOMERE] = sequence[-TELOMERE:] = UNKNOWN
        repeats[chrom][sequence == UNKNOWN] = False
    other = _in_other_cell(world, elements, rng) if world.changed else None
    table = pd.DataFrame(sites, columns=["chrom", "start", "end", "letter", "strand", "element"])
    table = table.sort_values(["chrom", "start", "end"], ignore_index=True)
    return Planted(sequences, repeats, genes, exons, elements, other, table, blacklist)


# ---- genes


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


def _blacklist(world: World, genes: pd.DataFrame, occupied: Occupied) -> pd.DataFrame:
    """Choose regions of each sort: at a window's edge, between windows, and (without artefact) over a promoter.

    Those with an artefact keep away from promoters and exons.
    """
    rows = []
    for number, gene in enumerate(genes.itertuples()):
        for period, phase, start, end, artefact in (
            (80, 7, round(0.44 * world.window), round(0.6 * world.window), True),
            (80, 47, round(0.76 * world.window), round(0.9 * world.window), True),
            (160, 30, -150, 50, False),
        ):
            if number % period == phase % min(period, len(genes)):
                region = (gene.chrom, gene.tss + start, gene.tss + end)
                if not artefact or occupied.is_free(*region):
                    rows.append((*region, artefact))
    for chrom, start, end, _ in rows:
        occupied.take(chrom, start, end)
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "artefact"])
    return table.sort_values(["chrom", "start"], ignore_index=True)


def _write_transcripts(
    world: World, sequences, genes: pd.DataFrame, rng: np.random.Generator
) -> tuple[pd.DataFrame, list[float]]:
    tables, gc = [], []
    for gene in genes.itertuples():
        transcript = draw_transcript(rng, world.longest_transcript)
        _write(sequences[gene.chrom], gene.tss, gene.strand, 0, transcript.sequence)
        spans = np.vstack([transcript.exons, transcript.coding])
        spans = gene.tss + spans if gene.strand == "+" else gene.tss + 1 - spans[:, ::-1]
        exons = np.sort(spans[:-1], axis=0)
        row = {"gene_id": gene.gene_id, "chrom": gene.chrom, "strand": gene.strand}
        row |= {"start": exons[:, 0], "end": exons[:, 1], "cds_start": spans[-1, 0], "cds_end": spans[-1, 1]}
        tables.append(pd.DataFrame(row))
        gc.append(transcript.utr5_gc)
    return pd.concat(tables, ignore_index=True), gc


def _write_promoters(world: World, sequences, genes: pd.DataFrame, rng: np.random.Generator) -> list[tuple]:
    """Write an island upstream of each start site, with more copies of motif P for stronger promoters."""
    motif, length = world.motif("P"), world.promoter // 2
    pool, sites = chain(rng, length * len(genes), "island"), []
    for number, gene in enumerate(genes.itertuples()):
        upstream = pool[number * length : (number + 1) * length].copy()
        copies = int(np.clip(np.rint(2.5 + 1.3 * gene.promoter_strength), 0, 6))
        for place in rng.permutation(6)[:copies]:
            start = length - 40 * (place + 1) + int(rng.integers(0, 20))
            upstream[start : start + motif.width] = motif.site(rng)
            first = gene.tss - length + start if gene.strand == "+" else gene.tss + 1 + length - start - motif.width
            sites.append((gene.chrom, first, first + motif.width, "P", gene.strand, f"{gene.symbol}_promoter"))
        _write(sequences[gene.chrom], gene.tss, gene.strand, -length, upstream)
    return sites


def _write(sequence: np.ndarray, tss: int, strand: str, offset: int, bases: np.ndarray) -> None:
    """Write `bases`, given in the gene's direction, from `offset` bp downstream of its start site on."""
    if strand == "+":
        part = sequence[tss + offset : tss + offset + len(bases)]
    else:
        end = tss + 1 - offset
        part, bases = sequence[end - len(bases) : end], np.where(bases == LEAVE, LEAVE, 3 - bases)[::-1]
    np.copyto(part, bases, where=bases != LEAVE)


# ---- elements


def _insulators(world: World, genes: pd.DataFrame, occupied: Occupied, rng: np.random.Generator) -> Iterator[tuple]:
    """Place insulators between neighbouring start sites, one in a gap."""
    for one, two in zip(genes.iloc[:-1].itertuples(), genes.iloc[1:].itertuples(), strict=True):
        if one.chrom != two.chrom or rng.random() >= world.insulated:
            continue
        length = _length(world, rng)
        start = _free_place(one.chrom, one.tss, two.tss, length, world.element_gap, occupied, rng)
        if start is not None:
            heights = np.minimum(world.peak_height * rng.lognormal(0, world.peak_spread), world.highest_peak), 0.0
            yield one.gene_id, one.chrom, start, start + length, "insulator", "I", "strong", *heights, 0.0


def _elements(world: World, genes: pd.DataFrame, occupied: Occupied, rng: np.random.Generator) -> Iterator[tuple]:
    """Place the elements of each gene in its window."""
    for gene in genes.iloc[rng.permutation(len(genes))].itertuples():  # no gene has the first choice of its neighbours
        low = window_start(gene.tss, world.window)
        for kind in _kinds(world, rng):
            length = _length(world, rng)
            start = _free_place(gene.chrom, low, low + world.window, length, world.element_gap, occupied, rng)
            if start is not None:  # None: no space left in the window
                yield gene.gene_id, gene.chrom, start, start + length, kind, *_nature(world, kind, rng)


def _kinds(world: World, rng: np.random.Generator) -> np.ndarray:
    """Return the elements of one gene in random order, so that no kind is placed before another."""
    ranges = {"causal": world.causal, "decoy": world.decoys, "closed": world.closed}
    kinds = [kind for kind, (few, many) in ranges.items() for _ in range(rng.integers(few, many + 1))]
    return rng.permutation(kinds)


def _length(world: World, rng: np.random.Generator) -> int:
    return int(rng.integers(world.element_length[0], world.element_length[1] + 1))


def _free_place(
    chrom: str, low: int, high: int, length: int, gap: int, occupied: Occupied, rng: np.random.Generator
) -> int | None:
    for _ in range(_TRIES):
        start = int(rng.integers(low, max(high - length, low) + 1))
        if occupied.is_free(chrom, start, start + length, gap):
            occupied.take(chrom, start, start + length)
            return start
    return None


def _nature(world: World, kind: str, rng: np.random.Generator) -> tuple[str, str, float, float, float]:
    """Draw grammar, strength class, heights of both signals and size; openness, height and size are independent."""
    grammar = _one_of(world.decoy_grammars if kind == "decoy" else world.causal_grammars, rng)
    strength, heights = ("none", (0.0, 0.0)) if kind == "closed" else _openness(world, rng)
    size = 0.0 if kind == "decoy" else world.effect * rng.uniform(*world.effect_range)
    return grammar, strength, *heights, size


def _openness(world: World, rng: np.random.Generator) -> tuple[str, tuple[float, float]]:
    """Draw the strength class and the heights of both signals of an open element."""
    height = world.peak_height * rng.lognormal(0, world.peak_spread)
    heights = np.minimum(height * rng.lognormal(0, 0.25, 2), world.highest_peak)
    weak = rng.random() < world.weak_share
    dnase, h3k27ac = heights * (world.weak_factor if weak else 1.0)
    return "weak" if weak else "strong", (float(dnase), float(h3k27ac))


def _one_of(grammars: Grammars, rng: np.random.Generator) -> str:
    shares = np.array([share for _, share in grammars])
    return grammars[rng.choice(len(grammars), p=shares / shares.sum())][0]


def _named(elements: pd.DataFrame, genes: pd.DataFrame) -> pd.DataFrame:
    """Name each element by the gene in whose window it was placed, its kind and a number."""
    symbols = genes.set_index("gene_id").symbol
    number = elements.groupby(["gene_id", "kind"]).cumcount() + 1
    names = symbols[elements.gene_id].to_numpy() + "_" + elements.kind + "_" + number.astype(str)
    return elements.assign(name=names)[list(COLUMNS)]


def _in_other_cell(world: World, elements: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return the elements in a second cell type: a share of them, but no insulator, has opened or closed."""
    other = elements.copy()
    for row in np.flatnonzero((rng.random(len(elements)) < world.changed) & (elements.kind != "insulator")):
        element = elements.iloc[row]
        closing = element.dnase > 0
        strength, heights = ("none", (0.0, 0.0)) if closing else _openness(world, rng)
        kind = element.kind if element["size"] == 0 else "closed" if closing else "causal"
        other.loc[row, ["kind", "strength", "dnase", "h3k27ac"]] = [kind, strength, *heights]
    return other


# ---- grammar


def _write_grammars(world: World, sequences, elements: pd.DataFrame, rng: np.random.Generator) -> list[tuple]:
    """Write each element's grammar; a decoy's or insulator's sequence holds no causal grammar by chance."""
    causal, sites = [Grammar(world, letters) for letters, _ in world.causal_grammars], []
    for element in elements.itertuples():
        place = sequences[element.chrom][element.start : element.end]
        found = _written(world, place, element.grammar, rng)
        if element.kind in ("decoy", "insulator"):
            for _ in range(_TRIES):
                if not any(grammar.stands(place) for grammar in causal):
                    break
                place[:] = chain(rng, len(place))
                found = _written(world, place, element.grammar, rng)
        sites += [
            (element.chrom, element.start + first, element.start + last, letter, strand, element.name)
            for letter, strand, first, last in found
        ]
    return sites


def _written(world: World, sequence: np.ndarray, letters: str, rng: np.random.Generator) -> list[Site]:
    """Write a grammar's motifs next to each other, about every `motif_spacing` bp; return the sites."""
    start, sites = int(rng.integers(8, 20)), list[Site]()
    while letters:
        place = start
        for letter, motif, strand in _arranged(world, letters, rng):
            if place + motif.width > len(sequence):
                return sites
            sequence[place : place + motif.width] = motif.site(rng)
            sites.append(Site(letter, strand, place, place + motif.width))
            place += motif.width + int(rng.integers(*world.motif_gap))
        start += world.motif_spacing + int(rng.integers(-6, 7))
    return sites


def _arranged(world: World, letters: str, rng: np.random.Generator) -> Iterator[tuple[str, WeightMatrix, str]]:
    order: Iterable[int] = rng.permutation(len(letters)) if world.either_strand else range(len(letters))
    for number in order:
        motif = world.motif(letters[number])
        backward = world.either_strand and rng.random() < 0.5
        yield letters[number], motif.reverse_complement if backward else motif, "-" if backward else "+"


def chance_sites(world: World, planted: Planted) -> tuple[int, float]:
    """Count places outside elements and promoters where a causal grammar stands by chance.

    Returns
    -------
    places : int
        Number of places; overlapping ones count once.
    megabases : float
        Number of known bases searched, in millions.
    """
    grammars = [Grammar(world, letters) for letters, _ in world.causal_grammars]
    places, searched = 0, 0
    for chrom, sequence in planted.sequences.items():
        free = sequence != UNKNOWN
        for start, end in _planted_bases(world, planted, chrom):
            free[start:end] = False
        stands = np.logical_or.reduce([grammar.around(sequence) > 0 for grammar in grammars]) & free
        places += int((np.diff(stands.astype(np.int8), prepend=0) == 1).sum())
        searched += int(free.sum())
    return places, searched / 1e6


def _planted_bases(world: World, planted: Planted, chrom: str) -> Sequence[tuple[int, int]]:
    elements = planted.elements[planted.elements.chrom == chrom]
    tss = planted.genes.tss[planted.genes.chrom == chrom]
    spans = list(zip(elements.start, elements.end, strict=True))
    return spans + [(site - world.promoter // 2, site + world.promoter // 2) for site in tss]
