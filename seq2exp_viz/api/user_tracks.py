"""Tracks of the user: checked on the server, and kept only in the user's browser, or opened from allowed folders.

A dropped file stays in the browser. The browser sends only the header of a bigWig or bigBed, which is checked; it sends
a text file, which is answered as features and not stored. Therefore nothing has to expire, and no other user can read
it. Of a file that is too large the browser sends the first bytes, so that the answer can name its format.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request

from model_core.errors import InputError, Problem, Unavailable
from seq2exp_viz.api.http import RequestError, as_json, integer
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.user_tracks import HEAD, MOST_BYTES, check_bigwig, check_bigwig_file, is_binary_index, read_track
from seq2exp_viz.serving.allowed_files import AllowedFiles
from seq2exp_viz.serving.byte_ranges import RangeError, send_bytes, version_of


def add_own_track_routes(route: Callable, routes: Blueprint, base: str, allowed: AllowedFiles) -> None:
    """Add the routes that check a dropped track, list the allowed files, and open one of them."""

    @route("/<run>/own", methods=["POST"])
    def own(view: RunView) -> Response:
        name = " ".join(request.args.get("name", "track").split())[:80]
        unknown = request.content_length is None and "Transfer-Encoding" in request.headers
        if unknown or (request.content_length or 0) > MOST_BYTES:
            found, do = "a file that is too large to send", "convert it to a bigWig or bigBed"
            return as_json(
                {"message": str(Problem(name, found=found, expected=f"at most {MOST_BYTES // 1_000_000} MB", fix=do))},
                413,
            )
        content = request.get_data(cache=False)
        size = integer("size", len(content))
        if not is_binary_index(content):
            return _checked(lambda: read_track(content, name, view.run.chrom_sizes, size))
        try:
            tail = bytes.fromhex(request.args.get("tail", ""))
        except ValueError:
            raise RequestError("tail: expected the file's last four bytes in hexadecimal") from None
        return _checked(lambda: check_bigwig(content, tail, name, view.run.chrom_sizes, size))

    @route("/<run>/allowed")
    def list_allowed(_view: RunView) -> Response:
        return as_json([{"id": file.id, "name": file.name, "size": file.size} for file in allowed.files()])

    @route("/<run>/allowed/<key>")
    def open_allowed(view: RunView, key: str) -> Response:
        path = allowed.path(key)
        if path is None:
            raise Unavailable("This file is no longer among the allowed files.")
        with path.open("rb") as file:
            head = file.read(HEAD)
            if is_binary_index(head):
                url = f"{base}allowed/{key}?v={version_of(path)}"
                return _checked(lambda: check_bigwig_file(path, view.run.chrom_sizes) | {"url": url})
            content = head + file.read(max(0, MOST_BYTES + 1 - len(head)))
        return _checked(lambda: read_track(content, path.name, view.run.chrom_sizes, path.stat().st_size))

    @routes.route("/allowed/<path:key>")
    def allowed_bytes(key: str) -> Response:
        path = allowed.path(key)
        if path is None:
            return as_json({"message": "There is no such file among the allowed files."}, 404)
        try:
            return send_bytes(path, request)
        except RangeError as problem:
            return as_json({"message": f"No such range: {problem}"}, 416)


def _checked(answer: Callable[[], dict]) -> Response:
    try:
        return as_json(answer())
    except InputError as problem:
        return as_json({"message": str(problem)}, 400)
