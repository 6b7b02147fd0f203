"""Jobs whose files lie on a server that accepts connections and then sends nothing, or a byte a second."""

import os
import sys
import time

import pytest
from range_server import serve_ranges
from test_remote_tracks import move_to_server
from test_score_now import empty_run

from model_core.remote import remote_file, whole_files
from seq2exp_viz.worker.jobs import Jobs

SECONDS = 60  # for a process that imports torch and scores a gene, on a busy machine
STUCK = 120.0  # seconds: longer than any test waits
QUESTION = {"off": [], "on": [], "threshold": None, "controls": 0}
READS = """
import sys
from model_core.remote.address import RemotePath
from model_core.remote.remote_file import open_ranges
from model_core.remote.whole_files import local_copy
from seq2exp_viz.worker import model_process

class Reads(model_process.TaskRunner):  # a job reads the address that is its gene, a question answers at once
    def _score(self, task):
        path = RemotePath(task["gene"])
        return self._apart(lambda step: self._whole(path) if "whole" in sys.argv else self._blocks(path))

    def _whole(self, path):
        return {"bytes": local_copy(path).stat().st_size}

    def _blocks(self, path):
        return {"bytes": len(open_ranges(path).read_at(100_000, 100_000))}

    def _whatif(self, task):
        return {}

sys.argv[1:] = ["cpu", *sys.argv[1:]]
model_process.TaskRunner = Reads
model_process.main()
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of processes that are started from now on."""
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server():
    with serve_ranges({"/a.bin": bytes(200_000), "/b.bin": bytes(200_000)}) as server:
        server.patience = STUCK
        yield server


def until(true, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def start_stuck(jobs, server, path, faults, run, gene):
    """Start to score a gene, and return the job once the last of these faults has met it; the server is then well."""
    server.faults[path] = list(faults)
    job = jobs.start("far", run, gene, "score")
    until(lambda: not server.faults[path])
    return job


@pytest.mark.parametrize("fault", ["slow", "drip"])
@pytest.mark.parametrize("how", ["whole", "blocks"])
def test_a_stopped_read_ends_and_what_waits_behind_it_is_done(server, cache, tmp_path, how, fault):
    jobs = Jobs((sys.executable, "-c", READS, how))
    try:
        first_byte = (how, fault) == ("whole", "drip")  # is asked for before the file, and comes
        faults = [fault, fault] if first_byte else [fault]
        job = start_stuck(jobs, server, "/a.bin", faults, tmp_path, server.url("/a.bin"))
        waiting = [jobs.start("far", tmp_path, server.url("/b.bin"), "score")]
        waiting += [jobs.ask("far", tmp_path, "1", "G", QUESTION)]
        process, began = jobs.worker.pid, time.monotonic()
        assert jobs.cancel(job.id)
        waiting += [jobs.start("far", tmp_path, server.url("/a.bin"), "score")]  # tried again, before it has ended
        assert [jobs.wait(task, 20).state for task in waiting] == ["done"] * 3
        assert time.monotonic() - began < 15  # of a read that takes two minutes
        assert jobs.worker.pid != process
        assert waiting[2].result == {"bytes": 200_000 if how == "whole" else 100_000}
        assert (job.state, job.message) == ("cancelled", "Cancelled.")
    finally:
        jobs.close()


def test_a_read_that_ends_soon_after_it_is_stopped_costs_no_process(server, cache, tmp_path):
    server.patience = 0.5
    jobs = Jobs((sys.executable, "-c", READS, "blocks"))
    try:
        job = start_stuck(jobs, server, "/a.bin", ["slow"], tmp_path, server.url("/a.bin"))
        process = jobs.worker.pid
        assert jobs.cancel(job.id)
        assert jobs.wait(jobs.start("far", tmp_path, server.url("/b.bin"), "score"), 20).state == "done"
        assert jobs.worker.pid == process
    finally:
        jobs.close()


def test_a_process_that_reads_from_a_stuck_server_ends_with_its_own(server, cache, tmp_path):
    jobs = Jobs((sys.executable, "-c", READS, "whole"))
    start_stuck(jobs, server, "/a.bin", ["slow"], tmp_path, server.url("/a.bin"))
    process, began = jobs.worker.pid, time.monotonic()
    jobs.close()
    assert time.monotonic() - began < 2.9  # by itself: it is killed only after three
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_stopped_gene_holds_no_other_run_and_can_be_tried_again(tmp_path, monkeypatch):
    with serve_ranges({}) as server:
        server.patience = STUCK
        monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "made"))
        far = empty_run(tmp_path / "far", lambda path: move_to_server(path, server))
        near = empty_run(tmp_path / "near")
        remote_file.forget()
        whole_files.forget()
        monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
        jobs = Jobs()
        try:
            job = start_stuck(jobs, server, "/genes.gtf", ["slow"], far, "MYC")
            assert jobs.cancel(job.id)
            other = jobs.start("near", near, "MYC", "score")
            again = jobs.start("far", far, "MYC", "score")
            for task in (other, again):
                assert jobs.wait(task, SECONDS).state == "done", task.message
        finally:
            jobs.close()
