"""Files in UCSC's .2bit format: two bits a base, with runs of N and of lower case in the header of each sequence.

The layout is that of https://genome.ucsc.edu/FAQ/FAQformat.html#format7.
"""

import struct

import numpy as np

_CODE = np.zeros(256, np.uint8)
for _number, _pair in enumerate(("Tt", "Cc", "Aa", "Gg")):
    for _letter in _pair:
        _CODE[ord(_letter)] = _number


def two_bit(sequences, version=0, order="<"):
    """The bytes of a file with {name: bases}; bases are text of ACGTN in either case. Version 1 has wide offsets."""
    records = [_record(np.frombuffer(bases.encode(), np.uint8), order) for bases in sequences.values()]
    offset = f"{order}Q" if version else f"{order}I"
    place = 16 + sum(1 + len(name) + struct.calcsize(offset) for name in sequences)
    index = b""
    for name, record in zip(sequences, records, strict=True):
        index += struct.pack("B", len(name)) + name.encode() + struct.pack(offset, place)
        place += len(record)
    return struct.pack(f"{order}4I", 0x1A412743, version, len(sequences), 0) + index + b"".join(records)


def write_two_bit(path, sequences):
    """Write {name: bases}; bases are bytes of ACGTN in either case. Returns the path."""
    path.write_bytes(two_bit({name: bases.decode() for name, bases in sequences.items()}))
    return path


def _record(bases, order):
    codes = np.pad(_CODE[bases], (0, -len(bases) % 4)).reshape(-1, 4)
    packed = codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3]
    unknown = _runs((bases == ord("N")) | (bases == ord("n")), order)
    lower = _runs((bases >= ord("a")) & (bases <= ord("z")), order)
    return struct.pack(f"{order}I", len(bases)) + unknown + lower + struct.pack(f"{order}I", 0) + packed.tobytes()


def _runs(where, order):
    """Count, starts and lengths of the runs of true values."""
    edges = np.flatnonzero(np.diff(where, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    return struct.pack(f"{order}I", len(starts)) + b"".join(
        each.astype(f"{order}u4").tobytes() for each in (starts, ends - starts)
    )
