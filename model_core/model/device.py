"""The machine that a model runs on: what it is, and how long and in how much memory it does a thing.

`python -m model_core.model.device` prints the card that a model would run on, as JSON; null without a GPU.
"""

from __future__ import annotations

import ctypes
import json
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch

from model_core.verdict import Card, kernel_hash, read_verdict, verdict_words

DRIVER_FILE = Path("/proc/driver/nvidia/version")
GIB = 2**30


def keep_freed_memory(largest: int = GIB) -> None:
    """Have the C library keep what tensors give back, rather than ask the system for new pages each time.

    Left alone, glibc maps and clears blocks above 32 MB afresh, as one inner tensor of 32,768 bp: a training step
    then takes a third longer, scoring 200 kb a quarter. For the whole process; nothing happens without glibc.

    Parameters
    ----------
    largest : int
        Blocks of so many bytes are still kept.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(-3, largest)  # M_MMAP_THRESHOLD
        library.mallopt(-1, GIB)  # M_TRIM_THRESHOLD


class Machine:
    """One device: waits for it, takes the time and the memory of what runs there."""

    def __init__(self, device: str):
        self.device = torch.device(device)
        self.is_gpu = self.device.type == "cuda"

    def describe(self) -> dict:
        """What a reader of the findings has to know about hardware and versions."""
        found = {
            "device": self.device.type,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
        }
        if self.is_gpu:
            properties = torch.cuda.get_device_properties(self.device)
            found |= {
                "name": properties.name,
                "memory_gib": round(properties.total_memory / GIB, 1),
                "multiprocessors": properties.multi_processor_count,
                "capability": f"{properties.major}.{properties.minor}",
                "cuda": torch.version.cuda,
                "triton": _version_of_triton(),
            }
        return found

    def wait(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def seconds(self, call: Callable, runs: int) -> float:
        """Median time of `call`, after one run that does not count."""
        times = []
        for _ in range(runs + 1):
            self.wait()
            start = time.perf_counter()
            call()
            self.wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])

    def forget_peak(self) -> None:
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_gib(self) -> float:
        """Peak memory since `forget_peak`; on the CPU that of the whole process."""
        if self.is_gpu:
            return torch.cuda.max_memory_allocated(self.device) / GIB
        import resource  # not on every system

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB

    def precision(self, dtype: torch.dtype) -> AbstractContextManager:
        """Under bf16: products in bf16, parameters and the scan's state in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def card_of(device: torch.device) -> Card | None:
    """Return the GPU of a device with the versions that its self-test holds for; None for the CPU."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_properties(device).name
    return Card(name, driver_version(), torch.__version__, kernel_hash())


def driver_version() -> str:
    """Return the version of the NVIDIA driver, such as 550.54.15; "unknown" where nothing says it."""
    try:
        text = DRIVER_FILE.read_text(encoding="utf-8")
    except OSError:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            text = subprocess.run(query, capture_output=True, text=True, timeout=20).stdout
        except (OSError, subprocess.TimeoutExpired):
            text = ""
    found = re.search(r"(?<![\w.])\d{3,}\.\d+(\.\d+)?(?![\w.])", text)
    return found[0] if found else "unknown"


def untested_words(device: torch.device) -> str:
    """Return a sentence where the GPU of a device has not passed its self-test; "" where it has, and for the CPU."""
    card = card_of(device)
    return "" if card is None or read_verdict(card).state == "passed" else verdict_words(card)


def _version_of_triton() -> str | None:
    try:
        import triton
    except ImportError:
        return None
    return triton.__version__


if __name__ == "__main__":
    card = card_of(torch.device("cuda")) if torch.cuda.is_available() else None
    print(json.dumps(card and card._asdict()))
