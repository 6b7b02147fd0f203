"""The one screen: header, gene table, genome browser, the gene's panel; and the pieces that callbacks fill in."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import dcc, html

from seq2exp_viz import figures, igv
from seq2exp_viz.browser_files import IgvScript
from seq2exp_viz.shelf import OpenRun, Shelf

POLL_MS = 3_000
FAITHFUL = ("soft", "hard")
PRIOR_LINE = {
    "soft": "The released soft mask follows its signal prior: it shows where the signals are high. "
    "Do not read it as a discovery.",
    "hard": "The released hard mask gets no gradient from the prediction: it shows its prior, not a discovery.",
}
NUMBER = {"function": "params.value == null ? '' : d3.format('.2f')(params.value)"}
PERCENT = {"function": "params.value == null ? '' : d3.format('.1f')(params.value)"}


def page(shelf: Shelf, base: str, script: IgvScript) -> dmc.MantineProvider:
    """The whole page; `base` is the prefix of all addresses, `script` the igv.js that will be loaded."""
    config = {
        "base": base,
        "igv": {"url": f"{base}igv.js?v={script.version}", "version": script.version, "source": script.source},
        "runs": [view.key for view in shelf],
    }
    return dmc.MantineProvider(
        id="theme",
        defaultColorScheme="auto",
        theme={"fontFamily": "var(--font)", "primaryColor": "blue", "defaultRadius": "sm"},
        children=[
            dcc.Store(id="config", data=config),
            dcc.Store(id="asked"),
            dcc.Store(id="gene"),
            dcc.Store(id="drawn"),
            dcc.Store(id="revision"),
            dcc.Interval(id="poll", interval=POLL_MS),
            html.Div(className="page", children=[_header(shelf), _genes(), _browser(), _gene_panel(), _footer(script)]),
        ],
    )


def _header(shelf: Shelf) -> html.Header:
    runs = [{"value": view.key, "label": view.run.name} for view in shelf]
    search = dmc.TextInput(
        id="search",
        placeholder="Gene, Ensembl id or chr1:1,000-2,000",
        w="100%",
        size="sm",
        inputProps={"aria-label": "Search for a gene or a place", "autoComplete": "off", "spellCheck": "false"},
        **{"aria-label": "Search for a gene or a place"},
    )
    return html.Header(
        className="head",
        children=[
            html.Span("seq2exp-viz", className="brand"),
            dmc.Select(
                id="run",
                data=runs,
                allowDeselect=False,
                size="sm",
                w=190,
                **{"aria-label": "Run"},
                comboboxProps={"shadow": "md"},
            ),
            html.Div(
                [search, html.Div("", id="message", className="message", role="status", **{"aria-live": "polite"})],
                className="search",
            ),
            html.Div(id="facts", className="facts"),
            _menu(
                "Download",
                [
                    html.A("Elements of this gene (BED)", id="get-bed", href="#", download=""),
                    html.A("Mask of this gene (bigWig)", id="get-bigwig", href="#", download=""),
                    html.Button("This view (SVG)", **{"data-action": "svg"}),
                    html.Button("This view (IGV session)", **{"data-action": "session"}),
                    html.Hr(),
                    html.Div(id="run-files", className="menu-part"),
                ],
            ),
            html.Button("Copy link", className="plain-button", **{"data-action": "copy-link"}),
            dmc.ColorSchemeToggle(
                lightIcon=html.Span("☀", className="icon"),
                darkIcon=html.Span("☾", className="icon"),
                variant="default",
                size=32,
                **{"aria-label": "Light or dark"},
            ),
        ],
    )


def _menu(label: str, children: list, name: str | None = None) -> html.Details:
    """A drop-down that opens with mouse and keyboard without any script."""
    extra: dict[str, Any] = {"id": name} if name else {}
    return html.Details(
        className="menu",
        children=[html.Summary(label, className="plain-button"), html.Div(children, className="menu-body", **extra)],
    )


def _genes() -> html.Section:
    columns = [
        {"field": "symbol", "headerName": "Gene", "minWidth": 80, "flex": 1, "tooltipField": "gene_id"},
        _column("observed", "Observed", 66, NUMBER),
        _column("predicted", "Predicted", 64, NUMBER),
        _column("kept_percent", "Kept %", 48, PERCENT),
        _column("elements", "Ele­ments", 50),
        _column("elements_without_peak", "No peak", 46),
        {"field": "gene_id", "hide": True},
    ]
    grid = dag.AgGrid(
        id="genes",
        columnDefs=columns,
        rowData=[],
        getRowId="params.data.gene_id",
        defaultColDef={
            "sortable": True,
            "resizable": False,
            "suppressMovable": True,
            "suppressHeaderMenuButton": True,
            "wrapHeaderText": True,
            "autoHeaderHeight": True,
        },
        dashGridOptions={
            "rowSelection": {"mode": "singleRow", "checkboxes": False, "enableClickSelection": True},
            "rowHeight": 27,
            "tooltipShowDelay": 400,
            "suppressCellFocus": False,
            "localeText": {"noRowsToShow": "No gene scored yet"},
            "theme": {
                "function": "themeQuartz.withParams({fontSize: 12, headerFontSize: 11, spacing: 4,"
                " cellHorizontalPadding: 6,"
                " wrapperBorderRadius: 6, fontFamily: 'inherit'}, 'light')"
                ".withParams({backgroundColor: '#17191d', foregroundColor: '#d5d9df', borderColor: '#32363d',"
                " headerBackgroundColor: '#1f2227', browserColorScheme: 'dark', fontSize: 12, headerFontSize: 11,"
                " spacing: 4, cellHorizontalPadding: 6, selectedRowBackgroundColor: '#20456b'}, 'dark')"
            },
        },
        style={"height": "100%", "width": "100%"},
    )
    return html.Section(
        className="genes",
        **{"aria-label": "Genes"},
        children=[
            html.Div(
                className="genes-head",
                children=[
                    html.Div(id="progress", className="progress-line"),
                    dmc.TextInput(
                        id="filter",
                        placeholder="Filter the list",
                        size="xs",
                        **{"aria-label": "Filter the list of genes"},
                    ),
                ],
            ),
            html.Div(grid, className="grid"),
        ],
    )


def _column(field: str, header: str, width: int, formatter: dict | None = None) -> dict:
    """A column of numbers, right-aligned; `width` in pixels shows the header's longest word whole."""
    column = {"field": field, "headerName": header, "width": width, "minWidth": width, "type": "rightAligned"}
    return column | ({"valueFormatter": formatter} if formatter else {})


def _browser() -> html.Main:
    tools = [
        html.Button("−", className="tool", title="Zoom out", **{"data-action": "zoom-out", "aria-label": "Zoom out"}),
        html.Button("+", className="tool", title="Zoom in", **{"data-action": "zoom-in", "aria-label": "Zoom in"}),
        html.Button("Window", className="tool", title="The whole window of this gene", **{"data-action": "window"}),
        html.Button("Promoter", className="tool", title="The promoter of this gene", **{"data-action": "promoter"}),
        html.Span("", id="locus", className="locus"),
        _menu("Tracks", [], "track-list"),
    ]
    return html.Main(
        className="browser",
        children=[
            html.Div(tools, className="tools"),
            html.Div(id="igv", className="igv", **{"aria-label": "Genome browser"}),
            html.Div(id="legend", className="legend"),
        ],
    )


def _gene_panel() -> html.Aside:
    return html.Aside(
        className="gene",
        **{"aria-label": "This gene"},
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
                        **{"aria-label": "Threshold on the mask"},
                    ),
                    html.Div(id="cut-line", className="cut-line"),
                ],
            ),
            html.Div(id="element-list", className="element-list"),
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


def facts(view: OpenRun) -> list:
    """Badges that say what the run is; simulated data are called so."""
    manifest = view.manifest
    window = manifest["window"]
    length = f"{window / 1000:.3g} kb" if window >= 1000 else f"{window} bp"
    badges = [
        dmc.Badge(
            f"{manifest['variant']} model, {length} window",
            variant="default",
            color="gray",
            size="md",
            radius="sm",
            tt="none",
            fw=500,
        )
    ]
    if manifest["simulated"]:
        badges.append(
            dmc.Badge(
                "All data simulated",
                color="orange",
                variant="filled",
                autoContrast=True,
                size="md",
                radius="sm",
                tt="none",
                fw=600,
            )
        )
    return badges


def run_files(view: OpenRun, base: str) -> list:
    """Links to the run's own files."""
    words = {
        "elements.bed": "All elements (BED)",
        "mask.bigWig": "All masks, merged (bigWig)",
        "genes.tsv": "Gene table (TSV)",
        "manifest.json": "Manifest (JSON)",
    }
    return [
        html.A(text, href=f"{base}data/{view.key}/{file}?download=1")
        for file, text in words.items()
        if file in view.files
    ]


def caveat(view: OpenRun) -> list:
    """What must be said under this run's masks, and what could not be shown."""
    line = PRIOR_LINE.get(view.manifest["variant"], "")
    return [line, *(html.Span(f" {note}", className="note") for note in view.notes)]


def legend(view: OpenRun) -> list:
    """What each mark in the browser means."""
    kinds = ["promoter", "with_peak", "without_peak"] if view.run.peaks is not None else ["promoter", "no_peak_file"]
    peaks = igv.peak_name(view)
    words = {
        "promoter": "promoter, always kept",
        "with_peak": f"element with {peaks} peak",
        "without_peak": f"element without {peaks} peak",
        "no_peak_file": "element (no peaks in this study)",
    }
    marks = [_mark("line", "mean of z"), _mark("band", "95 % range of z"), _mark("dashes", "threshold")]
    return [
        *marks,
        *(_mark("block", words[kind], igv.colour_of(kind)) for kind in kinds),
        _mark("arc", "element to start site"),
    ]


def _mark(kind: str, text: str, colour: str | None = None) -> html.Span:
    style = {"background": colour} if colour else {}
    return html.Span(className="mark", children=[html.Span(className=f"swatch {kind}", style=style), text])


def progress(view: OpenRun) -> list:
    """How many genes are scored, and a bar while more are to come."""
    scored, asked = len(view.genes), view.manifest["progress"].get("asked")
    if asked and scored < asked:
        bar = dmc.Progress(value=100 * scored / asked, size="xs", w="100%", **{"aria-label": "Scored genes"})
        return [html.Span(f"{scored:,} of {asked:,} genes scored"), bar]
    return [html.Span(f"{scored:,} genes")]


def gene_head(view: OpenRun, gene_id: str) -> list:
    """Name, place, observed and predicted of a gene, and where it lies among all genes."""
    gene = view.gene(gene_id)
    label = label_words(view)
    split = gene["split"] if isinstance(gene["split"], str) else None
    place = f"{gene['chrom']}:{int(gene['tss']) + 1:,} ({gene['strand']})"
    parts = [
        html.H2(str(gene["symbol"])),
        html.Div([str(gene["gene_id"])] if gene["gene_id"] != gene["symbol"] else [], className="quiet"),
        html.Div(place, className="quiet", title="Transcription start site"),
        html.Div(f"{split} gene" if split else "", className="quiet"),
        html.Div(
            className="numbers",
            children=[_number("Observed", gene["observed"]), _number("Predicted", gene["predicted"])],
        ),
        html.Div(label, className="quiet unit"),
    ]
    svg = figures.observed_against_predicted(view.genes, gene_id)
    if svg is not None:
        correlation = figures.pearson(view.genes)
        note = f"Pearson {correlation[0]:.2f} over {correlation[1]:,} test genes" if correlation else ""
        alt = "Observed against predicted expression of all scored genes, this gene ringed"
        parts.append(html.Img(src=figures.data_address(svg), alt=alt, className="scatter"))
        parts.append(html.Div(note, className="quiet"))
    return parts


def label_words(view: OpenRun) -> str:
    """The unit of observed and predicted, as the study states it."""
    settings = view.study.gene_settings if view.study is not None else None
    if settings is None or settings.label is None:
        return ""
    words = {"log10p1": "log10({} + 1)", "log1p": "ln({} + 1)", "sqrt": "square root of {}", "none": "{}"}
    return words.get(settings.label_transform, "{}").format(settings.label)


def _number(name: str, value: float) -> html.Div:
    known = value is not None and value == value
    shown = f"{value:.2f}" if known else "none"
    return html.Div(
        className="number", children=[html.Span(name, className="quiet"), html.Span(shown, className="value")]
    )


def element_list(answer: dict) -> list:
    """One button an element, by name, that goes to its place."""
    rows = [item for item in answer["elements"] if item["class"] != "promoter"]
    rows.sort(key=lambda item: int(item["name"][1:]) if item["name"][1:].isdigit() else 0)
    head = html.Div(
        className="element head-row",
        children=[html.Span(""), html.Span("Element"), html.Span("From start"), html.Span("Mask")],
    )
    buttons = [
        html.Button(
            className="element",
            title=item["words"] + (f": {item['peak']}" if item["peak"] not in (".", "") else ""),
            **{"data-locus": f"{item['chr']}:{item['start']}-{item['end']}"},
            children=[
                html.Span(className="swatch block", style={"background": item["color"]}),
                html.Span(item["name"]),
                html.Span(distance_words(item["distance"])),
                html.Span(f"{item['mean']:.2f}"),
            ],
        )
        for item in rows
    ]
    return [head, *buttons] if rows else [html.Div("No element at this threshold.", className="quiet")]


def distance_words(distance: int) -> str:
    """Signed distance to the start site in kb or bp; minus is upstream."""
    sign = "−" if distance < 0 else "+"
    size = abs(distance)
    return f"{sign}{size / 1000:.1f} kb" if size >= 1000 else f"{sign}{size} bp"


def cut_line(answer: dict) -> str:
    """How many elements the threshold leaves, and their share of the window."""
    count = answer["count"]
    share = f", {answer['covered_percent']:.1f} % of the window" if answer["covered_percent"] is not None else ""
    return f"{count} {'element' if count == 1 else 'elements'}{share}"
