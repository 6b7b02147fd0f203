"""Effects that a run stores, as tables, reports, exported files and the interface show them."""

import gzip

import numpy as np
import pandas as pd
import pytest
from viewer_run import PROMOTER, WINDOW, get, make_study, make_viewer_run, mask_of

from model_core import palette
from model_core.run_folder.assemble import assemble
from model_core.run_folder.element_gene_score import SMALLEST
from model_core.run_folder.elements import read_elements
from model_core.run_folder.run import Run
from model_core.run_folder.tracks import BEDPE_COLUMNS
from model_core.track_formats import format_of
from seq2exp_viz.api import igv
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.page import panel
from seq2exp_viz.reports.export import export
from seq2exp_viz.reports.gene_report import report
from seq2exp_viz.runs.effect_words import effect_facts, effect_words, member_words
from seq2exp_viz.runs.element_tables import element_table
from seq2exp_viz.runs.gene_list import gene_list
from seq2exp_viz.runs.genes_using_region import genes_using_region, ranked_by
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.text_tracks import pair_features

MYC, GATA1 = "ENSG00000000000.1", "ENSG00000000001.2"  # one element lowers MYC; members do not agree on one of GATA1's


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("effects")
    study = make_study(folder / "study")
    stores = {
        "five": {"members": 5, "contact": "Hi-C"},
        "one": {"members": 1},
        "contact": {"contact": "Hi-C"},
        "plain": {},
    }
    registry = RunRegistry(
        [make_viewer_run(folder / name, study, name=name, genes=3, **more) for name, more in stores.items()],
        cache=folder / "cache",
    )
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def client(registry):
    return create_app(registry, Settings(igv="notebook")).server.test_client()


def rows_of(view, gene: str, threshold: float | None = None) -> dict[str, dict]:
    return {row["name"]: row for row in element_table(view, gene, threshold).to_dict("records")}


@pytest.mark.parametrize("gene", [MYC, None])
def test_a_stored_effect_is_the_sum_of_its_bins_with_the_spread_over_the_members(registry, gene):
    view = registry["five"]
    table = element_table(view, gene)
    for row in table[table["gene_id"] == MYC].to_dict("records"):
        sums = view.run.member_effects(MYC).of(row["start"], row["end"])
        assert row["effect"] == pytest.approx(sums.mean(), rel=1e-4)
        assert row["effect_sd"] == pytest.approx(sums.std(ddof=1), rel=1e-4)
        assert (row["recurrence"], row["members"]) == (5, 5)
        assert row["element_gene_score"] == pytest.approx(abs(sums.mean()), rel=1e-4)
        assert 0 < row["contact"] < 1
        assert np.isnan(row["control_rank"])  # nothing was knocked out
    assert {row["name"]: row["direction"] for row in table[table["gene_id"] == MYC].to_dict("records")} == {
        "E1": "raises",
        "E2": "lowers",
    }


def test_members_that_do_not_agree_leave_the_direction_open(registry):
    row = rows_of(registry["five"], GATA1)["E2"]
    assert row["direction"] == "cannot be told"
    assert abs(row["effect"]) < 2 * row["effect_sd"]
    assert row["recurrence"] < 5


def test_stored_effects_are_known_at_any_threshold(registry):
    assert element_table(registry["five"], MYC, 0.5)["effect"].notna().all()


def test_one_member_has_no_error_and_so_no_direction(registry):
    row = rows_of(registry["one"], MYC)["E1"]
    assert row["effect"] > 0
    assert np.isnan(row["effect_sd"])
    assert row["direction"] == ""
    assert dict(effect_facts(row)) == {
        "Effect": effect_words(row["effect"]),
        "Element–gene score": f"{row['effect']:.3f}",
    }


def test_what_is_not_known_is_left_out_and_never_0(registry):
    row = rows_of(registry["plain"], MYC)["E1"]
    assert effect_facts(row) == []
    assert element_table(registry["plain"])[["effect", "contact", "element_gene_score"]].isna().all(axis=None)
    assert "Element–gene score" not in report(registry["plain"], ["MYC"])


def test_a_knock_out_of_another_model_is_weighted_by_contact(registry, monkeypatch):
    view = registry["contact"]
    element = rows_of(view, MYC)["E1"]
    known = {"gene_id": MYC, "element": "E1", "effect": -0.5, "control_rank": 1, "control_n": 9}
    table = pd.DataFrame([{**known, "start": element["start"], "end": element["end"]}])
    monkeypatch.setattr(Run, "effects", table)
    row = rows_of(view, MYC)["E1"]
    assert row["element_gene_score"] == pytest.approx(0.5 * element["contact"])
    assert (row["effect"], row["direction"], row["control_rank"]) == (-0.5, "", 1)
    bare = rows_of(registry["plain"], MYC)["E1"]
    assert bare["effect"] == -0.5
    assert np.isnan(bare["element_gene_score"])
    assert np.isnan(rows_of(view, MYC)["E2"]["effect"])


def test_the_gene_list_names_the_strongest_stored_effect(registry):
    rows = gene_list(registry["five"]).set_index("gene_id")
    assert rows.loc[MYC, "effect_element"] == "E1"
    assert rows.loc[MYC, "effect"] == pytest.approx(rows_of(registry["five"], MYC)["E1"]["effect"], rel=1e-4)
    assert "effect" not in gene_list(registry["plain"])


def test_the_interface_and_the_panel_say_it_in_words(registry, client):
    answer = get(client, f"/api/v1/five/genes/{MYC}/elements")
    items = {item["name"]: item for item in answer["elements"]}
    assert dict(items["E1"]["facts"])["Members that agree"] == "5 of 5 members"
    assert dict(items["E2"]["facts"])["Direction"] == "lowers expression"
    assert items["promoter"]["facts"] == []
    assert [items["promoter"][name] for name in ("effect", "element_gene_score", "contact")] == [None] * 3
    shown = str(panel.element_list(answer))
    assert "+0.18 ± 0.03" in shown
    assert "direction raises" in shown
    assert "direction lowers" in shown
    plain = str(panel.element_list(get(client, f"/api/v1/plain/genes/{MYC}/elements")))
    assert "±" not in plain
    assert "Mask" in plain


def test_the_table_is_downloaded_with_numbers(registry, client):
    head, *rows = client.get(f"/api/v1/five/elements.tsv?gene={MYC}").data.decode().splitlines()
    columns = head.split("\t")
    row = dict(zip(columns, rows[0].split("\t"), strict=True))
    assert float(row["effect"]) == pytest.approx(rows_of(registry["five"], MYC)[row["name"]]["effect"], rel=1e-4)
    assert (row["recurrence"], row["members"], row["direction"]) == ("5", "5", "lowers")
    assert {"effect_sd", "contact", "element_gene_score"} <= set(columns)
    assert "effect" not in client.get(f"/api/v1/plain/elements.tsv?gene={MYC}").data.decode()


def test_the_report_has_effect_error_members_direction_and_score(registry):
    text = report(registry["five"], ["MYC", "GATA1"])
    for words in ("Effect ± sd", "+0.18 ± 0.03", "5 of 5 members", "lowers", "cannot be told", "Element–gene score"):
        assert words in text, words
    assert "Rank among control regions" not in text  # nothing was knocked out
    single = report(registry["one"], ["MYC"])
    assert "±" not in single
    assert "Direction" not in single
    assert "+0.177" in single


@pytest.mark.parametrize("names", [None, ["MYC", "GATA1"]])
def test_exported_files_have_what_is_known_and_are_read_again(registry, tmp_path, names):
    run = registry["five"].run
    bed = export(run, "bed", names, tmp_path / "a.bed")
    header, first = [line.split("\t") for line in bed.read_text().splitlines() if not line.startswith("##")][:2]
    assert header[-6:] == ["contact", "effect", "effect_sd", "recurrence", "direction", "element_gene_score"]
    assert first[-2] in ("raises", "lowers", "cannot be told")
    found = read_elements(bed)
    assert list(found.columns) == list(run.elements.columns)
    assert found["effect"].notna().sum() == (found["class"] != "promoter").sum() > 0
    gff = export(run, "gff3", names, tmp_path / "a.gff3").read_text()
    assert ";direction=lowers;contact=0.0" in gff
    plain = export(registry["plain"].run, "gff3", names, tmp_path / "b.gff3").read_text()
    assert "effect" not in plain
    assert "direction" not in export(registry["plain"].run, "bed", names, tmp_path / "b.bed").read_text()


@pytest.mark.parametrize("names", [None, ["MYC", "GATA1"]])
def test_a_pair_leads_from_each_element_to_its_start_site(registry, tmp_path, names):
    view = registry["five"]
    path = export(view.run, "bedpe", names, tmp_path / "a.bedpe")
    lines = [line for line in path.read_text().splitlines() if not line.startswith("##")]
    header, *rows = [line.split("\t") for line in lines]
    assert header[:10] == [f"#{BEDPE_COLUMNS[0]}", *BEDPE_COLUMNS[1:]]
    assert len(rows) == (6 if names is None else 4)
    assert rows == sorted(rows, key=lambda row: (row[0], int(row[1])))
    for row in (dict(zip(header, row, strict=True)) for row in rows):
        gene = view.run.gene(row["gene_id"])
        element = rows_of(view, row["gene_id"])[row["name"].split(":")[1]]
        assert (row["chrom2"], int(row["start2"]), int(row["end2"])) == (gene["chrom"], gene["tss"], gene["tss"] + 1)
        assert (int(row["start1"]), int(row["end1"])) == (element["start"], element["end"])
        assert float(row["score"]) == pytest.approx(element["element_gene_score"], rel=1e-4)
        assert (row["strand1"], row["strand2"]) == (".", gene["strand"])
        assert row["direction"] == element["direction"]
    assert format_of(path) == "bedpe"
    drawn = list(pair_features(enumerate(path.read_text().splitlines(), 1), "bedpe"))
    assert [arc["score"] for arc in drawn] == [float(row[7]) for row in rows]


def test_a_pair_without_a_score_says_so_and_the_page_offers_the_same_file(registry, client, tmp_path):
    path = export(registry["plain"].run, "bedpe", "MYC", tmp_path / "a.bedpe", bgzip=True)
    assert path.name == "a.bedpe.gz"
    assert path.with_name("a.bedpe.gz.tbi").exists()
    rows = [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode().splitlines() if line[0] != "#"]
    assert {row[7] for row in rows} == {"."}
    answer = client.get(f"/api/v1/five/genes/{MYC}/elements.bedpe")
    assert "five.MYC.elements.bedpe" in answer.headers["Content-Disposition"]
    assert answer.data == export(registry["five"].run, "bedpe", "MYC", tmp_path / "b.bedpe").read_bytes()
    assert len(client.get(f"/api/v1/five/genes/{MYC}/elements.bedpe?threshold=1").data.splitlines()) < len(
        answer.data.splitlines()
    )


def test_genes_are_ranked_by_the_effect_of_a_region_on_each(tmp_path):
    view = crowded(tmp_path, members=5)
    table, count = genes_using_region(view, "chr1", 11_050, 11_150)
    assert (count, ranked_by(table)) == (3, "effect")
    assert table["symbol"].tolist() == ["S1", "S0", "S2"]  # S0 keeps it more: the mask would rank it first
    for row in table[:2].itertuples():
        sums = view.run.member_effects(row.gene_id).of(11_050, 11_150)
        assert row.effect == pytest.approx(sums.mean(), rel=1e-4)
        assert row.effect_sd == pytest.approx(sums.std(ddof=1), rel=1e-4)
        assert row.element_gene_score == pytest.approx(abs(row.effect))
    assert table["direction"].tolist() == ["lowers", "raises", ""]
    assert np.isnan(table["effect"][2])  # to the third gene it is promoter: no effect of its own, and not 0
    registry = RunRegistry([view.run], cache=tmp_path / "cache")
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    found = get(client, "/api/v1/run/owners?chrom=chr1&start=11050&end=11150")
    assert found["ranked_by"] == "effect"
    assert found["rows"][0]["said"] == {
        "effect": effect_words(table["effect"][0], table["effect_sd"][0]),
        "members": "5 of 5",
    }
    arcs = get(client, "/api/v1/run/owners/arcs?chrom=chr1&start=11050&end=11150")["elements"]
    assert [arc["arc"] for arc in arcs] == [palette.EFFECTS["lowers"].css, palette.EFFECTS["raises"].css]
    assert [arc["element_gene_score"] for arc in arcs] == pytest.approx(table["effect"].abs().tolist()[:2], abs=1e-5)
    registry.close()


def test_without_stored_effects_genes_are_ranked_by_the_mask_and_it_is_said(tmp_path):
    table, _ = genes_using_region(crowded(tmp_path, members=None), "chr1", 11_050, 11_150)
    assert (table["symbol"].tolist(), ranked_by(table)) == (["S0", "S1", "S2"], "mask")
    assert table["effect"].isna().all()


def crowded(folder, members: int | None) -> RunView:
    """Three genes whose windows overlap; the region acts most on the second, which keeps it less than the first."""
    sizes = {"chr1": 40_000}
    run = Run.create(
        folder / "run", name="run", variant="causal", band="members", window=WINDOW, promoter=PROMOTER,
        chrom_sizes=sizes, members=members,
    )  # fmt: skip
    with run.writing():
        for i, strand in enumerate("+-+"):
            gene = {"gene_id": f"G{i}", "symbol": f"S{i}", "chrom": "chr1", "tss": 10_000 + 500 * i, "strand": strand}
            shares = 1 + 0.1 * np.arange(-2, 3)[:, None] if members else None
            effects = None if shares is None else shares * np.full(WINDOW // 8, [0.002, -0.004, 0.1][i])
            run.append({**gene, "predicted": 1.0, "observed": 1.0, "split": "test"}, *mask_of(0), effects)
    assemble(run)
    return RunView.open("run", Run.open(run.path), folder / "cache")


def test_the_track_is_the_mean_over_the_members_with_twice_their_spread(registry, client):
    effects = registry["five"].run.member_effects(GATA1)
    whole = get(client, f"/api/v1/five/genes/{GATA1}/member-effects?bins=6000")
    assert (whole["bin"], whole["per"], whole["start"]) == (8, 100, effects.start)
    shown = np.array([np.nan if value is None else value for value in whole["mean"]])
    drawn = ~np.isnan(shown)
    assert shown[drawn] == pytest.approx(effects.mean[drawn] * 100 / 8, abs=1e-6)
    high = np.array([np.nan if value is None else value for value in whole["high"]])
    assert (high - shown)[drawn] == pytest.approx(2 * effects.sd[drawn] * 100 / 8, abs=1e-6)
    assert set(whole["forced"]) == {-1, 1}
    assert all((value is None) == (state == 1) for value, state in zip(whole["mean"], whole["forced"], strict=True))
    wide = get(client, f"/api/v1/five/genes/{GATA1}/member-effects?bins=40&start=11000&end=11800")
    for i in (0, 5, 20):
        start = wide["start"] + i * wide["bin"]
        sums = effects.of(start, start + wide["bin"])
        assert wide["mean"][i] == pytest.approx(sums.mean() * 100 / wide["bin"], abs=1e-6)
        assert wide["high"][i] - wide["mean"][i] == pytest.approx(2 * sums.std(ddof=1) * 100 / wide["bin"], abs=1e-6)
        told = abs(wide["mean"][i]) >= max(SMALLEST, 2 * sums.std(ddof=1) * 100 / wide["bin"])
        assert wide["direction"][i] == (("raises" if sums.mean() > 0 else "lowers") if told else "cannot be told")


def test_no_band_where_there_is_none_and_no_track_without_effects(registry, client):
    one = get(client, f"/api/v1/one/genes/{MYC}/member-effects")
    assert "low" not in one
    assert set(one["direction"]) == {""}
    get(client, f"/api/v1/plain/genes/{MYC}/member-effects", 404)
    ids = {name: [row["id"] for row in igv.tracks(registry[name], "/", MYC, None)] for name in ("five", "plain")}
    assert ids["five"].index("effect") == ids["five"].index("mask") + 1
    assert "effect" not in ids["plain"]
    columns = get(client, f"/api/v1/plain/view?gene={MYC}")["elementColumns"]
    assert set(columns["known"]) == {"beta_sd"}
    assert set(get(client, f"/api/v1/five/view?gene={MYC}")["elementColumns"]["withheld"]) == set()


def test_words_of_an_effect():
    assert effect_words(0.2134, 0.031) == "+0.21 ± 0.03"
    assert effect_words(-0.0405, 0.0064) == "−0.041 ± 0.006"
    assert effect_words(0.004, 0.2) == "0.00 ± 0.20"
    assert effect_words(-0.5) == "−0.500"
    assert effect_words(float("nan"), 0.1) == effect_words(None) == ""
    assert member_words(4, 5) == "4 of 5 members"
    assert member_words(1, 1) == member_words(float("nan"), 5) == ""
