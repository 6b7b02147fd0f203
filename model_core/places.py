"""Positions and regions typed by users, converted from 1-based to 0-based only here.

Names of contigs are tried before positions. Accepted forms, with a contig written as in the genome or with another
"chr" or case (MT for chrM):

- `chr1:1,000-2,000`, `chr1:1000..2000`, `chr1 1000 2000`, `chr1:1000 to 2000`, with any dash: 1-based, both bases
  included; swapped ends are put in order
- `chr1:1000`: one base; `chr1`: the whole contig; `1000-2000`: on the contig that is shown
- `1k`, `1.5mb`, `1.5-2mb`; thousands separated by commas, apostrophes, thin spaces or dots (`1.000.000`)
- columns separated by TABs, as copied from a BED file: 0-based and half-open
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from model_core.contig_names import ContigNames
from model_core.errors import InputError, Unavailable
from model_core.intervals import listed
from model_core.window import Site

FORM = "chrom:start-end, 1-based"
_UNITS = {None: 1, "b": 1, "bp": 1, "k": 10**3, "kb": 10**3, "kbp": 10**3, "m": 10**6, "mb": 10**6, "mbp": 10**6}
_NUMBER = re.compile(
    r"([0-9]{1,3}(?:[,.][0-9]{3})+|[0-9]{1,12}(?:[.,][0-9]{1,9})?)(?:\s*([kmb]b?p?))?(?![0-9A-Za-z])", re.ASCII | re.I
)
_BETWEEN = re.compile(r"\s*(?:-|\.{2,}|:|;|\bto\b|,\s)\s*|\s+|_", re.I)
_STRAND = re.compile(r"\s*(?:(?<=\S)[:\s]\(?([+-])\)?|\(([+-])\))\s*$")
_SPACED = re.compile(r"([0-9]{1,3}(?: [0-9]{3})*)\s*-\s*([0-9]{1,3}(?: [0-9]{3})*)", re.ASCII)
_ONE_SEPARATOR = ":\uff1a,;"  # besides white space: a name, one of these, a position
_TWO_ENDS = "-_"  # after these two positions must follow: a name may hold a dash
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"))
_DASHES = "\u2212\u2043\u02d7\u2796\u30fc"  # in addition to the category of dashes


class NotAPlace(InputError):
    """Text that does not have the form of a region."""


class NoSuchPlace(Unavailable):
    """Text with the form of a region that this genome does not have."""


def chromosome(sizes: Mapping[str, int], name: str) -> str | None:
    """Return the genome's spelling of a contig (`ContigNames.find`), for a single look-up."""
    return name if name in sizes else ContigNames(sizes).find(name)


def shown(chrom: str, start: int, end: int) -> str:
    """Format a region (0-based half-open) as `parse_place` reads it: 1-based, thousands with commas."""
    return f"{chrom}:{start + 1:,}-{end:,}"


def example(sizes: Mapping[str, int]) -> str:
    """Return an example of a region in this genome."""
    if not sizes:
        return "chr1:1,000-2,000"
    chrom = max(list(sizes)[:200], key=lambda name: sizes[name])
    size = sizes[chrom]
    return shown(chrom, *((999, 2_000) if size > 2_000 else (0, size)))


def parse_place(text: str, names: ContigNames, here: str | None = None) -> tuple[str, int, int]:
    """Parse a typed or pasted region to (chrom, start, end), 0-based half-open and inside the contig.

    Parameters
    ----------
    text : str
        The text, in a form of the module's docstring.
    names : ContigNames
        The contigs of the genome; a text that is a contig's name is that contig, whatever else it looks like.
    here : str or None
        The contig of two positions without a name.

    Returns
    -------
    tuple[str, int, int]
        Contig, start and end.

    Raises
    ------
    NotAPlace
        The text has another form.
    NoSuchPlace
        An unknown contig, or a region beyond its end.
    """
    text = text.strip().strip("\ufeff")
    if (place := _pasted(text, names)) is not None:
        return _inside(names, *place)
    found = names.exact(text) or _named(text, names.exact, _range)
    found = found or names.find(text) or _named(text, names.find, _range)
    if isinstance(found, str):
        return found, 0, names.sizes[found]
    if found is not None:
        return _inside(names, found[0], *found[1])
    ends = _range(text, "-")
    if ends is not None and here is not None and here in names.sizes:
        return _inside(names, here, *ends)
    raise _unknown(text, names, ends is not None)


def read_place(text: str, names: ContigNames, here: str | None = None) -> tuple[str, int, int]:
    """Parse a region that the program wrote as CHROM:START-END, whatever characters the name holds.

    A text that was edited by hand is parsed by `parse_place`.
    """
    chrom, _, span = text.rpartition(":")
    ends = re.fullmatch(r"([0-9]{1,12})-([0-9]{1,12})", span, re.ASCII)
    if ends and chrom in names.sizes and 0 < int(ends[1]) <= int(ends[2]):
        return _inside(names, chrom, int(ends[1]) - 1, int(ends[2]))
    return parse_place(text, names, here)


def parse_site(text: str, names: ContigNames | None = None) -> Site:
    """Parse a site typed as chrom:position[:strand], 1-based, e.g. "chr22:1,000:+"; no strand means "+".

    Parameters
    ----------
    names : ContigNames or None
        The contigs of the genome; None takes the text before the last colon as the contig.

    Raises
    ------
    InputError
        The text does not have that form, or the genome has no such contig or position.
    """
    body, strand = text.strip(), "+"
    if match := _STRAND.search(body):
        body, strand = body[: match.start()].rstrip(), match[1] or match[2]
    if names is None:
        chrom, _, typed = body.rpartition(":")
        place = None if not chrom or re.search(r"\s", chrom) else (chrom, _position(typed))
    else:
        place = _named(body, names.exact, _position) or _named(body, names.find, _position)
    if place is None or place[1] is None:
        if names is not None and (tried := _first_split(body, _position)) is not None:
            raise _no_contig(tried[0], names)
        form = "chrom:position:strand, 1-based, such as chr22:23,180,365:+"
        raise InputError("site", found=repr(text), expected=form, fix="type it in that form")
    chrom, position = place[0], place[1]
    if names is not None and position > names.sizes[chrom]:
        found, expected = f"position {position:,}", f"1 to {names.sizes[chrom]:,} on {chrom}"
        raise InputError("site", found=found, expected=expected, fix="correct it")
    return Site(chrom, position - 1, strand)


# ------------------------------------------------------------------------------------------------ names and positions


def _splits(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (name, separator, rest) for every position where a name could end, the longest name first."""
    for at in range(len(text) - 1, 0, -1):
        letter = text[at]
        letter = "-" if _is_dash(letter) else letter
        if letter.isspace() or letter in _ONE_SEPARATOR or letter in _TWO_ENDS:
            yield text[:at].strip(), letter, text[at + 1 :]


def _named(text: str, find: Callable[[str], str | None], read: Callable) -> tuple | None:
    """Return (contig, value of `read`) for the longest name that leaves something readable, else None."""
    for name, separator, rest in _splits(text):
        chrom = find(name)
        if chrom is not None and (value := read(rest, separator)) is not None:
            return chrom, value
    return None


def _first_split(text: str, read: Callable) -> tuple | None:
    """Return (name, value) for the shortest name, ended by a colon or white space, that leaves something readable."""
    for name, separator, rest in reversed(list(_splits(text))):
        if separator not in _TWO_ENDS and separator not in ",;" and (value := read(rest, separator)) is not None:
            return name, value
    return None


def _range(text: str, separator: str = ":") -> tuple[int, int] | None:
    """Parse one or two 1-based positions to (start, end), 0-based half-open; None for any other text."""
    plain = _STRAND.sub("", _plain(text)) if separator not in _TWO_ENDS else _plain(text)
    if spaced := _SPACED.fullmatch(plain):
        return _ordered(*(int(part.replace(" ", "")) for part in spaced.groups()))
    first = _NUMBER.match(plain)
    if first is None:
        return None
    if first.end() == len(plain):
        base = _bases(first)
        return _ordered(base, base) if base and separator not in _TWO_ENDS else None
    between = _BETWEEN.match(plain, first.end())
    last = _NUMBER.fullmatch(plain, between.end()) if between else None
    if last is None:
        return None
    return _ordered(_bases(first, last[2]), _bases(last))


def _position(text: str, separator: str = ":") -> int | None:
    """Parse one 1-based position; None for any other text."""
    number = _NUMBER.fullmatch(_plain(text)) if separator not in _TWO_ENDS else None
    return (_bases(number) or None) if number else None


def _ordered(first: int | None, last: int | None) -> tuple[int, int] | None:
    return (min(first, last) - 1, max(first, last)) if first and last else None


def _bases(number: re.Match, unit: str | None = None) -> int | None:
    """Return the whole number of a match of _NUMBER; None for a fraction of a base.

    `unit` is used where the number has none.
    """
    digits, unit = number[1], (number[2] or unit or None)
    factor = _UNITS.get(unit and unit.lower())
    if factor is None:
        return None
    grouped = re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+|[0-9]{1,3}(\.[0-9]{3})+", digits)
    # "1.500 kb" is one and a half; without a unit a fraction makes no sense, so the dot separates thousands.
    if grouped and not (factor > 1 and digits.count(".") == 1):
        digits = re.sub("[,.]", "", digits)
    elif factor == 1 and not digits.isdigit():
        return None
    value = Fraction(digits.replace(",", ".")) * factor
    return int(value) if value.denominator == 1 and value < 10**12 else None


def _plain(text: str) -> str:
    """Normalise dashes, white space and thousands separators to "-", " " and ","."""
    text = re.sub(r"(?<=[0-9])[\u2009\u202f\u2007\u2008\u200a'\u2019\u02bc`](?=[0-9]{3}(?![0-9]))", ",", text)
    text = unicodedata.normalize("NFKC", text.translate(_UNSEEN))
    text = "".join("-" if _is_dash(letter) else letter for letter in text)
    return " ".join(text.split())


def _is_dash(letter: str) -> bool:
    return unicodedata.category(letter) == "Pd" or letter in _DASHES


def _pasted(text: str, names: ContigNames) -> tuple[str, int, int] | None:
    """Parse a row of a BED file with TABs: 0-based half-open; None for any other text."""
    columns = [column.strip() for column in text.split("\t")]
    if len(columns) < 3 or not all(re.fullmatch("[0-9]{1,12}", column, re.ASCII) for column in columns[1:3]):
        return None
    chrom = names.find(columns[0])
    if chrom is None:
        raise _no_contig(columns[0], names)
    start, end = sorted(int(column) for column in columns[1:3])
    return chrom, start, max(end, start + 1)


def _inside(names: ContigNames, chrom: str, start: int, end: int) -> tuple[str, int, int]:
    size = names.sizes[chrom]
    if start >= size:
        raise NoSuchPlace(f"{chrom} ends at {size:,}, before {start + 1:,}.")
    return chrom, start, min(end, size)


def _unknown(text: str, names: ContigNames, positions: bool) -> InputError:
    works = example(names.sizes)
    if positions:
        return NoSuchPlace(f"On which chromosome is {text[:60]}? Write its name first, such as {works}.")
    if len(names.spelled(text)) > 1:
        return _no_contig(text, names)
    if (tried := _first_split(text, _range)) is not None:
        return _no_contig(tried[0], names)
    return NotAPlace("locus", found=repr(text[:80]), expected=f"{FORM}, such as {works}", fix="type it in that form")


def _no_contig(name: str, names: ContigNames) -> NoSuchPlace:
    several = names.spelled(name)
    if len(several) > 1:
        return NoSuchPlace(f"{name[:60]} can mean {listed(several)}: use the genome's spelling.")
    has = f"it has {listed(list(names.sizes))}" if names.sizes else "it has none"
    return NoSuchPlace(f"There is no chromosome {name[:60]} in this genome ({has}). Try {example(names.sizes)}.")
