"""A track that a person brings along: BED, narrowPeak or bigWig, told by its content and held against the genome."""

from __future__ import annotations

import gzip
import io
import struct
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pybigtools

from model_core.bed import read_bed, read_narrowpeak
from model_core.errors import InputError, complaint
from model_core.inputs.bigwig import check_whole
from model_core.intervals import listed
from seq2exp_viz.shelf.search import chromosome

MOST_BYTES = 16_000_000  # of a BED or narrowPeak file, packed or not
MOST_ROWS = 50_000
HEAD = 1_000_000  # bytes of a bigWig from which its chromosomes are read
_BINARY = {struct.pack(order + "I", number) for order in "<>" for number in (0x888FFC26, 0x8789F2EB)}
SHOWN = ("name", "score", "strand", "signal_value", "minus_log10_p", "minus_log10_q")


def is_bigwig(head: bytes) -> bool:
    """Whether a file that begins so claims to be a bigWig (or bigBed); its name does not count."""
    return head[:4] in _BINARY


def check_bigwig(head: bytes, tail: bytes, name: str, sizes: Mapping[str, int]) -> dict:
    """What of a bigWig must be known before a browser reads it.

    Args:
        head: its first HEAD bytes, or all. tail: its last four. name: for messages.
        sizes: bp of each chromosome of the genome on the screen.

    Returns:
        kind "bigwig", and notes: sentences for the person.

    Raises:
        InputError: no bigWig, cut off, or of another genome.
    """
    _checked(head[:64].ljust(64, b"\0") + tail[-4:], ".bigWig", name, check_whole)
    try:
        chroms = dict(pybigtools.open(io.BytesIO(head)).chroms())
    except Exception as problem:  # the library raises what its language's errors become
        found, do = f"a damaged header ({str(problem)[:80]})", "copy or make it again"
        raise InputError(complaint(name, found, "a whole bigWig", do)) from None
    known = {name: size for name, size in chroms.items() if name in sizes}  # igv.js reads the file's own spelling
    if not known:
        raise InputError(_other_genome(name, list(chroms), sizes))
    longer = [chrom for chrom, size in known.items() if size != sizes[chrom]]
    notes = [f"Of another length than here: {listed(longer)}. Is it the same assembly?"] if longer else []
    return {"kind": "bigwig", "notes": notes}


def read_intervals(content: bytes, name: str, sizes: Mapping[str, int]) -> dict:
    """The rows of a BED or narrowPeak file as features for igv.js.

    Args:
        content: the whole file, plain or gzipped. name: for messages.

    Returns:
        kind ("bed" or "narrowPeak"), features (chr, start, end and SHOWN where given) and notes: sentences for the
        person, on rows that were left out.

    Raises:
        InputError: too large, no such file, or of another genome.
    """
    plain = _unpacked(content, name)
    try:
        table, kind = _checked(plain, ".narrowPeak", name, read_narrowpeak), "narrowPeak"
    except InputError:
        table, kind = _checked(plain, ".bed", name, read_bed), "bed"
    if table.empty:
        raise InputError(complaint(name, "no row", "a BED, narrowPeak or bigWig file", "check the file"))
    if len(table) > MOST_ROWS:
        found, do = f"{len(table):,} rows", "make a bigWig of it, or keep the rows of some chromosomes"
        raise InputError(complaint(name, found, f"at most {MOST_ROWS:,}", do))
    spelling = {chrom: chromosome(dict(sizes), chrom) for chrom in table["chrom"].unique()}
    here = table["chrom"].map(spelling)
    known = table[here.notna()].assign(chrom=here.dropna())
    if known.empty:
        raise InputError(_other_genome(name, list(spelling), sizes))
    inside = known[known["end"] <= known["chrom"].map(dict(sizes))]
    notes = []
    if len(known) < len(table):
        notes.append(f"{len(table) - len(known):,} rows lie on chromosomes that this genome does not have.")
    if len(inside) < len(known):
        notes.append(f"{len(known) - len(inside):,} rows end behind their chromosome. Is it the same assembly?")
    if inside.empty:
        raise InputError(complaint(name, "no row inside the genome", "rows of this genome", "check the assembly"))
    return {"kind": kind, "features": _features(inside), "notes": notes}


def _features(table: pd.DataFrame) -> list[dict]:
    columns = [column for column in SHOWN if column in table]
    rows = table[["chrom", "start", "end", *columns]].rename(columns={"chrom": "chr"}).to_dict("records")
    return [{key: value for key, value in row.items() if value == value and value not in (".", "")} for row in rows]


def _checked(content: bytes, ending: str, name: str, read):
    """What `read` makes of the bytes as a file; its complaints name the person's file, not ours."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"track{ending}"
        path.write_bytes(content)
        try:
            return read(path)
        except InputError as problem:
            raise InputError(str(problem).replace(str(path), name)) from None


def _unpacked(content: bytes, name: str) -> bytes:
    if content[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(content)) as stream:
                content = stream.read(MOST_BYTES + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            found, do = "a damaged or cut-off gzip", "copy or download it again"
            raise InputError(complaint(name, found, "a whole file", do)) from None
    if len(content) > MOST_BYTES:
        found = f"more than {MOST_BYTES // 1_000_000} MB of text"
        raise InputError(complaint(name, found, "a smaller file", "make a bigWig of it, or keep some chromosomes"))
    if b"\0" in content[:4096]:
        raise InputError(complaint(name, "bytes that are not text", "a BED, narrowPeak or bigWig file", "convert it"))
    return content


def _other_genome(name: str, found: list[str], sizes: Mapping[str, int]) -> str:
    expected = f"those of this genome ({listed(list(sizes))})"
    return complaint(name, f"only chromosomes {listed(found)}", expected, "bring a track of the same assembly")
