"""Addresses of the interface from before it had a version: `api/...` is answered with its new place."""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, redirect, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Response

from seq2exp_viz.api import PREFIX
from seq2exp_viz.api.answers import as_json


def add_old_addresses(routes: Blueprint, base: str) -> None:
    """Answer `api/REST` with 308 and `api/v1/REST`, whose query, method and body a client then sends again.

    Parameters
    ----------
    routes : Blueprint
        Of addresses below the page's own.
    base : str
        Path below which browsers reach the page, which a proxy in front may have taken off the request.
    """

    @routes.route("/api/<path:rest>", methods=["GET", "POST"])
    def moved(rest: str) -> Response:
        if f"api/{rest}/".startswith(f"{PREFIX}/"):  # no route of the interface, or not by this method
            if request.method == "POST":
                raise MethodNotAllowed
            return as_json({"message": f"There is nothing at {rest[:80]!r}."}, 404)
        query = request.query_string.decode("latin-1")
        response = redirect(f"{base}{PREFIX}/{quote(rest)}" + (f"?{query}" if query else ""), 308)
        response.autocorrect_location_header = False  # the path alone holds behind any proxy
        return response
