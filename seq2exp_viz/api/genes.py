"""The routes of the page for JSON and files, addressed by the key of a run and the id of a gene, never by a path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from flask import Blueprint, Response, request

from model_core.errors import InputError, Unavailable
from model_core.intervals import COORDINATES
from model_core.places import parse_place, read_place
from model_core.run_folder.assemble import provenance
from model_core.run_folder.band import band_words
from model_core.run_folder.element_effects import with_stored
from model_core.run_folder.elements import PROMOTER_CLASS
from seq2exp_viz.api import PREFIX, downloads, igv, tables
from seq2exp_viz.api.http import as_json, attachment, guarded, integer, place, records, threshold_of
from seq2exp_viz.api.model import add_model_routes
from seq2exp_viz.api.old_addresses import add_old_addresses
from seq2exp_viz.api.sharing import add_sharing_routes
from seq2exp_viz.api.user_tracks import add_own_track_routes
from seq2exp_viz.file_names import content_disposition, run_part
from seq2exp_viz.runs import binning, made_fasta, mask_components, style
from seq2exp_viz.runs.effect_track import effect_summary
from seq2exp_viz.runs.effect_words import effect_facts
from seq2exp_viz.runs.element_effects import with_effects
from seq2exp_viz.runs.gene_search import LONGEST, find
from seq2exp_viz.runs.missing import Missing
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.serving import static_files
from seq2exp_viz.serving.allowed_files import AllowedFiles
from seq2exp_viz.serving.byte_ranges import RangeError, byte_range, send_bytes
from seq2exp_viz.worker.jobs import Jobs

if TYPE_CHECKING:
    from seq2exp_viz.worker.shared_jobs import SharedJobs

MOST_FEATURES = 5_000
# Part in the address: field of `MaskParts`.
PARTS = {"network": "network", "signals": "signals", "disagreement": "difference"}
_EFFECT = ["effect", "effect_sd", "recurrence", "members", "direction", "contact", "element_gene_score"]
MIMETYPES = {".bed": "text/plain", ".tsv": "text/tab-separated-values", ".json": "application/json"}


def api(
    registry: RunRegistry,
    base: str,
    jobs: Jobs | SharedJobs,
    prefer: str = "vendored",
    allowed: AllowedFiles = AllowedFiles(),  # noqa: B008  it has no folder, and is never changed
    read_only: bool = False,
) -> Blueprint:
    """Return all routes below `base`.

    Parameters
    ----------
    registry : RunRegistry
        The runs that are served.
    base : str
        Prefix of the page's addresses.
    jobs : Jobs or SharedJobs
        Questions and jobs for the models.
    prefer : str
        "vendored" or "notebook": which igv.js is served.
    allowed : AllowedFiles
        Files outside the runs that may be opened.
    read_only : bool
        Whether the model is not asked anything.
    """
    site, routes = Blueprint("site", __name__), Blueprint("api", __name__, url_prefix=f"/{PREFIX}")
    route = guarded(routes, registry)

    @routes.route("/runs")
    def runs() -> Response:
        return as_json([{"key": view.key, "name": view.run.name, **view.run.manifest["progress"]} for view in registry])

    @route("/<run>/view")
    def view_of(view: RunView) -> Response:
        gene = request.args.get("gene") or None
        other = registry.get(request.args.get("beside", ""))
        return as_json(igv.browser(view, base, gene, threshold_of(request), other))

    @route("/<run>/search")
    def search(view: RunView) -> Response:
        return as_json(find(view, request.args.get("q", ""), request.args.get("chrom")))

    @route("/<run>/place")
    def place_of_text(view: RunView) -> Response:
        """Return the region that a text names, typed on the contig `chrom` or, with `written`, in the page's form."""
        read = read_place if "written" in request.args else parse_place
        text = request.args.get("q", "")[:LONGEST]
        return as_json(dict(zip(COORDINATES, read(text, view.contigs, request.args.get("chrom")), strict=True)))

    @route("/<run>/genes")
    def genes(view: RunView) -> Response:
        return as_json(records(view.run.genes))

    @route("/<run>/notes")
    def notes(view: RunView) -> Response:
        return as_json([note._asdict() for note in view.caveats])

    add_gene_routes(route)
    add_interval_routes(route)
    add_blank_genome(route)
    add_made_genome(route)
    add_sharing_routes(route, base, static_files.igv_script(prefer).version)
    tables.add_routes(route, registry)
    add_model_routes(routes, route, registry, jobs, read_only)
    add_own_track_routes(route, site, base, allowed)
    add_files(site, registry, prefer)
    add_old_addresses(site, base)
    site.register_blueprint(routes)
    return site


def add_files(site: Blueprint, registry: RunRegistry, prefer: str) -> None:
    """Add the routes outside the versioned interface: files of runs, and igv.js."""

    @site.route("/igv.js")
    def igv_library() -> Response:
        return send_bytes(static_files.igv_script(prefer).path, request, "text/javascript")

    @site.route("/data/<path:rest>")
    def nowhere(rest: str) -> Response:  # without it Dash would answer with the page
        return as_json({"message": f"Nothing is served at {rest[:80]!r}."}, 404)

    @guarded(site, registry)("/data/<run>/<file>")
    def data(view: RunView, file: str) -> Response:
        path = view.file(file)
        if path is None:
            return as_json({"message": f"This run has no file {file[:80]!r}."}, 404)
        kind = next((kind for ending, kind in MIMETYPES.items() if file.endswith(ending)), "application/octet-stream")
        response = send_bytes(path, request, kind)
        if "download" in request.args:
            response.headers["Content-Disposition"] = content_disposition(f"{run_part(view.key)}.{file}")
        return response


def add_gene_routes(route: Callable) -> None:
    """Add the routes of one gene: its mask, contact, prior and elements, and the two downloads."""

    @route("/<run>/genes/<path:gene>/mask")
    def mask(view: RunView, gene: str) -> Response:
        found = view.run.mask(gene)
        start, end = integer("start", found.start), integer("end", found.end)
        return as_json(found.summary(start, end, integer("bins", 1000), view.interval(gene)))

    @route("/<run>/genes/<path:gene>/contact/<name>", reads_inputs=True)
    def contact(view: RunView, gene: str, name: str) -> Response:
        if name not in {track.name for track in view.signals if track.file is None}:
            raise Unavailable(f"{name[:80]!r} is not a contact signal of this run.")
        return vector(view, gene, view.contact(gene, name))

    @route("/<run>/genes/<path:gene>/prior", reads_inputs=True)
    def prior(view: RunView, gene: str) -> Response:
        return vector(view, gene, view.prior(gene))

    @route("/<run>/genes/<path:gene>/why/<part>", reads_inputs=True)
    def why(view: RunView, gene: str, part: str) -> Response:
        if part not in PARTS:
            raise Unavailable(f"{part[:80]!r} is not a component of a mask: expected network, signals or disagreement.")
        found = mask_components.parts(view, gene)
        each = np.repeat(getattr(found, PARTS[part]), view.run.manifest["resolution"])
        return vector(view, gene, each, signal_weight=found.signal_weight)

    @route("/<run>/genes/<path:gene>/certainty")
    def certainty(view: RunView, gene: str) -> Response:
        threshold, window = threshold_of(request), view.run.window(gene)
        threshold = view.run.rule.threshold if threshold is None else threshold
        start, end = integer("start", window.start), integer("end", window.end)
        return as_json(mask_components.certainty_summary(view, gene, threshold, start, end, integer("bins", 1000)))

    @route("/<run>/genes/<path:gene>/member-effects")
    def member_effects(view: RunView, gene: str) -> Response:
        window = view.run.window(gene)
        start, end = integer("start", window.start), integer("end", window.end)
        return as_json(effect_summary(view, gene, start, end, integer("bins", 1000)))

    @route("/<run>/genes/<path:gene>/elements")
    def elements(view: RunView, gene: str) -> Response:
        return as_json(element_answer(view, gene, threshold_of(request)))

    @route("/<run>/genes/<path:gene>/elements.bed")
    def bed(view: RunView, gene: str) -> Response:
        elements, comments = cut_for_file(view, gene, threshold_of(request))
        return elements_file(view, gene, "bed", downloads.elements_bed(elements, view.run.manifest, comments))

    @route("/<run>/genes/<path:gene>/elements.gff3")
    def gff3(view: RunView, gene: str) -> Response:
        elements, comments = cut_for_file(view, gene, threshold_of(request))
        return elements_file(view, gene, "gff3", downloads.elements_gff3(elements, view.run.chrom_sizes, comments))

    @route("/<run>/genes/<path:gene>/elements.bedpe")
    def bedpe(view: RunView, gene: str) -> Response:
        threshold, symbol = threshold_of(request), str(view.run.gene(gene)["symbol"])
        elements = with_effects(view, view.cut(gene, threshold)).assign(name=lambda t: f"{symbol}:" + t["name"])
        comments = cut_for_file(view, gene, threshold)[1]
        return elements_file(view, gene, "bedpe", downloads.elements_bedpe(elements, view.run.genes, comments))

    @route("/<run>/genes/<path:gene>/mask.bigWig")
    def bigwig(view: RunView, gene: str) -> Response:
        row = view.run.gene(gene)
        content = downloads.mask_bigwig(view.run.mask(gene), view.run.chrom_sizes)
        return attachment(content, f"{view.file_stem(str(row['gene_id']))}.mask.bigWig", "application/octet-stream")

    @route("/<run>/signals/<name>", reads_inputs=True)
    def signal(view: RunView, name: str) -> Response:
        track = next((track for track in view.signals if name in (track.name, track.id)), None)
        if track is None or track.file is None:
            raise Unavailable(f"{name[:80]!r} is not a coverage signal of this run.")
        where = view.igv_names.own(request.args.get("chrom", ""))
        path = view.bigwig(track)
        return as_json(
            binning.bigwig_summary(path, where, max(0, integer("start")), integer("end"), integer("bins", 1000))
        )


def add_interval_routes(route: Callable) -> None:
    """Add the routes of intervals in a view: gene models, peaks, planted elements, blacklist."""

    @route("/<run>/models/<level>")
    def models(view: RunView, level: str) -> Response:
        if level not in ("gene", "transcript") or view.models is None:
            raise Unavailable("This run has no such gene models.")
        table = view.models.table(level)
        chrom, start, end = place(view)
        if table is None:  # the annotation is still being read: the scored genes' start sites replace it
            return for_igv(view, start_sites(view.run.genes, chrom, start, end))
        return for_igv(view, table.features(chrom, start, end))

    @route("/<run>/peaks")
    def peaks(view: RunView) -> Response:
        return for_igv(view, interval_features(view.peaks, *place(view)))

    @route("/<run>/truth/<kind>")
    def truth(view: RunView, kind: str) -> Response:
        return for_igv(view, interval_features(view.truth(kind), *place(view)))

    @route("/<run>/blacklist")
    def blacklist(view: RunView) -> Response:
        return for_igv(view, interval_features(view.run.blacklist, *place(view)))


def add_blank_genome(route: Callable) -> None:
    """Add the routes of contig names, and of a genome of N for runs without FASTA: igv.js requires a genome."""

    @route("/<run>/contigs.tsv")
    def contigs(view: RunView) -> Response:
        return Response(view.igv_names.aliases(), mimetype="text/plain")

    @route("/<run>/genome.fai")
    def renamed_index(view: RunView) -> Response:
        """Return the index of the genome with igv.js's names; igv.js finds bases by the index only."""
        paths = (view.files.get(name) for name in ("genome.fa.fai", "genome.fa.gz.fai"))
        path = next((path for path in paths if isinstance(path, Path)), None)
        if path is None:
            raise Unavailable("This run's genome is not on this machine.")
        return Response(renamed_lines(view, path.read_text(encoding="utf-8")), mimetype="text/plain")

    @route("/<run>/blank.fa.fai")
    def index(view: RunView) -> Response:
        lines = [f"{name}\t{size}\t0\t{size}\t{size + 1}\n" for name, size in view.run.chrom_sizes.items()]
        return Response(renamed_lines(view, "".join(lines)), mimetype="text/plain")

    @route("/<run>/blank.fa")
    def blank(view: RunView) -> Response:
        longest = max(view.run.chrom_sizes.values(), default=0)
        start, stop = byte_range(request.headers.get("Range"), longest) or (0, 0)
        stop = min(stop, start + 4_000_000)
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{longest}", "Accept-Ranges": "bytes"}
        return Response(b"N" * (stop - start), 206, headers, mimetype="text/plain")


def add_made_genome(route: Callable) -> None:
    """Add a FASTA that is made as it is asked for, of a genome that lies on a server or is a .2bit."""

    @route("/<run>/bases.fa.fai")
    def index(view: RunView) -> Response:
        return Response(renamed_lines(view, made_fasta.index(view.run.chrom_sizes)), mimetype="text/plain")

    def wanted(view: RunView) -> tuple[int, int, int]:
        """Return the range that the request asks for, and the size of the whole file."""
        size = made_fasta.size(view.run.chrom_sizes)
        return *(byte_range(request.headers.get("Range"), size) or (0, size)), size

    def has_bases(view: RunView) -> bool:
        return request.method != "HEAD" and wanted(view)[1] > len(made_fasta.HEAD)

    @route("/<run>/bases.fa", reads_inputs=has_bases)
    def bases(view: RunView) -> Response:
        if view.genome is None:
            raise Unavailable("The genome of this run is not available.")
        start, stop, size = wanted(view)
        if request.method == "HEAD":
            return Response(b"", 200, {"Content-Length": str(size), "Accept-Ranges": "bytes"}, mimetype="text/plain")
        if stop - start > made_fasta.LONGEST:
            raise RangeError(f"at most {made_fasta.LONGEST:,} bases are sent at once")
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{size}", "Accept-Ranges": "bytes"}
        try:
            if has_bases(view):
                view.require_genome()
            piece = made_fasta.piece(view.run.chrom_sizes, view.genome.sequence, start, stop)
        except InputError as problem:  # igv.js draws no track at all of a view whose bases it does not get
            view.missing.add(Missing("Bases are shown as N", str(problem).splitlines()[0]))
            piece = made_fasta.piece(view.run.chrom_sizes, lambda _, first, last: "N" * (last - first), start, stop)
            headers["Cache-Control"] = "no-store"
        return Response(piece, 206, headers, mimetype="text/plain")


def renamed_lines(view: RunView, index: str) -> str:
    """Return the lines of a FASTA index with igv.js's names, without contigs that the run does not have."""
    rows = [line.split("\t", 1) for line in index.splitlines()]
    sizes, given = view.run.chrom_sizes, view.igv_names.given
    return "".join(f"{given(row[0])}\t{row[1]}\n" for row in rows if len(row) == 2 and row[0] in sizes)


def for_igv(view: RunView, features: list[dict]) -> Response:
    """Return features as an answer to igv.js, with its names of contigs."""
    given = view.igv_names.given
    return as_json([{**feature, "chr": given(feature["chr"])} for feature in features])


def vector(view: RunView, gene: str, values: np.ndarray, **more: object) -> Response:
    """Return bin means of a per-base vector over a gene's window, in the region of the query, with fields `more`."""
    window = view.run.window(gene)
    start, end = integer("start", window.start), integer("end", window.end)
    bins = integer("bins", 1000)
    return as_json({**binning.vector_summary(values, window.chrom, window.start, start, end, bins), **more})


def cut_for_file(view: RunView, gene: str, threshold: float | None) -> tuple[pd.DataFrame, list[str]]:
    """Cut the gene's elements at a threshold and return them with the comment lines of their file."""
    rule = view.run.rule if threshold is None else view.run.rule.at(threshold)
    elements = with_stored(view.cut(gene, threshold), view.effects, view.run.manifest)
    return elements, provenance(view.run, rule)


def elements_file(view: RunView, gene: str, ending: str, content: bytes) -> Response:
    """Answer with the gene's elements as a file to save."""
    stem = view.file_stem(str(view.run.gene(gene)["gene_id"]))
    return attachment(content, f"{stem}.elements.{ending}", "text/plain")


def element_answer(view: RunView, gene: str, threshold: float | None) -> dict:
    """Return the gene's elements at a threshold, and the share of the window that they cover, as JSON values."""
    row, table = view.run.gene(gene), with_effects(view, view.cut(gene, threshold))
    learned = int(view.run.mask(gene).learned.sum()) * view.run.manifest["resolution"]
    mine = table[table["class"] != PROMOTER_CLASS]
    covered = int((mine["end"] - mine["start"]).sum())
    return {
        "gene": str(row["gene_id"]),
        "tss": int(row["tss"]),
        "threshold": view.run.rule.threshold if threshold is None else threshold,
        "count": len(mine),
        "covered_percent": round(100 * covered / learned, 2) if learned else None,
        "elements": [
            _element(item, effect, band_words(view.run.band) is not None)
            for item, effect in zip(table.to_dict("records"), records(table[_EFFECT]), strict=True)
        ],
    }


def _element(item: dict, effect: dict, beta: bool) -> dict:
    return {
        "chr": str(item["chrom"]),
        "start": int(item["start"]),
        "end": int(item["end"]),
        "name": str(item["name"]),
        "class": item["class"],
        "words": style.CLASS_WORDS[item["class"]],
        "color": style.colour_of(item["class"]),
        "mean": round(float(item["mean_mask"]), 4),
        "max": round(float(item["max_mask"]), 4),
        "beta_sd": round(float(item["beta_sd"]), 4) if beta else None,
        "distance": int(item["distance_to_tss"]),
        "peak": str(item["peak"]),
        **effect,
        "facts": effect_facts(item),
        "arc": style.arc_colour(item["direction"], item["class"]),
    }


def interval_features(table: pd.DataFrame | None, chrom: str, start: int, end: int) -> list[dict]:
    """Return the rows of an interval table in chrom:start-end for igv.js, at most the MOST_FEATURES longest.

    Other columns of text and numbers are included: igv.js shows them when a feature is clicked.
    """
    if table is None:
        return []
    starts, ends = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    here = (table["chrom"] == chrom).to_numpy(bool) & (starts < end) & (ends > start)
    found = table[here]
    if len(found) > MOST_FEATURES:
        found = found.loc[(found["end"] - found["start"]).nlargest(MOST_FEATURES).index].sort_values("start")
    rows = records(found.drop(columns=["chrom", "file"], errors="ignore"))
    return [{"chr": chrom, **{name: value for name, value in row.items() if value is not None}} for row in rows]


def start_sites(genes: pd.DataFrame, chrom: str, start: int, end: int) -> list[dict]:
    """Return the scored genes' start sites in chrom:start-end, as features of one base."""
    here = genes[(genes["chrom"] == chrom) & genes["tss"].between(start, end - 1)]
    return [
        {"chr": chrom, "start": int(tss), "end": int(tss) + 1, "name": str(name), "strand": str(strand)}
        for tss, name, strand in zip(here["tss"], here["symbol"], here["strand"], strict=True)
    ]
