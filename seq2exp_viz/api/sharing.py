"""What a person takes away from the page: figure, report, a session for IGV."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import escape

from flask import Response, request

from model_core.errors import InputError, Problem
from seq2exp_viz.api import igv
from seq2exp_viz.api.answers import RequestError, attachment, place, threshold_of
from seq2exp_viz.file_names import run_part
from seq2exp_viz.runs.run_view import RunView

MOST_GENES = 50  # of a report that a request may ask for; the command line writes longer ones
KINDS = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png"}
ORIGIN = re.compile(r"https?://[A-Za-z0-9._~-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?")


def add_sharing_routes(route: Callable, base: str, igv_version: str) -> None:
    """The figure and session of a gene, and the report of several; what draws them is loaded when first asked for."""

    @route("/<run>/genes/<path:gene>/figure.<kind>")
    def figure(view: RunView, gene: str, kind: str) -> Response:
        from seq2exp_viz.reports.locus_figure import CANVASES, locus_bytes, place_of

        if kind not in CANVASES:
            raise RequestError(f"figure.{kind[:10]}: expected {', '.join(CANVASES)}")
        drawn = place_of(view, gene, locus_of_request(view), threshold_of(request))
        return attachment(locus_bytes(view, drawn, kind), f"{view.file_stem(drawn.gene)}.locus.{kind}", KINDS[kind])

    @route("/<run>/report")
    def report_of(view: RunView) -> Response:
        names = [name.strip() for name in request.args.get("genes", "").split(",") if name.strip()]
        if not 0 < len(names) <= MOST_GENES:
            found, do = f"{len(names)} genes", "for more, use `seq2exp-viz report`"
            raise RequestError(
                str(Problem("report", found=found, expected=f"1 to {MOST_GENES}, comma between", fix=do))
            )
        from seq2exp_viz.reports.gene_report import report

        text = report(view, names, threshold_of(request))
        return attachment(text.encode(), f"{run_part(view.key)}.report.html", "text/html")

    @route("/<run>/genes/<path:gene>/igv-session.<kind>")
    def session(view: RunView, gene: str, kind: str) -> Response:
        if kind not in ("json", "xml"):
            raise RequestError(f"igv-session.{kind[:10]}: expected json or xml")
        origin = request.args.get("origin") or request.host_url.rstrip("/")
        if not ORIGIN.fullmatch(origin):
            raise RequestError("origin: expected the page's own, such as http://127.0.0.1:8050")
        from seq2exp_viz.reports.locus_figure import place_of

        seen = place_of(view, gene, locus_of_request(view), threshold_of(request))
        told = igv_session(view, origin + base, seen.gene, seen.threshold, igv_version)
        # The IGV desktop program reads the genome's own names, igv.js those that it is given with the genome.
        chrom = view.igv_names.given(seen.chrom) if kind == "json" else seen.chrom
        told["locus"] = f"{chrom}:{seen.start + 1}-{seen.end}"
        text = json.dumps(told, indent=1) if kind == "json" else session_xml(told)
        return attachment(text.encode(), f"{view.file_stem(seen.gene)}.igv-session.{kind}", f"application/{kind}")


def locus_of_request(view: RunView) -> str | tuple[str, int, int] | None:
    """The place of a query: chrom, start, end as the page sends them (0-based), or `locus` as a person writes it."""
    return place(view) if "chrom" in request.args else request.args.get("locus") or None


def igv_session(view: RunView, base: str, gene_id: str, threshold: float, igv_version: str) -> dict:
    """A session of standard tracks, all with absolute addresses, that igv.js and the IGV web app open.

    Parameters
    ----------
    base : str
        The page's address, with scheme, host and prefix.
    igv_version : str
        Of the igv.js that this page is shown with.

    Raises
    ------
    InputError
        The run's genome is not on this machine; no browser starts without one.
    """
    reference = igv.reference(view, base)
    if not view.igv_names.renamed:
        del reference["aliasURL"]  # a session of plain names needs nothing more of this server than its files
    if "genome.fa" not in view.files and "genome.fa.gz" not in view.files:
        expected = "the study's genome on this machine"
        raise InputError("session", found="no genome file", expected=expected, fix="take the elements as BED instead")
    symbol = escape(str(view.gene(gene_id)["symbol"]))
    mask = igv.api_url(view, base, "genes", gene_id, "mask.bigWig")
    bed = igv.api_url(view, base, "genes", gene_id, "elements.bed", threshold=threshold)
    look = {"type": "wig", "format": "bigwig"}
    tracks = [
        {"name": row["config"]["name"], "url": row["config"]["url"], "color": row["config"]["color"], **look}
        for row in igv.tracks(view, base, gene_id, threshold)
        if row["group"] == "Measured" and row["config"].get("format") == "bigwig"
    ]
    if "peaks.narrowPeak" in view.files:
        url = igv.data_url(view, base, "peaks.narrowPeak")
        name = f"{escape(igv.peak_name(view))} peaks"
        tracks.append({"name": name, "url": url, "type": "annotation", "format": "narrowpeak"})
    tracks.append({"name": f"Mask of {symbol}", "url": mask, "min": 0, "max": 1, "color": igv.MASK_COLOUR, **look})
    tracks.append({"name": f"Elements of {symbol}", "url": bed, "type": "annotation", "format": "bed"})
    return {"version": igv_version, "reference": reference, "tracks": tracks}


def session_xml(told: dict) -> str:
    """The same session in the XML of the IGV desktop program."""
    lines = ['<?xml version="1.0" encoding="UTF-8" standalone="no"?>']
    genome = escape(told["reference"]["fastaURL"], quote=True)
    lines.append(f'<Session genome="{genome}" locus="{escape(told["locus"], quote=True)}" version="8">')
    lines.append("  <Resources>")
    for track in told["tracks"]:
        kind, url = {"wig": "bigwig"}.get(track["type"], track["format"]), escape(track["url"], quote=True)
        lines.append(f'    <Resource name="{track["name"]}" path="{url}" type="{kind}"/>')
    return "\n".join([*lines, "  </Resources>", "</Session>", ""])
