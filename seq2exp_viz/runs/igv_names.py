"""Names that igv.js cannot misread, for contigs whose own names it would.

igv.js passes places on as text (`name:start-end`, cut at the first colon), puts names into addresses as they are, knows
other spellings of names ("1" for "chr1", any case), and fails on `gi|...|NAME.1|`. So a contig with anything but plain
letters in its name, or with a name that differs from another's in case or "chr" alone, has a plain name of its own in
igv.js. The two are tied one to one; pages, files and messages have the genome's own names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_TAKEN = {"all"}  # the whole genome; and what JavaScript's objects have, which igv.js uses as tables
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
        """A contig's name in igv.js."""
        return self.renamed.get(name, name)

    def own(self, given: str) -> str:
        """The genome's name of what igv.js calls `given`."""
        return self._back.get(given, given)

    def aliases(self) -> str:
        """igv.js's file of aliases: a contig a line, its name in igv.js, then names that files may have for it."""
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
    """The same for names that igv.js takes for one another."""
    return re.sub(r"^(?:chr)+", "", name.lower())
