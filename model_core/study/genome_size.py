"""The number of bases that reads can come from, for the background of peaks (`macs3 callpeak -g`)."""

from __future__ import annotations

import re

from model_core.errors import InputError
from model_core.remote.address import RemotePath
from model_core.study.check_assembly import holds_assembly
from model_core.study.genome import Genome
from model_core.study.two_bit import is_two_bit

_NAMED = {  # macs3's name of a genome's size, by assembly
    **dict.fromkeys(("hg38", "hg19", "GRCh38", "GRCh37"), "hs"),
    **dict.fromkeys(("mm39", "mm10", "mm9", "GRCm39", "GRCm38"), "mm"),
    **dict.fromkeys(("ce11", "ce10"), "ce"),
    **dict.fromkeys(("dm6", "dm3"), "dm"),
}
# Sequences that repeat a part of the chromosomes, or are no part of the genome.
_COPIES = re.compile(r"_(alt|fix|hap\d*|decoy)$|^HLA-|^CHR_H|^(chr)?EBV$", re.IGNORECASE)


def size_for_macs3(genome: Genome, assembly: str) -> tuple[str, str]:
    """Return macs3's -g for reads on a genome, and a sentence on where it comes from.

    macs3's own number where the FASTA holds all chromosomes of an assembly that it names. Else the known bases (A, C,
    G, T) of the FASTA's sequences, without alternative contigs, patches, decoys and HLA alleles; of a FASTA at an
    address, which would have to be read whole, all bases.

    Parameters
    ----------
    genome : Genome
        The study's FASTA.
    assembly : str
        Name of its assembly, such as "hg38".

    Returns
    -------
    value : str
        A name ("hs", "mm", "ce", "dm") or a number of bp.
    rule : str
        The sentence.

    Raises
    ------
    InputError
        The genome cannot be read, or has no known base.
    """
    sizes, file = genome.sizes, genome.path.name
    if assembly in _NAMED and holds_assembly(assembly, sizes):
        name = _NAMED[assembly]
        return name, f"-g {name}: macs3's own number, as {file} holds all chromosomes of {assembly}."
    chroms = [chrom for chrom in sizes if not _COPIES.search(chrom)] or list(sizes)
    without = f", without {len(sizes) - len(chroms):,} alternative sequences" if len(chroms) < len(sizes) else ""
    of = f"of the {len(chroms):,} sequence{'s' if len(chroms) > 1 else ''} of {file}{without}"
    whole = sum(sizes[chrom] for chrom in chroms)
    if isinstance(genome.path, RemotePath) and not is_two_bit(genome.path):
        return str(whole), f"-g {whole}: all bases {of}, N among them, as a FASTA at an address is not read whole."
    known = sum(genome.known_bases(chrom) for chrom in chroms)
    if not known:
        raise InputError(genome.path, found="no base but N", expected="A, C, G and T", fix="use another FASTA")
    return str(known), f"-g {known}: the known bases {of}; {whole - known:,} are N."
