"""Files of a study that lie on a server: the page gets them from our server, by id and by range."""

import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from range_server import serve_ranges
from viewer_run import WINDOW, get, make_study, make_viewer_run

from model_core.errors import InputError
from model_core.remote import remote_file
from model_core.remote.address import RemotePath
from model_core.remote.block_store import BLOCK
from model_core.remote.whole_files import forget
from model_core.study.genome import Genome
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs import binning, made_fasta
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen
from seq2exp_viz.serving import byte_ranges, remote_ranges, remote_reads
from seq2exp_viz.serving.remote_reads import RemoteReads

FILE = "/data/run/signal-0.bigWig"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "user-cache"))
    monkeypatch.setattr(remote_ranges, "_opened", {})
    monkeypatch.setattr("model_core.remote.remote_file._opened", {})
    monkeypatch.setattr("model_core.remote.session.first_pause", lambda: 0.01)
    forget()


@pytest.fixture
def reads(monkeypatch):
    """Reads that end soon in this test."""
    reads = RemoteReads(seconds=0.3, seconds_of_slow=0.05)
    monkeypatch.setattr(remote_ranges, "READS", reads)
    monkeypatch.setattr("seq2exp_viz.api.http.READS", reads)
    return reads


def move_to_server(path: Path, server) -> None:
    """Move bigWigs and annotation of the viewer's study to a server, and name them by address in its study.toml."""
    text = path.read_text()
    for name in ("H3K27ac.bw", "DNase.bw", "genes.gtf"):
        server.content[f"/{name}"] = (path.parent / name).read_bytes()
        text = text.replace(f'"{name}"', f'"{server.url(f"/{name}")}"')
        (path.parent / name).unlink()
    path.write_text(text)


def study_of_addresses(folder: Path, server) -> tuple[Path, Path]:
    """The viewer's study with its bigWigs and annotation on a server, and a run of it."""
    path = make_study(folder / "study")
    run = make_viewer_run(folder / "run", path, name="run")
    move_to_server(path, server)
    recorded = run / "study.json"
    words = recorded.read_text()
    for name in ("H3K27ac.bw", "DNase.bw", "genes.gtf"):
        words = words.replace(f"{folder / 'study' / name}", server.url(f"/{name}"))
    recorded.write_text(words)
    return path, run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server, its content, and a run of a study whose files lie on it."""
    with serve_ranges({}) as server:
        _, run = study_of_addresses(tmp_path_factory.mktemp("addresses"), server)
        yield server, dict(server.content), run


@pytest.fixture
def server(world):
    server, content, _ = world
    server.content, server.delay = dict(content), 0.0
    for log in (server.asked, server.sent, server.faults):
        log.clear()
    return server


@pytest.fixture
def registry(tmp_path, server, cache, world):
    registry = RunRegistry([world[2]], cache=tmp_path / "cache")
    yield registry
    registry.close()


@pytest.fixture
def client(registry):
    return create_app(registry, Settings(igv="notebook")).server.test_client()


def test_opening_a_run_and_its_view_asks_no_server(client, server):
    view = get(client, "/api/v1/run/view?gene=MYC")
    (row,) = (row for row in view["tracks"] if row["label"] == "DNase")
    assert row["config"]["url"].endswith("/data/run/signal-1.bigWig")
    assert "http" not in row["config"]["url"]
    assert server.asked == []


def test_ranges_and_headers_are_those_of_a_local_file(client, server, tmp_path):
    local = tmp_path / "copy.bw"
    local.write_bytes(server.content["/H3K27ac.bw"])
    size = local.stat().st_size
    for headers in (
        {"Range": "bytes=0-63"},
        {"Range": "bytes=-100"},
        {"Range": f"bytes={size - 9}-"},
        {},
        {"Range": "x"},
    ):
        for method in ("GET", "HEAD"):
            found = client.open(FILE, method=method, headers=headers)
            environ = {"REQUEST_METHOD": method, **{f"HTTP_{name.upper()}": text for name, text in headers.items()}}
            status, expected, body = byte_ranges.answer(local, environ)
            assert (found.status_code, found.get_data()) == (status, b"".join(body)), headers
            own = {"ETag", "Cache-Control"}
            for name, value in expected:
                assert name in own or found.headers[name] == value, (headers, name)
    assert client.get(FILE, headers={"Range": f"bytes={size}-"}).status_code == 416
    tag = client.head(FILE).headers["ETag"]
    assert client.get(FILE, headers={"If-None-Match": tag}).status_code == 304
    assert client.get(FILE, headers={"Range": "bytes=0-3", "If-Range": tag}).status_code == 206
    assert client.get(FILE, headers={"Range": "bytes=0-3", "If-Range": '"other"'}).status_code == 200


def test_once_a_file_is_open_its_address_names_its_state_and_the_browser_keeps_it(client):
    client.head(FILE)
    (row,) = (row for row in get(client, "/api/v1/run/view?gene=MYC")["tracks"] if row["id"] == "signal-0")
    address = row["config"]["url"]
    assert "?v=" in address
    assert "immutable" in client.get(address, headers={"Range": "bytes=0-3"}).headers["Cache-Control"]
    assert client.get(FILE, headers={"Range": "bytes=0-3"}).headers["Cache-Control"] == "no-store"


def test_what_was_read_once_is_not_asked_for_again(client, server):
    for _ in range(3):
        assert client.get(FILE, headers={"Range": "bytes=0-999"}).status_code == 206
    assert len(server.asked) == 1


def test_an_answer_has_a_longest_length(client, server, monkeypatch):
    monkeypatch.setattr(remote_ranges, "LONGEST", 1000)
    assert client.get(FILE, headers={"Range": "bytes=0-999"}).status_code == 206
    before = sum(server.sent.values())
    for headers in ({"Range": "bytes=0-1000"}, {}):
        answer = client.get(FILE, headers=headers)
        assert (answer.status_code, "1,000 bytes" in answer.get_data(as_text=True)) == (413, True)
    assert client.head(FILE).status_code == 200
    assert sum(server.sent.values()) == before


def test_a_slow_host_is_answered_for_with_504_and_the_next_request_gets_the_bytes(client, server, reads):
    server.delay = 1.0
    began = time.monotonic()
    answer = client.get(FILE, headers={"Range": "bytes=0-63"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (504, str(remote_reads.COME_AGAIN))
    assert time.monotonic() - began < 0.9
    assert "127.0.0.1" in answer.get_data(as_text=True)
    server.delay, end = 0.0, time.monotonic() + 10
    while (answer := client.get(FILE, headers={"Range": "bytes=0-63"})).status_code != 206:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert answer.get_data() == server.content["/H3K27ac.bw"][:64]


@pytest.mark.parametrize("fault", ["403", "500", "html"])
def test_a_file_that_its_server_does_not_give_is_a_502_with_the_reason_until_it_does(client, server, fault):
    server.faults["/H3K27ac.bw"] = fault
    answer = client.get(FILE, headers={"Range": "bytes=0-63"})
    assert answer.status_code == 502
    assert "127.0.0.1" in answer.get_data(as_text=True)
    server.faults.clear()
    assert client.get(FILE, headers={"Range": "bytes=0-63"}).status_code == 206


def test_a_file_that_changes_is_never_mixed_and_the_new_one_is_served_next(client, server):
    old = server.content["/H3K27ac.bw"]
    server.content["/H3K27ac.bw"] = old + bytes(5 * BLOCK)
    tag = client.head(FILE).headers["ETag"]
    server.content["/H3K27ac.bw"] = old + b"x" * (5 * BLOCK)
    assert client.get(FILE, headers={"Range": f"bytes={len(old)}-"}).status_code == 502
    found = client.get(FILE, headers={"Range": f"bytes={len(old)}-"})
    assert (found.status_code, found.get_data()) == (206, b"x" * (5 * BLOCK))
    assert found.headers["ETag"] != tag


def test_a_served_file_is_asked_about_again_and_an_open_page_gets_no_other_file(client, server, monkeypatch):
    old, later = server.content["/H3K27ac.bw"], 0.0
    monotonic = time.monotonic
    monkeypatch.setattr(remote_file.time, "monotonic", lambda: monotonic() + later)
    version = client.head(FILE).headers["ETag"].strip('"')
    page = f"{FILE}?v={version}"
    wanted = {"Range": "bytes=0-63"}
    assert client.get(page, headers=wanted).get_data() == old[:64]
    server.content["/H3K27ac.bw"] = old[::-1]
    assert client.get(page, headers=wanted).get_data() == old[:64]  # kept, and asked about a moment ago
    later = remote_file.ASK_AGAIN + 1
    answer = client.get(page, headers=wanted)
    assert (answer.status_code, "another file" in answer.get_data(as_text=True)) == (502, True)
    answer = client.get(page, headers=wanted)
    assert (answer.status_code, "open the page again" in answer.get_data(as_text=True)) == (409, True)
    assert client.get(FILE, headers=wanted).get_data() == old[::-1][:64]


def test_no_request_makes_the_server_ask_a_host_that_the_study_does_not_name(client, tmp_path):
    with serve_ranges({"/x.bw": b"secret", "/x": b"secret"}) as other:
        url = other.url("/x.bw")
        names = ("url", "file", "path", "v", "from", "beside", "q", "gene", "name", "run", "chrom", "locus", "address")
        query = {name: url for name in names}
        for rule in client.application.url_map.iter_rules():
            address = rule.rule
            for part in ("<run>", "<file>", "<path:gene>", "<name>", "<part>", "<kind>", "<level>", "<key>"):
                address = address.replace(part, {"<run>": "run", "<path:gene>": "MYC"}.get(part, "x"))
            if "<" in address:
                continue
            for method in rule.methods & {"GET", "POST"}:
                client.open(address, method=method, query_string=query, json=query if method == "POST" else None)
        for place in (url, url.replace("http://", "http:/"), urllib.request.quote(url, safe="")):
            for start in ("/data/run/", "/api/v1/run/signals/", "/allowed/", "/api/v1/"):
                client.get(start + place, headers={"Range": "bytes=0-3"})
        for host in ({"Host": f"127.0.0.1:{other.port}"}, {"X-Forwarded-Host": f"127.0.0.1:{other.port}"}):
            client.get(FILE, headers={"Range": "bytes=0-3", "Referer": url, **host})
        assert other.asked == []


def test_a_dead_host_leaves_threads_for_the_page(tmp_path, world, server, cache, reads):
    """The whole server, with as many requests for a dead host at once as browsers send."""
    registry = RunRegistry([world[2]], cache=tmp_path / "cache")
    app, sock = create_app(registry, Settings(igv="notebook")).server, bind("127.0.0.1", 0)
    threading.Thread(target=listen, args=(app, sock), daemon=True).start()
    base = f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.delay = 5.0
    statuses: list[int] = []

    def ask(number: int) -> None:
        wanted = urllib.request.Request(base + FILE, headers={"Range": f"bytes={number}-{number + 9}"})
        try:
            statuses.append(urllib.request.urlopen(wanted, timeout=20).status)
        except urllib.error.HTTPError as refused:
            statuses.append(refused.code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    assert urllib.request.urlopen(f"{base}/api/v1/run/genes/MYC/mask", timeout=20).status == 200
    assert time.monotonic() - began < 4
    for thread in threads:
        thread.join(20)
    assert set(statuses) <= {503, 504}
    assert len(statuses) == 30
    server.delay = 0.0
    registry.close()


def test_summaries_are_read_by_ranges_and_equal_those_of_the_local_file(client, server, tmp_path):
    local = tmp_path / "copy.bw"
    local.write_bytes(server.content["/H3K27ac.bw"])
    found = get(client, "/api/v1/run/signals/H3K27ac?chrom=chr1&start=9000&end=12000&bins=100")
    assert found == binning.bigwig_summary(local, "chr1", 9000, 12000, 100)
    assert found == binning.bigwig_summary(RemotePath(server.url("/H3K27ac.bw")), "chr1", 9000, 12000, 100)


def test_the_annotation_is_fetched_once_in_the_background(client, server, tmp_path):
    end = time.monotonic() + 60
    path = "/api/v1/run/models/gene?chrom=chr1&start=9000&end=11000"
    while "exons" not in (get(client, path) or [{}])[0]:
        assert time.monotonic() < end
        time.sleep(0.05)
    wanted = [place for place, _ in server.asked if place == "/genes.gtf"]
    assert 1 <= len(wanted) <= 2  # its state, and its content


def test_bases_that_cannot_be_read_are_n_until_they_can_be_and_the_reason_is_told(client, registry, monkeypatch):
    def refused(*_):
        raise InputError("genome.2bit", found="host: 403", expected="the file", fix="check the address")

    asked = {"headers": {"Range": "bytes=1002-1011"}}
    bases = client.get("/api/v1/run/bases.fa", **asked)
    assert set(bases.get_data(as_text=True)) <= set("ACGT")
    with monkeypatch.context() as patch:
        patch.setattr(Genome, "sequence", refused)
        answer = client.get("/api/v1/run/bases.fa", **asked)
    assert (answer.status_code, answer.get_data()) == (206, b"N" * 10)
    assert answer.headers["Content-Range"] == bases.headers["Content-Range"]
    assert answer.headers["Cache-Control"] == "no-store"
    (note,) = (line for line in registry.first.notes if line.startswith("Bases are shown as N"))
    assert "genome.2bit: found host: 403" in note
    assert client.get("/api/v1/run/bases.fa", **asked).get_data() == bases.get_data()


def test_a_made_fasta_gives_the_bases_that_its_index_promises():
    rng = np.random.default_rng(1)
    bases = {name: "".join(rng.choice(list("ACGT"), size)) for name, size in (("a", 7), ("b", 1), ("c", WINDOW))}
    sizes = {name: len(text) for name, text in bases.items()}
    whole = (">\n" + "".join(f"{text}\n" for text in bases.values())).encode()
    assert made_fasta.size(sizes) == len(whole)

    def sequence(name: str, first: int, last: int) -> str:
        return bases[name][first:last]

    for line in made_fasta.index(sizes).splitlines():
        name, length, offset, width, line_bytes = line.split("\t")
        assert whole[int(offset) : int(offset) + int(length)].decode() == bases[name]
        assert (width, int(line_bytes)) == (length, int(length) + 1)
    for _ in range(200):
        start, stop = sorted(rng.integers(0, len(whole) + 1, 2).tolist())
        assert made_fasta.piece(sizes, sequence, start, stop) == whole[start:stop]
