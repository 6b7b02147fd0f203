"""A report of chosen genes as one HTML file: SVG figures, tables and caveats embedded, no request to any server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.metadata import version
from typing import Any

import pandas as pd

from model_core.errors import InputError
from model_core.run_folder.band import band_words
from model_core.run_folder.calibration import calibration_words
from model_core.run_folder.effects import BACKGROUND, control_words
from model_core.run_folder.effects import caveat as effects_caveat
from model_core.run_folder.elements import PROMOTER_CLASS
from seq2exp_viz.reports.canvas import inline_svg
from seq2exp_viz.reports.html_page import html_page
from seq2exp_viz.reports.locus_figure import caption_words, locus_bytes, place_of
from seq2exp_viz.runs.effect_words import SCORE_WORDS, SD_WORDS, effect_words, member_words
from seq2exp_viz.runs.element_effects import with_effects
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.style import class_words, label_words, length_words

MOST_GENES = 200
STYLE = """
body { font: 14px/1.5 system-ui, "DejaVu Sans", sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.25rem; margin: 2.4rem 0 .2rem; border-top: 1px solid var(--line); padding-top: 1.2rem; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; } th { font-weight: 600; color: var(--quiet); }
svg { width: 100%; height: auto; margin: .6rem 0; } figure { margin: 0; } figcaption, .quiet { color: var(--quiet); font-size: 12.5px; }
.warn { background: var(--box); border-left: 4px solid var(--warn); padding: .5rem .9rem; margin: .8rem 0; }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
@media print { body { margin: 0; max-width: none; } section { break-inside: avoid; } }
"""  # noqa: E501  one rule of the style sheet per line


def report(
    view: RunView,
    genes: Sequence[str],
    threshold: float | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> str:
    """Return the report as HTML text; the same run, genes and threshold give the same text.

    Parameters
    ----------
    view : RunView
        The run.
    genes : Sequence[str]
        gene_id or symbol of each, at most MOST_GENES; duplicates are shown once.
    threshold : float or None
        0 to 1, at which elements are cut; None takes the run's.
    on_progress : callable or None
        Called with each gene's symbol when it is done.

    Raises
    ------
    InputError
        No gene, too many, or one that is not scored.
    """
    chosen = list(dict.fromkeys(str(view.run.gene(name)["gene_id"]) for name in genes))
    if not 0 < len(chosen) <= MOST_GENES:
        found, expected = f"{len(chosen)} genes", f"1 to {MOST_GENES}"
        raise InputError("report", found=found, expected=expected, fix="choose fewer genes")
    symbols = [str(view.run.gene(gene)["symbol"]) for gene in chosen]
    title = f"{', '.join(symbols[:5])}{' ...' if len(symbols) > 5 else ''} in {view.run.name}"
    sections = []
    for number, gene in enumerate(chosen):
        sections.append(_gene(view, gene, threshold, number))
        if on_progress is not None:
            on_progress(symbols[number])
    head = [f"<h1>{escape(title)}</h1>", _caveats(view), _facts(view), _overview(view, chosen)]
    return html_page(title, STYLE, [*head, *sections])


def _caveats(view: RunView) -> str:
    lines = ["All data of this run are simulated."] if view.run.manifest["simulated"] else []
    lines += [note.text for note in view.caveats]
    lines += view.notes
    return "".join(f'<p class="warn">{escape(line)}</p>' for line in lines)


def _facts(view: RunView) -> str:
    manifest, rule = view.run.manifest, view.run.rule
    study = manifest.get("study") or {}
    checkpoint = manifest.get("checkpoint") or {}
    facts = {
        "Run": f"{view.run.name}, created {manifest['created']}",
        "Model": f"{manifest['variant']}, window {length_words(manifest['window'])}, "
        f"promoter {length_words(manifest['promoter'])}, seed {manifest.get('seed')}",
        "Study": view.study.name if view.study else "not on this machine",
        "Genome": view.study.assembly if view.study else "",
        "Elements": f"threshold {rule.threshold:.4f} on the mask smoothed over {rule.smooth_bp} bp; regions closer "
        f"than {rule.max_gap} bp are joined, regions shorter than {rule.min_length} bp are left out",
        "Chance of elements": calibration_words(view.calibration),
        **({"Weights": words} if (words := _weights_words(checkpoint)) else {}),
        "Study file, sha256": study.get("sha256", "none"),
        "Checkpoint, sha256": checkpoint.get("sha256", "none"),
        "Written by": f"seq2exp-viz {version('seq2exp-viz')}",
    }
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(str(text))}</td></tr>" for name, text in facts.items()
    )
    return f"<table>{rows}</table>"


def _weights_words(checkpoint: Mapping[str, Any]) -> str:
    """Return name and source of a checkpoint, and what it was trained on; "" where nothing is recorded."""
    trained = f"trained on {checkpoint['trained_on']}" if checkpoint.get("trained_on") else None
    return "; ".join(filter(None, (checkpoint.get("name"), checkpoint.get("source"), trained)))


def _overview(view: RunView, genes: list[str]) -> str:
    rows = view.run.genes.set_index("gene_id").loc[genes].reset_index()
    rows["seen"] = rows["seen_in_training"].map({True: "yes", False: "no"})
    measured = rows["observed"].notna().any()
    columns = {
        "symbol": "Gene",
        "gene_id": "Id",
        "split": "Split",
        **({"seen": "Seen in training"} if rows["seen"].notna().any() else {}),
        **({"observed": "Observed"} if measured else {}),
        "predicted": "Predicted",
        "kept_percent": "Bases kept (%)",
        "elements": "Elements",
        "elements_without_peak": "Elements without a peak",
    }
    unit = label_words(view)
    words = "Observed and predicted" if measured else "Predicted"
    note = f'<p class="quiet">{words}: {escape(unit)}.</p>' if unit else ""
    return _table(rows, columns) + note


def _gene(view: RunView, gene: str, threshold: float | None, number: int) -> str:
    row, place = view.run.gene(gene), place_of(view, gene, None, threshold)
    table = with_effects(view, view.cut(gene, place.threshold))
    elements = table[table["class"] != PROMOTER_CLASS].assign(
        length=lambda t: t["end"] - t["start"],
        place=lambda t: [f"{c}:{s + 1:,}-{e:,}" for c, s, e in zip(t["chrom"], t["start"], t["end"], strict=True)],
        words=lambda t: [class_words(view, kind) for kind in t["class"]],
        **_effect_texts(table[table["class"] != PROMOTER_CLASS]),
    )
    ranked, stored = elements["control_n"].notna().any(), elements["recurrence"].notna().any()
    known = elements["effect"].notna().any()
    calibration = view.calibration if place.threshold == view.run.rule.threshold else None
    if calibration is not None:
        elements["chance"] = calibration.chance(elements)
    width = band_words(view.run.band)
    columns = {
        "name": "Element",
        "place": "Position (1-based)",
        "length": "Length (bp)",
        "mean_mask": "Mean mask",
        **({"beta_sd": width.sd} if width is not None else {}),
        "distance_to_tss": "Distance to TSS (bp)",
        **({"effect_text": "Effect" if view.members == 1 or not stored else "Effect ± sd"} if known else {}),
        **({"member_text": "Members that agree", "direction": "Direction"} if stored and view.members > 1 else {}),
        **({"contact": "Contact"} if elements["contact"].notna().any() else {}),
        **({"element_gene_score": "Element–gene score"} if elements["element_gene_score"].notna().any() else {}),
        **({"controls": "Rank among control regions"} if ranked else {}),
        **({"chance": "Chance"} if calibration is not None else {}),
        "words": "Class",
        "peak": "Peak",
    }
    svg = _inlined(locus_bytes(view, place, "svg", caption=False).decode(), f"g{number}-", str(row["symbol"]))
    caption = escape(" ".join(caption_words(view, place, notes=False)))  # the report begins with them
    listed = _table(elements, columns) if len(elements) else "<p>No element at this threshold.</p>"
    if known:
        parts = ["Effect: the prediction with the mask as it is, minus that with this element switched off."]
        parts += [f"± {SD_WORDS}."] if stored and view.members > 1 else []
        parts += (
            [f"Element–gene score: {SCORE_WORDS[0].lower()}{SCORE_WORDS[1:]}."]
            if "element_gene_score" in columns
            else []
        )
        parts += [BACKGROUND] if ranked else []
        listed += f'<p class="quiet">{escape(" ".join(filter(None, [*parts, effects_caveat(view.config)])))}</p>'
    if calibration is not None:
        words = f"Chance that the element is a planted causal one of this gene: {calibration.words}."
        listed += f'<p class="quiet">{escape(words)}</p>'
    return (
        f"<section><h2>{escape(str(row['symbol']))}</h2>\n"
        f"<figure>{svg}<figcaption>{caption}</figcaption></figure>\n{listed}</section>"
    )


def _effect_texts(elements: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns of text of effects: with its error, members, rank among control regions."""
    rows = elements.to_dict("records")
    return {
        "effect_text": [effect_words(row["effect"], row["effect_sd"]) for row in rows],
        "member_text": [member_words(row["recurrence"], row["members"]) for row in rows],
        "controls": ["" if pd.isna(n := row["control_n"]) else control_words(row["control_rank"], n) for row in rows],
    }


def _table(rows: pd.DataFrame, columns: dict[str, str]) -> str:
    numeric = {name: pd.api.types.is_numeric_dtype(rows[name]) for name in columns}
    head = "".join(f"<th scope='col'{_kind(numeric[name])}>{escape(text)}</th>" for name, text in columns.items())
    body = "".join(
        "<tr>" + "".join(f"<td{_kind(numeric[name])}>{escape(_shown(row[name]))}</td>" for name in columns) + "</tr>"
        for row in rows.to_dict("records")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _kind(numeric: bool) -> str:
    return " class='n'" if numeric else ""


def _shown(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 10 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _inlined(svg: str, prefix: str, title: str) -> str:
    """Return a drawing for a page with several drawings, with a label for screen readers."""
    label = f'<svg role="img" aria-label="Locus of {escape(title, quote=True)}"'
    return inline_svg(svg, prefix).replace("<svg", label, 1)
