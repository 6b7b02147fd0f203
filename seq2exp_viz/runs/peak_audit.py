"""Disagreements between the mask of a gene and the peak caller: elements without a peak, peaks without an element."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from model_core.run_folder.run_reader import stamp
from model_core.window import promoter_slice, window_start
from seq2exp_viz.runs.element_tables import element_table
from seq2exp_viz.runs.run_view import RunView

ELEMENT, PEAK = "element", "peak"  # kinds: an element without a peak, a peak that the mask does not use
WORDS = ("kind", "gene_id", "symbol", "chrom", "name")
COLUMNS = ("kind", "gene_id", "symbol", "chrom", "start", "end", "name", "strength", "rank", "distance_to_tss")


class Audit(NamedTuple):
    """Disagreements of all genes, and counts of agreement.

    Attributes
    ----------
    queue : DataFrame
        COLUMNS, strongest first, by `rank`: the share (0 to 1) of disagreements of the same kind that are not stronger.
        strength: mean mask of an element, signal value of a peak.
    genes : DataFrame
        By gene_id: with_peak, without_peak (numbers of elements); used, unused (numbers of peaks of the window, without
        those that touch the promoter, which is always kept).
    """

    queue: pd.DataFrame
    genes: pd.DataFrame


def audit(view: RunView) -> Audit:
    """Return the audit of a run from its elements and peaks, cached; empty where it has no peaks or no elements yet."""
    files = [stamp(path) for path in view.run.peak_files]
    version = (stamp(view.run.path / "elements" / "elements.bed"), files, len(view.run.genes))
    return view.keep("audit", version, lambda: _audit(view))


def _audit(view: RunView) -> Audit:
    genes, elements, peaks = view.run.genes, element_table(view), view.peaks
    if peaks is None or genes.empty:
        empty = pd.DataFrame(columns=["with_peak", "without_peak", "used", "unused"], dtype=int)
        return Audit(pd.DataFrame(columns=list(COLUMNS)), empty)
    starts, ends = elements["start"].to_numpy(), elements["end"].to_numpy()
    groups = elements.groupby("gene_id", observed=True).indices
    nothing = np.zeros(0, np.int64)
    by_chrom = {chrom: _sorted(peaks, rows) for chrom, rows in peaks.groupby("chrom", observed=True).indices.items()}
    length = view.run.manifest["window"]
    promoter = promoter_slice(length, view.run.manifest["promoter"])
    gene_of, peak_of, used, unused = [], [], [], []
    for number, gene in enumerate(genes[["gene_id", "chrom", "tss", "start", "end"]].itertuples(index=False)):
        gene_id, chrom, tss, start, end = gene
        mine = np.sort(groups.get(gene_id, nothing))
        first = window_start(tss, length)
        inside = first + promoter.start, first + promoter.stop
        rows, taken = _peaks_of(by_chrom.get(chrom), start, end, *inside, starts[mine], ends[mine])
        used.append(int(taken.sum()))
        unused.append(int((~taken).sum()))
        peak_of.append(rows[~taken])
        gene_of.append(np.full(unused[-1], number))
    queue = _queue(genes, elements, peaks, np.concatenate([nothing, *gene_of]), np.concatenate([nothing, *peak_of]))
    counts = elements.groupby(["gene_id", "class"], observed=True).size().unstack(fill_value=0)
    counts = counts.rename(columns=str).reindex(genes["gene_id"].astype(str), fill_value=0)
    table = pd.DataFrame(
        {name: counts[name].to_numpy() if name in counts else 0 for name in ("with_peak", "without_peak")},
        index=pd.Index(genes["gene_id"], name="gene_id"),
    )
    return Audit(queue, table.assign(used=used, unused=unused))


class _Peaks(NamedTuple):
    """Peaks of one chromosome by start: rows in the table, int64 (n,); bounds, int64 (n,); length of the longest."""

    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    longest: int


def _sorted(peaks: pd.DataFrame, rows: np.ndarray) -> _Peaks:
    starts, ends = peaks["start"].to_numpy()[rows], peaks["end"].to_numpy()[rows]
    order = np.argsort(starts, kind="stable")
    return _Peaks(rows[order], starts[order], ends[order], int((ends - starts).max()))


def _peaks_of(
    peaks: _Peaks | None, start: int, end: int, left: int, right: int, from_: np.ndarray, to: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the peaks in start-end outside the promoter left-right, and whether each overlaps an element.

    from_, to: bounds of the gene's elements, sorted and not overlapping.
    """
    if peaks is None:
        return np.zeros(0, np.int64), np.zeros(0, bool)
    low, high = np.searchsorted(peaks.starts, [start - peaks.longest, end])
    first, last = peaks.starts[low:high], peaks.ends[low:high]
    here = (last > start) & ~((first < right) & (last > left))
    first, last, rows = first[here], last[here], peaks.rows[low:high][here]
    if not len(from_):
        return rows, np.zeros(len(rows), bool)
    at = np.searchsorted(to, first, "right")  # the first element that ends behind the peak's start
    return rows, (at < len(to)) & (from_[np.minimum(at, len(to) - 1)] < last)


def _queue(
    genes: pd.DataFrame, elements: pd.DataFrame, peaks: pd.DataFrame, gene_of: np.ndarray, peak_of: np.ndarray
) -> pd.DataFrame:
    alone = elements[elements["class"] == "without_peak"]
    first = alone[["gene_id", "symbol", "chrom", "start", "end", "name", "distance_to_tss"]].assign(
        kind=ELEMENT, strength=alone["mean_mask"]
    )
    # Text becomes categories before there are many rows: each text is then stored once.
    found = peaks[["chrom", "name"]].astype("category").iloc[peak_of].reset_index(drop=True)
    owner = genes[["gene_id", "symbol"]].astype("category").iloc[gene_of].reset_index(drop=True)
    signal = peaks["signal_value"] if (peaks["signal_value"] > 0).any() else peaks["score"]
    starts, ends = peaks["start"].to_numpy()[peak_of], peaks["end"].to_numpy()[peak_of]
    upstream = np.where(genes["strand"] == "-", -1, 1)[gene_of]
    second = pd.concat([owner, found], axis=1).assign(
        kind=PEAK,
        start=starts,
        end=ends,
        strength=signal.to_numpy(float)[peak_of],
        distance_to_tss=upstream * ((starts + ends) // 2 - genes["tss"].to_numpy()[gene_of]),
    )
    parts = [part.assign(rank=part["strength"].rank(pct=True)) for part in (first, second)]
    numbers = [name for name in COLUMNS if name not in WORDS]
    queue = pd.concat([part[numbers] for part in parts], ignore_index=True)
    for name in WORDS:
        queue[name] = union_categoricals([part[name].astype("category") for part in parts])
    queue = queue.sort_values(["rank", "kind"], ascending=[False, True], kind="stable", ignore_index=True)
    return queue[list(COLUMNS)]
