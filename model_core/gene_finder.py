"""Look-up of genes by id or symbol: the one rule for ids, versions and symbols."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from model_core.intervals import listed

_VERSION = re.compile(r"\.\d+(?=$|_PAR_Y$)")
# Names of genes after clones, whose number is part of the name: AC012345.1, RP11-34P13.7.
_CLONE = re.compile(r"[A-Z]{1,2}\d{5,6}\.|[A-Z0-9]+-\w+\.", re.IGNORECASE)


class GeneFinder:
    """Finder of a gene table's rows by id or symbol.

    Tried in this order, until something is found: the same id; the same symbol; the same id without its version
    (ENSG00000102145 or ENSG00000102145.9 for ENSG00000102145.12); the same symbol in any case; the same id, with or
    without version, in any case. Two ids with different versions are the same gene, except for names after clones,
    whose number is part of the name (AC012345.1 and AC012345.2 are two genes).

    Parameters
    ----------
    ids : Iterable[str]
        N ids.
    symbols : Iterable[str] or None
        N symbols; by default the ids.
    """

    def __init__(self, ids: Iterable[str], symbols: Iterable[str] | None = None):
        self.ids = [str(name) for name in ids]
        self.symbols = self.ids if symbols is None else [str(name) for name in symbols]
        self._by_id = _rows(self.ids)
        self._by_symbol = _rows(self.symbols)
        self._by_bare_id = _rows(map(_bare, self.ids))
        self._by_upper_id = _rows(_bare(name).upper() for name in self.ids)
        self._by_upper_symbol = _rows(name.upper() for name in self.symbols)

    def rows(self, name: str) -> list[int]:
        """Return the rows of the genes with this name, in their order: none, one, or several where it is ambiguous."""
        return (
            self._by_id.get(name)
            or self._by_symbol.get(name)
            or self._same_gene(name, self._by_bare_id.get(_bare(name), []))
            or self._by_upper_symbol.get(name.upper())
            or self._same_gene(name, self._by_upper_id.get(_bare(name).upper(), []))
        )

    def by_symbol(self, name: str) -> list[int]:
        """Return the rows with this symbol, as `rows` without ids."""
        return self._by_symbol.get(name) or self._by_upper_symbol.get(name.upper()) or []

    def by_id(self, name: str) -> list[int]:
        """Return the rows with this id, as `rows` without symbols and in the same case."""
        return self._by_id.get(name) or self._same_gene(name, self._by_bare_id.get(_bare(name), []))

    def _same_gene(self, name: str, rows: list[int]) -> list[int]:
        """Return those of the rows whose id, equal but for case and version, is of the same gene."""
        own = _VERSION.search(name)
        return [row for row in rows if not own or not _CLONE.match(name) or _one_version(name, self.ids[row])]

    def row(self, name: str, gene_id: str = "") -> int | None:
        """Return the row of the only gene with this name; None where there is none or several.

        Parameters
        ----------
        name : str
            Id or symbol.
        gene_id : str
            An id that is tried first; "" for none.
        """
        for rows in (self.by_id(gene_id) if gene_id else [], self.rows(name)):
            if len(rows) == 1:
                return rows[0]
        return None

    def near(self, name: str, most: int = 3) -> list[str]:
        """Return up to `most` symbols or ids with a similar spelling."""
        by_upper = {known.upper(): known for known in [*self.ids, *self.symbols]}
        found = difflib.get_close_matches(name.upper(), list(by_upper), most, 0.7)
        return [by_upper[upper] for upper in found]

    def problem(self, name: str) -> str | None:
        """Describe what is wrong with a name: unknown or ambiguous; None where it means one gene."""
        rows = self.rows(name)
        if len(rows) == 1:
            return None
        if rows:
            return f"{len(rows)} genes named {name!r} ({listed([self.ids[row] for row in rows])})"
        near = self.near(name)
        return f"no gene {name!r}" + (f" (did you mean {' or '.join(near)}?)" if near else "")


def matched(names: Sequence[str], finder: GeneFinder) -> np.ndarray:
    """Return the row of each name in the finder's table, int64 (n,); -1 where there is none or several."""
    known = {name: finder.row(name) for name in dict.fromkeys(names)}
    return np.array([-1 if known[name] is None else known[name] for name in names], np.int64)


def _rows(names: Iterable[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        found.setdefault(name, []).append(row)
    return found


def _bare(gene_id: str) -> str:
    return _VERSION.sub("", gene_id)


def _one_version(one: str, two: str) -> bool:
    """Return whether only one of two ids has a version, or both have the same."""
    return not _VERSION.search(two) or one.upper() == two.upper()
