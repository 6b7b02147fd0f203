"""Scoring of one run on several processes: each scores its share into a part, and the first merges the parts."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from model_core.cache import notice
from model_core.errors import InputError
from model_core.files import remove_leftovers
from model_core.intervals import listed
from model_core.listing import all_in, folders_in
from model_core.lock import Lock
from model_core.model.checkpoint import choose_device
from model_core.run_folder.run import MEANING, Run

_PARTS = "parts"  # folder in the run; each process of a scoring on several writes a run of its own there
_FILES_OF_A_PART = (  # the manifest first: a part without it holds no genes
    *("manifest.json", "scores.jsonl", "study.json", "config.json", "chrom.sizes", "blacklist.bed", "lock"),
)
_ORPHAN_MAY_WRITE = 10.0  # seconds
_AT_ONCE = 256  # genes that are merged into the run together
_SHARES_MAY_DIFFER = timedelta(days=7)  # how long a process that is done waits for the others


class ProcessGroup:
    """Group of the processes that score together, started by Lightning (torchrun and SLURM are recognised).

    Parameters
    ----------
    processes, nodes : int
        GPUs (on the CPU: processes) per host, and hosts (`ranks`). For a single process nothing is started.
    device : str or None
        As in `choose_device`.

    Raises
    ------
    InputError
        The device has a number, and there are several processes.
    """

    def __init__(self, processes: int = 1, nodes: int = 1, device: str | None = None):
        self.size, self.rank, self.device = processes * nodes, 0, choose_device(device)
        self._fabric: Any = None
        if self.size == 1:
            return
        if self.device.index is not None:
            found = f"device {device} for {self.size} processes"
            raise InputError(
                "scoring", found=found, expected="cpu or cuda, each process uses its own", fix="omit the number"
            )
        from lightning.fabric import Fabric
        from lightning.fabric.strategies import DDPStrategy

        for name in ("lightning.fabric", "lightning.pytorch"):  # its banner does not help our users
            logging.getLogger(name).setLevel(logging.ERROR)
        # The processes only wait for each other, so gloo is sufficient on GPUs too.
        strategy = DDPStrategy(process_group_backend="gloo", timeout=_SHARES_MAY_DIFFER)
        from model_core.training.launch import environment

        plugin = environment(processes, nodes)
        kind = "gpu" if self.device.type == "cuda" else "cpu"
        self._fabric = Fabric(accelerator=kind, devices=processes, num_nodes=nodes, strategy=strategy, plugins=[plugin])
        self._fabric.launch()
        self.rank, self.device = self._fabric.global_rank, self._fabric.device

    @property
    def first(self) -> bool:
        """Whether this is the process that merges and reports."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process has reached this point."""
        if self._fabric is not None:
            self._fabric.barrier()

    def part(self, run: Run) -> Run:
        """Return the run to write to: the run itself for a single process, else a new part of it."""
        if self._fabric is None:
            return run
        meaning = {name: run.manifest[name] for name in MEANING if name != "decision"}
        folder = run.path / _PARTS / str(self.rank)
        return Run.create(folder, chrom_sizes=run.chrom_sizes, decision=run.decision, **meaning)

    def close(self) -> None:
        """Leave the group."""
        if self._fabric is not None and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def merge_parts(run: Run, order: Sequence[str] = ()) -> None:
    """Merge the parts of a run into it and remove them.

    Genes that the run already has are skipped, so an interrupted merge can be repeated.

    Parameters
    ----------
    run : Run
        The run, inside `Run.writing`.
    order : Sequence[str]
        gene_ids in the order that they will have in the run; others follow.

    Raises
    ------
    InputError
        A part is damaged, or a process still writes it.
    """
    folder = run.path / _PARTS
    if not folder.is_dir():
        return
    held: dict[str, Run] = {}
    parts = [path for path in folders_in(folder) if path.name.isdecimal()]
    with ExitStack() as locks:
        for path in parts:  # a process whose parent was killed may still be writing
            locks.enter_context(Lock(path / "lock").held(_ORPHAN_MAY_WRITE))
        for path in parts:
            if (path / "manifest.json").exists():  # else the process was killed before it scored anything
                part = _opened_part(path)
                held |= {gene_id: part for gene_id in sorted(part.scored - run.scored)}
        places = {gene_id: place for place, gene_id in enumerate(order)}
        names = sorted(held, key=lambda gene_id: places.get(gene_id, len(places)))
        for first in range(0, len(names), _AT_ONCE):
            run.adopt([(held[gene_id], gene_id) for gene_id in names[first : first + _AT_ONCE]])
        for path in parts:
            _remove_part(path)
    _remove_if_empty(folder)


def _opened_part(path: Path) -> Run:
    try:
        return Run.open(path)
    except InputError as error:
        problem = error.problems[0]
        fix = f"delete {path}: its genes are then scored again"
        raise InputError(problem.where, found=problem.found, expected=problem.expected, fix=fix) from None


def _remove_part(path: Path) -> None:
    """Remove the run folder of a part; what the program does not write there stays."""
    for name in _FILES_OF_A_PART:
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(path / "masks.zarr", ignore_errors=True)
    remove_leftovers(path)
    _remove_if_empty(path)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        others = [path.name for path in all_in(folder) if not path.name.isdecimal()]
        if others:  # else a part of which that was told
            notice(str(folder), f"{folder} is kept, for it holds {listed(others)}, which this program did not write.")
