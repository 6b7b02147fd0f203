"""The run, the gene and the second run that a link or a click asks for, and the state that the browser keeps."""

from __future__ import annotations

from model_core.errors import InputError
from seq2exp_viz.api import http
from seq2exp_viz.runs.gene_list import gene_list
from seq2exp_viz.runs.gene_search import find
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView


def chosen(registry: RunRegistry, shown: dict | None) -> tuple[RunView | None, str | None]:
    """Return the run and the gene's id that the page shows; the id is None where the run does not have it."""
    view = registry.get(shown["run"]) if shown else None
    if shown is None or view is None:
        return None, None
    try:
        return view, str(view.run.gene(shown["gene"])["gene_id"]) if shown.get("gene") else None
    except InputError:
        return view, None


def gene_of_link(view: RunView, asked: object) -> dict:
    """Return what is shown for the gene of a link: the gene, its position if it is not scored, or another gene.

    A run without genes shows no other one: it waits for this one, whose place is shown once the annotation is read.
    """
    missing = missing_gene(view, asked)
    found = find(view, missing) if missing else {}
    if found.get("kind") == "unscored":
        return {"gene": None, "unscored": found}
    if missing and not len(view.run.genes):
        return {"gene": None, "waits": missing}
    return {"gene": first_gene(view, asked), "missing": missing}


def missing_gene(view: RunView, asked: object) -> str | None:
    """Return the gene that a link asks for, where it is not scored in the run."""
    if not asked:
        return None
    try:
        view.run.gene(str(asked))
    except InputError:
        return str(asked)[:80]
    return None


def arrived(view: RunView, shown: dict | None) -> dict | None:
    """Return what is shown now that a run has grown or its annotation was read; None where nothing has changed.

    Parameters
    ----------
    view : RunView
        The run.
    shown : dict or None
        What the page shows.
    """
    if shown is None or shown.get("gene") is not None:
        return None
    waits, unscored = shown.get("waits"), (shown.get("unscored") or {}).get("gene_id")
    asked = unscored or waits
    if asked is None:  # any gene
        return {"run": view.key, "gene": first_gene(view, None)} if len(view.run.genes) else None
    now = gene_of_link(view, asked)
    if now.get("gene") is not None and "missing" in now and now["missing"] is None:
        return {"run": view.key, "gene": now["gene"]}
    return {"run": view.key, **now} if waits and now.get("unscored") else None


def first_gene(view: RunView, asked: object) -> str | None:
    """Return the gene asked for (id or symbol) if it is scored, else a held-out one with elements, else the first."""
    genes = view.run.genes
    if not len(genes):
        return None
    if asked and missing_gene(view, asked) is None:
        return str(view.run.gene(str(asked))["gene_id"])
    held_out = genes[(genes["split"] == "test") & (genes["elements"].fillna(0) > 0)]
    return str((held_out if len(held_out) else genes).iloc[0]["gene_id"])


def grid_rows(view: RunView, second: RunView | None = None) -> list[dict]:
    """Return all genes of the study for the grid, with the prediction of a second run."""
    return http.records(gene_list(view, second))


def comparable_runs(registry: RunRegistry, view: RunView) -> list[str]:
    """Return the keys of the runs that can be shown alongside `view`: those of the same chromosomes."""
    return [run.key for run in registry if run is not view and run.run.chrom_sizes == view.run.chrom_sizes]


def second_run_of(registry: RunRegistry, view: RunView, name: object) -> RunView | None:
    """Return the run that is to be shown alongside `view`, None where there is none of this name."""
    return registry.get(str(name)) if name and str(name) in comparable_runs(registry, view) else None


def revision(view: RunView, second: RunView | None = None) -> dict:
    """Return what the browser keeps to see whether something changed, and to reset the threshold."""
    annotated = view.models is not None and view.models.table("gene") is not None
    known: dict = {"mark": view.revision, "threshold": view.run.rule.threshold, "run": view.key, "annotated": annotated}
    known |= {"measured": view.measured, "seen": bool(view.run.genes["seen_in_training"].notna().any())}
    return {**known, "beside": second.key if second else None, "notes": view.notes}
