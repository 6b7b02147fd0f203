"""Scoring of one run on several processes: each scores its share into a part, and the first merges the parts."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType

import torch
from torch.distributed import DistError, PrefixStore, TCPStore

from model_core.cache import notice
from model_core.errors import InputError
from model_core.files import remove_leftovers
from model_core.intervals import listed
from model_core.listing import all_in, folders_in
from model_core.lock import Lock
from model_core.model.checkpoint import choose_device
from model_core.run_folder.run import FURTHER, MEANING, Run
from model_core.training.other_processes import OtherProcesses
from model_core.training.ranks import process_number

START_SECONDS = 600.0  # until all processes have started; from then on they wait for each other without a limit
_PARTS = "parts"  # folder in the run; each process of a scoring on several writes a run of its own there
_FILES_OF_A_PART = (  # the manifest first: a part without it holds no genes
    *("manifest.json", "scores.jsonl", "study.json", "config.json", "chrom.sizes", "blacklist.bed", "lock"),
)
_ORPHAN_MAY_WRITE = 10.0  # seconds
_AT_ONCE = 256  # genes that are merged into the run together
_TRY_SECONDS = 5.0  # of one attempt to reach the first process
_LOOK_SECONDS = 0.1  # between two looks at whether the others have reached a point
_ENDED_SECONDS = 60.0  # for the gene in hand, where another process has ended
_LEAVE_SECONDS = 10.0  # for the others to see that all have reached the end


class ProcessGroup:
    """Group of the processes that score together: a context manager, inside which they can wait for each other.

    The first process of each host starts the others, unless torchrun or SLURM has (`launch`). They exchange nothing but
    which points they have reached, in a store that the first process keeps. A wait has no limit, because shares may
    take days; it ends with an error where a process has ended.

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
        if self.size > 1 and self.device.index is not None:
            found = f"device {device} for {self.size} processes"
            raise InputError(
                "scoring", found=found, expected="cpu or cuda, each process uses its own", fix="omit the number"
            )
        self._per_host, self._hosts, self._point = processes, nodes, 0
        self._others = OtherProcesses({}, self.size)
        self._store: PrefixStore | None = None
        self._leaving = ExitStack()

    def __enter__(self) -> ProcessGroup:
        if self.size == 1:
            return self
        from model_core.training.launch import environment, start_others  # needs Lightning: seconds, for nothing alone

        surroundings = environment(self._per_host, self._hosts)
        self.rank = process_number(self._per_host, self._hosts)
        if self.device.type == "cuda":
            self.device = torch.device("cuda", surroundings.local_rank())
            torch.cuda.set_device(self.device)
        self._others = start_others(surroundings)
        with ExitStack() as entered:
            entered.enter_context(self._others.together(_ENDED_SECONDS))
            self._store = self._meet(surroundings.main_address, surroundings.main_port)
            self._reach_point(START_SECONDS)
            self._leaving = entered.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.first and self.size > 1:
                self._wait_until_left()
        finally:
            self._store = None
            self._leaving.__exit__(kind, problem, trace)

    @property
    def first(self) -> bool:
        """Whether this is the process that merges and reports."""
        return self.rank == 0

    def check(self) -> None:
        """Raise InputError if a process that this one has started has ended."""
        self._others.check()

    def wait(self) -> None:
        """Wait until every process has reached this point.

        Raises
        ------
        InputError
            One of them has ended.
        """
        if self._store is not None:
            self._reach_point()

    def part(self, run: Run) -> Run:
        """Return the run to write to: the run itself for a single process, else a new part of it."""
        if self._store is None:
            return run
        meaning = {name: run.manifest[name] for name in MEANING if name != "decision"}
        meaning |= {name: run.manifest.get(name) for name in FURTHER}
        folder = run.path / _PARTS / str(self.rank)
        return Run.create(folder, chrom_sizes=run.chrom_sizes, decision=run.decision, **meaning)

    def _meet(self, address: str, port: int) -> PrefixStore:
        """Return the store of the group; short attempts, between which signals are noticed."""
        keeper = self.first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"  # else torchrun keeps it
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                patience = timedelta(seconds=_TRY_SECONDS)
                found = TCPStore(
                    address, port, is_master=keeper, timeout=patience, wait_for_workers=False, multi_tenant=True
                )
                return PrefixStore(f"score-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", found)
            except DistError as problem:
                self.check()
                if time.monotonic() > end:
                    raise self._unreachable(str(problem).splitlines()[0]) from None

    def _reach_point(self, seconds: float | None = None) -> None:
        """Report that this process has reached the next point, and wait until all have, or for `seconds`."""
        assert self._store is not None  # there are several processes
        self._point += 1
        missing = [f"{self._point}/{rank}" for rank in range(self.size)]
        end = None if seconds is None else time.monotonic() + seconds
        try:
            self._store.set(missing[self.rank], "")
            while missing := [name for name in missing if not self._store.check([name])]:
                self.check()
                if end is not None and time.monotonic() > end:
                    ranks = ", ".join(str(int(name.split("/")[1]) + 1) for name in missing)
                    raise self._unreachable(f"no answer from process {ranks} within {seconds:.0f} s")
                time.sleep(_LOOK_SECONDS)
            if not self.first:
                self._store.set(f"left {self._point}/{self.rank}", "")
        except DistError:
            self.check()
            raise self._unreachable("no answer from process 1: it has ended, or its host cannot be reached") from None

    def _wait_until_left(self) -> None:
        """Keep the store until the others have seen that all have reached the last point."""
        names = [f"left {self._point}/{rank}" for rank in range(1, self.size)]
        end = time.monotonic() + _LEAVE_SECONDS
        while self._store is not None and not self._store.check(names) and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)

    def _unreachable(self, found: str) -> InputError:
        return InputError(
            f"the {self.size} processes that score together",
            found=found,
            expected="all to work until the end",
            fix="see why that process ended, then run the same command again to resume",
        )


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
