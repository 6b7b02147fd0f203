"""Result of the self-test on the GPU of the model process, found without importing torch into the server."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

from model_core.child import child_environment
from model_core.verdict import Card, verdict_words
from seq2exp_viz.worker.availability import missing_packages

COMMAND = (sys.executable, "-m", "model_core.model.device")
DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))  # NVIDIA, AMD, Windows' subsystem for Linux
SECONDS = 30.0  # to import torch and open the GPU, on a busy machine


@functools.cache
def card_here() -> Card | None:
    """Return the GPU that a model would run on, as a child process reports it; None where there is none.

    Without a GPU driver on this machine no process is started. The result is cached until this process ends.
    """
    if missing_packages() or not any(path.exists() for path in DRIVERS):
        return None
    try:
        asked = subprocess.run(
            COMMAND, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, env=child_environment()
        )
        found = json.loads(asked.stdout)
        return None if found is None else Card(**found)
    except (OSError, ValueError, TypeError, subprocess.TimeoutExpired):  # the model process reports what is wrong
        return None


def gpu_words() -> str:
    """Return the verdict of the self-test on the GPU of the model, in a sentence; "" where the model uses none."""
    card = card_here()
    return "" if card is None else verdict_words(card)
