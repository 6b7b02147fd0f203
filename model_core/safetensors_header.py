"""Header of a safetensors file, checked against the file's length before any library or tensor is touched.

The format: 8 bytes with the header's length, the header as JSON (name -> dtype, shape, offsets), then the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from model_core.errors import InputError
from model_core.records import parse_json

MOST_HEADER = 2 << 20  # bytes; 1,000 tensors and our settings take 120 kB
_BITS = {"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16}
_BITS |= {"I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8}
_MOST_DIMENSIONS = 8
_METADATA = "__metadata__"


class StoredArray(NamedTuple):
    """Tensor that a header describes: the format's name of its type, and its shape."""

    dtype: str
    shape: tuple[int, ...]


class Header(NamedTuple):
    """Header of a file: text by name, and tensors by name."""

    metadata: dict[str, str]
    tensors: dict[str, StoredArray]


def read_header(path: str | Path) -> Header:
    """Read and check the header of a safetensors file.

    Raises
    ------
    InputError
        The file is missing, its header is too long, no header, or does not describe each byte after it once.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                _refuse(path, f"a header of {length:,} bytes in a file of {size:,}")
            if length > MOST_HEADER:
                _refuse(path, f"a header of {length:,} bytes, more than {MOST_HEADER:,}")
            stated = parse_json(file.read(length))
    except OSError as error:
        _refuse(path, error.strerror or type(error).__name__)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        _refuse(path, f"a header that is no JSON ({str(error)[:100]})")
    if not isinstance(stated, dict):
        _refuse(path, f"a header that is a {type(stated).__name__}")
    metadata = stated.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        _refuse(path, f"{_METADATA} that is no table of text")
    _check_places(path, stated, size - 8 - length)
    return Header(metadata, {name: StoredArray(x["dtype"], tuple(x["shape"])) for name, x in stated.items()})


def _check_places(path: Path, stated: Mapping[str, Any], length: int) -> None:
    """Check that the tensors fill the `length` bytes after the header, one after the other."""
    places = []
    for name, described in stated.items():
        shown = repr(name[:60])
        if not isinstance(described, dict) or described.keys() != {"dtype", "shape", "data_offsets"}:
            _refuse(path, f"{shown} without dtype, shape and data_offsets")
        dtype, shape, offsets = (described[key] for key in ("dtype", "shape", "data_offsets"))
        if not isinstance(dtype, str) or dtype not in _BITS:
            _refuse(path, f"{shown} of type {str(dtype)[:20]!r}")
        if not _counts(shape) or len(shape) > _MOST_DIMENSIONS or not _counts(offsets) or len(offsets) != 2:
            _refuse(path, f"{shown} with a shape or offsets that are no whole numbers")
        if math.prod(shape) * _BITS[dtype] != 8 * (offsets[1] - offsets[0]):
            _refuse(path, f"{shown} of shape {tuple(shape)} in {offsets[1] - offsets[0]:,} bytes")
        places.append((offsets[0], offsets[1]))
    end = 0
    for start, stop in sorted(places):
        if start != end:
            _refuse(path, f"tensors that overlap or leave a gap at byte {min(start, end):,}")
        end = stop
    if end != length:
        _refuse(path, f"tensors of {end:,} bytes in a file that holds {length:,}")


def _counts(values: Any) -> bool:
    """Return whether a JSON value is a list of whole numbers from 0 on that fit into 64 bits."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def _refuse(path: Path, found: str) -> NoReturn:
    raise InputError(path, found=found, expected="a safetensors checkpoint", fix="copy it again")
