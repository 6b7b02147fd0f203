"""Parameters of a simulated world: what is planted, how it is measured, and its effect on expression."""

from dataclasses import dataclass

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
    gc: float = 0.42

    # Elements of one gene; ranges include both ends.
    causal: tuple[int, int] = (0, 4)
    decoys: tuple[int, int] = (2, 5)
    closed: tuple[int, int] = (1, 1)
    element_length: tuple[int, int] = (150, 320)
    element_gap: int = 120  # at least this between two elements

    # Grammar
    motifs: tuple[tuple[str, str], ...] = (
        ("A", "TGACTCATC"),
        ("B", "AGATAAGGC"),
        ("C", "CCACAAGGT"),
        ("D", "ATTTGCATG"),
        ("P", "GGGCGGAAC"),  # promoters only
    )
    causal_grammars: Grammars = (("AB", 1.0),)
    decoy_grammars: Grammars = (("CD", 0.7), ("", 0.3))
    motif_spacing: int = 60
    mutation: float = 0.05  # share of motif bases replaced by another base
    either_strand: bool = False  # motifs on either strand and in either order

    # Signals, in the unit of the tracks: tags per base over the mean of a sequencing depth of `tags_per_unit`
    peak_height: float = 8.0  # median; heights are lognormal and never tell an effect
    peak_spread: float = 0.45  # sd of the logarithm
    highest_peak: float = 30.0
    promoter_height: float = 16.0  # median; higher where the promoter is stronger
    weak_share: float = 0.25  # of the causal elements
    weak_factor: float = 0.12  # their height against the others'
    dnase_background: float = 0.25
    h3k27ac_background: float = 0.35
    control_background: float = 1.0
    tags_per_unit: float = 2.0  # tags over a base where the track is 1
    dnase_fragment: int = 80
    h3k27ac_fragment: int = 200
    artefact_height: float = 25.0  # of blacklisted regions, in signals and control alike

    # Contact: (1 + distance / decay_distance) ** -decay_power, times gamma noise with this shape
    hic_resolution: int = 500
    hic_depth: float = 40.0  # contacts in a pixel on the diagonal
    hic_reach: int = 24_000  # pixels farther from the diagonal are empty
    decay_distance: float = 1_500.0
    decay_power: float = 0.9
    contact_shape: float = 12.0
    bin_bias: float = 0.15  # sd of the logarithm of a bin's visibility

    # Expression
    baseline: float = 0.9
    effect: float = 0.8  # of a causal element in full contact
    effect_range: tuple[float, float] = (0.7, 1.3)
    promoter_effect: float = 0.42  # of one sd of promoter strength
    utr5_gc_effect: float = 0.08  # of one sd of the GC content of the 5'UTR
    noise: float = 0.08

    def motif(self, letter: str) -> str:
        """Return the sequence of a motif by its letter."""
        return dict(self.motifs)[letter]


# The pilot's harder world: only A together with B is causal, on either strand, in either order.
HARDER = World(
    decoy_grammars=(("CD", 0.3), ("AC", 0.25), ("BD", 0.25), ("A", 0.2)),
    motif_spacing=75,
    mutation=0.08,
    either_strand=True,
)
