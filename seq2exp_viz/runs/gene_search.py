"""Search for the text of the search box: a gene of the run, of the study or of the annotation, or a locus."""

from __future__ import annotations

import difflib

from model_core.places import NoSuchPlace, NotAPlace, chromosome, example, parse_place, shown
from model_core.window import window_start
from seq2exp_viz.runs.annotated_genes import annotated_gene
from seq2exp_viz.runs.gene_list import unscored_gene
from seq2exp_viz.runs.run_view import RunView

__all__ = ["LONGEST", "chromosome", "find"]

LONGEST = 2_000  # characters of a query that are read
SHOWN = 80  # of these, shown in a message
MOST_NAMES = 2_000  # of contigs that are compared with a misspelt name


def find(view: RunView, text: str, here: str | None = None) -> dict:
    """Find the gene or place that a text names, as JSON values; genes go before contigs and places.

    Parameters
    ----------
    view : RunView
        The run.
    text : str
        What the user typed.
    here : str or None
        The contig on the screen, which applies to positions without a chromosome.

    Returns
    -------
    dict
        kind: "gene" (of the run: gene_id, symbol), "unscored" (of the study or its annotation: gene_id, symbol, tss,
        strand), "locus" or "nothing"; chrom, start, end (0-based half-open) unless nothing was found; message: a
        sentence for the user, or ""; suggestions: texts that can be found.
    """
    typed = text[:LONGEST].strip("\r\n ")
    name = " ".join(typed.split())
    if not name:
        return {"kind": "nothing", "message": f"Type {_what_works(view)}.", "suggestions": _examples(view)}
    found = (
        _scored(view, name)
        or _unscored(view, name)
        or _place(view, typed, here)
        or _annotated(view, name)
        or _nothing(view, name)
    )
    return {"suggestions": [], **found}


def _scored(view: RunView, text: str) -> dict | None:
    genes = view.run.genes
    found = view.run.finder.rows(text)
    if not found:
        return None
    row, several = genes.iloc[found[0]], len(found)
    note = f"{several} genes are named {text}; {row['gene_id']} is shown." if several > 1 else ""
    place = {"chrom": str(row["chrom"]), "start": int(row["start"]), "end": int(row["end"])}
    names = {"gene_id": str(row["gene_id"]), "symbol": str(row["symbol"])}
    return {"kind": "gene", **names, **place, "message": note}


def _unscored(view: RunView, text: str) -> dict | None:
    gene = unscored_gene(view, text)
    return None if gene is None else _without_mask(view, gene, f"{gene['symbol']} is not scored in this run.")


def _without_mask(view: RunView, gene: dict, message: str) -> dict:
    length = int(view.run.manifest["window"])
    start, size = window_start(gene["tss"], length), view.run.chrom_sizes[gene["chrom"]]
    place = {"start": max(0, start), "end": min(size, start + length)}
    return {**gene, "kind": "unscored", **place, "message": message}


def _place(view: RunView, text: str, here: str | None) -> dict | None:
    try:
        chrom, start, end = parse_place(text, view.contigs, here)
    except NotAPlace:
        return None
    except NoSuchPlace as problem:
        works, message = example(view.run.chrom_sizes), str(problem)
        message = message if works in message else f"{message} Try {works}."
        return {"kind": "nothing", "message": message, "suggestions": [works]}
    pasted = "\t" in text
    message = f"The text was read as a BED row (0-based): {shown(chrom, start, end)}." if pasted else ""
    return {"kind": "locus", "chrom": chrom, "start": start, "end": end, "message": message}


def _annotated(view: RunView, text: str) -> dict | None:
    gene = annotated_gene(view, text)
    if gene is None:
        return None
    kind = gene.pop("kind")
    # A kind of the annotation; most files say of most genes that they code for a protein.
    note = "" if kind in ("", "protein coding") else f" It is annotated as {kind}."
    return _without_mask(view, gene, f"{gene['symbol']} is not scored in this run.{note}")


def _nothing(view: RunView, text: str) -> dict:
    genes = view.run.genes
    by_upper = {name.upper(): name for name in [*genes["gene_id"].astype(str), *genes["symbol"].astype(str)]}
    by_upper |= {name.upper(): name for name in list(view.run.chrom_sizes)[:MOST_NAMES]}
    near = difflib.get_close_matches(text.upper()[:SHOWN], list(by_upper), n=3, cutoff=0.7)
    close = [by_upper[name] for name in near]
    advice = f"Did you mean {' or '.join(close)}?" if close else f"Try {_what_works(view)}."
    message = f"Nothing found for “{text[:SHOWN]}”. {advice}"
    return {"kind": "nothing", "message": message, "suggestions": close or _examples(view)}


def _examples(view: RunView) -> list[str]:
    """Return a gene of this run and a place in its window, both of which can be found."""
    if not len(view.run.genes):
        return [example(view.run.chrom_sizes)]
    row = view.run.genes.iloc[0]
    return [str(row["symbol"]), shown(str(row["chrom"]), int(row["start"]), int(row["end"]))]


def _what_works(view: RunView) -> str:
    *gene, place = _examples(view)
    return f"a gene such as {gene[0]}, or a place such as {place}" if gene else f"a place such as {place}"
