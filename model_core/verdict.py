"""The verdict of the self-test (`model_core.model.selftest`) on a GPU, kept in the user's cache.

One file per card, driver, PyTorch and version of the kernels. Plain Python: the viewer reads it without torch, and the
self-test runs on a bare machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from model_core.cache import held_file, user_cache, writable_folder
from model_core.files import write_json
from model_core.listing import files_in

COMMAND = "python -m model_core.model.selftest"
KERNELS = Path(__file__).with_name("model") / "kernels"


class Card(NamedTuple):
    """Card, driver, PyTorch and kernels to which a verdict applies.

    Attributes
    ----------
    name, driver, torch : str
        Name of the card, version of its driver, version of PyTorch.
    kernels : str
        Hash of the source of this project's kernels.
    """

    name: str
    driver: str
    torch: str
    kernels: str


class Verdict(NamedTuple):
    """Result of the self-test on a card.

    Attributes
    ----------
    state : str
        "passed", "failed", "missing" (the self-test was not run) or "damaged" (its file cannot be read).
    date : str
        Day of the self-test, as 2026-11-29; "" where it is not known.
    failed : tuple[str, ...]
        Names of the checks that failed.
    """

    state: Literal["passed", "failed", "missing", "damaged"]
    date: str = ""
    failed: tuple[str, ...] = ()


def kernel_hash() -> str:
    """Return a hash of the source of the kernels, so that a changed kernel needs a new self-test."""
    found = hashlib.sha256()
    for path in files_in(KERNELS, "*.py"):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]


def save_verdict(card: Card, findings: Mapping[str, Any]) -> Path:
    """Write the verdict of a self-test to the user's cache.

    Parameters
    ----------
    card : Card
        The card.
    findings : Mapping[str, Any]
        JSON values of `selftest.smoke`.

    Returns
    -------
    Path
        The file.
    """
    failed = [name for name, check in findings["checks"].items() if not check.get("passed", True)]
    path = writable_folder(_folder(), "the verdict of the self-test") / _file_name(card)
    date = datetime.now(UTC).date().isoformat()
    passed = bool(findings["passed"]) and not failed
    write_json(path, {"card": card._asdict(), "date": date, "passed": passed, "failed": failed, "findings": findings})
    return path


def read_verdict(card: Card) -> Verdict:
    """Return the verdict on a card; a file that cannot be read, or belongs to another card, counts as damaged."""
    path = held_file(_folder(), _file_name(card))
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["card"] != card._asdict() or not isinstance(held["passed"], bool):
            return Verdict("damaged")
        return Verdict("passed" if held["passed"] else "failed", str(held["date"]), tuple(map(str, held["failed"])))
    except FileNotFoundError:
        return Verdict("missing")
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return Verdict("damaged")


def verdict_words(card: Card) -> str:
    """Return the verdict on a card as one sentence for the user."""
    verdict = read_verdict(card)
    where = f"with driver {card.driver} and PyTorch {card.torch}"
    if verdict.state == "passed":
        return f"{card.name}: self-test passed on {verdict.date}."
    if verdict.state == "failed":
        names = ", ".join(verdict.failed)
        return (
            f"{card.name}: self-test failed on {verdict.date} ({names}); its numbers may be wrong. "
            f"Compute on the CPU, or repeat the test: {COMMAND}"
        )
    if verdict.state == "damaged":
        return f"{card.name}: the verdict of its self-test cannot be read. Repeat the test: {COMMAND}"
    return f"{card.name}: not tested {where}. Test it in at most 8 minutes: {COMMAND}"


def _folder() -> Path:
    return user_cache() / "selftest"


def _file_name(card: Card) -> str:
    return hashlib.sha256("\n".join(card).encode()).hexdigest()[:16] + ".json"
