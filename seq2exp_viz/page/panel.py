"""What callbacks fill into the page: facts about a run, the gene's panel, the list of its elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import html

from model_core import palette
from model_core.run_folder.band import band_words
from model_core.run_folder.element_gene_score import ERRORS
from model_core.run_folder.notes import NO_CONTACT, gene_note
from seq2exp_viz.page import plots
from seq2exp_viz.page.attributes import aria, data
from seq2exp_viz.runs.effect_words import DIRECTIONS, effect_words
from seq2exp_viz.runs.gene_list import unscored
from seq2exp_viz.runs.prediction_quality import pearson
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.style import (
    CERTAINTY_WORDS,
    class_words,
    colour_of,
    label_words,
    length_words,
)


def facts(view: RunView) -> list:
    """Return badges that say what the run is; simulated data are marked as such."""
    manifest = view.run.manifest
    window = manifest["window"]
    length = length_words(window)
    badges = [
        dmc.Badge(
            f"{manifest['variant']} model, {length} window",
            variant="default",
            color="gray",
            size="md",
            radius="sm",
            tt="none",
            fw=500,
        )
    ]
    if manifest["simulated"]:
        badges.append(
            dmc.Badge(
                "All data simulated",
                color="orange",
                variant="filled",
                autoContrast=True,
                size="md",
                radius="sm",
                tt="none",
                fw=600,
            )
        )
    return badges


def run_files(view: RunView, base: str) -> list:
    """Return links to the run's own files."""
    words = {
        "elements.bed": "All elements (BED)",
        "mask.bigWig": "All masks, merged (bigWig)",
        "genes.tsv": "Gene table (TSV)",
        "manifest.json": "Manifest (JSON)",
    }
    return [
        html.A(text, href=f"{base}data/{view.key}/{file}?download=1")
        for file, text in words.items()
        if file in view.files
    ]


def caveat(view: RunView) -> list:
    """Return the caveat on the masks of this run, what else must be said, and notes on what could not be shown."""
    notes = view.caveats
    line = " ".join(note.text for note in notes if note.about == "mask")
    said = [html.Span(f" {note.text}", className="said") for note in notes if note.about != "mask"]
    return [line, *said, *(html.Span(f" {note}", className="note") for note in view.notes)]


def legend(view: RunView) -> list:
    """Return the legend: what each mark in the browser means."""
    kinds = ["promoter", "with_peak", "without_peak"] if view.peaks is not None else ["promoter", "no_peak_file"]
    words = band_words(view.run.band)
    band = [_mark("band", words.range)] if words is not None else []
    marks = [_mark("line", "mean of z"), *band, _mark("dashes", "threshold")]
    certain = CERTAINTY_WORDS if view.run.band == "beta" else {}
    stored = view.members == view.members
    effects = [_mark("block", DIRECTIONS[kind], palette.EFFECTS[kind].css, "effect") for kind in ("raises", "lowers")]
    error = (
        [_mark("error", f"±{ERRORS:g} sd of {view.members:.0f} members", track="effect")] if view.members > 1 else []
    )
    return [
        *marks,
        *(effects if stored else []),
        *error,
        *(_mark("block", class_words(view, kind), colour_of(kind)) for kind in kinds),
        _mark("arc", "element to start site" + (", by element–gene score" if stored else "")),
        *(_mark("block", words, palette.CERTAINTY[kind].css, "certainty") for kind, words in certain.items()),
    ]


def _mark(kind: str, text: str, colour: str | None = None, track: str | None = None) -> html.Span:
    """Return one mark of the legend; with a `track`, it is shown only while that track is."""
    style = {"background": colour} if colour else {}
    return html.Span(
        className=f"mark of-{track}" if track else "mark",
        children=[html.Span(className=f"swatch {kind}", style=style), text],
    )


def progress(view: RunView) -> list:
    """Return how many genes are scored, and a bar while more are being scored."""
    scored, asked = len(view.run.genes), view.run.manifest["progress"].get("asked")
    if asked and scored < asked:
        bar = dmc.Progress(value=100 * scored / asked, size="xs", w="100%", **aria(label="Scored genes"))
        return [html.Span(f"{scored:,} of {asked:,} genes scored"), bar]
    more = len(unscored(view))
    alone = f"{scored:,} {'gene' if scored == 1 else 'genes'}"
    return [html.Span(f"{scored:,} of {scored + more:,} genes scored" if more else alone)]


def gene_head(view: RunView, gene_id: str) -> list:
    """Return name, position, observed and predicted of a gene, and its point among all genes."""
    gene = view.run.gene(gene_id)
    label = label_words(view)
    split = gene["split"] if isinstance(gene["split"], str) else None
    seen, without = gene_note(view.run.manifest, gene), gene["gene_id"] in view.run.without_contact
    observed = [_number("Observed", gene["observed"])] if gene["observed"] == gene["observed"] else []
    place = f"{gene['chrom']}:{int(gene['tss']) + 1:,} ({gene['strand']})"
    parts = [
        html.H2(str(gene["symbol"])),
        html.Div([str(gene["gene_id"])] if gene["gene_id"] != gene["symbol"] else [], className="quiet"),
        html.Div(place, className="quiet", title="Transcription start site"),
        html.Div(f"{split} gene" if split else "", className="quiet"),
        *([html.Div(f"{seen[0].upper()}{seen[1:]}.", className="seen")] if seen else []),
        *([html.Div(f"{NO_CONTACT[0].upper()}{NO_CONTACT[1:]}.", className="seen")] if without else []),
        html.Div(
            className="numbers",
            children=[*observed, _number("Predicted", gene["predicted"])],
        ),
        html.Div(label, className="quiet unit"),
    ]
    svg = plots.observed_against_predicted(view.run.genes, gene_id)
    if svg is not None:
        correlation = pearson(view.run.genes)
        note = f"Pearson {correlation[0]:.2f} over {correlation[1]:,} test genes" if correlation else ""
        alt = "Observed against predicted expression of all scored genes, this gene ringed"
        scatter = html.Img(src=plots.data_address(svg), alt=alt, className="scatter")
        # Last in the panel (style.css): the elements and the what-if come first.
        return [html.Div(parts), html.Div(className="among", children=[scatter, html.Div(note, className="quiet")])]
    return [html.Div(parts)]


def unscored_head(run: str, gene: Mapping[str, Any]) -> list:
    """Return what is known of a gene that this run has not scored, how far its scoring is, and a button that scores it.

    Parameters
    ----------
    run : str
        Key of the run.
    gene : Mapping[str, Any]
        gene_id, symbol, and where it lies.
    """
    gene_id, symbol = str(gene["gene_id"]), str(gene["symbol"])
    place = f"{gene['chrom']}:{int(gene['tss']) + 1:,} ({gene['strand']})" if "tss" in gene else ""
    words = "This gene is not scored in this run, so it has no mask."
    return _head_without_mask(run, (symbol, gene_id), place, html.P(words, className="unscored-words"))


def waiting_head(run: str, name: str) -> list:
    """Return what is shown of a gene whose place is not known yet: its name, and how far its scoring is."""
    words = html.P("Its place is looked up in the annotation.", className="unscored-words waiting-words")
    return _head_without_mask(run, (name,), "", words, "again")


def _head_without_mask(run: str, names: Sequence[str], place: str, words: html.P, button: str = "") -> list:
    """Return the head of a gene of these names; each has the same nodes, as React keeps what it finds in its place.

    assets/page/jobs.js fills the line with how far its scoring is, and shows a button of the class "again" after that
    failed.
    """
    line = data(genes="|".join(names), run=run)
    score = data(action="score", gene=names[-1], writes="")
    return [
        html.H2(names[0]),
        html.Div(list(names[1:]) if names[0] != names[-1] else [], className="quiet"),
        html.Div(place, className="quiet", title="Transcription start site"),
        words,
        html.Div(className="job-line", role="status", **aria(live="polite"), **line),
        html.Button("Score now", className=f"plain-button {button}".strip(), **score),
    ]


def _number(name: str, value: float) -> html.Div:
    known = value is not None and value == value
    shown = f"{value:.2f}" if known else "none"
    return html.Div(
        className="number", children=[html.Span(name, className="quiet"), html.Span(shown, className="value")]
    )


def element_list(answer: Mapping[str, Any]) -> list:
    """Return one row per element, by name: a switch, a button that goes to the element, and a cell for its effect.

    assets/page/whatif_panel.js fills the cell.

    Parameters
    ----------
    answer : Mapping[str, Any]
        As `api.genes.element_answer` returns it.
    """
    rows = [item for item in answer["elements"] if item["class"] != "promoter"]
    rows.sort(key=lambda item: int(item["name"][1:]) if item["name"][1:].isdigit() else 0)
    stored = any(item["recurrence"] is not None for item in rows)
    names = ("Element", "From start", *(() if stored else ("Mask",)), "Effect")
    kind = "element head-row stored" if stored else "element head-row"
    head = html.Div(className=kind, children=[html.Span(""), *map(html.Span, names)])
    none = html.Div("No element reaches this threshold. A lower threshold shows weaker elements.", className="quiet")
    return [head, *map(_element_row, rows)] if rows else [none]


def _element_row(item: Mapping[str, Any]) -> html.Div:
    region = f"{item['start']}-{item['end']}"
    stored = item["recurrence"] is not None
    switch = {**aria(checked="true", label=f"Keep {item['name']}"), **data(action="switch")}
    place = [
        html.Span(className="swatch block", style={"background": item["color"]}),
        html.Span(item["name"]),
        html.Span(distance_words(item["distance"])),
        *([] if stored else [html.Span(f"{item['mean']:.2f}")]),  # the effect with its error takes its room
    ]
    peak = f": {item['peak']}" if item["peak"] not in (".", "") else ""
    where = data(chrom=item["chr"], start=str(item["start"]), end=str(item["end"]))
    return html.Div(
        className="element stored" if stored else "element",
        **data(region=region, name=item["name"], **({"effect": str(item["effect"])} if stored else {})),
        children=[
            html.Button(
                className="switch", role="switch", title="Switch off or on, and predict again (Space)", **switch
            ),
            html.Button(className="element-go", title=item["words"] + peak, children=place, **where),
            html.Span(_stored_effect(item) if stored else [], className="effect", title=_effect_title(item, stored)),
            html.Span(className="control-rank"),
        ],
    )


def _stored_effect(item: Mapping[str, Any]) -> list:
    """Return an effect with its error, and a mark of its direction in the direction's colour."""
    words = effect_words(item["effect"], item["effect_sd"])
    if not item["direction"]:
        return [words]
    return [html.Span(className=f"direction {item['direction'].replace(' ', '-')}", **aria(hidden="true")), words]


def _effect_title(item: Mapping[str, Any], stored: bool) -> str | None:
    facts = [("Mean mask", f"{item['mean']:.3f}"), *item["facts"]]
    return "\n".join(f"{name}: {text}" for name, text in facts) if stored else None


def distance_words(distance: int) -> str:
    """Return a signed distance to the start site in kb or bp; minus is upstream."""
    sign = "−" if distance < 0 else "+"
    size = abs(distance)
    return f"{sign}{size / 1000:.1f} kb" if size >= 1000 else f"{sign}{size} bp"


def cut_line(answer: Mapping[str, Any]) -> str:
    """Return how many elements the threshold leaves, and their share of the window."""
    count = answer["count"]
    share = f", {answer['covered_percent']:.1f} % of the window" if answer["covered_percent"] is not None else ""
    return f"{count} {'element' if count == 1 else 'elements'}{share}"
