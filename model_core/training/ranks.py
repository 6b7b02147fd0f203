"""Detection of the program that started the processes of distributed work, and of the number of this process.

Lightning guesses both from the environment: inside a SLURM job, or with a LOCAL_RANK that another program has set, a
training would wait for processes that are never started. Here torchrun and srun count only if they have started as
many processes as were requested; otherwise a single process works alone, and several are started by the first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from model_core.child import follow_parent

WAIT_SECONDS = 120  # how long other processes wait for the first one to create the run folder
STARTED_BY = "SEQ2EXP_STARTED_BY"  # set for the processes that we start: "number of processes:id of their parent"


def process_number(processes: int = 1, nodes: int = 1) -> int:
    """Return the number of this process among all, 0 for the first or the only one.

    Parameters
    ----------
    processes, nodes : int
        Number of processes per host, and of hosts.
    """
    follow_parent()  # a process whose starter has ended is none of several any more
    environ, size = os.environ, processes * nodes
    names = {"torchrun": "RANK", "srun": "SLURM_PROCID"}
    starter = starter_of(size, environ)
    if starter is not None:
        return int(environ[names[starter]])
    if size == 1:
        return 0
    host = int(environ.get("NODE_RANK", environ.get("GROUP_RANK", "0"))) if nodes > 1 else 0
    return host * processes + (int(environ["LOCAL_RANK"]) if started_by_us(size, environ) else 0)


def starter_of(size: int, environ: Mapping[str, str]) -> str | None:
    """Return "torchrun" or "srun" if it has started `size` processes of which this is one, else None."""
    if size == 1:
        return None
    numbers = {name: environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")}
    if "TORCHELASTIC_RUN_ID" in environ and environ.get("WORLD_SIZE") == str(size):
        return "torchrun" if numbers["RANK"].isdigit() and numbers["LOCAL_RANK"].isdigit() else None
    # Inside a job, but not started by srun, there is no step: the variables then describe only the job.
    step = environ.get("SLURM_STEP_NUM_TASKS") == str(size) and environ.get("SLURM_NTASKS") == str(size)
    return "srun" if step and numbers["SLURM_PROCID"].isdigit() else None


def started_by_us(size: int, environ: Mapping[str, str]) -> bool:
    """Return whether the parent process has started this one as one of `size`."""
    mine = environ.get(STARTED_BY) == f"{size}:{os.getppid()}"
    return mine and environ.get("LOCAL_RANK", "").isdigit()


def wait_for_first(path: Path, processes: int = 1, nodes: int = 1) -> None:
    """Wait until the first process has written `path`, for at most WAIT_SECONDS; the first process does not wait."""
    end = time.monotonic() + WAIT_SECONDS
    while process_number(processes, nodes) > 0 and not path.exists() and time.monotonic() < end:
        time.sleep(0.1)
