"""A track that a person brings along: its format found by its content, its rows held against the genome shown."""

from __future__ import annotations

import gzip
import io
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd
import pybigtools

from model_core.bed import read_bed, read_bedgraph, read_lines, read_narrowpeak
from model_core.contig_names import ContigNames
from model_core.errors import InputError
from model_core.intervals import listed
from model_core.signals.bigwig import check_whole
from model_core.track_formats import FORMATS, GZIP, INTERVALS, PEAKS, TO_TEXT, UNTOLD, format_of_head
from seq2exp_viz.runs.text_tracks import (
    block_features,
    genepred_features,
    gff_features,
    pair_features,
    variant_features,
    wig_features,
)

MOST_BYTES = 16_000_000  # of a text file, packed or not
MOST_ROWS = 50_000
MOST_VALUES = 200_000  # rows of a bedGraph, blocks of equal value of a wig
HEAD = 1_000_000  # bytes of a bigWig from which its chromosomes are read, of a large file from which its format is read
SHOWN = ("name", "score", "strand", "signal_value", "minus_log10_p", "minus_log10_q")
EXPECTED = (
    "BED, narrowPeak, broadPeak, gappedPeak, bedGraph, wig, BEDPE, interact, GTF, GFF, genePred, VCF, bigWig or bigBed"
)
_VALUES, _PAIRS = ("bedGraph", "wig"), ("bedpe", "interact", "longrange")
_READ = (*INTERVALS, *_VALUES, *_PAIRS, "GTF", "GFF3", "GFF", "genePred", "VCF")
_DO = {  # what to do with a file that the page does not draw
    **TO_TEXT,
    **dict.fromkeys(("BAM", "SAM", "CRAM"), "make a bigWig of its coverage, for instance with bamCoverage"),
    "BCF": "convert it with bcftools view -O v",
    **dict.fromkeys(
        ("hic", "HDF5"), "name it under [[signals]] of a study, which shows the contact to each start site"
    ),
    "TDF": "make a bigWig of it",
    **dict.fromkeys(("FASTA", "2bit"), "name it as the genome of a study"),
}


def is_binary_index(head: bytes) -> bool:
    """Whether a file that begins so claims to be a bigWig or bigBed, of which the browser reads parts by itself."""
    return not head.startswith(GZIP) and format_of_head(head[:64]) in ("bigWig", "bigBed")


def check_bigwig(head: bytes, tail: bytes, name: str, sizes: Mapping[str, int]) -> dict:
    """What of a bigWig or bigBed must be known before a browser reads it.

    Parameters
    ----------
    head : bytes
        Its first HEAD bytes, or all.
    tail : bytes
        Its last four.
    name : str
        For messages.
    sizes : Mapping[str, int]
        bp of each chromosome of the genome on the screen.

    Returns
    -------
    dict
        Kind "bigwig", "bigbed" or "biginteract"; aliases: the genome's chromosome -> the file's, where they differ; and
        notes: sentences for the person.

    Raises
    ------
    InputError
        Neither, cut off, or of another genome.
    """
    kind = format_of_head(head[:64])
    if kind == "bigBed":
        if tail[-4:] != head[:4]:
            found, do = "no end mark", "it is cut off: copy or make it again"
            raise InputError(name, found=found, expected="a whole bigBed", fix=do)
    else:
        _checked(head[:64].ljust(64, b"\0") + tail[-4:], name, check_whole)
    try:
        file = pybigtools.open(io.BytesIO(head))
        chroms = dict(file.chroms())
        table = str(file.sql()) if kind == "bigBed" else ""
    except Exception as problem:  # the library raises what its language's errors become
        found, do = f"a damaged header ({str(problem)[:80]})", "copy or make it again"
        raise InputError(name, found=found, expected=f"a whole {kind}", fix=do) from None
    find = ContigNames(chroms).alias
    spelling = {known: find(known) for known in sizes}
    known = {chrom: own for chrom, own in spelling.items() if own is not None}
    if not known:
        raise _other_genome(name, list(chroms), sizes)
    longer = [chrom for chrom, own in known.items() if chroms[own] != sizes[chrom]]
    differs = kind == "bigWig" and longer  # a bigBed may state its chromosomes' lengths only as far as it has rows
    notes = [f"Of another length than here: {listed(longer)}. Is it the same assembly?"] if differs else []
    shown = "biginteract" if "interact" in table.split("(")[0].lower() else kind.lower()
    return {"kind": shown, "aliases": {chrom: own for chrom, own in known.items() if own != chrom}, "notes": notes}


def read_track(content: bytes, name: str, sizes: Mapping[str, int], size: int | None = None) -> dict:
    """A text file as features for igv.js, its format found by its content.

    Parameters
    ----------
    content : bytes
        The whole file, plain or gzipped; or its first HEAD bytes, where it is larger than MOST_BYTES.
    name : str
        For messages, and for what the content leaves open.
    sizes : Mapping[str, int]
        bp of each chromosome of the genome on the screen.
    size : int or None
        Bytes of the whole file; None: content is all.

    Returns
    -------
    dict
        Kind: a key of `track_formats.FORMATS`; show: "annotation", "wig" or "interact", the track of igv.js; features
        (chr, start, end; for pairs chr1 ... end2; with SHOWN, value, exons where given) in the genome's spelling of
        chromosomes; notes: sentences for the person, on rows that were left out.

    Raises
    ------
    InputError
        A format that is not drawn, too large, damaged, or of another genome.
    """
    kind = format_of_head(content, name)
    if kind not in (*_READ, *UNTOLD):
        raise InputError(name, found=FORMATS[kind], expected=EXPECTED, fix=_DO.get(kind, "check the file"))
    plain = _unpacked(content, name, kind, size)
    features, show = _features(plain, name, kind)
    if not features:
        raise InputError(name, found="no row", expected=EXPECTED, fix="check the file")
    most = MOST_VALUES if show == "wig" else MOST_ROWS
    if len(features) > most:
        do = "make a bigWig of it, or keep the rows of some chromosomes"
        raise InputError(name, found=f"{len(features):,} rows", expected=f"at most {most:,}", fix=do)
    inside, notes = _on_genome(features, name, sizes)
    named = kind == "BED" and all(set(row) == {"chr", "start", "end", "name"} for row in inside)
    if named and all(row["name"].isdecimal() for row in inside):
        notes.append("Column 4 was read as names: name the file .bedGraph if it holds values.")
    return {"kind": kind, "show": show, "features": inside, "notes": notes}


def _features(content: bytes, name: str, kind: str) -> tuple[list[dict], str]:
    """All rows of a file as features, sorted as igv.js wants them, and the kind of track that shows them."""

    def through(read: Callable[..., Iterator[dict]], *more: str) -> list[dict]:
        def numbered(path: Path) -> list[dict]:
            try:
                return list(read(read_lines(path), *more))
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
    return [{key: value for key, value in row.items() if value == value and value not in (".", "")} for row in rows]


def _on_genome(features: list[dict], name: str, sizes: Mapping[str, int]) -> tuple[list[dict], list[str]]:
    """The features that lie on the genome, in its spelling of chromosomes, and what is to be said of the others."""
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
        notes.append(f"{len(known) - len(inside):,} rows end behind their chromosome. Is it the same assembly?")
    if not inside:
        raise InputError(
            name, found="no row inside the genome", expected="rows of this genome", fix="check the assembly"
        )
    return inside, notes


def _span(row: dict) -> dict:
    """Where an arc lies: igv.js 3.8 works it out by itself, 3.1.4 does not. Of two chromosomes the first counts."""
    both = ("1", "2") if row["chr1"] == row["chr2"] else ("1",)
    start, end = min(row[f"start{n}"] for n in both), max(row[f"end{n}"] for n in both)
    return {"chr": row["chr1"], "start": start, "end": end}


def _checked(content: bytes, name: str, read: Callable):
    """What `read` makes of the bytes as a file; its complaints name the person's file, not ours."""
    with tempfile.TemporaryDirectory() as scratch:
        # Of the name only the ending counts, and only where it is one of ours: a message names it alike.
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
            found, do = "a damaged or cut-off gzip", "copy or download it again"
            raise InputError(name, found=found, expected="a whole file", fix=do) from None
    if max(len(content), size or 0) > MOST_BYTES:
        prefix = f"{FORMATS[kind]} of " if kind not in UNTOLD else ""
        found = f"{prefix}more than {MOST_BYTES // 1_000_000} MB of text"
        do = "make a bigWig or bigBed of it, or keep some chromosomes"
        raise InputError(name, found=found, expected="a smaller file", fix=do)
    return content


def _other_genome(name: str, found: list[str], sizes: Mapping[str, int]) -> InputError:
    expected = f"those of this genome ({listed(list(sizes))})"
    return InputError(
        name, found=f"only chromosomes {listed(found)}", expected=expected, fix="bring a track of the same assembly"
    )
