"""The benchmark on real input: which tested pairs it judges, what it asks of a run, and what its tables say."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from benchmark_script import script
from model_run import score_with
from viewer_run import make_study

from model_core.evaluation.rivals import Rival
from model_core.files import write_json
from model_core.perturbation.run_model import RunModel
from model_core.perturbation.what_if import Edit
from model_core.run_folder.assemble import assemble
from model_core.run_folder.elements import ElementRule
from model_core.run_folder.mask_store import GeneMask
from model_core.study.study import load_study

WINDOW, PROMOTER, TSS = 1_000, 100, 5_000


@pytest.fixture(scope="module")
def real():
    return script("real")


@pytest.fixture(scope="module")
def real_pairs(real):
    return script("real_pairs")


@pytest.fixture(scope="module")
def real_links(real):
    return script("real_links")


def study_of(genes):
    table = pd.DataFrame(genes, columns=["symbol", "chrom", "tss", "split"])
    blacklist = pd.DataFrame({"chrom": ["chr1"], "start": [5_300], "end": [5_350]})
    return SimpleNamespace(genes=lambda: table, blacklist=lambda: blacklist)


def test_every_pair_is_judged_or_left_out_with_its_reason(real_pairs, tmp_path):
    places = {
        (4_500, 4_560): "",  # begins with the window
        (5_400, 5_500): "",  # ends with it
        (4_940, 5_060): "",  # wider than the promoter
        (5_320, 5_400): "",  # in part blacklisted
        (4_499, 4_560): real_pairs.CUT,
        (5_400, 5_501): real_pairs.CUT,
        (4_400, 4_500): real_pairs.OUTSIDE,
        (5_500, 5_600): real_pairs.OUTSIDE,
        (4_950, 5_050): real_pairs.IN_PROMOTER,
        (5_300, 5_350): real_pairs.BLACKLISTED,
    }
    rows = [("chr1", *place, "A", "TRUE", 0) for place in places]
    rows += [("chr1", 4_500, 4_560, "B", "TRUE", 0), ("chr1", 4_600, 4_660, "A", "overlaps exon", 0)]
    rows += [("chr2", 4_500, 4_560, "A", "TRUE", 0)]
    table = pd.DataFrame(rows, columns=["chrom", "chromStart", "chromEnd", "gene", "ValidConnection", "startTSS"])
    table = table.assign(Regulated="TRUE", measuredGeneEnsemblId="NA")
    table[["H3K27ac.RPM", "DHS.RPM"]] = 1.0
    table.to_csv(tmp_path / "pairs.tsv", sep="\t", index=False)
    kept, left_out = real_pairs.tested_pairs(
        tmp_path / "pairs.tsv", study_of([("A", "chr1", TSS, "train")]), WINDOW, PROMOTER
    )
    assert list(zip(kept["start"], kept["end"], strict=True)) == [place for place, why in places.items() if not why]
    assert kept["distance"].tolist() == [470, 450, 0, 360]  # of the study's start site, not of the table's
    assert set(kept["split"]) == {"train"}
    expected = [why for why in places.values() if why] + [real_pairs.UNKNOWN_GENE]
    assert sorted(left_out["reason"][1:]) == sorted(expected)
    assert left_out["reason"][0].endswith("(overlaps exon)")
    assert len(kept) + len(left_out) == len(table) - 1  # the study has no chr2


def gene_mask(learned):
    ones = np.ones(len(learned), np.float32)
    return GeneMask("chr1", 4_500, 5_500, 1, ones, ones, np.where(learned, -1, 1).astype(np.int8))


def test_control_regions_lie_in_bases_that_the_model_decides(real_links):
    learned = np.ones(1_000, bool)
    learned[[300, 450]] = False
    found = real_links.free_places(gene_mask(learned), 200)
    expected = [4_500 + first for first in range(801) if learned[first : first + 200].all()]
    assert found.tolist() == expected


def test_agreement_counts_links_of_the_same_gene_only(real_links):
    learned = np.ones(1_000, bool)
    learned[450:550] = False
    elements = pd.DataFrame(
        [("A", 4_600, 4_650, 1.0, 0.2), ("A", 4_700, 4_750, 0.1, 0.2), ("B", 4_600, 4_650, -1.0, 0.2)],
        columns=["gene_id", "start", "end", "effect", "effect_sd"],
    ).assign(chrom="chr1", symbol=lambda table: table["gene_id"])
    elements["class"] = "unmatched"
    run = SimpleNamespace(elements=elements, mask=lambda gene: gene_mask(learned))
    links = pd.DataFrame({"chrom": "chr1", "start": [4_640, 4_740], "end": [4_660, 4_760], "gene": ["A", "C"]})
    links = Rival("links", None, "score", links.assign(gene_id=links["gene"], score=1.0))
    peaks = pd.DataFrame({"chrom": "chr1", "start": [4_600, 5_000, 5_400], "end": [4_660, 5_100, 5_450]})
    found = {row["set"]: row for row in real_links.agreement(run, ["A", "B"], peaks, links)}
    every, told = found["elements"], found["elements beyond 2 sd"]
    assert (every["elements"], every["linkable"], every["linked"]) == (3, 2, 0.5)  # nothing is known of B
    assert every["in_peaks"] == pytest.approx(2 / 3)
    assert (told["elements"], told["linked"], told["in_peaks"]) == (2, 1.0, 1.0)
    by_chance, of_peaks = found["random regions"], found["random peaks"]
    assert by_chance["elements"] == of_peaks["elements"] == 3 * real_links.DRAWS
    assert 0 < by_chance["in_peaks"] < 0.7
    assert of_peaks["in_peaks"] == 1
    assert 0.2 < of_peaks["linked"] < 0.8  # one of the two peaks outside the promoter is linked to A


@pytest.mark.parametrize("variant", ["causal", "soft"])
def test_the_effect_of_a_pair_is_that_of_its_knock_out(real_pairs, variant, tmp_path):
    study = load_study(make_study(tmp_path / "study"))
    small = {"encoder": 8, "encoder_filters": 12, "members": 3} if variant == "causal" else {"d_model": 4}
    run = score_with(study, tmp_path, study.genes().iloc[:1], "run", window=1_600, variant=variant, **small)
    assemble(run, rule=ElementRule(0.3, smooth_bp=20, max_gap=10, min_length=16))
    gene = run.genes.iloc[0]
    regions = [(int(gene["start"]) + first, int(gene["start"]) + last) for first, last in ((40, 340), (1_203, 1_490))]
    pairs = pd.DataFrame(regions, columns=["start", "end"]).assign(gene=gene["symbol"])
    found = real_pairs.scores_of_run(run, pairs)
    what_if = RunModel(run, "cpu").what_if(gene["gene_id"])
    fall = what_if.baseline - what_if.under([Edit(off=(region,)) for region in regions])
    assert np.abs(fall).min() > 0
    np.testing.assert_allclose(found["effect"], fall, rtol=2e-2, atol=1e-4)
    assert ("effect_sd" in found) == (variant == "causal")
    inside = slice(regions[0][0] - run.mask(gene["symbol"]).start, regions[0][1] - run.mask(gene["symbol"]).start)
    assert found["mean mask"][0] == pytest.approx(run.mask(gene["symbol"]).mask[inside].mean(), rel=1e-5)
    if variant == "causal":
        np.testing.assert_allclose(found["element-gene score"], np.abs(found["effect"]))


def cells(real, tmp_path, monkeypatch, causal_pairs=None):
    monkeypatch.setattr(real, "RESULTS", tmp_path)
    genes, rng = [f"G{number}" for number in range(12)], np.random.default_rng(0)
    observed = rng.normal(size=12)
    pairs = {"chrom": ["chr1"] * 12, "start": list(range(12)), "end": list(range(50, 62)), "gene": genes}
    pairs |= {"positive": [number < 5 for number in range(12)], "split": ["train"] * 8 + ["test"] * 4}
    pairs |= {"distance": list(range(12)), "outcome": ["Regulated"] * 12}
    left_out = {name: ["chr1"] for name in ("chrom", "start", "end", "gene")} | {"positive": [True], "reason": ["far"]}
    noise = rng.normal(size=12)
    rivals = {"window": 64, "commit": "a", "limits": ["Stated."], "training_genes": 9, "pairs": pairs}
    rivals |= {"observed": dict(zip(genes, observed, strict=True)), "left_out": left_out}
    rivals |= {"predicted": dict(zip(genes, noise, strict=True)), "scores": {"DNase": noise, "foreign": [None] * 12}}
    rivals["scores"]["1/distance"] = [1 / max(number, 1) for number in range(12)]
    causal = {"window": 64, "commit": "b", "model": "causal", "seed": 0, "minutes": 1.0}
    causal |= {"predicted": dict(zip(reversed(genes), observed[::-1] * 2, strict=True))}  # genes in another order
    causal |= {"pairs": causal_pairs or real.names_of(pd.DataFrame(pairs))}
    causal |= {"scores": {"effect": [1.0] * 5 + [0.0] * 7, "effect_sd": [0.1] * 12}}
    row = {"set": "elements", "elements": 4, "genes": 2, "in_peaks": 0.5, "linkable": 0, "linked": None}
    causal["agreement"] = [row]
    for name, cell in ((real.cell_path(64, "rivals"), rivals), (real.cell_path(64, "causal", 0), causal)):
        write_json(name, real.json_values({**cell, "scores": {k: list(v) for k, v in cell["scores"].items()}}))
    return real.results()


def rows_of(table):
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {line[0]: line[1:] for line in lines[2:]}


def test_tables_compare_the_causal_model_with_each_other_on_the_same_genes(real, tmp_path, monkeypatch, capsys):
    (found,) = cells(real, tmp_path, monkeypatch)
    expression = rows_of(real.expression_table(found))
    assert expression["causal 0"][0].startswith("1.00")
    assert expression["causal 0"][2:] == ["", ""]  # itself
    value = float(expression["trees (expression)"][0].split()[0])
    assert float(expression["trees (expression)"][2].split()[0]) == pytest.approx(1 - value, abs=0.011)
    pairs = rows_of(real.pair_table(found))
    assert pairs["causal 0: effect"][:3] == ["1.00 (1.00 to 1.00)", "12", "5"]
    assert pairs["DNase"][3].startswith("+")
    assert pairs["foreign"] == ["", "0", "0", ""]
    assert "causal 0: effect_sd" not in pairs
    each = real.each_pair_table(found)
    assert each.count("raises") == 5
    assert each.count("cannot be told") == 7
    assert rows_of(real.agreement_table(found))["causal 0: elements"] == ["4", "2", "0.500", "0", ""]
    real.printed(found)
    said = capsys.readouterr().out
    assert said.index("Stated.") < said.index("|")  # limits first
    assert "Distance alone tells" in said  # the five nearest pairs are the positive ones
    assert "| far | 1 | 1 |" in said


def test_cells_of_other_pairs_are_refused(real, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="causal: judged on other pairs"):
        cells(real, tmp_path, monkeypatch, causal_pairs=["chr1:0-50 G0"])
