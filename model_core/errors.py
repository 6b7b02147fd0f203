"""What a user did that cannot work, said in one message; the command line turns it into exit code 2."""


class InputError(ValueError):
    """One clear message for the user: what was found, what was expected, what to do."""


class Problems(InputError):
    """Several problems found in one reading, told together.

    Args:
        problems: one complete message each, in the order found; at least one.
    """

    def __init__(self, problems: list[str]):
        self.problems = list(problems)
        count = f"{len(self.problems)} problems" if len(self.problems) > 1 else "1 problem"
        super().__init__("\n".join([f"{count} found:", *(f"  - {problem}" for problem in self.problems)]))


def complaint(where: object, found: str, expected: str, do: str) -> str:
    """The sentence every message about bad input follows: ``where: found ...; expected ...; do``."""
    return f"{where}: found {found}; expected {expected}; {do}"
