"""Rows of a file of peaks, parsed once for each state of the file (`kept_tables`)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from model_core import bed, intervals, track_formats
from model_core.kept_tables import KeptTables
from model_core.signals import bigbed

PEAKS = KeptTables(
    folder="peaks",
    columns={
        **{"chrom": "str", "start": "int64", "end": "int64", "name": "str", "score": "float64", "strand": "str"},
        **dict.fromkeys(("signal_value", "minus_log10_p", "minus_log10_q"), "float64"),
        "summit": "int64",
    },
    read=lambda path: bed.read_narrowpeak(path),
    code=(bed, bigbed, intervals, track_formats),
    most=8,  # of a run its own, and those that its study names
)


def parsed_peaks(path: Path) -> pd.DataFrame:
    """Return the rows of a file of peaks as `bed.read_narrowpeak` does, sorted, from the cache where they are kept.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        As `bed.read_narrowpeak`.
    """
    return PEAKS.table(path)
