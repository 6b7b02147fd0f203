"""What a browser may send to the page's callbacks, checked before Dash reads it.

The page itself sends nothing else. A program that does gets one sentence and the status 400.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from dash import Dash
from flask import Response, request
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from seq2exp_viz.api.http import as_json

ROUTE = "/_dash-update-component"


def _placed(gene: dict) -> dict:
    if "tss" in gene and not (isinstance(gene["tss"], int) and {"chrom", "strand"} <= gene.keys()):
        raise ValueError("expected tss, chrom and strand")
    return gene


class _Named(TypedDict):
    gene_id: str
    symbol: str
    tss: NotRequired[int]
    chrom: NotRequired[str]
    strand: NotRequired[str]


class _Gene(TypedDict):
    run: str
    gene: NotRequired[str | None]
    missing: NotRequired[str | None]
    unscored: NotRequired[Annotated[_Named, AfterValidator(_placed)] | None]


class _Revision(TypedDict):
    run: str
    mark: Any
    threshold: float
    beside: str | None


class _Rows(TypedDict):
    startRow: NotRequired[Annotated[int, Field(ge=0, le=2**31)]]
    endRow: NotRequired[Annotated[int, Field(ge=0, le=2**31)]]


class _Property(TypedDict):
    id: str
    property: str
    value: NotRequired[Any]


class _Body(TypedDict):
    output: str
    outputs: list[_Property] | _Property
    inputs: list[_Property]
    state: NotRequired[list[_Property]]
    changedPropIds: NotRequired[list[str]]


_NAME = TypeAdapter(str | None)
VALUES: dict[str, TypeAdapter] = {  # of each property that is an input or state of a callback on the server
    **dict.fromkeys(("run.value", "beside.value", "tab.data", "scope.data"), _NAME),
    "gene.data": TypeAdapter(_Gene | None),
    "revision.data": TypeAdapter(_Revision | None),
    "asked.data": TypeAdapter(dict[str, Any] | None),
    "threshold.value": TypeAdapter(Annotated[float, Field(ge=0, le=1)] | None),
    "poll.n_intervals": TypeAdapter(int | None),
    "elements-table.getRowsRequest": TypeAdapter(_Rows | None),
}
_BODY = TypeAdapter(_Body)


def check_callback_requests(app: Dash) -> None:
    """Refuse requests to callbacks of `app` that the page would not send."""

    @app.server.before_request
    def check() -> Response | None:
        if request.method != "POST" or request.path != ROUTE:
            return None
        wrong = _problem(app)
        return as_json({"message": f"This is no request of the page: {wrong}."}, 400) if wrong else None


def _problem(app: Dash) -> str:
    """Return what is wrong with the request's body; "" where nothing is."""
    try:
        given = request.get_json(silent=True)  # which Dash gets as well
        body = _BODY.validate_python(given, strict=True)
    except (RecursionError, ValidationError):
        return "expected the JSON object that Dash sends"
    known = app.callback_map.get(body["output"], {})
    if "callback" not in known:
        return f"there is no callback for {body['output'][:80]!r}"
    expected = [f"{item['id']}.{item['property']}" for item in [*known["inputs"], *known["state"]]]
    sent = [*body["inputs"], *body.get("state", [])]
    if [f"{item['id']}.{item['property']}" for item in sent] != expected:
        return f"expected {', '.join(expected)}"
    outputs, places = body["outputs"], known["outputs_indices"]
    if (len(outputs) if isinstance(outputs, list) else 1) != (len(places) if isinstance(places, list) else 1):
        return "expected all outputs of the callback"
    for name, item in zip(expected, sent, strict=True):
        try:
            VALUES[name].validate_python(item.get("value"), strict=True)
        except (RecursionError, ValidationError):
            return f"the value of {name} is of another kind"
    return ""
