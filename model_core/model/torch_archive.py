"""Zip archives as torch.save writes them, described before any tensor is read, with bounds on memory and work.

Such an archive holds a pickle, which names tensors and plain containers, and a file for each storage. torch.save never
compresses; so nothing in an archive can be larger than the file itself. A pickle is read by an unpickler that cannot
run code (`data_pickle`): tensors become `StoredTensor`, a few bytes each, and everything else that it may name is a
plain container or an inert stand-in.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from model_core.data_pickle import DataUnpickler, StandIn
from model_core.errors import InputError

MOST_PICKLE = 8 << 20  # bytes of data.pkl; that of 1,000 tensors with two moments each has some 500 kB
_MOST_DIRECTORY = 4 << 20  # bytes of a zip's directory, some 80 for each storage
_MOST_READ = 4  # times that a whole file is read; tied parameters are stored once and named twice
_SHOWN = 300  # characters of a library's message
_EXPECTED = "a PyTorch checkpoint holding tensors and plain containers"
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}


class Storage(NamedTuple):
    """File of a storage in an archive: its name, the type of its elements and their number."""

    key: str
    dtype: torch.dtype
    elements: int


class StoredTensor(NamedTuple):
    """Tensor that an archive describes; `TorchArchive.tensor` reads it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """Type of the elements."""
        return self.storage.dtype


class _StorageType(NamedTuple):
    dtype: torch.dtype


def _stored_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:
    if not isinstance(storage, Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise pickle.UnpicklingError("a tensor of something else than a storage")
    if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in (*size, *stride, offset)):
        raise pickle.UnpicklingError("a tensor with a negative or inconsistent shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if all(size) and last >= storage.elements:
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
    elements = 1
    for n in size:
        elements *= n
    if elements > storage.elements:
        raise pickle.UnpicklingError(f"a tensor of {elements:,} elements from a storage of {storage.elements:,}")
    return StoredTensor(storage, offset, size, stride)


def _parameter(data: Any, *_: Any) -> Any:
    return data


class _TensorUnpickler(DataUnpickler):
    NAMES: ClassVar[Mapping[str, Any]] = {
        **{f"{module} {kind.__name__}": kind for module in ("__builtin__", "builtins") for kind in (int, float)},
        "__builtin__ long": int,
        "torch._utils _rebuild_tensor_v2": _stored_tensor,
        "torch._utils _rebuild_parameter": _parameter,
    }

    def __init__(self, file: Any, size: int, lengths: Mapping[str, int]):
        super().__init__(file, size)
        self._lengths = lengths  # bytes of each storage by its key

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch", "Size"):
            return self.copied(tuple)
        if module == "torch" and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        if module.split(".")[0] in ("omegaconf", "typing") or module.startswith("pytorch_lightning.utilities"):
            return StandIn
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Storage:
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _StorageType) or not re.fullmatch(r"\d{1,9}", str(key)):
            raise pickle.UnpicklingError("a reference that is not a tensor storage")
        found = self._lengths.get(str(key))
        if found is None or type(count) is not int or found != count * storage.dtype.itemsize:
            raise pickle.UnpicklingError(f"a tensor storage of {found} bytes where {count!r} elements were announced")
        return Storage(str(key), storage.dtype, count)


class TorchArchive:
    """Archive of torch.save, opened and described; a context manager.

    Parameters
    ----------
    path : str or Path
        The file.

    Attributes
    ----------
    content : dict
        What the pickle describes: dicts, lists, numbers, text, `StoredTensor`, and `StandIn` for omegaconf's classes.

    Raises
    ------
    InputError
        The file is missing, not such an archive, damaged, or names anything that could run code.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        with self._as_input_error():
            self._file = _File(self.path, "rb")
            try:
                self._zip = zipfile.ZipFile(self._file)
                self._file.opening = False
                self._members = self._checked_members()
                self.content = self._described()
            except BaseException:
                self._file.close()
                raise
        self._last: tuple[str, bytearray] = "", bytearray()  # the storage read last, and its key
        self._left = _MOST_READ * self.path.stat().st_size

    def __enter__(self) -> TorchArchive:
        return self

    def __exit__(self, *_: Any) -> None:
        self._zip.close()
        self._file.close()

    def tensor(self, stored: StoredTensor) -> Tensor:
        """Read a tensor; the checksum of its storage is compared.

        Raises
        ------
        InputError
            The storage is damaged.
        """
        with self._as_input_error():
            data = self._bytes(stored.storage.key)
            whole = torch.frombuffer(data, dtype=stored.dtype) if data else torch.empty(0, dtype=stored.dtype)
            return whole.as_strided(stored.shape, stored.stride, stored.offset)

    def _bytes(self, key: str) -> bytearray:
        if self._last[0] != key:
            member = self._members[f"data/{key}"]
            self._left -= member.file_size
            if self._left < 0:
                raise pickle.UnpicklingError("tensors that share their storages over and over")
            self._last = key, bytearray(self._zip.read(member))
        return self._last[1]

    def check(self) -> None:
        """Read the whole archive once and compare all checksums.

        Raises
        ------
        InputError
            A part of it is damaged.
        """
        with self._as_input_error():
            if (damaged := self._zip.testzip()) is not None:
                raise pickle.UnpicklingError(f"{damaged} with another checksum than it was written with")

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        """Return the members by their names below the archive's one folder."""
        members = self._zip.infolist()
        roots = [member.filename for member in members if member.filename.endswith("/data.pkl")]
        if len(roots) != 1:
            found = f"a zip file with {len(roots)} data.pkl" if roots else "a zip file without data.pkl"
            raise InputError(self.path, found=found, expected=_EXPECTED, fix="check which file this is")
        folder = roots[0].removesuffix("data.pkl")
        names = {member.filename.removeprefix(folder): member for member in members}
        if len(names) < len(members) or not all(member.filename.startswith(folder) for member in members):
            raise pickle.UnpicklingError("a zip file with files outside its folder, or with two of one name")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
                raise pickle.UnpicklingError(f"{member.filename} compressed, which PyTorch never writes")
        size = self.path.stat().st_size
        if (stated := sum(member.file_size for member in members)) > size:
            raise pickle.UnpicklingError(f"{stated:,} bytes of content in a file of {size:,}")
        if names["data.pkl"].file_size > MOST_PICKLE:
            raise pickle.UnpicklingError(f"a data.pkl of {names['data.pkl'].file_size:,} bytes")
        order = names.get("byteorder")
        if order is not None and (order.file_size > 9 or self._zip.read(order) != b"little"):
            raise pickle.UnpicklingError("another order of bytes than little")
        return names

    def _described(self) -> dict[str, Any]:
        data = self._zip.read(self._members["data.pkl"])
        lengths = {
            name.removeprefix("data/"): member.file_size
            for name, member in self._members.items()
            if name.startswith("data/")
        }
        found = _TensorUnpickler(io.BytesIO(data), len(data), lengths).load()
        if not isinstance(found, dict):
            found = f"a {type(found).__name__}"
            raise InputError(self.path, found=found, expected=_EXPECTED, fix="check which file this is")
        return found

    def _as_input_error(self) -> _AsInputError:
        return _AsInputError(self.path)


class _AsInputError:
    """Context manager that turns whatever a damaged or hostile archive raises into an InputError."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if error is None or isinstance(error, InputError) or not isinstance(error, Exception):
            return
        found, do = str(error)[:_SHOWN] or type(error).__name__, "copy it again; do not use it if you do not trust it"
        expected = _EXPECTED
        if isinstance(error, FileNotFoundError):
            found, do = "no such file", "check the path"
        elif isinstance(error, zipfile.BadZipFile):
            expected = f"{_EXPECTED}, zipped as PyTorch writes it"
            found, do = _not_zipped(self._path, found)
        raise InputError(self._path, found=found, expected=expected, fix=do) from None


class _File(io.FileIO):
    """File that gives a zip's directory only if it is small; each entry takes ten times its bytes in memory."""

    opening = True  # until the directory is read

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = -1 if size is None else size
        if self.opening and wanted > _MOST_DIRECTORY:
            raise zipfile.BadZipFile(f"a directory of {wanted:,} bytes")
        return super().read(wanted) or b""


def _not_zipped(path: Path, message: str) -> tuple[str, str]:
    """Return what a file that is no whole zip archive appears to be, and what to do."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[:2] == b"PK":
        cut = message == "File is not a zip file"
        return "a cut-off zip archive" if cut else f"a damaged zip archive ({message})", "copy or download it again"
    if start[8:9] == b"{":
        return "a safetensors file", "give it the ending .safetensors"
    if start[:1] == b"\x80":
        return "a bare pickle, as PyTorch wrote before 1.6", "save it again with a newer PyTorch; it is not opened here"
    return "no zip archive" if start else "an empty file", "check which file this is"
