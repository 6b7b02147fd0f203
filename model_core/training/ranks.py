"""Which program starts the processes of distributed work, and which of them this one is.

Lightning guesses both from whatever stands in the environment: inside a SLURM job, or with LOCAL_RANK left over from
something else, one training would wait for peers that nobody starts. Here torchrun and srun count only where they have
started as many processes as were asked for; otherwise one process is alone, and work on several starts its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

WAIT_SECONDS = 120  # of other processes, for the first one to make the run folder
STARTED_BY = "SEQ2EXP_STARTED_BY"  # in the processes that we start: "how many:process that started them"


def process_number(processes: int = 1, nodes: int = 1) -> int:
    """Return the number of this process among so many, 0 for the first or the only one."""
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
    """Return "torchrun" or "srun" where it has started `size` processes, of which this is one."""
    if size == 1:
        return None
    numbers = {name: environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")}
    if "TORCHELASTIC_RUN_ID" in environ and environ.get("WORLD_SIZE") == str(size):
        return "torchrun" if numbers["RANK"].isdigit() and numbers["LOCAL_RANK"].isdigit() else None
    # Inside a job, but not started by srun, there is no step: the variables are then those of the job alone.
    step = environ.get("SLURM_STEP_NUM_TASKS") == str(size) and environ.get("SLURM_NTASKS") == str(size)
    return "srun" if step and numbers["SLURM_PROCID"].isdigit() else None


def started_by_us(size: int, environ: Mapping[str, str]) -> bool:
    """Whether the process above this one started it as one of so many."""
    mine = environ.get(STARTED_BY) == f"{size}:{os.getppid()}"
    return mine and environ.get("LOCAL_RANK", "").isdigit()


def wait_for_first(path: Path, processes: int = 1, nodes: int = 1) -> None:
    """Wait, unless this is the first process, until the first has made a file; gives up after WAIT_SECONDS."""
    end = time.monotonic() + WAIT_SECONDS
    while process_number(processes, nodes) > 0 and not path.exists() and time.monotonic() < end:
        time.sleep(0.1)
