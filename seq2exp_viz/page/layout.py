"""The one screen: header, gene table, genome browser, the gene's panel; and the pieces that callbacks fill in."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import dcc, html

from seq2exp_viz.page import tables, tabs
from seq2exp_viz.page.attributes import aria, data
from seq2exp_viz.page.help import help_overlay
from seq2exp_viz.page.menus import drop_down, export_menu, help_button, share_menu
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving.static_files import IgvScript

POLL_MS = 3_000
CUT_WORDS = (
    "Of the bases that the model decides (without promoter and blacklist), the share that lies in these elements. "
    "Kept %, in the list of genes, is another number: the mean of the mask over the same bases, at any threshold."
)


def page(registry: RunRegistry, base: str, script: IgvScript, read_only: bool = False) -> dmc.MantineProvider:
    """Return the whole page.

    Parameters
    ----------
    registry : RunRegistry
        The runs that can be chosen.
    base : str
        Prefix of all addresses.
    script : IgvScript
        The igv.js that will be loaded.
    read_only : bool
        Whether what stores something or makes the model work is hidden (`data-writes`).
    """
    config = {
        "base": base,
        "igv": {"url": f"{base}igv.js?v={script.version}", "version": script.version, "source": script.source},
        "runs": [view.key for view in registry],
        "columns": tables.gene_columns(),
    }
    return dmc.MantineProvider(
        id="theme",
        defaultColorScheme="auto",
        theme={"fontFamily": "var(--font)", "primaryColor": "blue", "defaultRadius": "sm"},
        children=[
            dcc.Store(id="config", data=config),
            dcc.Store(id="asked"),
            dcc.Store(id="gene"),
            dcc.Store(id="query"),
            dcc.Store(id="drawn"),
            dcc.Store(id="revision"),
            dcc.Store(id="columns-shown"),
            dcc.Interval(id="poll", interval=POLL_MS),
            help_overlay(),
            *tabs.stores(),
            html.Div(
                className="page read-only" if read_only else "page",
                children=[_header(registry), _genes(), _browser(), tabs.area(), _gene_panel(), _footer(script)],
            ),
        ],
    )


def _header(registry: RunRegistry) -> html.Header:
    several = len(list(registry)) > 1
    beside = dmc.Select(
        id="beside",
        data=[],
        value="",
        allowDeselect=False,
        size="sm",
        w=150,
        display=None if several else "none",
        comboboxProps={"shadow": "md"},
        **aria(label="Second run to compare with"),
    )
    runs = [{"value": view.key, "label": view.run.name} for view in registry]
    search = dmc.Autocomplete(
        id="search",
        data=[],
        limit=8,
        comboboxProps={"shadow": "md", "zIndex": 500},
        placeholder="Gene, ID or chr1:1,000-2,000",
        w="100%",
        size="sm",
        inputProps={"aria-label": "Search for a gene or a position", "autoComplete": "off", "spellCheck": "false"},
        **aria(label="Search for a gene or a position"),
    )
    return html.Header(
        className="head",
        children=[
            html.H1("seq2exp-viz", className="brand"),
            dmc.Select(
                id="run",
                data=runs,
                allowDeselect=False,
                size="sm",
                w=125,
                **aria(label="Run"),
                comboboxProps={"shadow": "md"},
            ),
            beside,
            html.Div(
                search,
                className="search",
            ),
            html.Div(id="facts", className="facts"),
            export_menu(),
            share_menu(),
            dmc.ColorSchemeToggle(
                lightIcon=html.Span("☀", className="icon"),
                darkIcon=html.Span("☾", className="icon"),
                variant="default",
                size=32,
                **aria(label="Light or dark"),
            ),
            help_button(),
        ],
    )


def _genes() -> html.Section:
    return html.Section(
        className="genes",
        **aria(label="Genes"),
        children=[
            html.Div(
                className="genes-head",
                children=[
                    html.Div(id="progress", className="progress-line"),
                    drop_down("Columns", [], "column-list"),
                    html.Button(
                        "Wide",
                        className="tool",
                        title="Show all columns, with a filter for each",
                        **data(action="wide"),
                        **aria(pressed="false"),
                    ),
                    dmc.TextInput(
                        id="filter",
                        placeholder="Filter the list",
                        size="xs",
                        **aria(label="Filter the list of genes"),
                    ),
                ],
            ),
            html.Div(tables.genes(), className="grid"),
        ],
    )


def _browser() -> html.Main:
    tools = [
        html.Button("−", className="tool", title="Zoom out", **data(action="zoom-out"), **aria(label="Zoom out")),
        html.Button("+", className="tool", title="Zoom in", **data(action="zoom-in"), **aria(label="Zoom in")),
        html.Button("Window", className="tool", title="Show the whole window of this gene", **data(action="window")),
        html.Button("Promoter", className="tool", title="Show the promoter of this gene", **data(action="promoter")),
        html.Span("", id="locus", className="locus"),
        drop_down("Tracks", [html.Div(id=name, className="menu-part") for name in ("own-list", "track-list")]),
    ]
    message = html.Div("", id="message", className="message", role="status", **aria(live="polite"))
    return html.Main(
        className="browser",
        children=[
            html.Div(tools, className="tools"),
            html.Div(message, className="message-line"),
            html.Div(id="igv", className="igv", role="region", tabIndex=0, **aria(label="Genome browser")),
            html.Div(id="legend", className="legend"),
        ],
    )


def _gene_panel() -> html.Aside:
    return html.Aside(
        className="gene",
        **aria(label="This gene"),
        children=[
            html.Div(id="gene-head"),
            html.Div(
                className="threshold",
                children=[
                    html.Div(
                        className="threshold-label",
                        children=[
                            html.Label("Threshold"),
                            html.Output("", id="threshold-value"),
                            html.Button("reset", id="reset", className="link"),
                        ],
                    ),
                    dmc.Slider(
                        id="threshold",
                        min=0,
                        max=1,
                        step=0.001,
                        value=0.5,
                        precision=3,
                        updatemode="drag",
                        size="sm",
                        label=None,
                        thumbLabel="Threshold on the mask",
                    ),
                    html.Div(id="cut-line", className="cut-line", title=CUT_WORDS),
                ],
            ),
            html.Div(id="element-list", className="element-list"),
            html.Section(id="whatif", className="whatif", **aria(label="What if")),
        ],
    )


def _footer(script: IgvScript) -> html.Footer:
    return html.Footer(
        className="foot",
        children=[
            html.Span(id="caveat", className="caveat"),
            html.Span(f"igv.js {script.version}, {script.source}", className="build"),
        ],
    )
