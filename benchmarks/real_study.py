"""Text of a study.toml for the real data folder: K562, chromosome 22 of GRCh38."""

from pathlib import Path


def real_study_toml(folder: Path) -> str:
    """Return the text of a study.toml that names the files in `folder` by absolute paths.

    Labels are K562 RNA (TPM), as the folder has no CAGE; blocks 5 and 6 of the chromosome are validation and test
    split.
    """
    folder = Path(folder).resolve()
    return f"""\
schema = 1
name = "k562-chr22"
assembly = "hg38"
limits = [
    "The genome file has 65 % of the chromosome's bases; the rest is N, which the model reads as no base.",
    "DNase and H3K27ac are rebuilt from peak calls and counts, zero elsewhere: they follow the peaks by construction.",
    "The label is RNA (TPM), not CAGE, for which Seq2Exp was designed.",
    "Training and test genes lie on blocks of one chromosome: there is no test on unseen chromosomes.",
    "K562 carries extra copies of chr22:19-23.3 Mb; the signals are not corrected for it.",
]

[genome]
fasta = "{folder}/hg38.chr22.partial.fa.gz"
annotation = "{folder}/genes.chr22.gtf.gz"
blacklist = "{folder}/hg38-blacklist.v2.chr22.bed"

[genes]
table = "{folder}/genes.chr22.tsv"
id = "symbol"  # one gene_id, ENSG00000273032, is in three lines of the table
label = "K562_TPM"
label_transform = "log10p1"
zscore_promoter_activity = true  # RPM of a single chromosome reaches thousands

[genes.split]
column = "block"
validation = [5]
test = [6]

[genes.features]
UTR5LEN = "UTR5LEN"
CDSLEN = "CDSLEN"
INTRONLEN = "INTRONLEN"
UTR3LEN = "UTR3LEN"
UTR5GC = "UTR5GC"
CDSGC = "CDSGC"
UTR3GC = "UTR3GC"
ORFEXONDENSITY = "ORFEXONDENSITY"

[[signals]]
name = "H3K27ac"
path = "{folder}/K562.H3K27ac.elements.bigWig"
prior = {{ b = 1.5, w = 0.4 }}

[[signals]]
name = "DNase"
path = "{folder}/K562.DNase.reconstructed.bigWig"
prior = {{ b = 0.2, w = 0.4 }}

[[signals]]
name = "Hi-C"
path = "{folder}/K562.hic.chr22.mcool"
prior = {{ b = 1.0, w = 0.2 }}
resolution = 5000
normalisation = "weight"

[peaks]
name = "MACS2"
narrowpeak = "{folder}/K562.DNase.macs2_q0.01.narrowPeak"
"""
