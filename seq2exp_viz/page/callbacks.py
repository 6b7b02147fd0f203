"""Callbacks of the page: functions of assets/page/callbacks.js run in the browser, the others read the open runs."""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, Patch, State, html, no_update

from seq2exp_viz.api import http
from seq2exp_viz.api.genes import element_answer
from seq2exp_viz.api.igv import api_url
from seq2exp_viz.page import panel, plots, tabs
from seq2exp_viz.page.selection import (
    arrived,
    chosen,
    comparable_runs,
    gene_of_link,
    grid_rows,
    revision,
    second_run_of,
)
from seq2exp_viz.runs.effect_words import cell_words
from seq2exp_viz.runs.element_tables import element_table
from seq2exp_viz.runs.peak_overlap import overlap
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.table_query import rows_of

NO_GENE = (
    "No gene has been scored yet. Results appear here while genes are being scored. To score genes, run: "
    "seq2exp-viz score RUN"
)
MOST_ROWS = 500  # of one request of the table of elements


def register(app: Dash, registry: RunRegistry, base: str) -> None:
    """Bind all callbacks to `app`."""
    _client(app)
    _run_callbacks(app, registry, base)
    _gene_callbacks(app, registry, base)
    _tab_callbacks(app, registry, base)


def _client(app: Dash) -> None:
    """Bind the functions that run in the browser (assets/page/callbacks.js, namespace seq2exp)."""

    def bind(name: str, *signature: Any, at_start: bool = False) -> None:
        function = ClientsideFunction("seq2exp", name)
        app.clientside_callback(function, *signature, prevent_initial_call=not at_start)

    bind("start", Output("asked", "data"), Output("run", "value"), Input("config", "data"), at_start=True)
    bind(
        "pick",
        Output("gene", "data", allow_duplicate=True),
        Input("genes", "selectedRows"),
        State("gene", "data"),
    )
    bind(
        "find",
        Output("gene", "data", allow_duplicate=True),
        Input("query", "data"),
        State("run", "value"),
        State("gene", "data"),
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
        at_start=True,
    )
    bind("annotated", Output("drawn", "data", allow_duplicate=True), Input("revision", "data"))
    bind("suggest", Output("search", "data"), Input("search", "value"), State("run", "value"))
    bind("columns", Output("columns-shown", "data"), Input("revision", "data"))
    bind(
        "filter",
        Output("genes", "dashGridOptions"),
        Input("filter", "value"),
        State("genes", "dashGridOptions"),
    )
    bind(
        "select",
        Output("genes", "selectedRows"),
        Output("genes", "scrollTo"),
        Input("gene", "data"),
        Input("genes", "rowData"),
        State("genes", "selectedRows"),
        at_start=True,
    )
    bind(
        "reset",
        Output("threshold", "value", allow_duplicate=True),
        Input("reset", "n_clicks"),
        State("revision", "data"),
    )
    bind("element", Output("chosen-element", "data"), Input("elements-table", "selectedRows"))
    bind(
        "point",
        Output("gene", "data", allow_duplicate=True),
        Input("quality-scatter", "clickData"),
        State("gene", "data"),
    )
    bind(
        "stale",
        Output("stale", "data"),
        Input("gene", "data"),
        Input("threshold", "value"),
        Input("scope", "data"),
    )


def _run_callbacks(app: Dash, registry: RunRegistry, base: str) -> None:
    """Bind what shows a run, follows it while it grows, and adds a second one."""

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
        threshold = chosen if isinstance(chosen, float | int) and 0 <= chosen <= 1 else view.run.rule.threshold
        second = second_run_of(registry, view, asked.get("beside"))
        return (
            grid_rows(view, second),
            chosen_gene,
            threshold,
            panel.facts(view),
            panel.legend(view),
            panel.caveat(view),
            panel.run_files(view, base),
            panel.progress(view),
            revision(view, second),
            [
                {"value": "", "label": "+ second run"},
                *({"value": key, "label": f"+ {key}"} for key in comparable_runs(registry, view)),
            ],
            second.key if second else "",
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
        if view is None:
            return (no_update,) * 7
        second = second_run_of(registry, view, (seen or {}).get("beside"))
        now = revision(view, second)
        if now == seen:
            return (no_update,) * 7
        caveat = panel.caveat(view)  # what goes on in the background may have failed meanwhile
        gene = arrived(view, shown) or no_update  # what was waited for has come
        if seen and seen["mark"] == now["mark"]:
            return no_update, no_update, gene, now, no_update, no_update, caveat
        untouched = seen is not None and threshold == seen["threshold"] != now["threshold"]
        cut = (
            now["threshold"] if untouched else no_update
        )  # the rule of the run has changed, and the user chose no other threshold
        return grid_rows(view, second), panel.progress(view), gene, now, cut, panel.legend(view), caveat

    @app.callback(
        Output("genes", "rowData", allow_duplicate=True),
        Output("revision", "data", allow_duplicate=True),
        Input("beside", "value"),
        State("run", "value"),
        State("revision", "data"),
        prevent_initial_call=True,
    )
    def add_second_run(name: str, key: str | None, seen: dict | None):
        view = registry.get(key) if key else None
        if view is None or seen is None or seen["run"] != key or (seen["beside"] or "") == (name or ""):
            return no_update, no_update
        second = second_run_of(registry, view, name)
        return grid_rows(view, second), revision(view, second)


def _gene_callbacks(app: Dash, registry: RunRegistry, base: str) -> None:
    """Bind what shows a gene and its elements."""

    @app.callback(
        Output("gene-head", "children"),
        Input("gene", "data"),
        Input("revision", "data"),
    )
    def show_gene(shown: dict | None, _revision: dict | None):
        view, gene = chosen(registry, shown)
        if shown is None or view is None:
            return []
        if gene is None and shown.get("unscored"):
            return panel.unscored_head(view.key, shown["unscored"])
        if gene is None and shown.get("waits"):
            return panel.waiting_head(view.key, shown["waits"])
        if gene is None:
            return [NO_GENE]
        missing = shown.get("missing")
        words = [f"This run has no scored gene {missing!r}. Another gene is shown."] if missing else []
        return [*(html.Div(line, className="note", role="alert") for line in words), *panel.gene_head(view, gene)]

    @app.callback(
        Output("element-list", "children"),
        Output("cut-line", "children"),
        Output("get-bed", "href"),
        Output("get-gff3", "href"),
        Output("get-bedpe", "href"),
        Output("get-bigwig", "href"),
        Input("gene", "data"),
        Input("threshold", "value"),
        Input("revision", "data"),  # the peaks of a run may come after its first gene
    )
    def show_elements(shown: dict | None, threshold: float | None, _revision: dict | None):
        view, gene = chosen(registry, shown)
        if view is None or gene is None:
            return [], "", "#", "#", "#", "#"
        answer = element_answer(view, gene, threshold)
        query = {} if threshold is None else {"threshold": threshold}
        return (
            panel.element_list(answer),
            panel.cut_line(answer),
            api_url(view, base, "genes", gene, "elements.bed", **query),
            api_url(view, base, "genes", gene, "elements.gff3", **query),
            api_url(view, base, "genes", gene, "elements.bedpe", **query),
            api_url(view, base, "genes", gene, "mask.bigWig"),
        )


def _tab_callbacks(app: Dash, registry: RunRegistry, base: str) -> None:
    """Bind what fills the tabs: each panel when it is open and what it shows has changed."""

    @app.callback(
        Output("elements-table", "getRowsResponse"),
        Input("elements-table", "getRowsRequest"),
        State("gene", "data"),
        State("threshold", "value"),
        State("scope", "data"),
        prevent_initial_call=True,
    )
    def elements(asked: dict | None, shown: dict | None, threshold: float | None, scope: str | None):
        view, gene = chosen(registry, shown)
        if asked is None or view is None or (gene is None and scope != "all"):
            return {"rowData": [], "rowCount": 0}
        table = element_table(view) if scope == "all" else element_table(view, gene, threshold)
        found = rows_of(table, asked.get("filterModel"), asked.get("sortModel"))
        start = max(0, int(asked.get("startRow", 0)))
        stop = min(int(asked.get("endRow", start + 100)), start + MOST_ROWS)
        rows = http.records(found.iloc[start:stop])
        return {"rowData": [{**row, "said": cell_words(row)} for row in rows], "rowCount": len(found)}

    @app.callback(
        Output("quality-content", "children"),
        Input("tab", "data"),
        Input("run", "value"),
        Input("revision", "data"),
        State("gene", "data"),
    )
    def show_quality(tab: str | None, key: str | None, _revision: dict | None, shown: dict | None):
        view = registry.get(key) if tab == "quality" and key else None
        return no_update if view is None else tabs.quality_panel(view, (shown or {}).get("gene"))

    @app.callback(
        Output("quality-scatter", "figure"),
        Input("gene", "data"),
        State("tab", "data"),
        prevent_initial_call=True,
    )
    def ring(shown: dict | None, tab: str | None):
        view, gene = chosen(registry, shown)
        if tab != "quality" or view is None:
            return no_update
        figure = Patch()
        figure["data"][-1] = plots.chosen_gene(view.run.genes, gene)
        return figure

    @app.callback(
        Output("compare-content", "children"),
        Input("tab", "data"),
        Input("run", "value"),
        Input("revision", "data"),
        State("threshold", "value"),
    )
    def show_compare(tab: str | None, key: str | None, _revision: dict | None, threshold: float | None):
        view = registry.get(key) if tab == "compare" and key else None
        return no_update if view is None else tabs.compare_panel(view, base, threshold)

    @app.callback(
        Output("compare-kept", "figure"),
        Input("threshold", "value"),
        State("tab", "data"),
        State("run", "value"),
        prevent_initial_call=True,
    )
    def kept(threshold: float | None, tab: str | None, key: str | None):
        view = registry.get(key) if tab == "compare" and key else None
        found = overlap(view) if view is not None else None
        return no_update if found is None or threshold is None else plots.kept_curve(found, threshold)

    @app.callback(
        Output("files-content", "children"), Input("tab", "data"), Input("run", "value"), Input("revision", "data")
    )
    def show_files(tab: str | None, key: str | None, _revision: dict | None):
        view = registry.get(key) if tab == "files" and key else None
        return no_update if view is None else tabs.files_panel(view, base)
