"""`compare`: tables of a run on a simulated study, against the plain way of computing the same numbers."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from needs import bedtools
from planted_run import make_planted_run, make_planted_study
from run_builder import make_run
from sklearn.metrics import average_precision_score, roc_auc_score

from model_core.bed import read_bed
from model_core.errors import InputError
from model_core.evaluation.base_scores import PRIOR
from model_core.evaluation.compare import SCORE_COLUMNS, compare
from model_core.evaluation.peak_overlap import COUNTS, DISTANCES, Peaks, overlap_counts
from model_core.evaluation.planted_truth import (
    DECOY,
    NONE,
    STRONG,
    WEAK,
    GeneTruth,
    Truth,
    found_elements,
    found_shares,
)
from model_core.evaluation.ranking import levels
from model_core.intervals import rasterise
from model_core.run_folder.assemble import assemble
from model_core.run_folder.elements import ElementRule
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.run import Run
from model_core.run_folder.source import study_of
from model_core.study.study import load_study
from model_core.window import Window


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_planted_study(tmp_path_factory.mktemp("planted") / "study")


@pytest.fixture(scope="module")
def run(study):
    return make_planted_run(study.parent.parent / "run", study)


@pytest.fixture(scope="module")
def found(run):
    return compare(run)


def table(run, name):
    return pd.read_csv(run.path / "compare" / f"{name}.tsv", sep="\t")


def test_a_faithful_soft_mask_is_its_signal_prior_and_is_told_so(found):
    assert found.summary["rank_correlation_with_prior"] >= 0.99
    assert any("The mask is its signal prior" in sentence for sentence in found.summary["limits"])
    assert any("simulated" in sentence for sentence in found.summary["limits"])


def test_rankings_are_those_of_scikit_learn_over_all_judged_bases(run, found):
    scores = found.tables["scores"].set_index("score")
    truth, values = [], {"mask": [], "DNase": [], PRIOR: []}
    causal = read_bed(study_of(run).truth.causal)
    test = run.genes[run.genes["split"] == "test"]
    for gene in test.itertuples():
        mask = run.mask(gene.gene_id)
        mine = causal[causal["gene"] == gene.gene_id]
        truth.append(rasterise(mine, mask.chrom, mask.start, mask.end)[mask.learned])
        window = Window(gene.chrom, gene.tss, gene.strand, mask.end - mask.start)
        signals = study_of(run).reader().read(window).signals
        w, b = np.array([0.4, 0.4, 0.2]), np.array([1.5, 0.2, 1.0])
        alpha = (signals + 1) @ w
        values["mask"].append(mask.mean[mask.learned])
        values["DNase"].append(signals[:, 1][mask.learned])
        values[PRIOR].append((alpha / (alpha + (b + 1) @ w))[mask.learned])
    truth = np.concatenate(truth)
    assert found.summary["judged"] == {"genes": len(test), "split": "test"}
    assert found.summary["learned_bases"] == len(truth)
    assert found.summary["causal_share"] == pytest.approx(truth.mean())
    for name, parts in values.items():
        joined = np.concatenate(parts)
        rounded = levels(joined)  # exact for these; the masks of this run are so close together that levels show
        assert scores.loc[name, "auprc"] == pytest.approx(average_precision_score(truth, rounded), abs=1e-6), name
        assert scores.loc[name, "auroc"] == pytest.approx(roc_auc_score(truth, rounded), abs=1e-6), name
        assert scores.loc[name, "auprc"] == pytest.approx(average_precision_score(truth, joined), abs=2e-3), name
        assert scores.loc[name, "bases"] == len(truth)
        kept = np.sort(joined)[::-1][: round(scores.loc[name, "kept_share"] * len(truth))]
        precision = truth[joined >= kept[-1]].mean()
        assert scores.loc[name, "precision"] == pytest.approx(precision, abs=0.01), name


def test_every_score_keeps_the_same_share_and_peaks_stand_at_their_own(found):
    scores = found.tables["scores"]
    assert list(scores.columns) == list(SCORE_COLUMNS)
    matched = scores[scores["kind"] != "set"]
    assert matched["kept_share"].to_numpy() == pytest.approx(found.summary["element_share"])
    rows = scores.set_index("score")
    assert rows.loc["mask elements", "jaccard_with_elements"] == 1
    assert rows.loc["mask elements", "kept_share"] == pytest.approx(found.summary["element_share"])
    assert rows.loc["MACS3, as called", "in_peaks"] == 1
    assert rows.loc["MACS3, as called", "elements_found"] > 0.5  # the peaks were laid over the strong causal elements
    assert rows.loc["MACS3, as called", "weak_found"] == 0
    assert rows.loc["random", "auprc"] < 2 * found.summary["causal_share"]
    assert {"mask", "mask, smoothed", PRIOR, "sequence only", "H3K27ac", "DNase", "Hi-C", "MACS3"} <= set(rows.index)
    assert {"occlusion", "knock-out of elements"} <= set(found.summary["missing"])
    curves = found.tables["curves"]
    for _, part in curves.groupby("score"):
        assert part["recall"].is_monotonic_increasing
        assert part["recall"].iloc[-1] <= 1


def test_the_threshold_curve_passes_through_the_runs_own_elements(found):
    whole = found.tables["peaks"].query("by == 'all'").iloc[0]
    used = found.tables["peaks_by_threshold"].query("used").iloc[0]
    assert (whole[list(COUNTS)] == used[list(COUNTS)]).all()
    by_gene = found.tables["peaks_by_gene"]
    assert (by_gene[list(COUNTS)].sum() == whole[list(COUNTS)].astype(int)).all()
    distance = found.tables["peaks"].query("by == 'distance'")
    assert (distance[list(COUNTS)].sum() == whole[list(COUNTS)].astype(int)).all()
    assert len(distance) == sum(edge < 4_096 // 2 for edge in DISTANCES)
    assert found.tables["unmatched"]["elements"].sum() == whole["elements_only_here"]


def test_tables_on_disk_are_what_was_returned(run, found):
    listed = json.loads((run.path / "compare" / "summary.json").read_text())["tables"]
    assert set(listed) == {path.name for path in (run.path / "compare").glob("*.tsv")}
    for name, rows in listed.items():
        assert len(table(run, name.removesuffix(".tsv"))) == rows
    pd.testing.assert_frame_equal(table(run, "scores"), found.tables["scores"], check_dtype=False, rtol=1e-5, atol=1e-9)


def test_jaccard_is_that_of_bedtools_window_by_window(run, found, tmp_path):
    peaks = run.peaks
    for gene in run.genes.head(6).itertuples():
        mask = run.mask(gene.gene_id)
        elements = run.cut(gene.gene_id).query("`class` != 'promoter'")[["chrom", "start", "end"]]
        learned = pd.DataFrame(
            [(mask.chrom, mask.start + i, mask.start + i + 1) for i in np.flatnonzero(mask.learned)],
            columns=["chrom", "start", "end"],
        )
        for name, rows in {"elements": elements, "peaks": peaks[["chrom", "start", "end"]], "learned": learned}.items():
            rows.sort_values(["chrom", "start"]).to_csv(tmp_path / f"{name}.bed", sep="\t", header=False, index=False)
        (tmp_path / "window.bed").write_text(bedtools("merge", "-i", tmp_path / "learned.bed"))
        inside = bedtools("intersect", "-a", tmp_path / "peaks.bed", "-b", tmp_path / "window.bed")
        (tmp_path / "here.bed").write_text(inside)
        row = found.tables["peaks_by_gene"].set_index("gene_id").loc[gene.gene_id]
        if elements.empty:
            assert row["element_bases"] == 0
            continue
        shown = bedtools("jaccard", "-a", tmp_path / "elements.bed", "-b", tmp_path / "here.bed")
        shared, either, jaccard = shown.splitlines()[1].split("\t")[:3]
        assert row["shared_bases"] == int(shared)
        assert row["element_bases"] + row["peak_bases"] - row["shared_bases"] == int(either)
        assert row["jaccard"] == pytest.approx(float(jaccard), abs=1e-5)


def test_wider_bins_give_nearly_the_same_numbers(study, found):
    wide = compare(make_planted_run(study.parent.parent / "wide", study, resolution=16))
    fine = found.tables["scores"].set_index("score")
    coarse = wide.tables["scores"].set_index("score")
    for name in ("mask", "DNase", PRIOR):
        assert coarse.loc[name, "auprc"] == pytest.approx(fine.loc[name, "auprc"], abs=0.03)
    assert coarse.loc["mask", "bases"] == pytest.approx(fine.loc["mask", "bases"], rel=0.01)


def test_other_runs_stand_beside_and_more_peaks_against(study, run, tmp_path):
    other = make_planted_run(study.parent.parent / "other", study, seed=1, sequence=0.6)
    (tmp_path / "few.narrowPeak").write_text("chr3\t20000\t20400\tp\t0\t.\t5\t-1\t-1\t-1\n")
    found = compare(run, against=[tmp_path / "few.narrowPeak"], beside=[other.path])
    assert "mask of other" in set(found.tables["scores"]["score"])
    assert set(found.tables["peaks"]["peak_set"]) == {"MACS3", "few"}
    prediction = found.tables["prediction"]
    assert set(prediction["run"]) == {"run", "other"}
    whole = prediction.query("run == 'run' and by == 'split' and group == 'test'").iloc[0]
    assert whole["genes"] == 10
    assert whole["mse_low"] <= whole["mse"] <= whole["mse_high"]
    paired = found.tables["prediction_differences"].query("by == 'split' and group == 'test'").iloc[0]
    other_mse = prediction.query("run == 'other' and by == 'split' and group == 'test'")["mse"].iloc[0]
    assert (paired["run"], paired["minus"], paired["genes"]) == ("run", "other", 10)
    assert paired["mse"] == pytest.approx(whole["mse"] - other_mse)
    assert paired["mse_low"] <= paired["mse"] <= paired["mse_high"]
    differences = found.tables["differences"].set_index("score")
    scores = found.tables["scores"].set_index("score")["auprc"]
    assert set(differences.index) == set(scores.dropna().index) - {"mask"}
    for name, row in differences.iterrows():
        assert row["auprc_difference"] == pytest.approx(scores[name] - scores["mask"], abs=2e-3), name
        assert row["low"] <= row["auprc_difference"] <= row["high"], name
        assert row["genes"] == 10
    assert table(run, "differences").shape == found.tables["differences"].shape
    (tmp_path / "bare.narrowPeak").write_text("1\t20000\t20400\tp\t0\t.\t5\t-1\t-1\t-1\n")
    with pytest.raises(InputError, match="rename '1' to 'chr1'"):
        compare(run, against=[tmp_path / "bare.narrowPeak"])


def test_a_run_with_other_observed_values_is_not_compared_gene_by_gene(study, run, tmp_path):
    shutil.copytree(run.path, tmp_path / "other")
    lines = [json.loads(line) for line in (tmp_path / "other" / "scores.jsonl").read_text().splitlines()]
    text = "".join(json.dumps(line | {"observed": line["observed"] + 1}) + "\n" for line in lines)
    (tmp_path / "other" / "scores.jsonl").write_text(text)
    found = compare(run, beside=[tmp_path / "other"])
    assert found.tables["prediction_differences"].empty
    assert any("other are not compared gene by gene" in sentence for sentence in found.summary["limits"])


def test_seeds_that_agree_and_seeds_that_do_not(study, run, tmp_path):
    shutil.copytree(run.path, tmp_path / "same")
    other = make_planted_run(tmp_path / "moved", study, seed=7, sequence=3.0)
    found = compare(run, seed_runs=[tmp_path / "same", other.path])
    rows = {frozenset((row.run_a, row.run_b)): row for row in found.tables["seeds"].itertuples()}
    assert len(rows) == 3
    same = next(row for row in rows.values() if row.mask_difference == 0)
    assert same.elements_back == 1
    assert same.element_jaccard == 1
    assert same.mask_rank_correlation == pytest.approx(1)
    moved = [row for row in rows.values() if row.mask_difference > 0]
    assert len(moved) == 2
    assert all(row.element_jaccard < 1 for row in moved)
    assert found.summary["seeds"]["seed_sd"] > 0
    assert found.summary["seeds"]["beta_sd"] > 0
    for name, source in (("seed-1", run.path), ("seed-2", other.path)):
        shutil.copytree(source, tmp_path / "seeds" / name)
    (tmp_path / "seeds" / "seeds.json").write_text("{}")
    by_itself = compare(Run.open(tmp_path / "seeds" / "seed-1"))
    assert len(by_itself.tables["seeds"]) == 1
    assert by_itself.tables["seeds"]["mask_difference"].iloc[0] == pytest.approx(moved[0].mask_difference)
    with pytest.raises(InputError, match="the same run twice"):
        compare(run, seed_runs=[run.path])


def test_without_its_study_a_run_is_compared_as_far_as_it_goes(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "alone")
    manifest = json.loads((tmp_path / "alone" / "manifest.json").read_text())
    manifest["study"] |= {"path": "/nowhere/study.toml", "relative": "nowhere.toml"}
    (tmp_path / "alone" / "manifest.json").write_text(json.dumps(manifest))
    found = compare(Run.open(tmp_path / "alone"))
    scores = found.tables["scores"].set_index("score")
    assert PRIOR not in scores.index
    assert "no study at" in found.summary["missing"][PRIOR]
    assert scores["auprc"].isna().all()
    assert scores.loc["mask elements", "in_peaks"] > 0


def test_a_run_that_is_all_promoter_is_refused(tmp_path):
    control = make_run(tmp_path / "control", window=200, promoter=200)
    assemble(control)
    with pytest.raises(InputError, match="a promoter as long as the window"):
        compare(control)


@pytest.mark.parametrize("words", [{"variant": "hard"}, {"resolution": 8}, {"genes": 1}])
def test_a_run_without_study_peaks_and_truth_is_compared(words, tmp_path):
    bare = make_run(tmp_path / "bare", **words)
    assemble(bare)
    found = compare(bare)
    assert set(found.tables) == {"scores", "curves", "prediction"}
    assert list(found.tables["scores"]["score"]) == [
        "mask elements",
        "mask",
        "mask, smoothed",
        "nearest the TSS",
        "random",
    ]


def test_a_run_without_elements_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no elements; expected a scored run; run `seq2exp-viz score"):
        compare(make_run(tmp_path / "bare"))


def test_comparing_starts_no_torch():
    heavy = "{'torch', 'lightning', 'matplotlib'}"
    code = f"import sys, model_core.evaluation.compare; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_found_elements_worked_by_hand():
    kind = np.array([STRONG] * 2 + [NONE] * 2 + [WEAK] * 2 + [DECOY] * 2, np.int8)
    truth = GeneTruth(kind, [(np.array([0, 1]), False), (np.array([4, 5]), True)], [np.array([6, 7])])
    mask = GeneMask("chr1", 0, 8, 1, np.ones(8), np.ones(8), np.full(8, -1, np.int8))
    rule = ElementRule(0.5, smooth_bp=0, max_gap=1, min_length=1)
    kept = np.array([1, 0, 0, 0, 0, 0, 1, 1], bool)
    found = found_elements(kept, truth, mask, rule)
    assert found == (2, 1, 1, 0, 1, 1, 2, 1)
    assert found_shares(found) == {"elements_found": 0.5, "weak_found": 0, "decoys_found": 1, "elements_causal": 0.5}


def test_overlap_counts_worked_by_hand():
    forced = np.full(10, -1, np.int8)
    forced[4] = 1
    mask = GeneMask("chr1", 100, 110, 1, np.ones(10), np.ones(10), forced)
    peaks = Peaks(pd.DataFrame({"chrom": "chr1", "start": [99, 101, 104, 500], "end": [101, 102, 107, 600]}))
    counts = overlap_counts(9, np.array([0, 7]), np.array([2, 9]), peaks.cover(mask), 1)
    assert dict(zip(COUNTS, counts, strict=True)) == {
        "learned_bases": 9,
        "element_bases": 4,
        "peak_bases": 4,  # 100-102 and 105-107; base 104 is forced
        "shared_bases": 2,
        "elements": 2,
        "elements_with_peak": 1,
        "peaks": 2,
        "peaks_with_element": 1,
    }


# A truth by other names


def renamed_truth(study, path, name):
    """The study's causal elements with `name(gene_id, symbol, number)` in the column `gene`."""
    symbols = load_study(study).gene_sites().set_index("gene_id")["symbol"]
    header, *lines = (study.parent / "truth" / "causal.bed").read_text().splitlines()
    at = header.split("\t").index("gene")
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows):
        row[at] = name(row[at], symbols[row[at]], number)
    path.write_text("\n".join([header, *map("\t".join, rows)]) + "\n")
    return path


@pytest.mark.parametrize(
    "name",
    [lambda i, s, n: s, lambda i, s, n: s.lower(), lambda i, s, n: f"{i}.12", lambda i, s, n: (i, s)[n % 2]],
)
def test_a_truth_that_calls_genes_by_symbol_or_version_gives_the_same_numbers(run, study, found, tmp_path, name):
    path = renamed_truth(study, tmp_path / "truth.bed", name)
    again = compare(run, truth=path)
    pd.testing.assert_frame_equal(again.tables["scores"], found.tables["scores"])


@pytest.mark.parametrize("column", ["Gene_ID", "symbol", "targetGene", "name"])
def test_the_gene_of_a_planted_element_is_found_in_columns_of_other_names(run, study, found, tmp_path, column):
    path = renamed_truth(study, tmp_path / "truth.bed", lambda i, s, n: s)
    header, *lines = [line.split("\t") for line in path.read_text().splitlines()]
    at = header.index("gene")
    if column == "name":  # a BED of four columns, without a header line
        text = ["\t".join([*row[:3], row[at]]) for row in lines]
    else:
        text = ["\t".join(header).replace("\tgene", f"\t{column}"), *map("\t".join, lines)]
    path.write_text("\n".join(text) + "\n")
    again = compare(run, truth=path)
    same = [name for name in found.tables["scores"] if not name.startswith("weak")]
    pd.testing.assert_frame_equal(again.tables["scores"][same], found.tables["scores"][same])


def test_an_id_decides_where_several_genes_share_a_symbol():
    genes = pd.DataFrame({"gene_id": ["G1", "G2"], "symbol": ["S", "S"], "chrom": "chr1", "start": 0, "end": 100})
    table = pd.DataFrame({"chrom": "chr1", "start": [1], "end": [9], "symbol": "S", "gene_id": "G2.4"})
    truth = Truth(table).for_run(genes, {"chr1": 100})
    assert truth.causal["gene"].tolist() == ["G2"]
    assert truth.limits == []


def test_planted_elements_that_cannot_count_are_said():
    genes = pd.DataFrame({"gene_id": ["G1", "G2"], "symbol": ["A", "B"], "chrom": "chr1", "start": 0, "end": 100})
    table = pd.DataFrame({"chrom": "chr1", "start": [1, 100, 90], "end": [9, 200, 120], "gene": ["a", "B", "C"]})
    more = pd.DataFrame({"gene_id": ["G1", "G2", "G3"], "symbol": ["A", "B", "C"]})
    outside, unscored = (
        "1 of 3 planted elements lie outside the window",
        "1 of 3 planted elements are of genes that this",
    )
    said = Truth(table).for_run(genes, {"chr1": 500}, more).limits
    assert [sentence.startswith(words) for sentence, words in zip(said, (unscored, outside), strict=True)] == [True] * 2
    said = Truth(table[2:]).for_run(genes, {"chr1": 500}, more).limits
    assert said == ["None of the 1 planted elements is of a gene of this run: nothing here is judged by planted truth."]
    said = Truth(table.drop(columns="gene")).for_run(genes, {"chr1": 500}, more).limits
    assert len(said) == 1
    assert "name no gene" in said[0]


def test_a_truth_that_matches_nothing_is_an_error_and_a_part_is_counted(run, study, tmp_path):
    path = renamed_truth(study, tmp_path / "truth.bed", lambda i, s, n: f"UNKNOWN{n}")
    with pytest.raises(InputError, match=r"truth\.bed: found no gene of the run among .*'UNKNOWN0'.*expected ids or"):
        compare(run, truth=path)
    path = renamed_truth(study, tmp_path / "truth.bed", lambda i, s, n: "UNKNOWN" if n < 3 else i)
    limits = compare(run, truth=path).summary["limits"]
    assert any(sentence.startswith("3 of ") and "'UNKNOWN'" in sentence for sentence in limits)
    path.write_text(path.read_text().replace("chr", ""))
    with pytest.raises(InputError, match=r"truth\.bed: found chromosome .*; expected 'chr.*rename"):
        compare(run, truth=path)
