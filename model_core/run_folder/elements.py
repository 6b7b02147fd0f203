"""Elements: runs of kept bases, cut from a gene's mask by a stated rule."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core import palette
from model_core.beta import PROMOTER
from model_core.errors import InputError
from model_core.input_file import read_input
from model_core.intervals import runs
from model_core.records import shown
from model_core.run_folder.band import band_words
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.member_effects import MemberEffects, mean_contact, region_effect
from model_core.run_folder.schema1 import element_header_of_2
from model_core.setting_groups import MOST_MEMBERS

KEPT_TARGET = 0.05  # share of all learned bases of a run that lies at or above the default threshold
WITH_PEAK, WITHOUT_PEAK, NO_PEAK_FILE = "with_peak", "without_peak", "no_peak_file"
PROMOTER_CLASS = "promoter"
CLASS_COLOURS = {kind: colour.item_rgb for kind, colour in palette.ELEMENT_CLASSES.items()}
_ALWAYS = (  # columns of every file
    *("chrom", "start", "end", "name", "score", "strand", "thickStart", "thickEnd", "itemRgb"),
    *("gene_id", "symbol", "class", "mean_mask", "max_mask", "beta_sd", "distance_to_tss", "peak"),
)
_WITH_CONTACT, _WITH_EFFECTS = ("contact",), ("effect", "effect_sd", "recurrence")
MEASURED = (*_WITH_CONTACT, *_WITH_EFFECTS)  # last columns of runs that store contact and effects; else NaN
ELEMENT_COLUMNS = (*_ALWAYS, *MEASURED)
_DERIVED = ("direction", "element_gene_score")  # last columns of exported files, which `read_elements` leaves out
_MOST_BYTES = 1 << 30  # of an element file
_LEVELS = 2**20  # of the histogram; its steps are exact in float32


@dataclass(frozen=True)
class ElementRule:
    """Rule by which elements are cut: bases at or above `threshold` in the smoothed mask, joined, short runs dropped.

    Parameters
    ----------
    threshold : float
        Lowest value of the smoothed mask in an element, 0 to 1.
    smooth_bp : int
        bp over which the mask is averaged first (each base with smooth_bp // 2 on either side); 0 for no smoothing.
    max_gap : int
        Runs with a gap of fewer bp than this are joined.
    min_length : int
        Runs of fewer bp than this are dropped.
    kept_target : float or None
        Share of bases for which the threshold was chosen, 0 to 1; None where the threshold was given.

    Raises
    ------
    InputError
        A value out of its range.
    """

    threshold: float
    smooth_bp: int = 100
    max_gap: int = 100
    min_length: int = 50
    kept_target: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InputError("element rule", found=f"threshold {self.threshold}", expected="0 to 1", fix="correct it")
        for name in ("smooth_bp", "max_gap", "min_length"):
            if getattr(self, name) < 0:
                raise InputError(
                    "element rule", found=f"{name} {getattr(self, name)} bp", expected="0 or more", fix="correct it"
                )

    def at(self, threshold: float) -> ElementRule:
        """Return the same rule with another threshold, 0 to 1, chosen by the user."""
        return dataclasses.replace(self, threshold=threshold, kept_target=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as JSON values, for the manifest."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ElementRule:
        """Return the rule that a manifest states."""
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls) if field.name in values})


class KeptHistogram:
    """Histogram of mask values, for the threshold that keeps a share of them; it takes 8 MB, however many values."""

    def __init__(self) -> None:
        self.counts = np.zeros(_LEVELS + 1, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count mask values: float32 (n,), 0 to 1."""
        self.counts += np.bincount((values * np.float32(_LEVELS)).astype(np.int64), minlength=_LEVELS + 1)

    def threshold(self, share: float) -> tuple[float, float]:
        """Return the lowest threshold that at most a given share of the values reaches.

        Where many values equal the quantile, all of them stay below the threshold. No threshold is above 1: where more
        than `share` of the values are 1, all of these are kept. Without any value (a window that is all promoter) the
        threshold is 1.

        Parameters
        ----------
        share : float
            Highest share of the values that is kept, 0 to 1.

        Returns
        -------
        threshold : float
            0 to 1, in steps of 2^-20 (about 1e-6).
        kept : float
            The share of the values at or above it, exact.
        """
        total = int(self.counts.sum())
        if not total:
            return 1.0, 0.0
        reached = np.cumsum(self.counts[::-1])[::-1]  # values at or above each level
        level = int(np.searchsorted(-reached, -share * total, "left"))  # reached falls with the level
        level = min(level, _LEVELS)
        return level / _LEVELS, int(reached[level]) / total


def smoothed(mask: GeneMask, bases: int) -> np.ndarray:
    """Return the centred moving average of a mask over its learned bins: float32 (bins,).

    Each learned bin is averaged with the learned bins at most bases / 2 away, rounded to whole bins; forced bins keep
    their values.

    Parameters
    ----------
    mask : GeneMask
        The mask.
    bases : int
        Width of the average in bp; 0 for none.
    """
    half = round(bases / 2 / mask.resolution)
    if half == 0:
        return mask.mask
    sums, counts = (
        np.concatenate(([0], np.cumsum(x, dtype=np.float64))) for x in (mask.mask * mask.learned, mask.learned)
    )
    places = np.arange(len(mask.mask))
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, len(places))
    average = (sums[high] - sums[low]) / np.maximum(counts[high] - counts[low], 1)
    return np.where(mask.learned, np.clip(average, 0, 1), mask.mask).astype(np.float32)


def default_rule(masks: Iterable[GeneMask], binary: bool) -> ElementRule:
    """Choose the rule of a run: the threshold that keeps 5 % of learned bases, or 0.5 for masks of 0 and 1.

    The 5 % are counted in the smoothed masks, before runs are joined and dropped.

    Parameters
    ----------
    masks : Iterable[GeneMask]
        The masks of the genes that count.
    binary : bool
        Whether the masks hold 0 and 1 only (`DecisionRule.binary`).
    """
    if binary:
        return ElementRule(0.5, smooth_bp=0)
    histogram = KeptHistogram()
    smooth_bp = ElementRule(0).smooth_bp
    for mask in masks:
        histogram.add(smoothed(mask, smooth_bp)[mask.learned])
    return ElementRule(histogram.threshold(KEPT_TARGET)[0], kept_target=KEPT_TARGET)


def kept_runs(
    values: np.ndarray, learned: np.ndarray, rule: ElementRule, resolution: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the runs of learned bins that reach the threshold, joined, without the short ones.

    Runs are never joined across a forced bin, so that no element holds blacklisted bases or the promoter.

    Parameters
    ----------
    values : ndarray
        float (bins,), the smoothed mask.
    learned : ndarray
        bool (bins,).
    rule : ElementRule
        Threshold, largest gap and shortest length.
    resolution : int
        bp per bin.

    Returns
    -------
    starts, ends : ndarray
        int64 (runs,), in bins, half-open.
    """
    starts, ends = runs(learned & (values >= rule.threshold))
    forced_before = np.concatenate(([0], np.cumsum(~learned)))
    near = (starts[1:] - ends[:-1]) * resolution < rule.max_gap
    near &= forced_before[starts[1:]] == forced_before[ends[:-1]]
    starts, ends = (
        starts[np.concatenate(([True], ~near))[: len(starts)]],
        ends[np.concatenate((~near, [True]))[: len(ends)]],
    )
    long = (ends - starts) * resolution >= rule.min_length
    return starts[long], ends[long]


def cut_elements(
    mask: GeneMask,
    rule: ElementRule,
    gene: Mapping[str, Any] | pd.Series,
    peaks: pd.DataFrame | None = None,
    effects: MemberEffects | None = None,
    contact: np.ndarray | None = None,
) -> pd.DataFrame:
    """Cut the elements of one gene from its mask.

    Parameters
    ----------
    mask : GeneMask
        The mask of the gene's window.
    rule : ElementRule
        How to cut.
    gene : Mapping[str, Any] or Series
        gene_id, symbol, tss (0-based), strand.
    peaks : DataFrame or None
        chrom, start, end, name of called peaks; None where none were called.
    effects : MemberEffects or None
        Of the same window; None where none are stored.
    contact : ndarray or None
        Contact of the same window (`Run.contact`); None where none is stored.

    Returns
    -------
    DataFrame
        ELEMENT_COLUMNS of the elements and the promoter, left to right. name: E1, E2, ... by falling mean_mask (ties:
        nearer the TSS first), and `promoter`. score: 1000 x mean_mask, rounded. thickStart, thickEnd: the summit, where
        the mask is highest (the middle one of equals). beta_sd: mean standard deviation of z under its Beta.
        distance_to_tss: bp from TSS to summit, negative upstream on the gene's strand. peak: name of the peak that
        shares most bases with the element, or ".". contact: mean over the element, 0 to 1. effect, effect_sd,
        recurrence: as `member_effects.RegionEffect`. These four are NaN of a promoter, and where they are not stored.
    """
    starts, ends = kept_runs(smoothed(mask, rule.smooth_bp), mask.learned, rule, mask.resolution)
    table = _measured(mask, starts, ends)
    table["class"], table["peak"] = _peak_class(table, mask, peaks)
    promoter = _measured(mask, *runs(mask.forced == PROMOTER))
    promoter["class"], promoter["peak"] = PROMOTER_CLASS, "."
    table = table.assign(**_stored(table, mask, effects, contact))
    promoter = promoter.assign(**dict.fromkeys(MEASURED, np.nan))
    promoter["summit"] = np.clip(gene["tss"], promoter["start"], promoter["end"] - 1)
    distance = (table["summit"] - gene["tss"]).abs().to_numpy()
    rank = np.empty(len(table), np.int64)
    rank[np.lexsort((distance, -table["mean_mask"].to_numpy()))] = np.arange(1, len(table) + 1)
    table["name"], promoter["name"] = [f"E{i}" for i in rank], PROMOTER_CLASS
    table = pd.concat([part for part in (table, promoter) if len(part)]) if len(promoter) else table
    return _as_bed(table.sort_values("start", ignore_index=True), mask, gene)


def _measured(mask: GeneMask, starts: np.ndarray, ends: np.ndarray) -> pd.DataFrame:
    """Return bounds and summit of each run of bins on the chromosome, mean and highest mask, and mean sd of z."""
    measured = {name: np.zeros(len(starts)) for name in ("mean_mask", "max_mask", "beta_sd")}
    summit = np.zeros(len(starts), np.int64)
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        values = mask.mask[start:end]
        measured["mean_mask"][i] = values.mean(dtype=np.float64)
        measured["max_mask"][i] = values.max()
        measured["beta_sd"][i] = mask.sd[start:end].mean(dtype=np.float64)
        highest = np.flatnonzero(values == values.max())
        summit[i] = start + highest[len(highest) // 2]
    bounds = {
        "start": mask.start + starts * mask.resolution,
        "end": mask.start + ends * mask.resolution,
        "summit": mask.start + summit * mask.resolution + mask.resolution // 2,
    }
    return pd.DataFrame({**bounds, **measured})


def _stored(
    table: pd.DataFrame, mask: GeneMask, effects: MemberEffects | None, contact: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return MEASURED of elements, float64 each; NaN where it is not stored."""
    found = {name: np.full(len(table), np.nan) for name in MEASURED}
    for i, (start, end) in enumerate(zip(table["start"], table["end"], strict=True)):
        if contact is not None:
            found["contact"][i] = mean_contact(contact, (mask.start, mask.end), start, end)
        if effects is not None:
            for name, value in region_effect(effects, start, end)._asdict().items():
                found[name][i] = value
    return found


def _peak_class(table: pd.DataFrame, mask: GeneMask, peaks: pd.DataFrame | None) -> tuple[np.ndarray, np.ndarray]:
    if peaks is None:
        return np.full(len(table), NO_PEAK_FILE, object), np.full(len(table), ".", object)
    starts, ends = peaks["start"].to_numpy(), peaks["end"].to_numpy()
    near = (peaks["chrom"] == mask.chrom).to_numpy() & (starts < mask.end) & (ends > mask.start)
    names = np.append(peaks["name"].to_numpy(object)[near], ".")
    left = np.maximum(table["start"].to_numpy()[:, None], starts[near])
    shared = np.minimum(table["end"].to_numpy()[:, None], ends[near]) - left  # bp, (elements, peaks)
    shared = np.concatenate([shared, np.zeros((len(table), 1), np.int64)], axis=1)  # the last: no peak
    best = np.where(shared.max(axis=1) > 0, shared.argmax(axis=1), shared.shape[1] - 1)
    return np.where(best < shared.shape[1] - 1, WITH_PEAK, WITHOUT_PEAK).astype(object), names[best]


def _as_bed(table: pd.DataFrame, mask: GeneMask, gene: Mapping[str, Any] | pd.Series) -> pd.DataFrame:
    upstream = -1 if gene["strand"] == "-" else 1
    table = table.assign(
        chrom=mask.chrom,
        score=np.clip(np.rint(1000 * table["mean_mask"]), 0, 1000).astype(np.int64),
        strand=gene["strand"],
        thickStart=table["summit"],
        thickEnd=table["summit"] + 1,
        itemRgb=table["class"].map(CLASS_COLOURS).astype(object),
        gene_id=gene["gene_id"],
        symbol=gene["symbol"],
        distance_to_tss=upstream * (table["summit"] - gene["tss"]),
    )
    return table[list(ELEMENT_COLUMNS)]


_NUMBERS = {  # column -> lowest and highest value
    **dict.fromkeys(("start", "end", "thickStart", "thickEnd"), (0, 10**12)),
    "score": (0, 1000),
    "distance_to_tss": (-(10**12), 10**12),
    **dict.fromkeys(("mean_mask", "max_mask"), (0.0, 1.0)),
    **dict.fromkeys(("beta_sd", "contact"), (0.0, 1.0)),
    "effect": (-np.inf, np.inf),
    "effect_sd": (0.0, np.inf),
    "recurrence": (0.0, float(MOST_MEMBERS)),
}
_MAY_BE_UNKNOWN = ("beta_sd", *MEASURED)  # "." in files: beta_sd of a run without a band, what is not known of a row
_UNKNOWN = "."
_DIGITS = {"contact": ".4f", "effect": ".6g", "effect_sd": ".6g", "recurrence": ".0f"}  # as files show them
_CHOICES = {"strand": ("+", "-"), "class": tuple(CLASS_COLOURS)}
_AGAIN = "assemble the run again: seq2exp-viz score RUN"


def read_elements(path: str | Path, columns: Sequence[str] = ELEMENT_COLUMNS, text: str = "str") -> pd.DataFrame:
    """Read an element file written by `assemble` or `export`, also of schema 1; what an export derives is left out.

    Parameters
    ----------
    path : str or Path
        BED with a header line.
    columns : Sequence[str]
        Columns to return, some of ELEMENT_COLUMNS.
    text : str
        dtype of columns of text; "category" takes a third of the memory.

    Returns
    -------
    DataFrame
        The columns, in the order of ELEMENT_COLUMNS and of the file; beta_sd is NaN where the file has no width, the
        last four where it does not have them.

    Raises
    ------
    InputError
        Unreadable, another header, or a line with too few or too many cells or a wrong one; with the line.
    """
    content = read_input(path, _MOST_BYTES, "an element file", _AGAIN)
    begin, header_line, names = _header(path, content)
    if not _check_widths(path, content, begin, header_line, len(names)):
        return no_elements(columns, text)
    types = dict.fromkeys(names, text) | dict.fromkeys((name for name in names if name in _NUMBERS), "float64")
    options: dict[str, Any] = {"sep": "\t", "header": None, "quoting": 3, "keep_default_na": False}
    options |= {"names": list(names), "index_col": False, "skip_blank_lines": False, "encoding": "utf-8"}
    unknown = {name: [_UNKNOWN] for name in _MAY_BE_UNKNOWN if name in names}
    try:
        table = pd.read_csv(io.BytesIO(content[begin:]), dtype=types, na_values=unknown, **options)
    except (ValueError, OverflowError):
        raise _first_wrong(path, content[begin:], header_line, options) from None
    _check_values(path, table, header_line)
    whole = [name for name in _NUMBERS if _is_whole(name)]
    table = table.astype(dict.fromkeys(whole, np.int64))
    table = table.assign(**{name: np.nan for name in MEASURED if name not in names})
    return table[[name for name in ELEMENT_COLUMNS if name in columns]]


def as_stored(table: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Return elements without the columns of MEASURED that a run does not store, with "." for what is not known.

    Parameters
    ----------
    table : DataFrame
        ELEMENT_COLUMNS.
    manifest : Mapping[str, Any]
        Of the run: its `members` and `contact`.
    """
    contact = () if manifest.get("contact") is None else _WITH_CONTACT
    stored = contact if manifest.get("members") is None else MEASURED
    words = {
        name: [_UNKNOWN if value != value else format(value, _DIGITS[name]) for value in table[name]] for name in stored
    }
    return table[[*_ALWAYS, *stored]].assign(**words)


def as_exported(table: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Return elements as exported files show them: `as_stored`, and "." as beta_sd where the run has no band.

    Where `table` has the columns direction and element_gene_score, these are the last ones.
    """
    shown_ = as_stored(table, manifest)
    if set(_DERIVED) <= set(table.columns):
        score = [_UNKNOWN if value != value else f"{value:.6g}" for value in table["element_gene_score"]]
        shown_ = shown_.assign(direction=[text or _UNKNOWN for text in table["direction"]], element_gene_score=score)
    return shown_ if band_words(manifest["band"]) is not None else shown_.assign(beta_sd=_UNKNOWN)


def no_elements(columns: Sequence[str] = ELEMENT_COLUMNS, text: str = "str") -> pd.DataFrame:
    """Return a table as from `read_elements`, without rows."""
    types = {name: (np.int64 if _is_whole(name) else np.float64) if name in _NUMBERS else text for name in columns}
    return pd.DataFrame({name: pd.Series(dtype=types[name]) for name in ELEMENT_COLUMNS if name in columns})


def _is_whole(name: str) -> bool:
    """Return whether a column of numbers holds whole ones."""
    return isinstance(_NUMBERS[name][0], int)


def _header(path: str | Path, content: bytes) -> tuple[int, int, tuple[str, ...]]:
    """Return the first byte after the header line, the line's number, and the columns."""
    begin, number = 0, 0
    while True:
        number += 1
        end = content.find(b"\n", begin)
        line = content[begin : end if end >= 0 else len(content)]
        if not line.startswith(b"##") or end < 0:
            break
        begin = end + 1
    header = element_header_of_2(line.decode("utf-8", "replace").rstrip("\r"))
    known = (_ALWAYS, (*_ALWAYS, *_WITH_CONTACT), ELEMENT_COLUMNS)
    for columns in (*known, *((*columns, *_DERIVED) for columns in known)):
        if header == "#" + "\t".join(columns):
            return begin + len(line) + 1, number, columns
    raise InputError(path, found=f"header {header[:200]!r}", expected="the columns of an element file", fix=_AGAIN)


def _check_widths(path: str | Path, content: bytes, begin: int, header_line: int, columns: int) -> int:
    """Return the number of rows; raise InputError at the first that has not a cell for each of the columns."""
    body = np.frombuffer(content, np.uint8)[begin:]
    ends = np.flatnonzero(body == ord("\n"))
    if len(body) and body[-1] != ord("\n"):
        ends = np.append(ends, len(body))
    tabs = np.diff(np.searchsorted(np.flatnonzero(body == ord("\t")), ends), prepend=0)
    odd = np.flatnonzero(tabs != columns - 1)
    if len(odd):
        where, found = f"{path} line {header_line + 1 + odd[0]}", f"{tabs[odd[0]] + 1} cells"
        raise InputError(where, found=found, expected=f"{columns} cells, one a column", fix=_AGAIN)
    return len(ends)


def _check_values(path: str | Path, table: pd.DataFrame, header_line: int) -> None:
    """Raise InputError at the first value out of its range."""

    def require(sound: np.ndarray, name: str, expected: str) -> None:
        if not sound.all():
            row = int(np.argmin(sound))
            where, found = f"{path} line {header_line + 1 + row} {name}", shown(str(table[name].iloc[row]))
            raise InputError(where, found=found, expected=expected, fix=_AGAIN)

    for name, (low, high) in _NUMBERS.items():
        if name not in table:
            continue
        values = table[name].to_numpy()
        whole = "a whole number, " if _is_whole(name) or name == "recurrence" else ""
        sound = np.isfinite(values) & (values >= low) & (values <= high) & (not whole or values == np.rint(values))
        sound |= np.isnan(values) if name in _MAY_BE_UNKNOWN else False
        require(sound, name, f"{whole}{low:,} to {high:,}")
    for name, choices in _CHOICES.items():
        require(table[name].isin(choices).to_numpy(), name, f"one of {', '.join(choices)}")
    for first, last in (("start", "end"), ("thickStart", "thickEnd")):
        require((table[first] <= table[last]).to_numpy(), last, f"{first} or more")
    for name in ("chrom", "gene_id", "name"):
        require((table[name] != "").to_numpy(), name, "a name")


def _first_wrong(path: str | Path, body: bytes, header_line: int, options: dict[str, Any]) -> InputError:
    """Return the error of the first cell that is not UTF-8 text, or not a number where one is due."""
    try:
        table = pd.read_csv(io.BytesIO(body), dtype=str, **options)
    except ValueError as error:
        found = "bytes that are not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        return InputError(path, found=found, expected="an element file", fix=_AGAIN)
    known = {name: {_UNKNOWN: "0"} for name in _MAY_BE_UNKNOWN if name in table}
    table_of_numbers = table[[name for name in _NUMBERS if name in table]].replace(known)
    numbers = table_of_numbers.apply(pd.to_numeric, errors="coerce").isna()
    row = int(np.argmax(numbers.any(axis=1).to_numpy()))
    name = numbers.columns[int(np.argmax(numbers.iloc[row].to_numpy()))]
    where, cell = f"{path} line {header_line + 1 + row} {name}", shown(str(table[name].iloc[row]))
    return InputError(where, found=cell, expected="a number", fix=_AGAIN)
