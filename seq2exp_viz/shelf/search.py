"""What a person typed into the search box: a gene of the run, a gene of the annotation, a locus, or nothing found."""

from __future__ import annotations

import difflib

import pandas as pd

from model_core.errors import InputError
from model_core.gene_finder import GeneFinder
from model_core.intervals import parse_locus
from seq2exp_viz.shelf.gene_list import unscored_gene
from seq2exp_viz.shelf.view import OpenRun

LONGEST = 200  # letters of a query that are looked at
MARGIN = 0.15  # share of a gene's length that is shown on either side of it


def find(view: OpenRun, text: str) -> dict:
    """Where the text leads, as JSON values.

    Returns:
        kind: "gene" (of the run: gene_id, symbol), "unscored" (of the study: gene_id, symbol, tss, strand), "locus" or
        "nothing"; chrom, start, end (0-based half-open) unless
        nothing was found; message: words for the person, "" where there is nothing to say.
    """
    text = " ".join(text[:LONGEST].split())
    if not text:
        return {"kind": "nothing", "message": "Type a gene symbol, an Ensembl id or a place such as chr1:1,000-2,000."}
    return (
        _scored(view, text)
        or _unscored(view, text)
        or _place(view, text)
        or _annotated(view, text)
        or _nothing(view, text)
    )


def _scored(view: OpenRun, text: str) -> dict | None:
    genes = view.genes
    found = GeneFinder(genes["gene_id"], genes["symbol"]).rows(text)
    if not found:
        return None
    row, several = genes.iloc[found[0]], len(found)
    note = f"{several} genes are called {text}; this is {row['gene_id']}." if several > 1 else ""
    place = {"chrom": str(row["chrom"]), "start": int(row["start"]), "end": int(row["end"])}
    names = {"gene_id": str(row["gene_id"]), "symbol": str(row["symbol"])}
    return {"kind": "gene", **names, **place, "message": note}


def _unscored(view: OpenRun, text: str) -> dict | None:
    gene = unscored_gene(view, text)
    if gene is None:
        return None
    half = int(view.manifest["window"]) // 2
    place = {"start": max(0, gene["tss"] - half), "end": min(view.run.chrom_sizes[gene["chrom"]], gene["tss"] + half)}
    return {"kind": "unscored", **gene, **place, "message": f"{gene['symbol']} is not scored in this run."}


def _place(view: OpenRun, text: str) -> dict | None:
    sizes = view.run.chrom_sizes
    try:
        chrom, start, end = parse_locus(text)
    except InputError:
        whole = chromosome(sizes, text)
        if whole is None:
            return None
        chrom, start, end = text, 0, sizes[whole]
    known = chromosome(sizes, chrom)
    if known is None:
        some = ", ".join(list(sizes)[:4])
        return {"kind": "nothing", "message": f"There is no chromosome {chrom} in this genome (it has {some} ...)."}
    if start >= sizes[known]:
        return {"kind": "nothing", "message": f"{known} ends at {sizes[known]:,}, before {start + 1:,}."}
    return {"kind": "locus", "chrom": known, "start": start, "end": min(end, sizes[known]), "message": ""}


def chromosome(sizes: dict[str, int], name: str) -> str | None:
    """The genome's own spelling of a chromosome: with or without "chr", in any case."""
    by_name = {known.lower().removeprefix("chr"): known for known in sizes}
    return name if name in sizes else by_name.get(name.lower().removeprefix("chr"))


def _annotated(view: OpenRun, text: str) -> dict | None:
    table = view.models.table("gene") if view.models is not None else None
    if table is None:
        return None
    names, ids = pd.Series(table.name), pd.Series(table.id)
    match = (names.str.upper() == text.upper()) | (ids.str.split(".").str[0].str.upper() == text.upper().split(".")[0])
    if not match.any():
        return None
    row = int(match.to_numpy().argmax())
    chrom, start, end = str(table.chrom[row]), int(table.start[row]), int(table.end[row])
    if chrom not in view.run.chrom_sizes:
        return None
    margin = int((end - start) * MARGIN) + 500
    message = f"{table.name[row]} was not scored in this run, so it has no mask; this is where it lies."
    size = view.run.chrom_sizes[chrom]
    place = {"chrom": chrom, "start": max(0, start - margin), "end": min(size, end + margin)}
    return {"kind": "locus", **place, "message": message}


def _nothing(view: OpenRun, text: str) -> dict:
    genes = view.genes
    by_upper = {name.upper(): name for name in [*genes["gene_id"].astype(str), *genes["symbol"].astype(str)]}
    near = difflib.get_close_matches(text.upper(), list(by_upper), n=3, cutoff=0.7)
    advice = f" Did you mean {' or '.join(by_upper[name] for name in near)}?" if near else ""
    return {"kind": "nothing", "message": f"Nothing found for “{text}”.{advice}"}
