"""The help overlay (key ? and a button): the words of the project, what the colours mean, the keys."""

from __future__ import annotations

from dash import html

from seq2exp_viz.runs.style import CERTAINTY_COLOURS, CERTAINTY_WORDS, CLASS_WORDS, colour_of

WORDS = {
    "study": "the inputs: genome, annotation, gene table, signals and peaks",
    "signal": "a raw measured track: H3K27ac, DNase, Hi-C contact with the start site",
    "window": "the bases around one gene's start site; everything is scored window by window",
    "mask": "per base, how far the model keeps it: soft, the mean of a Beta; hard, 0 or 1; it belongs to a gene",
    "element": "a run of kept bases, cut from the mask at the threshold",
    "kept %": "mean of a soft mask over the window, share of ones of a hard one; promoter and blacklist left out",
    "beta sd": "standard deviation of z under the Beta whose 95 % range is drawn: set by the model's priors, no "
    "calibrated confidence. Not shown for a causal model, whose alpha + beta is fixed",
    "promoter": "the central bases, always kept",
    "peak": "what MACS3 called; never a word for what a model found",
    "effect": "prediction with the mask as it is minus prediction without the element: above 0, the element raises "
    "expression",
    "delta": "prediction after a change minus prediction before it: above 0, the change raises expression",
    "control region": "a random region of the same length in the same window, switched off like an element: what the "
    "model's own background is",
    "control": "a rival judged by the same yardstick: promoter only, random, the signals alone, peaks, occlusion",
    "run": "the outputs: one folder that training or scoring leaves, and all that this page reads",
}
KEYS = {
    "?": "this help",
    "/": "go to the search box",
    "+  −": "zoom in, zoom out",
    "←  →": "move by half a screen",
    "W": "the whole window of the gene",
    "T": "the start site and its promoter",
    "Enter": "in the list of genes: show the gene under the cursor",
    "Space": "on a row of the elements: switch it off or on, and predict again",
    "N  P": "in the peak audit: the next disagreement, the previous one",
    "A  D": "in the peak audit: agree with the mask, doubt it",
    "Esc": "close a menu, a pop-up or this help",
}


def help_overlay() -> html.Dialog:
    """A dialog, closed at first; browsers keep the focus inside while it is open."""
    return html.Dialog(
        id="help",
        className="help",
        **{"aria-labelledby": "help-title"},
        children=[
            html.Div(
                className="help-head",
                children=[
                    html.H2("Help", id="help-title"),
                    html.Button("Close", className="tool", **{"data-action": "close-help"}),
                ],
            ),
            html.Div(
                className="help-columns",
                children=[
                    html.Section([html.H3("Words"), _pairs(WORDS)]),
                    html.Section(
                        [
                            html.H3("Colours"),
                            html.Ul(_colours(), className="help-colours"),
                            html.P(
                                "Okabe and Ito's colours, told apart with any colour vision; each also has a place, a "
                                "shape or a label of its own. Raw signals carry their names.",
                                className="quiet",
                            ),
                            html.H3("Keys"),
                            _pairs(KEYS, keys=True),
                            html.H3("Own tracks"),
                            html.P(
                                "Drop a track (BED, peaks, bedGraph, wig, bigWig, bigBed, GTF, VCF, BEDPE ...) "
                                "anywhere on the page, or use the Tracks menu. "
                                "It stays in this page and is gone when the page is closed.",
                                className="quiet",
                            ),
                        ]
                    ),
                ],
            ),
        ],
    )


def _pairs(words: dict[str, str], keys: bool = False) -> html.Dl:
    shown = (lambda text: html.Kbd(text)) if keys else (lambda text: text)
    return html.Dl([part for name, text in words.items() for part in (html.Dt(shown(name)), html.Dd(text))])


def _colours() -> list[html.Li]:
    marks = [
        ("line", "mean of z", None),
        ("band", "95 % range of z", None),
        ("dashes", "threshold", None),
        *(("block", CLASS_WORDS[kind], colour_of(kind)) for kind in CLASS_WORDS),
        *(("block", f"{words} (Why tracks)", CERTAINTY_COLOURS[kind]) for kind, words in CERTAINTY_WORDS.items()),
    ]
    return [
        html.Li([html.Span(className=f"swatch {kind}", style={"background": colour} if colour else {}), text])
        for kind, text, colour in marks
    ]
