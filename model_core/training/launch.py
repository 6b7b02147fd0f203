"""The cluster environment for Lightning, as the command states it and not as Lightning guesses it (`ranks`)."""

from __future__ import annotations

import os

from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from model_core.errors import InputError
from model_core.training.ranks import STARTED_BY, started_by_us, starter_of


class OwnProcesses(LightningEnvironment):
    """Environment of processes that Lightning starts itself, or of a single process.

    Parameters
    ----------
    size : int
        Number of processes over all hosts.
    nodes : int
        Number of hosts; on each of several the user starts one process and sets NODE_RANK and MASTER_ADDR.
    """

    def __init__(self, size: int, nodes: int):
        super().__init__()
        self._started, self._nodes = started_by_us(size, os.environ), nodes
        if size > 1 and not self._started:
            os.environ[STARTED_BY] = f"{size}:{os.getpid()}"
        self.set_global_rank(0)  # Lightning has read it from the environment

    @property
    def creates_processes_externally(self) -> bool:
        """Whether this process was started as one of several."""
        return self._started

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
