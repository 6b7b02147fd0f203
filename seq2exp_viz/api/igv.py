"""The configuration of igv.js: the reference, and one dict per track with igv.js's own field names.

These are pure functions of an open run. The dicts contain only values that an igv.js session can store. igv.js inserts
track names into the page as HTML, so every name that comes from a file is escaped here.
"""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np

from model_core import palette
from model_core.remote.address import RemotePath
from model_core.run_folder.band import band_words
from model_core.run_folder.element_effects import stores_any
from model_core.run_folder.occlusion import Occlusion
from seq2exp_viz.api import PREFIX
from seq2exp_viz.file_names import run_part
from seq2exp_viz.runs import mask_components
from seq2exp_viz.runs.effect_track import PER
from seq2exp_viz.runs.effect_words import DIRECTIONS
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.second_run import same_gene
from seq2exp_viz.runs.study_inputs import SignalTrack
from seq2exp_viz.runs.style import peak_name
from seq2exp_viz.serving.byte_ranges import version_of
from seq2exp_viz.serving.remote_ranges import known_version

_WITH_EFFECT = {"genes": 54, "peaks": 34, "mask": 90, "effect": 70, "elements": 76}  # pixels, so that all are in sight
_SIGNAL_WITH_EFFECT = 40


def data_url(view: RunView, base: str, file: str) -> str:
    """Return the address of a served file; it includes the file's version, so that a browser may cache it.

    The version of a remote file is known once it was opened; nothing is asked for here.
    """
    path = view.files[file]
    version = known_version(path) if isinstance(path, RemotePath) else version_of(path)
    return f"{base}data/{view.key}/{quote(file)}" + (f"?v={version}" if version else "")


def api_url(view: RunView, base: str, *parts: str, **query: object) -> str:
    """Return the address of an answer of the JSON interface."""
    address = f"{base}{PREFIX}/{view.key}/" + "/".join(quote(part, safe="") for part in parts)
    return address + (f"?{urlencode(query)}" if query else "")


def reference(view: RunView, base: str) -> dict:
    """Return the genome for igv.js: the study's local FASTA, bases that the server reads, or chromosomes of N."""
    assembly = escape(view.study.assembly if view.study else "genome")
    # With a file of aliases igv.js does not derive its own, which fail on some names and confuse others.
    aliases = api_url(view, base, "contigs.tsv")
    chosen = {"id": assembly, "name": assembly, "wholeGenomeView": False, "aliasURL": aliases}
    files = view.files
    fasta = next((name for name in ("genome.fa", "genome.fa.gz") if f"{name}.fai" in files), None)
    if fasta is None:
        made = api_url(view, base, "blank.fa" if view.genome is None else "bases.fa")
        return {**chosen, "fastaURL": made, "indexURL": f"{made}.fai"}
    index = data_url(view, base, f"{fasta}.fai") if not view.igv_names.renamed else api_url(view, base, "genome.fai")
    chosen |= {"fastaURL": data_url(view, base, fasta), "indexURL": index}
    if f"{fasta}.gzi" in files:
        chosen["compressedIndexURL"] = data_url(view, base, f"{fasta}.gzi")
    return chosen


def tracks(
    view: RunView, base: str, gene_id: str | None, threshold: float | None, second: RunView | None = None
) -> list[dict]:
    """Return all tracks of a run, top to bottom, with the mask of a `second` run and the difference.

    Returns
    -------
    list[dict]
        Dicts with id, label, group ("Genes", "Measured", "Model", "Why", "Controls"), on (shown at first) and config
        (for igv.js; `order` keeps the rows in place when one is switched on later).
    """
    rows = [*_annotation(view, base), *_measured(view, base, gene_id)]
    if gene_id is not None:
        rows += _model(view, base, gene_id, threshold)
        rows += _second_run(view, base, gene_id, second) if second is not None else []
        rows += _why(view, base, gene_id, threshold)
    rows += _controls(view, base, gene_id)
    if any(row["id"] == "effect" for row in rows):
        for row in rows:
            row["config"]["height"] = _height_with_effect(row)
    for order, row in enumerate(rows, 1):
        row["config"] |= {"id": row["id"], "name": escape(row["label"]), "order": order, "removable": False}
    return rows


def _height_with_effect(row: dict) -> int:
    """Return the height of a track beside a track of effects, in pixels."""
    other = _SIGNAL_WITH_EFFECT if row["group"] == "Measured" else row["config"]["height"]
    return _WITH_EFFECT.get(row["id"], other)


def _row(name: str, label: str, group: str, on: bool = True, **config: Any) -> dict:
    return {"id": name, "label": label, "group": group, "on": on, "config": config}


def _features(url: str, **config: Any) -> dict[str, Any]:
    """Return a track of intervals that igv.js requests for each view; it fills in the region."""
    joined = url + ("&" if "?" in url else "?") + "chrom=$CHR&start=$START&end=$END"
    source = {"url": joined, "method": "GET", "contentType": "application/json"}
    # Without expandQuery=False igv.js asks for whole chromosomes, however narrow the view.
    fixed = {
        "type": "annotation",
        "sourceType": "custom",
        "source": source,
        "visibilityWindow": -1,
        "expandQuery": False,
    }
    return {**fixed, **config}


def _annotation(view: RunView, base: str) -> list[dict]:
    if view.models is None:
        return []
    style = {"displayMode": "EXPANDED", "color": palette.GENE.css, "autoHeight": False}
    genes = _features(api_url(view, base, "models", "gene"), height=72, **style)
    transcripts = _features(api_url(view, base, "models", "transcript"), height=120, **style)
    return [
        _row("genes", "Genes", "Genes", **genes),
        _row("transcripts", "Transcripts", "Genes", on=False, **transcripts),
    ]


def _measured(view: RunView, base: str, gene_id: str | None) -> list[dict]:
    rows = []
    for number, signal in enumerate(view.signals):
        colour = palette.SIGNALS[number % len(palette.SIGNALS)].css
        if signal.file is not None:
            if view.file(signal.file) is None:
                continue  # removed since the run was opened
            url = data_url(view, base, signal.file)
            config: dict[str, Any] = {"type": "wig", "format": "bigwig", "url": url, "color": colour}
            config |= {"height": 46, "autoscale": True, "min": 0}
            rows.append(_row(signal.id, signal.name, "Measured", **config))
        elif gene_id is not None:
            rows.append(
                _row(
                    signal.id,
                    f"{signal.name} contact to this TSS",
                    "Measured",
                    **_contact(view, base, gene_id, signal, colour),
                )
            )
    if view.peaks is not None:
        peaks = _features(
            api_url(view, base, "peaks"), height=42, margin=20, displayMode="SQUISHED", color=palette.PEAK.css
        )
        rows.append(_row("peaks", f"{peak_name(view)} peaks", "Measured", **peaks))
    return rows


def _contact(view: RunView, base: str, gene_id: str, signal: SignalTrack, colour: str) -> dict[str, Any]:
    return {
        **_own(view, base, gene_id, "contact", signal.name),
        "height": 46,
        "color": colour,
        "area": True,
        "autoscale": True,
        "quantity": "Contact with this TSS",
    }


def _own(view: RunView, base: str, gene_id: str, *parts: str) -> dict[str, Any]:
    window = view.run.window(gene_id)
    size = view.run.chrom_sizes[window.chrom]
    region = region_for_igv(view, window.chrom, max(0, window.start), min(window.end, size))
    return {"type": "band", "url": api_url(view, base, "genes", gene_id, *parts), "region": region}


def region_for_igv(view: RunView, chrom: str, start: int, end: int) -> dict:
    """Return the region of a track (0-based half-open) with igv.js's name of its contig, and the genome's."""
    given = view.igv_names.given(chrom)
    return {"chrom": given, "start": start, "end": end, **({} if given == chrom else {"name": chrom})}


def _model(view: RunView, base: str, gene_id: str, threshold: float | None) -> list[dict]:
    symbol = str(view.run.gene(gene_id)["symbol"])
    threshold = view.run.rule.threshold if threshold is None else threshold
    own = _own(view, base, gene_id, "mask")
    elements = {"type": "elements", "url": api_url(view, base, "genes", gene_id, "elements"), "region": own["region"]}
    return [
        _row("mask", f"Mask of {symbol}", "Model", **own, height=132, threshold=threshold, quantity="Mean of z"),
        *_effect(view, base, gene_id, symbol),
        _row("elements", f"Elements of {symbol}", "Model", **elements, height=84, threshold=threshold),
    ]


def _effect(view: RunView, base: str, gene_id: str, symbol: str) -> list[dict]:
    """Return the track of the effect of each place on the gene, where the run stores it."""
    if view.member_effects(gene_id) is None:
        return []
    own = _own(view, base, gene_id, "member-effects")
    return [
        _row(
            "effect",
            f"Effect on {symbol} per {PER} bp",
            "Model",
            **(own | effect_style()),
            height=_WITH_EFFECT["effect"],
        )
    ]


def effect_style() -> dict[str, Any]:
    """Return type, colours and words of a track of effects, for igv.js."""
    colours = {direction: colour.css for direction, colour in palette.EFFECTS.items()}
    return {"type": "effect", "colors": colours, "words": DIRECTIONS, "per": PER}


def _why(view: RunView, base: str, gene_id: str, threshold: float | None) -> list[dict]:
    threshold = view.run.rule.threshold if threshold is None else threshold
    own = _own(view, base, gene_id, "certainty")
    colours = {kind: colour.css for kind, colour in palette.CERTAINTY.items()}
    sure = {**own, "type": "certainty", "height": 56, "threshold": threshold, "colors": colours}
    label = "Where z lies: 95 % of it above the threshold, on both sides, or below"
    rows = [_row("certainty", label, "Why", on=False, **sure)] if view.run.band == "beta" else []
    if mask_components.unavailable_reason(view) is not None:
        return rows
    reads = " (also reads the signals)" if view.settings.backbone.generator_signals else ""
    for part, label, colour, least in (
        ("network", f"Sequence component{reads}", palette.SEQUENCE_COMPONENT, 0),
        ("signals", "Signal component", palette.SIGNAL_COMPONENT, 0),
        ("disagreement", "Disagreement: sequence component minus signal component", palette.COMPONENT_DIFFERENCE, -1),
    ):
        style = {"height": 64, "color": colour.css, "quantity": "Mean" if least == 0 else "Difference of means"}
        config = {**_own(view, base, gene_id, "why", part), **style, "area": True, "min": least, "max": 1}
        rows.append(_row(f"why-{part}", label, "Why", on=False, **config))
    return rows


def _second_run(view: RunView, base: str, gene_id: str, other: RunView) -> list[dict]:
    found = same_gene(other, gene_id)
    if found is None:
        return []
    symbol, name = str(view.run.gene(gene_id)["symbol"]), other.run.name
    mask = {**_own(other, base, found, "mask"), "threshold": other.run.rule.threshold, "quantity": f"Mean of z, {name}"}
    url = api_url(view, base, "genes", gene_id, "difference", **{"from": other.key})
    change = {**_own(view, base, gene_id, "mask"), "url": url, "min": -1, "max": 1, "area": True}
    change |= {"color": palette.RUN_DIFFERENCE.css, "quantity": f"{view.run.name} minus {name}"}
    return [
        _row("beside", f"Mask of {symbol} in {name}", "Model", **mask, height=104),
        _row("difference", f"Difference: {view.run.name} minus {name}", "Model", **change, height=84),
    ]


def _occlusion(view: RunView, base: str, track: Occlusion) -> dict:
    lowest, highest = float(np.nanmin(track.effects, initial=0)), float(np.nanmax(track.effects, initial=0))
    return {
        **_own(view, base, track.gene_id, "occlusion"),
        "height": 70,
        "color": palette.OCCLUSION.css,
        "quantity": f"Effect of hiding {track.block} bp, everything else kept",
        "area": True,
        "min": lowest,
        "max": highest if highest > lowest else lowest + 1e-6,
    }


def _controls(view: RunView, base: str, gene_id: str | None) -> list[dict]:
    rows = []
    if gene_id is not None and view.prior_config is not None:
        prior = {
            **_own(view, base, gene_id, "prior"),
            "height": 70,
            "color": palette.PRIOR.css,
            "quantity": "Mean of the prior",
        }
        rows.append(_row("prior", "Control: signals alone (the prior)", "Controls", on=False, **prior))
    if gene_id is not None and (track := view.occlusion(gene_id)) is not None:
        rows.append(
            _row("occlusion", "Control: occlusion, no mask", "Controls", on=False, **_occlusion(view, base, track))
        )
    if "mask.bigWig" in view.files:
        url = data_url(view, base, "mask.bigWig")
        config = {
            "type": "wig",
            "format": "bigwig",
            "url": url,
            "color": palette.MASK.css,
            "height": 46,
            "min": 0,
            "max": 1,
        }
        rows.append(_row("merged", "Masks of all genes (maximum)", "Controls", on=False, **config))
    for kind, label, colour in (
        ("causal", "Planted: causal", palette.CAUSAL),
        ("decoys", "Planted: decoys", palette.DECOY),
    ):
        if view.truth(kind) is not None:
            config = _features(api_url(view, base, "truth", kind), height=28, displayMode="SQUISHED", color=colour.css)
            rows.append(_row(kind, label, "Controls", on=False, **config))
    if view.run.blacklist is not None and len(view.run.blacklist):
        config = _features(
            api_url(view, base, "blacklist"), height=24, displayMode="SQUISHED", color=palette.BLACKLIST.css
        )
        rows.append(_row("blacklist", "Blacklist", "Controls", on=False, **config))
    return rows


def element_columns(view: RunView) -> dict[str, Any]:
    """Return which columns that not every run fills the page's table of elements shows, and which it withholds."""
    members, band = view.members == view.members, band_words(view.run.band) is not None
    has = {"beta_sd": band, "recurrence": view.members > 1, "direction": view.members > 1}
    contact = view.run.manifest.get("contact") is not None
    has |= {"contact": contact, "element_gene_score": stores_any(view.run.manifest)}
    return {
        "effectsFirst": members,
        "known": [name for name, known in has.items() if known],
        "withheld": [name for name, known in has.items() if not known],
    }


def browser(
    view: RunView, base: str, gene_id: str | None, threshold: float | None, second: RunView | None = None
) -> dict:
    """Return all that the page needs to show a gene: reference, tracks and first locus.

    Parameters
    ----------
    view : RunView
        The run.
    base : str
        Prefix of the page's addresses.
    gene_id : str or None
        gene_id or symbol; None shows a chromosome without a gene.
    threshold : float or None
        0 to 1; None takes the run's.
    second : RunView or None
        A second run.

    Raises
    ------
    InputError
        The gene is not scored in this run.
    """
    locus = None
    if gene_id is not None:
        window = view.run.window(gene_id)
        size = view.run.chrom_sizes[window.chrom]
        locus = {"chrom": window.chrom, "start": max(0, window.start), "end": min(size, window.end)}
    elif view.run.chrom_sizes:
        chrom, size = next(iter(view.run.chrom_sizes.items()))
        locus = {"chrom": chrom, "start": 0, "end": size}
    return {
        "run": view.key,
        "gene": gene_id,
        "reference": reference(view, base),
        "tracks": tracks(view, base, gene_id, threshold, second),
        "locus": locus,
        "elementColumns": element_columns(view),
        "contigs": api_url(view, base, "contigs.tsv") if view.igv_names.renamed else None,
        "stem": view.file_stem(str(view.run.gene(gene_id)["gene_id"]))
        if gene_id is not None
        else f"{run_part(view.key)}.view",
    }
