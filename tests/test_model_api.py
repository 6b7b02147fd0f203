"""What-if and jobs over HTTP: with the real worker, and with requests that are wrong."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_run import make_model_run
from viewer_run import make_study, make_viewer_run

from model_core.run_folder.run import Run
from seq2exp_viz.api import model as model_api
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving.security import Access


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_model_run(tmp_path_factory.mktemp("model_api"))


@pytest.fixture(scope="module")
def client(path, tmp_path_factory):
    registry = RunRegistry([path], cache=tmp_path_factory.mktemp("cache"))
    yield create_app(registry, Settings(igv="notebook")).server.test_client()
    registry.close()


def ask(client, answer_within=60, **body):
    """POST a question and, where the model takes its time, ask again."""
    reply = client.post("/api/v1/run/whatif", json=body)
    end = time.monotonic() + answer_within
    while reply.status_code == 202:
        assert time.monotonic() < end
        reply = client.get(f"/api/v1/run/whatif/{reply.json['id']}")
    return reply


def ended(client, job):
    end = time.monotonic() + 60
    while (now := client.get(f"/api/v1/jobs/{job['id']}").json)["state"] in ("queued", "running"):
        assert time.monotonic() < end
        time.sleep(0.02)
    return now


def test_a_question_its_words_and_its_numbers(client, path):
    run = Run.open(path)
    assert client.get("/api/v1/run/whatif").json["off"] == ""
    assert "does not record whether" in client.get("/api/v1/run/whatif").json["note"]
    gene = run.genes.iloc[0]
    first = run.cut(gene["gene_id"]).query("`class` != 'promoter'").iloc[0]
    region = {"start": int(first["start"]), "end": int(first["end"])}
    answer = ask(client, gene=gene["symbol"], off=[region], on=[], threshold=0.64, page="p", controls=3).json
    names = {"predicted", "baseline", "delta", "fold_change", "control", "seconds", "note"}
    assert set(answer) == names
    assert answer["baseline"] == pytest.approx(gene["predicted"], abs=1e-5)
    assert answer["delta"] == pytest.approx(answer["predicted"] - answer["baseline"])
    assert answer["control"]["control_n"] == 3
    nothing = ask(client, gene=gene["gene_id"]).json
    assert (nothing["delta"], nothing["fold_change"], nothing["control"]) == (0, 1, None)


def test_elements_are_ranked_by_a_job_and_the_list_fills(client, path):
    gene = Run.open(path).genes.iloc[1]
    assert client.get(f"/api/v1/run/genes/{gene['gene_id']}/effects").json["rows"] == []
    made = client.post("/api/v1/run/jobs", json={"kind": "effects", "gene": gene["symbol"]})
    assert made.status_code == 201
    assert set(made.json) >= {
        *("id", "run", "gene", "kind", "title", "state", "done", "total", "seconds_left", "message", "moved")
    }
    done = ended(client, made.json)
    assert done["state"] == "done", done["message"]
    rows = client.get(f"/api/v1/run/genes/{gene['symbol']}/effects").json["rows"]
    assert {row["element"] for row in rows} == {row["element"] for row in done["rows"]}
    assert all(row["fold_change"] == pytest.approx(10 ** row["effect"]) for row in rows)
    listed = client.get("/api/v1/jobs").json
    assert [job["id"] for job in listed][:1] == [made.json["id"]]
    assert client.post(f"/api/v1/jobs/{made.json['id']}/cancel", json={}).json["state"] == "done"  # too late
    smallest = ended(client, client.post("/api/v1/run/jobs", json={"kind": "smallest", "gene": gene["gene_id"]}).json)
    assert set(smallest["result"]["elements"]) <= {row["element"] for row in rows}


def test_an_unscored_gene_is_scored_on_demand(client, path):
    assert client.get("/api/v1/run/genes/MYC2/mask").status_code == 404
    job = ended(client, client.post("/api/v1/run/jobs", json={"kind": "score", "gene": "MYC2"}).json)
    assert job["state"] == "done", job["message"]
    assert client.get("/api/v1/run/genes/MYC2/mask").status_code == 200
    assert "MYC2" in {row["symbol"] for row in client.get("/api/v1/run/genes").json}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "gene"),
        ({"gene": 3}, "gene"),
        ({"gene": "MYC", "off": 3}, "off"),
        ({"gene": "MYC", "off": [{"start": 5, "end": 5}]}, "off"),
        ({"gene": "MYC", "off": [{"start": -1, "end": 5}]}, "off"),
        ({"gene": "MYC", "on": [{"start": 1.5, "end": 5}]}, "on"),
        ({"gene": "MYC", "on": [[1, 5]]}, "on"),
        ({"gene": "MYC", "off": [{"start": i, "end": i + 1} for i in range(501)]}, "500"),
        ({"gene": "MYC", "threshold": 2}, "threshold"),
        ({"gene": "MYC", "threshold": True}, "threshold"),
        ({"gene": "MYC", "controls": 101}, "controls"),
        ({"gene": "MYC", "page": "x" * 65}, "page"),
        ([], "JSON object"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(client, body, word):
    reply = client.post("/api/v1/run/whatif", json=body)
    assert reply.status_code == 400
    assert word in reply.json["message"]


def test_requests_that_are_not_ours(client):
    good = {"gene": "MYC"}
    assert client.post("/api/v1/run/whatif", data=json.dumps(good)).status_code == 400  # as a form could send it
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for address in ("/api/v1/run/whatif", "/api/v1/run/jobs", "/api/v1/jobs/1/cancel"):
            assert client.post(address, json=good, headers=headers).status_code == 403, address
    assert client.post("/api/v1/run/whatif", data=b" " * 40_000, content_type="application/json").status_code == 400
    assert client.post("/api/v1/run/whatif", json={"gene": "NOSUCH"}).status_code == 404
    assert client.post("/api/v1/run/jobs", json={"kind": "delete", "gene": "MYC"}).status_code == 400
    assert client.post("/api/v1/run/jobs", json={"kind": "effects", "gene": "NOSUCH"}).status_code == 404
    assert client.post("/api/v1/other/jobs", json={"kind": "effects", "gene": "MYC"}).status_code == 404
    assert client.get("/api/v1/jobs/99999").status_code == 404
    assert client.post("/api/v1/jobs/99999/cancel", json={}).status_code == 404
    assert client.get("/api/v1/run/whatif/99999").status_code == 404
    assert client.get("/api/v1/run/jobs").status_code in (404, 405)


def test_the_token_is_asked_for(path, tmp_path):
    registry = RunRegistry([path], cache=tmp_path)
    stranger = create_app(registry, Settings(access=Access(token="t"), igv="notebook")).server.test_client()
    assert stranger.get("/api/v1/jobs").status_code == 401
    assert stranger.post("/api/v1/run/whatif", json={"gene": "MYC"}).status_code == 401
    registry.close()


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
REGION = st.fixed_dictionaries({"start": st.integers(-5, 2**40) | JUNK, "end": st.integers(-5, 2**40) | JUNK})
BODY = st.fixed_dictionaries(
    {},
    optional={
        "off": st.lists(REGION, max_size=3) | JUNK,
        "on": st.lists(REGION, max_size=3) | JUNK,
        "threshold": st.floats() | JUNK,
        "controls": st.integers() | JUNK,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODY)
def test_a_question_is_sound_or_refused(body):
    try:
        found = model_api.question_of(body)
    except model_api.RequestError:
        return
    assert set(found) == {"off", "on", "threshold", "controls"}
    assert found["threshold"] is None or 0 <= found["threshold"] <= 1
    assert 0 <= found["controls"] <= 100
    for start, end in found["off"] + found["on"]:
        assert 0 <= start < end
    json.dumps(found, allow_nan=False)


def test_a_run_without_weights_says_so_and_works(tmp_path):
    study = make_study(tmp_path / "study")
    registry = RunRegistry([make_viewer_run(tmp_path / "run", study)], cache=tmp_path / "cache")
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    key = registry.first.key
    off = client.get(f"/api/v1/{key}/whatif").json["off"]
    assert "weights" in off
    for address, body in (("whatif", {"gene": "MYC"}), ("jobs", {"gene": "MYC", "kind": "effects"})):
        reply = client.post(f"/api/v1/{key}/{address}", json=body)
        assert (reply.status_code, reply.json["message"]) == (503, off)
    assert client.get(f"/api/v1/{key}/genes/MYC/effects").json["rows"] == []
    assert client.get(f"/api/v1/{key}/genes/MYC/mask").status_code == 200
    registry.close()


def test_ctrl_c_at_the_server_ends_the_model_process_too(path):
    words = [sys.executable, "-m", "seq2exp_viz.cli", "serve", str(path), "--port", "0", "--no-open"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    with server.stdout:
        address = server.stdout.readline().split(" at ")[1].split()[0]
        body = json.dumps({"gene": "MYC", "kind": "occlusion"}).encode()
        asked = urllib.request.Request(f"{address}api/v1/run/jobs", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked) as reply:
            assert json.load(reply)["kind"] == "occlusion"
        children = children_of(server.pid)
        assert len(children) >= 1
        server.send_signal(signal.SIGINT)
        assert server.wait(90) in (0, 130)
    end = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in children):
        assert time.monotonic() < end
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as listed:
            found += [int(child) for child in listed.read().split()]
    return found
