"""Colours of page, figures, reports, tracks and exported files, by meaning.

Okabe and Ito's colours, which are distinct with any colour vision, have a meaning (classes of elements, certainty,
components of a mask); muted colours of different lightness are used for the raw signals, which are labelled. No other
Python module defines a colour; tests/test_palette.py compares the style sheet's variables and the tracks' JavaScript
with this module.
"""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    """Colour in sRGB: red, green, blue, each 0 to 255."""

    red: int
    green: int
    blue: int

    @property
    def css(self) -> str:
        """Text for CSS, such as "rgb(0, 114, 178)"."""
        return f"rgb({self.red}, {self.green}, {self.blue})"

    @property
    def hex(self) -> str:
        """Hexadecimal text, such as "#0072b2"."""
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"

    @property
    def item_rgb(self) -> str:
        """Text for the itemRgb column of BED, such as "0,114,178"."""
        return f"{self.red},{self.green},{self.blue}"

    @property
    def unit(self) -> tuple[float, float, float]:
        """Values for matplotlib: (red, green, blue), each 0 to 1."""
        return self.red / 255, self.green / 255, self.blue / 255


CLEAR = "rgba(0, 0, 0, 0)"
BLACK, WHITE = Colour(0, 0, 0), Colour(255, 255, 255)
# Okabe and Ito's
BLUE, VERMILION, GREEN = Colour(0, 114, 178), Colour(213, 94, 0), Colour(0, 158, 115)
ORANGE, SKY, PINK = Colour(230, 159, 0), Colour(86, 180, 233), Colour(204, 121, 167)
# Readable on white and on black
GREY, BRIGHT_BLUE, OLIVE, POINT = Colour(130, 140, 153), Colour(0, 133, 199), Colour(181, 155, 0), Colour(61, 143, 207)

# ---- what is drawn along the genome
ELEMENT_CLASSES = {"promoter": BLACK, "with_peak": BLUE, "without_peak": VERMILION, "no_peak_file": GREEN}
CERTAINTY = {"kept": BLUE, "undecided": PINK, "hidden": Colour(222, 226, 231)}
SIGNALS = (Colour(42, 122, 100), Colour(95, 95, 130), Colour(140, 105, 60), Colour(120, 90, 120))
GENE, PEAK, BLACKLIST = Colour(40, 50, 80), Colour(70, 78, 90), Colour(180, 90, 90)
MASK, INTERVAL, THRESHOLD = Colour(0, 84, 147), BLUE, Colour(170, 60, 0)
SEQUENCE_COMPONENT, SIGNAL_COMPONENT = Colour(0, 130, 96), Colour(150, 96, 0)
COMPONENT_DIFFERENCE, RUN_DIFFERENCE = Colour(160, 70, 120), Colour(140, 60, 110)
PRIOR, OCCLUSION = Colour(120, 120, 120), Colour(150, 80, 30)
CAUSAL, DECOY = Colour(0, 130, 80), Colour(150, 150, 150)
USER_TRACK = Colour(86, 60, 150)
EFFECT_ERROR = Colour(95, 95, 130)  # of an effect
EFFECTS = {  # `element_gene_score.direction` -> colour
    "raises": Colour(1, 102, 94),
    "lowers": Colour(140, 45, 150),
    "cannot be told": GREY,
}
SWITCHED_OFF, SWITCHED_ON = Colour(140, 40, 40), Colour(0, 120, 80)
FORCED = {"promoter": Colour(233, 236, 240), "blacklist": Colour(246, 226, 226), "outside": Colour(247, 248, 250)}
TRACK_INK = {
    "text": Colour(60, 66, 76),
    "axis": Colour(96, 104, 116),
    "line": Colour(205, 210, 217),
    "grid": Colour(226, 229, 234),
}
IGV_FRAME = {  # igv.js's own labels, handles and pop-ups, which have a white background in both colour schemes
    "handle": Colour(241, 243, 246),
    "handle under the pointer": Colour(205, 212, 220),
    "border": Colour(205, 211, 219),
    "head": Colour(244, 246, 248),
    "quiet": Colour(92, 102, 116),
    "link": Colour(11, 95, 165),
    "rule": Colour(225, 229, 234),
}

# ---- figures with axes
SPLITS = {"train": GREY, "validation": ORANGE, "test": BLUE, "": GREEN}
SCORE_KINDS = {
    "mask": VERMILION,
    "part": ORANGE,
    "signal": BRIGHT_BLUE,
    "peaks": GREEN,
    "effect": PINK,
    "control": GREY,
    "set": VERMILION,
}
SERIES = (VERMILION, BRIGHT_BLUE, GREEN, PINK, ORANGE, SKY, GREY, OLIVE)

# ---- surfaces and text: the variables of the style sheet and of the reports
LIGHT = {
    "ground": Colour(244, 245, 247),
    "paper": WHITE,
    "ink": Colour(29, 37, 48),
    "quiet": Colour(92, 102, 116),
    "line": Colour(223, 227, 232),
    "accent": Colour(11, 95, 165),
    "warn": Colour(138, 75, 0),
    "soft": Colour(238, 243, 248),
}
DARK = {
    "ground": Colour(16, 18, 20),
    "paper": Colour(23, 25, 29),
    "ink": Colour(227, 230, 234),
    "quiet": Colour(154, 164, 177),
    "line": Colour(48, 52, 59),
    "accent": Colour(109, 179, 242),
    "warn": Colour(240, 178, 102),
    "soft": Colour(32, 38, 45),
}
BOX = {"light": Colour(255, 244, 227), "dark": Colour(45, 36, 23)}  # background of a caveat in a report
SELECTED_ROW = Colour(32, 69, 107)  # in the dark; in the light AG Grid has its own
MARKS = {  # in both schemes
    "mask": MASK,
    "interval": INTERVAL,
    "threshold": THRESHOLD,
    "grey": GREY,
    "off": SWITCHED_OFF,
    "on": SWITCHED_ON,
    "raises": EFFECTS["raises"],
    "lowers": EFFECTS["lowers"],
    "error": EFFECT_ERROR,
    "agree": BLUE,
    "doubt": VERMILION,
    "failure": Colour(138, 47, 0),
    "drawn-quiet": LIGHT["quiet"],  # on the white that igv.js draws on
}


def css_variables(colours: dict[str, Colour]) -> str:
    """Return the declarations of a style sheet's variables, such as "--ink: #1d2530; --paper: #ffffff;"."""
    return " ".join(f"--{name}: {colour.hex};" for name, colour in colours.items())
