"""Pickles that can only describe data, read with bounds on memory and work.

A pickle is a program. Here it may only build plain containers, numbers and text, and name what a table allows; each of
its instructions and copies counts, so that a small file cannot make a large object or run for long. The unpickler of
the standard library in Python is used, not the one in C: the memo in C is an array, for which a file of a few bytes
can request 60 GB.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, ClassVar, NoReturn

MOST_STEPS = 1_000_000  # instructions and copied elements; a checkpoint of 1,000 tensors takes some 30,000
_AT_ONCE = 1 << 20  # bytes that are read without asking whether the file has so many
_DIGITS = 20  # of an integer in text, which fits into 64 bits; larger ones can be made to collide in a dict
_INTEGER_BYTES = 9  # of an integer in binary
_NOT_DATA = (
    *(pickle.INST, pickle.OBJ, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEWOBJ_EX),
    *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.PERSID, pickle.DUP),
    *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET, pickle.LONG4),
)


class StandIn:
    """Object in place of one that is not made: it keeps its state, which `__setstate__` may check."""

    state: dict[Any, Any]

    def __new__(cls, *_: Any) -> StandIn:  # a pickle may make an object without `__init__`
        made = super().__new__(cls)
        made.state = {}
        return made

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def __setitem__(self, key: Any, value: Any) -> None:
        self.state[key] = value


class DataUnpickler(pickle._Unpickler):
    """Unpickler of a file that can only describe data.

    Parameters
    ----------
    file : BinaryIO
        The pickle, from its present position on.
    size : int
        Position of its end; no more is read, whatever lengths it states.
    """

    stack: list[Any]  # these five are made by the library
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]
    memo: dict[int, Any]
    NAMES: ClassVar[Mapping[str, Any]] = {}  # "MODULE NAME" -> what a pickle may name and call

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._size = file, size
        self._left = MOST_STEPS
        super().__init__(_Reads(file.readline, self._read))
        self.dispatch = _Steps(self.count, self._instructions)  # type: ignore[misc]  # the class has one for all

    def count(self, steps: int) -> None:
        """Take this many of the steps that are left.

        Raises
        ------
        UnpicklingError
            None are left.
        """
        self._left -= steps
        if self._left < 0:
            raise pickle.UnpicklingError(f"more than {MOST_STEPS:,} instructions")

    def copied(self, kind: Callable[[Iterable], Any]) -> Callable[..., Any]:
        """Return a function that makes a container of another one's elements, which count as steps."""

        def copy(items: Any = ()) -> Any:
            if not isinstance(items, (list, tuple, dict, set)):
                raise pickle.UnpicklingError(f"a container of a {type(items).__name__}")
            self.count(len(items))
            return kind(items)

        return copy

    def find_class(self, module: str, name: str) -> Any:
        """Return what the table has for a class or function; refuse any other name."""
        containers = {"dict": dict, "list": list, "set": set}
        if module in ("builtins", "__builtin__") and name in containers:
            return self.copied(containers[name])
        if (module, name) == ("collections", "OrderedDict"):
            return self.copied(collections.OrderedDict)
        if (module, name) == ("collections", "defaultdict"):
            return lambda *_: {}
        known = self.NAMES.get(f"{module} {name}")
        if known is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is neither an array nor a plain container")
        return known

    def load_build(self) -> None:
        """Give a stand-in its state; that of plain containers (`_metadata` of a state_dict) is dropped."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, StandIn):
            target.__setstate__(state)
        elif not isinstance(target, collections.OrderedDict):
            raise pickle.UnpicklingError(f"a state for a {type(target).__name__}")

    def load_bytearray8(self) -> None:
        """Read bytes that are there, where the library's method reserves as many as are stated."""
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def load_text_integer(self) -> None:
        """Read an integer in digits, or one of protocol 0's booleans."""
        text = self.readline()[:-1].rstrip(b"L")
        if len(text) > _DIGITS:
            raise pickle.UnpicklingError(f"an integer of {len(text)} digits")
        self.append({b"00": False, b"01": True}[text] if text in (b"00", b"01") else int(text))

    def load_long1(self) -> None:
        """Read a short integer in binary."""
        length = self.read(1)[0]
        if length > _INTEGER_BYTES:
            raise pickle.UnpicklingError(f"an integer of {length} bytes")
        self.append(pickle.decode_long(self.read(length)))

    def _read(self, size: int) -> bytes:
        if size > _AT_ONCE and size > self._size - self._file.tell():
            raise pickle.UnpicklingError(f"{size:,} bytes are announced, more than the file has")
        return self._file.read(size)

    _instructions: ClassVar[dict[int, Callable]] = {
        **{code: step for code, step in pickle._Unpickler.dispatch.items() if bytes([code]) not in _NOT_DATA},
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        **dict.fromkeys((pickle.INT[0], pickle.LONG[0]), load_text_integer),
        pickle.LONG1[0]: load_long1,
    }


class _Reads:
    """What an unpickler needs of a file."""

    def __init__(self, readline: Callable[[], bytes], read: Callable[[int], bytes]):
        self.readline, self.read = readline, read


class _Steps(dict):
    """Instructions of an unpickler by code, each of which is counted when it is looked up."""

    def __init__(self, count: Callable[[int], None], steps: Mapping[int, Callable]):
        super().__init__(steps)
        self._count = count

    def __getitem__(self, code: int) -> Callable:
        self._count(1)
        return super().__getitem__(code)

    def __missing__(self, code: int) -> NoReturn:
        raise pickle.UnpicklingError(f"an instruction ({code}) that data do not need")
