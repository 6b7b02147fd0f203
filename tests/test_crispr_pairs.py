"""Element-gene pairs that CRISPR tested: reading, matching with a reason for each that is left out, ranking."""

import gzip
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted_run import make_planted_run, make_planted_study
from sklearn.metrics import average_precision_score

from model_core.errors import InputError
from model_core.evaluation.compare import compare
from model_core.evaluation.crispr_pairs import (
    ANY_SIGN,
    DECREASE,
    LEFT_OUT,
    REGULATED,
    genes_of,
    match_pairs,
    outcome_limits,
    pair_limits,
    read_pairs,
    score_pairs,
    validity,
)
from model_core.evaluation.pair_ranking import pair_table

HEADER = "chrom\tchromStart\tchromEnd\tmeasuredGeneSymbol\tmeasuredGeneEnsemblId\tRegulated\tValidConnection\tCellType"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    return make_planted_run(folder / "run", make_planted_study(folder / "study"))


def write(path, *rows, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_each_pair_is_judged_or_left_out_with_a_reason(run, tmp_path):
    gene, other = run.genes.iloc[0], run.genes.iloc[-1]
    assert gene["chrom"] != other["chrom"]

    def row(offset, symbol=gene["symbol"], regulated="TRUE", valid="TRUE", chrom=gene["chrom"], length=200):
        start = gene["tss"] + offset
        return f"{chrom}\t{start}\t{start + length}\t{symbol}\t\t{regulated}\t{valid}\tK562"

    path = write(
        tmp_path / "pairs.tsv",
        row(1_000),
        row(1_000),
        row(5_000),
        row(-50),
        row(800, symbol="NOBODY"),
        row(800, regulated="NA"),
        row(800, valid="FALSE"),
        row(800, symbol=other["symbol"]),
        row(1_300, regulated="False", symbol=gene["symbol"].lower(), valid="True"),
        row(1_600, valid="overlaps target gene exon"),
    )
    kept, left_out = match_pairs(read_pairs(path), run, ["unscored"])
    assert list(kept["positive"]) == [True, False]
    assert list(kept["distance"]) == [1_100, 1_400]
    assert set(kept["gene_id"]) == {gene["gene_id"]}
    assert list(left_out.columns) == list(LEFT_OUT)
    assert list(left_out["reason"]) == [
        "the same element and gene are in the table before",
        "element outside the gene's window",
        "element inside the promoter, which is always kept",
        "gene not in the study",
        "no outcome (neither true nor false)",
        "not a valid connection according to the table",
        "element on another chromosome than the gene",
        "not a valid connection according to the table (overlaps target gene exon)",
    ]
    _, others = match_pairs(read_pairs(path).assign(cell_type="HCT116"), run, cell_type="HCT116")
    assert len(others) == 8
    mixed = read_pairs(path)
    mixed.loc[0, "cell_type"] = "HCT116"
    kept_of_one, others = match_pairs(mixed, run, cell_type="K562")  # the second row is now the only one of its pair
    assert others["reason"].iloc[0] == "of another cell type"
    assert list(kept_of_one["distance"]) == [1_100, 1_400]
    with pytest.raises(InputError, match="no pair of cell type 'K56'; expected one of 'K562'"):
        match_pairs(read_pairs(path), run, cell_type="K56")
    found = pair_limits(kept, left_out)
    assert "8 of 10 tested pairs cannot be judged" in found[0]
    assert "1 is positive: with fewer than 20" in found[1]


def test_pairs_of_no_known_gene_or_chromosome_are_an_error_and_versions_are_not(run, tmp_path):
    gene = run.genes.iloc[0]
    start = gene["tss"] + 1_000

    def pairs(chrom=gene["chrom"], symbol=gene["symbol"], gene_id=""):
        row = f"{chrom}\t{start}\t{start + 200}\t{symbol}\t{gene_id}\tTRUE\tTRUE\tK562"
        return read_pairs(write(tmp_path / "pairs.tsv", row))

    for found in (pairs(), pairs(symbol="x", gene_id=f"{gene['gene_id']}.7"), pairs(symbol=f"{gene['gene_id']}.7")):
        kept, _ = match_pairs(found, run)
        assert list(kept["gene_id"]) == [gene["gene_id"]]
    with pytest.raises(InputError, match=r"no gene of the study or the run in 1 pairs .named 'NOBODY'"):
        match_pairs(pairs(symbol="NOBODY"), run, ["other"])
    with pytest.raises(InputError, match=r"found chromosome .*; expected 'chr.*rename"):
        match_pairs(pairs(chrom=gene["chrom"].removeprefix("chr")), run)
    with pytest.raises(InputError, match="a header only"):
        read_pairs(write(tmp_path / "pairs.tsv"))


def test_a_gene_of_the_study_that_is_not_scored_is_told_apart(run, tmp_path):
    path = write(tmp_path / "pairs.tsv", "chr1\t10\t200\tMOCKLATER\tENSG1\tTRUE\tTRUE\tK562")
    _, left_out = match_pairs(read_pairs(path), run, ["MockLater"])
    assert list(left_out["reason"]) == ["gene of the study, but not scored in this run"]
    _, left_out = match_pairs(read_pairs(path), run, ["ENSG1"])
    assert list(left_out["reason"]) == ["gene of the study, but not scored in this run"]


def test_planted_elements_as_pairs_rank_as_scikit_learn_says(run, tmp_path):
    rows = []
    study = run.path.parent / "study"
    for kind, regulated in (("causal", "TRUE"), ("decoys", "FALSE")):
        for line in (study / "truth" / f"{kind}.bed").read_text().splitlines()[1:]:
            chrom, start, end, _, score, _, gene, *_ = line.split("\t")
            rows.append(f"{chrom}\t{start}\t{end}\t{gene}\t{gene}\t{regulated}\t{score}\t{score}\t{int(score) / 9}")
    header = "chrom\tstart\tend\tgene\tgene_id\tSignificant\tH3K27ac.RPM\tDHS.RPM\tABC.Score"
    with gzip.open(tmp_path / "pairs.tsv.gz", "wt") as file:
        file.write("\n".join([header, *rows]) + "\n")
    found = compare(run, crispr=tmp_path / "pairs.tsv.gz")
    scored = found.tables["crispr_pairs"]
    assert len(scored) + len(found.tables["crispr_left_out"]) == len(rows)
    table = found.tables["crispr"].query("distance == 'all in the window'").set_index("score")
    wanted = {"mean mask", "max mask", "1/distance", "activity", "activity/distance", "ABC", "signal prior", "DNase"}
    assert wanted <= set(table.index)
    for name in wanted:
        expected = average_precision_score(scored["positive"].astype(bool), scored[name])
        assert table.loc[name, "auprc"] == pytest.approx(expected), name
        assert table.loc[name, "auprc_low"] <= expected <= table.loc[name, "auprc_high"]
    gene = scored.iloc[0]
    mask = run.mask(gene["gene_id"])
    inside = slice(max(gene["start"] - mask.start, 0), gene["end"] - mask.start)
    learned = mask.mean[inside][mask.learned[inside]]
    assert gene["mean mask"] == pytest.approx(learned.mean(), abs=1e-6)
    assert gene["max mask"] == pytest.approx(learned.max())
    assert "element effect, effect x mask" in found.summary["crispr"]["missing"]
    assert any("whose gene rose" in line for line in found.summary["limits_of_pairs"])
    assert set(found.tables["crispr_differences"]["than"]) == {"1/distance", "activity/distance"}


def test_elements_with_the_same_score_tie_whatever_their_length(run):
    gene = run.genes.iloc[0]
    starts = gene["start"] + 100 * np.arange(7)
    pairs = pd.DataFrame({"gene_id": gene["gene_id"], "start": starts, "end": starts + 61 * np.arange(1, 8)})
    flat = np.full(len(run.mask(gene["gene_id"]).mask), 0.999919, np.float32)
    reader = SimpleNamespace(read=lambda _gene, _mask: {"flat": flat}, missing={})
    scored, _ = score_pairs(pairs.assign(distance=1), run, reader)
    assert scored["flat"].nunique() == 1


def test_only_true_is_a_valid_connection_and_any_other_word_is_the_reason():
    words = ["TRUE", "True", "true", "FALSE", "TSS targeting guide(s)", "< 80% power at 15% effect size", "", "T"]
    reason = "not a valid connection according to the table"
    wanted = ["", "", "", reason, *(f"{reason} ({word})" for word in (words[4], words[5], "no word", "T"))]
    assert validity(pd.DataFrame({"valid": words})) == wanted
    assert validity(pd.DataFrame({"gene": words})) == [""] * len(words)


OUTCOMES = "chrom\tstart\tend\tgene\tSignificant"


def test_regulated_is_read_before_significant_and_a_rise_is_no_positive(tmp_path):
    def outcome(header, *cells):
        rows = [f"chr1\t{10 * n}\t{10 * n + 5}\tA\t{cell}" for n, cell in enumerate(cells)]
        found = read_pairs(write(tmp_path / "pairs.tsv", *rows, header=header))
        assert found["outcome"].nunique() == 1
        return found["outcome"][0], [None if pd.isna(one) else bool(one) for one in found["positive"]], found

    signed = ("TRUE\t-0.3", "TRUE\t0.3", "FALSE\t-0.1", "TRUE\tNA", "FALSE\tNA", "NA\t-1")
    word, positive, found = outcome(f"{OUTCOMES}\tEffectSize", *signed)
    assert (word, positive) == (DECREASE, [True, False, False, None, False, None])
    assert outcome_limits(found) == []
    word, positive, found = outcome(f"{OUTCOMES}\tEffectSize\tRegulated", "TRUE\t0.3\tFALSE", "FALSE\t0.1\tTRUE")
    assert (word, positive) == (REGULATED, [False, True])
    assert outcome_limits(found) == []
    word, positive, found = outcome(OUTCOMES, "TRUE", "FALSE")
    assert (word, positive) == (ANY_SIGN, [True, False])
    assert "also those whose gene rose" in outcome_limits(found)[0]


def test_pairs_of_a_gene_are_told_by_its_id_then_by_its_symbol():
    pairs = pd.DataFrame({"gene": ["A", "B", "a", "C"], "gene_id": ["ENSG1", "ENSG1", "NA", ""]})
    assert list(genes_of(pairs)) == ["ENSG1", "ENSG1", "A", "C"]
    assert list(genes_of(pairs[["gene"]])) == ["A", "B", "A", "C"]


def test_a_score_that_few_pairs_have_stands_on_its_own_pairs():
    scored = pd.DataFrame({"distance": np.arange(20) * 1_000, "positive": np.arange(20) % 2 == 0})
    scored["mean mask"], scored["element effect"] = np.linspace(0, 1, 20), np.nan
    scored.loc[:3, "element effect"] = 1.0
    table = pair_table(scored, ["mean mask", "element effect"]).set_index(["distance", "score"])
    assert table.loc[("all in the window", "mean mask"), "pairs"] == 20
    assert table.loc[("all in the window", "element effect"), "pairs"] == 4
    assert table.loc[("0-10 kb", "mean mask"), "pairs"] == 10
    assert table.loc[("10-100 kb", "element effect"), "pairs"] == 0


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ([], "chrom\tstart\tend\tRegulated", "a column measuredGeneSymbol or GeneSymbol"),
        ([], "chrom\tstart\tend\tgene", "a column Regulated or Significant"),
        (
            ["chr1\tx\t20\tA\tTRUE"],
            "chrom\tstart\tend\tgene\tRegulated",
            "line 2: found 'x'; expected a whole number of bp",
        ),
        (["chr1\t30\t20\tA\tTRUE"], "chrom\tstart\tend\tgene\tRegulated", "line 2: found an end at or before"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_what_it_lacks(rows, header, words, tmp_path):
    with pytest.raises(InputError, match=words):
        read_pairs(write(tmp_path / "pairs.tsv", *rows, header=header))


def test_quotes_lose_no_pair(tmp_path):
    cells = ['"5 prime', '"', "plain", '"a ""b"""', '5"']
    rows = [f"chr1\t{10 * n}\t{10 * n + 5}\t{cell}\tTRUE\t{cell}" for n, cell in enumerate(cells, 1)]
    found = read_pairs(write(tmp_path / "pairs.tsv", *rows, header="chrom\tstart\tend\tgene\tRegulated\tnote"))
    assert found["gene"].tolist() == ['"5 prime', '"', "plain", 'a "b"', '5"']
    path = write(
        tmp_path / "bad.tsv", "", *rows, "chr1\tx\t5\tA\tTRUE\t", header="chrom\tstart\tend\tgene\tRegulated\tn"
    )
    with pytest.raises(InputError, match="line 8: found 'x'"):
        read_pairs(path)


def test_no_file_and_a_damaged_gzip_are_told(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_pairs(tmp_path / "none.tsv")
    (tmp_path / "cut.tsv.gz").write_bytes(gzip.compress(b"chrom\tstart\n" * 1000)[:30])
    with pytest.raises(InputError, match="damaged or truncated gzip"):
        read_pairs(tmp_path / "cut.tsv.gz")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_one_message(tmp_path, content):
    path = tmp_path / "any.tsv"
    path.write_bytes(content)
    message = "expected"
    try:
        read_pairs(path)
    except InputError as error:
        message = str(error)
    assert "expected" in message
