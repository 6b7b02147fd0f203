"""Check of a study's tracks and sequence: chromosomes, coverage, quantiles, and problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from model_core.bed import read_bed, read_narrowpeak
from model_core.errors import Problem
from model_core.intervals import is_sorted, listed, merge
from model_core.remote.address import InputPath
from model_core.signals.signal import BigWigSignal, Signal, header_summary
from model_core.study.gene_table import lengths_of
from model_core.study.genome import Genome
from model_core.study.validate import noting, require_measured
from model_core.study.whole_inputs import read_whole
from model_core.window import Window

LEVELS = (0.5, 0.9, 0.99, 0.999)  # levels of the quantiles that are shown, and that a checkpoint keeps
EVERY = 50  # bp between the bases that the quantiles are taken from
QUANTILE_WINDOWS = 50  # windows of a study from which a checkpoint's quantiles are taken
FOLD = 3.0  # ratio of two quantiles above which signals count as in different units
FEW_GENES = 20  # below which single genes decide a quantile of promoter activity
ACTIVITY = "promoter activity"
UNREAD = "-"
MUCH_UNKNOWN = 0.1  # share of N above which a window gets a warning


def signal_quantiles(
    signals: Sequence[Signal], windows: Sequence[Window], most: int = 10**9
) -> dict[str, dict[str, float]]:
    """Compute quantiles of each transformed signal in these windows: {"DNase": {"0.5": 0.0, ...}, ...}.

    A checkpoint keeps those of its training windows, so that `quantile_warnings` can detect signals in other units.

    Parameters
    ----------
    signals : Sequence[Signal]
        The signals.
    windows : Sequence[Window]
        At least one.
    most : int
        Of more windows than this an even choice is read.

    Returns
    -------
    dict[str, dict[str, float]]
        Quantile by level (LEVELS, as text) by name of the signal.
    """
    windows = windows[:: max(1, len(windows) // most)]
    return {
        signal.name: dict(zip(map(str, LEVELS), signal.quantiles(windows, LEVELS, EVERY).tolist(), strict=True))
        for signal in signals
    }


def quantile_warnings(
    found: Mapping[str, Mapping[str, float]], trained: Mapping[str, Mapping[str, float]]
) -> list[Problem]:
    """Return a warning for each signal whose upper quantiles differ more than 3-fold from those trained on.

    Parameters
    ----------
    found : Mapping[str, Mapping[str, float]]
        Quantiles of the study (`signal_quantiles`).
    trained : Mapping[str, Mapping[str, float]]
        Quantiles of the checkpoint.
    """
    warnings = []
    for name, levels in trained.items():
        for level in sorted(set(levels) & set(found.get(name, {})), key=float, reverse=True):
            here, there = found[name][level], levels[level]
            if max(here, there) > FOLD * max(min(here, there), 1e-3):
                measured = f"a {float(level):.1%} quantile of {here:.3g}"
                do = "check that both are in the same units; convert units with scale = ... under [[signals]]"
                warnings.append(
                    Problem(f"signal {name}", found=measured, expected=f"about {there:.3g}, as trained on", fix=do)
                )
                break
    return warnings


def prior_warnings(found: Mapping[str, Mapping[str, float]], middle: Mapping[str, float]) -> list[Problem]:
    """Return a warning for each signal that lies on one side of its prior's b nearly everywhere.

    A signal below b pulls the prior's mean below one half, one above it pulls it up. This holds for every checkpoint,
    also for one that states no quantiles.

    Parameters
    ----------
    found : Mapping[str, Mapping[str, float]]
        Quantiles of the study (`signal_quantiles`).
    middle : Mapping[str, float]
        The prior's b by name of the signal, in the signal's unit.
    """
    warnings = []
    for name, b in middle.items():
        levels = {float(level): value for level, value in found.get(name, {}).items()}
        if not levels:
            continue
        low, high = min(levels), max(levels)
        if levels[high] < b:
            level, expected = high, f"values above b = {b:g} of its prior"
        elif levels[low] > b:
            level, expected = low, f"most values below b = {b:g} of its prior"
        else:
            continue
        measured = f"a {level:.1%} quantile of {levels[level]:.3g} in the scored windows"
        do = "check the unit; as it is, it moves the mask in one direction nearly everywhere"
        warnings.append(Problem(f"signal {name}", found=measured, expected=expected, fix=do))
    return warnings


def activity_quantiles(activity: pd.Series) -> dict[str, float]:
    """Return quantiles (LEVELS) of the promoter activity of genes, for a checkpoint; empty where none is known."""
    known = activity.to_numpy(float)
    known = known[np.isfinite(known)]
    return dict(zip(map(str, LEVELS), np.quantile(known, LEVELS).tolist(), strict=True)) if len(known) else {}


def activity_warnings(activity: pd.Series, trained: Mapping[str, float]) -> list[Problem]:
    """Return a warning where the promoter activity of genes differs more than 3-fold from that trained on.

    Median and 90 % quantile are compared; of fewer than FEW_GENES genes the highest with the 99.9 % quantile alone, as
    single genes may be silent.

    Parameters
    ----------
    activity : Series
        Promoter activity of genes, as `gene_features.promoter_activity`; NaN where unknown.
    trained : Mapping[str, float]
        `activity_quantiles` of the training.
    """
    known = activity.dropna()
    here = activity_quantiles(known)
    do = "the unit of its signals differs, such as fold change from reads; predictions rest on it"
    if len(known) < FEW_GENES:
        top = trained.get("0.999")
        if not len(known) or top is None or known.max() <= FOLD * max(top, 1e-3):
            return []
        found, expected = f"{known.max():.3g} as the highest value", f"at most about {top:.3g}, as trained on"
        return [Problem(ACTIVITY, found=found, expected=expected, fix=do)]
    for level in ("0.9", "0.5"):
        there = trained.get(level)
        if there is not None and max(here[level], there) > FOLD * max(min(here[level], there), 1e-3):
            found = f"a {float(level):.0%} quantile of {here[level]:.3g}"
            return [Problem(ACTIVITY, found=found, expected=f"about {there:.3g}, as trained on", fix=do)]
    return []


def absent_chromosomes(signals: Sequence[Signal], genes: pd.DataFrame) -> list[Problem]:
    """Return a warning for each signal that lacks chromosomes of these genes: it reads as 0 there.

    Parameters
    ----------
    signals : Sequence[Signal]
        Signals of the study.
    genes : DataFrame
        Genes: chrom.

    Raises
    ------
    InputError
        A signal that cannot be read, or lists a chromosome under another name.
    """
    warnings = []
    for signal in signals:
        missing = signal.absent(sorted(set(genes.chrom.astype(str))))
        if missing:
            count = int(genes.chrom.isin(missing).sum())
            found = f"no chromosome {listed(missing, 3)} ({count} of {len(genes)} genes)"
            do = "the signal is read as 0 there; if it was measured there, make the file again with that chromosome"
            warnings.append(Problem(signal.path, found=found, expected="every chromosome of the genes", fix=do))
    return warnings


def describe_signal(
    signal: Signal,
    genes: pd.DataFrame | None,
    windows: Sequence[Window],
    sizes: Mapping[str, int],
    problems: list[Problem],
    warnings: list[Problem],
) -> tuple[str, ...]:
    """Return a row of the table of signals: name, chromosomes, share of bases above 0, quantiles, largest value.

    Parameters
    ----------
    signal : Signal
        As opened by the study.
    genes : DataFrame or None
        All genes of the study, with chrom; None where they cannot be read.
    windows : Sequence[Window]
        Windows of genes in which the signal is read.
    sizes : Mapping[str, int]
        Length in bp of each chromosome of the genome.
    problems : list[Problem]
        Extended by: unreadable, none of the genes' chromosomes, infinite or negative values, no value above 0.
    warnings : list[Problem]
        Extended by: NaN, chromosomes that the file does not list.

    Returns
    -------
    tuple[str, ...]
        The row; "-" for all numbers where the signal cannot be read.
    """
    values, chromosomes = np.zeros(0, np.float32), list[str]()
    with noting(problems):
        chromosomes = list(signal.sizes)
        require_measured(signal, sizes, [] if genes is None else genes.chrom)
        if windows:
            warnings += [] if genes is None else absent_chromosomes([signal], genes)
            _check_values(signal, problems, warnings)
            values = np.concatenate([signal.read(window)[::EVERY] for window in windows])
    names = ", ".join(chromosomes[:3]) + (f", ... ({len(chromosomes)})" if len(chromosomes) > 3 else "")
    if not len(values):
        return (signal.name, names, *[UNREAD] * (len(LEVELS) + 2))
    numbers = (*np.quantile(values.astype(float), LEVELS), values.max())
    return (signal.name, names, f"{(values > 0).mean():.1%}", *(f"{number:.3g}" for number in numbers))


def _check_values(signal: Signal, problems: list[Problem], warnings: list[Problem]) -> None:
    if not isinstance(signal, BigWigSignal):
        return
    summary = signal.summary()
    if not signal.path.name.lower().endswith(".bam") and np.isnan(header_summary(signal.path).total):
        warnings.append(
            Problem(
                signal.path,
                found="NaN written as values (or no sum in its header)",
                expected="numbers",
                fix="NaN is read as 0",
            )
        )
    if summary.minimum < -1e-6:
        do = "use counts or fold changes instead of log ratios"
        expected = "0 or more, as the prior's alpha grows with the signal"
        problems.append(Problem(signal.path, found=f"values down to {summary.minimum:.4g}", expected=expected, fix=do))
    if summary.total == 0 and not summary.minimum < 0:  # (pyBigWig writes 2e-308 as the largest value of all zeros)
        problems.append(
            Problem(signal.path, found="no value above 0", expected="a measured signal", fix="check how it was made")
        )


def check_intervals(path: InputPath, kind: str, sizes: Mapping[str, int], warnings: list[Problem]) -> tuple[str, ...]:
    """Return a row of the table of interval files: kind, file, intervals, bp, chromosomes.

    Parameters
    ----------
    path : Path or RemotePath
        BED or narrowPeak.
    kind : str
        "blacklist", "peaks", ...; "peaks" are read as narrowPeak.
    sizes : Mapping[str, int]
        Length in bp of each chromosome of the genome.
    warnings : list[Problem]
        Extended by: unsorted, other chromosomes, intervals beyond the ends.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    read = partial(read_narrowpeak if kind == "peaks" else read_bed, sort=False)
    table = read_whole(path, read, kind)
    if not is_sorted(table):
        expected = "intervals in order of position"
        warnings.append(
            Problem(path, found="an unsorted file", expected=expected, fix="sort it with `sort -k1,1 -k2,2n`")
        )
    known = table[table.chrom.isin(list(sizes))]
    if len(known) < len(table):
        names = listed(sorted(set(table.chrom) - set(sizes)), 3)
        found = f"{len(table) - len(known)} of {len(table)} intervals on {names}"
        warnings.append(
            Problem(path, found=found, expected="chromosomes of the FASTA", fix="these intervals are skipped")
        )
    beyond = known[known.end > lengths_of(known.chrom, sizes)]
    if len(beyond):
        first = beyond.iloc[0]
        found = f"{len(beyond)} intervals beyond the chromosome ({first.chrom}:{first.start + 1:,}-{first.end:,})"
        expected = f"ends up to {sizes[first.chrom]:,}"
        warnings.append(Problem(path, found=found, expected=expected, fix="use a file of the FASTA's assembly"))
    merged = merge(known)
    covered = int((merged.end - merged.start).sum())
    return kind, path.name, f"{len(table):,}", f"{covered:,}", str(table.chrom.nunique())


def describe_sequence(
    genome: Genome, genes: pd.DataFrame, windows: Sequence[Window], warnings: list[Problem]
) -> list[tuple[str, str]]:
    """Return rows of the table of sequence: bases in the FASTA, share of N in these windows.

    Parameters
    ----------
    genome : Genome
        The sequence.
    genes : DataFrame
        One gene for each window, in the same order: symbol.
    windows : Sequence[Window]
        The windows to check.
    warnings : list[Problem]
        Extended by: windows with more than a tenth of N.

    Returns
    -------
    list[tuple[str, str]]
        Label and value.
    """
    shares = np.array([genome.sequence(window.chrom, window.start, window.end).count("N") for window in windows])
    shares = shares / np.array([window.length for window in windows])
    rows = [
        ("chromosomes", str(len(genome.sizes))),
        ("bases", f"{sum(genome.sizes.values()):,}"),
        (f"N in {len(windows)} checked windows, mean", f"{shares.mean():.1%}"),
        ("N in the worst of them", f"{shares.max():.1%}"),
    ]
    much = np.flatnonzero(shares > MUCH_UNKNOWN)
    if len(much):
        worst = much[np.argsort(-shares[much])][:3]
        first = ", ".join(f"{genes.symbol.iat[row]} {shares[row]:.0%}" for row in worst)
        found = f"more than {MUCH_UNKNOWN:.0%} N in {len(much)} of {len(windows)} checked windows (worst: {first})"
        fix = "the model has no sequence there: check the assembly, or leave these genes out"
        warnings.append(Problem(genome.path, found=found, expected="known bases", fix=fix))
    return rows
