"""The public files of a preset at real sizes, with which budgets and seconds are measured. Made once, in minutes.

Sequence and contacts have all chromosomes of hg38; the signals have a random value at each base of chromosome 22, the
worst case. Genes and peaks are those of chromosome 22, put on other chromosomes as well until there are as many as in
the public files.
"""

import gzip
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from dense_bigwig import write_dense
from large_mcool import SIZES, write_large_mcool
from public_world import make_world

GENE, SECOND = "TRIOBP", "LARGE1"  # 4 Mb apart
COPIES = {"annotation": 40, "peaks": 7}  # of chromosome 22: 58,000 genes and 186,000 peaks
LINE, MEGABASE = 60, 1_200_000  # bases of a line of a FASTA, and after which they repeat
STEP = 51_000_000  # bp between two of them on one chromosome
MEGABASES = (0, 50)  # the values of a signal: first, and how many


def make_large_world(data, folder, checkpoint=None, megabases=MEGABASES, pixels=400, copies=COPIES, sizes=SIZES):
    """Write the files and return them by use, as `public_world.make_world` does; Hi-C is an .mcool.

    Parameters
    ----------
    data : Path
        The shared data of K562.
    folder : Path
        For the files; one that is there is taken as it is.
    checkpoint : Path or None
        A model in the authors' format.
    megabases, pixels, copies, sizes
        First megabase of the signals, and how many; pixels of a bin of the contacts; copies of chromosome 22 in
        annotation and peaks; bp by
        chromosome of sequence and contacts.
    """
    made = make_world(data, folder / "chr22", checkpoint)
    signal = _once(
        folder / "dense.bigWig", lambda path: write_dense(path, megabases[1], [("chr22", SIZES["chr22"])], megabases[0])
    )
    return {
        **made,
        "sequence": _once(folder / "hg38.2bit", lambda path: write_random_two_bit(path, sizes)),
        "annotation": _once(
            folder / "genes.gtf.gz", lambda path: _copied(path, made["annotation"], (3, 4), copies["annotation"])
        ),
        "h3k27ac": signal,
        "dnase": signal,
        "hic": _once(folder / "contacts.mcool", lambda path: write_large_mcool(path, pixels, sizes)),
        "peaks": _once(folder / "peaks.bed.gz", lambda path: _copied(path, made["peaks"], (1, 2), copies["peaks"])),
    }


def write_random_two_bit(path: Path, sizes: dict[str, int]) -> None:
    """Write a .2bit of random bases, half of them in runs of lower case, as repeats are."""
    noise = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8).tobytes()
    places, place = b"", 16 + sum(5 + len(name) for name in sizes)
    for name, size in sizes.items():
        places += struct.pack("B", len(name)) + name.encode() + struct.pack("<I", place)
        place += 16 + 8 * (size // 600) + -(-size // 4)
    with path.open("wb") as file:
        file.write(struct.pack("<4I", 0x1A412743, 0, len(sizes), 0) + places)
        for size in sizes.values():
            starts = np.arange(size // 600, dtype="<u4") * 600
            file.write(struct.pack("<3I", size, 0, len(starts)))
            file.write(starts.tobytes() + np.full(len(starts), 300, "<u4").tobytes() + struct.pack("<I", 0))
            left = -(-size // 4)
            while left > 0:
                file.write(noise[:left])
                left -= len(noise)


def write_random_fasta(path: Path, sizes: dict[str, int]) -> None:
    """Write a FASTA of random bases in lines of LINE, which repeat after MEGABASE, and its .fai."""
    bases = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(0).integers(0, 4, MEGABASE)].reshape(-1, LINE)
    lines = np.concatenate([bases, np.full((len(bases), 1), ord("\n"), np.uint8)], axis=1).tobytes()
    with path.open("wb") as file, path.with_name(f"{path.name}.fai").open("w") as index:
        for name, size in sizes.items():
            file.write(f">{name}\n".encode())
            index.write(f"{name}\t{size}\t{file.tell()}\t{LINE}\t{LINE + 1}\n")
            length = size + size // LINE
            for start in range(0, length, len(lines)):
                file.write(lines[: length - start])
            file.write(b"\n" if size % LINE else b"")


def _places() -> Iterator[tuple[str, int]]:
    """Chromosome and shift of each copy of chromosome 22, whose own comes first."""
    yield "chr22", 0
    for shift in range(0, max(SIZES.values()), STEP):
        for chrom, size in SIZES.items():
            if chrom != "chr22" and size >= shift + STEP:
                yield chrom, shift


def _copied(path: Path, source: Path, columns: tuple[int, int], copies: int) -> None:
    """Write the rows of chromosome 22 at `copies` places, each with names of its own."""
    rows = [line.split("\t") for line in gzip.decompress(source.read_bytes()).decode().splitlines()]
    rows = [row for row in rows if row[0] == "chr22"]
    with gzip.open(path, "wt", compresslevel=1) as file:
        for number, (chrom, shift) in zip(range(copies), _places(), strict=False):
            for row in rows:
                row = [chrom, *row[1:]]
                for column in columns:
                    row[column] = str(int(row[column]) + shift)
                if number:
                    row[-1] = row[-1].replace(' "', f' "C{number}.')
                file.write("\t".join(row) + "\n")


def _once(path: Path, write) -> Path:
    if not path.exists():
        unfinished = path.with_name(f"unfinished-{path.name}")
        write(unfinished)
        os.replace(unfinished, path)
    return path
