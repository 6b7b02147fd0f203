"""The routes for figures, reports and IGV sessions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import escape

from flask import Response, request

from model_core import palette
from model_core.errors import InputError, Problem
from seq2exp_viz.api import igv
from seq2exp_viz.api.http import RequestError, attachment, place, threshold_of
from seq2exp_viz.file_names import run_part
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.style import peak_name

MOST_GENES = 50  # per report of a request; the command line writes longer ones
KINDS = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png"}
ORIGIN = re.compile(r"https?://[A-Za-z0-9._~-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?")


def add_sharing_routes(route: Callable, base: str, igv_version: str) -> None:
    """Add the routes of a gene's figure and session and of reports; the drawing code is imported on first use."""

    @route("/<run>/genes/<path:gene>/figure.<kind>", reads_inputs=True)
    def figure(view: RunView, gene: str, kind: str) -> Response:
        from seq2exp_viz.reports.locus_figure import CANVASES, locus_bytes, place_of

        if kind not in CANVASES:
            raise RequestError(f"figure.{kind[:10]}: expected {', '.join(CANVASES)}")
        drawn = place_of(view, gene, locus_of_request(view), threshold_of(request))
        return attachment(locus_bytes(view, drawn, kind), f"{view.file_stem(drawn.gene)}.locus.{kind}", KINDS[kind])

    @route("/<run>/report", reads_inputs=True)
    def report_of(view: RunView) -> Response:
        names = [name.strip() for name in request.args.get("genes", "").split(",") if name.strip()]
        if not 0 < len(names) <= MOST_GENES:
            found, expected = f"{len(names)} genes", f"1 to {MOST_GENES} comma-separated genes"
            do = "use `seq2exp-viz report` for more genes"
            raise RequestError(str(Problem("report", found=found, expected=expected, fix=do)))
        from seq2exp_viz.reports.gene_report import report

        text = report(view, names, threshold_of(request))
        return attachment(text.encode(), f"{run_part(view.key)}.report.html", "text/html")

    @route("/<run>/genes/<path:gene>/igv-session.<kind>")
    def session(view: RunView, gene: str, kind: str) -> Response:
        if kind not in ("json", "xml"):
            raise RequestError(f"igv-session.{kind[:10]}: expected json or xml")
        origin = request.args.get("origin") or request.host_url.rstrip("/")
        if not ORIGIN.fullmatch(origin):
            raise RequestError("origin: expected the origin of the page, such as http://127.0.0.1:8050")
        from seq2exp_viz.reports.locus_figure import place_of

        seen = place_of(view, gene, locus_of_request(view), threshold_of(request))
        found = igv_session(view, origin + base, seen.gene, seen.threshold, igv_version)
        # IGV desktop reads the genome's own names of contigs, igv.js the names in the session's reference.
        chrom = view.igv_names.given(seen.chrom) if kind == "json" else seen.chrom
        found["locus"] = f"{chrom}:{seen.start + 1}-{seen.end}"
        text = json.dumps(found, indent=1) if kind == "json" else session_xml(found)
        return attachment(text.encode(), f"{view.file_stem(seen.gene)}.igv-session.{kind}", f"application/{kind}")


def locus_of_request(view: RunView) -> str | tuple[str, int, int] | None:
    """Return the region of a query: chrom, start, end as the page sends them (0-based), or `locus` as typed."""
    return place(view) if "chrom" in request.args else request.args.get("locus") or None


def igv_session(view: RunView, base: str, gene_id: str, threshold: float, igv_version: str) -> dict:
    """Return a session of standard tracks with absolute addresses, for igv.js and the IGV web app.

    Parameters
    ----------
    view : RunView
        The run.
    base : str
        The page's address, with scheme, host and prefix.
    gene_id : str
        gene_id.
    threshold : float
        At which elements are cut, 0 to 1.
    igv_version : str
        Version of the igv.js that the page uses.

    Raises
    ------
    InputError
        The run's genome is not on this machine; IGV requires one.
    """
    reference = igv.reference(view, base)
    if not view.igv_names.renamed:
        del reference["aliasURL"]  # a session with plain names needs only the files of this server
    if view.genome is None:
        expected = "the study's genome on this machine"
        raise InputError(
            "session", found="no genome file", expected=expected, fix="download the elements as BED instead"
        )
    symbol = escape(str(view.run.gene(gene_id)["symbol"]))
    mask = igv.api_url(view, base, "genes", gene_id, "mask.bigWig")
    bed = igv.api_url(view, base, "genes", gene_id, "elements.bed", threshold=threshold)
    bigwig = {"type": "wig", "format": "bigwig"}
    tracks = [
        {"name": row["config"]["name"], "url": row["config"]["url"], "color": row["config"]["color"], **bigwig}
        for row in igv.tracks(view, base, gene_id, threshold)
        if row["group"] == "Measured" and row["config"].get("format") == "bigwig"
    ]
    if "peaks.narrowPeak" in view.files:
        url = igv.data_url(view, base, "peaks.narrowPeak")
        name = f"{escape(peak_name(view))} peaks"
        tracks.append({"name": name, "url": url, "type": "annotation", "format": "narrowpeak"})
    tracks.append({"name": f"Mask of {symbol}", "url": mask, "min": 0, "max": 1, "color": palette.MASK.css, **bigwig})
    tracks.append({"name": f"Elements of {symbol}", "url": bed, "type": "annotation", "format": "bed"})
    return {"version": igv_version, "reference": reference, "tracks": tracks}


def session_xml(found: dict) -> str:
    """Return a session (`igv_session`) as the XML of IGV desktop."""
    lines = ['<?xml version="1.0" encoding="UTF-8" standalone="no"?>']
    genome = escape(found["reference"]["fastaURL"], quote=True)
    lines.append(f'<Session genome="{genome}" locus="{escape(found["locus"], quote=True)}" version="8">')
    lines.append("  <Resources>")
    for track in found["tracks"]:
        kind, url = {"wig": "bigwig"}.get(track["type"], track["format"]), escape(track["url"], quote=True)
        lines.append(f'    <Resource name="{track["name"]}" path="{url}" type="{kind}"/>')
    return "\n".join([*lines, "  </Resources>", "</Session>", ""])
