"""Gene models from a GTF: genes, their start sites, and the transcript that stands for each gene."""

import re
from array import array
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from model_core.bed import read_lines
from model_core.errors import InputError, complaint

FEATURE_TYPES = ("gene", "exon", "CDS", "stop_codon")
GENE_COLUMNS = ("gene_id", "symbol", "chrom", "tss", "strand")
_ATTRIBUTE = re.compile(r'(?:^|;) *(gene_id|gene_name|gene_type|gene_biotype|transcript_id) +"?([^";]*)')


class _Codes(dict):
    """Numbers strings in the order they are first asked for, so that millions of rows hold small numbers."""

    def __missing__(self, key):
        self[key] = len(self)
        return self[key]


class _Owners:
    """Numbers the (gene_id, symbol, gene type, transcript_id) that rows belong to."""

    def __init__(self):
        self.codes = _Codes()
        self._by_prefix: dict[str, int] = {}

    def of(self, attributes: str) -> int | None:
        """The number of a row's owner, by the last column of the GTF; None where that names no gene."""
        # What stands before the exon's number names the transcript, and is parsed once for all of its exons.
        prefix = attributes.partition("exon_number")[0]
        code = self._by_prefix.get(prefix)
        if code is not None:
            return code
        found = dict(_ATTRIBUTE.findall(attributes))
        gene_id = found.get("gene_id", "")
        if not gene_id:
            return None
        kind = found.get("gene_type") or found.get("gene_biotype", "")
        code = self.codes[gene_id, found.get("gene_name") or gene_id, kind, found.get("transcript_id", "")]
        if "transcript_id" in prefix:
            self._by_prefix[prefix] = code
        return code


def read_gtf(path: str | Path, types: Collection[str] = FEATURE_TYPES) -> pd.DataFrame:
    """The gene, exon, CDS and stop_codon rows of a GTF (plain or gzipped; 1-based inclusive in the file).

    A whole-genome file of 3 million lines takes some 15 seconds. Rows without a strand are passed over.

    Args:
        path: the file.
        types: the feature types wanted; rows of other types are not even parsed.

    Returns:
        chrom, start, end, strand, type, gene_id, symbol, gene_type, transcript_id, in the order of the file; start,
        end int64, 0-based half-open; the others categories, "" where the file says nothing (a symbol: the gene_id).

    Raises:
        InputError: unreadable or malformed, with the line number; no row of these types.
    """
    path = Path(path)
    chroms, strands, kinds, owners = _Codes(), _Codes(), _Codes(), _Owners()
    codes = [array("i") for _ in range(4)]
    starts, ends = array("q"), array("q")
    number = 0
    for number, line in read_lines(path):
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 9:
            raise _bad_line(path, number, f"{len(fields)} columns", "9, separated by tabs")
        chrom, _, kind, first, last, _, strand, _, attributes = fields
        if kind not in types or strand not in ("+", "-"):
            continue
        start, end = _position(first), _position(last)
        if not 0 < start <= end:
            raise _bad_line(path, number, f"positions {first!r} to {last!r}", "1 <= start <= end")
        owner = owners.of(attributes)
        if owner is None:
            advice = "convert GFF3 with `gffread -T`" if "ID=" in attributes else "mend the line"
            raise _bad_line(path, number, "no gene_id", 'gene_id "..."; in the last column', advice)
        starts.append(start - 1)
        ends.append(end)
        for column, code in zip(codes, (chroms[chrom], strands[strand], kinds[kind], owner), strict=True):
            column.append(code)
    if not starts:
        found = f"{number} lines and none of type {', '.join(types)}"
        raise InputError(complaint(path, found, "a GTF annotation", "check that this is the right file"))
    return _as_frame(codes, (chroms, strands, kinds, owners.codes), starts, ends)


def genes_from_gtf(gtf: pd.DataFrame, gene_types: Collection[str] = ("protein_coding",)) -> pd.DataFrame:
    """The genes of an annotation, sorted by position.

    Args:
        gtf: from `read_gtf`.
        gene_types: which to take; empty = all. Where the file has no gene types, "protein_coding" means genes with CDS.

    Returns:
        gene_id, symbol, chrom, strand str; tss int64, 0-based: the first transcribed base (start on +, last base on -).
        A gene_id that stands at several places is taken at the first.

    Raises:
        InputError: no gene of these types.
    """
    rows = gtf[gtf.type == "gene"] if (gtf.type == "gene").any() else gtf
    if gene_types and (gtf.gene_type != "").any():
        rows = rows[rows.gene_type.isin(list(gene_types))]
    elif "protein_coding" in gene_types:
        rows = rows[rows.gene_id.isin(gtf.gene_id[gtf.type == "CDS"])]
    if rows.empty:
        has = ", ".join(sorted({str(name) for name in gtf.gene_type.unique()} - {""})[:8]) or "no gene types"
        expected = f"genes of type {', '.join(gene_types)}"
        raise InputError(complaint("annotation", has, expected, "set gene_types under [genes]"))
    keys = ["gene_id", "chrom", "strand"]
    spans = rows.groupby(keys, sort=False, observed=True).agg(
        symbol=("symbol", "first"), start=("start", "min"), end=("end", "max")
    )
    spans = spans.reset_index().drop_duplicates("gene_id")
    spans["tss"] = np.where(spans.strand == "+", spans.start, spans.end - 1)
    genes = spans.sort_values(["chrom", "tss"], kind="stable", key=_plain)[list(GENE_COLUMNS)]
    return genes.astype(dict.fromkeys(("gene_id", "symbol", "chrom", "strand"), str)).reset_index(drop=True)


def match_genes(genes: pd.DataFrame, gtf: pd.DataFrame) -> pd.Series:
    """The annotation's gene_id for each gene, None where it has none.

    Tried in this order, always on the gene's chromosome: the same gene_id, the same without version (ENSG....12), the
    same symbol. Of several candidates the first of the file is taken.

    Args:
        genes: table with gene_id, symbol, chrom.
        gtf: from `read_gtf`.

    Returns:
        object Series with the index of `genes`.
    """
    known = gtf[["gene_id", "symbol", "chrom"]].drop_duplicates().astype(str)
    chrom = genes.chrom.astype(str)
    tries = (
        (known.gene_id, genes.gene_id.astype(str)),
        (_versionless(known.gene_id), _versionless(genes.gene_id.astype(str))),
        (known.symbol, genes.symbol.astype(str)),
    )
    matched = pd.Series([None] * len(genes), index=genes.index, dtype=object)
    for names, wanted in tries:
        found = dict(zip(zip(known.chrom[::-1], names[::-1], strict=True), known.gene_id[::-1], strict=True))
        hits = [found.get(key) for key in zip(chrom, wanted, strict=True)]
        matched = matched.where(matched.notna(), pd.Series(hits, index=genes.index, dtype=object))
    return matched


def gene_exons(gtf: pd.DataFrame, gene_ids: Sequence[str]) -> pd.DataFrame:
    """The exons of one transcript a gene: the one with the longest coding sequence.

    Ties, and genes without coding sequence, go to the longest exonic length, then to the first transcript_id. The stop
    codon counts as coding, whether or not the file puts it into CDS rows.

    Args:
        gtf: from `read_gtf`.
        gene_ids: the annotation's ids.

    Returns:
        gene_id, transcript_id, chrom, strand str; start, end int64 of each exon, in order of position;
        cds_start, cds_end int64: span of the coding sequence, both = end of the last exon where there is none.
    """
    mine = gtf[gtf.gene_id.isin(set(gene_ids)) & (gtf.transcript_id != "")]
    # The same transcript_id may stand on two chromosomes (X and Y in older files).
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


def _bad_line(path: Path, number: int, found: str, expected: str, do: str = "mend the line") -> InputError:
    return InputError(complaint(f"{path} line {number}", found, expected, do))


def _as_frame(codes, names, starts, ends) -> pd.DataFrame:
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


def _versionless(names: pd.Series) -> pd.Series:
    return names.str.replace(r"\.\d+$", "", regex=True)
