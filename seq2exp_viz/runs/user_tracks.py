"""A track of the user: its format is found by its content, its rows are compared with the genome on the screen."""

from __future__ import annotations

import gzip
import io
import math
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pandas as pd

from model_core.bed import read_bed, read_bedgraph, read_lines, read_narrowpeak
from model_core.contig_names import ContigNames
from model_core.errors import InputError
from model_core.input_file import GZIP
from model_core.intervals import listed
from model_core.signals.bigwig_layout import Damage, Read, read_auto_sql, read_chromosomes, read_header, reader_of
from model_core.track_formats import FORMATS, INTERVALS, PEAKS, TO_TEXT, UNTOLD, format_of_head
from seq2exp_viz.runs.text_tracks import (
    block_features,
    genepred_features,
    gff_features,
    pair_features,
    variant_features,
    wig_features,
)

T = TypeVar("T")
MOST_BYTES = 16_000_000  # of a text file, compressed or not
MOST_ROWS = 50_000
MOST_VALUES = 200_000  # rows of a bedGraph, intervals of equal value of a wig
# Lines of text, where they are not rows: exons of transcripts, and values of which equal neighbours are joined.
_MOST_LINES = {"bedGraph": MOST_VALUES, "wig": 4_000_000, **dict.fromkeys(("GTF", "GFF3", "GFF"), MOST_VALUES)}
HEAD = 1_000_000  # bytes of a bigWig from which its chromosomes are read, of a large file from which its format is read
SHOWN = ("name", "score", "strand", "signal_value", "minus_log10_p", "minus_log10_q")
EXPECTED = (
    "BED, narrowPeak, broadPeak, gappedPeak, bedGraph, wig, BEDPE, interact, GTF, GFF, genePred, VCF, bigWig or bigBed"
)
_VALUES, _PAIRS = ("bedGraph", "wig"), ("bedpe", "interact", "longrange")
_READ = (*INTERVALS, *_VALUES, *_PAIRS, "GTF", "GFF3", "GFF", "genePred", "VCF")
_DO = {  # what to do with a file that the page does not draw
    **TO_TEXT,
    **dict.fromkeys(("BAM", "SAM", "CRAM"), "convert its coverage to a bigWig, for instance with bamCoverage"),
    "BCF": "convert it with bcftools view -O v",
    **dict.fromkeys(("hic", "HDF5"), "add it to [[signals]] of a study, which shows its contact with each start site"),
    "TDF": "convert it to a bigWig",
    **dict.fromkeys(("FASTA", "2bit"), "use it as the genome of a study"),
}


def is_binary_index(head: bytes) -> bool:
    """Return whether a file that begins with `head` is a bigWig or bigBed, of which the browser reads byte ranges."""
    return not head.startswith(GZIP) and format_of_head(head[:64]) in ("bigWig", "bigBed")


def check_bigwig(head: bytes, tail: bytes, name: str, sizes: Mapping[str, int], size: int | None = None) -> dict:
    """Check a bigWig or bigBed before the browser reads it. No library reads it here (`bigwig_layout`).

    Parameters
    ----------
    head : bytes
        Its first HEAD bytes, or all.
    tail : bytes
        Its last four bytes.
    name : str
        Name of the file, for messages.
    sizes : Mapping[str, int]
        bp of each chromosome of the genome on the screen.
    size : int or None
        Bytes of the complete file; None where `head` is complete.

    Returns
    -------
    dict
        kind: "bigwig", "bigbed" or "biginteract"; aliases: the file's name of each chromosome of the genome, where they
        differ; notes: sentences for the user.

    Raises
    ------
    InputError
        The file is neither, truncated, damaged, or of another genome.
    """
    complete = len(head) if size is None else size

    def read(offset: int, length: int) -> bytes:
        if offset + length > complete:
            raise Damage(f"bytes {offset:,} to {offset + length:,} of a file of {complete:,}")
        if offset + length > len(head):
            do = "open it from a folder on the server (serve --allow), or make it with bedGraphToBigWig or pyBigWig"
            found = f"its chromosomes listed at byte {offset:,}"
            raise InputError(name, found=found, expected=f"them in the first {len(head):,} bytes", fix=do)
        return head[offset : offset + length]

    return _check_bigwig(read, complete, tail, name, sizes)


def check_bigwig_file(path: Path, sizes: Mapping[str, int]) -> dict:
    """Check a bigWig or bigBed on the server's disk as `check_bigwig` does, wherever in it its chromosomes are."""
    with path.open("rb") as file:
        read, size = reader_of(file)
        file.seek(-4, os.SEEK_END)
        return _check_bigwig(read, size, file.read(), path.name, sizes)


def _check_bigwig(read: Read, size: int, tail: bytes, name: str, sizes: Mapping[str, int]) -> dict:
    kind = "bigWig or bigBed"
    do = "copy or create it again"
    try:
        header = read_header(read, size)
        kind = header.kind
        if tail[-4:] != read(0, 4):
            raise InputError(name, found="a truncated file (no end mark)", expected=f"a complete {kind}", fix=do)
        chroms = read_chromosomes(read, header)
        table = read_auto_sql(read, header) if kind == "bigBed" else ""
    except Damage as damage:
        raise InputError(name, found=f"a damaged header ({damage})", expected=f"a complete {kind}", fix=do) from None
    find = ContigNames(chroms).alias
    spelling = {known: find(known) for known in sizes}
    known = {chrom: own for chrom, own in spelling.items() if own is not None}
    if not known:
        raise _other_genome(name, list(chroms), sizes)
    longer = [chrom for chrom, own in known.items() if chroms[own] != sizes[chrom]]
    differs = kind == "bigWig" and longer  # a bigBed may state lengths that end with its last row
    notes = [f"The lengths of {listed(longer)} differ from this genome. Is it the same assembly?"] if differs else []
    shown = "biginteract" if "interact" in table.split("(")[0].lower() else kind.lower()
    return {"kind": shown, "aliases": {chrom: own for chrom, own in known.items() if own != chrom}, "notes": notes}


def read_track(content: bytes, name: str, sizes: Mapping[str, int], size: int | None = None) -> dict:
    """Read a text file as features for igv.js; its format is found by its content.

    Parameters
    ----------
    content : bytes
        The complete file, plain or gzipped; or its first HEAD bytes, where it is larger than MOST_BYTES.
    name : str
        Name of the file, for messages and for formats that the content leaves open.
    sizes : Mapping[str, int]
        bp of each chromosome of the genome on the screen.
    size : int or None
        Size of the complete file in bytes; None where `content` is complete.

    Returns
    -------
    dict
        kind: a key of `track_formats.FORMATS`; show: "annotation", "wig" or "interact", the type of track in igv.js;
        features (chr, start, end; for pairs chr1 ... end2; with SHOWN, value, exons where given), chromosomes spelt as
        in the genome; notes: sentences for the user on rows that were left out.

    Raises
    ------
    InputError
        The file has a format that is not drawn, or is too large, damaged, or of another genome.
    """
    kind = format_of_head(content, name)
    if kind not in (*_READ, *UNTOLD):
        raise InputError(name, found=FORMATS[kind], expected=EXPECTED, fix=_DO.get(kind, "check the file"))
    plain = _unpacked(content, name, kind, size)
    lines, most_lines = _data_lines(plain), _MOST_LINES.get(kind, MOST_ROWS)
    if lines > most_lines:  # before any of them is parsed: a row takes a thousand bytes of memory
        raise _too_many(name, lines, "lines" if kind in ("wig", "GTF", "GFF3", "GFF") else "rows", most_lines)
    features, show = _features(plain, name, kind)
    if not features:
        raise InputError(name, found="no row", expected=EXPECTED, fix="check the file")
    most = MOST_VALUES if show == "wig" else MOST_ROWS
    if len(features) > most:
        raise _too_many(name, len(features), "rows or more" if show == "wig" else "rows", most)
    inside, notes = _on_genome(features, name, sizes)
    named = kind == "BED" and all(set(row) == {"chr", "start", "end", "name"} for row in inside)
    if named and all(row["name"].isdecimal() for row in inside):
        notes.append("Column 4 was read as names. If it contains values, rename the file to end in .bedGraph.")
    return {"kind": kind, "show": show, "features": inside, "notes": notes}


def _data_lines(content: bytes) -> int:
    """Return the number of lines that are neither empty nor comments."""
    return sum(not line.isspace() and not line.startswith((b"#", b"track", b"browser")) for line in io.BytesIO(content))


def _too_many(name: str, count: int, what: str, most: int) -> InputError:
    do = "convert it to a bigWig or bigBed, or keep the rows of some chromosomes"
    return InputError(name, found=f"{count:,} {what}", expected=f"at most {most:,}", fix=do)


def _features(content: bytes, name: str, kind: str) -> tuple[list[dict], str]:
    """Return all rows of a file as features, sorted as igv.js requires, and the type of track that shows them."""

    def through(read: Callable[..., Iterator[dict]], *more: str) -> list[dict]:
        def numbered(path: Path) -> list[dict]:
            try:
                return list(islice(read(read_lines(path), *more), MOST_VALUES + 1))
            except InputError as problem:
                raise (
                    problem.at(f"{path} {problem.where}") if str(problem.where).startswith("line ") else problem
                ) from None

        return _checked(content, name, numbered)

    if kind in _PAIRS:
        return sorted(through(pair_features, kind), key=lambda row: (row["chr1"], row["start1"])), "interact"
    show = "wig" if kind in _VALUES else "annotation"
    if kind == "wig":
        rows = through(wig_features)
    elif kind == "bedGraph":
        rows = _records(_checked(content, name, read_bedgraph), ("value",))
    elif kind == "genePred":
        rows = through(genepred_features)
    elif kind == "VCF":
        rows = through(variant_features)
    elif kind in ("GTF", "GFF3", "GFF"):
        rows = through(gff_features, kind)
    else:
        rows = _interval_features(content, name, kind)
    return sorted(rows, key=lambda row: (row["chr"], row["start"])), show


def _interval_features(content: bytes, name: str, kind: str) -> list[dict]:
    read = read_narrowpeak if kind in PEAKS else read_bed
    table = _checked(content, name, lambda path: read(path, sort=False))
    rows = _records(table, [column for column in SHOWN if column in table])
    if kind in ("BED12", "gappedPeak"):
        blocks = _checked(content, name, lambda path: read_bed(path, sort=False))
        rows = [{**row, **drawn} for row, drawn in zip(rows, block_features(blocks), strict=True)]
    return rows


def _records(table: pd.DataFrame, columns: list[str] | tuple[str, ...]) -> list[dict]:
    rows = table[["chrom", "start", "end", *columns]].rename(columns={"chrom": "chr"}).to_dict("records")
    return [{key: value for key, value in row.items() if _stated(value)} for row in rows]


def _stated(value: object) -> bool:
    """Return whether a cell holds something that JSON can hold: no dot, and no NaN or infinity."""
    return math.isfinite(value) if isinstance(value, float) else value not in (".", "")


def _on_genome(features: list[dict], name: str, sizes: Mapping[str, int]) -> tuple[list[dict], list[str]]:
    """Return the features that lie on the genome, chromosomes spelt as in it, and notes about the others."""
    ends = [("chr1", "end1"), ("chr2", "end2")] if "chr1" in features[0] else [("chr", "end")]
    find = ContigNames(sizes).alias
    spelling = {chrom: find(chrom) for chrom in {row[key] for row in features for key, _ in ends}}
    known = [
        {**row, **{key: spelling[row[key]] for key, _ in ends}}
        for row in features
        if all(spelling[row[key]] is not None for key, _ in ends)
    ]
    if not known:
        raise _other_genome(name, sorted(spelling), sizes)
    inside = [row for row in known if all(row[end] <= sizes[row[key]] for key, end in ends)]
    if len(ends) == 2:
        inside = [{**row, **_span(row)} for row in inside]
    notes = []
    if len(known) < len(features):
        notes.append(f"{len(features) - len(known):,} rows lie on chromosomes that this genome does not have.")
    if len(inside) < len(known):
        notes.append(f"{len(known) - len(inside):,} rows end beyond their chromosome. Is it the same assembly?")
    if not inside:
        raise InputError(
            name, found="no row inside the genome", expected="rows on this genome", fix="check the assembly"
        )
    return inside, notes


def _span(row: dict) -> dict:
    """Return the region of an arc, of its first chromosome where it has two; igv.js 3.1.4 does not compute it."""
    both = ("1", "2") if row["chr1"] == row["chr2"] else ("1",)
    start, end = min(row[f"start{n}"] for n in both), max(row[f"end{n}"] for n in both)
    return {"chr": row["chr1"], "start": start, "end": end}


def _checked(content: bytes, name: str, read: Callable[[Path], T]) -> T:
    """Read bytes with `read` as a file; errors name the user's file, not the temporary one."""
    with tempfile.TemporaryDirectory() as scratch:
        # Only a known extension of the name is kept; messages contain the name itself.
        path = Path(scratch) / f"track{_ending(name)}"
        path.write_bytes(content)
        try:
            return read(path)
        except InputError as problem:
            raise problem.at(str(problem.where).replace(str(path), name)) from None


def _ending(name: str) -> str:
    bare = name.lower().removesuffix(".gz")
    return next((ending for ending in (".bed", ".bedgraph", ".bdg") if bare.endswith(ending)), ".txt")


def _unpacked(content: bytes, name: str, kind: str, size: int | None) -> bytes:
    if content[:2] == GZIP and (size is None or size <= MOST_BYTES):
        try:
            with gzip.open(io.BytesIO(content)) as stream:
                content = stream.read(MOST_BYTES + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            found, do = "a damaged or truncated gzip file", "copy or download it again"
            raise InputError(name, found=found, expected="a complete file", fix=do) from None
    if max(len(content), size or 0) > MOST_BYTES:
        prefix = f"{FORMATS[kind]} of " if kind not in UNTOLD else ""
        found = f"{prefix}more than {MOST_BYTES // 1_000_000} MB of text"
        do = "convert it to a bigWig or bigBed, or keep some chromosomes"
        raise InputError(name, found=found, expected="a smaller file", fix=do)
    return content


def _other_genome(name: str, found: list[str], sizes: Mapping[str, int]) -> InputError:
    expected = f"those of this genome ({listed(list(sizes))})"
    return InputError(
        name, found=f"only chromosomes {listed(found)}", expected=expected, fix="use a track of the same assembly"
    )
