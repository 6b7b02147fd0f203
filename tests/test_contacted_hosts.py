"""Whom the program contacts, as the kernel sees it: native libraries and child processes are watched, too."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from needs import missing
from range_server import serve_ranges
from test_remote_tracks import move_to_server, study_of_addresses
from test_score_now import empty_run

from model_core.run_folder.run import Run

INET = re.compile(
    r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([\d.]+)"\)|sin6_port=htons\((\d+)\).*?"([0-9a-f:]+)"'
)
QUESTION = re.compile(r"\\0\\1(?:\\0){5}\\[01]((?:\\[0-7]{1,3}|\\[a-z]|[\w-])+?)\\0\\0\\(?:1|34)\\0\\1")
WATCH = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=network", "-s", "256")


def looked_up(log: Path) -> set[str]:
    """Names that a log of strace shows as questions to a name server."""
    found = [name for line in log.read_text().splitlines() if "send" in line for name in QUESTION.findall(line)]
    return {re.sub(r"\\(?:[0-7]{1,3}|[a-z])", ".", name).strip(".").lower() for name in found}


def contacted(log: Path) -> set[tuple[str, int]]:
    """(address, port) of every connection, and of every datagram, in a log of strace."""
    found = set()
    for line in log.read_text().splitlines():
        if ("connect(" in line or "send" in line) and (place := INET.search(line)):
            port, host = (place[1], place[2]) if place[1] else (place[3], place[4])
            found.add((host, int(port)))
    return found


def require_strace() -> None:
    if shutil.which("strace") is None:
        missing("needs strace: `apt-get install strace`")


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Start a command of the program under strace; (process, log)."""
    require_strace()
    log, started = tmp_path / "strace.log", []
    environ = {**os.environ, "SEQ2EXP_CACHE": str(tmp_path / "cache"), "SEQ2EXP_DATA": str(tmp_path / "data")}
    for name in list(environ):
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            del environ[name]

    def start(*words: object) -> tuple[subprocess.Popen, Path]:
        command = [*WATCH, "-o", str(log)]
        command += [sys.executable, "-m", "seq2exp_viz.cli", *map(str, words)]
        process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        started.append(process)
        return process, log

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
        process.stdout.close()


def listens(process: subprocess.Popen) -> int:
    """The port of a page's server, once it says that it is ready."""
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"ready at http://127\.0\.0\.1:(\d+)/", line):
            return int(found[1])
    raise AssertionError("".join(said))


def test_the_page_of_a_study_of_addresses_contacts_the_hosts_of_the_study_only(tmp_path, watched):
    with serve_ranges({}) as server:
        study, run = study_of_addresses(tmp_path, server)
        assert study.is_file()
        process, log = watched("serve", run, "--no-open", "--port", 0)
        base = f"http://127.0.0.1:{listens(process)}"

        def ask(path: str, **headers: str) -> bytes:
            try:
                return urllib.request.urlopen(urllib.request.Request(base + path, headers=headers), timeout=30).read()
            except urllib.error.HTTPError as refused:
                return refused.read()

        assert json.loads(ask("/api/v1/run/view?gene=MYC"))["gene"]
        assert ask("/data/run/signal-0.bigWig", Range="bytes=0-63") == server.content["/H3K27ac.bw"][:64]
        assert json.loads(ask("/api/v1/run/signals/DNase?chrom=chr1&start=9000&end=12000"))["mean"]
        for path in ("/api/v1/run/genes/MYC/figure.svg", "/api/v1/run/report?gene=MYC", "/data/run/http://192.0.2.1/x"):
            ask(path)
        end = time.monotonic() + 60
        while "exons" not in (json.loads(ask("/api/v1/run/models/gene?chrom=chr1&start=9000&end=11000")) or [{}])[0]:
            assert time.monotonic() < end
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        found = contacted(log)
        assert ("127.0.0.1", server.port) in found
        assert found == {("127.0.0.1", server.port)}


def test_the_model_process_contacts_the_hosts_of_the_study_only(tmp_path, watched, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache-before"))
    with serve_ranges({}) as server:
        run = empty_run(tmp_path, lambda path: move_to_server(path, server))
        process, log = watched("serve", run, "--no-open", "--port", 0)
        base = f"http://127.0.0.1:{listens(process)}/api/v1"
        asked = json.dumps({"kind": "score", "gene": "XIST"}).encode()
        headers = {"Content-Type": "application/json", "Origin": base.removesuffix("/api/v1")}
        job = json.loads(urllib.request.urlopen(urllib.request.Request(f"{base}/run/jobs", asked, headers)).read())
        end = time.monotonic() + 120
        while job["state"] not in ("done", "failed"):
            assert time.monotonic() < end
            time.sleep(0.2)
            job = json.loads(urllib.request.urlopen(f"{base}/jobs/{job['id']}", timeout=30).read())
        assert job["state"] == "done", job
        assert list(Run.open(run).scored) == ["ENSG9.1"]
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        assert len({line.split()[0] for line in log.read_text().splitlines() if f"htons({server.port})" in line}) > 1
        assert contacted(log) == {("127.0.0.1", server.port)}
        assert looked_up(log) == set()


def test_a_host_with_a_name_is_the_only_one_looked_up_and_a_redirect_to_a_neighbour_is_not_followed(tmp_path, watched):
    with serve_ranges({}) as server:
        study, run = study_of_addresses(tmp_path, server)
        for path in (study, run / "study.json"):
            path.write_text(path.read_text().replace(server.url("/DNase.bw"), "http://data.of-a-lab.invalid/DNase.bw"))
        server.faults["/H3K27ac.bw"] = "to http://10.9.8.7/latest"
        process, log = watched("serve", run, "--no-open", "--port", 0)
        base = f"http://127.0.0.1:{listens(process)}/data/run"
        for name in ("signal-0", "signal-1"):
            with pytest.raises(urllib.error.HTTPError, match=r"50[24]"):
                urllib.request.urlopen(f"{base}/{name}.bigWig", timeout=60)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        assert all(name.startswith("data.of-a-lab.invalid") for name in looked_up(log))
        assert looked_up(log)
        assert {place for place in contacted(log) if place[1] != 53} == {("127.0.0.1", server.port)}


def test_doctor_contacts_the_hosts_of_the_study_only(tmp_path, watched):
    with serve_ranges({}) as server:
        study, _ = study_of_addresses(tmp_path, server)
        process, log = watched("doctor", study)
        assert "signals.DNase" in process.communicate(timeout=120)[0]
        assert contacted(log) == {("127.0.0.1", server.port)}


def test_the_watch_sees_connections_of_native_code_and_datagrams(tmp_path):
    require_strace()
    log = tmp_path / "log"
    code = (
        "import ctypes, socket, struct\n"
        "s = socket.socket(); s.setblocking(False)\n"
        "place = struct.pack('!HHI8x', 0, 9, 0x7f000001)\n"
        "place = struct.pack('=H', socket.AF_INET) + place[2:]\n"
        "ctypes.CDLL(None).connect(s.fileno(), place, 16)\n"
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.2', 53))\n"
    )
    subprocess.run([*WATCH, "-o", str(log), sys.executable, "-c", code], check=True, timeout=60)
    assert contacted(log) == {("127.0.0.1", 9), ("127.0.0.2", 53)}


def test_the_watch_sees_what_is_asked_of_name_servers(tmp_path):
    require_strace()
    log = tmp_path / "log"
    code = (
        "import contextlib, socket\n"
        "with contextlib.suppress(OSError): socket.getaddrinfo('some-place.very-long-name.invalid', 80)\n"
    )
    subprocess.run([*WATCH, "-o", str(log), sys.executable, "-c", code], check=True, timeout=60)
    assert {name for name in looked_up(log) if name.startswith("some-place.very-long-name.invalid")}
    assert {port for _, port in contacted(log)} == {53}
