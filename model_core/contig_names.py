"""Spellings of chromosome names: with or without "chr", in any case, MT for M."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

_CHROMOSOME = re.compile(r"^(?:chromosome|chrom|chr)[ _]?")


class ContigNames:
    """Contigs of a genome, found by their own names or another spelling of them.

    Parameters
    ----------
    sizes : Mapping[str, int]
        Length in bp of each contig, in the genome's order; any values where only names matter.
    """

    def __init__(self, sizes: Mapping[str, int]):
        self.sizes = sizes

    def exact(self, name: str) -> str | None:
        """Return the name itself if the genome has it, else None."""
        return name if name in self.sizes else None

    def find(self, name: str) -> str | None:
        """Return the genome's spelling of a contig, None where there is none or several fit equally well."""
        found = self.spelled(name)
        return found[0] if len(found) == 1 else None

    def spelled(self, name: str) -> list[str]:
        """Return the contigs that a name can mean.

        Tried in this order, until one fits: the name itself; in another case; with or without "chr"; MT for M.
        """
        if name in self.sizes:
            return [name]
        for fold, known in zip(_FOLDS, self._folded, strict=True):
            if found := known.get(fold(name)):
                return found
        return []

    def alias(self, name: str) -> str | None:
        """Return the first of `spelled`, None where there is none."""
        return next(iter(self.spelled(name)), None)

    @cached_property
    def _folded(self) -> list[dict[str, list[str]]]:
        tables: list[dict[str, list[str]]] = [{} for _ in _FOLDS]
        for name in self.sizes:
            for fold, table in zip(_FOLDS, tables, strict=True):
                table.setdefault(fold(name), []).append(name)
        return tables


def _bare(name: str) -> str:
    return _CHROMOSOME.sub("", name.lower())


def _mitochondrial(name: str) -> str:
    return "m" if _bare(name) in ("m", "mt", "mito") else _bare(name)


_FOLDS = (str.lower, _bare, _mitochondrial)
