"""Simulated studies in the formats of real data, with the planted truth."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.files import naming
from model_core.listing import all_in, is_empty
from model_core.motifs.weight_matrix import meme_text
from model_core.simulation import assays, simulated_files
from model_core.simulation.planting import Planted, chance_sites, plant
from model_core.simulation.transcripts import gtf_text
from model_core.simulation.world import HARDER, Grammars, World

__all__ = ["HARDER", "World", "simulate_study"]

OTHER_CELL = "cell-2"  # folder of the second cell type, and study.toml in it
KINDS = {"causal": "causal", "decoy": "decoys", "closed": "closed", "insulator": "insulators"}  # -> file of the truth

STUDY = """\
# SIMULATED DATA. Nothing in this study was measured; see README.txt.
schema = 1
name = "simulated-{seed}{cell}"
assembly = "sim1"
simulated = true

[genome]
fasta = "{up}genome.fa"
annotation = "{up}genes.gtf.gz"
blacklist = "{up}blacklist.bed"

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
path = "{up}contacts.mcool"
prior = {{ b = 1.0, w = 0.2 }}
resolution = {world.hic_resolution}
normalisation = "VC"
pseudocount = 0.0

[peaks]
name = "MACS3"
reads = ["DNase.tags.bed.gz"]
control = ["{up}control.tags.bed.gz"]
# --ratio: background of the DNase reads over that of the control. Open elements are so dense in this genome that
# the ratio of the totals, which MACS3 would take, is several times too high and would hide true peaks.
options = [
    "--nomodel", "--shift", "-{half}", "--extsize", "{fragment}", "--keep-dup", "all",
    "--ratio", "{ratio:g}", "-q", "0.001",
]

[truth]
causal = "truth/causal.bed"
decoys = "truth/decoys.bed"
closed = "truth/closed.bed"

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
genome.fa             genes, promoters and motif grammars in a background with the frequencies of human sequence
                      (order 5), CpG islands, and repeats (lower case)
genes.gtf.gz          one transcript per gene, with ATG, stop codon, GT-AG introns and UTRs
genes.tsv             gene table; cage = the simulated count, split = train, validation or test
DNase.bigWig          pile-up of DNase.tags.bed.gz ({fragment} bp around each 5' end) divided by {depth:g}
H3K27ac.bigWig        pile-up of simulated H3K27ac tags, divided by {depth:g}
DNase.tags.bed.gz     the DNase reads, for peak calling; control.tags.bed.gz: reads of a control without enrichment
contacts.mcool        Hi-C at {resolution} and {coarse} bp, normalisation VC, only up to {reach} bp from the diagonal
blacklist.bed         regions with artefact signal, and a few without
truth/causal.bed      elements that raise expression, a line for each gene that they raise by {least:g} or more; a
                      share of all open elements ("weak") has {weak:.0%} of the others' signal
truth/decoys.bed      elements with the same heights of signal and no effect on any gene
truth/closed.bed      the causal motif grammar without signal and without effect
truth/insulators.bed  open places that reduce the contact across them
truth/pairs.tsv       the planted effect of every element on every gene in reach
truth/genes.tsv       the parts of each gene's expression: promoter, features, elements, noise
truth/motifs.meme     the motifs' weight matrices; truth/motif_sites.bed: every site that was written
{cells}
Causal grammars (motif letters: share): {causal}. Decoys: {decoys}. Motifs (IUPAC consensus): {motifs}.
Outside elements and promoters a causal grammar stands by chance at {chance:.1f} places per megabase.
effect (log10(CAGE + 1)) = size x true contact between element and start site. It does not depend on the signals.
expression = {baseline} + promoter + features + sum of effects + noise, all on the scale of log10(CAGE + 1).
"""

CELLS = """\
cell-2/               the same genome in a second cell type, in which {changed:.0%} of the elements have opened
                      or closed: cell-2/study.toml with its own signals, expression and truth
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
    simulated_files.write_fasta(folder / "genome.fa", planted.sequences, planted.repeats)
    simulated_files.write_gzip(folder / "genes.gtf.gz", gtf_text(planted.genes, planted.exons))
    _write_bed(folder / "blacklist.bed", planted.blacklist[["chrom", "start", "end"]], header=False)
    rng = np.random.default_rng([seed, 3])
    seen = {chrom: assays.mappability(size, rng) for chrom, size in sizes.items()}
    control = {}
    for chrom, mappable in seen.items():
        profile = assays.control_profile(world, planted, chrom, mappable)
        control[chrom] = assays.sequence_tags(world, profile, world.dnase_fragment, rng)
    simulated_files.write_reads(folder / "control.tags.bed.gz", control)
    rng = np.random.default_rng([seed, 4])
    insulators = planted.elements[planted.elements.kind == "insulator"]
    contacts = {}
    for chrom, size in sizes.items():
        places = ((insulators.start + insulators.end) // 2)[insulators.chrom == chrom].to_numpy()
        contacts[chrom] = assays.measure_contacts(world, size, places, rng)
    simulated_files.write_contacts(folder / "contacts.mcool", world, sizes, contacts)
    _write_cell(folder, seed, world, planted, seen, contacts)
    if planted.other_cell is not None:
        (folder / OTHER_CELL).mkdir()
        other = planted._replace(elements=planted.other_cell)
        _write_cell(folder / OTHER_CELL, seed, world, other, seen, contacts)
    _write_motifs(folder / "truth", world, planted)
    text = README.format(seed=seed, **_described(world, planted))
    (folder / "README.txt").write_text(text, encoding="utf-8")


def _write_cell(
    folder: Path,
    seed: int,
    world: World,
    planted: Planted,
    seen: dict[str, np.ndarray],
    contacts: dict[str, assays.Contacts],
) -> None:
    """Write what differs between cell types: signals, expression, truth and study.toml."""
    second = folder.name == OTHER_CELL
    _write_tracks(folder, planted, world, seen, np.random.default_rng([seed, 6 if second else 5]))
    effects = assays.effects_in_reach(world, planted.elements, planted.genes, contacts)
    rng = np.random.default_rng([seed, 8 if second else 7])
    parts = assays.measure_expression(world, planted.genes, effects, rng)
    _write_tables(folder, world, planted, effects, parts)
    words = {"seed": seed, "world": world, "fragment": world.dnase_fragment, "half": world.dnase_fragment // 2}
    words |= {"cell": f"-{OTHER_CELL}" if second else "", "up": "../" if second else ""}
    ratio = world.dnase_background / world.control_background
    (folder / "study.toml").write_text(STUDY.format(**words, ratio=ratio), encoding="utf-8")


def _write_tracks(
    folder: Path, planted: Planted, world: World, seen: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    dnase, h3k27ac, dnase_tags = {}, {}, {}
    for chrom, mappable in seen.items():
        profile = assays.dnase_profile(world, planted, chrom, mappable)
        dnase_tags[chrom] = assays.sequence_tags(world, profile, world.dnase_fragment, rng)
        dnase[chrom] = assays.pile_up(world, dnase_tags[chrom], world.dnase_fragment)
        profile = assays.h3k27ac_profile(world, planted, chrom, mappable)
        tags = assays.sequence_tags(world, profile, world.h3k27ac_fragment, rng)
        h3k27ac[chrom] = assays.pile_up(world, tags, world.h3k27ac_fragment)
    simulated_files.write_signal(folder / "DNase.bigWig", dnase)
    simulated_files.write_signal(folder / "H3K27ac.bigWig", h3k27ac)
    simulated_files.write_reads(folder / "DNase.tags.bed.gz", dnase_tags)


def _write_tables(folder: Path, world: World, planted: Planted, effects: pd.DataFrame, parts: pd.DataFrame) -> None:
    genes, truth = planted.genes, folder / "truth"
    table = genes[["gene_id", "symbol", "chrom", "tss", "strand"]].assign(cage=parts.cage, split=genes.split)
    _write_tsv(folder / "genes.tsv", table)
    truth.mkdir()
    _write_tsv(truth / "genes.tsv", parts.round(6))
    _write_tsv(truth / "pairs.tsv", effects.round(6))
    home = planted.elements[["name", "gene_id"]].rename(columns={"name": "element", "gene_id": "gene"})
    for kind, name in KINDS.items():
        of_kind = effects[effects.kind == kind]
        # A causal element has a line for each gene that it raises, another the one of the gene that it was placed with.
        chosen = of_kind[of_kind.effect >= world.least_effect] if kind == "causal" else of_kind.merge(home)
        _write_bed(truth / f"{name}.bed", _bed_rows(chosen, planted.elements))


def _bed_rows(pairs: pd.DataFrame, elements: pd.DataFrame) -> pd.DataFrame:
    of = elements.set_index("name").loc[pairs.element].reset_index(drop=True)
    pairs = pairs.reset_index(drop=True)
    return pairs[["chrom", "start", "end"]].assign(
        name=pairs.element,
        score=(of.dnase * 30).round().astype(int),
        strand=".",
        gene=pairs.gene,
        effect=pairs.effect.round(6),
        strength=of.strength,
        contact=pairs.contact.round(6),
        grammar=of.grammar.where(of.grammar != "", "none"),
    )


def _write_motifs(truth: Path, world: World, planted: Planted) -> None:
    known = np.concatenate([bases[bases < 4] for bases in planted.sequences.values()])
    shares = np.bincount(known, minlength=4) / len(known)
    text = meme_text([world.motif(letter) for letter, _ in world.motifs], shares)
    (truth / "motifs.meme").write_text(text, encoding="utf-8")
    sites = planted.sites.assign(score=0)[["chrom", "start", "end", "letter", "score", "strand", "element"]]
    _write_bed(truth / "motif_sites.bed", sites.rename(columns={"letter": "name"}))


def _write_bed(path: Path, table: pd.DataFrame, header: bool = True) -> None:
    text = table.to_csv(sep="\t", index=False, header=header, lineterminator="\n")
    path.write_text(f"#{text}" if header else text, encoding="utf-8")


def _write_tsv(path: Path, table: pd.DataFrame) -> None:
    path.write_text(table.to_csv(sep="\t", index=False, lineterminator="\n"), encoding="utf-8")


def _described(world: World, planted: Planted) -> dict[str, Any]:
    def grammars(pairs: Grammars) -> str:
        return ", ".join(f"{grammar or 'no motif'} {share:.0%}" for grammar, share in pairs)

    places, megabases = chance_sites(world, planted)
    return {
        "genes": sum(world.genes),
        "chromosomes": ", ".join(world.chromosomes),
        "fragment": world.dnase_fragment,
        "depth": world.tags_per_unit,
        "resolution": world.hic_resolution,
        "coarse": 10 * world.hic_resolution,
        "reach": world.hic_reach,
        "weak": world.weak_factor,
        "least": world.least_effect,
        "cells": CELLS.format(changed=world.changed) if world.changed else "",
        "causal": grammars(world.causal_grammars),
        "decoys": grammars(world.decoy_grammars),
        "motifs": ", ".join(f"{letter} {motif}" for letter, motif in world.motifs),
        "chance": places / megabases,
        "baseline": world.baseline,
    }
