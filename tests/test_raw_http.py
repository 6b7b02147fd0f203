"""The real server under attack through sockets: after each attack it answers an honest request."""

import contextlib
import http.client
import os
import random
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_server import Live
from run_builder import make_run

from seq2exp_viz.serving.body_limits import LONGEST_BODY, LONGEST_UPLOAD
from seq2exp_viz.serving.connections import HEADER_SECONDS, LONGEST_HEADER, MOST_CONNECTIONS

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc")
SEED = int(os.environ.get("SEQ2EXP_TEST_SEED", "16"))
SIZE = 300_000_000  # bytes of the big file, which has holes
SECONDS = 10  # for an honest answer on a busy machine; benchmarks/load.py holds 1 second
GET = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n\r\n"


def live(factory, token: str = "") -> Iterator[Live]:
    folder = factory.mktemp("live")
    make_run(folder / "run")
    big = folder / "big.bin"
    with big.open("wb") as file:
        file.write(random.Random(SEED).randbytes(4_000_000))
        file.truncate(SIZE)
    server = Live(folder / "run", big, folder, token)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from live(tmp_path_factory)


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    yield from live(tmp_path_factory, "s3cret")


def asked(server: Live, place: str = "/api/v1/runs") -> int:
    """Status of an honest request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    try:
        connection.request("GET", place)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def connected(server: Live, data: bytes) -> socket.socket:
    """A connection on which some bytes were sent; the server may end it before all were."""
    made = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
    with contextlib.suppress(ConnectionError):
        made.sendall(data)
    return made


def told(made: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    parts = []
    with made, contextlib.suppress(ConnectionError):
        while part := made.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def held(server: Live, data: bytes, count: int) -> Iterator[list[socket.socket]]:
    made = [connected(server, data) for _ in range(count)]
    try:
        yield made
    finally:
        for one in made:
            one.close()


# ---------------------------------------------------------------------------------------------- attacks


def garbage(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice([1, 10, 1_000, 30_000]))


def bad_line(chance: random.Random) -> bytes:
    lines = [b"GET", b"GET  / HTTP/1.1", b"GET / HTTP/9.9", b"GET /\0 HTTP/1.1", b"\0\0\0\0", b"get / http/1.1"]
    lines += [
        b"GET http://[ HTTP/1.1",
        b"GET http://[::1]:x/ HTTP/1.1",
        b"GET * HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\xff / \xff",
    ]
    lines += [
        b"A" * 70_000 + b" / HTTP/1.1",
        b"GET /" + b"a" * 70_000,
        b"GET /%zz%00%ff HTTP/1.1",
        b"CONNECT x:1 HTTP/1.1",
    ]
    lines += [b"GET //evil.example/x HTTP/1.1", b"GET /?" + b"%" * 3_000 + b" HTTP/1.1", b"GET /a\rb HTTP/1.1"]
    return chance.choice(lines) + chance.choice([b"\r\nHost: 127.0.0.1\r\n\r\n", b"\r\n\r\n", b"\n\n", b"\r\n"])


def bad_header(chance: random.Random) -> bytes:
    fields = [
        b": x",
        b"A",
        b"A: \0",
        b"A : b",
        b" folded",
        b"A: b\nC: d",
        b"A: b\r\r",
        b"\xff: \xff",
        b"A" * 10**6 + b": x",
    ]
    fields += [b"Content-Length: -1", b"Content-Length: 5, 5", b"Content-Length: 5\r\nContent-Length: 6", b"Host: evil"]
    fields += [
        b"Content-Length: " + b"9" * 6_000,
        b"Content-Length: 0x5",
        b"Content-Length: +5",
        b"Transfer-Encoding: x",
    ]
    fields += [
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: \x0bchunked",
        b"Expect: 100-continue",
        b"Expect: x",
    ]
    fields += [
        b"Cookie: " + b"\xff" * 50,
        b"Upgrade: websocket\r\nConnection: Upgrade",
        b"Connection: \0",
        b"Range: bytes=0-",
    ]
    fields += [b"\r\n".join(b"A%d: b" % n for n in range(5_000))]
    return b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + chance.choice(fields) + b"\r\n\r\n"


def smuggled(chance: random.Random) -> bytes:
    """Two readings of where the body ends, with a request in the part that is read differently."""
    inner = GET % b"/api/v1/runs?smuggled"
    coding = chance.choice([b"Transfer-Encoding: chunked", b"Transfer-Encoding:chunked", b"transfer-encoding: CHUNKED"])
    size = chance.choice([b"Content-Length: 5", b"Content-Length: %d" % (5 + len(inner)), b"Content-length: 0"])
    both = chance.sample([coding, size], 2)
    version = chance.choice([b"1.1", b"1.0"])
    head = b"POST /test/short HTTP/" + version + b"\r\nHost: 127.0.0.1\r\n" + b"\r\n".join(both) + b"\r\n\r\n"
    return head + b"0\r\n\r\n" + inner


def bad_chunks(chance: random.Random) -> bytes:
    chunks = [
        b"x\r\n",
        b"-1\r\nab\r\n",
        b"5\r\nabcdefgh\r\n0\r\n\r\n",
        b"f" * 5_000 + b"\r\n",
        b"5;" + b"x" * 9_000 + b"\r\nabcde\r\n",
    ]
    chunks += [
        b"0\r\n" + b"T: x\r\n" * 20_000,
        b"5\nabcde\n0\n\n",
        b"1\r\na\r\n" * 10_000,
        b"\0\r\n",
        b"5_0\r\n" + b"a" * 50 + b"\r\n0\r\n\r\n",
    ]
    return POST % (b"/test/short", b"Transfer-Encoding: chunked") + chance.choice(chunks)


def cut_short(chance: random.Random) -> bytes:
    whole = POST % (b"/test/short", b"Content-Length: 1000") + b"x" * 1_000
    return whole[: chance.randrange(len(whole))]


def ahead(chance: random.Random) -> bytes:
    return (GET % chance.choice([b"/api/v1/runs", b"/test/big", b"/", b"/nothing"])) * chance.choice([2, 20, 200])


ATTACKS = (garbage, bad_line, bad_header, smuggled, bad_chunks, cut_short, ahead)


def attack(server: Live, count: int, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(count):
        kind = ATTACKS[number % len(ATTACKS)]
        data = kind(chance)
        made = connected(server, data)
        with contextlib.suppress(OSError):
            made.shutdown(socket.SHUT_WR)
        if kind is ahead and b"/test/big" in data:
            made.close()  # which goes away in the middle of the answer
        else:
            answer = told(made)
            assert len(re.findall(rb"HTTP/1\.\d \d{3} ", answer)) <= 1, (seed, number, kind.__name__, answer[:2_000])
            assert not answer or answer[:7] == b"HTTP/1.", (seed, number, kind.__name__, data[:200])
            assert answer[9:12] in (b"", b"501") or answer[9:10] in b"234", (seed, number, data[:200], answer[:500])
        assert asked(server) == 200, (seed, number, kind.__name__, data[:200])
    assert "Traceback" not in server.log.read_text()


def test_after_each_raw_attack_an_honest_request_is_answered(server):
    attack(server, 200, SEED)


@pytest.mark.nightly
def test_after_each_of_many_raw_attacks_an_honest_request_is_answered(tmp_path_factory):
    for server in live(tmp_path_factory):
        attack(server, 2_000, SEED + 1)


# ---------------------------------------------------------------------------------------------- failures of the program


@pytest.mark.parametrize("kind", ["panic", "exit", "memory", "midst"])
def test_whatever_a_route_raises_ends_its_connection_and_no_thread(server, kind):
    answers = [
        told(
            connected(
                server, (GET % b"/test/fails/%s" % kind.encode()).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            )
        )
        for _ in range(150)
    ]
    starts = {answer[:12] for answer in answers}
    assert starts == {"exit": {b""}, "midst": {b"HTTP/1.1 200"}}.get(kind, {b"HTTP/1.1 500"})
    assert asked(server) == 200
    assert len(server.files()) < 100


def test_a_panic_is_told_in_words_logged_and_closes_a_connection_that_would_be_kept(server):
    answer = told(connected(server, GET % b"/test/fails/panic"))
    assert b"The server failed (Panic); its terminal shows the details." in answer
    assert b"Connection: close" in answer
    assert "Panic: panic" in server.log.read_text()
    for kind in (b"exit", b"midst"):
        told(connected(server, GET % b"/test/fails/%s" % kind))  # returns: the connection ends


# ---------------------------------------------------------------------------------------------- slow clients


@pytest.mark.parametrize("place", [b"/test/big", b"/test/made"])
def test_paused_downloads_hold_no_thread_and_no_memory(server, place):
    with held(server, GET % place, 24) as made:
        assert all(one.recv(12) == b"HTTP/1.1 200" for one in made)
        before = server.memory()  # with what the threads keep of the answers that they made
        with held(server, GET % place, 24) as more:  # of 16 MB each, or 300
            assert all(one.recv(12) == b"HTTP/1.1 200" for one in more)
            began = time.monotonic()
            assert asked(server) == 200
            assert time.monotonic() - began < SECONDS
            assert server.memory() - before < 200_000_000


def test_requests_that_are_sent_ahead_of_a_paused_download_hold_no_thread(server):
    with held(server, (GET % b"/test/big") * 100, 16) as made:
        assert all(one.recv(12) == b"HTTP/1.1 200" for one in made)
        assert asked(server) == 200


def test_of_requests_sent_ahead_the_first_is_answered_and_the_connection_ends(server):
    answer = told(connected(server, (GET % b"/api/v1/runs") * 5))
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    "half",
    [b"", b"GET / HTTP/1.1\r\nHost: x", POST % (b"/test/run/own", b"Content-Length: 1000000") + b"x" * 1_000],
    ids=["silent", "header", "body"],
)
def test_half_requests_keep_nobody_out(server, half):
    with held(server, half, MOST_CONNECTIONS + 60):
        assert asked(server) == 200
        assert len(server.files()) < MOST_CONNECTIONS + 60


@pytest.mark.nightly
def test_a_request_that_takes_too_long_to_arrive_ends_its_connection(server):
    made = connected(server, b"GET / HTTP/1.1\r\n")
    made.settimeout(2)
    began = time.monotonic()
    with made, contextlib.suppress(ConnectionError):
        while time.monotonic() - began < 3 * HEADER_SECONDS:
            made.sendall(b"A: b\r\n")
            with contextlib.suppress(TimeoutError):
                if not made.recv(1):
                    break
    assert HEADER_SECONDS / 2 < time.monotonic() - began < 2 * HEADER_SECONDS


def test_a_slow_reader_gets_every_byte(server):
    made = connected(server, b"GET /test/big HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=1000000-3999999\r\n\r\n")
    whole = random.Random(SEED).randbytes(4_000_000)[1_000_000:]
    head, got = b"", b""
    while b"\r\n\r\n" not in head:
        head += made.recv(1)
    assert head.startswith(b"HTTP/1.1 206 ")
    while len(got) < len(whole):
        got += made.recv(50_000)
        if len(got) < 500_000:
            time.sleep(0.01)
    made.close()
    assert got == whole


def test_a_file_that_is_cut_while_it_is_sent_ends_the_connection(server, tmp_path):
    with held(server, GET % b"/test/big", 1) as (one,):
        assert one.recv(12) == b"HTTP/1.1 200"
        os.truncate(server.big, 4_000_000)
        try:
            assert len(told(one)) < SIZE
        finally:
            os.truncate(server.big, SIZE)
    assert asked(server) == 200


# ---------------------------------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Content-Length: 19000000", b"401"),
        (b"Transfer-Encoding: chunked", b"401"),
        (b"Content-Length: 19000000\r\nExpect: 100-continue", b"401"),
        (b"Content-Length: 9\r\nAuthorization: Bearer s3cret\r\nOrigin: http://evil.example", b"403"),
        (b"Content-Length: 9\r\nAuthorization: Bearer s3cret\r\nSec-Fetch-Site: same-site", b"403"),
        (b"Content-Length: %d\r\nAuthorization: Bearer s3cret" % (LONGEST_UPLOAD + 1), b"413"),
        (b"Content-Length: 90000000000\r\nAuthorization: Bearer s3cret\r\nExpect: 100-continue", b"413"),
    ],
)
def test_who_may_not_ask_is_refused_before_the_body_comes(locked, header, status):
    answer = told(connected(locked, POST % (b"/test/run/own", header)))
    assert answer[9:12] == status
    assert b"100 Continue" not in answer
    assert not [name for name in locked.files() if "(deleted)" in name]  # where waitress keeps long bodies


def test_a_foreign_host_is_refused_before_the_body_comes(server):
    data = (POST % (b"/test/run/own", b"Content-Length: 9000000")).replace(b"127.0.0.1", b"evil.example")
    assert told(connected(server, data))[9:12] == b"403"


@pytest.mark.parametrize("length", [9, LONGEST_BODY, LONGEST_BODY + 1, LONGEST_UPLOAD])
def test_a_track_may_be_longer_than_all_other_bodies(server, length):
    for place, most in ((b"/test/run/own", LONGEST_UPLOAD), (b"/test/short", LONGEST_BODY)):
        made = connected(server, POST % (place, b"Connection: close\r\nContent-Length: %d" % length))
        if length <= most:
            made.sendall(b"x" * length)
        answer = told(made)
        assert answer[9:12] == (b"200" if length <= most else b"413")
        assert answer.endswith(str(length).encode() if length <= most else b"(generated by server)")


def test_a_body_in_chunks_ends_at_the_same_length(server):
    made = connected(server, POST % (b"/test/short", b"Transfer-Encoding: chunked"))
    with contextlib.suppress(ConnectionError):
        for _ in range(LONGEST_BODY // 10_000 + 50):
            made.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
    assert told(made)[9:12] in (b"413", b"")  # the rest of what was sent can make the system drop the answer
    assert asked(server) == 200


def test_a_header_ends_somewhere(server):
    made = connected(server, b"GET / HTTP/1.1\r\nA: " + b"x" * (LONGEST_HEADER + 1))
    assert told(made)[9:12] in (b"431", b"")
