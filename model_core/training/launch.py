"""The cluster environment for Lightning, as the command states it and not as Lightning guesses it (`ranks`)."""

from __future__ import annotations

import os
import subprocess
import sys

import torch
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from model_core.child import child_environment, follow_parent
from model_core.errors import InputError
from model_core.training.other_processes import OtherProcesses
from model_core.training.ranks import STARTED_BY, started_by_us, starter_of


class OwnProcesses(LightningEnvironment):
    """Environment of processes of which the first on each host starts the others, or of a single process.

    Parameters
    ----------
    size : int
        Number of processes over all hosts.
    nodes : int
        Number of hosts; on each of several the user starts one process and sets NODE_RANK and MASTER_ADDR.
    """

    def __init__(self, size: int, nodes: int):
        super().__init__()
        self._started, self._nodes, self._size = started_by_us(size, os.environ), nodes, size
        self.set_global_rank(0)  # Lightning has read it from the environment

    @property
    def creates_processes_externally(self) -> bool:
        """Whether Lightning has to start no process: `start_others` does."""
        return True

    def start_others(self) -> OtherProcesses:
        """Start the other processes of this host, unless this is one of them, and return them."""
        if self._started or self._size == 1:
            return OtherProcesses({}, self._size)
        os.environ |= {"MASTER_ADDR": self.main_address, "MASTER_PORT": str(self.main_port)}
        environ = child_environment(ends_with_parent=True) | {STARTED_BY: f"{self._size}:{os.getpid()}"}
        environ |= {"NODE_RANK": str(self.node_rank()), "WORLD_SIZE": str(self._size)}
        here = self._size // self._nodes
        started = {
            self.node_rank() * here + rank: subprocess.Popen(_this_command(), env=environ | {"LOCAL_RANK": str(rank)})
            for rank in range(1, here)
        }
        if "OMP_NUM_THREADS" not in os.environ:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            torch.set_num_threads(max(1, cores // here))
        return OtherProcesses(started, self._size)

    @property
    def main_address(self) -> str:
        """Address at which the processes meet."""
        return super().main_address if self._started or self._nodes > 1 else "127.0.0.1"

    @property
    def main_port(self) -> int:
        """Port at which the processes meet."""
        if not self._started and self._nodes == 1:
            os.environ.pop("MASTER_PORT", None)  # set by another program, and perhaps in use
        return super().main_port

    def local_rank(self) -> int:
        """Return the number of this process on its host."""
        return super().local_rank() if self._started else 0

    def node_rank(self) -> int:
        """Return the number of this host."""
        return super().node_rank() if self._nodes > 1 else 0


def start_others(surroundings: ClusterEnvironment) -> OtherProcesses:
    """Return the processes of this host that this one has to start, started; none where another program has."""
    return surroundings.start_others() if isinstance(surroundings, OwnProcesses) else OtherProcesses({}, 1)


def _this_command() -> list[str]:
    """Return the command line of this process."""
    module = sys.modules["__main__"].__spec__
    named = [os.path.abspath(sys.argv[0])] if module is None else ["-m", module.name]
    return [sys.executable, *named, *sys.argv[1:]]


def environment(processes: int, nodes: int) -> ClusterEnvironment:
    """Return the cluster environment for Lightning.

    Parameters
    ----------
    processes, nodes : int
        Number of processes per host, and of hosts.

    Raises
    ------
    InputError
        The program srun has started another number of processes.
    """
    follow_parent()
    size = processes * nodes
    starter = starter_of(size, os.environ)
    if starter == "torchrun":
        return TorchElasticEnvironment()
    if starter == "srun":
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(processes))  # Lightning asks for it
        return SLURMEnvironment(auto_requeue=False)
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if size > 1 and tasks not in ("1", str(size)):
        found, do = f"a step of {tasks} tasks", f"srun --ntasks={size} --ntasks-per-node={processes}"
        raise InputError("srun", found=found, expected=f"{size} = --processes x --nodes", fix=do)
    return OwnProcesses(size, nodes)
