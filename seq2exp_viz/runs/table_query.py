"""Filtering and sorting of a table on the server, as the page's grid requests them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

MOST_CONDITIONS = 20
_TEXT: dict[str, Callable[[pd.Series, str], pd.Series]] = {
    "contains": lambda cells, x: cells.str.contains(x, regex=False),
    "notContains": lambda cells, x: ~cells.str.contains(x, regex=False),
    "equals": lambda cells, x: cells == x,
    "notEqual": lambda cells, x: cells != x,
    "startsWith": lambda cells, x: cells.str.startswith(x),
    "endsWith": lambda cells, x: cells.str.endswith(x),
}
_NUMBER: dict[str, Callable[[pd.Series, float, float | None], pd.Series]] = {
    "equals": lambda cells, x, _: cells == x,
    "notEqual": lambda cells, x, _: cells != x,
    "lessThan": lambda cells, x, _: cells < x,
    "lessThanOrEqual": lambda cells, x, _: cells <= x,
    "greaterThan": lambda cells, x, _: cells > x,
    "greaterThanOrEqual": lambda cells, x, _: cells >= x,
    "inRange": lambda cells, x, to: (cells >= x) & (cells <= to),
}


def rows_of(table: pd.DataFrame, filters: Any, sorts: Any) -> pd.DataFrame:
    """Return the rows that pass all filters, in the requested order; invalid filters and unknown columns are ignored.

    Parameters
    ----------
    table : DataFrame
        The rows.
    filters : Any
        AG Grid's filterModel: column -> {"filterType": "text" or "number", "type", "filter", "filterTo"}, or
        {"operator": "AND" or "OR", "conditions": [...]}. Text is compared without case.
    sorts : Any
        AG Grid's sortModel: [{"colId", "sort": "asc" or "desc"}, ...]; missing numbers come last.
    """
    keep = np.ones(len(table), bool)
    for name, model in filters.items() if isinstance(filters, dict) else ():
        if name in table.columns and isinstance(model, dict):
            keep &= _passes(table[name], model)
    found = table[keep] if not keep.all() else table
    orders = [
        (item["colId"], item.get("sort") != "desc")
        for item in (sorts if isinstance(sorts, list) else [])[:MOST_CONDITIONS]
        if isinstance(item, dict) and isinstance(item.get("colId"), str) and item["colId"] in table.columns
    ]
    if orders:
        names, ascending = zip(*dict(orders).items(), strict=True)
        found = found.sort_values(list(names), ascending=list(ascending), kind="stable", na_position="last")
    return found


def _passes(cells: pd.Series, model: dict) -> np.ndarray:
    conditions = model.get("conditions")
    if isinstance(conditions, list) and conditions:
        single = [{**one, "conditions": None} for one in conditions[:MOST_CONDITIONS] if isinstance(one, dict)]
        parts = [_passes(cells, one) for one in single]
        together = np.logical_or if model.get("operator") == "OR" else np.logical_and
        return together.reduce(parts) if parts else np.ones(len(cells), bool)
    kind, wanted = str(model.get("type")), model.get("filter")
    if kind in ("blank", "notBlank"):
        blank = (cells.isna() | cells.isin(["", "."])).to_numpy(bool)
        return blank if kind == "blank" else ~blank
    if pd.api.types.is_numeric_dtype(cells):
        low, high = _number(wanted), _number(model.get("filterTo"))
        compare = _NUMBER.get(kind)
        if compare is None or low is None or (kind == "inRange" and high is None):
            return np.ones(len(cells), bool)
        return compare(cells, low, high).to_numpy(bool)
    test = _TEXT.get(kind)
    if test is None or wanted is None:
        return np.ones(len(cells), bool)
    if isinstance(cells.dtype, pd.CategoricalDtype):  # each text is tested once
        words = pd.Series(cells.cat.categories, dtype=str).str.lower()
        return np.append(test(words, str(wanted).lower()).to_numpy(bool), False)[cells.cat.codes]
    return test(cells.astype(str).str.lower(), str(wanted).lower()).to_numpy(bool)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
