"""A small whole study and a scored run of it, in the real formats, for tests of the page and its server."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from model_core.run_folder.assemble import assemble
from model_core.run_folder.run import Run
from model_core.run_folder.tracks import Block, write_bigwig
from model_core.study.study import load_study

SIZE, WINDOW, PROMOTER = 40_000, 4_000, 400
EVIL = '<img src=x onerror="window.hacked=1">'  # a symbol that must stay text wherever it is shown
SYMBOLS = ("MYC", "GATA1", "HBB", "BCR", EVIL, "MYC2")


CONTIGS = ("chr1", "chr2")


def make_study(folder: Path, seed: int = 0, contigs: Sequence[str] = CONTIGS, symbols: Sequence[str] = SYMBOLS) -> Path:
    """Write FASTA, GTF, gene table, two bigWigs, contacts, peaks and study.toml; the path of study.toml."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    sequence = "".join(rng.choice(list("ACGT"), SIZE))
    lines = "\n".join(sequence[i : i + 60] for i in range(0, SIZE, 60))
    (folder / "genome.fa").write_text("".join(f">{contig}\n{lines}\n" for contig in contigs))
    genes = gene_table(contigs, symbols)
    (folder / "genes.tsv").write_text(genes.to_csv(sep="\t", index=False))
    (folder / "genes.gtf").write_text("".join(_gtf_lines(row) for row in genes.itertuples()))
    sizes = dict.fromkeys(contigs, SIZE)
    for number, name in enumerate(("H3K27ac", "DNase")):
        blocks = [Block(chrom, 0, 10, _hills(rng, number)) for chrom in sorted(sizes)]
        write_bigwig(folder / f"{name}.bw", sizes, blocks, 2)
    _write_contacts(folder / "contacts.cool", sizes)
    peaks = [
        f"{row.chrom}\t{row.tss + 900}\t{row.tss + 1300}\t<b>peak{i}</b>\t1200\t.\t9.5\t8.1\t6.2\t150\n"
        for i, row in enumerate(genes.itertuples())
    ]
    (folder / "peaks.narrowPeak").write_text(
        "".join(sorted(peaks, key=lambda line: (line.split("\t")[0], int(line.split("\t")[1]))))
    )
    (folder / "causal.bed").write_text(f"{contigs[0]}\t10900\t11300\tcausal1\n")
    (folder / "study.toml").write_text(STUDY)
    return folder / "study.toml"


def make_viewer_run(
    folder: Path,
    study: Path,
    name: str = "tiny",
    genes: int = len(SYMBOLS),
    simulated: bool = True,
    contigs: Sequence[str] = CONTIGS,
    symbols: Sequence[str] = SYMBOLS,
    members: int | None = None,
    contact: str | None = None,
) -> Path:
    """Score the first `genes` genes with made-up masks, high where peaks are, and assemble; the run folder.

    With `members` the run is of an additive model and stores made-up effects; with `contact` it stores contact.
    """
    loaded = load_study(study)
    variant, band = ("soft", None) if members is None else ("causal", "members" if members > 1 else "none")
    config = loaded.config() if members is None else loaded.config(variant="causal", members=members)
    run = Run.create(
        folder,
        kind="training",
        name=name,
        variant=variant,
        band=band,
        members=members,
        contact=contact,
        window=WINDOW,
        promoter=PROMOTER,
        chrom_sizes=loaded.genome().sizes,
        simulated=simulated,
        study=study,
        resolved=loaded.resolved(),
        config={"model": config.to_dict()},
        asked=len(SYMBOLS),
    )
    add_genes(run, range(genes), gene_table(contigs, symbols))
    if genes:
        assemble(run, loaded.peaks_path())
    return run.path


def add_genes(run: Run, which: range, table: pd.DataFrame | None = None) -> None:
    """Append genes of `gene_table` with masks that differ from gene to gene."""
    table = gene_table() if table is None else table
    with run.writing():
        for i in which:
            row = table.iloc[i]
            alpha, beta = mask_of(i)
            gene = {name: row[name] for name in ("gene_id", "symbol", "chrom", "tss", "strand", "split")}
            run.append(
                {**gene, "observed": float(row["level"]), "predicted": float(row["level"]) * 0.8 + 0.1 * i},
                *(alpha, beta),
                member_effects_of(i, run.manifest.get("members")),
                contact_of() if run.manifest.get("contact") else None,
            )


def member_effects_of(i: int, members: int | None) -> np.ndarray | None:
    """Effects of gene number i, float32 (members, bins of 8 bp): the hill over its peak raises expression; the other
    one lowers it where i is even, and where i is odd the members do not agree about it."""
    if members is None:
        return None
    places = np.arange(0, WINDOW, 8) + 4
    near = 0.012 * np.exp(-(((places - WINDOW / 2 - 1100) / 150) ** 2))
    far = 0.006 * np.exp(-(((places - 300 - 150 * i) / 120) ** 2))
    spread = np.arange(members)[:, None] - (members - 1) / 2
    values = near * (1 + 0.1 * spread) + far * (0.3 + spread if i % 2 else 0.1 * spread - 1)
    values[:, abs(places - WINDOW / 2) < PROMOTER / 2] = 0
    return values.astype(np.float32)


def contact_of() -> np.ndarray:
    """Contact of a gene's window, float32 (bins of 8 bp,): it falls with the distance from the middle."""
    distance = abs(np.arange(0, WINDOW, 8) + 4 - WINDOW / 2)
    return (100 / (100 + distance)).astype(np.float32)


def mask_of(i: int) -> tuple[np.ndarray, np.ndarray]:
    """alpha, beta of gene number i: one hill over its peak, one without a peak at a place of its own."""
    places = np.arange(WINDOW)
    hills = np.exp(-(((places - WINDOW / 2 - 1100) / 150) ** 2)) + 0.9 * np.exp(
        -(((places - 300 - 150 * i) / 120) ** 2)
    )
    return (2 + 14 * hills).astype(np.float32), np.full(WINDOW, 6, np.float32)


def gene_table(contigs: Sequence[str] = CONTIGS, symbols: Sequence[str] = SYMBOLS) -> pd.DataFrame:
    """Six genes, on the contigs in turn."""
    count = len(symbols)
    return pd.DataFrame(
        {
            "gene_id": [f"ENSG0000000000{i}.{i + 1}" for i in range(count)],
            "symbol": symbols,
            "chrom": [contigs[i % len(contigs)] for i in range(count)],
            "tss": [10_000 + 3_000 * (i % 9) for i in range(count)],
            "strand": ["+-"[i % 2] for i in range(count)],
            "level": [0.5 + 0.4 * i for i in range(count)],
            "split": [["train", "test", "test", "validation", "test", "train"][i % 6] for i in range(count)],
        }
    )


def _gtf_lines(row) -> str:
    start, end = (row.tss + 1, row.tss + 1200) if row.strand == "+" else (row.tss - 1198, row.tss + 1)
    notes = f'gene_id "{row.gene_id}"; gene_name "{row.symbol.replace(chr(34), chr(39))}"; gene_type "protein_coding";'
    exons = [(start, start + 300), (start + 700, end)]
    rows = [("gene", start, end, ""), *(("exon", a, b, f' transcript_id "{row.gene_id}.t1";') for a, b in exons)]
    rows.append(("CDS", start + 750, end - 100, f' transcript_id "{row.gene_id}.t1";'))
    return "".join(
        f"{row.chrom}\ttest\t{kind}\t{a}\t{b}\t.\t{row.strand}\t.\t{notes}{extra}\n" for kind, a, b, extra in rows
    )


def _hills(rng: np.random.Generator, number: int) -> np.ndarray:
    places = np.arange(SIZE // 10) * 10
    hills = sum(8 * np.exp(-(((places - tss - 1100) / (200 + 150 * number)) ** 2)) for tss in gene_table()["tss"])
    return (hills + rng.uniform(0, 0.5, len(places))).astype(np.float32)


def _write_contacts(path: Path, sizes: dict[str, int], resolution: int = 1000) -> None:
    """Write counts that fall with the distance, for every chromosome."""
    write_contacts(path, sizes, list(sizes), resolution)


def write_contacts(path: Path, sizes: dict[str, int], measured: Sequence[str], resolution: int = 1000) -> None:
    """Write the same for some of the chromosomes; the others have no count."""
    import cooler

    names = list(sizes)
    bins = pd.concat(
        [pd.DataFrame({"chrom": n, "start": range(0, SIZE, resolution)}) for n in names], ignore_index=True
    )
    bins["end"] = bins["start"] + resolution
    count = SIZE // resolution
    pairs = [
        (k * count + i, k * count + j, 200 // (1 + j - i))
        for k in range(len(names))
        if names[k] in measured
        for i in range(count)
        for j in range(i, min(i + 8, count))
    ]
    pixels = pd.DataFrame(pairs, columns=["bin1_id", "bin2_id", "count"])
    cooler.create_cooler(str(path), bins, pixels, ordered=True)


STUDY = """\
schema = 1
name = "tiny"
assembly = "toy1"
simulated = true

[genome]
fasta = "genome.fa"
annotation = "genes.gtf"

[genes]
table = "genes.tsv"
label = "level"
label_transform = "log10p1"

[genes.split]
column = "split"
validation = ["validation"]
test = ["test"]

[[signals]]
name = "H3K27ac"
path = "H3K27ac.bw"
prior = { b = 1.5, w = 0.4 }

[[signals]]
name = "DNase"
path = "DNase.bw"
prior = { b = 0.2, w = 0.4 }

[[signals]]
name = "Hi-C"
path = "contacts.cool"
prior = { b = 1.0, w = 0.2 }
resolution = 1000
normalisation = "NONE"
pseudocount = 0.0

[peaks]
name = "MACS3"
narrowpeak = "peaks.narrowPeak"

[truth]
causal = "causal.bed"

[model]
window = 4000
promoter = 400
"""


def get(client, path: str, status: int = 200):
    """Return the JSON of an answer that has this status."""
    answer = client.get(path)
    assert answer.status_code == status, answer.data
    return answer.get_json()
