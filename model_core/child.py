"""Child processes: their environment, and their end with the process that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

ENDS_WITH = "SEQ2EXP_ENDS_WITH"  # id of the process whose end is to end the child that has this variable
LOOK_SECONDS = 1.0  # between two looks at the parent, where the kernel does not watch it
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def child_environment(ends_with_parent: bool = False) -> dict[str, str]:
    """Return the environment for `python -m model_core...` or `seq2exp_viz...`, with the packages on its path.

    Parameters
    ----------
    ends_with_parent : bool
        Whether the child is to end when this process ends, however it ends; the child calls `follow_parent`.
    """
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return environ | {ENDS_WITH: str(os.getpid())} if ends_with_parent else environ


def follow_parent() -> bool:
    """End this process with its parent, if it was started with `child_environment(ends_with_parent=True)`.

    The variable is removed, so that children of this process are not taken for those of its parent.

    Returns
    -------
    bool
        Whether it was.
    """
    parent = os.environ.pop(ENDS_WITH, "")
    if parent.isdigit():
        end_with(int(parent))
    return parent.isdigit()


def end_with(parent: int, by_kernel: bool = True) -> None:
    """End this process when its parent ends, also where the parent is killed.

    On Linux the kernel sends SIGKILL, also to a stopped process, once the thread that started this process has ended.
    Elsewhere, and where the kernel refuses, a thread looks at the parent every LOOK_SECONDS.

    Parameters
    ----------
    parent : int
        Id of the process that started this one.
    by_kernel : bool
        Whether the kernel is asked.
    """
    if not (by_kernel and _kernel_watches()):
        threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()
    if os.getppid() != parent:  # it had ended before
        os._exit(1)


def end_worker_with(parent: int, worker: int) -> None:
    """End a process that reads windows ahead with its parent: `worker_init_fn` of a DataLoader, with `parent` given."""
    end_with(parent)


def _kernel_watches() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL) == 0
    except (OSError, AttributeError):  # a C library without prctl
        return False


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)
