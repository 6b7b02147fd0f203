"""calibration.json of a run: the map from an element's score to the chance that it is causal, and its words. No torch.

`model_core.evaluation.reliability` fits the map, on the validation genes of a study whose causal elements are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from model_core.fingerprint import sha256_of
from model_core.records import Count, Name, PathText, Record, Share, read_json
from model_core.run_folder.element_gene_score import ERRORS
from model_core.run_folder.manifest import Rule

FILE = "calibration.json"
NOT_CALIBRATED = "not calibrated for this study"
AGAIN = "remove this file, or run `seq2exp-viz calibrate RUN` again"
MEAN_MASK, BEYOND_ERROR = "mean_mask", "effect_beyond_error"
SCORE_WORDS = {MEAN_MASK: "mean mask", BEYOND_ERROR: f"|effect| - {ERRORS:g} effect sd"}
EFFECT, ERROR = "effect", "effect_sd"  # columns of BEYOND_ERROR


class Level(Record):
    """Elements of one range of the score: how many, how many of them planted, and their mean chance."""

    score_from: float
    score_to: float
    elements: Annotated[int, Field(ge=1)]
    causal: Count
    chance: Share


class Judged(Record):
    """Elements of the genes of one split."""

    genes: Count
    elements: Count
    causal: Count
    curve: list[Level]

    @model_validator(mode="after")
    def _adds_up(self) -> Judged:
        if self.causal > self.elements or any(level.causal > level.elements for level in self.curve):
            raise ValueError("no more causal elements than elements")
        if sum(level.elements for level in self.curve) > self.elements:
            raise ValueError(f"levels of {self.elements:,} elements at most")
        return self


class Map(Record):
    """Chance by score: straight lines between points, constant beyond the first and the last."""

    score: Annotated[list[float], Field(min_length=1)]
    chance: list[Share]

    @model_validator(mode="after")
    def _rises(self) -> Map:
        if len(self.score) != len(self.chance):
            raise ValueError(f"as many chances as scores, not {len(self.chance)} for {len(self.score)}")
        if np.any(np.diff(self.score) <= 0) or np.any(np.diff(self.chance) < 0):
            raise ValueError("scores that rise and chances that never fall")
        return self


class Planted(Record):
    """The file of planted elements."""

    path: PathText
    sha256: Name


class CalibrationRecord(Record):
    """Fields of calibration.json."""

    written_as: Annotated[Literal[1], Field(alias="schema")]
    score: Literal["mean_mask", "effect_beyond_error"]
    map: Map
    validation: Judged
    test: Judged | None  # never used for the map
    rule: Rule
    checkpoint: str | None
    truth: Planted
    limits: list[str]


class Calibration(NamedTuple):
    """Map from an element's score to its chance of sharing a base with a causal element that acts on its gene.

    Attributes
    ----------
    score : str
        MEAN_MASK or BEYOND_ERROR.
    scores, chances : ndarray
        float64 (points,), rising, and never falling: the map's points.
    record : Mapping[str, Any]
        Content of calibration.json.
    """

    score: str
    scores: np.ndarray
    chances: np.ndarray
    record: Mapping[str, Any]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Calibration:
        """Return the map that a record states."""
        scores, chances = (np.array(record["map"][name], np.float64) for name in ("score", "chance"))
        return cls(record["score"], scores, chances, record)

    def chance(self, elements: pd.DataFrame) -> np.ndarray:
        """Return the chance of each element, float64 (n,), 0 to 1; NaN where its score is not known.

        Parameters
        ----------
        elements : DataFrame
            Rows with the columns of the score, cut by the run's own rule.
        """
        scores = element_scores(elements, self.score)
        return np.where(np.isfinite(scores), np.interp(scores, self.scores, self.chances), np.nan)

    def is_of(self, truth: Path) -> bool:
        """Return whether a file holds the planted elements that the map was fitted with."""
        return sha256_of(truth) == self.record["truth"]["sha256"]

    @property
    def words(self) -> str:
        """What the chance rests on, as it is shown beside it."""
        genes = self.record["validation"]["genes"]
        return f"calibrated on {genes:,} validation {'gene' if genes == 1 else 'genes'} of this study"


def calibration_words(calibration: Calibration | None) -> str:
    """Return what the chance of a run's elements rests on, or that there is none."""
    return NOT_CALIBRATED if calibration is None else calibration.words


def score_of(elements: pd.DataFrame) -> str:
    """Return the score that a map is fitted to: BEYOND_ERROR where every element has an effect with its error."""
    known = {EFFECT, ERROR} <= set(elements.columns) and elements[[EFFECT, ERROR]].notna().to_numpy().all()
    return BEYOND_ERROR if known and len(elements) else MEAN_MASK


def element_scores(elements: pd.DataFrame, score: str) -> np.ndarray:
    """Return a score of each element, float64 (n,); NaN where it is not known.

    Parameters
    ----------
    elements : DataFrame
        Rows with the columns of the score; without them all are NaN.
    score : str
        MEAN_MASK; or BEYOND_ERROR, the size of the effect less ERRORS times its error, in the label's unit.
    """
    if score == MEAN_MASK:
        return elements[MEAN_MASK].to_numpy(np.float64)
    if not {EFFECT, ERROR} <= set(elements.columns):
        return np.full(len(elements), np.nan)
    return (elements[EFFECT].abs() - ERRORS * elements[ERROR]).to_numpy(np.float64)


def read_calibration(path: Path) -> Calibration:
    """Read calibration.json.

    Raises
    ------
    InputError
        Missing, unreadable, or a field that is missing or wrong.
    """
    return Calibration.of(read_json(path, CalibrationRecord, AGAIN))
