"""The machine that a model runs on: its hardware and versions, and the time and memory of a computation.

`python -m model_core.model.device` prints the GPU that a model would run on, as JSON; null without a GPU.
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
    """Make the C library keep freed memory for the next tensor instead of returning it to the system.

    By default glibc maps and clears every block above 32 MB anew (one inner tensor of 32,768 bp is that large): a
    training step then takes a third longer, scoring 200 kb a quarter. The setting holds for the whole process; it has
    no effect without glibc.

    Parameters
    ----------
    largest : int
        Bytes of the largest block that is kept.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(-3, largest)  # M_MMAP_THRESHOLD
        library.mallopt(-1, GIB)  # M_TRIM_THRESHOLD


class Machine:
    """One device, with measurements of the time and the memory of what runs on it."""

    def __init__(self, device: str):
        self.device = torch.device(device)
        self.is_gpu = self.device.type == "cuda"

    def describe(self) -> dict:
        """Return hardware and versions, as JSON values, for the report of a self-test."""
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
        """Return the median seconds of `runs` calls of `call`, after one call that is not counted."""
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
        """Return the peak memory in GiB since `forget_peak`; on the CPU that of the whole process."""
        if self.is_gpu:
            return torch.cuda.max_memory_allocated(self.device) / GIB
        import resource  # not on every system

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB

    def precision(self, dtype: torch.dtype) -> AbstractContextManager:
        """Return a context for computing in `dtype`.

        For bf16: matrix products in bf16, parameters and the scan's state in float32.
        """
        return torch.autocast(self.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def card_of(device: torch.device) -> Card | None:
    """Return the GPU of a device and the versions that its self-test is valid for; None for the CPU."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_properties(device).name
    return Card(name, driver_version(), torch.__version__, kernel_hash())


def driver_version() -> str:
    """Return the version of the NVIDIA driver, such as 550.54.15, or "unknown" where it cannot be found."""
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
    """Return a warning that the GPU of a device has not passed its self-test; "" where it has, and for the CPU."""
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
