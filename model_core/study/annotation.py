"""Gene models from a GTF: genes, their start sites, and one transcript for each gene."""

import re
from array import array
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.bed import read_lines
from model_core.errors import InputError
from model_core.gene_finder import GeneFinder

FEATURE_TYPES = ("gene", "exon", "CDS", "stop_codon")
GENE_COLUMNS = ("gene_id", "symbol", "chrom", "tss", "strand")
# One attribute of a GTF: a key, then a quoted or a bare value. A quoted value ends at the first quote that is followed
# by ";" or by the end, so that it may hold ";", "#", and quotes, escaped by a backslash or not.
_ATTRIBUTE = re.compile(
    r"""[;\s]*+ ([^\s;"=#]++)
    (?: \s++ (?: "( (?: [^"\\] | \\. | "(?!\s*(?:;|$)) )*+ )" \s*+ (?=;|$) | ([^;"]*+) (?=;|$) ) | (?=;|$) )""",
    re.VERBOSE,
)
_GFF3_ATTRIBUTE = re.compile(r"\s*[A-Za-z_][\w.:-]*=[^=]")
_ESCAPED = re.compile(r'\\(["\\])')
_WANTED = ("gene_id", "gene_name", "gene_type", "gene_biotype", "transcript_id")
# The text before each value in the form that most programs write.
_PLAIN = tuple((name, f"; {name} ", f"{name} ") for name in _WANTED)


def parse_attributes(text: str) -> dict[str, str]:
    """Parse the last column of a GTF line; of a key that is given twice, the first value counts.

    Values may be quoted or bare, attributes may be in any order, the last ";" may be missing. "#" outside of a value
    begins a comment. Text from the first malformed attribute on is ignored.

    Parameters
    ----------
    text : str
        The column, such as 'gene_id "ENSG1"; gene_name "MYC";'.

    Returns
    -------
    dict[str, str]
        Value by key.
    """
    found: dict[str, str] = {}
    place = 0
    while match := _ATTRIBUTE.match(text, place):
        key, quoted, bare = match.groups()
        value = (bare or "").strip() if quoted is None else _ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted
        found.setdefault(key, value)
        place = match.end()
    return found


class _Codes(dict[Any, int]):
    """Mapping that numbers strings in the order of first use, so that millions of rows hold small integers."""

    def __missing__(self, key: Any) -> int:
        self[key] = len(self)
        return self[key]


def _owner(text: str) -> tuple[str, ...]:
    """Return the values of _WANTED, "" where missing: `parse_attributes`, with a fast path for plain attributes."""
    parts = text.split('"')  # alternately outside and inside of quotes, unless a value holds a quote
    if "\\" not in text and "#" not in text and text.count('";') == len(parts) // 2:
        values = dict(zip(parts[-3::-2], parts[-2::-2], strict=False))  # from the end: a key's first value stays
        found = tuple(values.get(key) or values.get(first, "") for _, key, first in _PLAIN)
        if all(value or name not in text for value, name in zip(found, _WANTED, strict=True)):
            return found
    values = parse_attributes(text)
    return tuple(values.get(name, "") for name in _WANTED)


class _Owners:
    """Numbering of the (gene_id, symbol, gene type, transcript_id) that rows belong to."""

    def __init__(self) -> None:
        self.codes = _Codes()
        # The text before the exon number names the transcript, and is parsed once for all of its exons. Name and type
        # of the gene, which may follow it, must then be the same text, or be missing as before.
        self._by_prefix: dict[str, tuple[int, str, str, tuple[str, ...]]] = {}

    def of(self, attributes: str) -> int | None:
        """Return the number of a row's owner from the last column of the GTF; None where it has no gene_id."""
        prefix, number, behind = attributes.partition("exon_number")
        known = self._by_prefix.get(prefix)
        if known is not None:
            code, name, kind, missing = known
            if name in behind and kind in behind and not (missing and any(word in behind for word in missing)):
                return code
        found = _owner(attributes)
        gene_id, name, kind, biotype, transcript_id = found
        if not gene_id:
            return None
        code = self.codes[gene_id, name or gene_id, kind or biotype, transcript_id]
        # A prefix that ends inside a value, or that names no transcript, does not identify the owner.
        if number and transcript_id and "\\" not in attributes and prefix.count('"') % 2 == 0:
            before = _owner(prefix)
            if (before[0], before[4]) == (gene_id, transcript_id):
                later = [at for at in (1, 2, 3) if not before[at]]
                there = [f' {_WANTED[at]} "{found[at]}"' for at in later if found[at]]
                missing = tuple(_WANTED[at] for at in later if not found[at] and not (at > 1 and kind + biotype))
                if len(there) < 3 and all(words in behind for words in there):
                    first, second = [*there, "", ""][:2]
                    self._by_prefix[prefix] = code, first, second, missing
        return code


def read_gtf(path: str | Path, types: Collection[str] = FEATURE_TYPES) -> pd.DataFrame:
    """Read the gene, exon, CDS and stop_codon rows of a GTF (plain or gzipped; 1-based inclusive in the file).

    A whole-genome file of 3 million lines takes about 15 seconds. Rows without a strand are skipped.

    Parameters
    ----------
    path : str or Path
        The file.
    types : Collection[str]
        The feature types to read; rows of other types are not parsed.

    Returns
    -------
    DataFrame
        Columns chrom, start, end, strand, type, gene_id, symbol, gene_type, transcript_id, in the order of the file;
        start, end int64, 0-based half-open; the others categorical, "" where missing (symbol: the gene_id).

    Raises
    ------
    InputError
        Unreadable or malformed, with the line number; or no row of these types.
    """
    path = Path(path)
    chroms, strands, kinds, owners = _Codes(), _Codes(), _Codes(), _Owners()
    codes = chrom_codes, strand_codes, kind_codes, owner_codes = [array("i") for _ in range(4)]
    starts, ends = array("q"), array("q")
    number, first_row = 0, None
    for number, line in read_lines(path):
        if line.startswith("#"):
            continue
        fields = line.split("\t", 8)
        if len(fields) != 9:
            if not line.strip():
                continue
            raise _bad_line(path, number, f"{len(fields)} columns", "9 columns separated by tabs")
        chrom, _, kind, first, last, _, strand, _, attributes = fields
        if first_row is None:
            first_row = number, attributes
        if kind not in types or strand not in ("+", "-"):
            continue
        start, end = _position(first), _position(last)
        if not 0 < start <= end:
            raise _bad_line(path, number, f"positions {first!r} to {last!r}", "1 <= start <= end")
        owner = owners.of(attributes)
        if owner is None:
            refuse_gff3(path, number, attributes)
            raise _bad_line(path, number, "no gene_id", 'an attribute gene_id "..."; in the last column')
        starts.append(start - 1)
        ends.append(end)
        chrom_codes.append(chroms[chrom])
        strand_codes.append(strands[strand])
        kind_codes.append(kinds[kind])
        owner_codes.append(owner)
    if not starts:
        if first_row is not None:
            refuse_gff3(path, *first_row)
        found = f"{number} lines, none of type {', '.join(types)}"
        raise InputError(path, found=found, expected="a GTF annotation", fix="check that this is the right file")
    return _as_frame(codes, (chroms, strands, kinds, owners.codes), starts, ends)


def refuse_gff3(path: Path, number: int, attributes: str) -> None:
    """Raise InputError if the last column of a line has the form of GFF3: key=value."""
    if _GFF3_ATTRIBUTE.match(attributes):
        found = f"a GFF3 file (attributes such as {attributes.split(';')[0].strip()[:40]!r})"
        do = "convert it, for instance with `gffread -T`, or use the GTF of the same annotation"
        raise _bad_line(path, number, found, 'a GTF with gene_id "..."; in the last column', do)


def genes_from_gtf(gtf: pd.DataFrame, gene_types: Collection[str] = ("protein_coding",)) -> pd.DataFrame:
    """Return the genes of an annotation, sorted by position.

    Parameters
    ----------
    gtf : DataFrame
        From `read_gtf`.
    gene_types : Collection[str]
        The gene types to take; empty means all. Where the file has no gene types, "protein_coding" means genes with
        CDS rows.

    Returns
    -------
    DataFrame
        Columns gene_id, symbol, chrom, strand (str) and tss (int64, 0-based): the first transcribed base (start on +,
        last base on -). A gene_id at several places is taken at the first.

    Raises
    ------
    InputError
        No gene of these types.
    """
    rows = gtf[gtf.type == "gene"] if (gtf.type == "gene").any() else gtf
    if gene_types and (gtf.gene_type != "").any():
        rows = rows[rows.gene_type.isin(list(gene_types))]
    elif "protein_coding" in gene_types:
        rows = rows[rows.gene_id.isin(gtf.gene_id[gtf.type == "CDS"])]
    if rows.empty:
        has = ", ".join(sorted({str(name) for name in gtf.gene_type.unique()} - {""})[:8]) or "no gene types"
        expected = f"genes of type {', '.join(gene_types)}"
        raise InputError("annotation", found=has, expected=expected, fix="set gene_types under [genes]")
    keys = ["gene_id", "chrom", "strand"]
    spans = rows.groupby(keys, sort=False, observed=True).agg(
        symbol=("symbol", "first"), start=("start", "min"), end=("end", "max")
    )
    spans = spans.reset_index().drop_duplicates("gene_id")
    spans["tss"] = np.where(spans.strand == "+", spans.start, spans.end - 1)
    genes = spans.sort_values(["chrom", "tss"], kind="stable", key=_plain)[list(GENE_COLUMNS)]
    return genes.astype(dict.fromkeys(("gene_id", "symbol", "chrom", "strand"), str)).reset_index(drop=True)


def match_genes(genes: pd.DataFrame, gtf: pd.DataFrame) -> pd.Series:
    """Match genes to the annotation's gene_id.

    Tried in this order, always on the gene's chromosome: the same gene_id, the same without version (ENSG....12), the
    same symbol, the same ignoring case (`gene_finder.GeneFinder`). Of several candidates the first in the file is
    taken.

    Parameters
    ----------
    genes : DataFrame
        Table with gene_id, symbol, chrom.
    gtf : DataFrame
        From `read_gtf`.

    Returns
    -------
    Series
        dtype object, with the index of `genes`; None where a gene has no match.
    """
    here = gtf[gtf.chrom.isin(genes.chrom.astype(str).unique())]  # of a few genes a small part of the annotation
    known = here[["gene_id", "symbol", "chrom"]].drop_duplicates().astype(str)
    finders = {chrom: GeneFinder(part.gene_id, part.symbol) for chrom, part in known.groupby("chrom", sort=False)}
    found = []
    for gene_id, symbol, chrom in genes[["gene_id", "symbol", "chrom"]].astype(str).itertuples(index=False):
        finder = finders.get(chrom)
        rows = [] if finder is None else finder.by_id(gene_id) or finder.by_symbol(symbol)
        found.append(finder.ids[rows[0]] if finder is not None and rows else None)
    return pd.Series(found, index=genes.index, dtype=object)


def gene_exons(gtf: pd.DataFrame, gene_ids: Sequence[str]) -> pd.DataFrame:
    """Return the exons of one transcript per gene: the one with the longest coding sequence.

    Ties, and genes without coding sequence, go to the longest exonic length, then to the first transcript_id. The stop
    codon counts as coding, whether or not the file includes it in CDS rows.

    Parameters
    ----------
    gtf : DataFrame
        From `read_gtf`.
    gene_ids : Sequence[str]
        The annotation's gene_ids.

    Returns
    -------
    DataFrame
        One row per exon, in order of position: gene_id, transcript_id, chrom, strand (str); start, end (int64);
        cds_start, cds_end (int64): span of the coding sequence, both equal to the end of the last exon where there is
        none.
    """
    mine = gtf[gtf.gene_id.isin(set(gene_ids)) & (gtf.transcript_id != "")]
    # The same transcript_id may be on two chromosomes (X and Y in older files).
    keys = ["gene_id", "chrom", "transcript_id"]
    mine = mine.astype(dict.fromkeys((*keys, "strand"), str)).assign(length=mine.end - mine.start)
    coding = mine[mine.type.isin(["CDS", "stop_codon"])].groupby(keys, sort=False)
    spans = coding.agg(cds_start=("start", "min"), cds_end=("end", "max"), coding=("length", "sum"))
    exons = mine[mine.type == "exon"]
    sizes = exons.groupby(keys, sort=False).agg(exonic=("length", "sum"), last=("end", "max"))
    transcripts = sizes.join(spans).reset_index()
    for column in ("cds_start", "cds_end"):
        transcripts[column] = transcripts[column].fillna(transcripts["last"]).astype(np.int64)
    ranked = transcripts.fillna({"coding": 0}).sort_values(
        ["coding", "exonic", "transcript_id"], ascending=[False, False, True]
    )
    chosen = ranked.drop_duplicates("gene_id")[[*keys, "cds_start", "cds_end"]]
    columns = [*keys, "strand", "start", "end"]
    return exons[columns].merge(chosen, on=keys).sort_values(["gene_id", "start"], ignore_index=True)


def _position(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 13 else 0


def _bad_line(path: Path, number: int, found: str, expected: str, do: str = "correct the line") -> InputError:
    return InputError(f"{path} line {number}", found=found, expected=expected, fix=do)


def _as_frame(codes: Sequence[array], names: Sequence[_Codes], starts: array, ends: array) -> pd.DataFrame:
    chroms, strands, kinds, owners = names
    owner = np.array(codes[3])
    columns = {
        "chrom": pd.Categorical.from_codes(codes[0], list(chroms)),
        "start": np.array(starts, np.int64),
        "end": np.array(ends, np.int64),
        "strand": pd.Categorical.from_codes(codes[1], list(strands)),
        "type": pd.Categorical.from_codes(codes[2], list(kinds)),
    }
    for place, name in enumerate(("gene_id", "symbol", "gene_type", "transcript_id")):
        distinct = _Codes()
        of_owner = np.array([distinct[key[place]] for key in owners])
        columns[name] = pd.Categorical.from_codes(of_owner[owner], list(distinct))
    return pd.DataFrame(columns)


def _plain(column: pd.Series) -> pd.Series:
    return column.astype(str) if isinstance(column.dtype, pd.CategoricalDtype) else column
