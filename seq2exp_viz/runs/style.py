"""Colours and words that the page, the figure and the report share, so that a thing looks and is called the same.

Okabe and Ito's colours, told apart with any colour vision, carry meaning (elements, certainty, parts of a mask); dull
ones of different lightness stand for the raw signals, which carry their names.
"""

from __future__ import annotations

from model_core.run_folder.elements import CLASS_COLOURS
from seq2exp_viz.runs.run_view import RunView

SIGNAL_COLOURS = ("rgb(42, 122, 100)", "rgb(95, 95, 130)", "rgb(140, 105, 60)", "rgb(120, 90, 120)")
PEAK_COLOUR = "rgb(70, 78, 90)"
GENE_COLOUR = "rgb(40, 50, 80)"
PRIOR_COLOUR = "rgb(120, 120, 120)"
OCCLUSION_COLOUR = "rgb(150, 80, 30)"
MASK_COLOUR = "rgb(0, 84, 147)"
BAND_COLOUR = "rgb(0, 114, 178)"
DIFFERENCE_COLOUR = "rgb(140, 60, 110)"
THRESHOLD_COLOUR = "rgb(170, 60, 0)"
CERTAINTY_COLOURS = {"kept": "rgb(0, 114, 178)", "undecided": "rgb(204, 121, 167)", "hidden": "rgb(222, 226, 231)"}
CERTAINTY_WORDS = {
    "kept": "95 % of z above the threshold",
    "undecided": "z on both sides of it",
    "hidden": "95 % of z below it",
}
CLASS_WORDS = {
    "promoter": "promoter, always kept",
    "with_peak": "element with a peak",
    "without_peak": "element without a peak",
    "no_peak_file": "element (no peaks in this study)",
}
PRIOR_LINE = {
    "soft": "A soft mask, as published, follows its signal prior: it shows where the signals are high. "
    "Do not read it as a discovery.",
    "hard": "A hard mask, as published, gets no gradient from the prediction: it shows its prior, not a discovery.",
}


def colour_of(kind: str) -> str:
    """The CSS colour of an element class; the same in the tracks, in the BED file and in the legend."""
    return f"rgb({CLASS_COLOURS[kind].replace(',', ', ')})"


def class_words(view: RunView, kind: str) -> str:
    """`CLASS_WORDS` with the name of who called the peaks."""
    return CLASS_WORDS[kind].replace("a peak", f"{peak_name(view)} peak")


def peak_name(view: RunView) -> str:
    """Who called the peaks, as the study says it."""
    settings = view.study.peak_settings if view.study else None
    return settings.name if settings else "MACS3"


def label_words(view: RunView) -> str:
    """The unit of observed and predicted, as the study states it."""
    settings = view.study.gene_settings if view.study is not None else None
    if settings is None or settings.label is None:
        return ""
    words = {"log10p1": "log10({} + 1)", "log1p": "ln({} + 1)", "sqrt": "square root of {}", "none": "{}"}
    return words.get(settings.label_transform, "{}").format(settings.label)


def length_words(bases: int) -> str:
    """8.19 kb, 250 bp."""
    return f"{bases / 1000:.3g} kb" if bases >= 1000 else f"{bases} bp"
