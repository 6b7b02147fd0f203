"""The area below the genome browser: a strip of tabs, and for each a panel that is filled when it is opened."""

from __future__ import annotations

from dash import dcc, html

from seq2exp_viz.page import plots, tables

TABS = {
    "elements": "Elements",
    "audit": "Peak audit",
    "compare": "Compare",
    "quality": "Model quality",
    "jobs": "Jobs",
    "files": "Files",
}
GRAPH = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


def area() -> html.Section:
    """The strip and the panels, all closed."""
    buttons = [
        html.Button(
            words,
            id=f"tab-{name}",
            className="tab-button",
            role="tab",
            **{"data-action": "tab", "data-tab": name, "aria-controls": f"panel-{name}", "aria-selected": "false"},
        )
        for name, words in TABS.items()
    ]
    close = html.Button(
        "Close", id="tab-close", className="link tab-close", hidden=True, **{"data-action": "tab", "data-tab": ""}
    )
    filled = {"elements": _elements(), "audit": _audit(), "jobs": _jobs()}
    panels = [
        html.Div(
            filled[name] if name in filled else html.Div(id=f"{name}-content", className="tab-content"),
            id=f"panel-{name}",
            className="tab-panel",
            role="tabpanel",
            hidden=True,
            **{"aria-labelledby": f"tab-{name}"},
        )
        for name in TABS
    ]
    tablist = html.Div(buttons, className="tab-list", role="tablist", **{"aria-label": "Tables and figures"})
    strip = html.Div([tablist, close], className="tab-strip")
    return html.Section([strip, *panels], className="tabs", **{"aria-label": "Below the browser"})


def _elements() -> html.Div:
    scope = [
        html.Button(
            words,
            className="choice",
            **{"data-action": "scope", "data-scope": name, "aria-pressed": "true" if name == "gene" else "false"},
        )
        for name, words in (("gene", "This gene"), ("all", "All genes"))
    ]
    tools = [
        html.Div(scope, className="choices", role="group", **{"aria-label": "Elements of"}),
        html.Span(id="elements-count", className="quiet"),
        html.Button("Download TSV", className="link", **{"data-action": "elements-tsv"}),
    ]
    return html.Div(
        className="tab-content two",
        children=[
            html.Div([html.Div(tools, className="tab-tools"), html.Div(tables.elements(), className="grid")]),
            html.Div(
                className="owners",
                children=[
                    html.H3("Whose element is this?"),
                    html.Div(
                        "Choose an element here, or click one, a peak or the mask in the browser: all genes that keep "
                        "these bases.",
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
    """A figure that fills its box, title and legend above; the camera in its corner saves it as SVG named `file`."""
    config = {**GRAPH, "toImageButtonOptions": {"format": "svg", "filename": file}}
    plot = dcc.Graph(id=name, figure=figure, config=config, className="chart", responsive=True)
    named = [trace for trace in figure["data"] if trace.get("showlegend") is not False and trace.get("name")]
    marks = [
        html.Span([html.Span(className="swatch block", style={"background": plots.colour(trace)}), trace["name"]])
        for trace in (named if len(named) > 1 else [])
    ]
    return html.Figure([html.Figcaption([title, html.Div(marks, className="marks")]), plot])
