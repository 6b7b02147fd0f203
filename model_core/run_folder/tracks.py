"""Files for genome browsers: reproducible bigWig, BED, narrowPeak, GFF3 and BEDPE files, and summaries of bigWigs.

pyBigWig writes the files whose zoom levels fit in memory (numpy blocks, small files), pybigtools the larger ones;
pybigtools reads summaries (0.3 ms, compared with 120 ms for pyBigWig's stats).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TextIO

import numpy as np
import pandas as pd
import pybigtools
import pysam

from model_core.bed import NARROWPEAK_COLUMNS
from model_core.bigwig_file import writing_bigwig
from model_core.bins import bin_means
from model_core.errors import InputError
from model_core.files import fsync, naming, replacing
from model_core.intervals import runs, sort
from model_core.remote.address import InputPath, RemotePath, input_path
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.mask_store import GeneMask
from model_core.signals.bigwig import bigwig_errors, check_whole

LONGEST_FOR_TBI = 2**29  # bp of a chromosome that a .tbi index can address; beyond it .csi
GFF3_SOURCE = "seq2exp-viz"
GFF3_TYPES = {PROMOTER_CLASS: "promoter"}  # by class, terms of the Sequence Ontology: SO:0000167
GFF3_TYPE = "regulatory_region"  # of all other classes: SO:0005836
BEDPE_COLUMNS = ("chrom1", "start1", "end1", "chrom2", "start2", "end2", "name", "score", "strand1", "strand2")
_EFFECT_NOTES = ("effect", "effect_sd", "recurrence", "direction", "contact", "element_gene_score")  # of GFF3
_NOT_IN_SEQID = re.compile(r"[^a-zA-Z0-9.:^*$@!+_?|-]")
_NOT_IN_ATTRIBUTE = re.compile(r"[\x00-\x1f\x7f%;=&,]")
MOST_VALUES = 2**26  # of a track by default, and the most whose zoom levels are made in memory (0.9 GB)


class Block(NamedTuple):
    """Part of a track.

    Attributes
    ----------
    chrom : str
        Chromosome.
    start : int
        First base, 0-based.
    span : int
        bp per value.
    values : ndarray
        float (n,): values[i] is the value of the `span` bases from start + i * span on; NaN for no value.
    """

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
    """Write a bigWig with zoom levels, which browsers need to show it. The same blocks give the same bytes.

    Memory: one block, and until the file is closed its bytes and about 14 per value for the zoom levels. A file of more
    than MOST_VALUES `values` is streamed: this takes 20 MB of memory whatever its size, about the same time and 1.6
    times the disk space, and the header names only the chromosomes that have values.

    Parameters
    ----------
    path : str or Path
        The file, replaced atomically.
    sizes : Mapping[str, int]
        Length in bp of each chromosome.
    blocks : Iterable[Block]
        By chromosome (sorted by name), left to right, without overlaps.
    decimals : int or None
        Decimals to which values are rounded first, so that repeated values are stored once; None for no rounding.
    values : float or None
        Highest possible number of values, where it is known.

    Raises
    ------
    InputError
        No base has a value.
    ValueError
        Blocks out of order or beyond their chromosome.
    """
    write = _streamed if values is not None and values > MOST_VALUES else _with_zooms_in_memory
    with replacing(path) as temporary:
        if not write(temporary, dict(sorted((chrom, int(size)) for chrom, size in sizes.items())), blocks, decimals):
            raise InputError(
                path, found="no value to write", expected="at least one base with a value", fix="score genes first"
            )


def _without_gaps(sizes: Mapping[str, int], blocks: Iterable[Block], decimals: int | None) -> Iterator[Block]:
    """Yield the values of `blocks`, rounded, as Blocks without gaps; ValueError where one is out of place."""
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
    """Write with pyBigWig; return whether there was any value."""
    written = False
    with writing_bigwig(path) as bigwig:
        bigwig.addHeader(list(sizes.items()))
        for part in _without_gaps(sizes, blocks, decimals):
            _add(bigwig, part, sizes[part.chrom])
            written = True
    return written


def _add(bigwig: Any, part: Block, size: int) -> None:
    """Add values without gaps: as steps of one width, or as intervals where equal neighbours make that smaller."""
    chrom, start, span, values = part
    starts, ends, kept = _intervals(part, size)
    if start + len(values) * span <= size and (len(starts) + 1) * 3 > len(values):  # an interval: 12 bytes, a step: 4
        bigwig.addEntries(chrom, start, values=values, span=span, step=span)
        return
    names = np.full(len(starts), chrom).tolist()
    bigwig.addEntries(names, starts.tolist(), ends=ends.tolist(), values=kept.tolist())


def _intervals(part: Block, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (starts, ends, values) of the runs of equal values in a part, the last one cut at the chromosome's end."""
    values = part.values
    edges = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1], [True])))
    places = part.start + edges * part.span
    return places[:-1], np.minimum(places[1:], size), values[edges[:-1]]


def _streamed(path: Path, sizes: Mapping[str, int], blocks: Iterable[Block], decimals: int | None) -> bool:
    """Write with pybigtools, which keeps zoom levels in temporary files; return whether there was any value."""
    covered, begun, failed = 0, False, list[BaseException]()

    def entries() -> Iterator[tuple[str, int, int, float]]:
        nonlocal covered, begun
        begun = True
        try:
            for part in _without_gaps(sizes, blocks, decimals):
                starts, ends, values = _intervals(part, sizes[part.chrom])
                covered += int(ends[-1] - starts[0])
                yield from zip(repeat(part.chrom), starts.tolist(), ends.tolist(), values.tolist(), strict=False)
        except BaseException as error:  # pybigtools would print it and continue
            failed.append(error)

    target = path.with_name(f"{path.name}.bigWig")  # its writer decides by the ending
    try:
        with naming(path, target):
            try:
                pybigtools.open(str(target), "w").write(dict(sizes), entries())
            except BaseException as error:  # a panic of Rust is no Exception, and has no name to import
                if type(error).__name__ != "PanicException":
                    raise
                raise RuntimeError(f"the bigWig was not written ({error})") from None
            if not begun:
                raise RuntimeError("the bigWig was not begun")
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
            raise OSError(errno.ENOSPC, f"{found:,} of {covered:,} bases were written to the disk", str(path))
        os.replace(target, path)
    finally:
        target.unlink(missing_ok=True)
    return True


def summary(path: str | InputPath, chrom: str, start: int, end: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Summarise a bigWig in equal bins of chrom:start-end, for drawing.

    Values are read from the zoom levels, whose intervals are at most half a bin; one on a bin's edge may count on
    either side.

    Parameters
    ----------
    path : str, Path or RemotePath
        The bigWig.
    chrom : str
        Chromosome.
    start, end : int
        Bounds, 0-based half-open.
    bins : int
        Number of bins.

    Returns
    -------
    mean, highest : ndarray
        float32 (bins,). Bins without values, beyond the chromosome or on a chromosome that the file lacks are NaN;
        bases without a value do not count in a mean.

    Raises
    ------
    InputError
        The file is missing, no bigWig, truncated or damaged.
    """
    path = input_path(path)
    # Through a file object, for pybigtools refuses paths that end in anything but .bw or .bigWig.
    trouble = f"nothing readable at {chrom}:{start + 1:,}-{end:,}"
    with bigwig_errors(path, trouble), _bytes_of(path) as file, pybigtools.open(file) as bigwig:
        if chrom not in bigwig.chroms():
            return np.full(bins, np.nan, np.float32), np.full(bins, np.nan, np.float32)
        mean, highest = (
            bigwig.values(chrom, start, end, bins=bins, summary=kind, fillna=None) for kind in ("mean", "max")
        )
    return mean.astype(np.float32), highest.astype(np.float32)


def _bytes_of(path: InputPath) -> IO[bytes]:
    """Open a bigWig, on this disk or by ranges, whose layout is checked."""
    if isinstance(path, RemotePath):
        from model_core.remote.remote_file import remote_file  # needs requests

        return remote_file(path).as_file()
    check_whole(path)
    return path.open("rb")


def write_bed(
    path: str | Path, tables: Iterable[pd.DataFrame], comments: Sequence[str] = (), bgzip: bool = False
) -> None:
    """Write a BED file atomically: comment lines (##), a line with # and the column names, and the rows of all tables.

    Parameters
    ----------
    path : str or Path
        The file; with `bgzip` its name should end in .gz.
    tables : Iterable[DataFrame]
        At least one; the same columns, chrom, start, end first; sorted by chrom, start, end across all tables. Floats
        are written with 4 decimals.
    comments : Sequence[str]
        Text of the comment lines.
    bgzip : bool
        Whether to compress with bgzip and write a tabix index next to the file (.tbi, or .csi for chromosomes beyond
        512 Mb).
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
    """Write a narrowPeak file, sorted, without a header; scores are clamped to 0 to 1000.

    A score above 1000, as MACS writes, breaks browsers that follow the format strictly.

    Parameters
    ----------
    path : str or Path
        The file; with `bgzip` its name should end in .gz.
    table : DataFrame
        NARROWPEAK_COLUMNS.
    bgzip : bool
        As in `write_bed`.
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
        `elements.ELEMENT_COLUMNS`, 0-based half-open; what is known of effects, contact, direction and
        element_gene_score become attributes.
    sizes : Mapping[str, int]
        bp of each chromosome; those with an element get a line ##sequence-region.
    comments : Sequence[str]
        Lines with one #, below these; two would be a directive.
    """
    table = sort(table)
    columns = ("chrom", "start", "end", "name", "strand", "gene_id", "symbol", "class", "mean_mask")
    further = [_effect_notes(row) for row in table.reindex(columns=list(_EFFECT_NOTES)).to_dict("records")]
    rows = zip(*(table[column] for column in columns), further, strict=True)
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
    seqid: str,
    start: int,
    end: int,
    name: str,
    strand: str,
    gene_id: str,
    symbol: str,
    kind: str,
    mean_mask: float,
    further: Mapping[str, str],
) -> str:
    notes = {
        "ID": f"{gene_id}:{name}",
        "Name": f"{symbol}:{name}",
        "gene_id": gene_id,
        "class": kind,
        "mean_mask": f"{mean_mask:.4f}",
        **further,
    }
    attributes = ";".join(f"{key}={_encoded(text, _NOT_IN_ATTRIBUTE)}" for key, text in notes.items())
    place = (seqid, GFF3_SOURCE, GFF3_TYPES.get(kind, GFF3_TYPE), str(start + 1), str(end))
    return "\t".join((*place, notes["mean_mask"], strand, ".", attributes)) + "\n"


def _effect_notes(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes of an element's effect that are known."""
    known = {name: value for name, value in row.items() if value == value and value not in (None, "")}
    return {name: value if isinstance(value, str) else f"{value:.6g}" for name, value in known.items()}


def write_bedpe(path: str | Path, table: pd.DataFrame, comments: Sequence[str] = (), bgzip: bool = False) -> None:
    """Write pairs of places as BEDPE with a header line, sorted by the first place; atomically.

    Parameters
    ----------
    path : str or Path
        As of `write_bed`; a tabix index is that of the first place.
    table : DataFrame
        BEDPE_COLUMNS and any others; numbers that are not known are written as ".", floats with six digits.
    comments : Sequence[str]
        Lines with ##, above the header line.
    """
    table = table.sort_values(["chrom1", "start1", "end1", "name"], kind="stable")
    with replacing(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as lines:
            lines.writelines(f"##{comment}\n" for comment in comments)
            lines.write("#" + "\t".join(table.columns) + "\n")
            _write_rows(lines, table, "%.6g", ".")
        if bgzip:
            _compress(temporary, Path(path), table["end1"].max() if len(table) else 0)


def _encoded(text: str, reserved: re.Pattern) -> str:
    """Return the text with %XX for each byte of the reserved characters."""
    return reserved.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)


def _write_rows(lines: TextIO, table: pd.DataFrame, floats: str = "%.4f", unknown: str = "") -> None:
    settings: dict[str, Any] = {"float_format": floats, "na_rep": unknown, "quoting": 3, "lineterminator": "\n"}
    table.to_csv(lines, sep="\t", header=False, index=False, **settings)


def _compress(temporary: Path, path: Path, longest: int, preset: Literal["bed", "gff"] = "bed") -> None:
    """Compress a temporary file in place with bgzip and write its index next to the final path."""
    suffix, other = (".csi", ".tbi") if longest > LONGEST_FOR_TBI else (".tbi", ".csi")
    with replacing(temporary) as compressed:
        pysam.tabix_compress(str(temporary), str(compressed), force=True)
    with replacing(path.with_name(path.name + suffix)) as index:
        csi = suffix == ".csi"
        pysam.tabix_index(str(temporary), preset=preset, force=True, index=str(index), csi=csi, keep_original=True)
        path.with_name(path.name + other).unlink(missing_ok=True)
    fsync(path.parent)


def merged_by_max(masks: Iterable[GeneMask], size: int, resolution: int) -> Iterator[Block]:
    """Yield the highest mask at each base of a chromosome, averaged over `resolution` bp, in Blocks from left to right.

    Only the bases that a later window may still change are kept in memory.

    Parameters
    ----------
    masks : Iterable[GeneMask]
        Masks on one chromosome, by start of their windows.
    size : int
        Length of the chromosome in bp.
    resolution : int
        bp per bin; bins begin at multiples of it. Bases in no window do not count; a bin without others is NaN.

    Raises
    ------
    ValueError
        The masks are not sorted.
    """
    chrom, origin, held = "", 0, np.empty(0, np.float32)  # held[i]: the highest mask so far at origin + i
    for mask in masks:
        chrom, start, end = mask.chrom, max(mask.start, 0), min(mask.end, size)
        if start >= end:
            continue  # none of the window is on the chromosome
        final = start // resolution * resolution - origin  # bases of `held` that no later window reaches
        if final < 0:
            raise ValueError(f"window at {chrom}:{start} after one that starts further right")
        if len(held) and final:
            yield Block(chrom, origin, resolution, _averaged(held[:final], resolution))
        held, origin = held[final:], origin + final
        if end - origin > len(held):
            held = np.concatenate([held, np.full(end - origin - len(held), np.nan, np.float32)])
        part = held[start - origin : end - origin]
        np.fmax(part, mask.per_base(start, end), out=part)
    if len(held):
        yield Block(chrom, origin, resolution, _averaged(held, resolution))


def _averaged(values: np.ndarray, resolution: int) -> np.ndarray:
    """Return means over each `resolution` values, the last run perhaps shorter; NaN does not count: float32."""
    return values if resolution == 1 else bin_means(values, resolution, ~np.isnan(values)).astype(np.float32)
