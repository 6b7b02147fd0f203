"""The routes of the page's tabs: elements, genes that use a region, the peak audit, a second run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pandas as pd
from flask import Response, request

from model_core import palette
from model_core.errors import InputError, Unavailable
from model_core.records import parse_json
from model_core.run_folder.audit_log import append_decision, latest, of_genes, read_decisions
from model_core.tsv import table_text
from seq2exp_viz.api.http import (
    RequestError,
    as_json,
    attachment,
    integer,
    json_body,
    place,
    records,
    threshold_of,
)
from seq2exp_viz.file_names import run_part
from seq2exp_viz.runs import binning, second_run, style
from seq2exp_viz.runs.effect_words import cell_words, effect_facts
from seq2exp_viz.runs.element_tables import element_table
from seq2exp_viz.runs.gene_list import suggestions
from seq2exp_viz.runs.genes_using_region import genes_using_region, ranked_by
from seq2exp_viz.runs.peak_audit import ELEMENT, PEAK, audit
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.table_query import rows_of

MOST_ITEMS = 200  # of the audit's queue in one answer
TSV = "text/tab-separated-values"
# Text that a spreadsheet program computes; a lone sign is a strand, and digits behind it are a number.
_FORMULA = re.compile(r"\s*(?:[=@]|[+-](?!\s*\Z)(?![\d.]+(?:[eE][+-]?\d+)?\Z))")


def add_routes(route: Callable, registry: RunRegistry) -> None:
    """Add all routes of this module; a second run is looked up in `registry`."""
    _add_tables(route)
    _add_genes_using_region(route)
    _add_audit(route)

    @route("/<run>/suggest")
    def suggest(view: RunView) -> Response:
        return as_json(suggestions(view, request.args.get("q", "")))

    @route("/<run>/genes/<path:gene>/difference")
    def difference(view: RunView, gene: str) -> Response:
        name = request.args.get("from", "")
        other = registry.get(name)
        if other is None:
            raise Unavailable(f"There is no run {name[:80]!r} on this server.")
        start, values = second_run.difference(view, other, gene)
        window = view.run.window(gene)
        first, last = integer("start", window.start), integer("end", window.end)
        return as_json(binning.vector_summary(values, window.chrom, start, first, last, integer("bins", 1000)))


def _add_tables(route: Callable) -> None:
    @route("/<run>/elements.tsv")
    def elements(view: RunView) -> Response:
        gene = request.args.get("gene") or None
        table = element_table(view, gene, threshold_of(request) if gene else None)
        found = rows_of(table, _json("filters"), _json("sorts"))
        stem = view.file_stem(str(view.run.gene(gene)["gene_id"])) if gene else f"{run_part(view.key)}.all"
        return tsv(found.dropna(axis=1, how="all"), f"{stem}.elements.tsv")


def _add_genes_using_region(route: Callable) -> None:
    @route("/<run>/owners")
    def whose(view: RunView) -> Response:
        chrom, start, end = place(view)
        table, count = genes_using_region(view, chrom, start, end)
        rows = [{**row, "said": cell_words(row)} for row in records(table)]
        answer = {"chrom": chrom, "start": start, "end": end, "genes": count, "ranked_by": ranked_by(table)}
        return as_json({**answer, "rows": rows})

    @route("/<run>/owners/arcs")
    def arcs(view: RunView) -> Response:
        """Return these genes for the track of elements: a block per start site, an arc to the region's middle."""
        chrom, start, end = place(view)
        table, _ = genes_using_region(view, chrom, start, end)
        kept = table[table["mean_mask"].notna()]
        effects = records(kept[["effect", "element_gene_score"]])
        arcs = [_arc(row) | effect for row, effect in zip(kept.to_dict("records"), effects, strict=True)]
        return as_json({"tss": (start + end) // 2, "elements": arcs})


def _arc(row: dict[str, Any]) -> dict[str, Any]:
    words = f"keeps {row['mean_mask']:.3f} of the region" + (f", as its {row['element']}" if row["element"] else "")
    return {
        "chr": row["chrom"],
        "start": row["tss"],
        "end": row["tss"] + 1,
        "name": row["symbol"],
        "class": "start_site",
        "words": words,
        "color": style.colour_of(row["class"]) if row["class"] else palette.GREY.css,
        "mean": round(row["mean_mask"], 4),
        "distance": row["distance"],
        "facts": effect_facts(row),
        "arc": palette.EFFECTS[row["direction"]].css if row["direction"] else None,
    }


def _add_audit(route: Callable) -> None:
    @route("/<run>/audit")
    def queue(view: RunView) -> Response:
        gene = request.args.get("gene") or None
        if gene is not None:
            gene = str(view.run.gene(gene)["gene_id"])
        found, run = audit(view), view.run
        decisions, unknown = of_genes(view.decisions, run.finder)
        decisions = latest(decisions)
        rows = found.queue if gene is None else found.queue[found.queue["gene_id"] == gene]
        kind = request.args.get("kind", "")
        if kind in (ELEMENT, PEAK):
            rows = rows[rows["kind"] == kind]
        total = len(rows)
        rows = rows.iloc[max(0, integer("offset", 0)) :][: min(MOST_ITEMS, max(1, integer("limit", 50)))]
        rows = with_decisions(rows, decisions)
        counts = found.genes if gene is None else found.genes[found.genes.index == gene]
        totals = {name: int(counts[name].sum()) for name in counts.columns}
        mine = decisions if gene is None else decisions[decisions["gene_id"] == gene]
        return as_json(
            {"total": total, "decided": len(mine), "unknown": unknown, "counts": totals, "items": records(rows)}
        )

    @route("/<run>/audit", methods=("POST",))
    def decide(view: RunView) -> Response:
        body = json_body()
        rows = audit(view).queue
        try:
            bounds = tuple(int(body[name]) for name in ("start", "end"))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise RequestError("start and end: expected whole numbers") from None
        same = (rows["gene_id"] == str(body.get("gene_id"))) & (rows["start"] == bounds[0]) & (rows["end"] == bounds[1])
        found = rows[same & (rows["kind"] == str(body.get("kind")))]
        if found.empty:
            raise Unavailable("This run has no such disagreement.")
        known = {name: found.iloc[0][name] for name in ("gene_id", "symbol", "kind", "chrom", "start", "end", "name")}
        try:
            decision = {name: body.get(name) for name in ("decision", "note", "who")}
            line = append_decision(view.run.path, {**known, **decision})
        except InputError as problem:
            raise RequestError(str(problem)) from None
        return as_json(line, 201)

    @route("/<run>/audit.tsv")
    def decisions(view: RunView) -> Response:
        return tsv(read_decisions(view.run.path), f"{run_part(view.key)}.audit.tsv")


def with_decisions(rows: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """Return rows of the queue with decision, note, who and when of the last decision on each, or None."""
    keys = ["gene_id", "kind", "chrom", "start", "end"]
    plain = rows.astype({name: str for name in rows.columns if isinstance(rows[name].dtype, pd.CategoricalDtype)})
    columns = ["decision", "note", "who", "when"]
    if decisions.empty:
        return plain.assign(**dict.fromkeys(columns))
    return plain.merge(decisions[[*keys, *columns]], "left", keys)


def tsv(table: pd.DataFrame, name: str) -> Response:
    """Return a table as a TSV file that the browser saves."""
    return attachment(table_text(without_formulas(table), "%.6g").encode(), name, TSV)


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which no text begins as a formula, which a spreadsheet program would compute.

    Such a text gets an apostrophe before it. Numbers and strands stay.
    """
    return table.apply(lambda column: column if pd.api.types.is_numeric_dtype(column) else column.map(_no_formula))


def _no_formula(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _json(name: str) -> object:
    text = request.args.get(name, "")
    try:
        return parse_json(text.encode()) if text else None
    except ValueError:
        raise RequestError(f"{name}: expected JSON") from None
