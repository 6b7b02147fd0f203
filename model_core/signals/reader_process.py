"""Reading of files in a child process with limits, so that a library that crashes on a file ends only that process.

The child is a module of this package, run as `python -m`; it calls `answer`. What it prints are lines of JSON:
{"share": 0 to 1} while it works, finally {"done": ...}, or {"problem": ...} with the words of an InputError.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from model_core.child import child_environment, follow_parent
from model_core.errors import InputError
from model_core.remote.address import InputPath

_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS")
_GIB = 1 << 30


class Limits(NamedTuple):
    """Limits of a child process.

    Attributes
    ----------
    memory : float or None
        GiB of address space beyond what it has at its start.
    cpu : float or None
        Seconds of processor time.
    silence : float or None
        Seconds without a line of the child after which it is ended.
    """

    memory: float | None = None
    cpu: float | None = None
    silence: float | None = None


def ask(
    module: str,
    words: Sequence[object],
    path: InputPath,
    what: str,
    expected: str,
    limits: Limits,
    progress: Callable[[float], None] | None = None,
) -> Any:
    """Let a child process read a file, and return its answer.

    Parameters
    ----------
    module : str
        Module that calls `answer`.
    words : Sequence[object]
        Its arguments.
    path : Path or RemotePath
        The file, for messages.
    what, expected : str
        What the file is, such as "HDF5", and what it should be, for messages.
    limits : Limits
        Its limits.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    Any
        JSON value.

    Raises
    ------
    InputError
        The child said so, crashed, or met a limit.
    """
    command = [sys.executable, "-m", module, json.dumps(limits[:2]), *map(str, words)]
    answered: dict[str, Any] = {}
    late = threading.Event()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command,
            env=child_environment(ends_with_parent=True),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        ) as child,
    ):
        watch = _watch(child, limits.silence, late)
        try:
            for line in child.stdout or ():
                if not line.startswith("{"):
                    continue  # printed by a library
                watch.cancel()
                watch = _watch(child, limits.silence, late)
                answered = json.loads(line)
                if progress is not None and "share" in answered:
                    progress(answered["share"])
            child.wait()
        finally:
            watch.cancel()
            child.kill()
        errors.seek(0)
        last_lines = errors.read().strip().splitlines()
    if "done" in answered:
        return answered["done"]
    if isinstance(answered.get("problem"), dict):
        raise InputError(**answered["problem"])
    fix = "copy or convert it again"
    if late.is_set():
        found = f"a damaged file: reading it did not go on for {limits.silence:g} seconds"
    elif answered.get("problem"):
        found = answered["problem"]
    elif child.returncode < 0:
        found, fix = _killed(-child.returncode, what, fix)
    else:
        reason = last_lines[-1] if last_lines else f"its reader ended with code {child.returncode}"
        found = f"no readable {what} ({reason})"
    raise InputError(path, found=found, expected=expected, fix=fix)


def _watch(child: subprocess.Popen, seconds: float | None, late: threading.Event) -> threading.Timer:
    """Start a timer that kills a child after some seconds; None is never."""

    def end() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(seconds or 0, end)
    timer.daemon = True
    if seconds is not None:
        timer.start()
    return timer


def _killed(number: int, what: str, fix: str) -> tuple[str, str]:
    """Return (found, fix) for a child that a signal ended."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if name in _CRASHES:
        return f"a damaged file: the library that reads it crashed (signal {number})", fix
    if name == "SIGXCPU":
        return "a damaged file: reading it takes too long", fix
    return f"no readable {what} (its reader was ended by {name}, perhaps for want of memory)", "try it again"


def answer(work: Callable[..., Any], arguments: Sequence[str]) -> None:
    """Do the work of a child process within its limits, and print the answer.

    Parameters
    ----------
    work : callable
        Called with the arguments behind the limits; returns a JSON value.
    arguments : Sequence[str]
        As `ask` gives them.
    """
    follow_parent()
    memory, cpu = json.loads(arguments[0])
    _limit(memory, cpu)
    try:
        say(done=work(*arguments[1:]))
    except InputError as error:
        told = {key: getattr(error, key) for key in ("found", "expected", "fix")}
        say(problem={"where": str(error.where), **told})
    except MemoryError:
        say(problem="a damaged file: reading it takes too much memory")


def say(**line: Any) -> None:
    """Print a line for the parent."""
    print(json.dumps(line), flush=True)


def _limit(memory: float | None, cpu: float | None) -> None:
    """Limit this process to so many GiB and seconds more; without effect where the system has no such limits."""
    try:
        import resource  # not on Windows
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if cpu is not None:
        _lower(resource, resource.RLIMIT_CPU, int(cpu + sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 1)
    if memory is not None:
        _lower(resource, resource.RLIMIT_AS, int(memory * _GIB) + _address_space())


def _lower(resource: Any, which: int, value: int) -> None:
    soft, hard = resource.getrlimit(which)
    most = min([limit for limit in (value, soft, hard) if limit != resource.RLIM_INFINITY])
    resource.setrlimit(which, (most, hard))


def _address_space() -> int:
    """Return the bytes of address space of this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * 4096
    except (OSError, ValueError):
        return 0
