"""Readers of tracks in text formats, as features of igv.js: annotation, variants, values, and pairs of regions.

Every function takes the numbered lines of a file (`model_core.bed.read_lines`) and yields dicts with chr, start, end
(0-based half-open), chromosomes spelt as in the file. A line that cannot be read raises an InputError with its number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import pandas as pd

from model_core.errors import InputError
from model_core.track_formats import fields_of, is_genepred

Lines = Iterable[tuple[int, str]]
Feature = dict[str, Any]
# A key of a GTF begins where no letter of a key stands before: the time then grows with a line, not with its square.
_NOTE = re.compile(r'(?<![\w.:-])([\w.:-]+)\s+(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))\s*(?:;|$)')
_PLACE = re.compile(r"([^\s:,]+):([0-9]+)-([0-9]+),(\S+)")  # the other end of a longrange row
_CODING = ("CDS", "start_codon", "stop_codon")
_PARTS = ("exon", *_CODING, "UTR", "five_prime_UTR", "three_prime_UTR", "5UTR", "3UTR", "intron", "Selenocysteine")
_NAMES = ("gene_name", "Name", "gene", "gene_symbol", "ID", "transcript_id", "gene_id")
_WIG = {"chrom", "start", "step", "span"}


def wig_features(lines: Lines) -> Iterator[Feature]:
    """Yield chr, start, end and value of a wig: fixedStep and variableStep blocks (1-based), and bedGraph rows.

    Adjacent intervals of equal value are joined.
    """
    held: Feature | None = None
    for feature in _wig_rows(lines):
        same = held is not None and all(held[key] == feature[key] for key in ("chr", "value"))
        if held is not None and same and held["end"] == feature["start"]:
            held["end"] = feature["end"]
            continue
        if held is not None:
            yield held
        held = feature
    if held is not None:
        yield held


def _wig_rows(lines: Lines) -> Iterator[Feature]:
    block: dict[str, Any] | None = None
    for number, fields in _rows(lines):
        if fields[0] in ("fixedStep", "variableStep"):
            block = _wig_block(number, fields)
        elif len(fields) == 4:
            start, end = (_whole(number, text) for text in fields[1:3])
            yield _ordered(number, {"chr": fields[0], "start": start, "end": end, "value": _value(number, fields[3])})
        elif block is None:
            raise _wrong(number, repr(" ".join(fields)[:40]), "a line with fixedStep or variableStep before the values")
        elif block["fixed"] and len(fields) == 1:
            start, block["start"] = block["start"], block["start"] + block["step"]
            place = {"chr": block["chrom"], "start": start, "end": start + block["span"]}
            yield {**place, "value": _value(number, fields[0])}
        elif not block["fixed"] and len(fields) == 2:
            start = _whole(number, fields[0], least=1) - 1
            place = {"chr": block["chrom"], "start": start, "end": start + block["span"]}
            yield {**place, "value": _value(number, fields[1])}
        else:
            expected = "one value" if block["fixed"] else "a position and a value"
            raise _wrong(number, f"{len(fields)} columns", expected)


def _wig_block(number: int, fields: Sequence[str]) -> dict[str, Any]:
    parts = (field.partition("=") for field in fields[1:])
    given = {key: value for key, _, value in parts}
    fixed = fields[0] == "fixedStep"
    if not given.get("chrom") or (fixed and "start" not in given) or set(given) - _WIG:
        raise _wrong(
            number,
            repr(" ".join(fields)[:80]),
            f"{fields[0]} chrom=... {'start=... step=...' if fixed else ''}".strip(),
        )
    span = _whole(number, given.get("span", "1"), least=1)
    block: dict[str, Any] = {"fixed": fixed, "chrom": given["chrom"], "span": span}
    if fixed:
        block["start"] = _whole(number, given["start"], least=1) - 1
        block["step"] = _whole(number, given.get("step", "1"), least=1)
    return block


def pair_features(lines: Lines, kind: str) -> Iterator[Feature]:
    """Yield one arc of igv.js per row: chr1, start1, end1, chr2, start2, end2, and name, score, value where given.

    Parameters
    ----------
    lines : Iterable[tuple[int, str]]
        Numbered lines of the file.
    kind : str
        "bedpe", "interact" (UCSC's 18 columns, or 17 of them) or "longrange" (region and value in column 4). Rows
        without a second region (-1 in a BEDPE) are left out.
    """
    for number, row in _rows(lines):
        if kind == "longrange":
            yield _longrange(number, row)
            continue
        at = (0, 3, 6) if kind == "bedpe" else (8, 13, 3)
        if len(row) < at[1] + 3:
            raise _wrong(number, f"{len(row)} columns", f"at least {at[1] + 3}, separated by tabs")
        if kind == "bedpe" and not row[1].lstrip("-").isdecimal():
            continue  # the header line
        if "-1" in (*row[at[0] + 1 : at[0] + 3], *row[at[1] + 1 : at[1] + 3]):
            continue
        feature = _ends(number, row[at[0] : at[0] + 3], row[at[1] : at[1] + 3])
        for key, place in (("name", at[2]), ("score", at[2] + 1), ("value", at[2] + 2 if kind == "interact" else None)):
            if place is not None and len(row) > place and row[place] not in ("", "."):
                feature[key] = row[place] if key == "name" else _number(row[place])
        yield {key: value for key, value in feature.items() if value is not None}


def _longrange(number: int, row: Sequence[str]) -> Feature:
    found = _PLACE.fullmatch(row[3]) if len(row) > 3 else None
    if found is None:
        raise _wrong(number, repr(" ".join(row)[:80]), "chrom, start, end and chrom:start-end,value")
    value = _number(found[4])
    return {**_ends(number, row[:3], found.groups()[:3]), **({} if value is None else {"value": value, "score": value})}


def _ends(number: int, first: Sequence[str], second: Sequence[str]) -> Feature:
    feature: Feature = {}
    for end, (chrom, start, stop) in (("1", first), ("2", second)):
        place = _ordered(number, {"start": _whole(number, start), "end": _whole(number, stop)})
        feature |= {f"chr{end}": chrom, f"start{end}": place["start"], f"end{end}": place["end"]}
    return feature


def variant_features(lines: Lines) -> Iterator[Feature]:
    """Yield the variants of a VCF: chr, start, end (of REF, or INFO's END), name, ref, alt, quality and filter."""
    for number, row in _rows(lines):
        if len(row) < 5:
            raise _wrong(number, f"{len(row)} columns", "at least 5: CHROM, POS, ID, REF, ALT")
        start = _whole(number, row[1]) - 1
        end = re.search(r"(?:^|;)END=([0-9]+)", row[7]) if len(row) > 7 else None
        stop = int(end[1]) if end else start + max(len(row[3]), 1)
        change = f"{row[3]}>{row[4]}"
        name = row[2] if row[2] not in ("", ".") else change if len(change) < 30 else f"{change[:27]}..."
        feature: Feature = {"chr": row[0], "start": max(start, 0), "end": max(stop, start + 1), "name": name}
        feature |= {"ref": row[3][:100], "alt": row[4][:100]}
        feature |= {key: row[at] for key, at in (("quality", 5), ("filter", 6)) if len(row) > at and row[at] != "."}
        yield feature


def genepred_features(lines: Lines) -> Iterator[Feature]:
    """Yield one transcript with exons per row of genePred, genePredExt (with or without bin) or refFlat."""
    for number, row in _rows(lines):
        at = is_genepred(row)
        if at is None:
            expected = "a row of genePred or refFlat: chrom, strand, txStart, ... exonEnds"
            raise _wrong(number, repr(" ".join(row)[:60]), expected)
        start, end, cds_start, cds_end = (int(text) for text in row[at + 2 : at + 6])
        starts, ends = (map(int, row[place].rstrip(",").split(",")) for place in (at + 7, at + 8))
        # genePredExt keeps the symbol in its 12th column; refFlat and plain genePred begin with it.
        name = row[at + 10] if len(row) >= at + 14 and row[at + 10] else row[0] if at == 1 or len(row) < 15 else row[1]
        place = _ordered(number, {"chr": row[at], "start": start, "end": end})
        yield {
            **place,
            "name": name,
            "strand": row[at + 1],
            **drawn(zip(starts, ends, strict=True), cds_start, cds_end),
        }


def block_features(table: pd.DataFrame) -> Iterator[Feature]:
    """Yield the exons of BED12's blocks for igv.js, per row of `bed.read_bed`: {} where the blocks are invalid."""
    columns = ("start", "end", "thick_start", "thick_end", "block_count", "block_sizes", "block_starts")
    for start, end, thick, thick_end, count, sizes, starts in zip(*(table[name] for name in columns), strict=True):
        numbers = (thick, thick_end, count)
        lists = [[int(part) for part in text.rstrip(",").split(",") if part.isdecimal()] for text in (starts, sizes)]
        if not all(map(str.isdecimal, numbers)) or {len(part) for part in lists} != {int(count)}:
            yield {}
            continue
        exons = [(start + offset, start + offset + size) for offset, size in zip(*lists, strict=True)]
        yield drawn(exons, int(thick), int(thick_end)) if all(b <= end for _, b in exons) else {}


def gff_features(lines: Lines, kind: str) -> Iterator[Feature]:
    """Yield the transcripts of a GTF or GFF3 with their exons, and all other rows as features without exons.

    Genes whose transcripts are in the file are left out, because igv.js would draw them twice.

    Parameters
    ----------
    lines : Iterable[tuple[int, str]]
        Numbered lines of the file.
    kind : str
        "GTF", "GFF3" or "GFF".
    """
    parents: dict[str, dict[str, Any]] = {}
    rows = [_gff_row(number, columns, kind) for number, columns in _rows(lines, until="##FASTA")]
    by_transcript = kind != "GFF3"
    for row in rows:
        own = row["notes"].get("transcript_id" if by_transcript else "ID", "")
        if row["type"] not in _PARTS and own:
            parents[f"{row['chr']}\t{own}"] = row
    drawn_rows: list[dict[str, Any]] = []
    children: set[str] = set()
    for row in rows:
        owners = [row["notes"].get("transcript_id", "")] if by_transcript else row["notes"].get("Parent", "").split(",")
        if row["type"] in _PARTS and any(owners):
            for owner in filter(None, owners):
                key = f"{row['chr']}\t{owner}"
                if key not in parents:  # a GTF need not have a row for the transcript itself
                    parents[key] = {**row, "type": "transcript"}
                    drawn_rows.append(parents[key])
                _add_part(parents[key], row)
        else:
            drawn_rows.append(row)
            above = row["notes"].get("gene_id", "") if by_transcript else row["notes"].get("Parent", "")
            if row["type"] != "gene":
                children.add(f"{row['chr']}\t{above}")
    if by_transcript:
        children |= {f"{row['chr']}\t{row['notes'].get('gene_id', '')}" for row in parents.values() if "exons" in row}
    own_key = "gene_id" if by_transcript else "ID"
    for row in drawn_rows:
        if row["type"] == "gene" and "exons" not in row and f"{row['chr']}\t{row['notes'].get(own_key)}" in children:
            continue
        yield _gff_feature(row)


def _gff_row(number: int, columns: Sequence[str], kind: str) -> dict[str, Any]:
    if len(columns) < 8:
        raise _wrong(number, f"{len(columns)} columns", "9, separated by tabs")
    start, end = _whole(number, columns[3], least=1) - 1, _whole(number, columns[4], least=1)
    place = _ordered(number, {"chr": columns[0], "start": start, "end": end})
    notes = _notes(columns[8] if len(columns) > 8 else "", kind)
    return {**place, "type": columns[2], "strand": columns[6], "notes": notes}


def _add_part(parent: dict[str, Any], part: dict[str, Any]) -> None:
    span = (part["start"], part["end"])
    parent["start"], parent["end"] = min(parent["start"], span[0]), max(parent["end"], span[1])
    kept = parent.setdefault("coding" if part["type"] in _CODING else "exons", [])
    if part["type"] != "intron":
        kept.append(span)


def _gff_feature(row: dict[str, Any]) -> Feature:
    notes = row["notes"]
    name = next((notes[key] for key in _NAMES if notes.get(key)), row["type"])
    feature = {"chr": row["chr"], "start": row["start"], "end": row["end"], "name": name, "type": row["type"]}
    feature |= {"strand": row["strand"]} if row["strand"] in ("+", "-") else {}
    own = [notes[key] for key in ("transcript_id", "gene_id", "ID") if notes.get(key, name) != name]
    feature |= {"id": own[0]} if own and own[0] else {}
    coding, exons = row.get("coding", []), row.get("exons", [])
    if exons or coding:
        first = min((start for start, _ in coding), default=0)
        feature |= drawn(_joined([*exons, *coding]), first, max((end for _, end in coding), default=0))
    return feature


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of intervals, which rejoins the UTRs and coding parts of one exon."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _notes(text: str, kind: str) -> dict[str, str]:
    if kind == "GTF":
        return {name: quoted or plain for name, quoted, plain in _NOTE.findall(text)}
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs if name.strip()}


def drawn(exons: Iterable[tuple[int, int]], cds_start: int, cds_end: int) -> Feature:
    """Return exons, cdStart and cdEnd as igv.js draws them: thick where coding, thin elsewhere."""
    made = []
    for start, end in exons:
        exon: Feature = {"start": start, "end": end}
        if cds_start >= cds_end or end <= cds_start or start >= cds_end:
            exon["utr"] = True
        else:
            exon |= {"cdStart": cds_start} if cds_start > start else {}
            exon |= {"cdEnd": cds_end} if cds_end < end else {}
        made.append(exon)
    return {"exons": made, "cdStart": cds_start, "cdEnd": cds_end}


def _rows(lines: Lines, until: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, columns) of each line except empty, comment, track and browser lines."""
    for number, line in lines:
        if until is not None and line.startswith(until):
            return
        fields = fields_of(line)
        if fields and not fields[0].startswith("#") and fields[0] not in ("track", "browser"):
            yield number, fields


def _whole(number: int, text: str, least: int = 0) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < least:
        raise _wrong(number, f"{text[:40]!r} as a position", f"a whole number from {least}")
    return int(text)


def _value(number: int, text: str) -> float:
    value = _number(text)
    if value is None:
        raise _wrong(number, f"{text[:40]!r} as a value", "a finite number")
    return value


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _ordered(number: int, place: Feature) -> Feature:
    if place["end"] < place["start"]:
        raise _wrong(number, f"start {place['start']} after end {place['end']}", "start <= end")
    return place


def _wrong(number: int, found: str, expected: str) -> InputError:
    return InputError(f"line {number}", found=found, expected=expected, fix="correct the line")
