"""Settings that check themselves: types, choices, ranges, and values that need others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

from model_core.errors import InputError, Problem

_TINY = 1e-12
_SHOWN = 60  # characters of a value in a message
MOST_NUMBER = 1e9  # of settings that are no sizes: far above any unit of a signal, far below what overflows in float32
MOST_NAMES = 1_000  # values of one setting; no study has as many signals
MOST_LETTERS = 1_000  # of one name


class Range(NamedTuple):
    """Lowest and highest allowed value of a number, and the range as text for messages.

    Each range has an upper end that no real model reaches, so that settings from a file of unknown origin cannot ask
    for more memory or time than there is.
    """

    low: float
    high: float
    words: str


def counts(high: int, low: int = 1) -> Range:
    """Return the range of a whole number from `low` to `high`."""
    return Range(low, high, f"{low} to {high:,}")


POSITIVE = Range(_TINY, MOST_NUMBER, f"a number above 0, at most {MOST_NUMBER:.0e}")
NOT_NEGATIVE = Range(0.0, MOST_NUMBER, f"0 or more, at most {MOST_NUMBER:.0e}")
SHARE = Range(_TINY, 1 - _TINY, "a number between 0 and 1")
SHARE_OR_0 = Range(0.0, 1 - _TINY, "0 or more, below 1")
SHARE_OR_1 = Range(_TINY, 1.0, "above 0, at most 1")

_NUMBER = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {  # annotation of a field -> types of its values
    "str": (str,),
    "str | None": (str, type(None)),
    "bool": (bool,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": _NUMBER,
    "tuple[str, ...]": (tuple,),
    "tuple[float, ...]": (tuple,),
    "tuple[float, float]": (tuple,),
}


class Need(NamedTuple):
    """Value of one setting that has an effect only with some values of another setting."""

    name: str
    value: object
    needed: str
    choices: tuple[object, ...]


@dataclass(frozen=True)
class Settings:
    """Base of groups of settings: frozen, and checked when created by the rules of each group.

    Raises
    ------
    InputError
        A value of the wrong type, none of the choices, out of range, or without an effect because of another setting.
        `found` names the setting as PREFIX.name.
    """

    WHERE: ClassVar[str] = "model settings"  # `where` of the errors
    PREFIX: ClassVar[str] = ""  # path of the group within the whole
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    RANGES: ClassVar[Mapping[str, Range]] = {}  # of a tuple every number must lie within
    NEEDS: ClassVar[tuple[Need, ...]] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # lists, as JSON and TOML have them, become tuples
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        for problem in self.problems():
            raise InputError.of(problem)

    @classmethod
    def path(cls, name: str) -> str:
        """Return a setting's name within the whole, such as `prior.scale`."""
        return f"{cls.PREFIX}.{name}" if cls.PREFIX else name

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of the values; later checks rely on those before them."""
        yield from self._type_problems()
        yield from self._choice_problems()
        yield from self._range_problems()
        yield from self._need_problems()

    def _type_problems(self) -> Iterator[Problem]:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not fits(value, field):
                yield self._problem(f"{self.path(field.name)} = {shown(value)}", f"a value of type {field.type}")
            elif _too_long(value):
                expected = f"at most {MOST_NAMES:,} values, and {MOST_LETTERS:,} letters each"
                yield self._problem(f"{self.path(field.name)} = {shown(value)}", expected)

    def _choice_problems(self) -> Iterator[Problem]:
        for name, choices in self.CHOICES.items():
            if getattr(self, name) not in choices:
                found = f"{self.path(name)} {shown(getattr(self, name))}"
                yield self._problem(found, f"one of {', '.join(choices)}")

    def _range_problems(self) -> Iterator[Problem]:
        for name, (low, high, words) in self.RANGES.items():
            values = getattr(self, name)
            for value in values if isinstance(values, tuple) else (values,):
                if value is not None and not low <= value <= high:
                    number = f"{value:g}" if isinstance(value, float) else shown(value)
                    yield self._problem(f"{self.path(name)} = {number}", words)

    def _need_problems(self) -> Iterator[Problem]:
        for name, value, needed, choices in self.NEEDS:
            have = attrgetter(needed)(self)
            if attrgetter(name)(self) == value and have not in choices:
                setting, other = f"{self.path(name)} = {_word(value)}", self.path(needed)
                expected = f"{other} = {' or '.join(map(_word, choices))} where {setting}"
                yield self._problem(f"{setting} with {other} = {_word(have)}", expected, "change one of the two")

    def _problem(self, found: str, expected: str, fix: str = "correct it") -> Problem:
        return Problem(self.WHERE, found=found, expected=expected, fix=fix)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values, a table for each group."""
        return dataclasses.asdict(self)


def fits(value: object, field: dataclasses.Field) -> bool:
    """Return whether a value has a field's type; a list counts as a tuple, and True and False are no numbers."""
    value, annotation = tuple(value) if isinstance(value, list) else value, str(field.type)
    kinds = _TYPES.get(annotation, (type(field.default),))  # another annotation is that of a group
    if isinstance(value, bool) != (kinds == (bool,)) or not isinstance(value, kinds):
        return False
    if not isinstance(value, tuple):
        return True
    elements = (str,) if annotation == "tuple[str, ...]" else _NUMBER
    if annotation == "tuple[float, float]" and len(value) != 2:
        return False
    return all(isinstance(item, elements) and not isinstance(item, bool) for item in value)


def shown(value: object) -> str:
    """Return a value as messages show it: not longer than a line, whatever it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of over 4,300 digits, or a list that is too deep
        text = f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _too_long(value: object) -> bool:
    """Return whether text, or a tuple or its text, is longer than any real one."""
    if isinstance(value, tuple):
        return len(value) > MOST_NAMES or any(map(_too_long, value))
    return isinstance(value, str) and len(value) > MOST_LETTERS


def _word(value: object) -> str:
    """Return a value as a study.toml spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
