"""Addresses of the interface before it had a version: `api/...` redirects to the current address."""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, redirect, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Response

from seq2exp_viz.api import PREFIX
from seq2exp_viz.api.http import as_json


def add_old_addresses(routes: Blueprint, base: str) -> None:
    """Add a redirect (308) from `api/REST` to `api/v1/REST`; a client repeats query, method and body there.

    Parameters
    ----------
    routes : Blueprint
        The routes below the page's address.
    base : str
        Path below which browsers reach the page, which a proxy may have removed from the request.
    """

    @routes.route("/api/<path:rest>", methods=["GET", "POST"])
    def moved(rest: str) -> Response:
        if f"api/{rest}/".startswith(f"{PREFIX}/"):  # not a route of the interface, or not with this method
            if request.method == "POST":
                raise MethodNotAllowed
            return as_json({"message": f"Nothing is served at {rest[:80]!r}."}, 404)
        query = request.query_string.decode("latin-1")
        response = redirect(f"{base}{PREFIX}/{quote(rest)}" + (f"?{query}" if query else ""), 308)
        response.autocorrect_location_header = False  # a path without host is valid behind any proxy
        return response
