"""Parameters of a simulated world: what is planted, how it is measured, and its effect on expression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from model_core.motifs.weight_matrix import WeightMatrix

Grammars = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class World:
    """Simulated world; every length in bp, every effect on the scale of log10(CAGE + 1).

    Motif grammars are strings of motif letters and their share: ("AB", 0.7) means that 70 % of such elements carry A
    next to B every `motif_spacing` bp; the empty string means no motif.
    """

    # Layout: the last chromosome is for testing, the last genes of the one before it are for validation.
    chromosomes: tuple[str, ...] = ("chr1", "chr2", "chr3")
    genes: tuple[int, ...] = (280, 280, 120)
    validation_genes: int = 70
    spacing: tuple[int, int] = (12_000, 14_000)  # from one start site to the next
    window: int = 8_192  # elements lie inside it
    promoter: int = 512  # and outside this
    longest_transcript: int = 5_600  # with introns

    # Background: order-5 Markov chain of human sequence, with islands and repeats (`background`)
    island_every: int = 20_000  # mean distance of CpG islands
    repeat_share: float = 0.2  # of the bases are copies of repeats
    repeat_families: int = 8
    microsatellite_every: int = 8_000

    # Elements by gene; ranges include both ends. No two elements of a chromosome share a base.
    causal: tuple[int, int] = (0, 4)
    decoys: tuple[int, int] = (2, 5)
    closed: tuple[int, int] = (1, 1)
    element_length: tuple[int, int] = (150, 320)
    element_gap: int = 120  # at least this between two elements, and to exons
    insulated: float = 0.0  # share of the gaps between neighbouring start sites that hold an insulator

    # Grammar
    motifs: tuple[tuple[str, str], ...] = (  # letter, IUPAC consensus of its weight matrix
        ("A", "RTGASTCAY"),
        ("B", "WGATAAGR"),
        ("C", "CCACRWGG"),
        ("D", "ATTTGCATW"),
        ("E", "TTYCCGGAA"),
        ("F", "GCRCGTGAY"),
        ("I", "CCRSTAGGKGGC"),  # insulators only
        ("P", "GGGCGGRRC"),  # promoters only
    )
    certainty: float = 0.9  # share of sites that follow the consensus at a position
    causal_grammars: Grammars = (("AB", 1.0),)
    decoy_grammars: Grammars = (("CD", 0.7), ("", 0.3))
    motif_spacing: int = 75
    motif_gap: tuple[int, int] = (2, 16)  # between the motifs of a grammar
    either_strand: bool = False  # motifs on either strand and in either order

    # Signals, in the unit of the tracks: tags per base over the mean of a sequencing depth of `tags_per_unit`
    peak_height: float = 8.0  # median; heights are lognormal and never tell an effect
    peak_spread: float = 0.45  # sd of the logarithm
    highest_peak: float = 30.0
    promoter_height: float = 16.0  # median; higher where the promoter is stronger
    weak_share: float = 0.25  # of the open elements, causal and decoys alike
    weak_factor: float = 0.12  # their height against the others'
    changed: float = 0.0  # share of elements open in one of two cell types only; 0: there is one cell type
    dnase_background: float = 0.25
    h3k27ac_background: float = 0.35
    control_background: float = 1.0
    tags_per_unit: float = 2.0  # tags over a base where the track is 1
    dnase_fragment: int = 80
    h3k27ac_fragment: int = 200
    artefact_height: float = 25.0  # of blacklisted regions, in signals and control alike

    # Contact: (1 + distance / decay_distance) ** -decay_power, times `insulation` for each insulator between, times
    # gamma noise with this shape
    hic_resolution: int = 500
    hic_depth: float = 40.0  # contacts in a pixel on the diagonal
    hic_reach: int = 24_000  # pixels farther from the diagonal are empty, and elements have no effect
    decay_distance: float = 1_500.0
    decay_power: float = 1.5
    insulation: float = 0.15
    contact_shape: float = 12.0
    bin_bias: float = 0.15  # sd of the logarithm of a bin's visibility

    # Expression: an open element with a causal grammar acts on every gene in reach, by its contact
    baseline: float = 0.9
    effect: float = 0.8  # of a causal element in full contact
    effect_range: tuple[float, float] = (0.7, 1.3)
    least_effect: float = 0.1  # on a gene, from which an element counts as causal for it
    promoter_effect: float = 0.42  # of one sd of promoter strength
    utr5_gc_effect: float = 0.08  # of one sd of the GC content of the 5'UTR
    noise: float = 0.08

    def motif(self, letter: str) -> WeightMatrix:
        """Return the weight matrix of a motif by its letter."""
        return _matrix(letter, dict(self.motifs)[letter], self.certainty)


_matrix = cache(WeightMatrix.of_consensus)


# Only A together with B is causal, on either strand, in either order; decoys carry one of them, too.
HARDER = World(decoy_grammars=(("CD", 0.3), ("AC", 0.25), ("BD", 0.25), ("A", 0.2)), either_strand=True)

_BENCHMARK: dict[str, Any] = {
    "window": 4_096,
    "spacing": (5_500, 6_500),
    "longest_transcript": 3_000,
    "hic_reach": 10_000,
    "genes": (700, 700, 200),
    "validation_genes": 100,
    "changed": 0.3,
}
WORLDS = {  # of the benchmarks, in rising difficulty
    "plain": replace(World(), **_BENCHMARK),  # decoys carry other motifs, or none
    "weak": replace(HARDER, **_BENCHMARK, weak_share=0.5),  # half of the open elements have hardly any signal
    "insulated": replace(  # two grammars; windows hold elements of neighbours, which insulators keep from the gene
        HARDER,
        **{**_BENCHMARK, "spacing": (3_200, 4_200), "longest_transcript": 1_300},
        insulated=0.7,
        causal_grammars=(("AB", 0.5), ("EF", 0.5)),
        decoy_grammars=(("CD", 0.25), ("AC", 0.25), ("EB", 0.25), ("FD", 0.25)),
        causal=(0, 2),
        decoys=(1, 2),
        closed=(0, 1),
    ),
}
