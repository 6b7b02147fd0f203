"""Behind the tabs: numbers that can be worked out by hand, filters, decisions that last, requests that are wrong."""

import json
import threading

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from viewer_run import EVIL, PROMOTER, WINDOW, add_genes, gene_table, get, make_study, make_viewer_run, mask_of

from model_core.errors import InputError
from model_core.evaluation.compare import compare
from model_core.evaluation.peak_overlap import COUNTS
from model_core.run_folder.assemble import assemble
from model_core.run_folder.audit_log import append_decision, latest, of_genes, read_decisions
from model_core.run_folder.run import Run
from model_core.study.study import load_study
from model_core.tsv import read_table
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.binning import bigwig_summary
from seq2exp_viz.runs.check import check_runs
from seq2exp_viz.runs.comparison_tables import comparison_tables
from seq2exp_viz.runs.element_tables import element_table
from seq2exp_viz.runs.gene_list import gene_list, suggestions, unscored_gene
from seq2exp_viz.runs.genes_using_region import genes_using_region
from seq2exp_viz.runs.peak_audit import audit
from seq2exp_viz.runs.peak_overlap import ELEMENTS, PRIOR, RANDOM, overlap
from seq2exp_viz.runs.prediction_quality import history
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_files import list_run_files
from seq2exp_viz.runs.table_query import rows_of

MYC, HBB = "ENSG00000000000.1", "ENSG00000000002.3"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tabs")
    study = make_study(folder / "study")
    registry = RunRegistry(
        [make_viewer_run(folder / name, study, name=name, genes=count) for name, count in (("all", 6), ("half", 3))],
        cache=folder / "cache",
    )
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def client(registry):
    return create_app(registry, Settings(igv="notebook")).server.test_client()


# ------------------------------------------------------------------------------------------------ genes


def test_genes_that_are_not_scored_are_listed_behind_the_others(registry):
    table = gene_list(registry["half"], registry["all"])
    assert list(table["state"]) == ["scored"] * 3 + ["not scored"] * 3
    assert set(table["gene_id"]) == set(gene_table()["gene_id"])
    assert table["predicted"].notna().sum() == 3
    assert table["predicted_beside"].notna().all()
    assert table[table["state"] == "not scored"]["observed"].notna().all()


def test_the_strongest_effect_is_the_largest_by_size(registry, monkeypatch):
    effects = pd.DataFrame(
        {"gene_id": [MYC, MYC, HBB], "element": ["E1", "E2", "E1"], "effect": [0.2, -0.5, 0.1], "control_rank": [0] * 3}
    ).assign(control_n=9)
    places = registry.first.run.elements[["gene_id", "name", "start", "end"]].rename(columns={"name": "element"})
    effects = effects.merge(places, on=["gene_id", "element"])
    monkeypatch.setattr(Run, "effects", effects)
    rows = gene_list(registry.first).set_index("gene_id")
    assert rows.loc[MYC, ["effect", "effect_element"]].tolist() == [-0.5, "E2"]
    assert np.isnan(rows["effect"].astype(float)).sum() == 4
    assert element_table(registry.first, MYC).set_index("name")["effect"].to_dict() == {"E1": 0.2, "E2": -0.5}


@pytest.mark.parametrize("text", ["BCR", "bcr", "ENSG00000000003.4", "ENSG00000000003.9", "ensg00000000003"])
def test_a_gene_that_is_not_scored_is_found_by_each_of_its_names(registry, text):
    assert unscored_gene(registry["half"], text)["gene_id"] == "ENSG00000000003.4"
    assert unscored_gene(registry["all"], text) is None


def test_suggestions_begin_with_what_is_typed(registry, client):
    assert suggestions(registry.first, "m") == ["MYC", "MYC2", EVIL]
    assert suggestions(registry["half"], "cr") == ["BCR"]  # holds it, and is not scored
    assert suggestions(registry.first, " ") == []
    assert get(client, "/api/v1/all/suggest?q=gat") == ["GATA1"]


# ------------------------------------------------------------------------------------------------ elements


def test_the_tables_rows_can_be_filtered_and_ordered(client):
    filters = json.dumps({"class": {"filterType": "text", "type": "equals", "filter": "WITHOUT_PEAK"}})
    sorts = json.dumps([{"colId": "start", "sort": "desc"}])
    text = client.get("/api/v1/all/elements.tsv", query_string={"filters": filters, "sorts": sorts}).data.decode()
    rows = [line.split("\t") for line in text.splitlines()]
    starts = [int(row[rows[0].index("start")]) for row in rows[1:]]
    assert len(starts) == 6
    assert starts == sorted(starts, reverse=True)
    assert "effect" not in rows[0]  # none was computed


def test_one_genes_table_is_cut_at_the_threshold_on_the_page(client):
    text = client.get(f"/api/v1/all/elements.tsv?gene={MYC}&threshold=1").data.decode()
    assert len(text.splitlines()) == 1
    get(client, f"/api/v1/all/elements.tsv?gene={MYC}&threshold=2", 400)
    get(client, "/api/v1/all/elements.tsv?filters={", 400)


TABLE = pd.DataFrame({"n": [1.0, np.nan, 3.0], "s": pd.Categorical(["Ab", "b", "."]), "t": ["x", "y", "z"]})


@pytest.mark.parametrize(
    ("model", "rows"),
    [
        ({"n": {"type": "greaterThanOrEqual", "filter": 3}}, [2]),
        ({"n": {"type": "inRange", "filter": 0, "filterTo": 2}}, [0]),
        ({"n": {"type": "blank"}}, [1]),
        ({"n": {"type": "greaterThan", "filter": "no number"}}, [0, 1, 2]),
        ({"s": {"type": "contains", "filter": "B"}}, [0, 1]),
        ({"s": {"type": "notBlank"}}, [0, 1]),
        ({"t": {"type": "startsWith", "filter": "X"}}, [0]),
        ({"t": {"operator": "OR", "conditions": [{"type": "equals", "filter": x} for x in "xz"]}}, [0, 2]),
        ({"t": {"operator": "AND", "conditions": [{"type": "contains", "filter": x} for x in "xz"]}}, []),
        ({"nosuch": {"type": "equals", "filter": 1}}, [0, 1, 2]),
    ],
)
def test_each_filter_keeps_the_rows_it_names(model, rows):
    assert list(rows_of(TABLE, model, None).index) == rows


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["n", "s", "contains", "inRange"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["n", "s", "t", "type", "filter", "filterTo", "conditions", "operator", "colId", "sort"]),
            inner,
        )
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(json_values, json_values)
def test_no_filter_or_order_breaks_the_table(filters, sorts):
    found = rows_of(TABLE, filters, sorts)
    assert set(found.index) <= {0, 1, 2}


# ------------------------------------------------------------------------------------------------ whose element


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Three genes 500 bp apart: their windows share bases."""
    folder = tmp_path_factory.mktemp("crowded")
    loaded = load_study(make_study(folder / "study"))
    sizes = loaded.genome().sizes
    run = Run.create(
        folder / "run", name="crowded", window=WINDOW, promoter=PROMOTER, chrom_sizes=sizes, resolved=loaded.resolved()
    )
    with run.writing():
        for i, strand in enumerate("+-+"):
            gene = {"gene_id": f"G{i}", "symbol": f"S{i}", "chrom": "chr1", "tss": 10_000 + 500 * i, "strand": strand}
            run.append({**gene, "predicted": 1.0, "observed": 1.0, "split": "test"}, *mask_of(0))
    assemble(run, loaded.peaks_path())
    registry = RunRegistry([run.path], cache=folder / "cache")
    yield registry
    registry.close()


def test_each_gene_that_covers_a_region_says_how_far_it_keeps_it(crowded):
    view = crowded.first
    table, count = genes_using_region(view, "chr1", 11_050, 11_150)
    assert count == 3
    assert list(table["symbol"]) == ["S0", "S1", "S2"]  # every mask has its hill 1,100 bp right of its start site
    for row in table[:2].itertuples():
        mask = view.run.mask(row.gene_id)
        assert row.mean_mask == pytest.approx(float(mask.mask[11_050 - mask.start : 11_150 - mask.start].mean()))
    assert table["distance"].tolist() == [1_100, -600, 100]  # of the gene on the minus strand: upstream
    assert table["element"].tolist()[0] == "E1"
    assert table["bases"].tolist() == [100, 100, 0]  # to the third gene it is promoter, which no mask decides
    assert np.isnan(table["mean_mask"][2])


def test_a_region_that_nobody_may_ask_for_is_refused(crowded):
    client = create_app(crowded, Settings(igv="notebook")).server.test_client()
    for query in ("chrom=chr1&start=5&end=5", "chrom=chr1&start=0&end=40000000"):
        assert client.get(f"/api/v1/crowded/owners?{query}").status_code == 404
    assert client.get("/api/v1/crowded/owners?chrom=nope&start=1&end=5").status_code == 400
    arcs = get(client, "/api/v1/crowded/owners/arcs?chrom=chr1&start=11050&end=11150")
    assert arcs["tss"] == 11_100
    assert [item["start"] for item in arcs["elements"]] == [10_000, 10_500]


# ------------------------------------------------------------------------------------------------ audit


def test_peaks_and_elements_that_disagree_make_the_queue(registry):
    found = audit(registry.first)
    for gene in gene_table().itertuples():
        elements = registry.first.cut(gene.gene_id)
        mine = elements[elements["class"] != "promoter"]
        peaks = registry.first.run.peaks
        half = WINDOW // 2
        near = peaks[
            (peaks["chrom"] == gene.chrom) & (peaks["start"] < gene.tss + half) & (peaks["end"] > gene.tss - half)
        ]
        used = sum(((mine["start"] < p.end) & (mine["end"] > p.start)).any() for p in near.itertuples())
        row = found.genes.loc[gene.gene_id]
        assert (row["used"], row["used"] + row["unused"]) == (used, len(near))
        assert row["without_peak"] == (mine["class"] == "without_peak").sum()
    assert set(found.queue["kind"]) <= {"element", "peak"}
    assert found.queue["rank"].is_monotonic_decreasing
    assert len(found.queue) == found.genes[["without_peak", "unused"]].to_numpy().sum()


def test_decisions_are_kept_in_the_run_and_come_back(tmp_path):
    study = make_study(tmp_path / "study")
    registry = RunRegistry([make_viewer_run(tmp_path / "run", study, name="r")], cache=tmp_path / "cache")
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    item = get(client, "/api/v1/r/audit?kind=element")["items"][0]
    body = {**item, "decision": "doubt", "note": "no\topen  chromatin", "who": "Ada"}
    assert client.post("/api/v1/r/audit", json=body).status_code == 201
    assert client.post("/api/v1/r/audit", json={**body, "decision": "agree", "note": ""}).status_code == 201
    answer = get(client, f"/api/v1/r/audit?gene={item['gene_id']}")
    assert answer["decided"] == 1
    again = next(row for row in answer["items"] if row["start"] == item["start"])
    assert (again["decision"], again["who"]) == ("agree", "Ada")
    lines = client.get("/api/v1/r/audit.tsv").data.decode().splitlines()
    assert [line.split("\t")[-2:] for line in lines[1:]] == [["doubt", "no open chromatin"], ["agree", ""]]
    registry.close()


def test_a_note_that_begins_as_a_formula_is_saved_as_text(tmp_path):
    """Whoever opens the table in a spreadsheet program did not write the note."""
    study = make_study(tmp_path / "study")
    registry = RunRegistry([make_viewer_run(tmp_path / "run", study, name="r")], cache=tmp_path / "cache")
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    item = get(client, "/api/v1/r/audit?kind=element")["items"][0]
    notes = [
        '=HYPERLINK("http://evil.example";"x")',
        "+1+cmd|' /C calc'!A0",
        "@SUM(1)",
        "-2+3",
        "=1",
        "-2.5",
        "-",
        "a=b",
    ]
    for note in notes:
        body = {**item, "decision": "note", "note": note, "who": "=Ada"}
        assert client.post("/api/v1/r/audit", json=body).status_code == 201
    (tmp_path / "saved.tsv").write_bytes(client.get("/api/v1/r/audit.tsv").data)
    saved = read_table(tmp_path / "saved.tsv")
    assert list(saved["note"]) == [*(f"'{note}" for note in notes[:5]), *notes[5:]]
    assert set(saved["who"]) == {"'=Ada"}
    assert get(client, f"/api/v1/r/audit?gene={item['gene_id']}")["items"][0]["who"] in ("=Ada", None)
    registry.close()


@pytest.mark.parametrize(
    "change",
    [{"decision": "maybe"}, {"start": "x"}, {"note": "n" * 1001}, {"who": "w" * 61}, {"start": 1e400}, {"end": None}],
)
def test_a_decision_that_is_none_is_refused_in_words(client, change):
    item = get(client, "/api/v1/all/audit")["items"][0]
    answer = client.post("/api/v1/all/audit", data=json.dumps({**item, "decision": "agree", **change}), headers=JSON)
    assert answer.status_code == 400
    assert answer.get_json()["message"]


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {}, 400),
        (b"[1]", JSON, 400),
        (b"{", JSON, 400),
        (b"[" * 4_000, JSON, 400),
        (b'{"a":"' + b"x" * 5_000 + b'"}', JSON, 400),
        (b'{"gene_id":"NOPE","start":1,"end":2}', JSON, 404),
        (b"{}", {**JSON, "Origin": "http://evil.example"}, 403),
    ],
)
def test_what_no_page_of_ours_sends_is_refused(client, content, headers, status):
    assert client.post("/api/v1/all/audit", data=content, headers=headers).status_code == status


def test_twenty_writers_at_once_leave_twenty_whole_lines(tmp_path):
    item = {"gene_id": "G", "symbol": "S", "kind": "peak", "chrom": "chr1", "start": 1, "end": 2, "decision": "note"}
    (tmp_path / "audit.jsonl").write_text('{"torn')
    writers = [threading.Thread(target=append_decision, args=(tmp_path, {**item, "note": str(i)})) for i in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = read_decisions(tmp_path)
    assert sorted(map(int, found["note"])) == list(range(20))
    assert len(latest(found)) == 1
    assert not (tmp_path / "audit.jsonl.lock").exists()


def test_a_run_that_cannot_be_written_says_so(tmp_path):
    item = {"gene_id": "G", "symbol": "S", "kind": "peak", "chrom": "chr1", "start": 1, "end": 2, "decision": "note"}
    with pytest.raises(InputError, match="cannot be written"):
        append_decision(tmp_path / "nowhere", item)


# ------------------------------------------------------------------------------------------------ two runs, files


def test_the_difference_of_two_runs_is_the_first_minus_the_second(registry, client):
    assert set(get(client, f"/api/v1/all/genes/{HBB}/difference?from=half&bins=9")["mean"]) == {0}
    get(client, "/api/v1/all/genes/BCR/difference?from=half", 404)  # not scored there
    get(client, f"/api/v1/all/genes/{HBB}/difference?from=nope", 404)


def test_a_difference_has_its_sign(tmp_path, registry):
    study = make_study(tmp_path / "study")
    path = make_viewer_run(tmp_path / "lower", study, name="lower", genes=0)
    run = Run.open(path)
    gene = gene_table().iloc[0]
    with run.writing():
        names = {name: gene[name] for name in ("gene_id", "symbol", "chrom", "tss", "strand", "split")}
        alpha, beta = mask_of(0)
        run.append({**names, "observed": 1.0, "predicted": 1.0}, alpha / 4, beta)
    both = RunRegistry([registry.first.run, path], cache=tmp_path / "cache")
    client = create_app(both, Settings(igv="notebook")).server.test_client()
    found = np.array(get(client, f"/api/v1/all/genes/{MYC}/difference?from=lower&bins=400")["mean"])
    assert found.max() > 0.2
    assert found.min() == 0  # the promoter is kept in both
    both.close()


def test_every_file_has_an_id_and_nothing_else_is_served(registry, client, tmp_path):
    files = {file.place: file for file in list_run_files(registry.first.run.path)}
    assert {"manifest.json", "genes.tsv", "elements/elements.bed", "scores.jsonl"} <= set(files)
    assert all(file.words for file in files.values())
    found = client.get(f"/data/all/{files['scores.jsonl'].id}?download=1")
    assert found.data == (registry.first.run.path / "scores.jsonl").read_bytes()
    link = registry.first.run.path / "secret.txt"
    link.symlink_to("/etc/hostname")
    for name in ("file-secret.txt", "file-..%2Fstudy%2Fstudy.toml", "file-masks.zarr_zarr.json", "scores.jsonl"):
        assert client.get(f"/data/all/{name}").status_code == 404, name
    link.unlink()


def test_mask_inside_peaks_is_told_from_outside(registry):
    found = overlap(registry.first)
    assert found.means[0] > found.means[1]
    assert found.kept[0] == 1
    sets = found.sets.set_index("set")
    assert sets.loc[ELEMENTS, "elements_in_peaks"] > sets.loc[RANDOM, "elements_in_peaks"]
    assert sets["kept_share"].nunique() <= 2  # the same number of bases each
    learned = sum(int(registry.first.run.mask(name).learned.sum()) for name in gene_table()["gene_id"][[1, 2, 4]])
    assert found.inside.sum() + found.outside.sum() == learned


def test_the_page_counts_overlap_as_compare_does(registry):
    """The same elements, peaks and prior on the same genes: the same counts."""
    run = registry.first.run
    sets = overlap(registry.first).sets.set_index("set")
    sampled = gene_table()["gene_id"][[1, 2, 4]]
    tables = compare(run).tables
    rows = tables["peaks_by_gene"].set_index("gene_id").loc[sampled]
    assert sets.loc[ELEMENTS, list(COUNTS)].astype(int).to_dict() == rows[list(COUNTS)].sum().to_dict()
    assert sets.loc[RANDOM, "element_bases"] == sets.loc[ELEMENTS, "element_bases"]
    scores = tables["scores"].set_index("score")  # of the test split: the sampled genes
    for name, there in ((ELEMENTS, "mask elements"), (PRIOR, "signal prior")):
        assert sets.loc[name, "elements_in_peaks"] == pytest.approx(scores.loc[there, "in_peaks"], rel=1e-9)


def test_a_run_without_genes_has_no_tables_yet(tmp_path):
    study = make_study(tmp_path / "study")
    registry = RunRegistry([make_viewer_run(tmp_path / "run", study, name="r", genes=0)], cache=tmp_path / "cache")
    assert overlap(registry.first) is None
    assert len(element_table(registry.first)) == 0
    assert len(gene_list(registry.first)) == 6
    assert len(audit(registry.first).queue) == 0
    add_genes(Run.open(registry.first.run.path), range(2))
    assert list(gene_list(registry.first)["state"])[:3] == ["scored", "scored", "not scored"]
    registry.close()


def test_tables_of_a_comparison_keep_a_row_for_each_line(tmp_path):
    rows = [f"peaks{number}\t{cell}\t0.123456" for number, cell in enumerate(['"5 prime', "plain", '"', '"a ""b"""'])]
    (tmp_path / "peaks.tsv").write_text("\n".join(["##by hand", "peak_set\tgroup\tjaccard", *rows]) + "\n")
    ((name, cells, cut),) = comparison_tables(tmp_path)
    assert (name, cut) == ("peaks", False)
    assert [row[1] for row in cells] == ["group", '"5 prime', "plain", '"', 'a "b"']
    assert cells[1][2] == "0.1235"


def test_a_quote_in_the_history_of_a_training_swallows_no_step(tmp_path):
    (tmp_path / "history.csv").write_text('step,loss,note\n1,0.5,"a\n2,0.4,\n3,0.3,b"\n')
    assert history(tmp_path / "history.csv")["step"].tolist() == [1, 2, 3]


def test_decisions_of_another_version_are_found_and_those_of_no_gene_are_counted(registry, tmp_path):
    run = registry.first.run
    line = {"kind": "peak", "chrom": "chr1", "start": 1, "end": 2, "name": "", "decision": "agree", "note": ""}
    ids, symbols = run.genes["gene_id"], run.genes["symbol"]
    for gene_id, symbol in ((f"{ids[0].split('.')[0]}.99", "x"), ("gone", symbols[1]), ("gone", "unknown")):
        append_decision(tmp_path, {**line, "gene_id": gene_id, "symbol": symbol})
    known, unknown = of_genes(read_decisions(tmp_path), run.finder)
    assert known["gene_id"].tolist() == ids[:2].tolist()
    assert unknown == 1


@pytest.mark.parametrize(
    ("symbols", "ok", "words"),
    [
        (["gone"], False, "1 decisions, none about a gene of this run"),
        (["gone", "MYC"], True, "2 audit decisions, 1 of them about genes that this run does not have"),
        (["MYC"], True, "1 audit decisions"),
    ],
)
def test_check_counts_decisions_of_no_gene_and_refuses_them_when_all_are(tmp_path, symbols, ok, words):
    run = make_viewer_run(tmp_path / "run", make_study(tmp_path / "study"))
    line = {"kind": "peak", "chrom": "chr1", "start": 1, "end": 2, "name": "", "decision": "agree", "note": ""}
    for symbol in symbols:
        append_decision(run, {**line, "gene_id": "gone", "symbol": symbol})
    said: list[str] = []
    assert check_runs([run], said.append) == ok
    assert words in "\n".join(said)


def test_a_gene_on_a_chromosome_that_a_signal_does_not_list_has_an_empty_signal(tmp_path):
    study = make_study(tmp_path / "study")
    path = study.parent / "H3K27ac.bw"
    with pyBigWig.open(str(path)) as old:
        size, values = old.chroms("chr1"), old.values("chr1", 0, old.chroms("chr1"))
    path.unlink()
    with pyBigWig.open(str(path), "w") as new:
        new.addHeader([("chr1", size)])
        new.addEntries("chr1", 0, values=values, span=1, step=1)
    view = RunRegistry([make_viewer_run(tmp_path / "run", study)]).first
    gene = view.run.genes[view.run.genes["chrom"] == "chr2"].iloc[0]
    assert view.model_signals(gene["gene_id"])[:, 0].max() == 0
    assert view.model_signals(gene["gene_id"])[:, 1].max() > 0
    found = bigwig_summary(path, "chr2", int(gene["start"]), int(gene["end"]), 10)
    assert found["mean"] == [None] * 10
    assert np.isfinite(view.prior(gene["gene_id"])).all()
