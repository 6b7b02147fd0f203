"""The help overlay (key ? and a button): the words of the project, what the colours mean, the keys."""

from __future__ import annotations

from dash import html

from model_core import palette
from model_core.run_folder.calibration import NOT_CALIBRATED
from seq2exp_viz.page.attributes import aria, data
from seq2exp_viz.runs.effect_words import DIRECTIONS
from seq2exp_viz.runs.style import CERTAINTY_WORDS, CLASS_WORDS, colour_of

WORDS = {
    "study": "the inputs: genome, annotation, gene table, signals and peaks",
    "signal": "a raw measured track: H3K27ac, DNase, Hi-C contact with the start site",
    "window": "the bases around the transcription start site of one gene; everything is scored window by window",
    "z": "per base, a number from 0 to 1: the degree to which the model keeps the base for this gene. The model gives "
    "a Beta distribution for each z",
    "mask": "the z that the model uses: the mean of z in a soft or causal model, 0 or 1 in a hard one. A mask belongs "
    "to one gene. In a causal model z is an effect against its error: one half where both are equal",
    "element": "a run of kept bases, cut from the mask at the threshold",
    "kept %": "mean of a soft mask, or share of ones of a hard mask, over the window without promoter and blacklist",
    "beta sd": "standard deviation of z, whose 95 % range is drawn. In a soft or hard model the priors set it; of an "
    "ensemble it is that over the members. It is not a calibrated confidence",
    "chance": "share of the elements with this score that are planted causal ones of their gene, fitted on validation "
    "genes of a simulated study whose truth is known. For any other study it is not known: then page, report and "
    f"`serve --check` say “{NOT_CALIBRATED}”",
    "promoter": "the central bases of the window; they are always kept",
    "peak": "an interval called by MACS3 (or another peak caller) from the signals; never a result of the model",
    "effect": "prediction with the mask as it is minus prediction without the element. Positive: the element raises "
    "expression",
    "direction": "raises or lowers expression; cannot be told where the effect is less than twice its standard "
    "deviation over the members, or less than 0.02, from 0",
    "element–gene score": "activity by contact: the size of a stored effect, which holds the contact already; in "
    "another model the size of the knock-out effect times the contact with the start site",
    "delta": "prediction after a change minus prediction before it. Positive: the change raises expression",
    "control region": "a random region of the same length in the same window, switched off in the same way. Several "
    "of them show the model's own background. To exceed it is no test: elements without effect do so, too",
    "control": "a mask or a score that the model's mask is compared with: promoter only, random, the signals alone, "
    "peaks, occlusion",
    "run": "the folder that training or scoring writes. This page reads its results from there",
}
KEYS = {
    "?": "this help",
    "/": "go to the search box",
    "+  −": "zoom in, zoom out",
    "←  →": "move by half a screen",
    "W": "the whole window of the gene",
    "T": "the start site and its promoter",
    "Enter": "in the list of genes: open the gene",
    "Space": "on a row of the elements: switch it off or on, and predict again",
    "N  P": "in the peak audit: next disagreement, previous one",
    "A  D": "in the peak audit: agree with the mask, doubt it",
    "Esc": "close a menu, a pop-up or this help",
}


def help_overlay() -> html.Dialog:
    """Return the dialog, closed at first; browsers keep the focus inside while it is open."""
    return html.Dialog(
        id="help",
        className="help",
        **aria(labelledby="help-title"),
        children=[
            html.Div(
                className="help-head",
                children=[
                    html.H2("Help", id="help-title"),
                    html.Button("Close", className="tool", **data(action="close-help")),
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
                                "These are the colours of Okabe and Ito, which people with any colour vision can tell "
                                "apart. No meaning depends on colour alone: each mark also has its own position, shape "
                                "or label.",
                                className="quiet",
                            ),
                            html.H3("Keys"),
                            _pairs(KEYS, keys=True),
                            html.H3("Your own tracks"),
                            html.P(
                                "Drop a track (BED, peaks, bedGraph, wig, bigWig, bigBed, GTF, VCF, BEDPE ...) "
                                "anywhere on the page, or use the menu Tracks. "
                                "The track stays in this browser and is gone when the page is closed.",
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
        ("band", "95 % range of z; of an ensemble, over its members", None),
        ("dashes", "threshold", None),
        *(
            ("block", f"{DIRECTIONS[kind]} (effect and arcs)", palette.EFFECTS[kind].css)
            for kind in ("raises", "lowers")
        ),
        ("error", "effect ± twice its standard deviation over the members", None),
        *(("block", CLASS_WORDS[kind], colour_of(kind)) for kind in CLASS_WORDS),
        *(
            ("block", f"{words} (track “Where z lies”; not for a causal model)", palette.CERTAINTY[kind].css)
            for kind, words in CERTAINTY_WORDS.items()
        ),
    ]
    return [
        html.Li([html.Span(className=f"swatch {kind}", style={"background": colour} if colour else {}), text])
        for kind, text, colour in marks
    ]
