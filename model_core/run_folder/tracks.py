"""Files for genome browsers: bigWig, BED, narrowPeak and GFF3 written whole, the same each time; bigWig summaries read.

pyBigWig writes (numpy blocks, small files) what fits in memory, pybigtools the rest; pybigtools reads summaries
(0.3 ms where pyBigWig's stats take 120).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import pybigtools
import pyBigWig
import pysam

from model_core.bed import NARROWPEAK_COLUMNS
from model_core.errors import InputError
from model_core.files import fsync, replacing
from model_core.intervals import runs, sort
from model_core.run_folder.elements import PROMOTER_CLASS

LONGEST_FOR_TBI = 2**29  # bp of a chromosome that a .tbi index can address; beyond it .csi
GFF3_SOURCE = "seq2exp-viz"
GFF3_TYPES = {PROMOTER_CLASS: "promoter"}  # by class, terms of the Sequence Ontology: SO:0000167
GFF3_TYPE = "regulatory_region"  # of all other classes: SO:0005836
_NOT_IN_SEQID = re.compile(r"[^a-zA-Z0-9.:^*$@!+_?|-]")
_NOT_IN_ATTRIBUTE = re.compile(r"[\x00-\x1f\x7f%;=&,]")
MOST_VALUES = 2**26  # of a track by default, and the most whose zoom levels are made in memory (0.9 GB)


class Block(NamedTuple):
    """A part of a track: values[i] stands for the `span` bases from start + i * span on; NaN = no value."""

    chrom: str
    start: int
    span: int
    values: np.ndarray


def write_bigwig(
    path: str | Path,
    sizes: Mapping[str, int],
    blocks: Iterable[Block],
    decimals: int | None = None,
    values: float | None = None,
) -> None:
    """Write a bigWig with zoom levels (browsers show none without). The same blocks give the same bytes.

    Memory: one block, and until the file is closed about 14 bytes a value for the zoom levels. A file of more than
    MOST_VALUES `values` is streamed: that takes 20 MB whatever its size, about as long, and 1.6 times the disk, and its
    header names only the chromosomes that have values.

    Parameters
    ----------
    path : str or Path
        Taken over atomically.
    sizes : Mapping[str, int]
        bp of each chromosome.
    blocks : Iterable[Block]
        By chromosome (sorted by name), left to right, without overlaps.
    decimals : int or None
        Round values first; repeated values are then stored once.
    values : float or None
        How many there are at the most, where that is known.

    Raises
    ------
    InputError
        No value at all.
    ValueError
        Blocks out of order or off their chromosome.
    """
    write = _streamed if values is not None and values > MOST_VALUES else _with_zooms_in_memory
    with replacing(path) as temporary:
        if not write(temporary, dict(sorted((chrom, int(size)) for chrom, size in sizes.items())), blocks, decimals):
            raise InputError(
                path, found="no value to write", expected="at least one base with a value", fix="score genes first"
            )


def _without_gaps(sizes: Mapping[str, int], blocks: Iterable[Block], decimals: int | None) -> Iterator[Block]:
    """The values of `blocks`, rounded, as Blocks without gaps; ValueError where one is out of place."""
    last = ("", 0)
    for block in blocks:
        if (block.chrom, block.start) < last or not 0 <= block.start < sizes[block.chrom]:
            raise ValueError(f"block at {block.chrom}:{block.start} after {last[0]}:{last[1]}, or off its chromosome")
        values = np.asarray(block.values, np.float32)
        values = values if decimals is None else np.round(values, decimals)
        for first, end in zip(*runs(~np.isnan(values)), strict=True):
            stop, size = block.start + int(end) * block.span, sizes[block.chrom]
            if stop > size + block.span - 1:
                raise ValueError(f"values up to {block.chrom}:{stop}; the chromosome ends at {size}")
            yield Block(block.chrom, block.start + int(first) * block.span, block.span, values[first:end])
        last = (block.chrom, block.start + len(values) * block.span)


def _with_zooms_in_memory(path: Path, sizes: Mapping[str, int], blocks: Iterable[Block], decimals: int | None) -> bool:
    """Write by pyBigWig; whether there was any value."""
    bigwig, written = pyBigWig.open(str(path), "w"), False
    bigwig.addHeader(list(sizes.items()))
    try:
        for part in _without_gaps(sizes, blocks, decimals):
            _add(bigwig, part, sizes[part.chrom])
            written = True
    finally:
        bigwig.close()
    return written


def _add(bigwig, part: Block, size: int) -> None:
    """Add values without gaps: as steps of one width, or as intervals where equal neighbours make that smaller."""
    chrom, start, span, values = part
    starts, ends, kept = _intervals(part, size)
    if start + len(values) * span <= size and (len(starts) + 1) * 3 > len(values):  # an interval: 12 bytes, a step: 4
        bigwig.addEntries(chrom, start, values=values, span=span, step=span)
        return
    names = np.full(len(starts), chrom).tolist()
    bigwig.addEntries(names, starts.tolist(), ends=ends.tolist(), values=kept.tolist())


def _intervals(part: Block, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, end, value) of the runs of equal values in a part; the last one ends with the chromosome."""
    values = part.values
    edges = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1], [True])))
    places = part.start + edges * part.span
    return places[:-1], np.minimum(places[1:], size), values[edges[:-1]]


def _streamed(path: Path, sizes: Mapping[str, int], blocks: Iterable[Block], decimals: int | None) -> bool:
    """Write by pybigtools, which keeps zoom levels in temporary files; whether there was any value."""
    covered, failed = 0, []

    def entries() -> Iterator[tuple[str, int, int, float]]:
        nonlocal covered
        try:
            for part in _without_gaps(sizes, blocks, decimals):
                starts, ends, values = _intervals(part, sizes[part.chrom])
                covered += int(ends[-1] - starts[0])
                yield from zip(repeat(part.chrom), starts.tolist(), ends.tolist(), values.tolist(), strict=False)
        except BaseException as error:  # pybigtools would print it and go on
            failed.append(error)

    target = path.with_name(f"{path.name}.bigWig")  # its writer goes by the ending
    try:
        pybigtools.open(str(target), "w").write(dict(sizes), entries())
        if failed:
            raise failed[0]
        if not covered:
            return False
        try:
            with pybigtools.open(str(target)) as written:
                found = written.info()["summary"]["basesCovered"]
        except pybigtools.BBIReadError:
            found = 0
        if found != covered:  # a full disk, which its writer reports on standard error alone
            raise OSError(f"{path}: {found:,} of {covered:,} bases came to the disk")
        os.replace(target, path)
    finally:
        target.unlink(missing_ok=True)
    return True


def summary(path: str | Path, chrom: str, start: int, end: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """(mean, highest value) of a bigWig in `bins` equal bins of chrom:start-end: float32 (bins,) each; for drawing.

    From the zoom levels, whose intervals are at most half a bin; one on a bin's edge may count on either side. Bins
    without values, off the chromosome or on a chromosome that the file lacks are NaN; bases without a value do not
    count in a mean.

    Raises
    ------
    InputError
        No such file, no bigWig, or a cut-off one.
    """
    try:
        # Through a file object, for pybigtools refuses paths that end in anything but .bw or .bigWig.
        with Path(path).open("rb") as file, pybigtools.open(file) as bigwig:
            if not bigwig.is_bigwig:
                raise ValueError("a bigBed")
            if chrom not in bigwig.chroms():
                return np.full(bins, np.nan, np.float32), np.full(bins, np.nan, np.float32)
            mean, highest = (
                bigwig.values(chrom, start, end, bins=bins, summary=kind, fillna=None) for kind in ("mean", "max")
            )
    except (ValueError, OSError, pybigtools.BBIReadError) as error:
        advice = "check the path, or copy the file again"
        raise InputError(path, found=f"nothing readable ({error})", expected="a bigWig file", fix=advice) from None
    return mean.astype(np.float32), highest.astype(np.float32)


def write_bed(
    path: str | Path, tables: Iterable[pd.DataFrame], comments: Sequence[str] = (), bgzip: bool = False
) -> None:
    """Write tables one below the other: lines with ##, a line with # and the column names, rows; atomically.

    Parameters
    ----------
    path : str or Path
        With `bgzip` best ends in .gz; a tabix index (.tbi, or .csi for chromosomes beyond 512 Mb) goes beside it.
    tables : Iterable[DataFrame]
        At least one; the same columns, chrom, start, end first; sorted by chrom, start, end across all tables. Floats
        are written with 4 decimals.
    """
    with replacing(path) as temporary:
        longest = 0
        with temporary.open("w", encoding="utf-8", newline="") as lines:
            lines.writelines(f"##{comment}\n" for comment in comments)
            for number, table in enumerate(tables):
                if number == 0:
                    lines.write("#" + "\t".join(table.columns) + "\n")
                _write_rows(lines, table)
                longest = max(longest, table["end"].max() if len(table) else 0)
        if bgzip:
            _compress(temporary, Path(path), longest)


def write_narrowpeak(path: str | Path, table: pd.DataFrame, bgzip: bool = False) -> None:
    """Write NARROWPEAK_COLUMNS as narrowPeak, sorted, without a header; scores are clamped to 0 ... 1000.

    A score above 1000, as MACS writes, breaks browsers that hold to the format.
    """
    score = np.clip(np.rint(table["score"].fillna(0)), 0, 1000).astype(np.int64)
    table = sort(table.assign(score=score)[list(NARROWPEAK_COLUMNS)])
    with replacing(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as lines:
            _write_rows(lines, table, "%.6g")
        if bgzip:
            _compress(temporary, Path(path), table["end"].max() if len(table) else 0)


def write_gff3(
    path: str | Path,
    table: pd.DataFrame,
    sizes: Mapping[str, int],
    comments: Sequence[str] = (),
    bgzip: bool = False,
) -> None:
    """Write elements as GFF3, one feature each: 1-based, end included, sorted; atomically.

    The score is mean_mask; ID is gene_id:name, which no other element has, and Name is symbol:name. Characters are
    percent-encoded where the specification (GFF3 1.26, Sequence Ontology) asks for it, and no others.

    Parameters
    ----------
    path : str or Path
        As of `write_bed`.
    table : DataFrame
        `elements.ELEMENT_COLUMNS`, 0-based half-open.
    sizes : Mapping[str, int]
        bp of each chromosome; those with an element get a line ##sequence-region.
    comments : Sequence[str]
        Lines with one #, below these; two would be a directive.
    """
    table = sort(table)
    columns = ("chrom", "start", "end", "name", "strand", "gene_id", "symbol", "class", "mean_mask")
    rows = zip(*(table[column] for column in columns), strict=True)
    seqids = {chrom: _encoded(chrom, _NOT_IN_SEQID) for chrom in table["chrom"].unique()}
    with replacing(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as lines:
            lines.write("##gff-version 3\n")
            lines.writelines(f"##sequence-region {seqid} 1 {sizes[chrom]}\n" for chrom, seqid in seqids.items())
            lines.writelines(f"#{comment}\n" for comment in comments)
            lines.writelines(_gff3_line(seqids[chrom], *rest) for chrom, *rest in rows)
        if bgzip:
            _compress(temporary, Path(path), table["end"].max() if len(table) else 0, "gff")


def _gff3_line(
    seqid: str, start: int, end: int, name: str, strand: str, gene_id: str, symbol: str, kind: str, mean_mask: float
) -> str:
    notes = {
        "ID": f"{gene_id}:{name}",
        "Name": f"{symbol}:{name}",
        "gene_id": gene_id,
        "class": kind,
        "mean_mask": f"{mean_mask:.4f}",
    }
    attributes = ";".join(f"{key}={_encoded(text, _NOT_IN_ATTRIBUTE)}" for key, text in notes.items())
    place = (seqid, GFF3_SOURCE, GFF3_TYPES.get(kind, GFF3_TYPE), str(start + 1), str(end))
    return "\t".join((*place, notes["mean_mask"], strand, ".", attributes)) + "\n"


def _encoded(text: str, reserved: re.Pattern) -> str:
    """The text with %XX for each byte of the letters that are reserved."""
    return reserved.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)


def _write_rows(lines, table: pd.DataFrame, floats: str = "%.4f") -> None:
    table.to_csv(lines, sep="\t", header=False, index=False, float_format=floats, quoting=3, lineterminator="\n")


def _compress(temporary: Path, path: Path, longest: int, preset: Literal["bed", "gff"] = "bed") -> None:
    """bgzip a temporary file in its place and put its index, by tabix's `preset`, beside the final path."""
    suffix, other = (".csi", ".tbi") if longest > LONGEST_FOR_TBI else (".tbi", ".csi")
    with replacing(temporary) as compressed:
        pysam.tabix_compress(str(temporary), str(compressed), force=True)
    with replacing(path.with_name(path.name + suffix)) as index:
        csi = suffix == ".csi"
        pysam.tabix_index(str(temporary), preset=preset, force=True, index=str(index), csi=csi, keep_original=True)
        path.with_name(path.name + other).unlink(missing_ok=True)
    fsync(path.parent)
