"""Errors in the user's input; the command line shows the message and exits with code 2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LOGIN = re.compile(  # one / where an address was taken for a path; a password may hold a /, a port is a number
    r"""\b([A-Za-z][A-Za-z0-9+.-]+:/{1,2}) (?: [^/\s@:]*:(?!\d*(?:[/\s'"?]|$))[^\s@]* | [^/\s@]+ )@""", re.VERBOSE
)
_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s?]*)\?(?:(?!!/)\S)*")


def without_logins(text: str) -> str:
    """Return a text with *** in place of user names and passwords in addresses, as https://USER:PASSWORD@HOST."""
    return _LOGIN.sub(r"\1***@", text)


def without_queries(text: str) -> str:
    """Return a text without what follows a "?" in addresses: it may hold a token, which is neither shown nor kept."""
    return _QUERY.sub(r"\1", text)


@dataclass(frozen=True)
class Problem:
    """Problem with an input. Addresses in it lose their user name, password, and what follows a "?" in them.

    Attributes
    ----------
    where : object
        File, setting or option, with the line or key where there is one.
    found : str
        What was found.
    expected : str
        What was expected instead.
    fix : str
        What the user can do.
    """

    where: object
    found: str
    expected: str
    fix: str

    def __post_init__(self) -> None:
        for name in ("where", "found", "expected", "fix"):
            text = str(getattr(self, name))
            if (shown := without_queries(without_logins(text))) != text:
                object.__setattr__(self, name, shown)

    def __str__(self) -> str:
        return without_logins(f"{self.where}: found {self.found}; expected {self.expected}; {self.fix}")


class InputError(ValueError):
    """Input that cannot be used.

    Parameters
    ----------
    where, found, expected, fix
        As in `Problem`.

    Attributes
    ----------
    problems : tuple[Problem, ...]
        One `Problem`, or all of a `Problems`.
    """

    def __init__(self, where: object, *, found: str, expected: str, fix: str):
        self.problems: tuple[Problem, ...] = (Problem(where, found, expected, fix),)
        super().__init__(str(self.problems[0]))

    where = property(lambda self: self.problems[0].where, doc="`Problem.where` of the first problem.")
    found = property(lambda self: self.problems[0].found, doc="`Problem.found` of the first problem.")
    expected = property(lambda self: self.problems[0].expected, doc="`Problem.expected` of the first problem.")
    fix = property(lambda self: self.problems[0].fix, doc="`Problem.fix` of the first problem.")

    @classmethod
    def of(cls, problem: Problem) -> InputError:
        """Return the error of a problem that was found earlier."""
        return InputError(problem.where, found=problem.found, expected=problem.expected, fix=problem.fix)

    def at(self, where: object) -> InputError:
        """Return the same error at another place, for instance in a file that the user knows by another name."""
        return InputError(where, found=self.found, expected=self.expected, fix=self.fix)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.problems, self.args)


class Problems(InputError):
    """Several problems found in one reading.

    Parameters
    ----------
    problems : Sequence[Problem]
        In the order found; at least one.
    """

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problems" if len(self.problems) > 1 else "1 problem"
        ValueError.__init__(self, "\n".join([f"{count} found:", *(f"  - {problem}" for problem in self.problems)]))


class Unavailable(InputError):
    """Something requested that is not available, in one sentence.

    Parameters
    ----------
    sentence : str
        What is not available and, if possible, what to do.
    """

    def __init__(self, sentence: str):
        self.problems = (Problem("", sentence, "", ""),)
        ValueError.__init__(self, sentence)


def _rebuilt(kind: type[InputError], problems: tuple[Problem, ...], args: tuple[Any, ...]) -> InputError:
    """Rebuild an error from another process."""
    error = kind.__new__(kind)
    error.problems, error.args = problems, args
    return error
