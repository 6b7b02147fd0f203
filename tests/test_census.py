"""Everything that the application answers, taken from the application itself, and who may ask for it.

A new route or callback needs an entry here: `ROUTES` says what it is, and each is asked as a stranger would.
"""

import re

import pytest
from viewer_run import make_study, make_viewer_run

from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.page.callback_requests import ROUTE as CALLBACKS
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving.security import Access
from seq2exp_viz.wsgi import from_environment

PAGE, FILES, DATA, WRITES, MOVED, CALLBACK = "page", "files of the page", "data of runs", "writes", "moved", "callbacks"
RUN, GENE = "/api/v1/<run>", "/api/v1/<run>/genes/<path:gene>"
ROUTES = {
    "/": PAGE,
    "/<path:path>": PAGE,  # of Dash: the page under any other address
    **dict.fromkeys(("/static/<path:filename>", "/assets/<path:filename>", "/igv.js", "/_favicon.ico"), FILES),
    "/_dash-component-suites/<string:package_name>/<path:fingerprinted_path>": FILES,
    **dict.fromkeys(("/_dash-layout", "/_dash-dependencies", "/_reload-hash"), FILES),
    CALLBACKS: CALLBACK,
    **dict.fromkeys(("/allowed/<path:key>", "/data/<path:rest>", "/data/<run>/<file>", "/api/v1/runs"), DATA),
    "/api/<path:rest>": MOVED,
    **{
        f"{RUN}/{name}": DATA
        for name in ("view", "notes", "search", "place", "genes", "signals/<name>", "models/<level>")
    },
    **{f"{RUN}/{name}": DATA for name in ("peaks", "truth/<kind>", "blacklist", "contigs.tsv", "genome.fai")},
    **{
        f"{RUN}/{name}": DATA
        for name in ("blank.fa.fai", "blank.fa", "bases.fa.fai", "bases.fa", "report", "elements.tsv", "owners")
    },
    **{f"{RUN}/{name}": DATA for name in ("owners/arcs", "audit.tsv", "suggest", "allowed", "allowed/<key>")},
    **{f"{RUN}/{name}": DATA for name in ("audit", "whatif", "whatif/<int:number>")},
    **{f"{GENE}/{name}": DATA for name in ("mask", "contact/<name>", "prior", "why/<part>", "certainty", "elements")},
    **{f"{GENE}/{name}": DATA for name in ("elements.bed", "elements.bedpe", "elements.gff3", "mask.bigWig")},
    **{
        f"{GENE}/{name}": DATA
        for name in ("figure.<kind>", "igv-session.<kind>", "difference", "occlusion", "effects", "member-effects")
    },
    **dict.fromkeys(("/api/v1/jobs", "/api/v1/jobs/<int:number>"), DATA),
}
WRITING = {f"{RUN}/{name}" for name in ("audit", "whatif", "jobs", "own")} | {"/api/v1/jobs/<int:number>/cancel"}
METHODS = {  # what each kind answers, besides OPTIONS
    PAGE: {"GET", "HEAD"},
    FILES: {"GET", "HEAD"},
    DATA: {"GET", "HEAD"},
    WRITES: {"POST"},
    MOVED: {"GET", "HEAD", "POST"},
    CALLBACK: {"POST"},
}
SERVER_CALLBACKS = {  # by their first output
    *("genes.rowData", "gene-head.children", "element-list.children", "elements-table.getRowsResponse"),
    *("quality-content.children", "quality-scatter.figure", "compare-content.children", "compare-kept.figure"),
    "files-content.children",
}
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}


def kinds(rule) -> set[str]:
    """What a rule of the URL map is; an empty set where it has no entry."""
    found = {ROUTES[rule.rule]} if rule.rule in ROUTES and ("GET" in rule.methods or rule.rule == CALLBACKS) else set()
    return found | ({WRITES} if rule.rule in WRITING and "POST" in rule.methods else set())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("census")
    (folder / "tracks").mkdir()
    (folder / "tracks" / "x.bed").write_text("chr1\t1\t2\n")
    make_viewer_run(folder / "run", make_study(folder / "study"), name="demo")
    return folder


@pytest.fixture(scope="module")
def registry(folder):
    registry = RunRegistry([folder / "run"], cache=folder / "cache")
    yield registry
    registry.close()


@pytest.fixture(scope="module", params=["serve", "serve below a prefix", "as a WSGI application"])
def servers(request, folder, registry):
    """(prefix, the application without a token, and with one), each as it is started."""
    if request.param == "as a WSGI application":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunRegistry, "prepare", lambda *_: None)  # a process and a thread of its own, not needed here
            given = {"SEQ2EXP_RUNS": str(folder / "run"), "SEQ2EXP_IGV": "notebook", "SEQ2EXP_URL_PREFIX": "/viz/"}
            yield "/viz", from_environment(given), from_environment({**given, "SEQ2EXP_TOKEN": "s3cret"})
        return
    prefix = "/node/7" if "prefix" in request.param else ""
    settings = {"prefix": f"{prefix}/", "igv": "notebook"}
    secret = Access(token="s3cret", path=f"{prefix}/")
    yield (
        prefix,
        create_app(registry, Settings(**settings)).server,
        create_app(registry, Settings(**settings, access=secret)).server,
    )


def address(rule) -> str:
    filled = {"run": "demo", "gene": "MYC", "number": "1", "kind": "svg", "file": "mask.bigWig", "path": "elsewhere"}
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda part: filled.get(part[1], "x"), rule.rule)


def asked(prefix: str, server, methods: tuple[str, ...], **headers: str) -> dict[tuple[str, str], int]:
    """Status of each rule under each of its methods among `methods`."""
    client, found = server.test_client(use_cookies=False), {}
    for rule in server.url_map.iter_rules():
        for method in rule.methods & set(methods):
            answer = client.open(
                prefix + address(rule), method=method, headers=headers, json={} if method == "POST" else None
            )
            found[rule.rule, method] = answer.status_code
            assert answer.status_code < 500, (rule.rule, method)
            if answer.status_code in (401, 403) and method != "HEAD":
                assert re.fullmatch(r"[^\n<>]+[.)]\n", answer.get_data(as_text=True)), "one sentence"
    return found


ALL = ("GET", "HEAD", "OPTIONS", "POST")


def test_every_route_has_an_entry_and_every_entry_a_route(servers):
    rules = list(servers[1].url_map.iter_rules())
    assert [rule.rule for rule in rules if not kinds(rule)] == []
    assert {rule.rule for rule in rules} == set(ROUTES) | WRITING
    assert [
        rule.rule
        for rule in rules
        if rule.methods - {"OPTIONS"} != set().union(*(METHODS[kind] for kind in kinds(rule)))
    ] == []
    assert [rule.rule for rule in rules if rule.websocket] == []


def test_every_callback_has_an_entry_and_none_runs_in_the_background_or_over_a_websocket(registry):
    known = create_app(registry, Settings(igv="notebook")).callback_map
    answered = {key: spec for key, spec in known.items() if "callback" in spec}
    assert {re.split(r"\.\.\.|@", key.strip("."))[0] for key in answered} == SERVER_CALLBACKS
    for key, spec in known.items():
        assert not spec["background"], key
        assert not spec["websocket"], key
        assert not spec["no_output"], key


def test_without_the_token_nothing_is_answered(servers):
    prefix, _, locked = servers
    assert set(asked(prefix, locked, ALL).values()) == {401}
    for shown in ({"Authorization": "Bearer other"}, {"Cookie": "seq2exp_viz=s3cret"}, {"Range": "bytes=0-3"}):
        assert set(asked(prefix, locked, ALL, **shown).values()) == {401}, shown


def test_with_the_token_everything_is_answered(servers):
    prefix, _, locked = servers
    assert not set(asked(prefix, locked, ("GET", "POST"), Authorization="Bearer s3cret").values()) & {401, 403}


@pytest.mark.parametrize("host", ["evil.example:80", "127.0.0.1.evil.example", ""])
def test_by_a_foreign_name_nothing_is_answered(servers, host):
    prefix, server, _ = servers
    for more in ({"Range": "bytes=0-3"}, {"X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}):
        assert set(asked(prefix, server, ALL, Host=host, **more).values()) == {403}


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:81"])
def test_from_a_foreign_origin_nothing_is_written(servers, origin):
    prefix, server, locked = servers
    shown = {"Authorization": "Bearer s3cret", "Origin": origin, "Host": "localhost"}
    for one in (server, locked):
        assert set(asked(prefix, one, ("POST",), **shown).values()) == {403}


@pytest.mark.parametrize(
    ("site", "kind"),
    [
        ("cross-site", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}),
        ("same-site", {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}),
        ("cross-site", {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}),
        ("same-origin, cross-site", {"Sec-Fetch-Mode": "websocket", "Sec-Fetch-Dest": "websocket"}),
        ("nonsense", {}),
    ],
)
def test_a_page_of_another_site_gets_nothing(servers, site, kind):
    prefix, server, locked = servers
    shown = {"Authorization": "Bearer s3cret", "Sec-Fetch-Site": site, **kind}
    for one in (server, locked):
        assert set(asked(prefix, one, ALL, **shown).values()) == {403}
        assert (
            one.test_client()
            .get(f"{prefix}/data/demo/mask.bigWig", headers={**shown, "Range": "bytes=0-3"})
            .status_code
            == 403
        )


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_of_another_site_opens_the_page_and_nothing_else(servers, site):
    prefix, server, locked = servers
    shown = {**NAVIGATION, "Sec-Fetch-Site": site, "Authorization": "Bearer s3cret"}
    for one in (server, locked):
        found = asked(prefix, one, ALL, **shown)
        assert {place for place, status in found.items() if status != 403} == {("/", "GET")}
        for query in ("", "?run=demo&gene=MYC&tab=elements"):
            assert one.test_client().get(f"{prefix}/{query}", headers=shown).status_code == 200
    linked = locked.test_client()  # a link in an e-mail, with the token: exchanged for a cookie
    answer = linked.get(f"{prefix}/?token=s3cret&gene=MYC", headers=NAVIGATION)
    assert (answer.status_code, answer.headers["Location"]) == (302, "./?gene=MYC")
    assert linked.get(f"{prefix}/?gene=MYC", headers=NAVIGATION).status_code == 200
    assert linked.get(f"{prefix}/api/v1/runs", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("site", ["same-origin", None])
def test_the_page_itself_a_typed_address_and_a_program_are_answered(servers, site):
    prefix, server, _ = servers
    shown = {} if site is None else {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (
        403
        not in asked(prefix, server, ("OPTIONS", "POST"), Origin="http://localhost", Host="localhost", **shown).values()
    )


def test_a_read_only_server_refuses_every_request_that_is_none_for_reading(folder, registry):
    """Jobs, questions, audit decisions and dropped tracks; what the page asks for in order to show something stays."""
    server = create_app(registry, Settings(igv="notebook", access=Access(read_only=True))).server
    found = asked("", server, ALL)
    refused = {place for place, status in found.items() if status == 403}
    written = {(rule, method) for rule, method in found if method == "POST" and rule != CALLBACKS}
    assert refused == written
    assert {rule for rule, _ in refused} >= WRITING
    client = server.test_client()
    for rule in ("audit", "whatif", "jobs", "own?name=a.bed&size=9"):
        answer = client.post(f"/api/v1/demo/{rule}", json={"kind": "score", "gene": "MYC"})
        assert (answer.status_code, "read-only" in answer.get_data(as_text=True)) == (403, True)
    assert client.get("/api/v1/jobs").get_json() == []
    assert "read-only" in client.get("/api/v1/demo/whatif").get_json()["off"]
    assert '"page read-only"' in client.get("/_dash-layout").get_data(as_text=True)


def test_the_wsgi_application_is_read_only_by_a_variable(folder, monkeypatch):
    monkeypatch.setattr(RunRegistry, "prepare", lambda *_: None)
    for value, status in (("1", 403), ("", 400), ("0", 400)):
        given = {"SEQ2EXP_RUNS": str(folder / "run"), "SEQ2EXP_IGV": "notebook", "SEQ2EXP_READ_ONLY": value}
        assert from_environment(given).test_client().post("/api/v1/demo/jobs", json={}).status_code == status
