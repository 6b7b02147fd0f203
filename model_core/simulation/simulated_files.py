"""Writing of a simulated world in the formats of real data; the same world gives the same bytes."""

import gzip
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pysam

from model_core.bigwig_file import writing_bigwig
from model_core.simulation.assays import Contacts, Tags
from model_core.simulation.world import World

_LETTERS = np.frombuffer(b"ACGTN", np.uint8)
_READ_LENGTH = 36


def write_fasta(path: Path, sequences: dict[str, np.ndarray], repeats: dict[str, np.ndarray]) -> None:
    """Write sequences (codes 0-4) in lines of 60, and the index (.fai); bases in `repeats` are in lower case."""
    with path.open("wb") as file:
        for chrom, codes in sequences.items():
            letters = _LETTERS[codes]
            letters[repeats[chrom] & (codes < 4)] |= 0x20  # lower case
            lines = np.full((-(-len(letters) // 60), 61), ord("\n"), np.uint8)
            whole = len(letters) // 60
            lines[:whole, :60] = letters[: whole * 60].reshape(-1, 60)
            file.write(f">{chrom}\n".encode() + lines[:whole].tobytes())
            if whole < len(lines):
                file.write(letters[whole * 60 :].tobytes() + b"\n")
    pysam.faidx(str(path))


def write_signal(path: Path, values: dict[str, np.ndarray]) -> None:
    """Write a bigWig from float32 (size,) per chromosome; bases at 0 are left out, as in coverage tracks."""
    with writing_bigwig(path) as bigwig:
        bigwig.addHeader([(chrom, len(value)) for chrom, value in values.items()])
        for chrom, value in values.items():
            edges = np.concatenate([[0], np.flatnonzero(np.diff(value)) + 1, [len(value)]])
            starts, ends, levels = edges[:-1], edges[1:], value[edges[:-1]]
            kept = levels != 0
            if kept.any():
                chroms = np.full(kept.sum(), chrom)
                bigwig.addEntries(chroms, starts[kept], ends=ends[kept], values=levels[kept].astype(np.float64))


def write_reads(path: Path, tags: dict[str, Tags]) -> None:
    """Write tags as gzipped BED6, sorted by position, reads of 36 bp."""
    tables = []
    for chrom, strands in tags.items():
        forward = np.repeat(np.arange(len(strands.forward)), strands.forward)
        reverse = np.repeat(np.arange(len(strands.reverse)), strands.reverse) - _READ_LENGTH
        starts = np.concatenate([forward, reverse])
        strand = np.repeat(["+", "-"], [len(forward), len(reverse)])
        order = np.lexsort((strand, starts))
        table = {"chrom": chrom, "start": starts[order], "end": starts[order] + _READ_LENGTH, "name": "."}
        tables.append(pd.DataFrame({**table, "score": 0, "strand": strand[order]}))
    text = pd.concat(tables).to_csv(sep="\t", header=False, index=False, lineterminator="\n")
    write_gzip(path, text)


def write_gzip(path: Path, text: str) -> None:
    """Write text gzipped, without a time or name in its header."""
    with path.open("wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0, compresslevel=4) as out:
        out.write(text.encode())


def write_contacts(path: Path, world: World, sizes: dict[str, int], contacts: dict[str, Contacts]) -> None:
    """Write an .mcool at `hic_resolution` and ten times that, with a VC normalisation (divisive) in each."""
    import cooler  # an optional dependency, needed only here

    base = world.hic_resolution
    bins = pd.concat([_bins(chrom, size, base) for chrom, size in sizes.items()], ignore_index=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # cooler's own use of pandas
        single = str(Path(folder) / "contacts.cool")
        pixels = pd.concat(_pixels(contacts), ignore_index=True)
        cooler.create_cooler(single, bins, pixels, assembly="sim1", ordered=True, metadata={"simulated": True})
        cooler.zoomify_cooler(single, str(path), [base, 10 * base], chunksize=10_000_000)
        for resolution in (base, 10 * base):
            _add_vanilla_coverage(cooler.Cooler(f"{path}::/resolutions/{resolution}"))


def _bins(chrom: str, size: int, width: int) -> pd.DataFrame:
    starts = np.arange(0, size, width)
    return pd.DataFrame({"chrom": chrom, "start": starts, "end": np.minimum(starts + width, size)})


def _pixels(contacts: dict[str, Contacts]) -> Iterator[pd.DataFrame]:
    first = 0
    for measured in contacts.values():
        row, apart = np.nonzero(measured.counts)
        count = measured.counts[row, apart]
        yield pd.DataFrame({"bin1_id": first + row, "bin2_id": first + row + apart, "count": count})
        first += len(measured.counts)


def _add_vanilla_coverage(matrix: Any) -> None:
    """Store VC vectors: row sums, scaled per chromosome so that normalised and raw contacts have the same sum."""
    pixels, bins = matrix.pixels()[:], matrix.bins()[:]
    one, two, count = (pixels[name].to_numpy() for name in ("bin1_id", "bin2_id", "count"))
    off_diagonal = one != two
    coverage = np.bincount(one, count, len(bins)) + np.bincount(two[off_diagonal], count[off_diagonal], len(bins))
    weights = np.full(len(bins), np.nan)
    for chrom in matrix.chromnames:
        here = (bins.chrom == chrom).to_numpy() & (coverage > 0)
        mine = here[one]
        normalised = count[mine] / coverage[one[mine]] / coverage[two[mine]]
        weights[here] = coverage[here] * np.sqrt(normalised.sum() / count[mine].sum())
    with matrix.open("r+") as group:
        group["bins"].create_dataset("VC", data=weights)
