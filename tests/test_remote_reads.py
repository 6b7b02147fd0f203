"""Requests that wait for files on other servers: how long, how many at once, and what they are told."""

import threading
import time

import pytest

from model_core.errors import InputError
from seq2exp_viz.serving import remote_reads
from seq2exp_viz.serving.remote_reads import ComeAgain, RemoteReads


class Host:
    """A host whose reads end when it is told; it counts them."""

    def __init__(self):
        self.answers, self.asked, self.most, self.now = threading.Event(), 0, 0, 0
        self.lock = threading.Lock()

    def read(self) -> str:
        with self.lock:
            self.asked, self.now = self.asked + 1, self.now + 1
            self.most = max(self.most, self.now)
        self.answers.wait(20)
        with self.lock:
            self.now -= 1
        return "bytes"


def told(reads: RemoteReads, host: str, key: object, read) -> int | str:
    """What a request gets: the value, or the status of a refusal."""
    try:
        return reads.get(host, key, read)
    except ComeAgain as problem:
        return problem.status


def test_a_request_gets_the_value_and_the_problem_of_its_read():
    reads = RemoteReads()
    assert reads.get("a", 1, lambda: 7) == 7

    def fails():
        raise InputError("a", found="nothing", expected="a file", fix="look")

    with pytest.raises(InputError, match="nothing"):
        reads.get("a", 2, fails)


def test_a_read_that_takes_long_goes_on_and_the_next_request_for_it_gets_its_bytes():
    reads, host = RemoteReads(seconds=0.05), Host()
    assert told(reads, "slow", "key", host.read) == 504
    host.answers.set()
    assert told(reads, "slow", "key", host.read) == "bytes"
    assert host.asked == 1


def test_a_host_that_let_a_request_wait_in_vain_is_waited_for_shortly_until_it_answers():
    reads, host = RemoteReads(seconds=0.3, seconds_of_slow=0.01), Host()
    assert told(reads, "dead", 1, host.read) == 504
    assert reads.is_slow("dead")
    began = time.monotonic()
    assert [told(reads, "dead", number, host.read) for number in (2, 3)] == [504, 504]
    assert time.monotonic() - began < 0.25
    assert told(reads, "other", 1, lambda: "at once") == "at once"
    host.answers.set()
    for number in (1, 2, 3):
        assert told(reads, "dead", number, host.read) == "bytes"
    assert not reads.is_slow("dead")


def test_few_requests_wait_at_once_and_few_reads_run_at_one_host(monkeypatch):
    monkeypatch.setattr(remote_reads, "PLACE_SECONDS", 0.01)
    reads, host = RemoteReads(seconds=1.0, most_waiting=2, at_once=3), Host()
    found: list[int | str] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(told(reads, "dead", n, host.read)), daemon=True)
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(map(str, found)) == ["503"] * 4 + ["504"] * 2
    assert host.most == 3  # the others wait for their turn
    host.answers.set()
    for n in range(6):
        assert told(reads, "dead", n, host.read) == "bytes"
    assert host.most == 3


def test_no_more_than_so_many_reads_wait_at_a_dead_host(monkeypatch):
    monkeypatch.setattr(remote_reads, "MOST_READS", 5)
    reads, host = RemoteReads(seconds=0.01, seconds_of_slow=0.001), Host()
    assert [told(reads, "dead", n, host.read) for n in range(7)] == [504] * 5 + [503] * 2
    host.answers.set()


def test_results_that_nobody_comes_for_are_dropped():
    reads, host = RemoteReads(seconds=0.01, seconds_of_slow=0.001), Host()
    for n in range(12):
        told(reads, "host", n, host.read)
    host.answers.set()
    end = time.monotonic() + 10
    while any(not one.ended.is_set() for one in reads._reads.values()) and time.monotonic() < end:
        time.sleep(0.01)
    assert told(reads, "host", "another", host.read) == "bytes"
    assert len(reads._reads) <= remote_reads.MOST_KEPT
