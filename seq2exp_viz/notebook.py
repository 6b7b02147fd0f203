"""A run in a notebook: `open_run` returns tables and arrays, `browse` shows a gene's locus in igv.js."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import Any

from model_core import palette
from model_core.errors import InputError
from model_core.files import replacing
from model_core.run_folder.run import Run, open_run
from seq2exp_viz.api.genes import element_answer, interval_features
from seq2exp_viz.api.igv import effect_style
from seq2exp_viz.locus_frame import LocusBrowser
from seq2exp_viz.reports.locus_figure import Place, locus_bytes, place_of
from seq2exp_viz.runs import binning
from seq2exp_viz.runs.effect_track import PER, effect_summary
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.style import peak_name

BINS = 4_000  # per drawn line; the numbers are stored in the notebook
SECONDS = 120  # of waiting for gene models that are not in the cache yet


def browse(
    run: str | Path | Run, gene: str | None = None, threshold: float | None = None, bins: int = BINS
) -> LocusBrowser:
    """Show a gene's window in igv.js: genes, signals, contact, peaks, mask (with its band, if any), elements.

    igv.js and all data are stored in the cell's output, so that the view needs no server and no file, and is available
    again when the saved notebook is opened; bases are not shown. Where scripts are removed, as JupyterLab does in a
    notebook that is not trusted, an image of the same view remains.

    Parameters
    ----------
    run : str or Path or Run
        A run folder, or the run that `open_run` returned.
    gene : str or None
        Symbol or id of a scored gene; None takes the first.
    threshold : float or None
        0 to 1, at which elements are cut; None takes the run's.
    bins : int
        Number of bins of each line over the window.

    Returns
    -------
    LocusBrowser
        The view, with `.search("chr1:1-1000")`, `.zoom_in()`, `.zoom_out()`, `.to_svg()`.

    Raises
    ------
    model_core.errors.InputError
        Not a run, no such gene, or not inside a notebook.

    Examples
    --------
    In a cell of a notebook:

    >>> import seq2exp_viz
    >>> browser = seq2exp_viz.browse("my-run", "MYC")
    >>> browser
    <MYC in igv.js, chr1:8,001-12,000>
    >>> browser.search("chr1:9,001-9,500")
    """
    from IPython import get_ipython

    if get_ipython() is None:
        do = "call it in a Jupyter notebook, or run `seq2exp-viz serve`"
        raise InputError("browse", found="a call outside a notebook", expected="a cell of a notebook", fix=do)
    view = _opened(run if isinstance(run, Run) else open_run(run))
    place = place_of(view, _gene_id(view.run, gene), None, threshold)
    view.wait_for_models(SECONDS)
    browser = LocusBrowser(view, place, locus_config(view, place, bins))
    browser.display()
    return browser


def figure(
    run: str | Path | Run,
    gene: str,
    locus: str | tuple[str, int, int] | None = None,
    threshold: float | None = None,
    output: str | Path | None = None,
    caption: bool = True,
) -> Any:
    """Draw a gene's locus for a publication: genes, signals, peaks, mask (with its band, if any), elements.

    Parameters
    ----------
    run : str or Path or Run
        A run folder, or the run that `open_run` returned.
    gene : str
        Symbol or id of a scored gene.
    locus : str or tuple[str, int, int] or None
        (chrom, start, end), 0-based half-open, or text such as "chr1:1,000-2,000" or "1,000-2,000", 1-based; None takes
        the gene's window.
    threshold : float or None
        0 to 1, at which elements are cut; None takes the run's.
    output : str or Path or None
        File to write (.pdf, .svg or .png); None writes no file.
    caption : bool
        Whether a caption is drawn below the figure.

    Returns
    -------
    IPython.display.SVG
        The figure, which a notebook shows; its `.data` is the SVG text.

    Raises
    ------
    model_core.errors.InputError
        Not a run, no such gene, or a region outside its window.

    Examples
    --------
    >>> from pathlib import Path
    >>> import seq2exp_viz
    >>> drawn = seq2exp_viz.figure("my-run", "MYC", locus="chr1:9,001-11,000", output="MYC.pdf")
    >>> "<svg" in drawn.data, Path("MYC.pdf").exists()
    (True, True)
    """
    from IPython.display import SVG

    view = _opened(run if isinstance(run, Run) else open_run(run))
    view.wait_for_models(SECONDS)
    place = place_of(view, gene, locus, threshold)
    if output is not None:
        path = Path(output)
        content = locus_bytes(view, place, path.suffix.lower().removeprefix("."), caption)
        with replacing(path) as unfinished:
            unfinished.write_bytes(content)
    return SVG(locus_bytes(view, place, "svg", caption).decode())


def locus_config(view: RunView, place: Place, bins: int = BINS) -> dict:
    """Return the configuration of igv.js for a region, with all data inside it.

    "chromosome" is the only chromosome: its name in igv.js, the shown name and its size in bp. Names of tracks are
    escaped, because igv.js inserts them as HTML; names of features are escaped by the frame's pop-up.
    """
    name = view.igv_names.given(place.chrom)
    chromosome = {"name": name, "shown": place.chrom, "size": view.run.chrom_sizes[place.chrom]}
    region = {"chrom": name, "start": place.start, "end": place.end}
    tracks = [*_genes(view, place), *_signals(view, place, region, bins), *_peaks(view, place)]
    mask = view.run.mask(place.gene).summary(place.start, place.end, bins, view.interval(place.gene))
    answer = element_answer(view, place.gene, place.threshold)
    answer["elements"] = _on(name, answer["elements"])
    shared = {"region": region, "threshold": answer["threshold"]}
    symbol = escape(str(view.run.gene(place.gene)["symbol"]))
    tracks += [
        {"type": "band", "name": f"Mask of {symbol}", "data": mask, "height": 120, "quantity": "Mean of z", **shared},
        *_effect(view, place, shared, symbol, bins),
        {"type": "elements", "name": f"Elements of {symbol}", "data": answer, "height": 80, **shared},
    ]
    assembly = escape(view.study.assembly if view.study else "genome")
    return {
        "chromosome": chromosome,
        "reference": {"id": assembly, "name": assembly, "format": "chromsizes", "wholeGenomeView": False},
        "locus": f"{name}:{place.start + 1}-{place.end}",
        "tracks": tracks,
        "loadDefaultGenomes": False,
        "search": False,
        "showIdeogram": False,
        "showChromosomeWidget": False,
    }


def _effect(view: RunView, place: Place, shared: dict, symbol: str, bins: int) -> list[dict]:
    """Return the track of the effect of each place on the gene, where the run stores it."""
    if view.member_effects(place.gene) is None:
        return []
    data = effect_summary(view, place.gene, place.start, place.end, bins)
    return [{**effect_style(), "name": f"Effect on {symbol} per {PER} bp", "data": data, "height": 80, **shared}]


def _opened(run: Run) -> RunView:
    """Return the view of a run, whose notes on missing inputs appear below the cell."""
    view = RunView.open("notebook", run)
    view.missing.listen(lambda line: print(f"note: {line}", file=sys.stderr, flush=True))
    return view


def _gene_id(run: Run, gene: str | None) -> str:
    return (
        str(run.genes.iloc[0]["gene_id"]) if gene is None and len(run.genes) else str(run.gene(gene or "")["gene_id"])
    )


def _genes(view: RunView, place: Place) -> list[dict]:
    table = view.models.table("gene") if view.models is not None else None
    if table is None:
        return []
    features = table.features(place.chrom, place.start, place.end)
    drawn = {"displayMode": "EXPANDED", "color": palette.GENE.css, "height": 80}
    return [_annotation("Genes", view, place, features, **drawn)]


def _signals(view: RunView, place: Place, region: dict, bins: int) -> list[dict]:
    chrom, start, end = place.chrom, place.start, place.end
    tracks = []
    for number, signal in enumerate(view.signals):
        colour, name = palette.SIGNALS[number % len(palette.SIGNALS)].css, escape(signal.name)
        row = {"type": "band", "region": region, "color": colour, "area": True, "autoscale": True, "height": 50}
        if signal.file is None:
            origin = view.run.window(place.gene).start
            data = binning.vector_summary(view.contact(place.gene, signal.name), chrom, origin, start, end, bins)
            tracks.append({**row, "name": f"{name} contact to this TSS", "quantity": "Contact", "data": data})
        else:
            data = binning.bigwig_summary(view.bigwig(signal), chrom, start, end, bins)
            tracks.append({**row, "name": name, "quantity": signal.name, "data": data})
    return tracks


def _peaks(view: RunView, place: Place) -> list[dict]:
    if view.peaks is None:
        return []
    features = interval_features(view.peaks, place.chrom, place.start, place.end)
    name = f"{escape(peak_name(view))} peaks"
    return [_annotation(name, view, place, features, displayMode="SQUISHED", color=palette.PEAK.css, height=30)]


def _annotation(name: str, view: RunView, place: Place, features: list[dict], **options: object) -> dict:
    drawn = _on(view.igv_names.given(place.chrom), features)
    return {"type": "annotation", "name": name, "features": drawn, "visibilityWindow": -1, **options}


def _on(name: str, features: list[dict]) -> list[dict]:
    """Return the features with the chromosome's name in igv.js."""
    return [{**feature, "chr": name} for feature in features]
