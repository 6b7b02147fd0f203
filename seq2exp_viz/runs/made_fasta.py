"""A FASTA that exists only as it is asked for: a first line without bases, then each contig in one line, by ranges.

igv.js finds bases by the index alone. So a genome of any format and place, which the study's reader reads, is one that
igv.js reads. igv.js asks for the first byte before it draws anything: no base is read for it, so that it need not wait
for the genome's server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

LONGEST = 4_000_000  # bases of one answer
HEAD = ">\n"


def index(sizes: Mapping[str, int]) -> str:
    """Return the lines of its index (.fai): name, size, offset, bases and bytes of a line."""
    lines, offset = [], len(HEAD)
    for name, size in sizes.items():
        lines.append(f"{name}\t{size}\t{offset}\t{size}\t{size + 1}\n")
        offset += size + 1
    return "".join(lines)


def size(sizes: Mapping[str, int]) -> int:
    """Return the bytes of the whole file: a newline follows each contig."""
    return len(HEAD) + sum(sizes.values()) + len(sizes)


def piece(sizes: Mapping[str, int], sequence: Callable[[str, int, int], str], start: int, stop: int) -> bytes:
    """Return the bytes from `start` to `stop`.

    Parameters
    ----------
    sizes : Mapping[str, int]
        bp of each contig, in order.
    sequence : callable
        (contig, first, last) -> its bases, 0-based half-open.
    start, stop : int
        Range, inside the file.
    """
    found, offset = [HEAD[start:stop]], len(HEAD)
    for name, length in sizes.items():
        first, last = max(start - offset, 0), min(stop - offset, length)
        if first < last:
            found.append(sequence(name, first, last))
        if start <= offset + length < stop:
            found.append("\n")
        offset += length + 1
    return "".join(found).encode("ascii", "replace")
