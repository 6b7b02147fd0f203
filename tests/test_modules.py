"""The page's JavaScript modules: one file for all places, one address each, and imports that go one way."""

import base64
import graphlib
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from viewer_run import make_study, make_viewer_run

from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving import modules

ROOT = Path(__file__).parents[1]
PREFIX = "/node/7/"
ALL = modules.modules(modules.FOLDERS)
IMPORT = re.compile(r'^(?:import|export) (?:(\* as \w+|\{[^}]*\}) from )?"([^"]+)"', re.M)
EXPORT = re.compile(r"^export (?:async )?(?:const|let|function|class) (\w+)|^export \{([^}]*)\}", re.M)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    run = make_viewer_run(folder / "run", make_study(folder / "study"), name="demo")
    registry = RunRegistry([run], cache=folder / "cache")
    yield create_app(registry, Settings(prefix=PREFIX, igv="notebook")).server.test_client()
    registry.close()


@pytest.fixture(scope="module")
def page(client) -> str:
    return client.get("/").data.decode()


def imports_of(page: str) -> tuple[str, dict[str, str]]:
    """The import map's text, and bare name -> address."""
    [text] = re.findall(r'<script type="importmap">(.*?)</script>', page)
    return text, json.loads(text)["imports"]


def names(braces: str) -> list[str]:
    return [part.split(" as ")[0].strip() for part in braces.strip("{} \n").split(",") if part.strip()]


def test_every_module_of_the_page_has_one_address_that_serves_its_file(client, page):
    imports = imports_of(page)[1]
    assert set(imports) == set(modules.modules(modules.PAGE))
    assert len(set(imports.values())) == len(imports)
    for name, address in imports.items():
        assert address.startswith(f"{PREFIX}assets/")
        with client.get(address) as answer:
            assert (answer.status_code, answer.mimetype) == (200, "text/javascript"), address
            assert answer.data == ALL[name].read_bytes()
            assert "immutable" in answer.headers["Cache-Control"]
        with client.get(f"{address[:-1]}x") as answer:  # no digest of the content: asked for again each time
            assert "immutable" not in answer.headers.get("Cache-Control", "")


def test_the_policy_lets_the_import_map_run_and_no_other_inline_script(client, page):
    digest = base64.b64encode(hashlib.sha256(imports_of(page)[0].encode()).digest()).decode()
    policy = client.get("/").headers["Content-Security-Policy"]
    [scripts] = [part.split() for part in policy.split("; ") if part.startswith("script-src")]
    assert f"'sha256-{digest}'" in scripts
    assert not {"'unsafe-inline'", "'unsafe-eval'", "data:", "*"} & set(scripts)


def test_map_preloads_script_and_start_stand_in_that_order(page):
    places = [
        page.index(part) for part in ('"importmap"', "modulepreload", "dash_clientside.js", "new window.DashRenderer()")
    ]
    assert places == sorted(places)
    assert re.findall(r'<link rel="modulepreload" href="([^"]+)">', page) == list(imports_of(page)[1].values())


def test_dash_lists_the_classic_script_and_no_module(page):
    listed = re.findall(r'<script[^>]* src="[^"]*/assets/([^"?]+)', page)
    assert listed == ["dash_clientside.js"]


def test_a_notebook_gets_the_same_files():
    embedded = modules.embedded_imports()
    assert set(embedded) == set(modules.modules(modules.NOTEBOOK))
    for name, address in embedded.items():
        kind, _, text = address.partition(",")
        assert kind == "data:text/javascript;charset=utf-8"
        assert unquote(text, errors="strict") == ALL[name].read_text(encoding="utf-8")
        assert not set(text) & set('#"<>\n\t')


def test_an_address_changes_with_its_module(tmp_path, monkeypatch):
    for name in modules.PAGE:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(modules, "folder", lambda: tmp_path)
    module = tmp_path / "page" / "state.js"
    heads = []
    for text in ("1", "2", "1"):
        module.write_text(text)
        heads.append(modules.page_head("/"))
    assert heads[0] == heads[2]
    assert heads[0] != heads[1]


def test_the_page_and_a_notebook_have_all_that_their_modules_import():
    for folders in (modules.PAGE, modules.NOTEBOOK):
        there = modules.modules(folders)
        for path in there.values():
            assert {name for _, name in IMPORT.findall(path.read_text())} <= set(there), path


def test_every_imported_name_is_exported():
    exported = {}
    for name, path in ALL.items():
        found = EXPORT.findall(path.read_text())
        exported[name] = {one for one, _ in found if one} | {part for _, braces in found for part in names(braces)}
    for path in ALL.values():
        for what, name in IMPORT.findall(path.read_text()):
            if what.startswith("{"):
                assert set(names(what)) <= exported[name], (path, name)


def test_modules_import_each_other_one_way():
    graph = {name: {found for _, found in IMPORT.findall(path.read_text())} for name, path in ALL.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the circle
    assert not [
        name for name in graph if name.startswith("seq2exp/tracks/") and any("/page/" in n for n in graph[name])
    ]


def test_every_module_is_loaded_by_the_page_or_by_a_notebook():
    graph = {name: {found for _, found in IMPORT.findall(path.read_text())} for name, path in ALL.items()}
    reached, waiting = set(), ["seq2exp/page/main", "seq2exp/notebook/frame"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += graph[name] - reached
    assert reached == set(graph)


def test_modules_put_nothing_on_window_but_the_debug_handle():
    writes = re.compile(r"window\.\w+ = |(?:assign|defineProperty)\(window,")
    found = {name for name, path in ALL.items() if writes.search(path.read_text())}
    # failures: Dash has no other place to see its requests; the handles are there for tests and a look in the console.
    assert found == {"seq2exp/page/failures", "seq2exp/page/debug", "seq2exp/notebook/frame"}


def test_the_address_of_the_interface_stands_in_one_module():
    found = {name for name, path in ALL.items() if re.search(r"[\"'`/}]api(/|[\"'`])", path.read_text())}
    assert found == {"seq2exp/page/server"}


def test_the_linters_lock_names_no_registry():
    lock = json.loads((ROOT / "package-lock.json").read_text())
    pinned = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert lock["packages"][""]["devDependencies"] == pinned
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())
