"""The model worker and its jobs, with a real process and a tiny model; no torch in this server's own process."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from model_run import make_model_run

from model_core.run_folder.run import Run
from seq2exp_viz.worker import availability
from seq2exp_viz.worker.jobs import Jobs, TooMany

QUESTION = {"off": [], "on": [], "threshold": None, "controls": 0}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_model_run(tmp_path_factory.mktemp("worker"))


@pytest.fixture
def run(path):
    return Run.open(path)


@pytest.fixture(scope="module")
def jobs():
    jobs = Jobs()
    yield jobs
    jobs.close()


def whatif(jobs, run, gene, page="", version="1", seconds=60, **more):
    task = jobs.ask("tiny", run.path, version, gene, {**QUESTION, **more}, page)
    return jobs.wait(task, seconds) if seconds else task


def elements_of(run, gene):
    table = run.cut(gene)
    return table[table["class"] != "promoter"]


def test_a_question_is_answered_as_the_engine_does(jobs, run):
    from model_core.perturbation.run_model import RunModel
    from model_core.perturbation.what_if import Edit

    gene = str(run.genes["gene_id"].iloc[0])
    first = elements_of(run, gene).iloc[0]
    region = (int(first["start"]), int(first["end"]))
    done = whatif(jobs, run, gene, off=[list(region)], controls=4)
    assert done.state == "done", done.message
    direct = RunModel(run, "cpu").what_if(gene)
    answer = done.result
    assert answer["baseline"] == pytest.approx(direct.baseline, abs=1e-6)
    assert answer["predicted"] == pytest.approx(float(direct.under([Edit(off=(region,))])[0]), abs=1e-6)
    assert answer["delta"] == pytest.approx(answer["predicted"] - answer["baseline"], abs=1e-9)
    assert answer["fold_change"] == pytest.approx(10 ** answer["delta"])
    assert answer["control"]["control_n"] == 4
    assert answer["control"]["control_rank"] in range(answer["control"]["control_n"] + 1)


def test_the_same_question_is_answered_from_memory(jobs, run):
    gene = str(run.genes["gene_id"].iloc[0])
    region = [int(run.genes["tss"].iloc[0]) + 600, int(run.genes["tss"].iloc[0]) + 700]
    slow = whatif(jobs, run, gene, off=[region], version="memory")
    before = jobs.worker.pid
    os.kill(before, signal.SIGSTOP)  # nobody there to answer
    try:
        quick = whatif(jobs, run, gene, off=[region], version="memory", seconds=0)
        assert quick.state == "done"
        assert quick.result == slow.result
        assert whatif(jobs, run, gene, off=[region], version="other", seconds=0).state == "queued"
    finally:
        os.kill(before, signal.SIGCONT)


def test_a_newer_question_of_a_page_cancels_its_older_one(jobs, run):
    gene = str(run.genes["gene_id"].iloc[0])
    whatif(jobs, run, gene)
    os.kill(jobs.worker.pid, signal.SIGSTOP)
    try:
        old = whatif(jobs, run, gene, page="a", version="p1", seconds=0)
        other = whatif(jobs, run, gene, page="b", version="p2", seconds=0)
        new = whatif(jobs, run, gene, page="a", version="p3", seconds=0)
        assert [task.state for task in (old, other, new)] == ["cancelled", "queued", "queued"]
    finally:
        os.kill(jobs.worker.pid, signal.SIGCONT)
    assert [jobs.wait(task, 60).state for task in (other, new)] == ["done", "done"]


def test_elements_are_ranked_one_by_one_and_kept_in_the_run(jobs, run):
    gene = str(run.genes["gene_id"].iloc[1])
    task = jobs.start("tiny", run.path, gene, "effects", "MYC")
    assert jobs.start("tiny", run.path, gene, "effects") is task
    assert jobs.wait(task, 60).state == "done", task.message
    assert task.title == "Rank the elements of MYC"
    kept = run.effects[run.effects["gene_id"] == gene]
    assert sorted(task.rows) == sorted(elements_of(run, gene)["name"]) == sorted(kept["element"])
    for row in kept.itertuples():
        assert task.rows[row.element]["effect"] == pytest.approx(row.effect, abs=1e-9)
        assert task.rows[row.element]["control_n"] == row.control_n == 20
    assert (run.path / "effects" / "effects.tsv").is_file()
    assert jobs.all()[0]["state"] == "done"
    assert jobs.all()[0]["done"] == jobs.all()[0]["total"] > 0


def test_a_job_that_waits_can_be_cancelled(jobs, run):
    gene = str(run.genes["gene_id"].iloc[0])
    whatif(jobs, run, gene)
    os.kill(jobs.worker.pid, signal.SIGSTOP)
    try:
        task = jobs.start("tiny", run.path, gene, "occlusion")
        jobs.cancel(task.id)
        assert task.state == "cancelled"
    finally:
        os.kill(jobs.worker.pid, signal.SIGCONT)
    assert whatif(jobs, run, gene, version="after-cancel").state == "done"


def test_a_question_goes_first_while_a_job_runs_and_the_job_can_be_cancelled(jobs, run):
    gene = str(run.genes["gene_id"].iloc[0])
    whatif(jobs, run, gene)
    long = jobs.start("tiny", run.path, gene, "occlusion")
    end = time.monotonic() + 60
    while long.state == "queued" or long.done == 0:
        assert time.monotonic() < end
        time.sleep(0.002)
    asked = whatif(jobs, run, gene, version="first", off=[[0, 10]])
    assert asked.state == "done"
    jobs.cancel(long.id)
    assert long.state in ("cancelled", "done")  # a fast machine may be through
    assert whatif(jobs, run, gene, version="after").state == "done"
    again = jobs.wait(jobs.start("tiny", run.path, gene, "occlusion"), 60)
    assert again.state == "done", again.message
    track = run.occlusion(gene)
    assert np.isfinite(track.effects).any()


def test_the_smallest_set_is_found(jobs, run):
    gene = str(run.genes["gene_id"].iloc[0])
    task = jobs.wait(jobs.start("tiny", run.path, gene, "smallest"), 60)
    assert task.state == "done", task.message
    assert set(task.result["elements"]) <= set(elements_of(run, gene)["name"])


def test_a_gene_is_scored_now_and_the_run_grows(jobs, path):
    run = Run.open(path)
    before, rule = len(run.scored), run.manifest["element_rule"]
    task = jobs.wait(jobs.start("tiny", run.path, "MYC2", "score"), 60)
    assert task.state == "done", task.message
    assert len(run.scored) == before + 1
    assert Run.open(path).manifest["element_rule"] == rule
    assert task.result["gene"] in set(run.genes["gene_id"])
    row = run.gene("MYC2")
    assert whatif(jobs, Run.open(path), row["gene_id"]).result["predicted"] == pytest.approx(row["predicted"], abs=1e-6)
    assert row["kept_percent"] > 0
    again = jobs.wait(jobs.start("tiny", run.path, "MYC2", "score"), 60)
    assert again.state == "failed"
    assert "already scored" in again.message
    unknown = jobs.wait(jobs.start("tiny", run.path, "NOSUCH", "score"), 60)
    assert unknown.state == "failed"
    assert "NOSUCH" in unknown.message


def test_a_worker_that_dies_is_noticed_and_started_again(jobs, run):
    gene = str(run.genes["gene_id"].iloc[0])
    whatif(jobs, run, gene)
    os.kill(jobs.worker.pid, signal.SIGSTOP)
    task = whatif(jobs, run, gene, version="dies", seconds=0)
    os.kill(jobs.worker.pid, signal.SIGKILL)
    assert jobs.wait(task, 20).state == "failed"
    assert "was killed" in task.message
    assert whatif(jobs, run, gene, version="lives").state == "done"


def test_closing_ends_the_process_and_what_waits(run):
    jobs = Jobs()
    gene = str(run.genes["gene_id"].iloc[0])
    task = whatif(jobs, run, gene, seconds=0)
    pid = jobs.worker.pid
    jobs.close()
    assert task.state == "failed"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert whatif(jobs, run, gene, version="2", seconds=0).state == "failed"


def test_a_worker_without_its_server_ends(run):
    code = (
        "import sys, time; from pathlib import Path; from seq2exp_viz.worker.jobs import Jobs\n"
        "jobs = Jobs(); jobs.start('r', Path(sys.argv[1]), 'x', 'occlusion')\n"
        "print(jobs.worker.pid, flush=True); time.sleep(600)"
    )
    server = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE, text=True)
    with server.stdout:
        pid = int(server.stdout.readline())
    server.kill()
    server.wait()
    end = time.monotonic() + 30
    while _alive(pid):
        assert time.monotonic() < end
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_only_so_many_jobs_wait(run):
    jobs = Jobs(command=(sys.executable, "-c", "import sys; sys.stdin.read()"))
    try:
        for number in range(50):
            jobs.start("tiny", run.path, f"G{number}", "score")
        with pytest.raises(TooMany, match="50 jobs are waiting already"):
            jobs.start("tiny", run.path, "one more", "score")
        assert jobs.cancel(1)
        assert not jobs.cancel(1)
        jobs.start("tiny", run.path, "one more", "score")
    finally:
        jobs.close()


def test_why_what_if_is_off_is_said(run, monkeypatch, tmp_path):
    assert availability.unavailable_reason(run) == ""
    monkeypatch.setattr(availability, "find_spec", lambda name: None)
    assert "pip install 'seq2exp-viz[model]'" in availability.unavailable_reason(run)
    monkeypatch.undo()
    monkeypatch.setattr(type(run), "checkpoint", None)
    assert "weights" in availability.unavailable_reason(run)


def test_the_server_process_never_has_torch(run):
    code = (
        "import sys; from pathlib import Path\n"
        "from seq2exp_viz.worker.jobs import Jobs\n"
        "from seq2exp_viz.worker.availability import unavailable_reason\n"
        "from model_core.run_folder.run import Run\n"
        "run = Run.open(sys.argv[1]); assert unavailable_reason(run) == ''\n"
        "jobs = Jobs(); gene = run.genes['gene_id'].iloc[0]\n"
        "task = jobs.ask('r', run.path, '1', gene, dict(off=[], on=[], threshold=None, controls=0))\n"
        "assert jobs.wait(task, 60).state == 'done', task.message\n"
        "jobs.close(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(run.path)]).returncode == 0
