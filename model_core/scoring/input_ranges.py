"""Whether signals and promoter activity have the range that a checkpoint was trained on; kept with the run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pandas as pd

from model_core.config import Seq2ExpConfig
from model_core.errors import Problem
from model_core.remote.address import RemotePath
from model_core.run_folder.run import Run
from model_core.study.check_tracks import (
    QUANTILE_WINDOWS,
    activity_warnings,
    prior_warnings,
    quantile_warnings,
    signal_quantiles,
)
from model_core.study.gene_features import promoter_activity
from model_core.study.study import Study

UNSTATED = (
    "The checkpoint states no ranges of its signals and of promoter activity, so whether these inputs have those that "
    "it was trained on cannot be checked."
)
OTHER_UNIT = (
    "Promoter activity is computed from bigWigs, as a share of each file's total in millionths; the authors took reads "
    "per million. Of files that are no read coverage, such as fold changes, the scale differs."
)


def note_ranges(
    run: Run, study: Study, config: Seq2ExpConfig, metadata: Mapping[str, Any], genes: pd.DataFrame
) -> None:
    """Keep in metrics.json what must be said of the ranges of a study's inputs, and print warnings of those outside.

    What was kept of an input before is replaced where it is said anew, and stays otherwise: its genes are in the run.

    Parameters
    ----------
    run : Run
        The run, whose lock the caller holds.
    study : Study
        The study.
    config : Seq2ExpConfig
        Settings of the model.
    metadata : Mapping[str, Any]
        Of the checkpoint; the authors' have none.
    genes : DataFrame
        Genes that are about to be scored, with their features.
    """
    problems = [] if genes.empty else range_problems(study, config, metadata, genes)
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    notes = {str(problem.where): _sentence(problem) for problem in problems}
    if "signal_quantiles" not in metadata:
        notes["ranges"] = UNSTATED
    if not metadata and _activity_of_bigwigs(study):
        notes["unit of promoter activity"] = OTHER_UNIT
    kept = run.metrics.get("signal_notes", {})
    if {**kept, **notes} != kept:
        run.write_json("metrics.json", {**run.metrics, "signal_notes": {**kept, **notes}})


def range_problems(
    study: Study, config: Seq2ExpConfig, metadata: Mapping[str, Any], genes: pd.DataFrame
) -> list[Problem]:
    """Return a warning for each signal, and for promoter activity, whose range is not the checkpoint's.

    Where the checkpoint states no ranges, its priors are what signals are compared with. Inputs are looked at in
    windows of the whole study; where a signal is read over the web, in those of `genes` alone.
    """
    found: list[Problem] = []
    trained, activity = metadata.get("signal_quantiles"), metadata.get("promoter_activity_quantiles")
    remote = any(isinstance(signal.path, RemotePath) for signal in study.signals())
    looked_at = genes if remote else study.gene_sites()
    if trained:
        here = signal_quantiles(study.signals(), study.windows(looked_at), QUANTILE_WINDOWS)
        found += quantile_warnings(here, trained)
    elif trained is None and config.mask.head == "beta":
        here = signal_quantiles(study.signals(), study.windows(genes), QUANTILE_WINDOWS)
        found += prior_warnings(here, dict(zip(config.signals, config.prior.b, strict=True)))
    if activity:
        found += activity_warnings(_activity(study, genes if remote else looked_at), activity)
    return found


def _activity(study: Study, genes: pd.DataFrame) -> pd.Series:
    """Return promoter activity of an even choice of genes: of the table where it has a column of it, else computed."""
    genes = genes.iloc[:: max(1, len(genes) // QUANTILE_WINDOWS)]
    known = genes["PROMOTERACTIVITY"]
    if "PROMOTERACTIVITY" in study.gene_settings.features or known.notna().all():
        return known
    return pd.Series(promoter_activity(genes, study.activity_signals()), genes.index)


def _activity_of_bigwigs(study: Study) -> bool:
    """Return whether promoter activity is computed from files that need not be coverage of reads."""
    if "PROMOTERACTIVITY" in study.gene_settings.features:
        return False
    names = {signal.name for signal in study.activity_signals()}
    return any(spec.name in names and not spec.is_bam for spec in study.signal_specs)


def _sentence(problem: Problem) -> str:
    where = str(problem.where)
    return f"{where[0].upper()}{where[1:]}: {problem.found}; expected {problem.expected}."
