"""Servers that are hostile or broken: right bytes or one message, nothing wrong is kept, and nothing secret is told."""

import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from range_server import RangeServer, serve_files, serve_ranges

from model_core.errors import InputError, without_queries
from model_core.remote import download, remote_file, session, whole_files
from model_core.remote.address import RemotePath, input_path
from model_core.remote.block_store import BLOCK, stored
from model_core.remote.remote_file import RemoteFile
from model_core.remote.session import RefusedError, UnreachableError
from model_core.remote.whole_files import kept_files, local_copy

CONTENT = random.Random(3).randbytes(3 * BLOCK + 77)
LAST = CONTENT[3 * BLOCK :]
RANGE = f"Content-Range: bytes {3 * BLOCK}-{len(CONTENT) - 1}/{len(CONTENT)}"


def raw(*lines, body=LAST, status="HTTP/1.1 206 Partial Content", length=True):
    """An answer as it goes over the wire."""
    lines = (status, "Connection: close", *lines, *[f"Content-Length: {len(body)}"] * length)
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body):
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.fixture
def server(tmp_path, monkeypatch):
    prepare(tmp_path, monkeypatch)
    with serve_ranges({"/a.bin": CONTENT}) as files:
        files.tags = False
        yield files


class Hurry:
    """Time without pauses."""

    @staticmethod
    def sleep(_seconds):
        pass


def prepare(folder, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(folder / "cache"))
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)
    monkeypatch.setattr(download, "time", Hurry)
    whole_files.forget()
    remote_file.forget()


def kept(folder):
    """All texts that are kept, and the names of their files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(path.read_bytes() + str(path).encode() for path in files if not path.name[0].isdigit())


RIGHT = {
    "HTTP/1.0": raw(RANGE, status="HTTP/1.0 206 OK"),
    "no length, and the connection ends": raw(RANGE, length=False),
    "chunked": raw(RANGE, "Transfer-Encoding: chunked", body=chunked(LAST), length=False),
    "cookies": raw(RANGE, "Set-Cookie: a=b; Path=/", "Set-Cookie: secret=1; Domain=127.0.0.1"),
    "identity": raw(RANGE, "Content-Encoding: identity"),
    "a tag": raw(RANGE, 'ETag: W/"1"'),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_an_odd_answer_with_the_right_bytes_is_taken(server, kind):
    file = RemoteFile(RemotePath(server.url("/a.bin")))
    server.faults["/a.bin"] = [RIGHT[kind]]
    assert file.read_at(3 * BLOCK, len(LAST)) == LAST
    assert file.read_at(0, len(CONTENT)) == CONTENT
    assert not any("cookie" in name.lower() for asked in server.log for name in asked.headers)


WRONG = {
    "no place": (raw(), "in place of a range"),
    "another place": (raw(RANGE.replace("bytes 1", "bytes 2")), "were asked for"),
    "a shorter range": (raw(f"Content-Range: bytes {3 * BLOCK}-{3 * BLOCK + 9}/{len(CONTENT)}"), "were asked for"),
    "two places": (raw(RANGE, RANGE), "in place of a range"),
    "an unknown size": (raw(RANGE.replace(str(len(CONTENT)), "*")), "in place of a range"),
    "another size": (raw(RANGE.replace(f"/{len(CONTENT)}", f"/{len(CONTENT) + 1}")), "another file"),
    "a longer body": (raw(RANGE, body=LAST + b"x"), "more than the 77 bytes"),
    "an endless body": (raw(RANGE, body=LAST * 90_000, length=False), "more than the 77 bytes"),
    "a shorter body": (raw(RANGE, body=LAST[:-1]), "transfer ended"),
    "a broken chunk": (raw(RANGE, "Transfer-Encoding: chunked", body=b"4d\r\nxxx", length=False), "no connection"),
    "several parts": (raw(RANGE, "Content-Type: multipart/byteranges; boundary=x"), "in several parts"),
    "packed": (raw(RANGE, "Content-Encoding: gzip"), "packed"),
    "packed twice": (raw(RANGE, "Content-Encoding: gzip, br"), "packed"),
    "304": (raw(status="HTTP/1.1 304 Not Modified", body=b""), "304 Not Modified in place of"),
    "204": (raw(status="HTTP/1.1 204 None", body=b""), "in place of"),
    "416": (raw("Content-Range: bytes */5", status="HTTP/1.1 416 No", body=b""), "the file ends before"),
    "colours": (raw(status="HTTP/1.1 299 \x1b[31mred", body=b""), "299 ?[31mred"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "no connection"),
    "nothing": (b"", "no connection"),
    "a redirect to nowhere": (raw("Location: http://[::1", status="HTTP/1.1 302 Found", body=b""), "no http address"),
    "a redirect with a name": (raw("Location: //u:p@127.0.0.1/", status="HTTP/1.1 302 Found", body=b""), "user name"),
    "a redirect with an endless body": (
        raw("Location: /a.bin", status="HTTP/1.1 302 Found", body=b"x" * 30_000_000, length=False),
        "more than 5 redirects",
    ),
    "a redirect to a file": (raw("Location: file:///etc/passwd", status="HTTP/1.1 302 F", body=b""), "no http address"),
    "a redirect to itself": (raw("Location: /a.bin", status="HTTP/1.1 308 F", body=b""), "more than 5 redirects"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_answer_is_one_message_and_nothing_of_it_is_kept(server, kind):
    answer, words = WRONG[kind]
    path = RemotePath(server.url("/a.bin"))
    file = RemoteFile(path)
    server.faults["/a.bin"] = answer
    with pytest.raises(InputError) as raised:
        file.read_at(3 * BLOCK, len(LAST))
    assert words in str(raised.value)
    assert str(raised.value).isprintable()
    server.faults.clear()
    assert RemoteFile(path).read_at(0, len(CONTENT)) == CONTENT


PIECES = [
    *("HTTP/1.1 200 OK", "HTTP/1.1 206 Partial Content", "HTTP/1.0 206 x", "HTTP/1.1 100 Continue", "HTTP/9.9 999 x"),
    *(RANGE, "Content-Range: bytes 0-0/1", "Content-Range: bytes 9-1/2", f"Content-Range: bytes */{len(CONTENT)}", ""),
    *("Content-Length: 77", "Content-Length: -1", "Content-Length: 9999", "Content-Length: 7x", "ETag: x", "A" * 9000),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Location: /b", "Location: \x00", "Connection: close"),
    *("4d", "0", "-1", "fffffffff", LAST.decode("latin-1"), "\x00\xff", "Set-Cookie: =", "Content-Encoding: zstd"),
]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=9), min_size=1, max_size=2))
def test_whatever_a_server_sends_is_an_input_error_or_the_bytes(answers):
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        prepare(Path(folder), patch)
        patch.setattr(session, "TIMEOUT", (1, 0.2))  # a length that never comes
        patch.setattr(session, "ATTEMPTS", 2)
        path = RemotePath(running().url("/a.bin"))
        running().faults.clear()
        file = RemoteFile(path)
        sent = ["\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + LAST for lines in answers]
        running().faults["/a.bin"] = [*sent]
        for _ in range(3):
            try:
                assert file.read_at(3 * BLOCK, 77) == LAST
            except InputError:
                continue
        running().faults.clear()
        assert RemoteFile(path).read_at(0, len(CONTENT)) == CONTENT


_running: list[RangeServer] = []


def running():
    return _running[0]


@pytest.fixture(autouse=True, scope="module")
def _server_of_all_examples():
    with serve_ranges({"/a.bin": CONTENT}) as files:
        _running.append(files)
        yield


class NewTags(RangeServer):
    """A server that gives a file another ETag in each answer."""

    def found(self, target):
        return CONTENT, {"ETag": f'"{len(self.asked)}"'}


def test_a_tag_that_changes_with_each_answer_is_told_as_what_it_is(tmp_path, monkeypatch):
    prepare(tmp_path, monkeypatch)
    with serve_files(NewTags()) as server:
        path = RemotePath(server.url("/a.bin"))
        with pytest.raises(InputError, match="does not tell whether a file changed"):
            RemoteFile(path).read_at(BLOCK, 9)
        assert local_copy(path).read_bytes() == CONTENT


def test_a_weak_tag_counts_with_the_date(server):
    path = RemotePath(server.url("/a.bin"))
    head = (f"Content-Range: bytes 0-{BLOCK - 1}/{len(CONTENT)}", 'ETag: W/"1"')
    server.faults["/a.bin"] = [raw(*head, "Last-Modified: then", body=CONTENT[:BLOCK])]
    file = RemoteFile(path)
    server.faults["/a.bin"] = [raw(RANGE, 'ETag: W/"1"', "Last-Modified: now")]
    with pytest.raises(remote_file.ChangedError):
        file.read_at(3 * BLOCK, 9)


@pytest.mark.parametrize("read", [lambda path: RemoteFile(path).read_at(BLOCK, 9), local_copy])
def test_a_server_that_sends_single_bytes_is_given_up(server, read, monkeypatch):
    monkeypatch.setattr(session, "PATIENCE", 0.2)
    monkeypatch.setattr(session, "ATTEMPTS", 1)
    path = RemotePath(server.url("/a.bin"))
    RemoteFile(path)
    server.rate, began = 40, time.monotonic()
    with pytest.raises(InputError, match=r"bytes in .* seconds"):
        read(path)
    assert time.monotonic() - began < 20


def test_the_page_of_a_redirect_is_not_read_to_its_end(server):
    server.content["/b"], server.rate = b"b", 2_000_000
    server.faults["/a"] = raw("Location: /b", status="HTTP/1.1 302 Found", body=b"x" * 40_000_000, length=False)
    began = time.monotonic()
    assert RemoteFile(RemotePath(server.url("/a"))).read_at(0, 1) == b"b"
    assert time.monotonic() - began < 5


def test_a_redirect_keeps_its_connection(server):
    server.content["/b"] = CONTENT
    server.faults["/a"] = "to /b"
    RemoteFile(RemotePath(server.url("/a"))).read_at(BLOCK, 9)
    assert len(server.asked) == 4
    assert server.connections == 1


def test_a_small_file_without_a_length_is_taken_and_one_that_may_be_cut_is_not(server):
    text = b"chr1\t100\n"
    whole = raw("Transfer-Encoding: chunked", status="HTTP/1.1 200 OK", body=chunked(text), length=False)
    server.faults["/t.tsv"] = whole
    assert RemoteFile(RemotePath(server.url("/t.tsv"))).read_at(5, 4) == b"100\n"
    assert local_copy(RemotePath(server.url("/t.tsv"))).read_bytes() == text
    server.faults["/u.tsv"] = raw(status="HTTP/1.0 200 OK", body=text, length=False)
    with pytest.raises(InputError, match="does not send ranges"):
        RemoteFile(RemotePath(server.url("/u.tsv")))


def test_a_file_that_is_packed_for_the_way_is_not_taken_for_the_file(server):
    server.content |= {"/g.gtf": b"text", "/g.gtf.gz": b"\x1f\x8b packed"}
    answer = raw("Content-Encoding: gzip", "Content-Range: bytes 0-0/4", body=b"t")
    server.faults |= {"/g.gtf": [answer], "/g.gtf.gz": [answer.replace(b"0-0/4", b"0-0/9").replace(b"\nt", b"\n\x1f")]}
    with pytest.raises(InputError, match="packed"):
        local_copy(RemotePath(server.url("/g.gtf")))
    assert local_copy(RemotePath(server.url("/g.gtf.gz"))).read_bytes() == b"\x1f\x8b packed"


def test_an_empty_file_is_one_whatever_is_sent_later(server):
    server.content["/e"] = b""
    server.faults["/e"] = ["", raw(status="HTTP/1.1 200 OK", body=b"x" * 100, length=False)]
    assert local_copy(RemotePath(server.url("/e"))).read_bytes() == b""


@pytest.mark.parametrize("name", ["file.json", "lock", "a.part", "a.part.json", ".file.json"])
def test_no_name_of_a_file_is_that_of_what_is_beside_its_copy(server, name):
    server.content[f"/{name}"], path = b"content", RemotePath(server.url(f"/{name}"))
    for _ in range(2):
        assert local_copy(path).read_bytes() == b"content"
        whole_files.forget()
    assert [entry.path.read_bytes() for entry in kept_files()] == [b"content"]


SECRET = "hf_0123456789"


@pytest.mark.parametrize(
    "fault", ["403", "503", "other", "html", "whole", "cut", f"to ftp://h/x?token={SECRET}", "well"]
)
def test_what_follows_the_question_mark_is_neither_told_nor_kept(server, fault, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(remote_file, "WHOLE", 10)
    path = RemotePath(f"{server.url('/a.bin')}?token={SECRET}&x=1")
    file, copied = RemoteFile(path), RemotePath(f"{path}&whole")
    server.faults["/a.bin"] = "" if fault == "well" else fault
    told = []
    for read in (lambda: file.read_at(BLOCK, 9), lambda: file.read_at(0, 10**9), lambda: local_copy(copied)):
        try:
            read()
        except InputError as error:
            told.append(f"{error} {error.problems} {error.where}")
    server.faults.clear()
    server.content["/a.bin"] = CONTENT[::-1]
    RemoteFile(path).read_at(0, 9)
    told.append(str(capsys.readouterr()))
    told += [entry.address for entry in [*stored(), *kept_files()]]
    assert len(told) > 2
    assert SECRET not in " ".join(told)
    assert SECRET.encode() not in kept(tmp_path)


def test_a_download_goes_on_at_the_same_address_alone(server, tmp_path):
    path = RemotePath(f"{server.url('/a.bin')}?token={SECRET}")
    server.tags = True
    server.faults["/a.bin"] = ["", "cut 70000", *["cut 0"] * 40]
    with pytest.raises(InputError):
        local_copy(path)
    server.faults.clear()
    server.asked.clear()
    assert local_copy(path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == ["bytes=0-0", "bytes=70000-"]


def test_texts_lose_queries_and_keep_the_rest():
    assert (
        without_queries("no https://h/a.zip?x=1!/b: is it there? yes?no")
        == "no https://h/a.zip!/b: is it there? yes?no"
    )


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://[::1]:8000/a.bw", "::1"),
        ("https://[2001:db8::1]/a%20b.bw", "2001:db8::1"),
        ("https://H.Org:1/x", "h.org"),
    ],
)
def test_an_address_with_numbers_has_a_host(text, host):
    assert input_path(text).host == host


@pytest.mark.parametrize(
    "text", ["http://[::1/a", "http://h\x1b[2J/a", "http://h/a\nb", "http://h:99999/a", "http://h:x/a"]
)
def test_an_address_that_is_none_is_one_message(text, tmp_path, monkeypatch):
    prepare(tmp_path, monkeypatch)
    with pytest.raises(InputError):
        RemoteFile(input_path(text))


@pytest.mark.parametrize(
    ("before", "place", "error"),
    [
        ("https://h/a", "http://h/a", RefusedError),
        ("https://h/a", "//user@h/a", RefusedError),
        ("https://h/a", "https://h/b", None),
        ("http://h/a", "https://h/b", None),
        ("https://h/a", "https://no.invalid/b", UnreachableError),
    ],
)
def test_a_redirect_leads_to_no_less_safe_place(before, place, error):
    if error is None:
        assert session.check_redirect("h", before, place) == "https://h/b"
    else:
        with pytest.raises(error):
            session.check_redirect("h", before, place)
