"""`serve` as people start it: --check, ready line, Ctrl-C, and other WSGI servers."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from viewer_run import make_study, make_viewer_run

from model_core.errors import InputError
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind
from seq2exp_viz.wsgi import from_environment

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "seq2exp_viz.cli", "serve")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("serving")
    return make_viewer_run(folder / "run", make_study(folder / "study"), name="here", genes=2)


@pytest.fixture
def environ(tmp_path) -> dict:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SSH_", "JUPYTERHUB", "SEQ2EXP_"))
    }
    return {**kept, "SEQ2EXP_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def serve(environ: dict, *words: object) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, *map(str, words)], env=environ, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_check_says_what_would_be_served_and_ends(run_folder, environ, tmp_path):
    good = serve(environ, run_folder, "--check")
    said, _ = good.communicate(timeout=120)
    assert good.returncode == 0
    for words in (
        "would be served as here",
        "2 genes scored",
        "signals: H3K27ac, DNase, Hi-C",
        "1 MACS3",
        "genome: available",
    ):
        assert words.replace("1 MACS3", "MACS3 peaks") in said, words
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    bad = serve(environ, run_folder, tmp_path / "broken", "--check")
    said, errors = bad.communicate(timeout=120)
    assert bad.returncode == 2
    assert "damaged JSON" in said
    assert "would be served as here" in said
    assert "Traceback" not in errors


def test_ready_line_ssh_hint_hub_prefix_and_ctrl_c(run_folder, environ):
    environ |= {"SSH_CONNECTION": "1 2 3 4", "USER": "ada", "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/", "DISPLAY": ":9"}
    process = serve(environ, run_folder, "--token", "s3cret")
    try:
        ready = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)(/user/ada/proxy/\1/)\?token=s3cret", ready)
        assert found, ready
        hint = process.stdout.readline()
        assert f"ssh -L {found[1]}:127.0.0.1:{found[1]} ada@" in hint
        visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())  # the token becomes a cookie
        assert visitor.open(found[0], timeout=90).status == 200
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/", timeout=90)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_taken_port_is_one_message_and_exit_code_2(run_folder, environ):
    with bind("127.0.0.1", 0) as taken:
        process = serve(environ, run_folder, "--port", taken.getsockname()[1], "--no-open")
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "choose another with --port" in errors


def test_another_wsgi_server_is_set_up_by_variables(run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        RunRegistry, "prepare", lambda registry, *_: None
    )  # a process and a thread of its own, not needed here
    (tmp_path / "x.bed").write_text("chr1\t1\t2\n")
    base = {"SEQ2EXP_RUNS": str(run_folder), "SEQ2EXP_IGV": "notebook"}
    named = from_environment(
        {**base, "SEQ2EXP_HOSTS": "viz.lab.org", "SEQ2EXP_URL_PREFIX": "lab/viz", "SEQ2EXP_ALLOW": str(tmp_path)}
    ).test_client()
    assert named.get("/lab/viz/api/v1/runs", base_url="https://viz.lab.org").get_json()[0]["key"] == "here"
    assert named.get("/api/v1/here/allowed", base_url="https://viz.lab.org").get_json()[0]["name"] == "x.bed"
    assert named.get("/api/v1/runs", base_url="https://other.org").status_code == 403
    secret = from_environment({**base, "SEQ2EXP_TOKEN": "abc"}).test_client()
    assert secret.get("/api/v1/runs", base_url="https://any.org").status_code == 401
    assert secret.get("/api/v1/runs", headers={"Authorization": "Bearer abc"}).status_code == 200
    with pytest.raises(InputError, match="SEQ2EXP_RUNS"):
        from_environment({})


def test_the_application_is_found_by_its_name_under_a_real_server(run_folder, environ):
    environ |= {"SEQ2EXP_RUNS": str(run_folder), "SEQ2EXP_IGV": "notebook"}
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}", "seq2exp_viz.wsgi:application"]
    process = subprocess.Popen(words, env=environ, cwd=ROOT, text=True, stderr=subprocess.PIPE)
    try:
        for line in process.stderr:
            if "Serving on" in line:
                break
        answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/runs", timeout=90).read()
    finally:
        process.terminate()
        process.communicate(timeout=90)
    assert b'"key":"here"' in answer


def test_a_crowd_of_clients_is_answered_without_an_error(run_folder, environ, tmp_path):
    """The benchmark's short form: what it prints for the README is what is held here."""
    script = ROOT / "benchmarks" / "load.py"
    words = [sys.executable, script, run_folder, "--clients", "6", "--seconds", "4", "--json", tmp_path / "load.json"]
    done = subprocess.run(list(map(str, words)), env=environ, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "load.json").read_text())
    assert set(told["mixed"]["kinds"]) == {"range", "mask", "elements"}
    assert told["errors"] == 0
    assert "p95" in done.stdout
    assert "ratio" in done.stdout
