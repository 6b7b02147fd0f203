"""How often this process has found that a file changed on its server: what was opened before is opened again then."""

from __future__ import annotations

_noted = 0


def note() -> None:
    """Note one change."""
    global _noted
    _noted += 1


def count() -> int:
    """Return the number of changes that were noted."""
    return _noted
