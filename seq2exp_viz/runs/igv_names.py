"""Substitute names in igv.js for contigs whose own names igv.js would misread.

igv.js passes places on as text (`name:start-end`, split at the first colon), puts names into addresses unquoted,
accepts other spellings of names ("1" for "chr1", any case), and fails on `gi|...|NAME.1|`. Therefore a contig whose
name has other than plain characters, or differs from another name only in case or in "chr", has a plain substitute
name in igv.js. The mapping is one to one; pages, files and messages use the genome's own names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_TAKEN = {"all"}  # the whole genome; and properties of JavaScript objects, which igv.js uses as tables
_TAKEN |= {
    "constructor",
    "hasownproperty",
    "isprototypeof",
    "propertyisenumerable",
    "tolocalestring",
    "tostring",
    "valueof",
}
_LETTERS = 40  # of the genome's name that are kept


class IgvNames:
    """The names of a genome's contigs in igv.js.

    Parameters
    ----------
    sizes : Mapping[str, int]
        bp of each contig, in the genome's order; the same sizes give the same names.
    """

    def __init__(self, sizes: Mapping[str, int]):
        spellings = Counter(map(_folded, sizes))
        odd = [name for name in sizes if not _PLAIN.fullmatch(name) or spellings[_folded(name)] > 1]
        odd = [*odd, *(name for name in sizes if _folded(name) in _TAKEN and name not in set(odd))]
        taken = set(spellings) | _TAKEN
        self._order = list(sizes)
        self.renamed: dict[str, str] = {}  # the genome's name -> igv.js's, of those that differ
        for number, name in enumerate(odd, 1):
            stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name, flags=re.ASCII).strip("_.-")[:_LETTERS] or "contig"
            given = f"{stem}.{number}"
            while _folded(given) in taken:
                given += "x"
            taken.add(_folded(given))
            self.renamed[name] = given
        self._back = {given: name for name, given in self.renamed.items()}

    def given(self, name: str) -> str:
        """Return a contig's name in igv.js."""
        return self.renamed.get(name, name)

    def own(self, given: str) -> str:
        """Return the genome's name of the contig that igv.js calls `given`."""
        return self._back.get(given, given)

    def aliases(self) -> str:
        """Return igv.js's file of aliases, one line per contig: its name in igv.js, then names that files may use."""
        mitochondrial = [name for name in self._order if name.lower() in ("chrm", "mt", "m", "chrmt")]
        lines = []
        for name in self._order:
            others = [] if name not in self.renamed else [name, name.encode().decode("latin-1")]  # as it reads bigWigs
            if mitochondrial == [name]:
                others += ["chrM", "MT", "M"]
            columns = dict.fromkeys([self.given(name), *others])
            lines.append("\t".join(columns) + "\n")
        return "".join(lines)


def _folded(name: str) -> str:
    """Return one spelling for all names that igv.js treats as the same."""
    return re.sub(r"^(?:chr)+", "", name.lower())
