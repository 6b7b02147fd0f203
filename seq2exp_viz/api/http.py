"""Functions that all routes share: error handling, reading of queries and JSON bodies, answers and attachments."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable
from functools import wraps

import pandas as pd
from flask import Blueprint, Flask, Request, Response, copy_current_request_context, request

from model_core.errors import InputError
from model_core.records import parse_json
from seq2exp_viz.file_names import content_disposition
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.serving.byte_ranges import RangeError
from seq2exp_viz.serving.remote_reads import COME_AGAIN, READS, ComeAgain

LONGEST_BODY = 4_096  # bytes of a JSON request


GONE = (FileNotFoundError, NotADirectoryError)  # of a run that is moved or deleted while it is served


class RequestError(ValueError):
    """A parameter of the request is invalid."""


def as_json(value: object, status: int = 200) -> Response:
    """Return a compact JSON answer that the browser revalidates each time.

    Raises
    ------
    ValueError
        `value` contains NaN or an infinity, which JSON does not have.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Response(text, status, {"Cache-Control": "no-cache"}, mimetype="application/json")


def integer(name: str, default: int | None = None) -> int:
    """Return an integer of the query; fractions, which igv.js sends after a drag, are rounded down."""
    text = request.args.get(name, "")
    try:
        value = float(text) if text else float(default if default is not None else "nan")
        return math.floor(min(max(value, -1e12), 1e12))
    except ValueError:
        raise RequestError(f"{name}={text[:40]!r}: expected a whole number") from None


def threshold_of(asked: Request) -> float | None:
    """Return the threshold of the query, None where it is missing."""
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
    """Return bytes that the browser saves under a name."""
    return Response(content, 200, {"Content-Disposition": content_disposition(name)}, mimetype=kind)


def gone_words(problem: OSError) -> str:
    """Return a sentence about a file that is no longer there."""
    return f"{problem.filename or 'A file'} is not there any more: was its run moved or deleted? Start the server anew."


def answer_what_is_gone(server: Flask) -> None:
    """Answer routes without a guard with a sentence where a file of a run is no longer there."""

    def gone(problem: OSError) -> Response:
        return as_json({"message": gone_words(problem)}, 503)

    for kind in GONE:
        server.register_error_handler(kind, gone)


def come_again(problem: ComeAgain) -> Response:
    """Answer that the same request succeeds later."""
    answer = as_json({"message": str(problem)}, problem.status)
    answer.headers["Retry-After"] = str(COME_AGAIN)
    return answer


def guarded(routes: Blueprint, registry: RunRegistry) -> Callable:
    """Return a decorator like `routes.route` for rules with <run>: it passes the opened run, and handles errors.

    A route with `reads_inputs` (for every request, or for those for which it returns True) reads the study's genome or
    signals: where they lie on a server, the answer is made apart, and a request that would hold its thread too long is
    told to come again (`serving.remote_reads`).
    """

    def route(
        rule: str, methods: tuple[str, ...] = ("GET",), reads_inputs: bool | Callable[[RunView], bool] = False
    ) -> Callable:
        def register(answer: Callable) -> Callable:
            @wraps(answer)
            def guard(run: str, **names: str) -> Response:
                view = registry.get(run)
                if view is None:
                    return as_json({"message": f"There is no run {run[:80]!r} on this server."}, 404)
                try:
                    if view.hosts and (reads_inputs(view) if callable(reads_inputs) else reads_inputs):
                        make = copy_current_request_context(lambda: answer(view, **names))
                        return READS.get(view.hosts, request.full_path, make)
                    return answer(view, **names)
                except ComeAgain as problem:
                    return come_again(problem)
                except RequestError as problem:
                    return as_json({"message": str(problem)}, 400)
                except RangeError as problem:
                    return as_json({"message": f"No such range: {problem}"}, 416)
                except InputError as problem:
                    return as_json({"message": str(problem)}, 404)
                except GONE as problem:
                    return as_json({"message": gone_words(problem)}, 404)
                except Exception as problem:  # the page shows the message; it could not read an HTML page
                    traceback.print_exc()
                    why = problem.strerror if isinstance(problem, OSError) and problem.strerror else repr(problem)[:200]
                    return as_json({"message": f"The server failed ({why}); its terminal shows the details."}, 500)

            name = f"{' '.join(methods)} {rule}".replace(".", "_")  # Flask requires a unique one, without dots
            return routes.route(rule, methods=list(methods), endpoint=name)(guard)

        return register

    return route


def json_body(longest: int = LONGEST_BODY) -> dict:
    """Return the JSON object of a writing request.

    The content type is checked because forms of other sites, which can send only text, must not be accepted.

    Raises
    ------
    RequestError
        The body is not a JSON object, or longer than `longest` bytes.
    """
    if (request.content_length or 0) > longest or not request.is_json:
        raise RequestError(f"expected a JSON object of at most {longest:,} bytes (Content-Type: application/json)")
    raw = request.stream.read(longest + 1)
    try:
        body = parse_json(raw) if len(raw) <= longest else None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RequestError(f"the body is not a JSON object of at most {longest:,} bytes")
    return body


def place(view: RunView) -> tuple[str, int, int]:
    """Return (chrom, start, end) of the query; igv.js's name of a chromosome is replaced by the genome's."""
    chrom = request.args.get("chrom", "")
    known = view.contigs.find(view.igv_names.own(chrom))
    if known is None:
        raise RequestError(f"chrom={chrom[:40]!r}: no such chromosome")
    return known, max(0, integer("start", 0)), integer("end", view.run.chrom_sizes[known])


def records(table: pd.DataFrame) -> list[dict]:
    """Return rows as JSON values: NumPy numbers become Python's; NaN, infinity and missing values become None."""
    columns = {}
    for name in table.columns:
        values = table[name].to_numpy()
        if values.dtype.kind == "f":
            columns[name] = [round(value, 5) if math.isfinite(value) else None for value in values.tolist()]
        elif values.dtype.kind in "iub":
            columns[name] = values.tolist()
        else:
            columns[name] = [_text_or_truth(value) for value in values.tolist()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] if columns else []


def _text_or_truth(value: object) -> str | bool | None:
    if isinstance(value, bool):
        return value
    return None if pd.isna(value) else str(value)
