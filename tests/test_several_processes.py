"""The page under a real gunicorn with one and with several processes: whichever gets a request answers it."""

import json
import os
import re
import signal
import stat
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gunicorn_server import Gunicorn, is_there, until
from model_run import make_model_run

from model_core.errors import InputError
from model_core.run_folder.run import Run
from seq2exp_viz.worker.jobs import TooMany
from seq2exp_viz.worker.jobs_server import Jobs, JobsServer
from seq2exp_viz.worker.shared_jobs import SharedJobs, shared_folder

pytest.importorskip("gunicorn")
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc")
WAYS = {
    "one": ["-w", "1", "--threads", "4"],
    "three": ["-w", "3", "--threads", "4"],
    "preloaded": ["-w", "3", "--threads", "4", "--preload"],
}
LONG = {"kind": "occlusion"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_model_run(tmp_path_factory.mktemp("several"))


@pytest.fixture(scope="module", params=WAYS)
def server(request, path, tmp_path_factory):
    server = Gunicorn(WAYS[request.param], {"SEQ2EXP_RUNS": str(path)}, tmp_path_factory.mktemp(request.param))
    yield server
    server.stop()


def call(server, place: str, body: dict | None = None) -> tuple[int, object]:
    """Status and answer of one request over a connection of its own."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{place}", data, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answered:
            status, text = answered.status, answered.read()
    except urllib.error.HTTPError as refused:
        status, text = refused.code, refused.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode(errors="replace")


def answered(server, gene: str, **more) -> dict:
    """The answer to a what-if, asked again until it is there."""
    status, reply = call(server, "/api/v1/run/whatif", {"gene": gene, "controls": 0, **more})
    number, end = reply.get("id"), time.monotonic() + 60
    while status == 202 and time.monotonic() < end:
        status, reply = call(server, f"/api/v1/run/whatif/{number}")
    assert status == 200, (status, reply, server.log.read_text()[-4000:])
    return reply


def ended(server, job: dict) -> dict | None:
    """The job, once it has ended."""
    status, now = call(server, f"/api/v1/jobs/{job['id']}")
    assert status == 200, (now, server.log.read_text()[-4000:])
    return now if now["state"] not in ("queued", "running") else None


def visit(server, place: str) -> str:
    status, text = call(server, place)
    assert status == 200, (place, status, str(text)[:300], server.log.read_text()[-4000:])
    return text if isinstance(text, str) else json.dumps(text)


def scripts_of(page: str) -> list[str]:
    return sorted(set(re.findall(r'<script src="([^"]+)"', page)))


def test_a_process_that_has_shown_nobody_the_page_serves_its_scripts(server):
    first, *others = server.workers
    with server.only(first):
        scripts = scripts_of(visit(server, "/"))
    assert sum("_dash-component-suites" in script for script in scripts) > 5
    for worker in others:
        with server.only(worker):
            for script in scripts:
                visit(server, script)


def test_sixty_visitors_get_the_page_all_its_scripts_and_what_it_asks_for(server):
    with ThreadPoolExecutor(8) as visitors:
        pages = list(visitors.map(lambda _: visit(server, "/"), range(60)))
        places = [*scripts_of(pages[0]), "/_dash-layout", "/_dash-dependencies", "/igv.js", "/api/v1/run/genes"]
        list(visitors.map(lambda place: visit(server, place), places * 6))
    assert "Traceback" not in server.log.read_text()


def test_a_question_asked_of_one_process_is_answered_by_the_others(server, path):
    run = Run.open(path)
    gene = run.genes.iloc[0]
    asked, *others = server.workers
    first = run.cut(gene["gene_id"]).query("`class` != 'promoter'").iloc[0]
    question = {
        "gene": gene["symbol"],
        "off": [{"start": int(first["start"]), "end": int(first["end"])}],
        "controls": 2,
    }
    with server.only(asked):
        status, reply = call(server, "/api/v1/run/whatif", question)
    for worker in [*others, asked]:
        with server.only(worker):
            end = time.monotonic() + 60
            while status == 202 and time.monotonic() < end:
                status, reply = call(server, f"/api/v1/run/whatif/{reply['id']}")
            assert status == 200, (status, reply, server.log.read_text()[-4000:])
            assert reply["baseline"] == pytest.approx(gene["predicted"], abs=1e-5)
            again = call(server, "/api/v1/run/whatif", question)  # remembered, whoever answered it first
            assert again == (200, reply)
    assert len(server.called("jobs_server")) == 1
    assert len(server.called("model_process")) == 1


def test_a_job_begun_in_one_process_is_seen_and_stopped_in_the_others(server, path):
    gene = str(Run.open(path).genes["gene_id"].iloc[1])
    answered(server, gene)
    workers = server.workers
    begin, look, stop = (workers * 3)[:3]
    [child] = server.called("model_process")
    os.kill(child, signal.SIGSTOP)  # a model that takes its time
    try:
        with server.only(begin):
            status, job = call(server, "/api/v1/run/jobs", {"kind": "effects", "gene": gene})
        assert status == 201, job
        with server.only(look):
            assert call(server, f"/api/v1/jobs/{job['id']}")[1]["state"] in ("queued", "running")
            assert job["id"] in [one["id"] for one in call(server, "/api/v1/jobs")[1]]
            assert call(server, f"/api/v1/run/genes/{gene}/effects")[1]["job"]["id"] == job["id"]
            again = call(server, "/api/v1/run/jobs", {"kind": "effects", "gene": gene})[1]
            assert again["id"] == job["id"]  # not twice
        with server.only(stop):
            assert call(server, f"/api/v1/jobs/{job['id']}/cancel", {})[1]["state"] == "cancelled"
        with server.only(begin):
            assert call(server, f"/api/v1/jobs/{job['id']}")[1]["state"] == "cancelled"
    finally:
        os.kill(child, signal.SIGCONT)
    with server.only(look):
        status, job = call(server, "/api/v1/run/jobs", {"kind": "effects", "gene": gene})
    for worker in workers:
        with server.only(worker):
            end = time.monotonic() + 60
            while (now := call(server, f"/api/v1/jobs/{job['id']}")[1])["state"] in ("queued", "running"):
                assert time.monotonic() < end, server.log.read_text()[-4000:]
            assert now["state"] == "done", now
            rows = call(server, f"/api/v1/run/genes/{gene}/effects")[1]["rows"]
            assert {row["element"] for row in rows} == {row["element"] for row in now["rows"]} != set()


def test_a_page_asks_one_question_at_a_time_whoever_gets_them(server, path):
    gene = str(Run.open(path).genes["gene_id"].iloc[0])
    answered(server, gene)
    first, second = (server.workers * 2)[:2]
    [child] = server.called("model_process")
    os.kill(child, signal.SIGSTOP)
    try:
        with server.only(first):
            old = call(server, "/api/v1/run/whatif", {"gene": gene, "off": [{"start": 1, "end": 9}], "page": "p"})
        with server.only(second):
            new = call(server, "/api/v1/run/whatif", {"gene": gene, "off": [{"start": 1, "end": 8}], "page": "p"})
            assert (old[0], new[0]) == (202, 202)
            assert call(server, f"/api/v1/run/whatif/{old[1]['id']}")[0] == 409
    finally:
        os.kill(child, signal.SIGCONT)


def test_a_process_that_is_killed_is_replaced_and_nothing_is_forgotten(server, path):
    gene = str(Run.open(path).genes["gene_id"].iloc[0])
    job = call(server, "/api/v1/run/jobs", {**LONG, "gene": gene})[1]
    count, killed = len(server.workers), server.workers
    for worker in killed:  # also the one that started the process that keeps the jobs
        os.kill(worker, signal.SIGKILL)
        server.until(lambda: len(server.workers) == count and server.answers())
    assert not set(killed) & set(server.workers)
    server.until(lambda: ended(server, job))
    assert ended(server, job)["state"] == "done", ended(server, job)
    answered(server, gene)
    for script in scripts_of(visit(server, "/")):
        visit(server, script)


def test_where_the_process_that_keeps_the_jobs_is_killed_the_next_question_starts_another(server, path):
    gene = str(Run.open(path).genes["gene_id"].iloc[0])
    job = call(server, "/api/v1/run/jobs", {**LONG, "gene": gene})[1]
    [keeper] = server.called("jobs_server")
    os.kill(keeper, signal.SIGKILL)
    server.until(lambda: not is_there(keeper))
    status, told = call(server, f"/api/v1/jobs/{job['id']}")
    assert status == 404
    assert "has ended" in told["message"]
    assert call(server, "/api/v1/jobs") == (200, [])
    assert answered(server, gene)["delta"] == 0
    assert call(server, f"/api/v1/jobs/{job['id']}")[0] == 404  # its number is given to no other
    assert server.called("jobs_server") != [keeper]


@pytest.mark.nightly
def test_a_crowd_of_first_questions_starts_one_process(path, tmp_path):
    server = Gunicorn(WAYS["three"], {"SEQ2EXP_RUNS": str(path)}, tmp_path)
    try:
        gene = str(Run.open(path).genes["gene_id"].iloc[0])
        with ThreadPoolExecutor(12) as visitors:
            found = list(visitors.map(lambda number: answered(server, gene, page=f"p{number}"), range(12)))
        assert len({answer["baseline"] for answer in found}) == 1
        assert len(server.called("jobs_server")) == 1
        server.process.terminate()
        server.until(lambda: not server.called("jobs_server") and not server.called("model_process"))  # by themselves
    finally:
        server.stop()


# ---- what they share, without a web server


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="s2e-") as made:
        yield Path(made)


def test_too_many_jobs_are_refused_in_the_same_words(folder):
    slow = Jobs(command=(sys.executable, "-c", "import sys; sys.stdin.read()"))
    shared = SharedJobs("many", folder)
    server = JobsServer(shared.stem, slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for number in range(50):
            assert shared.start("run", folder, f"G{number}", "score", f"gene {number}").state == "queued"
        with pytest.raises(TooMany, match="50 jobs are waiting already"):
            shared.start("run", folder, "one more", "score")
        assert shared.all()[0]["title"] == "Score gene 49"
        assert shared.running("run", "G3", "score").gene == "G3"
        waited = shared.wait(shared.running("run", "G3", "score"), 0.05)
        assert waited.state == "queued"
    finally:
        server.shutdown()
        server.server_close()
        slow.close()
        shared.close()


def test_a_web_server_that_stops_starts_nothing(folder):
    shared = SharedJobs("stops", folder)
    assert (shared.all(), shared.get(1), shared.cancel(1), shared.running("r", "g", "score")) == ([], None, False, None)
    shared.close()
    shared.close()
    task = shared.start("run", folder, "G", "score")
    assert (task.state, task.message) == ("failed", "The server is stopping.")


def test_a_process_that_cannot_be_started_is_told_in_words(folder):
    shared = SharedJobs("broken", folder, command=(sys.executable, "-c", "raise SystemExit(7)"))
    task = shared.ask("run", folder, "1", "G", {"off": [], "on": []})
    assert task.state == "failed"
    assert "exit code 7" in task.message
    shared.close()


def test_it_ends_some_time_after_the_last_has_left(folder):
    command = (
        sys.executable,
        "-c",
        "import sys; from seq2exp_viz.worker.jobs_server import *\nmain(Path(sys.argv[1]), 1)",
    )
    first, second = (SharedJobs("two", folder, command) for _ in range(2))
    socket = folder / (first.stem.name + ".socket")
    first.cancel(first.start("run", folder, "G", "score").id)
    first.close()
    time.sleep(3)
    assert socket.exists()  # the second is still there
    assert [job["gene"] for job in second.all()] == ["G"]
    second.close()
    until(lambda: not socket.exists())
    third = SharedJobs("two", folder, command)
    assert third.start("run", folder, "H", "score").state == "queued"
    third.close()
    until(lambda: not socket.exists())


@pytest.mark.parametrize("spoil", ["open to others", "a file", "a link"])
def test_a_folder_that_others_could_have_made_is_refused(folder, monkeypatch, spoil):
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    mine = folder / f"seq2exp-viz-{os.getuid()}"
    if spoil == "a file":
        mine.write_text("")
    elif spoil == "a link":
        (folder / "elsewhere").mkdir()
        mine.symlink_to(folder / "elsewhere")
    else:
        mine.mkdir()
        mine.chmod(0o777)
    with pytest.raises(InputError, match="set TMPDIR"):
        shared_folder()


def test_the_folder_is_of_this_user_alone_and_its_path_fits_a_socket(folder, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert stat.S_IMODE(shared_folder().stat().st_mode) == 0o700
    assert shared_folder() == shared_folder()
    with pytest.raises(InputError, match="shorter path"):
        SharedJobs("x", folder / ("long" * 25))
    monkeypatch.setattr("tempfile.tempdir", str(folder / "nowhere"))
    with pytest.raises(InputError, match="set TMPDIR"):
        shared_folder()
