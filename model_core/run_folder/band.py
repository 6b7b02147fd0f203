"""What the band around a mask means, in words; no band has none."""

from __future__ import annotations

from typing import NamedTuple


class BandWords(NamedTuple):
    """Words for a band: its range, its standard deviation, and both in a figure's caption."""

    range: str
    sd: str
    caption: str


_WORDS = {
    "beta": BandWords(
        "95 % range of z",
        "Sd of z under its Beta",
        "central 95 % of z under its Beta (band), whose width the model's priors set",
    ),
    "members": BandWords(
        "95 % range of z over the members",
        "Sd of z over the members",
        "95 % range of z over the members of the ensemble (band)",
    ),
}


def band_words(band: str) -> BandWords | None:
    """Return the words for a run's band (`manifest.BANDS`), or None where the width of z means nothing."""
    return _WORDS.get(band)
