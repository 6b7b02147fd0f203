"""Fetching a study's files from a local server: whole, checked, gone on with, and what is said when they fail."""

import gzip
import hashlib
import json
import socket
import threading
from contextlib import contextmanager, suppress

import pytest
from file_server import serve_whole
from hypothesis import given
from hypothesis import strategies as st

from model_core.datasets.fetch import fetch_study, plan, published, read_sources
from model_core.datasets.presets import DOWNLOADS, Source, downloads_text
from model_core.errors import InputError, Problems
from model_core.remote import download as http

CONTENT = bytes(range(256)) * 9_000  # 2.3 MB


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(http.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve_whole() as files:
        yield files


def md5(content):
    return f"md5:{hashlib.md5(content).hexdigest()}"


def study(folder, *sources):
    """A folder whose downloads.toml names these sources."""
    folder.mkdir(exist_ok=True)
    (folder / DOWNLOADS).write_text(downloads_text(sources))
    return folder


def one(server, folder, content=CONTENT, **settings):
    """A study of one file that the server has."""
    server.content["/x.bin"] = content
    return study(folder, Source("data/x.bin", f"{server.url()}/x.bin", "made", **settings))


def leftovers(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != DOWNLOADS)


# What comes


def test_files_come_whole_and_a_second_call_asks_for_nothing(server, tmp_path):
    folder = one(server, tmp_path / "s", checksum=md5(CONTENT))
    fetch_study(folder / "study.toml")
    assert (folder / "data" / "x.bin").read_bytes() == CONTENT
    assert leftovers(folder) == ["x.bin"]
    server.forget()
    (item,) = fetch_study(folder)
    assert item.state == "here"
    assert server.log == []


def test_a_dry_run_tells_sizes_and_downloads_nothing(server, tmp_path):
    folder = one(server, tmp_path / "s")
    lines = []
    (item,) = fetch_study(folder, dry_run=True, tell=lines.append)
    assert (item.state, item.size) == ("missing", len(CONTENT))
    assert lines[0].split()[:3] == ["missing", "2.3", "MB"]
    assert f"{server.url()}/x.bin" in lines[0]
    assert leftovers(folder) == []
    assert all(asked.method == "HEAD" for asked in server.log)


def test_a_broken_transfer_is_gone_on_with_in_the_same_call(server, tmp_path):
    folder = one(server, tmp_path / "s", checksum=md5(CONTENT))
    server.faults["/x.bin"] = ["cut 100000", "cut 7"]
    fetch_study(folder)
    assert (folder / "data" / "x.bin").read_bytes() == CONTENT
    asked = [asked.headers.get("Range") for asked in server.log if asked.method == "GET"]
    assert asked == [None, "bytes=100000-", "bytes=100007-"]


def break_off(server, folder, length=100_000):
    """Let a call fail after `length` bytes."""
    server.faults["/x.bin"] = [f"cut {length}", *["cut 0"] * 20]
    with pytest.raises(InputError):
        fetch_study(folder)
    server.faults.clear()
    server.forget()
    if server.etag is not None:  # else each try has begun anew
        assert (folder / "data" / "x.bin.part").stat().st_size == length
    assert not (folder / "data" / "x.bin").exists()


def test_the_next_call_goes_on_where_a_killed_one_stopped(server, tmp_path):
    folder = one(server, tmp_path / "s", checksum=md5(CONTENT))
    break_off(server, folder)
    assert plan(folder)[0][0].line().startswith("0.1 MB of it here")
    lines = []
    fetch_study(folder, tell=lines.append)
    assert (folder / "data" / "x.bin").read_bytes() == CONTENT
    assert [asked.headers.get("Range") for asked in server.log if asked.method == "GET"] == ["bytes=100000-"]
    assert leftovers(folder) == ["x.bin"]


@pytest.mark.parametrize("etag", ['"v2"', None])
def test_a_file_that_has_changed_meanwhile_is_begun_anew(server, tmp_path, etag):
    if etag is None:
        server.etag = None
    folder = one(server, tmp_path / "s")
    break_off(server, folder)
    server.etag, server.content["/x.bin"] = etag, CONTENT[::-1] + b"more"
    fetch_study(folder)
    assert (folder / "data" / "x.bin").read_bytes() == CONTENT[::-1] + b"more"


def test_a_server_that_cannot_go_on_sends_the_whole_again(server, tmp_path):
    folder = one(server, tmp_path / "s")
    break_off(server, folder)
    server.ranges = False
    fetch_study(folder)
    assert (folder / "data" / "x.bin").read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_taken(server, tmp_path):
    folder = one(server, tmp_path / "s", checksum=md5(CONTENT))
    break_off(server, folder)
    (folder / "data" / "x.bin.part").write_bytes(CONTENT)
    fetch_study(folder)
    assert (folder / "data" / "x.bin").read_bytes() == CONTENT


def test_gzipped_files_stay_gzipped_unless_they_are_to_be_unpacked(server, tmp_path):
    packed = gzip.compress(CONTENT)
    server.content |= {"/a.gz": packed, "/b.fa.gz": packed}
    sources = (
        Source("data/a.gz", f"{server.url()}/a.gz", ""),
        Source("b.fa", f"{server.url()}/b.fa.gz", "", unpack=True),
    )
    folder = study(tmp_path / "s", *sources)
    fetch_study(folder)
    assert (folder / "data" / "a.gz").read_bytes() == packed
    assert (folder / "b.fa").read_bytes() == CONTENT
    assert leftovers(folder) == ["a.gz", "b.fa"]


def test_progress_is_told_on_standard_error(server, tmp_path, capsys):
    fetch_study(one(server, tmp_path / "s"))
    assert "x.bin (MB): 2/3" in capsys.readouterr().err


# Checksums


def test_a_file_with_another_checksum_is_thrown_away(server, tmp_path):
    folder = one(server, tmp_path / "s", checksum=md5(b"other"))
    with pytest.raises(InputError, match=r"another checksum \(deleted\)"):
        fetch_study(folder)
    assert leftovers(folder) == []


@pytest.mark.parametrize("form", ["json", "sums"])
def test_checksums_are_asked_of_the_portal(server, tmp_path, form):
    record = json.dumps({"md5sum": md5(CONTENT)[4:], "file_size": len(CONTENT), "accession": "X"})
    sums = f"{'0' * 32}  other.bin\n{md5(CONTENT)[4:]}  ./x.bin\n"
    server.content["/listing"] = (record if form == "json" else sums).encode()
    folder = one(server, tmp_path / "s", listing=f"{server.url()}/listing")
    (item,) = fetch_study(folder)
    assert (item.checksum, item.size) == (md5(CONTENT), len(CONTENT))
    (folder / "data" / "x.bin").unlink()
    server.content["/x.bin"] = CONTENT[:-1] + b"?"
    with pytest.raises(InputError, match="another checksum"):
        fetch_study(folder)


def test_a_listing_without_the_file_is_told_but_no_obstacle(server, tmp_path):
    server.content["/listing"] = b"nothing here"
    folder = one(server, tmp_path / "s", listing=f"{server.url()}/listing")
    lines = []
    fetch_study(folder, tell=lines.append)
    assert "no checksum in" in lines[0]
    assert "no public checksum" in lines[1]


def test_a_file_of_the_same_name_is_not_written_over(server, tmp_path):
    server.content["/x.fa.gz"] = gzip.compress(CONTENT)
    source = Source("x.fa", f"{server.url()}/x.fa.gz", "", checksum=md5(server.content["/x.fa.gz"]), unpack=True)
    folder = study(tmp_path / "s", source)
    (folder / "x.fa.gz").write_text("mine")
    with pytest.raises(InputError, match="another file of that name"):
        fetch_study(folder)
    assert (folder / "x.fa.gz").read_text() == "mine"


@given(text=st.text(max_size=200))
def test_any_listing_is_read(text):
    size, checksum = None, None
    try:
        size, checksum = published("listing", text, "x")
    except http.RefusedError:
        assert text.lstrip().startswith("{")
    assert size is None or size > 0
    assert checksum is None or len(checksum) == 36


# What does not come


def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_without_a_connection_there_is_one_message(server, tmp_path):
    url = f"http://127.0.0.1:{closed_port()}"
    folder = study(tmp_path / "s", *(Source(f"{name}.bin", f"{url}/{name}", "") for name in "abc"))
    with pytest.raises(InputError) as caught:
        fetch_study(folder)
    assert not isinstance(caught.value, Problems)
    assert "no connection to 127.0.0.1 for 3 of 3 files (Connection refused)" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert leftovers(folder) == []


def test_a_host_that_does_not_exist_is_no_connection(tmp_path):
    folder = study(tmp_path / "s", Source("a.bin", "http://no-such-host.invalid/a", ""))
    with pytest.raises(InputError, match=r"no connection to no-such-host\.invalid"):
        fetch_study(folder)


def test_a_dry_run_without_a_connection_still_lists_the_addresses(tmp_path):
    url = f"http://127.0.0.1:{closed_port()}/a"
    (item,) = fetch_study(study(tmp_path / "s", Source("a.bin", url, "")), dry_run=True)
    assert "size unknown" in item.line()
    assert "cannot be reached" in item.line()
    assert url in item.line()


def test_one_missing_file_does_not_keep_the_others(server, tmp_path):
    server.content["/b"] = b"here"
    names = "abc"
    folder = study(tmp_path / "s", *(Source(f"{name}.bin", f"{server.url()}/{name}", "") for name in names))
    with pytest.raises(Problems) as caught:
        fetch_study(folder)
    assert [str(problem.where) for problem in caught.value.problems] == ["a.bin", "c.bin"]
    assert "404" in caught.value.problems[0].found
    assert (folder / "b.bin").read_bytes() == b"here"


def test_a_portal_that_asks_who_one_is_gets_the_netrc_and_else_says_so(server, tmp_path, monkeypatch):
    server.user, server.content["/private.hic"] = "KEY:SECRET", b"contacts"
    source = Source("x.hic", f"{server.url()}/private.hic", "Hi-C", login="make an access key")
    folder = study(tmp_path / "s", source)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(InputError, match=r"403 Forbidden.*make an access key; or download it in a browser"):
        fetch_study(folder)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login KEY password SECRET\n")
    (tmp_path / "netrc").chmod(0o600)
    fetch_study(folder)
    assert (folder / "x.hic").read_bytes() == b"contacts"


def test_two_calls_at_once_do_not_write_one_file(server, tmp_path):
    folder = one(server, tmp_path / "s")
    transfer = http.Resuming(folder / "data" / "x.bin")
    with transfer.alone(), pytest.raises(InputError, match="another process that downloads it"):
        fetch_study(folder)


def test_too_little_space_is_told_before_anything_is_downloaded(server, tmp_path, monkeypatch):
    folder = one(server, tmp_path / "s")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("usage", (), {"free": 1_000_000}))
    with pytest.raises(InputError, match=r"0\.0 GB free; expected about 0\.0 GB; free space"):
        fetch_study(folder)
    assert leftovers(folder) == []


def test_a_damaged_gzip_is_thrown_away(server, tmp_path):
    server.content["/x.gz"] = gzip.compress(CONTENT)[:-9]
    folder = study(tmp_path / "s", Source("x.fa", f"{server.url()}/x.gz", "", unpack=True))
    with pytest.raises(InputError, match="damaged gzip"):
        fetch_study(folder)
    assert leftovers(folder) == []


# downloads.toml


def problems_of(folder, text):
    (folder / DOWNLOADS).write_text(text)
    with pytest.raises(InputError) as caught:
        read_sources(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/x", "a/../../x", "", ".hidden", "a//b", "a/", "a b", "study.toml", "downloads.toml", "a\\b", "~/x"],
)
def test_paths_that_leave_the_folder_are_refused(tmp_path, path):
    assert "a path below" in problems_of(tmp_path, f"[[file]]\npath = {json.dumps(path)}\nurl = 'http://h/x'\n")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "x", "", "http://", "https://u:p@h/x", "http://[::1"]
)
def test_addresses_of_other_kinds_are_refused(tmp_path, url):
    assert "https://" in problems_of(tmp_path, f"[[file]]\npath = 'x'\nurl = '{url}'\n")


def test_every_mistake_is_told_at_once(tmp_path):
    text = "[[file]]\npath = 'x'\nurl = 'http://h/x'\nchecksum = 'md5:1'\n[[file]]\npath = 1\nurls = 'x'\n"
    message = problems_of(tmp_path, text + "[[file]]\npath = 'X'\nurl = 'http://h/x'\nunpack = 'yes'\n")
    assert message.startswith("5 problems")
    assert "'x' twice" in message


@pytest.mark.parametrize("text", ["", "file = 1", "[[file", "file = []", "file = [1]"])
def test_other_text_is_refused(tmp_path, text):
    assert DOWNLOADS in problems_of(tmp_path, text)


def test_a_study_without_downloads_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="init --preset"):
        fetch_study(tmp_path / "study.toml")


# Servers that misbehave


class Answer:
    """Head and body of the next answer of a server that says what it likes."""

    def __init__(self, status: str, body: bytes = b"", **headers: str):
        lines = [f"HTTP/1.1 {status}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.bytes = "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def misbehaving(answers):
    """A real server whose answers to GET are given; it notes the headers of each request."""
    asked, left = [], list(answers)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                with line:
                    head = b""
                    while b"\r\n\r\n" not in head and (more := line.recv(65_536)):
                        head += more
                    if head.startswith(b"GET"):
                        asked.append(dict(pair.split(": ", 1) for pair in head.decode().split("\r\n")[1:] if pair))
                    answer = left.pop(0) if head.startswith(b"GET") and left else Answer("404 Not Found")
                    with suppress(OSError):
                        line.sendall(answer.bytes)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/x.bin", asked
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


OLD, NEW = b"o" * 1_000, b"n" * 1_000
TORN = OLD[:400]
WHOLE_NEW = Answer("200 OK", NEW, Content_Length="1000", ETag='"2"')
REST = {"Content_Range": "bytes 400-999/1000", "Content_Length": "600"}


def begun(tmp_path, url, part=TORN, etag='"1"', size=1_000):
    """A download that was killed after `part`."""
    transfer = http.Resuming(tmp_path / "x.bin", attempts=2)
    transfer.part.write_bytes(part)
    transfer.notes.write_text(json.dumps({"url": url, "etag": etag, "size": size}))
    return transfer


@pytest.fixture
def _no_pauses(monkeypatch):
    monkeypatch.setattr(http.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


ANEW = {  # what the server answers to a request for the rest: after it the file is asked for anew
    "the rest of another file, with its ETag": Answer("206 Partial Content", NEW[400:], ETag='"2"', **REST),
    "the rest of any file, without an ETag": Answer("206 Partial Content", NEW[400:], **REST),
    "the rest, with a weak ETag": Answer("206 Partial Content", NEW[400:], ETag='W/"1"', **REST),
    "the rest of a longer file": Answer(
        "206 Partial Content", NEW[400:], ETag='"1"', Content_Range="bytes 400-999/2000", Content_Length="600"
    ),
    "that its file is shorter": Answer("416 Range Not Satisfiable", Content_Range="bytes */300", ETag='"1"'),
    "the whole new file": WHOLE_NEW,
}


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("answer", ANEW)
def test_parts_of_two_files_are_never_joined(tmp_path, answer):
    with misbehaving([ANEW[answer], WHOLE_NEW]) as (url, asked):
        transfer = begun(tmp_path, url)
        transfer.download(url)
    assert transfer.part.read_bytes() == NEW
    assert (asked[0]["Range"], asked[0]["If-Range"]) == ("bytes=400-", '"1"')
    assert "Range" not in asked[-1] or len(asked) == 1


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("etag", [None, 'W/"1"', "1", 7])
def test_without_a_strong_etag_and_a_checksum_a_download_begins_anew(tmp_path, etag):
    with misbehaving([WHOLE_NEW]) as (url, asked):
        transfer = begun(tmp_path, url, etag=etag)
        transfer.download(url)
    assert "Range" not in asked[0]
    assert transfer.part.read_bytes() == NEW


@pytest.mark.usefixtures("_no_pauses")
def test_with_a_checksum_a_download_goes_on_and_is_compared(tmp_path):
    rest = Answer("206 Partial Content", OLD[400:], **REST)
    for part, joined in ((TORN, OLD), (NEW[:400], None)):
        with misbehaving([rest]) as (url, asked):
            folder = study(tmp_path / str(joined)[:1], Source("x.bin", url, "", checksum=md5(OLD)))
            begun(folder, url, part, etag=None)
            if joined is None:
                with pytest.raises(InputError, match=r"another checksum \(deleted\)"):
                    fetch_study(folder)
                assert leftovers(folder) == []
            else:
                fetch_study(folder)
                assert (folder / "x.bin").read_bytes() == joined
            assert asked[0]["Range"] == "bytes=400-"


REFUSED = {
    "another part": Answer(
        "206 Partial Content", OLD[300:], ETag='"1"', Content_Range="bytes 300-999/1000", Content_Length="700"
    ),
    "a part beyond the end": Answer(
        "206 Partial Content", OLD[400:], ETag='"1"', Content_Range="bytes 400-1500/1000", Content_Length="1101"
    ),
    "a part that ends before it begins": Answer(
        "206 Partial Content", b"", ETag='"1"', Content_Range="bytes 400-399/1000", Content_Length="0"
    ),
    "a part of another length": Answer(
        "206 Partial Content", OLD[:500], ETag='"1"', Content_Range="bytes 400-999/1000", Content_Length="500"
    ),
    "no statement": Answer("206 Partial Content", OLD[400:], ETag='"1"', Content_Length="600"),
    "words": Answer("206 Partial Content", OLD[400:], ETag='"1"', Content_Range="bytes x-y/z", Content_Length="600"),
    "several parts": Answer("206 Partial Content", b"--", ETag='"1"', Content_Type="multipart/byteranges; boundary=-"),
}


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("answer", REFUSED)
def test_a_wrong_content_range_is_refused(tmp_path, answer):
    with misbehaving([REFUSED[answer]]) as (url, _):
        transfer = begun(tmp_path, url)
        with pytest.raises(http.RefusedError, match="another part than requested"):
            transfer.download(url)
    assert not transfer.part.exists()


@pytest.mark.usefixtures("_no_pauses")
def test_a_part_in_answer_to_a_request_for_the_whole_is_refused(tmp_path):
    with (
        misbehaving([Answer("206 Partial Content", OLD[400:], **REST)]) as (url, _),
        pytest.raises(http.RefusedError, match="another part than requested"),
    ):
        http.Resuming(tmp_path / "x.bin").download(url)
    assert not (tmp_path / "x.bin.part").exists()


def chunked(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize(
    ("have", "answer"),
    [
        (
            b"",
            Answer("200 OK", OLD + b"more"),
        ),  # the portal says 1,000 bytes; this body has no end but that of the line
        (b"", Answer("200 OK", chunked(OLD + b"more"), Transfer_Encoding="chunked")),
        (
            TORN,
            Answer(
                "206 Partial Content",
                chunked(OLD),
                ETag='"1"',
                Content_Range="bytes 400-999/1000",
                Transfer_Encoding="chunked",
            ),
        ),
    ],
)
def test_nothing_is_written_beyond_the_stated_size(tmp_path, have, answer):
    with misbehaving([answer]) as (url, _):
        transfer = begun(tmp_path, url, have) if have else http.Resuming(tmp_path / "x.bin", size=1_000)
        with pytest.raises(http.RefusedError, match="more than the 1,000 bytes that it states"):
            transfer.download(url)
    assert not transfer.part.exists()


@pytest.mark.usefixtures("_no_pauses")
def test_another_size_than_the_portal_states_is_refused_before_a_byte_is_written(tmp_path):
    with (
        misbehaving([Answer("200 OK", OLD, Content_Length="1000")]) as (url, _),
        pytest.raises(http.RefusedError, match="states 1,000 bytes, before it were 900"),
    ):
        http.Resuming(tmp_path / "x.bin", size=900).download(url)
    assert not (tmp_path / "x.bin.part").exists()


@pytest.mark.usefixtures("_no_pauses")
def test_a_link_to_a_file_that_is_missing_stays(tmp_path):
    (tmp_path / "store").mkdir()
    with misbehaving([WHOLE_NEW]) as (url, _):
        folder = study(tmp_path / "s", Source("x.bin", url, ""))
        (folder / "x.bin").symlink_to(tmp_path / "store" / "x.bin")
        fetch_study(folder)
    assert (folder / "x.bin").is_symlink()
    assert (tmp_path / "store" / "x.bin").read_bytes() == NEW
