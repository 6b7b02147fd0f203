"""The menus of the page's head: downloads, sharing, the user's own tracks (assets/page/downloads.js)."""

from __future__ import annotations

from typing import Any

from dash import html

from seq2exp_viz.page.attributes import aria, data


def drop_down(label: str, children: list, name: str | None = None) -> html.Details:
    """Return a drop-down that opens with mouse and keyboard without any script."""
    extra: dict[str, Any] = {"id": name} if name else {}
    return html.Details(
        className="menu",
        children=[html.Summary(label, className="plain-button"), html.Div(children, className="menu-body", **extra)],
    )


def export_menu() -> html.Details:
    """Return the menu of figures, pictures, files of this gene and of the run, and a report."""
    return drop_down(
        "Export",
        [
            _head("For a paper"),
            _action("Figure of this place (PDF)", "figure", "pdf"),
            _action("Figure of this place (SVG)", "figure", "svg"),
            _head("The tracks on the screen"),
            _action("Picture (SVG)", "svg"),
            _action("Picture (PNG)", "png"),
            _action("Session for the IGV web app", "igv-session", "json"),
            _action("Session for IGV desktop", "igv-session", "xml"),
            _head("This gene"),
            html.A("Elements (BED)", id="get-bed", href="#", download=""),
            html.A("Elements (GFF3)", id="get-gff3", href="#", download=""),
            html.A("Elements to the start site (BEDPE)", id="get-bedpe", href="#", download=""),
            html.A("Mask (bigWig)", id="get-bigwig", href="#", download=""),
            html.Label("Report of these genes (HTML, opens offline)", htmlFor="report-genes", className="menu-head"),
            html.Div(
                className="menu-form",
                children=[
                    html.Div(id="report-field"),  # assets/page/downloads.js puts the field in
                    html.Button("Write", className="tool", **data(action="report")),
                ],
            ),
            _head("The whole run"),
            html.Div(id="run-files", className="menu-part"),
        ],
    )


def share_menu() -> html.Details:
    """Return the menu of the link and of views as files."""
    return drop_down(
        "Share",
        [
            _action("Copy the link to this view", "copy-link"),
            _action("Save this view (JSON)", "save-view"),
            _action("Open a saved view …", "open-view"),
        ],
    )


def help_button() -> html.Button:
    """Return the button that opens the overlay of page/help.py."""
    words = "Help: words, colours and keys"
    return html.Button("?", className="plain-button", title=words, **data(action="help"), **aria(label=words))


def _head(text: str) -> html.Div:
    return html.Div(text, className="menu-head")


def _action(text: str, action: str, kind: str | None = None) -> html.Button:
    return html.Button(text, **data(action=action, **({"kind": kind} if kind else {})))
