"""Nothing that a request can hold ends in a failure of the server: each answer is what was asked for, or a refusal."""

import logging
import os
import random
import re
import shutil
from urllib.parse import quote

import pytest
from gunicorn_server import ROOT
from viewer_run import make_study, make_viewer_run

from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.page import callback_requests
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving.security import Access

SEED = int(os.environ.get("SEQ2EXP_TEST_SEED", "16"))
# Every parameter that a route reads, and those of `place`.
NAMES = {
    name
    for path in (ROOT / "seq2exp_viz" / "api").glob("*.py")
    for name in re.findall(r'(?:args\.get|integer|_json)\(\s*"(\w+)"', path.read_text())
} | {"start", "end", "chrom", "locus", "written", "download", "v", "token"}
FITTING = {
    "run": "demo",
    "gene": "MYC",
    "name": "DNase",
    "file": "mask.bigWig",
    "part": "network",
    "level": "gene",
    "kind": "svg",
    "number": "3",
}
QUERY = "chrom=chr1&start=8000&end=12000&bins=50&q=MYC&from=other&beside=other"
NUMBERS = ["-1", "1e12", "-1e12", "1e400", "nan", "inf", "9" * 400, "9" * 5_000, "4294967296", "9223372036854775808"]
TEXTS = ["", "0", "1_000", "١٢٣", "²", "0x10", "chr1:1-2", "a" * 3_000, "\0", "\r\nX: y", "../..", "é", "%", "<b>"]
JSON = ["[]", "null", "[" * 900, '[{"colId":[]}]', '{"start":{"type":"equals","filter":' + "9" * 400 + "}}"]
JSON.append('{"start":' + '{"conditions":[' * 300 + "{}" + "]}" * 300 + "}")
HOSTILE = [*map(quote, [*NUMBERS, *TEXTS, *JSON]), "%ff%fe", "%", "%zz", "%ed%a0%80"]
VALUES = [
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    float("inf"),
    "",
    "MYC",
    "x" * 5_000,
    [],
    [[]],
    {},
    {"run": []},
    {"a": 1},
    "\0",
]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    study = make_study(folder / "study")
    runs = [make_viewer_run(folder / name, study, name=name) for name in ("demo", "other")]
    registry = RunRegistry(runs, cache=folder / "cache")
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def app(registry):
    logging.getLogger("seq2exp_viz").setLevel(logging.ERROR)
    return create_app(registry, Settings(igv="notebook"))


def failures(client, method: str, places, **more) -> list[tuple]:
    """What did not end in an answer or a refusal in words."""
    found = []
    for place in places:
        answer = client.open(place, method=method, **more)
        words = answer.status_code == 503 and "message" in (answer.get_json(silent=True) or {})
        if answer.status_code >= 500 and not words:
            found.append((method, place[:200], answer.status_code, answer.data[:200]))
    return found


def path_of(rule, **filled: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda part: {**FITTING, **filled}.get(part[1], "x"), rule.rule)


def rules(app, method: str) -> list:
    """Rules with this method; reports and figures take seconds each and have a test of their own."""
    slow = ("report", "figure")
    return [
        rule
        for rule in app.server.url_map.iter_rules()
        if method in rule.methods and not rule.rule.split("/")[-1].startswith(slow)
    ]


def hostile_places(app, count: int, seed: int):
    """Addresses of every rule with one hostile parameter among fitting ones, or one hostile part of the path."""
    chance = random.Random(seed)
    for rule in rules(app, "GET"):
        for name in chance.sample(sorted(NAMES), min(count, len(NAMES))):
            kept = "&".join(item for item in QUERY.split("&") if not item.startswith(f"{name}="))
            for value in chance.sample(HOSTILE, count):
                yield f"{path_of(rule)}?{kept}&{name}={value}"
        for name in rule.arguments:
            for value in chance.sample(HOSTILE, count):
                yield path_of(rule, **{name: value or "x"}) + f"?{QUERY}"


def test_the_parameters_that_routes_read_are_known():
    assert {"bins", "threshold", "filters", "sorts", "genes", "origin", "tail", "size", "limit", "offset"} < NAMES


def test_no_parameter_of_any_route_makes_the_server_fail(app):
    assert failures(app.server.test_client(), "GET", hostile_places(app, 1, SEED)) == []


@pytest.mark.nightly
def test_no_parameter_of_any_route_makes_the_server_fail_at_length(app):
    assert failures(app.server.test_client(), "GET", hostile_places(app, len(HOSTILE), SEED)) == []


@pytest.mark.parametrize("value", ["1e12", "1e400", "-1", "9" * 5_000])
def test_every_number_of_a_request_may_be_any_number(app, value):
    routes = ("genes/MYC/mask", "genes/MYC/prior", "genes/MYC/contact/Hi-C", "genes/MYC/certainty", "signals/DNase")
    routes = (*routes, "peaks", "owners", "models/gene", "genes/MYC/difference")
    places = [f"/api/v1/demo/audit?{name}={value}" for name in ("offset", "limit")]
    for name in ("start", "end", "bins", "threshold"):
        kept = "&".join(item for item in QUERY.split("&") if not item.startswith(f"{name}="))
        places += [f"/api/v1/demo/{route}?{kept}&{name}={value}" for route in routes]
    assert failures(app.server.test_client(), "GET", places) == []


@pytest.mark.parametrize("query", ["end=1e12", "threshold=nan", "genes=%00", "chrom=chr1&start=9&end=1"])
def test_reports_and_figures_refuse_what_they_cannot_draw(app, query):
    places = [f"/api/v1/demo/report?{query}", f"/api/v1/demo/genes/MYC/figure.zip?{query}"]
    assert failures(app.server.test_client(), "GET", places) == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "NONSENSE"])
def test_every_method_on_every_route_is_answered(app, method):
    assert failures(app.server.test_client(), method, [path_of(rule) for rule in rules(app, "OPTIONS")]) == []


def test_every_field_of_every_json_body_may_hold_anything(app):
    client, found = app.server.test_client(), []
    bodies = {
        "audit": {"gene_id": "g", "kind": "peak", "start": 1, "end": 2, "decision": "agree", "note": "", "who": ""},
        "jobs": {"kind": "effects", "gene": "nobody", "threshold": 0.5},
        "whatif": {"gene": "nobody", "off": [], "on": [], "threshold": 0.5, "controls": 1, "page": "p"},
    }
    for route, body in bodies.items():
        for name in body:
            for value in VALUES:
                found += failures(client, "POST", [f"/api/v1/demo/{route}"], json={**body, name: value})
        for text in ("", "{", "null", "[]", '"x"', "[" * 100_000, "{}" * 9, "\xff"):
            sent = {"data": text.encode("latin-1"), "content_type": "application/json"}
            found += failures(client, "POST", [f"/api/v1/demo/{route}"], **sent)
    assert found == []


# ---------------------------------------------------------------------------------------------- callbacks


def body_of(app, key: str, values: dict[str, object]) -> dict:
    """What the browser sends to a callback; `values` are its inputs and states by name, None where missing."""
    spec = app.callback_map[key]
    places = spec["outputs_indices"]
    names = key.strip(".").split("...") if isinstance(places, list) else [key]
    outputs = [dict(zip(("id", "property"), name.split("@")[0].rsplit(".", 1), strict=True)) for name in names]

    def filled(items: list[dict]) -> list[dict]:
        return [{**item, "value": values.get(f"{item['id']}.{item['property']}")} for item in items]

    inputs = filled(spec["inputs"])
    return {
        "output": key,
        "outputs": outputs if isinstance(places, list) else outputs[0],
        "inputs": inputs,
        "state": filled(spec["state"]),
        "changedPropIds": [f"{inputs[0]['id']}.{inputs[0]['property']}"],
    }


GIVEN = {
    "run.value": "demo",
    "beside.value": "other",
    "gene.data": {"run": "demo", "gene": "MYC", "missing": "NOPE"},
    "revision.data": {"run": "demo", "mark": 1, "threshold": 0.5, "beside": None},
    "asked.data": {"run": "demo", "gene": "MYC", "threshold": 0.5, "beside": "other"},
    "threshold.value": 0.5,
    "poll.n_intervals": 1,
    "elements-table.getRowsRequest": {"startRow": 0, "endRow": 10, "filterModel": {}, "sortModel": []},
}


def server_callbacks(app) -> list[str]:
    return [key for key, spec in app.callback_map.items() if "callback" in spec]


def test_every_property_that_a_callback_reads_has_a_check(app):
    read = {
        f"{item['id']}.{item['property']}"
        for key in server_callbacks(app)
        for item in [*app.callback_map[key]["inputs"], *app.callback_map[key]["state"]]
    }
    assert read == set(callback_requests.VALUES)


@pytest.mark.parametrize("tab", ["quality", "compare", "files"])
def test_what_the_page_sends_to_a_callback_is_answered(app, tab):
    client = app.server.test_client()
    for key in server_callbacks(app):
        sent = body_of(app, key, {**GIVEN, "tab.data": tab, "scope.data": "gene"})
        assert client.post(callback_requests.ROUTE, json=sent).status_code in (200, 204), key


def test_every_value_that_a_callback_reads_may_be_anything(app):
    client, found, chance = app.server.test_client(), [], random.Random(SEED)
    values = [*VALUES, {"run": "demo", "gene": []}, {"run": "demo", "unscored": {"gene_id": 1}}]
    values += [
        {"run": "demo", "unscored": {"gene_id": "g", "symbol": "s", "tss": 1}},
        {"startRow": "x"},
        {"endRow": -5},
    ]
    values += [{"startRow": 2**62, "endRow": 1}, {"filterModel": {"start": {"filter": 10**400, "type": "equals"}}}, 7]
    for key in server_callbacks(app):
        names = [
            f"{item['id']}.{item['property']}"
            for item in [*app.callback_map[key]["inputs"], *app.callback_map[key]["state"]]
        ]
        for name in names:
            for value in chance.sample(values, 5):
                sent = body_of(app, key, {**GIVEN, "tab.data": "quality", "scope.data": "gene", name: value})
                found += failures(client, "POST", [callback_requests.ROUTE], json=sent)
    assert found == []


def test_a_body_that_dash_could_not_read_is_refused_in_words(app):
    client = app.server.test_client()
    whole = body_of(app, "gene-head.children", GIVEN)
    bodies = [
        None,
        [],
        {},
        "x",
        7,
        {**whole, "output": "nothing.here"},
        {**whole, "inputs": []},
        {**whole, "outputs": []},
    ]
    bodies += [
        {**whole, "output": [1]},
        {**whole, "changedPropIds": [{}]},
        {**whole, "inputs": [[1], 2]},
        {"output": 1},
    ]
    bodies += [{**whole, "output": next(key for key, spec in app.callback_map.items() if "callback" not in spec)}]
    for body in bodies:
        answer = client.post(callback_requests.ROUTE, json=body)
        assert answer.status_code == 400, body
        assert "no request of the page" in answer.get_json()["message"]
    deep = client.post(callback_requests.ROUTE, data=b"[" * 200_000, content_type="application/json")
    assert deep.status_code == 400
    assert client.post(callback_requests.ROUTE, data=b"x").status_code == 400


# ---------------------------------------------------------------------------------------------- before the token


@pytest.fixture(scope="module")
def locked(registry):
    return create_app(registry, Settings(igv="notebook", access=Access(token="s3cret"))).server


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "a=\xff"},
        {"Cookie": "seq2exp_viz_x=\xff\xfe; =; ;;;=\x80"},
        {"Authorization": "Bearer \xff\xfe"},
        {"Authorization": "Bearer"},
        {"Host": "[::1"},
        {"Host": "\xff"},
        {"Origin": "http://[::1"},
        {"Content-Length": "x"},
        {"Range": "bytes=\xff-"},
        {"If-None-Match": '"\xff'},
        {"Accept-Language": "\xff"},
    ],
    ids=str,
)
def test_no_header_makes_the_server_fail_before_or_after_the_token(locked, app, headers):
    for server in (locked, app.server):
        client = server.test_client(use_cookies=False)
        for place in ("/", "/api/v1/runs", "/data/demo/mask.bigWig", "/_dash-layout"):
            assert failures(client, "GET", [place], headers=headers) == []
            assert failures(client, "POST", [place], headers=headers) == []
    own = dict(seq2exp=f"{Access(token='s3cret').cookie}=\xff")
    assert locked.test_client(use_cookies=False).get("/", headers={"Cookie": own["seq2exp"]}).status_code == 401


def test_a_path_with_a_line_end_and_the_token_sets_no_header(locked):
    for path in (
        "/%0d%0aX-Evil:%201",
        "/a%0d%0aSet-Cookie:%20a=b",
        "/%ff",
        "/%00",
        "//evil.example",
        "/..%2f..%2f",
        "/%5cevil",
    ):
        answer = locked.test_client().get(f"{path}?token=s3cret&gene=%0d%0aX-Evil:1")
        assert answer.status_code in (302, 308), path
        assert "X-Evil" not in answer.headers
        assert "a=b" not in answer.headers.get("Set-Cookie", "")
        assert answer.headers["Location"].startswith(("./", "http://localhost/")), answer.headers["Location"]
    for shown in ("%ff", "%ed%a0%80", "s3cret%00", "s3cret?"):
        assert locked.test_client().get(f"/?token={shown}").status_code == 401


# ---------------------------------------------------------------------------------------------- a run that goes away


@pytest.mark.parametrize("away", ["moved", "emptied", "masks gone", "a file in its place"])
def test_a_run_that_goes_away_while_it_is_served_is_told_in_words(registry, tmp_path, away):
    folder = tmp_path / "run"
    shutil.copytree(registry.first.run.path, folder)
    gone = RunRegistry([folder], cache=tmp_path / "cache")
    server = create_app(gone, Settings(igv="notebook")).server
    client = server.test_client()
    assert client.get("/api/v1/demo/genes/MYC/mask").status_code == 200
    if away == "masks gone":
        shutil.rmtree(folder / "masks.zarr")
    elif away == "emptied":
        for item in folder.iterdir():
            shutil.rmtree(item) if item.is_dir() else item.unlink()
    else:
        folder.rename(tmp_path / "elsewhere")
        if away == "a file in its place":
            folder.write_text("no run")
    places = [
        f"/api/v1/demo/{route}?{QUERY}" for route in ("view", "genes", "audit", "audit.tsv", "elements.tsv", "peaks")
    ]
    places += [
        f"/api/v1/demo/genes/{gene}/{what}"
        for gene in ("GATA1", "HBB")
        for what in ("mask", "elements", "elements.bed", "mask.bigWig")
    ]
    places += [
        "/",
        "/_dash-layout",
        "/data/demo/mask.bigWig",
        "/data/demo/genes.tsv",
        "/api/v1/runs",
        "/api/v1/demo/whatif",
    ]
    found = failures(client, "GET", places)
    decision = {"gene_id": "g", "kind": "peak", "start": 1, "end": 2, "decision": "agree"}
    found += failures(client, "POST", ["/api/v1/demo/audit"], json=decision)
    gone.close()
    assert found == []
