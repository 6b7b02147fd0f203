"""Errors about input: their fields, their sentence, several at once, and out of another process."""

import pickle

import pytest

from model_core.errors import InputError, Problem, Problems, Unavailable

WRONG = {"found": "3 columns", "expected": "9", "fix": "separate columns by tabs"}


def test_an_error_has_fields_and_one_sentence():
    error = InputError("genes.gtf line 7", **WRONG)
    assert (error.where, error.found, error.expected, error.fix) == ("genes.gtf line 7", *WRONG.values())
    assert str(error) == "genes.gtf line 7: found 3 columns; expected 9; separate columns by tabs"
    assert error.problems == (Problem("genes.gtf line 7", **WRONG),)
    assert str(InputError.of(error.problems[0])) == str(error)


def test_the_same_error_is_told_of_another_place():
    assert str(InputError("line", **WRONG).at("x.gtf line 9")).startswith("x.gtf line 9: found 3 columns; ")


def test_several_problems_are_told_together():
    problems = Problems([Problem("a", **WRONG), Problem("b", **WRONG)])
    assert str(problems).splitlines()[0] == "2 problems found:"
    assert [problem.where for problem in problems.problems] == ["a", "b"]
    assert isinstance(problems, InputError)


def test_what_is_not_there_is_one_sentence():
    assert str(Unavailable("There is no run 'x' here.")) == "There is no run 'x' here."


@pytest.mark.parametrize(
    "error", [InputError("a", **WRONG), Problems([Problem("a", **WRONG)] * 2), Unavailable("Nothing.")], ids=repr
)
def test_an_error_survives_the_way_between_processes(error):
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.problems) == (type(error), str(error), error.problems)
