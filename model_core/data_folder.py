"""The user's folder for studies and runs that a command keeps without being told where."""

from __future__ import annotations

import os
from pathlib import Path


def user_data() -> Path:
    """Return $SEQ2EXP_DATA, else the folder seq2exp-viz among the user's data (XDG_DATA_HOME)."""
    named = os.environ.get("SEQ2EXP_DATA")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share") / "seq2exp-viz"
