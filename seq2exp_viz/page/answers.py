"""What all routes share: parameters out of a query, answers as JSON, files to be saved."""

from __future__ import annotations

import json
import math

from flask import Request, Response, request


class RequestError(ValueError):
    """A parameter of the request is not what it should be."""


def as_json(value: object, status: int = 200) -> Response:
    """A compact JSON answer that the browser asks for again each time; NaN becomes null."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Response(text, status, {"Cache-Control": "no-cache"}, mimetype="application/json")


def integer(name: str, default: int | None = None) -> int:
    """A whole number out of the query; fractions, which igv.js sends after a drag, are rounded down."""
    text = request.args.get(name, "")
    try:
        value = float(text) if text else float(default if default is not None else "nan")
        return math.floor(min(max(value, -1e12), 1e12))
    except ValueError:
        raise RequestError(f"{name}={text[:40]!r}: expected a whole number") from None


def threshold_of(asked: Request) -> float | None:
    """The threshold in the query, None where it is missing."""
    text = asked.args.get("threshold", "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise RequestError(f"threshold={text[:40]!r}: expected a number from 0 to 1")
    return value


def attachment(content: bytes, name: str, kind: str) -> Response:
    """Bytes to be saved under a name; the name is made plain first, because symbols come from files."""
    plain = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    return Response(content, 200, {"Content-Disposition": f'attachment; filename="{plain}"'}, mimetype=kind)
