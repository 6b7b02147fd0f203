"""What a browser may send to the page's callbacks, checked before Dash reads it.

The page itself sends nothing else. A program that does gets one sentence and the status 400.
"""

from __future__ import annotations

from typing import Annotated, Any

from dash import Dash
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from seq2exp_viz.api.http import as_json
from seq2exp_viz.serving.security import CALLBACKS

ROUTE = CALLBACKS


class _Sent(BaseModel):
    model_config = ConfigDict(strict=True)


class _Named(_Sent):
    gene_id: str
    symbol: str
    chrom: str
    tss: int
    strand: str


class _Gene(_Sent):
    run: str
    gene: str | None = None
    missing: str | None = None
    waits: str | None = None
    unscored: _Named | None = None


class _Revision(_Sent):
    run: str
    mark: Any
    threshold: float
    beside: str | None


_Row = Annotated[int, Field(ge=0, le=2**31)]


class _Rows(_Sent):
    first: _Row = Field(0, alias="startRow")
    stop: _Row = Field(0, alias="endRow")


class _Property(_Sent):
    id: str
    property: str
    value: Any = None


class _Body(_Sent):
    output: str
    outputs: list[_Property] | _Property
    inputs: list[_Property]
    state: list[_Property] = []
    changed: list[str] = Field([], alias="changedPropIds")


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
        body = _Body.model_validate(given)
    except (RecursionError, ValidationError):
        return "expected the JSON object that Dash sends"
    known = app.callback_map.get(body.output, {})
    if "callback" not in known:
        return f"there is no callback for {body.output[:80]!r}"
    expected = [f"{item['id']}.{item['property']}" for item in [*known["inputs"], *known["state"]]]
    sent = [*body.inputs, *body.state]
    if [f"{item.id}.{item.property}" for item in sent] != expected:
        return f"expected {', '.join(expected)}"
    if _count(body.outputs) != _count(known["outputs_indices"]):
        return "expected all outputs of the callback"
    for name, item in zip(expected, sent, strict=True):
        try:
            VALUES[name].validate_python(item.value, strict=True)
        except (RecursionError, ValidationError):
            return f"the value of {name} is of another kind"
    return ""


def _count(outputs: object) -> int | None:
    return len(outputs) if isinstance(outputs, list) else None
