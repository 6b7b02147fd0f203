"""The page's tables: the list of genes and the table of elements, for AG Grid."""

from __future__ import annotations

import dash_ag_grid as dag

from model_core import palette
from model_core.run_folder.calibration import NOT_CALIBRATED
from model_core.run_folder.effects import BACKGROUND
from seq2exp_viz.runs.effect_words import SCORE_WORDS

TWO, ONE, THREE, COUNT = ".2f", ".1f", ".3f", ",d"
KEPT_WORDS = (
    "Mean of the mask over the bases that the model decides (without promoter and blacklist). Elements cover fewer "
    "bases: only those at or above the threshold."
)
_DARK = palette.DARK
THEME = {
    "function": "themeQuartz.withParams({fontSize: 12, headerFontSize: 11, spacing: 4, cellHorizontalPadding: 6,"
    " wrapperBorderRadius: 6, fontFamily: 'inherit'}, 'light')"
    f".withParams({{backgroundColor: '{_DARK['paper'].hex}', foregroundColor: '{_DARK['ink'].hex}',"
    f" borderColor: '{_DARK['line'].hex}', headerBackgroundColor: '{_DARK['soft'].hex}',"
    " browserColorScheme: 'dark', fontFamily: 'inherit', fontSize: 12, headerFontSize: 11, spacing: 4,"
    f" cellHorizontalPadding: 6, selectedRowBackgroundColor: '{palette.SELECTED_ROW.hex}'}}, 'dark')"
}
PLACE = {"function": "params.data ? params.data.chrom + ':' + d3.format(',')(params.data.tss + 1) : ''"}
RESIDUAL = {
    "function": "params.data.observed == null || params.data.predicted == null ? null"
    " : params.data.observed - params.data.predicted"
}
SEEN = {
    "function": "!params.data || params.data.seen_in_training == null ? ''"
    " : params.data.seen_in_training ? 'yes' : 'no'"
}
SEEN_WORDS = "Whether the model was fitted to this gene, or to genes of its chromosome: its prediction is then no test"
ELEMENT_PLACE = {
    "function": "params.data ? params.data.chrom + ':' + d3.format(',')(params.data.start + 1)"
    " + '-' + d3.format(',')(params.data.end) : ''"
}
RANK = {"function": "params.value == null ? '' : params.value + ' of ' + params.data.control_n"}
CONTROL_WORDS = f"Number of control regions that are at least as strong, of all that were tried. {BACKGROUND}"
SAID = {  # texts that come with the row
    name: {"function": f"params.data && params.data.said ? params.data.said.{name} : ''"}
    for name in ("effect", "members")
}
EFFECT_WORDS = (
    "Prediction with the mask as it is minus prediction without the element. Of an ensemble \u00b1 the standard "
    "deviation over its members, each trained on its own resampling of the genes"
)
MEMBERS_WORDS = "Number of members whose effect has the sign of the mean and at least half its size"
DIRECTION_WORDS = (
    "Whether the element raises or lowers expression; an effect below twice its sd, or 0.02, cannot be told"
)
CONTACT_WORDS = "Contact with the start site, as a share of the highest in the window, mean over the element"
BETA_SD_WORDS = (
    "Mean standard deviation of z: under its Beta, or over the members of an ensemble; empty where the model fixes it"
)
CHANCE_WORDS = (
    "Share of elements with this score that are planted causal ones of their gene, of a simulated study; empty where "
    f"the run is {NOT_CALIBRATED}"
)
COMMON = {
    "sortable": True,
    "resizable": True,
    "suppressMovable": True,
    "suppressHeaderMenuButton": True,
    "suppressHeaderFilterButton": True,
    "suppressFloatingFilterButton": True,
    "wrapHeaderText": True,
    "autoHeaderHeight": True,
}
OPTIONS = {
    "rowSelection": {"mode": "singleRow", "checkboxes": False, "enableClickSelection": True},
    "rowHeight": 27,
    "tooltipShowDelay": 400,
    "suppressCellFocus": False,
    "theme": THEME,
}


def gene_columns() -> list[dict]:
    """Return all columns of the list of genes; those without `hide` are the narrow list's."""
    return [
        _text("symbol", "Gene", 80, flex=1, tooltipField="gene_id"),
        _text("gene_id", "ID", 130, hide=True),
        _text("place", "Start site", 120, hide=True, valueGetter=PLACE),
        _number("observed", "Observed", 66, TWO),
        _number("predicted", "Predicted", 64, TWO),
        _number("predicted_beside", "Predicted, second run", 74, TWO, hide=True),
        _number(
            "residual", "Residual", 62, TWO, hide=True, valueGetter=RESIDUAL, headerTooltip="Observed minus predicted"
        ),
        _number("kept_percent", "Kept %", 48, ONE, headerTooltip=KEPT_WORDS),
        _number("elements", "Ele\u00adments", 50),
        _number("elements_without_peak", "No peak", 46, headerTooltip="Elements that share no base with a peak"),
        _number(
            "effect",
            "Strongest effect",
            74,
            THREE,
            hide=True,
            headerTooltip="Effect of the element with the largest effect, positive or negative",
        ),
        _text("effect_element", "Strongest element", 74, hide=True),
        _text("split", "Split", 76, hide=True),
        _text("seen_in_training", "Seen in training", 70, hide=True, valueGetter=SEEN, headerTooltip=SEEN_WORDS),
        _text("state", "State", 104, hide=True, cellRenderer="GeneState"),
    ]


def genes() -> dag.AgGrid:
    """Return the list of all genes; its rows are kept in the browser, and only the visible ones are drawn."""
    return dag.AgGrid(
        id="genes",
        columnDefs=gene_columns(),
        rowData=[],
        getRowId="params.data.gene_id",
        defaultColDef=COMMON,
        dashGridOptions={**OPTIONS, "localeText": {"noRowsToShow": "No gene has been scored yet"}},
        rowClassRules={"unscored": "params.data.state != 'scored'"},
        style={"height": "100%", "width": "100%"},
    )


def elements() -> dag.AgGrid:
    """Return the table of elements; the server filters and sorts its rows and sends a hundred at a time."""
    columns = [
        _text("symbol", "Gene", 86),
        _text("name", "Element", 74),
        _text("place", "Position", 168, valueGetter=ELEMENT_PLACE, sortable=False, filter=False),
        _number("length", "Length, bp", 76, COUNT),
        _number("mean_mask", "Mean mask", 72, THREE),
        _number("max_mask", "Max mask", 68, THREE),
        _number("beta_sd", "Beta sd", 66, THREE, headerTooltip=BETA_SD_WORDS),
        _number("distance_to_tss", "From start site, bp", 98, COUNT),
        _text("peak", "Peak", 150),
        _number("effect", "Effect", 110, headerTooltip=EFFECT_WORDS, valueFormatter=SAID["effect"]),
        _number("recurrence", "Members that agree", 78, headerTooltip=MEMBERS_WORDS, valueFormatter=SAID["members"]),
        _text("direction", "Direction", 104, headerTooltip=DIRECTION_WORDS),
        _number("element_gene_score", "Element\u2013gene score", 76, THREE, headerTooltip=SCORE_WORDS),
        _number("contact", "Contact", 66, THREE, headerTooltip=CONTACT_WORDS),
        _number("control_rank", "Controls at least as strong", 84, headerTooltip=CONTROL_WORDS, valueFormatter=RANK),
        _number("chance", "Chance", 66, TWO, headerTooltip=CHANCE_WORDS),
    ]
    return dag.AgGrid(
        id="elements-table",
        columnDefs=columns,
        rowModelType="infinite",
        getRowId="params.data.gene_id + ' ' + params.data.name",
        defaultColDef={**COMMON, "floatingFilter": True},
        dashGridOptions={
            **OPTIONS,
            "cacheBlockSize": 100,
            "maxBlocksInCache": 20,
            "infiniteInitialRowCount": 1,
            "localeText": {"noRowsToShow": "No elements match"},
        },
        style={"height": "100%", "width": "100%"},
    )


def _text(field: str, header: str, width: int, **more: object) -> dict:
    column = {"field": field, "headerName": header, "minWidth": width, "filter": "agTextColumnFilter"}
    return column | ({} if "flex" in more else {"width": width}) | more


def _number(field: str, header: str, width: int, form: str | None = None, **more: object) -> dict:
    """Return a column of numbers, right-aligned; `width` in pixels fits the longest word of the header."""
    column = {"field": field, "headerName": header, "width": width, "minWidth": width, "type": "rightAligned"}
    if form is not None:
        shown = f"params.value == null ? '' : d3.format('{form}')(params.value)"
        column["valueFormatter"] = {"function": shown}
    return column | {"filter": "agNumberColumnFilter"} | more
