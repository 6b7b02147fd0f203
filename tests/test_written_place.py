"""What writing to a path does to it: links, devices, pipes, folders, full disks and names that are too long."""

import errno
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from model_core.errors import InputError
from model_core.files import naming, remove_leftovers, replacing, write_json, write_text
from model_core.written_place import replaced_file

ROOT = Path(__file__).parents[1]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_of_a_link_the_file_behind_it_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "there").mkdir()
    target, link, chain = tmp_path / "there" / "old.txt", tmp_path / "link.txt", tmp_path / "chain.txt"
    target.write_text("old")
    link.symlink_to("there/old.txt")
    chain.symlink_to(link)
    for path in (link, chain):
        with replacing(path) as temporary:
            assert (temporary.parent, temporary.suffix) == (target.parent, ".txt")
            temporary.write_text(path.name)
        assert path.is_symlink()
        assert target.read_text() == path.name
    assert names(target.parent) == ["old.txt"]


def test_behind_a_link_to_a_missing_file_the_file_is_made(tmp_path):
    (tmp_path / "dangling").symlink_to("new.txt")
    write_text(tmp_path / "dangling", "new")
    assert (tmp_path / "dangling").is_symlink()
    assert (tmp_path / "new.txt").read_text() == "new"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_a_link_to_another_file_system_is_written_there(tmp_path):
    if os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev or not os.access("/dev/shm", os.W_OK):
        pytest.skip("needs a second file system")
    target = Path(f"/dev/shm/seq2exp-test-{os.getpid()}")
    (tmp_path / "link").symlink_to(target)
    try:
        write_text(tmp_path / "link", "there")
        assert target.read_text() == "there"
        assert (tmp_path / "link").is_symlink()
    finally:
        target.unlink(missing_ok=True)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_the_permissions_of_the_file_that_is_replaced_are_kept(tmp_path, mode):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_new_files_have_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "")
        write_json(tmp_path / "b", {})
        with replacing(tmp_path / "c") as temporary:
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))  # as mkstemp, which safetensors uses
    finally:
        os.umask(before)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "abc"} == {0o640}


def test_a_pipe_is_written_into_and_stays(tmp_path):
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, "x" * 200_000)
    reader.join()
    assert found == [b"x" * 200_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def device(path: Path, minor: int) -> Path:
    """A device node of our own: a fault must not replace one of the system."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        path.open("wb").close()
    except OSError:
        pytest.skip("needs the right to make a device")
    return path


def test_a_device_is_written_into_and_stays(tmp_path):
    null, full = device(tmp_path / "null", 3), device(tmp_path / "full", 7)
    (tmp_path / "link").symlink_to("full")
    write_text(null, "gone")
    for path in (full, tmp_path / "link"):
        with pytest.raises(OSError, match="No space left") as caught:
            write_text(path, "gone")
        assert caught.value.filename == str(path)
    assert all(stat.S_ISCHR(path.lstat().st_mode) for path in (null, full))
    assert names(tmp_path) == ["full", "link", "null"]


def test_standard_output_is_written_into_behind_what_it_holds(tmp_path):
    code = "from model_core.files import write_text; print('first'); write_text('/dev/stdout', 'second\\n')"
    log = tmp_path / "log"
    log.write_text("before\n")
    for kind in (log, None):
        with log.open("a") as out:
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, stdout=out if kind else subprocess.PIPE, check=True, text=True
            )
        text = log.read_text() if kind else done.stdout
        assert text == ("before\n" if kind else "") + "first\nsecond\n"
    with log.open("r+") as file:
        write_text(f"/dev/fd/{file.fileno()}", "BEFORE")
    assert log.read_text() == "BEFORE\nfirst\nsecond\n"


def a_socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path))
    return path


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda path: path.mkdir(), "found a folder"),
        (lambda path: path.symlink_to(path.parent), "found a folder"),
        (lambda path: path.symlink_to(path.name), "found a link to itself"),
        (lambda path: path.symlink_to("nowhere/x"), "found a link to .*nowhere/x, in no folder"),
    ],
)
def test_what_is_no_file_is_refused_with_words(tmp_path, made, words):
    path = tmp_path / "out"
    made(path)
    with pytest.raises(InputError, match=words):
        write_text(path, "text")
    assert names(tmp_path) == ["out"]


def test_sockets_long_names_and_files_in_the_place_of_folders_are_refused_with_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_socket(tmp_path / "socket")
    (tmp_path / "file").write_text("old")
    for name, words in {"socket": "a socket", "x" * 300: "too long", "file/x": "in the place of a folder"}.items():
        with pytest.raises(InputError, match=words) as caught:
            replaced_file(tmp_path / name)
        assert len(str(caught.value)) < 500
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("letter", ["x", "\u00e4"])
def test_a_name_as_long_as_file_systems_hold_is_written(tmp_path, letter):
    name = letter * (248 // len(letter.encode())) + ".bigWig"
    with replacing(tmp_path / name) as temporary:
        assert temporary.suffix == ".bigWig"
        temporary.write_text("text")
    assert names(tmp_path) == [name]


@pytest.fixture
def small_files():
    """A limit on the length of files, which acts like a full disk and needs no rights."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_fills_half_way_leaves_the_old_file_and_names_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="file") as caught:
        write_text(path, "x" * 100_000)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def fail_after(size: int, path: Path, words: str) -> None:
    """Fail as a library does that has written some bytes."""
    with replacing(path) as temporary:
        temporary.write_bytes(bytes(size))
        raise RuntimeError(words)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_that_a_library_reports_in_its_own_way_is_told_as_one(tmp_path):
    with pytest.raises(OSError, match="file") as caught:
        fail_after(50_000, tmp_path / "file", "PytorchStreamWriter failed writing file data/3: file write failed")
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "file"))
    assert names(tmp_path) == []


def test_an_error_of_another_kind_stays_what_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="no such luck"):
        fail_after(4, tmp_path / "file", "no such luck")
    with pytest.raises(OSError, match=r"^of a library$"), naming(tmp_path / "file"):
        raise OSError("of a library")
    with pytest.raises(FileNotFoundError) as caught, naming(tmp_path / "file"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")
    assert names(tmp_path) == []


def test_leftovers_of_one_file_are_removed_without_those_of_others(tmp_path):
    for name in (".77.a.txt", ".78.a.txt", ".77.b.txt", ".77.aXtxt", "a.txt"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path, "a.txt")
    assert names(tmp_path) == [".77.aXtxt", ".77.b.txt", "a.txt"]
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a.txt"]
