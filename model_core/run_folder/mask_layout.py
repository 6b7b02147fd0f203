"""Metadata of masks.zarr: the only layout that this project writes, checked before any chunk is read.

Zarr believes what its zarr.json files say: a changed shape, type or codec reads other numbers or takes any amount of
memory. So everything that decides how a chunk is read is compared with what a run writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from model_core.errors import InputError
from model_core.records import parse_json

_MOST_BYTES = 1 << 20  # of a zarr.json; this project's have about 1 kB
_MOST_ROWS = 1 << 31
_BLOSC_HEADER = 16  # bytes
_FIXED = {  # entries of an array's zarr.json that are the same in every run
    "zarr_format": 3,
    "node_type": "array",
    "data_type": "float16",
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
}
_EMPTY: dict[str, Any] = {
    "attributes": {},
    "storage_transformers": [],
    "dimension_names": None,
}  # entries that may be left out
_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_BLOSC = {"typesize": 2, "cname": "zstd", "clevel": 3, "shuffle": "shuffle", "blocksize": 0}
_CODECS = [_BYTES, {"name": "blosc", "configuration": _BLOSC}]
_CHECKSUM = {"name": "crc32c"}  # of new runs; the last codec, so that it covers every stored byte
# Bits of float16: those of positive numbers grow with them, those of inf, NaN and negative numbers are larger.
_SMALLEST, _ONE, _LARGEST, _SIGN = 0x0001, 0x3C00, 0x7BFF, 0x8000


class StoredArray(NamedTuple):
    """Array of masks.zarr: one float16 row of `width` values for each gene, in a chunk of its own.

    Attributes
    ----------
    name : str
        Its folder.
    width : int
        Values per row.
    fill : float
        What a row holds that was not written; no value that is written equals it.
    lowest, highest : int
        Range of the values' bits, without the sign where it is free.
    signed : bool
        Whether values may be negative.
    allowed : str
        The range in words.
    unchecked : bool
        Whether chunks without a checksum are read, as older versions wrote them.
    """

    name: str
    width: int
    fill: float
    lowest: int
    highest: int
    signed: bool
    allowed: str
    unchecked: bool = False

    def sound(self, values: np.ndarray) -> bool:
        """Return whether all values, float16 (width,), are in the range."""
        bits = values.view(np.uint16) & (_SIGN - 1) if self.signed else values.view(np.uint16)
        return bool(bits.min() >= self.lowest and bits.max() <= self.highest)


def mask_arrays(bins: int) -> tuple[StoredArray, StoredArray]:
    """Return the arrays of every run: alpha and beta of z, before forcing."""
    allowed = "finite and above 0"
    alpha, beta = (
        StoredArray(name, bins, 0.0, _SMALLEST, _LARGEST, False, allowed, unchecked=True) for name in ("alpha", "beta")
    )
    return alpha, beta


def effects_array(members: int, bins: int) -> StoredArray:
    """Return the array of effects of an additive model: of each member in turn, in the unit that the journal states."""
    return StoredArray("effects", members * bins, np.nan, 0, _LARGEST, True, "finite")


def contact_array(bins: int) -> StoredArray:
    """Return the array of contact: share of the window's highest."""
    return StoredArray("contact", bins, np.nan, 0, _ONE, False, "0 to 1")


def check_group(folder: Path) -> None:
    """Check the zarr.json of masks.zarr itself.

    Raises
    ------
    InputError
        It is missing, damaged, or not the group that a run writes.
    """
    path = folder / "zarr.json"
    found = _read(path)
    for name, wanted in (("zarr_format", 3), ("node_type", "group")):
        if not _same(found.get(name), wanted):
            _refuse(path, f"{name} {_words(found.get(name))}", _words(wanted))


def check_array(folder: Path, array: StoredArray) -> bool:
    """Check the zarr.json of an array of masks.zarr; return whether its chunks have checksums.

    Parameters
    ----------
    folder : Path
        Of masks.zarr.
    array : StoredArray
        The array that the run should have.

    Returns
    -------
    bool
        Whether its chunks end with a crc32c of their bytes; those of older runs do not.

    Raises
    ------
    InputError
        It is missing, damaged, or differs from what a run writes.
    """
    path = folder / array.name / "zarr.json"
    found = _read(path)
    shape = found.get("shape")
    rows = shape[0] if isinstance(shape, list) and len(shape) == 2 else None
    if type(rows) is not int or not 0 <= rows < _MOST_ROWS or not _same(shape, [rows, array.width]):
        _refuse(path, f"shape {_words(shape)}", f"(rows, {array.width})")
    grid = {"name": "regular", "configuration": {"chunk_shape": [1, array.width]}}
    fixed = _FIXED | {"fill_value": "NaN" if np.isnan(array.fill) else array.fill, "chunk_grid": grid}
    for name, wanted in fixed.items():
        if not _same(found.get(name), wanted):
            _refuse(path, f"{name} {_words(found.get(name))}", _words(wanted))
    for name, value in found.items():
        if name not in (*fixed, "shape", "codecs") and not _same(value, _EMPTY.get(name, _EMPTY)):
            _refuse(path, f"{name} {_words(value)}", "the entries that a run writes")
    codecs = found.get("codecs")
    codecs = [_without_configuration(codec) for codec in codecs] if isinstance(codecs, list) else codecs
    checksum = _same(codecs, [*_CODECS, _CHECKSUM])
    if not checksum and not (array.unchecked and _same(codecs, _CODECS)):
        last = ", in new runs, crc32c" if array.unchecked else " crc32c"
        _refuse(path, f"codecs {_words(codecs)}", f"bytes, blosc (zstd) and{last}")
    return checksum


def frame_problem(path: Path, width: int) -> str | None:
    """Return what is wrong with the lengths that a chunk without a checksum states, or None.

    A library would believe them. A chunk that is missing has nothing wrong.

    Parameters
    ----------
    path : Path
        File of the chunk.
    width : int
        Values of the chunk, float16.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(_BLOSC_HEADER)
    except FileNotFoundError:
        return None
    if len(header) < _BLOSC_HEADER:
        return f"a chunk of {size} bytes"
    values, stored = (int.from_bytes(header[at : at + 4], "little") for at in (4, 12))
    if values != 2 * width or stored != size:
        return f"a chunk of {size} bytes that states {values} bytes of values in {stored}"
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            _refuse(path, f"{path.stat().st_size:,} bytes", "about 1 kB")
        found = parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        _refuse(path, "no such file", "the metadata of the masks")
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        _refuse(path, f"damaged JSON ({error})", "the metadata of the masks")
    if not isinstance(found, dict):
        _refuse(path, _words(found), "a table of Zarr's metadata")
    return found


def _without_configuration(codec: Any) -> Any:
    """Return a codec without an empty configuration, which a library may write or leave out."""
    if isinstance(codec, dict) and codec.get("configuration") == {}:
        return {name: value for name, value in codec.items() if name != "configuration"}
    return codec


def _same(found: Any, wanted: Any) -> bool:
    """Return whether two JSON values are equal, where True is no 1."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_same(found[name], wanted[name]) for name in wanted)
    return bool(found == wanted)


def _words(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _refuse(path: Path, found: str, expected: str) -> NoReturn:
    raise InputError(path, found=found, expected=expected, fix="copy masks.zarr again, or score into a new run")
