"""One writer at a time, also when writers are killed, process numbers come again and file systems have no locks."""

import errno
import json
import multiprocessing
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from torture import lock_race
from torture.lock_race import faults, race

import model_core.lock
from model_core.errors import InputError
from model_core.lock import Lock, _machine, _started, writing_into

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc")
HERE = socket.gethostname()
HOLD = """
import sys, time
from pathlib import Path
from model_core.lock import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(params=["flock", "name"])
def way(request, monkeypatch):
    """With the locks of the operating system, and as where there are none."""
    if request.param == "name":
        monkeypatch.setattr(model_core.lock, "fcntl", None)
    return request.param


@pytest.fixture(scope="module")
def dead_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def is_free(path: Path) -> bool:
    try:
        with Lock(path).held():
            return True
    except InputError:
        return False


@pytest.mark.parametrize("by_name", [False, True])
def test_of_processes_that_are_killed_never_two_hold_the_lock(tmp_path, by_name):
    counts = race(tmp_path, 24 if not by_name else 8, seed=1, by_name=by_name)
    assert counts["held"] > 20
    assert counts["killed"] > 2
    assert faults(counts, by_name) == 0, counts


def test_the_race_finds_writers_that_hold_no_lock(tmp_path, monkeypatch):
    class NoLock:
        def __init__(self, path): ...
        def acquire(self): ...
        def release(self): ...

        def held(self, _seconds):
            return nullcontext()

    monkeypatch.setattr(lock_race, "Lock", NoLock)
    assert race(tmp_path, 3, seed=1)["two at once"] > 0


@pytest.mark.nightly
@pytest.mark.parametrize("by_name", [False, True])
def test_of_many_more_never_two_hold_the_lock(tmp_path, by_name):
    seed = secrets.randbelow(10**6)
    counts = race(tmp_path, 500, seed, by_name)
    assert faults(counts, by_name) == 0, f"seed {seed}: {counts}"


def test_a_lock_excludes_threads_and_other_objects_and_names_its_holder(tmp_path, way):
    path = tmp_path / "lock"
    with Lock(path).held():
        stated = json.loads(path.read_text())
        assert (stated["pid"], stated["host"], stated["by"]) == (os.getpid(), HERE, way)
        assert not is_free(path)
        with pytest.raises(InputError, match=rf"another writer \(process {os.getpid()} on {HERE} since 20"):
            Lock(path).acquire()
        found = []
        thread = threading.Thread(target=lambda: found.append(is_free(path)))
        thread.start()
        thread.join()
        assert found == [False]
    assert not path.exists()
    assert is_free(path)
    assert os.listdir(tmp_path) == []


def test_a_lock_is_released_once_and_waited_for(tmp_path, way):
    path, first = tmp_path / "lock", Lock(tmp_path / "lock")
    first.acquire()
    threading.Timer(0.2, first.release).start()
    with Lock(path).held(20):
        first.release()  # a second time: it is not the holder any more
        assert path.exists()
        assert not is_free(path)


def test_a_killed_holder_is_followed_at_once(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"process {holder.pid}"):
            Lock(path).acquire()
        os.kill(holder.pid, signal.SIGSTOP)  # one that is stopped still holds it
        assert not is_free(path)
        holder.kill()
        holder.wait()
    assert is_free(path)


def test_children_that_outlive_a_killed_holder_do_not_hold_its_lock(tmp_path):
    path = tmp_path / "lock"
    code = HOLD.replace("print(", "import os\nif os.fork() == 0:\n    time.sleep(5)\n    os._exit(0)\nprint(")
    with subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        holder.kill()
        holder.wait()
        with Lock(path).held(2):  # the child lives for 5 s, and lets go when it begins
            pass


def test_the_end_of_a_child_does_not_release_the_lock(tmp_path, way):
    path, lock = tmp_path / "lock", Lock(tmp_path / "lock")
    with lock.held():
        child = multiprocessing.get_context("fork").Process(target=lock.release)
        child.start()
        child.join()
        assert path.exists()
        assert not is_free(path)


@pytest.mark.parametrize(
    ("content", "free"),
    [
        ("", True),
        ("no JSON", True),
        ("[]", True),
        ('{"pid": 1, "host": "%s", "by": "flock"}', True),  # a number that came again
        ('{"pid": 1, "host": "elsewhere", "by": "flock"}', True),  # killed on another host
        ('{"pid": 1, "host": "elsewhere", "by": "name"}', False),
        ('{"pid": 1, "host": "%s"}', False),  # of an older version, which may live
        ('{"pid": DEAD, "host": "%s"}', True),
        ('{"pid": 1, "host": "elsewhere"}', False),
        ('{"pid": "x", "host": "%s"}', False),
        ('{"pid": true, "host": "%s"}', False),
        ('{"pid": 99999999999999999999, "host": "%s"}', False),
    ],
)
def test_what_a_lock_file_that_nobody_locks_says_is_judged(tmp_path, dead_pid, content, free):
    path = tmp_path / "lock"
    content = content.replace("%s", HERE).replace("DEAD", str(dead_pid))
    path.write_text(content)
    assert is_free(path) is free
    assert free or path.read_text() == content


def test_without_locks_only_a_provably_dead_holder_is_followed(tmp_path, monkeypatch, dead_pid):
    monkeypatch.setattr(model_core.lock, "fcntl", None)
    path, machine = tmp_path / "lock", _machine()
    me = {"host": HERE, "machine": machine, "by": "name", "pid": os.getpid(), "started": _started(os.getpid())}
    for changes, free in [
        ({}, False),
        ({"pid": dead_pid}, True),
        ({"started": 1}, True),  # the number came again
        ({"started": None}, False),
        ({"pid": dead_pid, "machine": "other"}, False),
        ({"pid": dead_pid, "machine": None}, False),
        ({"pid": dead_pid, "host": "elsewhere"}, False),
        ({"pid": None}, False),
    ]:
        path.write_text(json.dumps({**me, **changes}))
        assert is_free(path) is free, changes
    path.write_text("")  # it may be about to be written
    with pytest.raises(InputError, match="delete lock if you know that it is dead"):
        Lock(path).acquire()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_without_locks_has_the_other_kind(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(model_core.lock.fcntl, "flock", refuse)
    monkeypatch.setattr(os, "link", refuse)  # nor has it hard links
    with Lock(tmp_path / "lock").held():
        assert json.loads((tmp_path / "lock").read_text())["by"] == "name"
        assert not is_free(tmp_path / "lock")
    assert is_free(tmp_path / "lock")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "options", "local"),
    [
        ("nfs", "rw,vers=3,nolock", True),
        ("nfs4", "rw,local_lock=none", False),
        ("nfs", "rw,local_lock=flock", True),
        ("lustre", "rw,flock", False),
        ("lustre", "rw,localflock", True),
        ("ext4", "rw,errors=remount-ro", False),
    ],
)
def test_locks_that_other_hosts_do_not_see_are_not_used(monkeypatch, kind, options, local):
    line = f"36 35 98:0 /a /b rw,noatime master:1 - {kind} server:/x {options}\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"22 27 0:21 / /proc rw - proc proc rw,nolock\n{line}")
    model_core.lock._only_local.cache_clear()
    assert model_core.lock._only_local(os.makedev(98, 0)) is local
    model_core.lock._only_local.cache_clear()


def test_what_is_no_lock_file_is_refused_with_words(tmp_path):
    made = {"folder": Path.mkdir, "pipe": os.mkfifo, "link": lambda path: path.symlink_to("x")}
    for name, make in made.items():
        make(tmp_path / name)
        with pytest.raises(InputError, match="expected a lock file, or none; remove it"):
            Lock(tmp_path / name).acquire()
    assert not (tmp_path / "x").exists()


def test_a_lock_that_cannot_be_written_is_not_held(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(model_core.lock.os, "write", full)
        with pytest.raises(OSError, match="lock"):
            Lock(tmp_path / "lock").acquire()
    assert os.listdir(tmp_path) == []
    assert is_free(tmp_path / "lock")


def test_a_folder_is_tidied_by_who_writes_into_it(tmp_path):
    (tmp_path / "below").mkdir()
    for name in (".1.a", "below/.2.b", "kept"):
        (tmp_path / name).touch()
    with writing_into(tmp_path, ("below", "missing")):
        assert sorted(os.listdir(tmp_path)) == ["below", "kept", "lock"]
        assert os.listdir(tmp_path / "below") == []
        with pytest.raises(InputError, match="another writer"), writing_into(tmp_path, seconds=0):
            pass
