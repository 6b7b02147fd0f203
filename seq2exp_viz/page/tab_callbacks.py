"""What fills the tabs: each panel when it is open and what it shows has changed."""

from __future__ import annotations

from dash import ClientsideFunction, Dash, Input, Output, Patch, State, dcc, html, no_update

from seq2exp_viz.api import answers
from seq2exp_viz.page import plots, tabs
from seq2exp_viz.page.callbacks import chosen
from seq2exp_viz.runs import prediction_quality
from seq2exp_viz.runs.comparison_tables import comparison_tables
from seq2exp_viz.runs.element_tables import element_table
from seq2exp_viz.runs.peak_overlap import overlap
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_files import list_run_files, masks_size
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.style import label_words, peak_name
from seq2exp_viz.runs.table_query import rows_of

MOST_ROWS = 500  # of one request of the elements' table


def register(app: Dash, registry: RunRegistry, base: str) -> None:
    """Bind the callbacks of all tabs to `app`."""
    _client(app)

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
        return {"rowData": answers.records(found.iloc[start:stop]), "rowCount": len(found)}

    @app.callback(
        Output("quality-content", "children"),
        Input("tab", "data"),
        Input("run", "value"),
        Input("revision", "data"),
        State("gene", "data"),
    )
    def show_quality(tab: str | None, key: str | None, _revision: dict | None, shown: dict | None):
        view = registry.get(key) if tab == "quality" and key else None
        return no_update if view is None else quality_panel(view, (shown or {}).get("gene"))

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
        return no_update if view is None else compare_panel(view, base, threshold)

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
        return no_update if view is None else files_panel(view, base)


def _client(app: Dash) -> None:
    def bind(name: str, *signature, **options) -> None:
        app.clientside_callback(ClientsideFunction("seq2exp", name), *signature, prevent_initial_call=True, **options)

    bind("element", Output("chosen-element", "data"), Input("elements-table", "selectedRows"))
    bind(
        "point",
        Output("gene", "data", allow_duplicate=True),
        Input("quality-scatter", "clickData"),
        State("gene", "data"),
    )
    bind("stale", Output("stale", "data"), Input("gene", "data"), Input("threshold", "value"), Input("scope", "data"))


def stores() -> list[dcc.Store]:
    """What the tabs keep: which is open, whose elements are listed, the element that was chosen."""
    return [
        dcc.Store(id="tab"),
        dcc.Store(id="scope", data="gene"),
        dcc.Store(id="chosen-element"),
        dcc.Store(id="stale"),
    ]


def quality_panel(view: RunView, gene: str | None) -> list:
    """Figures of the model's quality, and the run's own metrics."""
    genes = view.run.genes
    if not len(genes):
        return [_empty("No gene has been scored yet.")]
    known = genes["observed"].notna().any()
    parts = []
    if known:
        figure = plots.scatter(genes, gene, label_words(view))
        parts.append(
            tabs.graph(
                "quality-scatter", prediction_quality.scatter_title(genes), figure, f"{view.key}.observed-predicted"
            )
        )
        table, split = prediction_quality.by_chromosome(genes)
        if len(table):
            title = f"Pearson by chromosome{f', {split} genes' if split else ''}, with 95 % interval"
            parts.append(tabs.graph("quality-chromosomes", title, plots.pearson_bars(table), f"{view.key}.pearson"))
    else:
        parts.append(_empty("The study has no observed values, so nothing can be compared with the predictions."))
    history = prediction_quality.history(view.run.path / "training" / "history.csv")
    if history is not None:
        parts.append(tabs.graph("quality-training", "Training", plots.training(history), f"{view.key}.training"))
    rows = prediction_quality.metric_rows(view.run.metrics)
    if rows:
        parts.append(html.Div(_table([["measure", "value"], *rows]), className="scroll metrics", tabIndex=0))
    return parts


def compare_panel(view: RunView, base: str, threshold: float | None) -> list:
    """The masks beside peaks and controls, and the tables of `seq2exp-viz compare` where it was run."""
    found = overlap(view)
    if found is None:
        return [_empty("No gene has been scored yet.")]
    cut = view.run.rule.threshold if threshold is None else threshold
    parts = []
    if found.inside.sum():
        figure = plots.mask_inside_outside(found, peak_name(view))
        parts.append(tabs.graph("compare-inside", "Mask inside and outside peaks", figure, f"{view.key}.mask-in-peaks"))
    curve = plots.kept_curve(found, cut)
    parts.append(tabs.graph("compare-kept", "Share of bases kept at each threshold", curve, f"{view.key}.kept"))
    if len(found.sets):
        bars = plots.overlap_bars(found)
        parts.append(
            tabs.graph("compare-overlap", "Overlap with peaks, compared with controls", bars, f"{view.key}.overlap")
        )
    else:
        parts.append(_empty("This run has no peaks to compare with: `seq2exp-viz peaks` calls them."))
    return [*parts, html.Div(_evidence(view, base, found.genes), className="scroll evidence", tabIndex=0)]


def _evidence(view: RunView, base: str, genes: int) -> list:
    folder = view.run.path / "compare"
    report = next((file for file in list_run_files(view.run.path) if file.place == "compare/report.html"), None)
    parts: list = [html.P(f"The figures count the learned bases of {genes} genes.", className="quiet")]
    if report is not None:
        parts.append(html.A("Open the full report", href=f"{base}data/{view.key}/{report.id}", target="_blank"))
    tables = comparison_tables(folder)
    for name, cells, cut in tables:
        parts += [html.H3(name), _table(cells)]
        parts += [html.P("More rows in the file: see Files.", className="quiet")] if cut else []
    if not tables:
        words = ["All measures against peaks, controls and CRISPR pairs: ", html.Code("seq2exp-viz compare RUN")]
        parts.append(html.P([*words, " writes them into the run; they are shown here then."]))
    return parts


def files_panel(view: RunView, base: str) -> list:
    """Every file of the run: what it is, its size, a link."""
    rows = [
        html.Tr(
            [
                html.Td(html.A(file.place, href=f"{base}data/{view.key}/{file.id}?download=1")),
                html.Td(file.words),
                html.Td(size_words(file.size), className="right"),
            ]
        )
        for file in list_run_files(view.run.path)
    ]
    masks = html.Tr(
        [
            html.Td("masks.zarr"),
            html.Td("masks of all genes, a folder (Zarr): one gene's mask is in the menu Download"),
            html.Td(size_words(masks_size(view.run.path)), className="right"),
        ]
    )
    head = html.Thead(html.Tr([html.Th("File"), html.Th("What it is"), html.Th("Size", className="right")]))
    return [
        html.Div(html.Table([head, html.Tbody([*rows, masks])], className="plain"), className="scroll wide", tabIndex=0)
    ]


def size_words(size: int) -> str:
    """Bytes as people read them: 812 B, 3.4 kB, 1.2 GB."""
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _table(cells: list) -> html.Table:
    head, *rows = cells
    return html.Table(
        [
            html.Thead(html.Tr([html.Th(str(cell)) for cell in head])),
            html.Tbody([html.Tr([html.Td(str(cell)) for cell in row]) for row in rows]),
        ],
        className="plain",
    )


def _empty(words: str) -> html.Div:
    return html.Div(words, className="empty")
