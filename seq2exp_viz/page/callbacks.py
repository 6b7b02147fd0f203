"""What the page does: the browser-side functions are in assets/page/callbacks.js, the rest asks the open runs."""

from __future__ import annotations

from dash import ClientsideFunction, Dash, Input, Output, State, html, no_update

from model_core.errors import InputError
from seq2exp_viz.api import answers
from seq2exp_viz.api.genes import element_answer
from seq2exp_viz.page import panel
from seq2exp_viz.runs.gene_list import gene_list
from seq2exp_viz.runs.gene_search import find
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView

NO_GENE = (
    "No gene has been scored yet. This page fills by itself as results come in; where nothing is being scored: "
    "seq2exp-viz score RUN"
)


def register(app: Dash, registry: RunRegistry, base: str) -> None:
    """Bind all callbacks to `app`."""
    _client(app)
    _server(app, registry, base)


def _client(app: Dash) -> None:
    """Callbacks that run in the browser (assets/page/callbacks.js, namespace seq2exp)."""

    def bind(name: str, *signature, **options) -> None:
        app.clientside_callback(ClientsideFunction("seq2exp", name), *signature, **options)

    bind("start", Output("asked", "data"), Output("run", "value"), Input("config", "data"))
    bind(
        "pick",
        Output("gene", "data", allow_duplicate=True),
        Input("genes", "selectedRows"),
        State("gene", "data"),
        prevent_initial_call=True,
    )
    bind(
        "find",
        Output("gene", "data", allow_duplicate=True),
        Input("query", "data"),
        State("run", "value"),
        State("gene", "data"),
        prevent_initial_call=True,
    )
    bind(
        "draw",
        Output("drawn", "data"),
        Input("gene", "data"),
        Input("threshold", "value"),
        Input("beside", "value"),
        State("asked", "data"),
        State("config", "data"),
        State("revision", "data"),
    )
    bind(
        "annotated", Output("drawn", "data", allow_duplicate=True), Input("revision", "data"), prevent_initial_call=True
    )
    bind(
        "suggest", Output("search", "data"), Input("search", "value"), State("run", "value"), prevent_initial_call=True
    )
    bind("columns", Output("columns-shown", "data"), Input("revision", "data"), prevent_initial_call=True)
    bind(
        "filter",
        Output("genes", "dashGridOptions"),
        Input("filter", "value"),
        State("genes", "dashGridOptions"),
        prevent_initial_call=True,
    )
    bind(
        "select",
        Output("genes", "selectedRows"),
        Output("genes", "scrollTo"),
        Input("gene", "data"),
        Input("genes", "rowData"),
        State("genes", "selectedRows"),
    )
    bind(
        "reset",
        Output("threshold", "value", allow_duplicate=True),
        Input("reset", "n_clicks"),
        State("revision", "data"),
        prevent_initial_call=True,
    )


def _server(app: Dash, registry: RunRegistry, base: str) -> None:
    """Callbacks that need the runs."""

    @app.callback(
        Output("genes", "rowData"),
        Output("gene", "data"),
        Output("threshold", "value"),
        Output("facts", "children"),
        Output("legend", "children"),
        Output("caveat", "children"),
        Output("run-files", "children"),
        Output("progress", "children"),
        Output("revision", "data"),
        Output("beside", "data"),
        Output("beside", "value"),
        Input("run", "value"),
        State("asked", "data"),
        prevent_initial_call=True,
    )
    def show_run(key: str, asked: dict | None):
        view = registry.get(key) or registry.first
        asked = asked if asked and asked.get("run") == view.key else {}
        chosen_gene = {"run": view.key, **gene_of_link(view, asked.get("gene"))}
        chosen = asked.get("threshold")
        threshold = chosen if isinstance(chosen, float | int) and 0 <= chosen <= 1 else view.rule.threshold
        other = beside_of(registry, view, asked.get("beside"))
        view.signals, view.genome, view.models  # noqa: B018  opened here, so that their notes are known
        return (
            rows(view, other),
            chosen_gene,
            threshold,
            panel.facts(view),
            panel.legend(view),
            panel.caveat(view),
            panel.run_files(view, base),
            panel.progress(view),
            revision(view, other),
            [
                {"value": "", "label": "+ second run"},
                *({"value": key, "label": f"+ {key}"} for key in others(registry, view)),
            ],
            other.key if other else "",
        )

    @app.callback(
        Output("genes", "rowData", allow_duplicate=True),
        Output("progress", "children", allow_duplicate=True),
        Output("gene", "data", allow_duplicate=True),
        Output("revision", "data", allow_duplicate=True),
        Output("threshold", "value", allow_duplicate=True),
        Output("legend", "children", allow_duplicate=True),
        Output("caveat", "children", allow_duplicate=True),
        Input("poll", "n_intervals"),
        State("run", "value"),
        State("revision", "data"),
        State("gene", "data"),
        State("threshold", "value"),
        prevent_initial_call=True,
    )
    def poll(_count: int, key: str, seen: dict | None, shown: dict | None, threshold: float | None):
        view = registry.get(key) if key else None
        other = beside_of(registry, view, (seen or {}).get("beside")) if view is not None else None
        now = revision(view, other) if view is not None else None
        if now is None or now == seen:
            return (no_update,) * 7
        caveat = panel.caveat(view)  # what goes on in the background may have failed meanwhile
        if seen and seen["mark"] == now["mark"]:
            return no_update, no_update, no_update, now, no_update, no_update, caveat
        gene = no_update
        if shown is not None and shown.get("gene") is None and len(view.genes):
            asked = (shown.get("unscored") or {}).get("gene_id")
            if asked is None or asked in view.run.scored:  # the gene that was waited for has come
                gene = {"run": view.key, "gene": first_gene(view, asked)}
        untouched = seen is not None and threshold == seen["threshold"] != now["threshold"]
        cut = now["threshold"] if untouched else no_update  # the run's rule has changed, the person chose nothing else
        return rows(view, other), panel.progress(view), gene, now, cut, panel.legend(view), caveat

    @app.callback(
        Output("genes", "rowData", allow_duplicate=True),
        Output("revision", "data", allow_duplicate=True),
        Input("beside", "value"),
        State("run", "value"),
        State("revision", "data"),
        prevent_initial_call=True,
    )
    def lay_beside(name: str, key: str | None, seen: dict | None):
        view = registry.get(key) if key else None
        if view is None or seen is None or seen["run"] != key or (seen["beside"] or "") == (name or ""):
            return no_update, no_update
        other = beside_of(registry, view, name)
        return rows(view, other), revision(view, other)

    @app.callback(
        Output("gene-head", "children"),
        Input("gene", "data"),
        Input("revision", "data"),
    )
    def show_gene(shown: dict | None, _revision: dict | None):
        view, gene = chosen(registry, shown)
        if view is None:
            return []
        if gene is None and shown.get("unscored"):
            return panel.unscored_head(shown["unscored"])
        if gene is None:
            return [NO_GENE]
        missing = shown.get("missing")
        words = [f"No scored gene {missing!r} in this run; this is another one."] if missing else []
        return [*(html.Div(line, className="note", role="alert") for line in words), *panel.gene_head(view, gene)]

    @app.callback(
        Output("element-list", "children"),
        Output("cut-line", "children"),
        Output("get-bed", "href"),
        Output("get-bigwig", "href"),
        Input("gene", "data"),
        Input("threshold", "value"),
    )
    def show_elements(shown: dict | None, threshold: float | None):
        view, gene = chosen(registry, shown)
        if view is None or gene is None:
            return [], "", "#", "#"
        answer = element_answer(view, gene, threshold)
        from seq2exp_viz.api.igv import api_url

        bed = api_url(
            view, base, "genes", gene, "elements.bed", **({} if threshold is None else {"threshold": threshold})
        )
        return (
            panel.element_list(answer),
            panel.cut_line(answer),
            bed,
            api_url(view, base, "genes", gene, "mask.bigWig"),
        )


def chosen(registry: RunRegistry, shown: dict | None) -> tuple[RunView | None, str | None]:
    """The run and the gene's id that the page shows; the id None where the run does not hold it."""
    view = registry.get(shown["run"]) if shown else None
    if view is None:
        return None, None
    try:
        return view, str(view.gene(shown["gene"])["gene_id"]) if shown.get("gene") else None
    except InputError:
        return view, None


def gene_of_link(view: RunView, asked: object) -> dict:
    """What is shown for the gene of a link: a scored one, the place of one that is not scored, or another gene."""
    missing = missing_gene(view, asked)
    found = find(view, missing) if missing else {}
    if found.get("kind") == "unscored":
        return {"gene": None, "unscored": found}
    return {"gene": first_gene(view, asked), "missing": missing}


def missing_gene(view: RunView, asked: object) -> str | None:
    """The gene that a link asks for, where the run does not hold it scored."""
    if not asked or not len(view.genes):
        return None
    try:
        view.gene(str(asked))
    except InputError:
        return str(asked)[:80]
    return None


def first_gene(view: RunView, asked: object) -> str | None:
    """The gene asked for (id or symbol) if it is scored, else a held-out one with elements, else the first."""
    genes = view.genes
    if not len(genes):
        return None
    if asked and missing_gene(view, asked) is None:
        return str(view.gene(str(asked))["gene_id"])
    held_out = genes[(genes["split"] == "test") & (genes["elements"].fillna(0) > 0)]
    return str((held_out if len(held_out) else genes).iloc[0]["gene_id"])


def rows(view: RunView, beside: RunView | None = None) -> list[dict]:
    """All genes of the study for the grid, with the prediction of a second run."""
    return answers.records(gene_list(view, beside))


def others(registry: RunRegistry, view: RunView) -> list[str]:
    """Keys of the runs that can be laid beside `view`: those of the same chromosomes."""
    return [run.key for run in registry if run is not view and run.run.chrom_sizes == view.run.chrom_sizes]


def beside_of(registry: RunRegistry, view: RunView, name: object) -> RunView | None:
    """The run that is to lie beside `view`, None where there is none of this name."""
    return registry.get(str(name)) if name and str(name) in others(registry, view) else None


def revision(view: RunView, beside: RunView | None = None) -> dict:
    """What the browser keeps to see whether something changed, and to reset the threshold."""
    annotated = view.models is not None and view.models.table("gene") is not None
    known = {"mark": view.revision, "threshold": view.rule.threshold, "run": view.key, "annotated": annotated}
    return {**known, "beside": beside.key if beside else None, "notes": view.notes}
