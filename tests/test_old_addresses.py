"""Addresses of the interface from before it had a version lead to the present ones, for those who may ask."""

import pytest
from viewer_run import make_study, make_viewer_run

from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving.security import Access

BED = b"chr1\t100\t200\tmine\n"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    registry = RunRegistry(
        [make_viewer_run(folder / "run", make_study(folder / "study"), name="r")], cache=folder / "c"
    )
    yield registry
    registry.close()


def client_of(registry, **settings):
    return create_app(registry, Settings(igv="notebook", **settings)).server.test_client()


@pytest.mark.parametrize("prefix", ["/", "/lab/7/"])
@pytest.mark.parametrize(
    "path",
    [
        "runs",
        "jobs",
        "jobs/9/cancel",
        "r/genes/MYC/mask?start=1&end=2&bins=9",
        "r/genes/A%20b%3F%23%25/elements.bed?threshold=0.4&x=%26%20%C3%A9&x=2",
        "r/search?q=chr1:1-2%2B",
    ],
)
def test_an_old_address_leads_to_the_new_one_by_every_method(registry, prefix, path):
    client = client_of(registry, prefix=prefix)
    for asked in {f"/api/{path}", f"{prefix}api/{path}"}:  # a proxy may have taken the prefix off
        for answer in (client.get(asked), client.post(asked, data=b"body")):
            assert answer.status_code == 308
            assert answer.headers["Location"] == f"{prefix}api/v1/{path}"


def test_an_answer_is_the_same_by_the_old_address(registry):
    client = client_of(registry, prefix="/lab/")
    path = "r/genes/MYC/elements?threshold=0.4"
    assert client.get(f"/lab/api/{path}", follow_redirects=True).json == client.get(f"/lab/api/v1/{path}").json
    asked = client.post("/lab/api/r/own?name=mine.bed", data=BED, follow_redirects=True)
    assert len(asked.get_json()["features"]) == 1  # the body came along


def test_who_may_not_ask_is_led_nowhere(registry):
    assert client_of(registry).get("/api/runs", headers={"Host": "evil.example"}).status_code == 403
    foreign = {"Origin": "http://evil.example"}
    assert client_of(registry).post("/api/r/whatif", json={}, headers=foreign).status_code == 403
    secret = client_of(registry, access=Access(token="abc"))
    for method in (secret.get, secret.post):
        assert method("/api/runs").status_code == 401
    assert secret.get("/api/runs", headers={"Authorization": "Bearer abc"}).status_code == 308


def test_what_is_no_address_of_the_interface_is_not_led_on(registry):
    client = client_of(registry)
    for path in ("nothing", "r/nothing/at/all", "v1/runs"):
        answer = client.get(f"/api/v1/{path}")
        assert (answer.status_code, answer.is_json) == (404, True), path
    assert client.post("/api/v1/runs").status_code == 405
    assert client.get("/api/v1").status_code in (308, 404)
    assert client.get("/data/r/nothing").status_code == 404
    assert client.get("/data/r/mask.bigWig").status_code == 200  # files have no version
    assert client.get("/api//evil.example/x").headers.get("Location", "/").startswith("/")
    assert "X" not in client.get("/api/runs%0d%0aX:%201").headers
