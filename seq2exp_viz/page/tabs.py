"""The area below the genome browser: a strip of tabs, and for each a panel with its contents."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html
from dash.development.base_component import Component

from model_core.run_folder.calibration import calibration_words
from seq2exp_viz.page import plots, tables
from seq2exp_viz.page.attributes import aria, data
from seq2exp_viz.runs import prediction_quality
from seq2exp_viz.runs.comparison_tables import comparison_tables
from seq2exp_viz.runs.peak_overlap import overlap
from seq2exp_viz.runs.run_files import list_run_files, masks_size
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.style import label_words, peak_name

TABS = {
    "elements": "Elements",
    "audit": "Peak audit",
    "compare": "Compare",
    "quality": "Model quality",
    "jobs": "Jobs",
    "files": "Files",
}
GRAPH: dcc.Graph.Config = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}


def area() -> html.Section:
    """Return the strip and the panels, all closed."""
    buttons = [
        html.Button(
            words,
            id=f"tab-{name}",
            className="tab-button",
            role="tab",
            **data(action="tab", tab=name),
            **aria(controls=f"panel-{name}", selected="false"),
        )
        for name, words in TABS.items()
    ]
    close = html.Button("Close", id="tab-close", className="link tab-close", hidden=True, **data(action="tab", tab=""))
    filled = {"elements": _elements(), "audit": _audit(), "jobs": _jobs()}
    panels = [
        html.Div(
            filled[name] if name in filled else html.Div(id=f"{name}-content", className="tab-content"),
            id=f"panel-{name}",
            className="tab-panel",
            role="tabpanel",
            hidden=True,
            **aria(labelledby=f"tab-{name}"),
        )
        for name in TABS
    ]
    tablist = html.Div(buttons, className="tab-list", role="tablist", **aria(label="Tables and figures"))
    strip = html.Div([tablist, close], className="tab-strip")
    return html.Section([strip, *panels], className="tabs", **aria(label="Below the browser"))


def _elements() -> html.Div:
    scope = [
        html.Button(
            words,
            className="choice",
            **data(action="scope", scope=name),
            **aria(pressed="true" if name == "gene" else "false"),
        )
        for name, words in (("gene", "This gene"), ("all", "All genes"))
    ]
    tools = [
        html.Div(scope, className="choices", role="group", **aria(label="Elements of")),
        html.Span(id="elements-count", className="quiet"),
        html.Button("Download TSV", className="link", **data(action="elements-tsv")),
    ]
    return html.Div(
        className="tab-content two",
        children=[
            html.Div([html.Div(tools, className="tab-tools"), html.Div(tables.elements(), className="grid")]),
            html.Div(
                className="owners",
                children=[
                    html.H3("Which genes use this element?"),
                    html.Div(
                        "Choose an element in the table, or click an element, a peak or the mask in the browser. "
                        "All scored genes whose window covers it are then listed.",
                        id="owners",
                        className="scroll",
                    ),
                ],
            ),
        ],
    )


def _audit() -> html.Div:
    return html.Div(id="audit", className="tab-content audit")


def _jobs() -> html.Div:
    return html.Div(id="jobs", className="tab-content scroll")


def graph(name: str, title: str, figure: dict, file: str) -> html.Figure:
    """Return a figure that fills its box, title and legend above; its camera button saves it as SVG named `file`."""
    config: dcc.Graph.Config = {**GRAPH, "toImageButtonOptions": {"format": "svg", "filename": file}}
    plot = dcc.Graph(id=name, figure=figure, config=config, className="chart", responsive=True)
    named = [trace for trace in figure["data"] if trace.get("showlegend") is not False and trace.get("name")]
    marks = [
        html.Span([html.Span(className="swatch block", style={"background": plots.colour(trace)}), trace["name"]])
        for trace in (named if len(named) > 1 else [])
    ]
    return html.Figure([html.Figcaption([title, html.Div(marks, className="marks")]), plot])


def stores() -> list[dcc.Store]:
    """Return the stores of the tabs: which is open, elements of which genes are listed, the chosen element."""
    return [
        dcc.Store(id="tab"),
        dcc.Store(id="scope", data="gene"),
        dcc.Store(id="chosen-element"),
        dcc.Store(id="stale"),
    ]


def quality_panel(view: RunView, gene: str | None) -> list[Component]:
    """Return figures of the model's quality, and the run's own metrics."""
    genes = view.run.genes
    if not len(genes):
        return [_empty("No gene has been scored yet.")]
    known = genes["observed"].notna().any()
    parts: list[Component] = []
    if known:
        figure = plots.scatter(genes, gene, label_words(view))
        parts.append(
            graph("quality-scatter", prediction_quality.scatter_title(genes), figure, f"{view.key}.observed-predicted")
        )
        table, split = prediction_quality.by_chromosome(genes)
        if len(table):
            title = f"Pearson by chromosome{f', {split} genes' if split else ''}, with 95 % interval"
            parts.append(graph("quality-chromosomes", title, plots.pearson_bars(table), f"{view.key}.pearson"))
    else:
        parts.append(_empty("The study has no observed values, so nothing can be compared with the predictions."))
    history = view.history
    if history is not None:
        parts.append(graph("quality-training", "Training", plots.training(history), f"{view.key}.training"))
    rows = prediction_quality.metric_rows(view.metrics)
    if rows:
        chance = ("chance of elements", calibration_words(view.calibration))
        parts.append(html.Div(_table([["measure", "value"], chance, *rows]), className="scroll metrics", tabIndex=0))
    return parts


def compare_panel(view: RunView, base: str, threshold: float | None) -> list[Component]:
    """Return the mask compared with peaks and controls, and the tables of `seq2exp-viz compare` where it was run."""
    found = overlap(view)
    if found is None:
        return [_empty("No gene has been scored yet.")]
    cut = view.run.rule.threshold if threshold is None else threshold
    parts: list[Component] = []
    if found.inside.sum():
        figure = plots.mask_inside_outside(found, peak_name(view))
        parts.append(graph("compare-inside", "Mask inside and outside peaks", figure, f"{view.key}.mask-in-peaks"))
    curve = plots.kept_curve(found, cut)
    parts.append(graph("compare-kept", "Share of bases kept at each threshold", curve, f"{view.key}.kept"))
    if len(found.sets):
        bars = plots.overlap_bars(found)
        parts.append(
            graph("compare-overlap", "Overlap with peaks, compared with controls", bars, f"{view.key}.overlap")
        )
    else:
        parts.append(_empty("This run has no peaks to compare with. `seq2exp-viz peaks` calls peaks."))
    return [*parts, html.Div(_comparison_files(view, base, found.genes), className="scroll evidence", tabIndex=0)]


def _comparison_files(view: RunView, base: str, genes: int) -> list[Component]:
    folder = view.run.path / "compare"
    report = next((file for file in list_run_files(view.run.path) if file.place == "compare/report.html"), None)
    words = f"These figures count the bases that the model decides in the windows of {genes} genes."
    parts: list[Component] = [html.P(words, className="quiet")]
    if report is not None:
        parts.append(html.A("Open the full report", href=f"{base}data/{view.key}/{report.id}", target="_blank"))
    tables = comparison_tables(folder)
    for name, cells, cut in tables:
        parts += [html.H3(name), _table(cells)]
        parts += [html.P("The file has more rows: see the tab Files.", className="quiet")] if cut else []
    if not tables:
        command = html.Code("seq2exp-viz compare RUN")
        shown = " compares the mask with peaks, controls and CRISPR pairs. Its tables are then shown here."
        parts.append(html.P([command, shown]))
    return parts


def files_panel(view: RunView, base: str) -> list[Component]:
    """Return every file of the run: what it is, its size, a link."""
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
            html.Td("masks of all genes, a folder (Zarr); the menu Export has the mask of one gene"),
            html.Td(size_words(masks_size(view.run.path)), className="right"),
        ]
    )
    head = html.Thead(html.Tr([html.Th("File"), html.Th("What it is"), html.Th("Size", className="right")]))
    return [
        html.Div(html.Table([head, html.Tbody([*rows, masks])], className="plain"), className="scroll wide", tabIndex=0)
    ]


def size_words(size: int) -> str:
    """Return a number of bytes with its unit: 812 B, 3.4 kB, 1.2 GB."""
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _table(cells: Sequence[Sequence[object]]) -> html.Table:
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
