"""Let several processes reach for one lock at the same moment, after all that a dead holder can leave.

    python -m tests.torture.lock_race [--rounds 300] [--writers 6] [--seed 7]

In each round the lock file is missing, of a dead process, of a process that was killed while it held the lock, empty or
damaged. Faults: two writers hold the lock at once, none gets it, an error without words, or files that stay behind.
"""

import argparse
import json
import multiprocessing
import os
import random
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from model_core.errors import InputError
from model_core.lock import Lock

FORK = multiprocessing.get_context("fork")
LEFT = ("nothing", "an older version's holder", "a killed holder", "an empty file", "half a line", "a reused number")


class Race:
    """Writers of one lock, in processes that meet at a barrier before each round.

    Parameters
    ----------
    folder : Path
        An empty folder, for the lock.
    rounds, writers, seed : int
        How many rounds, how many processes, and which leftovers and pauses.
    """

    def __init__(self, folder: Path, rounds: int, writers: int, seed: int):
        self.path, self.rounds, self.writers, self.seed = folder / "lock", rounds, writers, seed
        self._begin, self._end = FORK.Barrier(writers + 1), FORK.Barrier(writers + 1)
        self._holding = FORK.Value("i", 0)
        self._most, self._won = FORK.Array("i", rounds), FORK.Array("i", rounds)
        self._errors = FORK.SimpleQueue()

    def run(self) -> list[str]:
        """Run all rounds and return the faults."""
        rng, left, stayed = random.Random(self.seed), [], []
        processes = [FORK.Process(target=self._writer, args=(number,), daemon=True) for number in range(self.writers)]
        for process in processes:
            process.start()
        for _ in range(self.rounds):
            for path in self.path.parent.iterdir():
                path.unlink()
            left.append(rng.choice(LEFT))
            leave(self.path, left[-1])
            self._begin.wait(60)
            self._end.wait(60)
            stayed += [f"{path.name} stays" for path in self.path.parent.iterdir()]
        for process in processes:
            process.join(60)
        faults = [f"after {left[n]}, {most} hold the lock at once" for n, most in enumerate(self._most) if most > 1]
        faults += [f"after {left[n]}, nobody gets the lock" for n, won in enumerate(self._won) if not won]
        while not self._errors.empty():
            faults.append(self._errors.get())
        return faults + stayed

    def _writer(self, number: int) -> None:
        rng = random.Random(f"{self.seed} {number}")
        for turn in range(self.rounds):
            self._begin.wait(60)
            time.sleep(rng.choice((0, 0, 0.001, 0.002)))
            try:
                with Lock(self.path).held(rng.choice((0.0, 0.0, 0.1))):
                    with self._holding.get_lock():
                        self._holding.value += 1
                        self._most[turn] = max(self._most[turn], self._holding.value)
                        self._won[turn] += 1
                    time.sleep(0.003)
                    with self._holding.get_lock():
                        self._holding.value -= 1
            except InputError:
                pass
            except Exception as problem:  # whatever it is, it is a fault of the lock
                self._errors.put(f"{type(problem).__name__}: {problem}")
            self._end.wait(60)


def leave(path: Path, kind: str) -> None:
    """Leave a lock file as a dead holder would: one of LEFT."""
    if kind == "an older version's holder":
        path.write_text(json.dumps({"pid": _dead_process(), "host": socket.gethostname()}))
    elif kind == "a killed holder":
        _killed(path)
    elif kind == "an empty file":
        path.write_bytes(b"")
    elif kind == "half a line":
        path.write_text('{"pid": 1')
    elif kind == "a reused number":  # the holder was killed, and this process has been given its number since
        _killed(path)
        path.write_text(json.dumps({**json.loads(path.read_text()), "pid": os.getpid()}))


def _dead_process() -> int:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def _killed(path: Path) -> None:
    child = os.fork()
    if not child:
        Lock(path).acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def main() -> None:
    """Read the options, run the race and print what came of it; exit code 1 where there are faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, printed")
    given = parser.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    with tempfile.TemporaryDirectory() as folder:
        faults = Race(Path(folder), given.rounds, given.writers, seed).run()
    print(f"seed {seed}: {given.rounds} rounds of {given.writers} writers, {len(faults)} faults")
    for words, count in Counter(faults).most_common():
        print(f"  {count} times: {words}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
