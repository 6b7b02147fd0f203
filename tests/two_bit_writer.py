"""A .2bit file as UCSC's faToTwoBit writes it: runs of N and of lower case beside the packed bases."""

import re
import struct
from collections.abc import Mapping


def two_bit(sequences: Mapping[str, str], version: int = 0) -> bytes:
    """The bytes of a .2bit file with these sequences."""
    offset = "Q" if version else "I"
    place = 16 + sum(1 + len(name) + struct.calcsize("<" + offset) for name in sequences)
    index, records = b"", b""
    for name, bases in sequences.items():
        index += struct.pack("<B", len(name)) + name.encode() + struct.pack("<" + offset, place + len(records))
        records += _record(bases)
    return struct.pack("<IIII", 0x1A412743, version, len(sequences), 0) + index + records


def _record(bases: str) -> bytes:
    lists = b"".join(_runs(pattern, bases) for pattern in ("[Nn]+", "[a-z]+"))
    codes = [{"T": 0, "C": 1, "A": 2, "G": 3}.get(base, 0) for base in bases.upper()] + [0] * (-len(bases) % 4)
    packed = bytes(a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(*(codes[i::4] for i in range(4)), strict=True))
    return struct.pack("<I", len(bases)) + lists + struct.pack("<I", 0) + packed


def _runs(pattern: str, bases: str) -> bytes:
    runs = [match.span() for match in re.finditer(pattern, bases)]
    numbers = [start for start, _ in runs] + [end - start for start, end in runs]
    return struct.pack(f"<I{len(numbers)}I", len(runs), *numbers)
