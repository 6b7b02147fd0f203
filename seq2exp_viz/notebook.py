"""A run in a notebook: `open_run` gives tables and arrays, `browse` shows a gene's locus in igv.js."""

from __future__ import annotations

import base64
import sys
from html import escape
from pathlib import Path
from typing import Any

from model_core.errors import InputError, complaint
from model_core.outputs.run import Run
from seq2exp_viz.page import api
from seq2exp_viz.serving import browser_files
from seq2exp_viz.shelf import look, summaries
from seq2exp_viz.shelf.view import OpenRun

BINS = 4_000  # of each drawn line; the numbers travel inside the notebook


def open_run(path: str | Path) -> Run:
    """The run folder at `path`.

    `.genes` and `.elements` are DataFrames, `.mask(gene)` holds arrays (mean, sd, interval(), alpha, beta), `.cut(gene,
    threshold)` cuts elements anew; `.manifest`, `.config`, `.metrics` are dicts.

    Raises:
        model_core.errors.InputError: the folder is no run.
    """
    return Run.open(path)


def browse(run: str | Path | Run, gene: str | None = None, threshold: float | None = None, bins: int = BINS) -> Any:
    """Show a gene's window in igv.js: genes, signals, contact, peaks, mask with its 95 % range, elements.

    Everything that is drawn is put into the cell's output, so that the picture needs no server and no file; bases are
    not drawn.

    Args:
        run: a run folder, or what `open_run` gave.
        gene: symbol or id of a scored gene; None takes the first.
        threshold: 0 to 1, at which elements are cut; None takes the run's rule.
        bins: points of each line over the window.

    Returns:
        The igv_notebook.Browser, with `.search("chr1:1-1000")`, `.zoom_in()`, `.to_svg()`.

    Raises:
        model_core.errors.InputError: no run, no such gene, or not inside a notebook.
    """
    import igv_notebook
    from IPython import get_ipython
    from IPython.display import Javascript, display

    if get_ipython() is None:
        do = "use it in Jupyter, or run `seq2exp-viz serve`"
        raise InputError(complaint("browse", "no notebook around it", "a cell of a notebook", do))

    config = locus_config(run if isinstance(run, Run) else open_run(run), gene, threshold, bins)
    igv_notebook.init()
    for name, global_name in (("mask-track.js", "seq2expMaskTrack"), ("elements-track.js", "seq2expElementsTrack")):
        script = (browser_files.folder() / name).read_text(encoding="utf-8")
        display(Javascript(f"{script}\nwindow.{global_name}.define(window.igv);"))
    return igv_notebook.Browser(config)


def figure(
    run: str | Path | Run,
    gene: str,
    locus: str | None = None,
    threshold: float | None = None,
    output: str | Path | None = None,
    caption: bool = True,
) -> Any:
    """A gene's locus for a paper: genes, signals, peaks, mask with its 95 % band, elements.

    Args:
        run: a run folder, or what `open_run` gave.
        gene: symbol or id of a scored gene.
        locus: "chr1:1,000-2,000", counted from 1; None takes the gene's window.
        threshold: 0 to 1, at which elements are cut; None takes the run's rule.
        output: file to write (.pdf, .svg or .png); None returns the picture alone.
        caption: whether it says what is drawn.

    Returns:
        IPython.display.SVG, which a notebook shows; its `.data` is the SVG text.

    Raises:
        model_core.errors.InputError: no run, no such gene, or a place outside its window.
    """
    from IPython.display import SVG

    from seq2exp_viz.publish.locus import locus_bytes, place_of

    view = _opened(run if isinstance(run, Run) else open_run(run))
    if view.models is not None:
        view.models.wait(120)
    place = place_of(view, gene, locus, threshold)
    if output is not None:
        path = Path(output)
        path.write_bytes(locus_bytes(view, place, path.suffix.lower().removeprefix("."), caption))
    return SVG(locus_bytes(view, place, "svg", caption).decode())


def locus_config(run: Run, gene: str | None = None, threshold: float | None = None, bins: int = BINS) -> dict:
    """igv.js's configuration of a gene's window, with all data inside it (JSON values, names escaped)."""
    view = _opened(run)
    row = run.genes.iloc[0] if gene is None and len(run.genes) else run.gene(gene or "")
    gene_id = str(row["gene_id"])
    window = view.window(gene_id)
    start, end = max(0, window.start), min(window.end, run.chrom_sizes[window.chrom])
    region = {"chrom": window.chrom, "start": start, "end": end}
    tracks = [*_genes(view, region), *_signals(view, gene_id, region, bins), *_peaks(view, region)]
    mask = summaries.mask_summary(view.mask(gene_id), view.interval(gene_id), start, end, bins)
    answer = api.element_answer(view, gene_id, threshold)
    answer["elements"] = [_escaped(element) for element in answer["elements"]]
    shared = {"region": region, "threshold": answer["threshold"]}
    symbol = escape(str(row["symbol"]))
    tracks += [
        {"type": "mask", "name": f"Mask of {symbol}", "data": mask, "height": 120, "quantity": "Mean of z", **shared},
        {"type": "elements", "name": f"Elements of {symbol}", "data": answer, "height": 80, **shared},
    ]
    sizes = "".join(f"{name}\t{size}\n" for name, size in run.chrom_sizes.items())
    genome = "data:text/plain;base64," + base64.b64encode(sizes.encode()).decode()
    name = escape(view.study.assembly if view.study else "genome")
    return {
        "reference": {"id": name, "name": name, "format": "chromsizes", "fastaURL": genome, "wholeGenomeView": False},
        "locus": f"{window.chrom}:{start + 1}-{end}",
        "tracks": tracks,
        "loadDefaultGenomes": False,
        "search": False,
        "showIdeogram": False,
        "showChromosomeWidget": False,
    }


def _opened(run: Run) -> OpenRun:
    """The run, whose notes on what is missing appear under the cell."""
    view = OpenRun("notebook", run)
    view.listen(lambda words: print(f"note: {words}", file=sys.stderr, flush=True))
    return view


def _genes(view: OpenRun, region: dict) -> list[dict]:
    if view.models is None or not view.models.wait(120):
        return []
    features = view.models.table("gene").features(region["chrom"], region["start"], region["end"])
    drawn = {"displayMode": "EXPANDED", "color": look.GENE_COLOUR, "height": 80}
    return [_annotation("Genes", features, **drawn)]


def _signals(view: OpenRun, gene_id: str, region: dict, bins: int) -> list[dict]:
    chrom, start, end = region["chrom"], region["start"], region["end"]
    tracks = []
    for number, signal in enumerate(view.signals):
        colour, name = look.SIGNAL_COLOURS[number % len(look.SIGNAL_COLOURS)], escape(signal.name)
        row = {"type": "mask", "region": region, "color": colour, "area": True, "autoscale": True, "height": 50}
        if signal.file is None:
            origin = view.window(gene_id).start
            data = summaries.vector_summary(view.contact(gene_id, signal.name), chrom, origin, start, end, bins)
            tracks.append({**row, "name": f"{name} contact to this TSS", "quantity": "Contact", "data": data})
        else:
            data = summaries.bigwig_summary(view.files[signal.file], chrom, start, end, bins)
            tracks.append({**row, "name": name, "quantity": name, "data": data})
    return tracks


def _peaks(view: OpenRun, region: dict) -> list[dict]:
    if view.peaks is None:
        return []
    features = api.interval_features(view.peaks, region["chrom"], region["start"], region["end"])
    name = f"{escape(look.peak_name(view))} peaks"
    return [_annotation(name, features, displayMode="SQUISHED", color=look.PEAK_COLOUR, height=30)]


def _annotation(name: str, features: list[dict], **look: object) -> dict:
    escaped = [_escaped(feature) for feature in features]
    return {"type": "annotation", "name": name, "features": escaped, "visibilityWindow": -1, **look}


def _escaped(feature: dict) -> dict:
    """The same with every text made safe: igv.js shows it as HTML."""
    return {key: escape(value) if isinstance(value, str) else value for key, value in feature.items()}
