"""One writer at a time: a locked file, which the operating system unlocks when its holder ends, however it ends.

The lock is `flock` on the file; what stands in the file is only for messages. Where the file system has no locks that
all hosts see, or the operating system has no `flock` (Windows), the file itself is the lock: whoever creates it holds
it, and it is taken over only from a holder that is provably dead: on this machine since its last start, and either no
process has its number, or one that started at another time. Tested on Linux only.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from model_core.errors import InputError
from model_core.files import naming, remove_leftovers
from model_core.records import parse_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # every use asks for None first

WAIT_SECONDS = 20.0  # for another writer's file
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_OPTIONS_OF_LOCAL_LOCKS = frozenset({"nolock", "local_lock=all", "local_lock=flock", "localflock"})  # NFS, Lustre
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_BY_FLOCK, _BY_NAME = "flock", "name"  # in the file: how its holder holds it
_LONGEST = 4_096  # bytes of the file that are read
_TRIES = 1_000  # each that fails means that another process has just released the lock
_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """Lock that one writer at a time can hold, among processes, threads and objects.

    A child that a holder forks does not hold it.

    Parameters
    ----------
    path : Path
        The lock file, which exists while the lock is held. One that a killed holder left is taken over.
    """

    def __init__(self, path: Path):
        self.path = path
        self._handle: int | None = None  # of the locked file
        self._by_name = False  # whether the file itself is the lock

    def acquire(self) -> None:
        """Acquire the lock.

        Raises
        ------
        InputError
            Another writer holds it, or something else has its name.
        OSError
            The file cannot be written.
        """
        for _ in range(_TRIES):
            if self._try():
                return
        raise self._refusal({}, "try again, or write to another file system")

    def release(self) -> None:
        """Release the lock, and remove its file."""
        handle, by_name = self._handle, self._by_name
        self._forget()
        try:
            if by_name or (handle is not None and _is_at(handle, self.path)):
                self.path.unlink(missing_ok=True)
        finally:
            if handle is not None:
                os.close(handle)

    @contextmanager
    def held(self, seconds: float = 0.0) -> Iterator[None]:
        """Hold the lock inside the block; wait up to `seconds` for another writer to release it.

        Raises
        ------
        InputError
            Another writer holds it for longer.
        """
        limit = time.monotonic() + seconds
        while True:
            try:
                self.acquire()
                break
            except (InputError, FileNotFoundError):
                if time.monotonic() > limit or not self.path.parent.is_dir():
                    raise
                time.sleep(0.05)
        try:
            yield
        finally:
            self.release()

    def _try(self) -> bool:
        """Acquire the lock, or return False where the file was removed meanwhile, so that another try decides."""
        opened = self._open()
        if opened is None:
            return False
        handle, new = opened
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise self._no_lock_file("something that is no file")
            locked = _flock(handle)
            holder = {} if new else _read(handle)
            if locked is False:
                raise self._refusal(holder, "wait until it has ended")
            if locked and not _is_at(handle, self.path):
                return False
            if not new and _may_live(holder, bool(locked)):
                raise self._refusal(holder, f"wait for it, or delete {self.path.name} if you know that it is dead")
            if not locked and not new:
                self._remove_dead()
                return False
            self._hold(handle, bool(locked))
        finally:
            if self._handle != handle:
                os.close(handle)
        return True

    def _open(self) -> tuple[int, bool] | None:
        """Return a handle of the file and whether it is new; None where another process has just removed it."""
        try:
            return os.open(self.path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            pass
        try:
            return os.open(self.path, _FLAGS), False
        except FileNotFoundError:
            return None
        except PermissionError:  # a file of another user
            raise self._refusal({}, f"wait for it, or delete {self.path.name} if you know that it is dead") from None
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR):
                raise
            raise self._no_lock_file("a link or a folder") from None

    def _hold(self, handle: int, locked: bool) -> None:
        try:
            with naming(self.path):
                os.ftruncate(handle, 0)
                os.lseek(handle, 0, os.SEEK_SET)
                os.write(handle, json.dumps(_myself(_BY_FLOCK if locked else _BY_NAME)).encode())
        except BaseException:
            with suppress(OSError):
                self.path.unlink()
            raise
        self._by_name = not locked
        if locked:
            self._handle = handle
        _held.add(self)

    def _remove_dead(self) -> None:
        """Remove the file of a dead holder where there are no locks; one process at a time may do so."""
        guard = self.path.with_name(f"{self.path.name}.takeover")
        try:
            os.close(os.open(guard, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            fix = f"try again, or delete {guard.name} if no other process writes here"
            raise self._refusal({}, fix) from None
        try:
            with suppress(FileNotFoundError):
                handle = os.open(self.path, _FLAGS)
                try:
                    dead = not _may_live(_read(handle), False)
                finally:
                    os.close(handle)
                if dead:
                    self.path.unlink()
        finally:
            guard.unlink(missing_ok=True)

    def _forget(self) -> None:
        self._handle, self._by_name = None, False
        _held.discard(self)

    def _refusal(self, holder: Mapping[str, Any], fix: str) -> InputError:
        since = f" since {holder['since']}" if holder.get("since") else ""
        who = f"process {holder.get('pid', '?')} on {holder.get('host', 'another host')}{since}"
        return InputError(self.path, found=f"another writer ({who})", expected="one writer at a time", fix=fix)

    def _no_lock_file(self, found: str) -> InputError:
        return InputError(self.path, found=found, expected="a lock file, or none", fix="remove it")


@contextmanager
def writing_into(folder: Path, below: tuple[str, ...] = (), seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock of a folder, the file `lock` in it, after removing what killed writers left there.

    Parameters
    ----------
    folder : Path
        An existing folder in which files are only written under this lock.
    below : tuple[str, ...]
        Its subfolders that are written under the same lock, and tidied too.
    seconds : float
        How long to wait for another writer.

    Raises
    ------
    InputError
        Another writer holds the lock for longer.
    """
    with Lock(folder / "lock").held(seconds):
        for place in (folder, *(folder / name for name in below)):
            remove_leftovers(place)
        yield


def _flock(handle: int) -> bool | None:
    """Lock an open file: True, False where another process has locked it, None where locks do not exist."""
    if fcntl is None or _only_local(os.fstat(handle).st_dev):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


@lru_cache(maxsize=16)
def _only_local(device: int) -> bool:
    """Return whether the file system of a device is mounted so that other hosts do not see its locks."""
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(" ")
            if len(fields) > 6 and fields[2] == number:
                return not _OPTIONS_OF_LOCAL_LOCKS.isdisjoint([*fields[5].split(","), *fields[-1].split(",")])
    return False


def _is_at(handle: int, path: Path) -> bool:
    """Return whether an open file is still the one at a path; opened anew, as NFS may remember an older state."""
    try:
        other = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return False
    try:
        return os.path.samestat(os.fstat(handle), os.fstat(other))
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return False  # removed by another host
    finally:
        os.close(other)


def _read(handle: int) -> dict[str, Any]:
    """Return what a holder wrote into the file; empty where it is being written, or is no JSON object."""
    with suppress(OSError, ValueError):
        os.lseek(handle, 0, os.SEEK_SET)
        holder = parse_json(os.read(handle, _LONGEST))
        if isinstance(holder, dict):
            return holder
    return {}


def _myself(by: str) -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    pid = os.getpid()
    return {
        "pid": pid,
        "host": socket.gethostname(),
        "since": since,
        "by": by,
        "machine": _machine(),
        "started": _started(pid),
    }


def _may_live(holder: Mapping[str, Any], locks: bool) -> bool:
    """Return whether the holder that a file names may live, although its file is not locked.

    Parameters
    ----------
    holder : Mapping[str, Any]
        What the file says.
    locks : bool
        Whether the file system has locks: a holder that used one has then ended.
    """
    if "by" not in holder and "pid" in holder:  # an older version, which had no other lock than the file
        return holder.get("host") != socket.gethostname() or not _is_gone(holder["pid"])
    if locks and holder.get("by") != _BY_NAME:
        return False
    if not holder.get("machine") or holder["machine"] != _machine() or holder.get("host") != socket.gethostname():
        return True
    if _is_gone(holder.get("pid")):
        return False
    return holder.get("started") is None or _started(holder["pid"]) in (None, holder["started"])


def _is_gone(pid: Any) -> bool:
    """Return whether certainly no process of this machine has this number."""
    if os.name != "posix" or not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 2**31:
        return False  # Windows ends the process that os.kill asks about
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _started(pid: int) -> int | None:
    """Return when a process started, in clock ticks after the machine did; None where that is not known."""
    with suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])  # what stands before may hold any letters
    return None


def _machine() -> str | None:
    """Return what names this start of this machine, and the space of its process numbers; None where not known."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        spaces = [os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "time")]
        return " ".join([boot, *spaces])
    return None


def _forget_in_child() -> None:
    """Close the locks of the parent in a child: a forked worker would hold them after its parent was killed."""
    for lock in list(_held):
        handle = lock._handle
        lock._forget()
        if handle is not None:
            os.close(handle)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
