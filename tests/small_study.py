"""A small study in real formats: 50 genes with start codons and splice sites, open at their start sites."""

from pathlib import Path

import numpy as np
import pyBigWig

SIZES = {"chr1": 240_000, "chr2": 60_000}
SPACING = 6_000  # bp between start sites, from 3,000 on
EXONS = ((0, 100), (200, 400))  # of each gene, bp downstream of its start site
CODING = (10, 293)

STUDY = """\
schema = 1
name = "small"
assembly = "toy1"

[genome]
fasta = "genome.fa"
annotation = "genes.gtf"
blacklist = "blacklist.bed"

[genes]
table = "genes.tsv"
label = "cage"
label_transform = "log10p1"

[genes.split]
validation = []
test = ["chr2"]

[[signals]]
name = "H3K27ac"
path = "H3K27ac.bw"
prior = { b = 1.5, w = 0.5 }

[[signals]]
name = "ATAC"
path = "ATAC.bw"
transform = "log1p"
prior = { b = 0.2, w = 0.5 }

[peaks]
narrowpeak = "ATAC.narrowPeak"

[model]
window = 4_000
promoter = 400
"""


def write_small_study(folder: Path, seed: int = 0) -> Path:
    """Write the study's files into `folder`; returns the path of its study.toml."""
    rng = np.random.default_rng(seed)
    genes = small_genes()
    bases = {chrom: rng.choice(list("ACGT"), size) for chrom, size in SIZES.items()}
    gtf, table = [], ["gene_id\tsymbol\tchrom\ttss\tstrand\tcage"]
    for number, (chrom, tss, strand) in enumerate(genes):
        write_gene(bases[chrom], tss, strand)
        gtf += gtf_rows(f"G{number}", chrom, tss, strand)
        table.append(f"G{number}\tgene{number}\t{chrom}\t{tss}\t{strand}\t{number % 7 if number else ''}")
    fasta = "".join(f">{chrom}\n{''.join(letters)}\n" for chrom, letters in bases.items())
    (folder / "genome.fa").write_text(fasta)
    (folder / "genes.gtf").write_text("\n".join(gtf) + "\n")
    (folder / "genes.tsv").write_text("\n".join(table) + "\n")
    write_bigwig(folder / "H3K27ac.bw", open_chromatin(300, 5.0, 0.1))
    write_bigwig(folder / "ATAC.bw", open_chromatin(150, 3.0, 0.05))
    (folder / "blacklist.bed").write_text("chr1\t5000\t5500\nchr2\t100\t200\n")
    (folder / "ATAC.narrowPeak").write_text("chr1\t2850\t3150\tp1\t100\t.\t5\t4\t3\t150\n")
    (folder / "study.toml").write_text(STUDY)
    return folder / "study.toml"


def small_genes() -> list[tuple[str, int, str]]:
    """(chrom, tss, strand) of the 50 genes."""
    places = [(chrom, tss) for chrom, size in SIZES.items() for tss in range(3_000, size, SPACING)]
    return [(chrom, tss, "+-"[number % 2]) for number, (chrom, tss) in enumerate(places)]


def write_gene(bases: np.ndarray, tss: int, strand: str) -> None:
    """Put ATG, GT, AG and a stop codon where the gene's model has them."""
    for offset, letters in ((CODING[0], "ATG"), (100, "GT"), (198, "AG"), (CODING[1] - 3, "TAA")):
        for step, letter in enumerate(letters):
            if strand == "+":
                bases[tss + offset + step] = letter
            else:
                bases[tss - offset - step] = {"A": "T", "C": "G", "G": "C", "T": "A"}[letter]


def gtf_rows(gene_id: str, chrom: str, tss: int, strand: str) -> list[str]:
    """GTF lines of one gene."""
    coding = [(max(start, CODING[0]), min(end, CODING[1] - 3)) for start, end in EXONS]
    spans = [("gene", (0, 400)), *(("exon", span) for span in EXONS), *(("CDS", span) for span in coding)]
    lines = []
    for kind, (start, end) in [*spans, ("stop_codon", (CODING[1] - 3, CODING[1]))]:
        first, last = (tss + start, tss + end) if strand == "+" else (tss + 1 - end, tss + 1 - start)
        attributes = f'gene_id "{gene_id}"; gene_type "protein_coding"; transcript_id "{gene_id}.1";'
        lines.append("\t".join([chrom, "toy", kind, str(first + 1), str(last), ".", strand, ".", attributes]))
    return lines


def open_chromatin(reach: int, height: float, background: float) -> dict[str, np.ndarray]:
    """A signal that is `height` within `reach` bp of each start site."""
    signal = {chrom: np.full(size, background) for chrom, size in SIZES.items()}
    for chrom, tss, _ in small_genes():
        signal[chrom][tss - reach : tss + reach] = height
    return signal


def write_bigwig(path: Path, signal: dict[str, np.ndarray], sizes: dict[str, int] | None = None) -> None:
    """Write one value a base; `sizes` is what the header claims, by default the truth."""
    file = pyBigWig.open(str(path), "w")
    file.addHeader(list((sizes or {chrom: len(values) for chrom, values in signal.items()}).items()))
    for chrom, values in signal.items():
        file.addEntries(chrom, 0, values=values.astype(float), span=1, step=1)
    file.close()


def edit(path: Path, old: str, new: str) -> None:
    """Replace the one place where `old` stands in a text file."""
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new))
