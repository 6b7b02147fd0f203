"""A model process that is stopped, slow or flooded: the server answers everything else, and tells who asks too much."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from model_run import make_model_run

from model_core.run_folder.run import Run
from seq2exp_viz.worker.client import Worker
from seq2exp_viz.worker.jobs import MOST_OF_PROGRAMS, MOST_QUESTIONS, Jobs, TooMany

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc")
QUESTION = {"off": [], "on": [], "threshold": None, "controls": 0}
DEAF = (sys.executable, "-c", "import time; time.sleep(600)")  # reads nothing


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_model_run(tmp_path_factory.mktemp("stopped"))


@pytest.fixture
def server(path):
    """The command `serve` in a process of its own, and its port."""
    words = [sys.executable, "-m", "seq2exp_viz.cli", "serve", str(path), "--no-open", "--port", "0"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, text=True)
    with process, process.stdout:
        port = int(re.search(r":(\d+)/", next(line for line in process.stdout if "ready" in line)).group(1))
        yield process, port
        process.terminate()
        process.wait(20)


def call(port: int, way: str, place: str, body: dict | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        given = None if body is None else json.dumps(body)
        connection.request(way, place, given, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def model_of(server: int) -> int | None:
    """Id of the server's model process."""
    for task in Path(f"/proc/{server}/task").glob("*/children"):
        for child in task.read_text().split():
            if b"model_process" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    return None


def test_with_a_stopped_model_and_300_questions_an_ordinary_request_takes_less_than_a_second(server, path):
    process, port = server
    gene = str(Run.open(path).genes["gene_id"].iloc[0])
    assert call(port, "POST", "/api/v1/run/whatif", {"gene": gene, "page": "first"})[0] in (200, 202)
    model = model_of(process.pid)
    os.kill(model, signal.SIGSTOP)
    times, over = [], threading.Event()

    def ask(number: int) -> int:
        regions = [{"start": 10 * i, "end": 10 * i + 1 + number % 9} for i in range(500)]  # together more than a pipe
        body = {"gene": gene, "off": regions, "page": f"page {number}" if number % 2 else ""}
        status, answer = call(port, "POST", "/api/v1/run/whatif", body)
        assert status != 429 or b"questions are waiting already" in answer
        return status

    try:
        found: Counter = Counter()
        with ThreadPoolExecutor(8) as askers:
            asked = askers.map(ask, range(300))

            def count() -> None:
                found.update(asked)
                over.set()

            threading.Thread(target=count).start()
            while not over.is_set():
                began = time.monotonic()
                assert call(port, "GET", "/api/v1/run/genes")[0] == 200
                times.append(time.monotonic() - began)
        assert sorted(times)[len(times) * 19 // 20] < 1, sorted(times)[-10:]
        assert max(times) < 5
        assert found[429] >= 300 - 2 * MOST_QUESTIONS  # twice, where a slow test outlasts the patience with the model
    finally:
        with suppress(ProcessLookupError):
            os.kill(model, signal.SIGKILL)


def test_questions_beyond_the_cap_are_refused_and_those_of_programs_leave_places(tmp_path):
    jobs = Jobs(command=DEAF)
    ask = lambda page, number: jobs.ask("run", tmp_path, str(number), "G", QUESTION, page)  # noqa: E731  short here
    try:
        for number in range(MOST_OF_PROGRAMS):
            assert ask("", number).state == "queued"
        with pytest.raises(TooMany, match="ask again in some seconds"):
            ask("", "one more")
        for number in range(MOST_QUESTIONS - MOST_OF_PROGRAMS):
            assert ask(f"page {number}", number).state == "queued"
        with pytest.raises(TooMany):
            ask("another page", 0)
        assert ask("page 3", "newer").state == "queued"  # takes the place of the page's older one
        with pytest.raises(TooMany):
            ask("another page", 0)
    finally:
        jobs.close()


@pytest.mark.parametrize("code", ["import time; time.sleep(600)", "import os; os.kill(os.getpid(), 19)"])
def test_a_process_that_does_not_read_is_reported_and_replaced(code):
    died, told = [], threading.Event()
    worker = Worker(print, lambda *end: (died.append(end), told.set()), (sys.executable, "-c", code), patience=1.0)
    try:
        began = time.monotonic()
        for number in range(40):
            assert worker.send({"id": number, "text": "x" * 8_000}) == 1  # more than a pipe holds
        worker.cancel(3)
        assert time.monotonic() - began < 1
        assert told.wait(20)
        [(number, words)] = died
        assert number == 1
        assert "has read nothing for 1 s and was ended" in words
        assert worker.send({"id": 41}) == 2
    finally:
        worker.close()


def test_a_process_that_cannot_be_started_is_an_error():
    worker = Worker(print, print, ("/no/such/program",))
    with pytest.raises(OSError, match="/no/such/program"):
        worker.send({"id": 1})
    worker.close()


def test_a_stopped_model_process_ends_with_a_killed_server(server):
    process, port = server
    gene = json.loads(call(port, "GET", "/api/v1/run/genes")[1])
    assert gene
    assert call(port, "POST", "/api/v1/run/whatif", {"gene": "MYC", "page": "p"})[0] in (200, 202)
    model = model_of(process.pid)
    os.kill(model, signal.SIGSTOP)
    process.kill()
    end = time.monotonic() + 5
    while Path(f"/proc/{model}/exe").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{model}/exe").exists()
