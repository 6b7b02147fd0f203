"""Files on servers: the same bytes as the file's, from few requests, whatever the server or the disk does."""

import os
import random
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from range_server import serve_ranges

from model_core.errors import InputError
from model_core.remote import remote_file, session, whole_files
from model_core.remote.address import RemotePath, input_path
from model_core.remote.block_store import BLOCK, blocks_folder, shrink, stored
from model_core.remote.remote_file import RemoteFile
from model_core.remote.traffic import TRAFFIC, human
from model_core.remote.whole_files import local_copy
from model_core.signals.file_handles import LazyHandle

CONTENT = random.Random(17).randbytes(10 * BLOCK + 123)


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEQ2EXP_OFFLINE", raising=False)
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)
    whole_files.forget()
    TRAFFIC.clear()
    with serve_ranges({"/a.bin": CONTENT}) as files:
        yield files


def opened(server, path: str = "/a.bin") -> RemoteFile:
    """The file as a new process opens it."""
    return RemoteFile(RemotePath(server.url(path)))


def blocks() -> list[str]:
    return sorted(path.name for path in blocks_folder().glob("*/*") if path.name != "file.json")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("s3://a/b c.bw", "https://a.s3.amazonaws.com/b%20c.bw"),
        ("s3://a.b/c.bw", "https://s3.amazonaws.com/a.b/c.bw"),
        ("hf://u/r/d/x.ckpt", "https://huggingface.co/u/r/resolve/main/d/x.ckpt"),
        ("hf://datasets/u/r@abc/x.zip", "https://huggingface.co/datasets/u/r/resolve/abc/x.zip"),
        ("HTTPS://e.org/f/@@download/f.hic", "https://e.org/f/@@download/f.hic"),
    ],
)
def test_an_address_is_asked_as_an_https_url(address, url, monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert RemotePath(address).url == url
    monkeypatch.setenv("SEQ2EXP_MIRROR", "http://mirror/copies/")
    assert RemotePath(address).url == f"http://mirror/copies/{url.partition('://')[2]}"
    monkeypatch.setenv("HF_ENDPOINT", "http://hub")  # stands for Hugging Face itself, and is not looked for in a mirror
    assert RemotePath(address).url.startswith("http://hub/" if address.startswith("hf:") else "http://mirror/copies/")


@pytest.mark.parametrize("text", ["ftp://a/b", "file:///etc/passwd", "https://u:p@a/b", "https://a/", "hf://a/b"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InputError):
        input_path(text)


def test_ranges_are_those_of_the_file_and_are_kept(server):
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, len(CONTENT)), st.integers(0, 3 * BLOCK)), max_size=4), st.booleans())
    def same(places, anew):
        nonlocal file
        file = opened(server) if anew else file
        ranges = [(start, min(length, len(CONTENT) - start)) for start, length in places]
        assert file.read_many(ranges) == [CONTENT[start : start + length] for start, length in ranges]

    file = opened(server)
    same()
    file.read_at(0, len(CONTENT))
    before = len(server.asked)
    assert opened(server).as_file().read() == CONTENT
    assert len(server.asked) == before + 1  # whether it changed
    with pytest.raises(InputError, match="of a file of"):
        file.read_at(len(CONTENT) - 1, 2)


def test_near_blocks_are_asked_for_together(server):
    file = opened(server)
    server.asked.clear()
    file.read_many([(2 * BLOCK, 10), (3 * BLOCK + 5, 10), (9 * BLOCK, 1)])
    assert [wanted for _, wanted in server.asked] == [
        f"bytes={2 * BLOCK}-{4 * BLOCK - 1}",
        f"bytes={9 * BLOCK}-{10 * BLOCK - 1}",
    ]


@pytest.mark.parametrize("fault", ["429", "500", "503", "cut"])
def test_what_may_pass_is_tried_again(server, fault):
    file = opened(server)
    server.faults["/a.bin"] = [fault, fault]
    assert file.read_at(BLOCK, 5) == CONTENT[BLOCK : BLOCK + 5]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("401", "401"),
        ("403", "netrc"),
        ("404", "check the address"),
        ("429", "busy"),
        ("500", "busy"),
        ("cut", "the transfer ended"),
        ("html", "web page"),
        ("other", "were asked for"),
        ("to ftp://127.0.0.1/a", "no http address"),
        ("to http://10.0.0.1/a", "in its network"),
        ("to http://169.254.169.254/latest", "in its network"),
        ("to http://[::1]/a", "in its network"),
        ("to http://localhost/a", "in its network"),
        ("to /a.bin", "redirects"),
    ],
)
def test_a_fault_is_named_keeps_no_block_and_is_over_when_it_is_over(server, fault, words):
    file = opened(server)
    server.faults["/a.bin"] = fault
    before = blocks()
    with pytest.raises(InputError) as raised:
        file.read_at(BLOCK, 3 * BLOCK)
    assert words in str(raised.value)
    assert str(raised.value).startswith(f"{server.url('/a.bin')}: found 127.0.0.1: ")
    assert blocks() == before
    with pytest.raises(InputError):
        opened(server, "/absent.bin")
    server.faults.clear()
    assert file.read_at(BLOCK, 3 * BLOCK) == CONTENT[BLOCK : 4 * BLOCK]


def test_a_server_without_ranges_is_read_whole_where_the_file_is_small(server, monkeypatch):
    server.faults["/a.bin"] = "whole"
    assert opened(server).read_at(BLOCK, 9) == CONTENT[BLOCK : BLOCK + 9]
    monkeypatch.setattr(remote_file, "WHOLE", 1000)
    with pytest.raises(InputError, match="does not send ranges"):
        opened(server).read_at(5 * BLOCK, 9)


def test_a_file_that_changed_is_read_anew_and_old_and_new_bytes_never_mix(server, capsys):
    old = opened(server)
    old.read_at(0, 3 * BLOCK)
    server.content["/a.bin"] = new = CONTENT[::-1]
    with pytest.raises(InputError, match="another file"):
        old.read_at(2 * BLOCK, 4 * BLOCK)
    assert opened(server).as_file().read() == new
    server.content["/a.bin"] = CONTENT[: 5 * BLOCK]
    assert opened(server).as_file().read() == CONTENT[: 5 * BLOCK]
    assert "changed on the server" in capsys.readouterr().err


def test_a_damaged_block_is_asked_for_again(server):
    file = opened(server)
    file.read_at(0, len(CONTENT))
    for number, path in enumerate(sorted(blocks_folder().glob("*/[0-9]*"))):
        content = bytearray(path.read_bytes())
        content[number] ^= 1
        path.write_bytes(content if number % 2 else content[:-7])
    assert file.read_at(0, len(CONTENT)) == CONTENT


def test_a_disk_that_takes_nothing_does_not_stop_the_reading(server, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file in the folder's place")
    file = opened(server)
    assert file.read_at(BLOCK, BLOCK) == CONTENT[BLOCK : 2 * BLOCK]
    server.asked.clear()
    assert file.read_at(BLOCK, BLOCK) == CONTENT[BLOCK : 2 * BLOCK]
    assert not server.asked


def test_what_was_used_longest_ago_goes_first(server):
    file = opened(server)
    file.read_at(0, len(CONTENT))
    for path in blocks_folder().glob("*/[0-9]*"):
        os.utime(path, (int(path.name), int(path.name)))
    shrink(5 * BLOCK)
    assert sorted(map(int, blocks())) == [6, 7, 8, 9, 10]  # the last one is short
    assert stored()[0].address == server.url("/a.bin")


def test_what_is_kept_is_read_without_a_connection(server, monkeypatch):
    opened(server).read_at(0, BLOCK)
    copy = local_copy(RemotePath(server.url("/a.bin")))
    asked = len(server.asked)
    monkeypatch.setenv("SEQ2EXP_OFFLINE", "1")
    whole_files.forget()
    assert opened(server).read_at(5, 7) == CONTENT[5:12]
    assert local_copy(RemotePath(server.url("/a.bin"))) == copy
    with pytest.raises(InputError, match="no connection"):
        opened(server).read_at(5 * BLOCK, 7)
    assert len(server.asked) == asked


def test_a_server_that_is_gone_leaves_what_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path))
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)
    with serve_ranges({"/a.bin": CONTENT}) as server:
        opened(server).read_at(0, BLOCK)
        copy = local_copy(RemotePath(server.url("/a.bin")))
    whole_files.forget()
    assert opened(server).read_at(5, 7) == CONTENT[5:12]
    assert local_copy(RemotePath(server.url("/a.bin"))) == copy


def test_a_whole_file_is_fetched_once_and_again_where_it_changed(server):
    path = RemotePath(server.url("/a.bin"))
    assert local_copy(path).read_bytes() == CONTENT
    sent = server.sent["/a.bin"]
    whole_files.forget()
    assert local_copy(path).read_bytes() == CONTENT
    assert server.sent["/a.bin"] <= sent + 1
    server.content["/a.bin"] = CONTENT[::-1]
    whole_files.forget()
    assert local_copy(path).read_bytes() == CONTENT[::-1]
    assert [entry.address for entry in whole_files.kept_files()] == [str(path)]


def test_a_whole_file_with_another_checksum_is_not_kept(server):
    with pytest.raises(InputError, match="deleted"):
        local_copy(RemotePath(server.url("/a.bin")), checksum=f"md5:{'0' * 32}")
    assert not whole_files.kept_files()


READ = """
import os, random, sys, threading
from model_core.remote.address import RemotePath
from model_core.remote.remote_file import RemoteFile
content = open(sys.argv[2], "rb").read()
rng, file = random.Random(int(sys.argv[3])), RemoteFile(RemotePath(sys.argv[1]))
if len(sys.argv) > 4:
    threading.Timer(rng.uniform(0, 0.05), os._exit, (9,)).start()
for _ in range(40):
    start = rng.randrange(len(content))
    length = rng.randrange(min(200_000, len(content) - start) + 1)
    assert file.read_at(start, length) == content[start : start + length]
"""


def test_processes_share_the_store_and_one_that_dies_leaves_no_half_block(server, tmp_path):
    (tmp_path / "content").write_bytes(CONTENT)
    words = [sys.executable, "-c", READ, server.url("/a.bin"), str(tmp_path / "content")]
    for kill in (["die"], []):
        running = [subprocess.Popen([*words, str(seed), *kill]) for seed in range(3)]
        assert all(process.wait(60) == (9 if kill else 0) for process in running)
    server.asked.clear()
    assert opened(server).read_at(0, len(CONTENT)) == CONTENT


def test_threads_that_want_the_same_blocks_ask_once(server):
    file = opened(server)
    server.asked.clear()
    server.delay = 0.1
    threads = [threading.Thread(target=file.read_at, args=(BLOCK, 5 * BLOCK)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1


def test_what_is_moved_is_counted(server):
    opened(server).read_at(BLOCK, 1)
    assert TRAFFIC.words() == "131 kB of 655 kB read in 2 requests"
    assert "127.0.0.1" in session.contacted()
    assert [human(n) for n in (5, 999, 1000, 9_440_000, 21e9)] == ["5 bytes", "999 bytes", "1.0 kB", "9.4 MB", "21 GB"]


class Later:
    """A clock that tests turn on."""

    def __init__(self, monkeypatch):
        self.past = 0.0
        monotonic = time.monotonic
        monkeypatch.setattr(remote_file.time, "monotonic", lambda: monotonic() + self.past)

    def __call__(self):
        self.past += remote_file.ASK_AGAIN + 1


@pytest.fixture
def later(monkeypatch):
    return Later(monkeypatch)


def test_a_file_that_stays_open_is_asked_about_again_after_some_time(server, later):
    file = opened(server)
    file.read_at(0, 3 * BLOCK)
    server.asked.clear()
    file.read_at(0, 3 * BLOCK)
    assert server.asked == []
    for _ in range(2):
        later()
        assert [file.read_at(0, 3 * BLOCK) for _ in range(3)] == [CONTENT[: 3 * BLOCK]] * 3
    assert [wanted for _, wanted in server.asked] == ["bytes=0-0"] * 2
    server.content["/a.bin"] = CONTENT[::-1]
    later()
    for _ in range(2):  # for good, also where all that is wanted was kept
        with pytest.raises(remote_file.ChangedError, match="another file"):
            file.read_at(0, 3 * BLOCK)
    assert blocks() == []
    assert opened(server).read_at(0, 9) == CONTENT[::-1][:9]


@pytest.mark.parametrize("fault", ["429", "503", "cut 0", "offline"])
def test_a_server_that_has_no_time_when_it_is_asked_again_ends_no_reading(server, later, fault, monkeypatch):
    file = opened(server)
    file.read_at(0, BLOCK)
    later()
    if fault == "offline":
        monkeypatch.setenv("SEQ2EXP_OFFLINE", "1")
    server.faults["/a.bin"] = fault
    asked = len(server.asked)
    assert file.read_at(0, BLOCK) == CONTENT[:BLOCK]
    assert file.read_at(0, BLOCK) == CONTENT[:BLOCK]
    assert len(server.asked) - asked <= session.ATTEMPTS


def test_a_file_that_is_gone_when_it_is_asked_about_again_is_told(server, later):
    file = opened(server)
    file.read_at(0, BLOCK)
    later()
    server.faults["/a.bin"] = "404"
    with pytest.raises(InputError, match="404"):
        file.read_at(0, BLOCK)


def test_what_was_opened_is_opened_again_after_a_change(server, later):
    path = RemotePath(server.url("/a.bin"))
    handle = LazyHandle(partial(remote_file.open_ranges, path))
    copy, first = local_copy(path), handle.get()
    assert handle.get() is first
    server.content["/a.bin"] = CONTENT[::-1]
    later()
    with pytest.raises(remote_file.ChangedError):
        handle.get().read_at(0, 9)
    assert handle.get().read_at(0, 9) == CONTENT[::-1][:9]
    assert (local_copy(path), copy.read_bytes()) == (copy, CONTENT[::-1])
