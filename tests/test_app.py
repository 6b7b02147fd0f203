"""The page without a browser: what Dash is given, and what its callbacks answer."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from viewer_run import EVIL, add_genes, gene_table, make_study, make_viewer_run

from model_core.run_folder.run import Run
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.page import panel, plots, selection
from seq2exp_viz.runs.prediction_quality import pearson
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving.security import Access

MYC = "ENSG00000000000.1"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    study = make_study(folder / "study")
    runs = [
        make_viewer_run(folder / "run", study, name="demo"),
        make_viewer_run(folder / "real", study, name="real", simulated=False),
    ]
    registry = RunRegistry(runs, cache=folder / "cache")
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def app(registry):
    return create_app(registry, Settings(prefix="/node/7/", igv="notebook"))


def text_of(component) -> str:
    """All that a component and its children say, as JSON."""
    return json.dumps(component, default=lambda part: part.to_plotly_json())


def call(app, output: str, inputs: list[dict], state: list[dict]):
    """Ask one callback over HTTP, as the browser does."""
    key = next(key for key in app.callback_map if output in key)
    spec = app.callback_map[key]
    outputs = [{"id": part.component_id, "property": part.component_property} for part in spec["output"]]
    body = {
        "output": key,
        "outputs": outputs,
        "inputs": inputs,
        "state": state,
        "changedPropIds": [f"{inputs[0]['id']}.{inputs[0]['property']}"],
    }
    answer = app.server.test_client().post("/_dash-update-component", json=body)
    assert answer.status_code == 200, answer.data
    return answer.get_json()["response"]


def prop(name: str, value, which: str = "data") -> dict:
    return {"id": name, "property": which, "value": value}


@pytest.mark.parametrize(
    "path", ["/", "/node/7/", "/node/7", "/_dash-layout", "/node/7/_dash-layout", "/node/7/api/v1/runs", "/api/v1/runs"]
)
def test_the_page_answers_with_and_without_its_prefix(app, path):
    assert app.server.test_client().get(path).status_code == 200


def test_all_addresses_carry_the_prefix(app):
    page = app.server.test_client().get("/").data.decode()
    assert 'src="/node/7/_dash-component-suites' in page
    assert text_of(app.layout).count('"base": "/node/7/"') == 1


def test_several_first_visitors_at_once_all_get_the_scripts_of_the_components(app, registry):
    """Dash sets itself up in the first request; a second one in the meantime would find nothing of it."""
    page = app.server.test_client().get("/").data.decode()
    scripts = [
        path.removeprefix("/node/7") for path in re.findall(r'<script src="([^"]+_dash-component-suites[^"]+)"', page)
    ]
    fresh, together = create_app(registry, Settings(igv="notebook")).server, threading.Barrier(8)

    def visit(number: int) -> int:
        client = fresh.test_client()
        together.wait(60)
        return client.get(scripts[number]).status_code

    with ThreadPoolExecutor(8) as visitors:
        assert set(visitors.map(visit, range(8))) == {200}


def test_igv_is_not_loaded_before_the_page(app):
    assert "igv.min.js" not in app.server.test_client().get("/").data.decode()


def test_the_page_says_which_igv_runs(app):
    assert "igv.js 3.1.4, from the igv-notebook package" in text_of(app.layout)


def test_without_the_token_nothing_is_shown(registry):
    client = create_app(registry, Settings(access=Access(token="t"), igv="notebook")).server.test_client()
    scripts = ("/igv.js", "/assets/dash_clientside.js", "/assets/page/state.js")
    for path in ("/", "/_dash-layout", "/api/v1/runs", "/data/demo/mask.bigWig", *scripts):
        assert client.get(path).status_code == 401, path


def test_a_run_fills_the_page(app):
    response = call(
        app,
        "genes.rowData",
        [prop("run", "demo", "value")],
        [prop("asked", {"run": "demo", "gene": "HBB", "threshold": 0.5})],
    )
    assert len(response["genes"]["rowData"]) == 6
    assert response["gene"]["data"] == {"run": "demo", "gene": "ENSG00000000002.3", "missing": None}
    assert response["threshold"]["value"] == 0.5
    assert "All data simulated" in json.dumps(response["facts"])


def test_a_run_of_real_data_is_not_called_simulated(registry):
    assert "simulated" not in text_of(panel.facts(registry["real"]))


def test_the_faithful_mask_is_never_called_discovery(registry):
    line = panel.caveat(registry["demo"])[0]
    assert "follows its signal prior" in line
    registry["demo"].run.manifest["variant"] = "causal"
    assert panel.caveat(registry["demo"])[0] == ""
    registry["demo"].run.manifest["variant"] = "soft"


@pytest.mark.parametrize(
    ("asked", "gene"), [(MYC, MYC), ("myc", MYC), ("NOPE", "ENSG00000000002.3"), (None, "ENSG00000000002.3")]
)
def test_a_link_to_a_gene_opens_it_and_else_a_held_out_one(registry, asked, gene):
    assert selection.first_gene(registry["demo"], asked) == gene


def test_a_threshold_changes_the_list_of_elements(app):
    inputs = [prop("gene", {"run": "demo", "gene": MYC}), prop("threshold", 0.7, "value"), prop("revision", None)]
    strict = call(app, "element-list.children", inputs, [])
    inputs[1]["value"] = 0.4
    loose = call(app, "element-list.children", inputs, [])
    assert strict["cut-line"]["children"] != loose["cut-line"]["children"]
    assert loose["get-bed"]["href"] == f"/node/7/api/v1/demo/genes/{MYC}/elements.bed?threshold=0.4"
    assert loose["get-gff3"]["href"] == f"/node/7/api/v1/demo/genes/{MYC}/elements.gff3?threshold=0.4"
    assert loose["get-bedpe"]["href"] == f"/node/7/api/v1/demo/genes/{MYC}/elements.bedpe?threshold=0.4"


def test_the_gene_panel_shows_observed_and_predicted(registry):
    text = text_of(panel.gene_head(registry["demo"], "ENSG00000000002.3"))
    assert '"1.30"' in text
    assert '"1.24"' in text
    assert "log10(level + 1)" in text
    assert "test gene" in text


def test_a_gene_without_an_observed_value_says_none():
    assert '"none"' in text_of(panel._number("Observed", float("nan")))


def test_every_element_class_is_in_the_legend(registry):
    text = text_of(panel.legend(registry["demo"]))
    assert all(
        words in text
        for words in ("promoter, always kept", "with MACS3 peak", "without MACS3 peak", "95 % range", "threshold")
    )


@pytest.mark.parametrize(
    ("distance", "words"), [(-17_340, "−17.3 kb"), (250, "+250 bp"), (0, "+0 bp"), (999, "+999 bp"), (1_000, "+1.0 kb")]
)
def test_distances_are_signed_and_short(distance, words):
    assert panel.distance_words(distance) == words


def test_the_page_fills_while_genes_are_scored(tmp_path, request):
    path = make_viewer_run(tmp_path / "run", make_study(tmp_path / "study"), name="early", genes=0)
    registry = RunRegistry([path], cache=tmp_path / "cache")
    request.addfinalizer(registry.close)
    app = create_app(registry, Settings(igv="notebook"))
    start = call(app, "genes.rowData", [prop("run", "early", "value")], [prop("asked", {"run": "early"})])
    assert {row["state"] for row in start["genes"]["rowData"]} == {"not scored"}
    assert start["gene"]["data"] == {"run": "early", "gene": None, "missing": None}
    head = app.server.test_client()
    assert head.get("/api/v1/early/view").get_json()["locus"] == {"chrom": "chr1", "start": 0, "end": 40_000}
    add_genes(Run.open(path), range(2))
    key = "genes.rowData@"
    state = [
        prop("run", "early", "value"),
        prop("revision", start["revision"]["data"]),
        prop("gene", {"run": "early", "gene": None}),
        prop("threshold", start["threshold"]["value"], "value"),
    ]
    later = call(app, key, [prop("poll", 1, "n_intervals")], state)
    rows = next(value for name, value in later.items() if name == "genes")["rowData"]
    assert [row["symbol"] for row in rows if row["state"] == "scored"] == ["MYC", "GATA1"]
    assert "2 of 6 genes scored" in json.dumps(later["progress"])
    assert later["gene"]["data"]["gene"] is not None
    assert later["threshold"]["value"] == later["revision"]["data"]["threshold"] != start["threshold"]["value"]


def test_nothing_is_sent_where_nothing_changed(app, registry):
    assert registry["demo"].models.wait(60)
    state = [
        prop("run", "demo", "value"),
        prop("revision", selection.revision(registry["demo"])),
        prop("gene", {"run": "demo", "gene": MYC}),
        prop("threshold", 0.5, "value"),
    ]
    key = next(key for key in app.callback_map if "genes.rowData@" in key)
    outputs = [
        {"id": part.component_id, "property": part.component_property} for part in app.callback_map[key]["output"]
    ]
    body = {
        "output": key,
        "outputs": outputs,
        "inputs": [prop("poll", 1, "n_intervals")],
        "state": state,
        "changedPropIds": ["poll.n_intervals"],
    }
    answer = app.server.test_client().post("/_dash-update-component", json=body)
    assert answer.status_code == 204 or answer.get_json()["response"] == {}


def test_the_scatter_rings_the_chosen_gene():
    table = gene_table().assign(observed=lambda t: t.level, predicted=lambda t: t.level)
    svg = plots.observed_against_predicted(table, MYC)
    assert svg.count("<circle") == 7
    assert plots.observed_against_predicted(table.head(1), MYC) is None


def test_a_correlation_is_that_of_the_test_genes():
    table = gene_table().assign(observed=lambda t: t.level, predicted=lambda t: -t.level)
    assert pearson(table) == (pytest.approx(-1), 3)
    assert pearson(table, "nothing") is None


def test_names_out_of_files_reach_the_page_as_text(registry):
    assert text_of(panel.gene_head(registry["demo"], EVIL)).count("img src=x") == 1
    assert "<img" not in plots.observed_against_predicted(registry["demo"].run.genes, EVIL)
