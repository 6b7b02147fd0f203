"""Tables of an evaluation and their summary, written into a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from model_core.files import json_values, write_json, write_text
from model_core.lock import writing_into
from model_core.tsv import table_text


def write_tables(
    folder: Path, tables: Mapping[str, pd.DataFrame], summary: Mapping, stale: Iterable[Path] = ()
) -> dict:
    """Write NAME.tsv for each table, then summary.json, each atomically, under the folder's lock.

    Parameters
    ----------
    folder : Path
        An existing folder.
    tables : Mapping[str, DataFrame]
        Tables by name.
    summary : Mapping
        What summary.json says; `tables`, file -> rows, is added.
    stale : Iterable[Path]
        Files of an earlier call, which are removed before.

    Returns
    -------
    dict
        The summary as written: JSON values.
    """
    written = json_values({**summary, "tables": {f"{name}.tsv": len(table) for name, table in tables.items()}})
    with writing_into(folder):
        for path in stale:
            path.unlink(missing_ok=True)
        for name, table in tables.items():
            write_text(folder / f"{name}.tsv", table_text(table, "%.6g"))
        write_json(folder / "summary.json", written)
    return written
