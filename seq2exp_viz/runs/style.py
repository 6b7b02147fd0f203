"""Terms that the page, the figure and the report share; colours are those of `palette`."""

from __future__ import annotations

from model_core import palette
from seq2exp_viz.runs.run_view import RunView

CERTAINTY_WORDS = {
    "kept": "95 % of z above the threshold",
    "undecided": "z on both sides of the threshold",
    "hidden": "95 % of z below the threshold",
}
CLASS_WORDS = {
    "promoter": "promoter, always kept",
    "with_peak": "element with a peak",
    "without_peak": "element without a peak",
    "no_peak_file": "element (no peaks in this study)",
}


def colour_of(kind: str) -> str:
    """Return the CSS colour of an element class; the same in the tracks, in the BED file and in the legend."""
    return palette.ELEMENT_CLASSES[kind].css


def arc_colour(direction: str, kind: str) -> str:
    """Return the CSS colour of an arc: of its effect's direction, or of its element's class where none is known."""
    return palette.EFFECTS[direction].css if direction else colour_of(kind)


def class_words(view: RunView, kind: str) -> str:
    """Return the entry of `CLASS_WORDS` with the name of the peak caller."""
    return CLASS_WORDS[kind].replace("a peak", f"{peak_name(view)} peak")


def peak_name(view: RunView) -> str:
    """Return the name of the peak caller, as the study states it."""
    settings = view.study.peak_settings if view.study else None
    return settings.name if settings else "MACS3"


def label_words(view: RunView) -> str:
    """Return the unit of observed and predicted values, as the study states it."""
    settings = view.study.gene_settings if view.study is not None else None
    if settings is None or settings.label is None:
        return ""
    words = {"log10p1": "log10({} + 1)", "log1p": "ln({} + 1)", "sqrt": "square root of {}", "none": "{}"}
    return words.get(settings.label_transform or "none", "{}").format(settings.label)


def length_words(bases: int) -> str:
    """Return a length as text, such as "8.19 kb" or "250 bp"."""
    return f"{bases / 1000:.3g} kb" if bases >= 1000 else f"{bases} bp"
