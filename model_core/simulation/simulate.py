"""Simulated studies in the formats of real data, with the planted truth."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.files import naming
from model_core.listing import all_in, is_empty
from model_core.simulation import assays, simulated_files
from model_core.simulation.planting import Planted, plant
from model_core.simulation.transcripts import gtf_text
from model_core.simulation.world import HARDER, Grammars, World

__all__ = ["HARDER", "World", "simulate_study"]

STUDY = """\
# SIMULATED DATA. Nothing in this study was measured; see README.txt.
schema = 1
name = "simulated-{seed}"
assembly = "sim1"
simulated = true

[genome]
fasta = "genome.fa"
annotation = "genes.gtf.gz"
blacklist = "blacklist.bed"

[genes]
table = "genes.tsv"
symbol = "symbol"
label = "cage"
label_transform = "log10p1"
zscore_promoter_activity = true  # in so small a genome a promoter has hundreds of reads per million

[genes.split]
column = "split"
validation = ["validation"]
test = ["test"]

[[signals]]
name = "H3K27ac"
path = "H3K27ac.bigWig"
transform = "none"
prior = {{ b = 1.5, w = 0.4 }}

[[signals]]
name = "DNase"
path = "DNase.bigWig"
transform = "none"
prior = {{ b = 0.2, w = 0.4 }}

[[signals]]
name = "Hi-C"
path = "contacts.mcool"
prior = {{ b = 1.0, w = 0.2 }}
resolution = {world.hic_resolution}
normalisation = "VC"
pseudocount = 0.0

[peaks]
name = "MACS3"
reads = ["DNase.tags.bed.gz"]
control = ["control.tags.bed.gz"]
# --ratio: background of the DNase reads over that of the control. Open elements are so dense in this genome that
# the ratio of the totals, which MACS3 would take, is several times too high and would hide true peaks.
options = [
    "--nomodel", "--shift", "-{half}", "--extsize", "{fragment}", "--keep-dup", "all",
    "--ratio", "{ratio:g}", "-q", "0.001",
]

[truth]
causal = "truth/causal.bed"
decoys = "truth/decoys.bed"

[model]
window = {world.window}
promoter = {world.promoter}
d_model = 32
n_layers = 2
"""

README = """\
ALL DATA IN THIS FOLDER ARE SIMULATED. No cell, no organism, no measurement stands behind them.
They were made by seq2exp-viz (model_core.simulation, seed {seed}) to have a genome whose regulatory elements are known.

{genes} genes on {chromosomes}; the assembly is called sim1. Positions in BED and TSV files are 0-based.

study.toml            the study: open this
genome.fa             random sequence with genes, promoters and motif grammars written into it
genes.gtf.gz          one transcript per gene, with ATG, stop codon, GT-AG introns and UTRs
genes.tsv             gene table; cage = the simulated count, split = train, validation or test
DNase.bigWig          pile-up of DNase.tags.bed.gz ({fragment} bp around each 5' end) divided by {depth:g}
H3K27ac.bigWig        pile-up of simulated H3K27ac tags, divided by {depth:g}
DNase.tags.bed.gz     the DNase reads, for peak calling; control.tags.bed.gz: reads of a control without enrichment
contacts.mcool        Hi-C at {resolution} and {coarse} bp, normalisation VC, only up to {reach} bp from the diagonal
blacklist.bed         regions with artefact signal, and a few without
truth/causal.bed      elements that raise expression; a share of them ("weak") has {weak:.0%} of the others' signal
truth/decoys.bed      elements with the same heights of signal and no effect on any gene
truth/closed.bed      the causal motif grammar without signal and without effect
truth/genes.tsv       the parts of each gene's expression: promoter, features, elements, noise

Causal grammars (motif letters: share): {causal}. Decoys: {decoys}. Motifs: {motifs}.
effect (log10(CAGE + 1)) = size x true contact between element and start site. It does not depend on the signals.
expression = {baseline} + promoter + features + sum of effects + noise, all on the scale of log10(CAGE + 1).
"""


def simulate_study(folder: str | Path, seed: int = 0, world: World | None = None) -> Path:
    """Write a simulated study into a new folder; the same seed and world give the same files.

    Only contacts.mcool differs from call to call, by the time that HDF5 stores in it; its content is the same.

    Parameters
    ----------
    folder : str or Path
        A path that does not exist yet, or an empty folder.
    seed : int
        Random seed.
    world : World or None
        The world to simulate; default `World()`, which takes about 20 seconds.

    Returns
    -------
    Path
        Path of the study.toml. The folder appears complete or not at all.

    Raises
    ------
    InputError
        The folder is not empty.
    """
    folder, world = Path(folder).absolute(), world or World()
    if folder.exists() and (not folder.is_dir() or not is_empty(folder)):
        found = "a file" if not folder.is_dir() else "a folder that is not empty"
        raise InputError(
            folder, found=found, expected="a new or empty folder", fix="choose another path, or remove this one"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{os.getpid()}.{folder.name}")  # not of mkdtemp, which allows no other user
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        with naming(folder, unfinished / ".probe"):
            _write_study(unfinished, seed, world)
        for stray in all_in(folder):  # hidden files of a desktop are kept; only an empty folder can be replaced
            os.replace(stray, unfinished / stray.name)
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder / "study.toml"


def _write_study(folder: Path, seed: int, world: World) -> None:
    planted = plant(world, seed)
    sizes = {chrom: len(sequence) for chrom, sequence in planted.sequences.items()}
    simulated_files.write_fasta(folder / "genome.fa", planted.sequences, np.random.default_rng([seed, 2]))
    simulated_files.write_gzip(folder / "genes.gtf.gz", gtf_text(planted.genes, planted.exons))
    _write_bed(folder / "blacklist.bed", planted.blacklist[["chrom", "start", "end"]], header=False)
    _write_tracks(folder, planted, world, np.random.default_rng([seed, 3]))
    rng = np.random.default_rng([seed, 4])
    contacts = {chrom: assays.measure_contacts(world, size, rng) for chrom, size in sizes.items()}
    simulated_files.write_contacts(folder / "contacts.mcool", world, sizes, contacts)
    elements = _with_effects(world, planted, contacts)
    parts = assays.measure_expression(world, planted.genes, elements, np.random.default_rng([seed, 5]))
    _write_tables(folder, planted.genes, elements, parts)
    words = {"seed": seed, "world": world, "fragment": world.dnase_fragment, "half": world.dnase_fragment // 2}
    ratio = world.dnase_background / world.control_background
    (folder / "study.toml").write_text(STUDY.format(**words, ratio=ratio), encoding="utf-8")
    (folder / "README.txt").write_text(README.format(**words, **_described(world)), encoding="utf-8")


def _write_tracks(folder: Path, planted: Planted, world: World, rng: np.random.Generator) -> None:
    dnase, h3k27ac, control, dnase_tags = {}, {}, {}, {}
    for chrom, sequence in planted.sequences.items():
        seen = assays.mappability(len(sequence), rng)
        profile = assays.dnase_profile(world, planted, chrom, seen)
        dnase_tags[chrom] = assays.sequence_tags(world, profile, world.dnase_fragment, rng)
        dnase[chrom] = assays.pile_up(world, dnase_tags[chrom], world.dnase_fragment)
        profile = assays.h3k27ac_profile(world, planted, chrom, seen)
        tags = assays.sequence_tags(world, profile, world.h3k27ac_fragment, rng)
        h3k27ac[chrom] = assays.pile_up(world, tags, world.h3k27ac_fragment)
        profile = assays.control_profile(world, planted, chrom, seen)
        control[chrom] = assays.sequence_tags(world, profile, world.dnase_fragment, rng)
    simulated_files.write_signal(folder / "DNase.bigWig", dnase)
    simulated_files.write_signal(folder / "H3K27ac.bigWig", h3k27ac)
    simulated_files.write_reads(folder / "DNase.tags.bed.gz", dnase_tags)
    simulated_files.write_reads(folder / "control.tags.bed.gz", control)


def _with_effects(world: World, planted: Planted, contacts: dict[str, assays.Contacts]) -> pd.DataFrame:
    tss = planted.genes.set_index("gene_id").tss[planted.elements.gene_id].to_numpy()
    elements = planted.elements.assign(contact=assays.contact_with_tss(world, planted.elements, tss, contacts))
    elements["effect"] = elements["size"] * elements.contact
    return elements


def _write_tables(folder: Path, genes: pd.DataFrame, elements: pd.DataFrame, parts: pd.DataFrame) -> None:
    table = genes[["gene_id", "symbol", "chrom", "tss", "strand"]].assign(cage=parts.cage, split=genes.split)
    _write_tsv(folder / "genes.tsv", table)
    truth = folder / "truth"
    truth.mkdir()
    _write_tsv(truth / "genes.tsv", parts.round(6))
    symbols = genes.set_index("gene_id").symbol
    for kind, name in (("causal", "causal"), ("decoy", "decoys"), ("closed", "closed")):
        of_kind = elements[elements.kind == kind]
        number = of_kind.groupby("gene_id").cumcount() + 1
        table = of_kind[["chrom", "start", "end"]].assign(
            name=symbols[of_kind.gene_id].to_numpy() + f"_{kind}_" + number.astype(str),
            score=(of_kind.dnase * 30).round().astype(int),
            strand=".",
            gene=of_kind.gene_id,
            effect=of_kind.effect.round(6),
            strength=of_kind.strength,
            contact=of_kind.contact.round(6),
            grammar=of_kind.grammar.where(of_kind.grammar != "", "none"),
        )
        _write_bed(truth / f"{name}.bed", table)


def _write_bed(path: Path, table: pd.DataFrame, header: bool = True) -> None:
    text = table.to_csv(sep="\t", index=False, header=header, lineterminator="\n")
    path.write_text(f"#{text}" if header else text, encoding="utf-8")


def _write_tsv(path: Path, table: pd.DataFrame) -> None:
    path.write_text(table.to_csv(sep="\t", index=False, lineterminator="\n"), encoding="utf-8")


def _described(world: World) -> dict[str, object]:
    def grammars(pairs: Grammars) -> str:
        return ", ".join(f"{grammar or 'no motif'} {share:.0%}" for grammar, share in pairs)

    return {
        "genes": sum(world.genes),
        "chromosomes": ", ".join(world.chromosomes),
        "depth": world.tags_per_unit,
        "resolution": world.hic_resolution,
        "coarse": 10 * world.hic_resolution,
        "reach": world.hic_reach,
        "weak": world.weak_factor,
        "causal": grammars(world.causal_grammars),
        "decoys": grammars(world.decoy_grammars),
        "motifs": ", ".join(f"{letter} {motif}" for letter, motif in world.motifs),
        "baseline": world.baseline,
    }
