"""Let several processes fight for one lock, after all that a dead holder can leave, while holders are killed.

    python -m tests.torture.lock_race [--rounds 300] [--seed 7] [--by-name]

Each round begins with another kind of lock file: none, that of a dead process of this or an older version, an empty or
damaged one, one with a number that was used again. Faults: two hold the lock at once, an error without words, or a lock
that nobody can get afterwards.
"""

import argparse
import json
import multiprocessing
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import model_core.lock
from model_core.errors import InputError
from model_core.lock import Lock

PROCESSES = 6
SECONDS = 0.04  # for which the processes of a round fight


def race(folder: Path, rounds: int, seed: int, by_name: bool = False) -> Counter:
    """Count what happens in `rounds` rounds: "held", "two at once", "killed", "errors", "still refused".

    Each round begins with another kind of lock file that a dead process left, and some holders are killed. `by_name`:
    as where there are no locks.
    """
    rng, counts = random.Random(seed), Counter[str]()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = {"pid": dead.pid, "host": socket.gethostname()}
    contents = [None, json.dumps(left), json.dumps({**left, "machine": model_core.lock._machine(), "by": "name"})]
    if not by_name:
        contents += ["", '{"pid": 1', json.dumps({**left, "pid": os.getpid(), "by": "flock"})]  # also a reused number
    context = multiprocessing.get_context("fork")
    for number in range(rounds):
        for path in folder.iterdir():
            path.unlink()
        content = contents[number % len(contents)]
        if content is not None:
            (folder / "lock").write_text(content)
        told, tell = os.pipe()
        wait, go = os.pipe()
        fighters = [
            context.Process(target=fight, args=(folder, rng.random(), tell, (wait, go), by_name))
            for _ in range(PROCESSES)
        ]
        for fighter in fighters:
            fighter.start()
        os.close(go)  # they begin together, however long each took to start
        while any(fighter.is_alive() for fighter in fighters):
            time.sleep(rng.uniform(0, SECONDS / 4))
            victim = rng.choice(fighters)
            if rng.random() < 0.2 and victim.is_alive():
                os.kill(victim.pid, signal.SIGKILL)
        counts["killed"] += sum(fighter.exitcode == -signal.SIGKILL for fighter in fighters)
        os.close(wait)
        os.close(tell)
        with os.fdopen(told) as lines:
            counts.update(line.strip() for line in lines)
        try:
            with Lock(folder / "lock").held(1):
                pass
        except InputError:
            counts["still refused"] += 1
    return counts


def fight(folder: Path, seed: float, tell: int, start: tuple[int, int], by_name: bool) -> None:
    """Take the lock again and again, and tell what was found; die while holding it now and then."""
    wait, go = start
    os.close(go)
    os.read(wait, 1)
    rng, end = random.Random(seed), time.monotonic() + SECONDS
    if by_name:
        model_core.lock.fcntl = None
    mine, inside = folder / f"pid.{os.getpid()}", folder / "inside"
    mine.write_text(str(os.getpid()))
    while time.monotonic() < end:
        lock = Lock(folder / "lock")
        try:
            lock.acquire()
        except InputError:
            continue
        except BaseException:
            os.write(tell, b"errors\n")
            raise
        enter(mine, inside, tell)
        os.write(tell, b"held\n")
        time.sleep(rng.uniform(0, 0.004))
        if rng.random() < 0.1:
            os.kill(os.getpid(), signal.SIGKILL)
        inside.unlink(missing_ok=True)  # another took it, where two hold the lock
        lock.release()
        time.sleep(rng.uniform(0, 0.002))


def enter(mine: Path, inside: Path, tell: int) -> None:
    """Link our number to `inside`; tell where a living process has it there."""
    while True:
        try:
            os.link(mine, inside)
            return
        except FileExistsError:
            if not dies_inside(inside):
                os.write(tell, b"two at once\n")
            inside.unlink(missing_ok=True)


def dies_inside(inside: Path) -> bool:
    """Return whether the process named in `inside` is killed there: it loses its lock a moment before it is dead."""
    patience = time.monotonic() + 2
    holder = None
    while time.monotonic() < patience:
        try:
            found = int(inside.read_text())
        except FileNotFoundError:
            return False  # it left, alive
        if holder not in (None, found):
            return False
        holder = found
        if is_dead(holder):
            return True
    return False


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def faults(counts: Counter, by_name: bool) -> int:
    """Return how many counts of `race` are faults; by name, a killed holder may not be known as dead."""
    return counts["two at once"] + counts["errors"] + (0 if by_name else counts["still refused"])


def main() -> None:
    """Read the options, run the race and print what came of it; exit code 1 where there are faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, printed")
    parser.add_argument("--by-name", action="store_true", help="as on a file system without locks")
    given = parser.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    with tempfile.TemporaryDirectory() as folder:
        counts = race(Path(folder), given.rounds, seed, given.by_name)
    print(f"seed {seed}: {given.rounds} rounds of {PROCESSES} writers, {dict(counts)}")
    sys.exit(1 if faults(counts, given.by_name) else 0)


if __name__ == "__main__":
    main()
