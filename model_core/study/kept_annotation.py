"""Rows of a GTF, parsed once for each state of the file (`kept_tables`)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from model_core import bed
from model_core.kept_tables import KeptTables
from model_core.study import annotation

ANNOTATIONS = KeptTables(
    folder="annotations",
    columns={
        **{"chrom": "category", "start": "int64", "end": "int64", "strand": "category", "type": "category"},
        **dict.fromkeys(("gene_id", "symbol", "gene_type", "transcript_id"), "category"),
    },
    read=lambda path: annotation.read_gtf(path),
    code=(annotation, bed),
    most=4,
)


def parsed_gtf(path: Path) -> pd.DataFrame:
    """Return the rows of a GTF as `annotation.read_gtf` does, from the cache where they are kept.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        As `annotation.read_gtf`.
    """
    return ANNOTATIONS.table(path)
