"""Predictions of other programs: how they are read, which pairs they cover, and the score that each pair gets."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.evaluation.crispr_pairs import read_pairs
from model_core.evaluation.rivals import Rival, read_rival, rival_scores

HEADER = "chr\tstart\tend\tTargetGene\tTargetGeneEnsembl_ID\tCellType\tABC.Score\tENCODE-rE2G.Score"
SHORT = "chr\tstart\tend\tTargetGene\tscore"
ROWS = (
    "chr1\t100\t200\tA\tENSG1\tK562\t0.1\t0.5",
    "chr1\t150\t250\tA\tENSG1\tK562\t0.4\t0.2",
    "chr1\t150\t250\tB\tENSG2\tK562\tNA\t0.9",
)


def written(path, *rows, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def pairs(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "gene", "gene_id"])


def test_a_pair_gets_the_highest_score_that_overlaps_it_for_its_gene(tmp_path):
    rival = read_rival(f" theirs = {written(tmp_path / 'p.tsv', *ROWS)}")
    assert (rival.name, rival.column, len(rival.table)) == ("theirs", "ENCODE-rE2G.Score", 3)
    tested = pairs(
        ("chr1", 190, 210, "A", "ENSG1"),  # both predictions: the higher one
        ("chr1", 200, 210, "A", ""),  # half-open: the second only; by symbol
        ("chr1", 250, 260, "A", "ENSG1.7"),  # none: 0; another version of the id
        ("chr1", 150, 160, "b", "NA"),  # in another case
        ("chr2", 150, 160, "A", "ENSG1"),  # not on this chromosome
        ("chr1", 150, 160, "C", "ENSG3"),  # not this gene
    )
    scores, predicted = rival_scores(tested, rival)
    np.testing.assert_allclose(scores, [0.5, 0.2, 0, 0.9, np.nan, np.nan])
    assert list(predicted) == [True, True, False, True, False, False]


def test_a_column_may_be_named_and_rows_without_a_score_do_not_count(tmp_path):
    path = written(tmp_path / "with:colon.tsv", *ROWS)
    assert read_rival(f"x={path}").column == "ENCODE-rE2G.Score"
    rival = read_rival(f"x={path}:ABC.Score")
    assert (rival.path, rival.column, list(rival.table["gene"])) == (path, "ABC.Score", ["A", "A"])
    scores, _ = rival_scores(pairs(("chr1", 0, 500, "A", ""), ("chr1", 0, 500, "B", "")), rival)
    np.testing.assert_allclose(scores, [0.4, np.nan])
    assert read_rival(
        f"x={written(tmp_path / 'q.tsv', *ROWS, header=HEADER.replace('ENCODE-rE2G', 'their'))}"
    ).column == ("ABC.Score")


def test_without_a_prediction_a_pair_is_never_above_one_with_a_negative_score(tmp_path):
    rows = [f"chr1\t{place}\t{place + 10}\tA\t{score}" for place, score in ((0, -2.5), (20, 1.0))]
    rival = read_rival(f"x={written(tmp_path / 'p.tsv', *rows, header=SHORT)}")
    scores, _ = rival_scores(
        pairs(("chr1", 0, 5, "A", ""), ("chr1", 12, 15, "A", ""), ("chr1", 20, 25, "A", "")), rival
    )
    np.testing.assert_allclose(scores, [-2.5, -2.5, 1])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_scores_are_those_of_a_search_through_all_predictions(data):
    row = st.tuples(
        st.sampled_from(["chr1", "chr2"]),
        st.integers(0, 30),
        st.integers(1, 9),
        st.sampled_from("ABC"),
        st.floats(0, 1),
    )
    found = data.draw(st.lists(row, min_size=1, max_size=12))
    asked = data.draw(st.lists(row, min_size=1, max_size=12))
    table = pd.DataFrame([(c, s, s + n, g, g, score) for c, s, n, g, score in found])
    table.columns = ["chrom", "start", "end", "gene", "gene_id", "score"]
    tested = pairs(*((c, s, s + n, g, "") for c, s, n, g, _ in asked))
    scores, predicted = rival_scores(tested, Rival("x", None, "score", table))
    for one, score, has in zip(tested.itertuples(), scores, predicted, strict=True):
        same = table[(table["chrom"] == one.chrom) & (table["gene"] == one.gene)]
        over = same[(same["start"] < one.end) & (same["end"] > one.start)]
        assert has == (len(over) > 0)
        assert np.isnan(score) if same.empty else score == max([0.0, *over["score"]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("theirs", "--rival: found 'theirs'; expected NAME=FILE or NAME=FILE:COLUMN"),
        ("=p.tsv", "expected NAME=FILE"),
        ("x=", "expected NAME=FILE"),
        ("x=none.tsv", "none.tsv: found no such file"),
        ("x=p.tsv:Nothing", "expected a column Nothing; check"),
    ],
)
def test_a_rival_that_is_named_wrongly_is_told(text, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "p.tsv", *ROWS)
    with pytest.raises(InputError, match=words):
        read_rival(text)


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        (ROWS, HEADER.replace("TargetGene\t", "Target\t"), "a column TargetGene or GeneSymbol"),
        (ROWS, HEADER.replace("Score", "Points"), "name the column of the score as NAME=FILE:COLUMN"),
        (["chr1\t1e3\t200\tA\tENSG1\tK562\t0\t0"], HEADER, "line 2: found '1e3'; expected a whole number of bp"),
        (["chr1\t1\t200\tA\tENSG1\tK562\t0\thigh"], HEADER, "line 2: found 'high'; expected a number, or NA"),
        ([ROWS[0], ROWS[1].replace("K562", "HepG2")], HEADER, "predictions of 2 cell types"),
        ([], HEADER, "a header only"),
    ],
)
def test_predictions_that_cannot_be_used_are_told(rows, header, words, tmp_path):
    with pytest.raises(InputError, match=words):
        read_rival(f"x={written(tmp_path / 'p.tsv', *rows, header=header)}")


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_predictions_or_one_message(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected"):
        read_rival(f"x={path}")


def test_the_published_predictions_cover_what_their_tables_name(shared_pairs):
    tested = read_pairs(shared_pairs / "EPCrisprBenchmark.training_K562.GRCh38.tsv.gz")
    tested = tested[tested["distance_to_tss"] < 100_000]
    path = shared_pairs / "ABC.K562.Fulco2019Genes.GRCh38.tsv.gz"
    scores, _ = rival_scores(tested, read_rival(f"ABC={path}"))
    with gzip.open(path, "rt") as file:
        table = pd.read_csv(file, sep="\t")
    named = set(zip(table["chr"], table["TargetGene"], strict=True))
    covered = [key in named for key in zip(tested["chrom"], tested["gene"], strict=True)]
    assert list(np.isfinite(scores)) == covered
    for pair, score in list(zip(tested.itertuples(), scores, strict=True))[::40]:
        same = table[(table["chr"] == pair.chrom) & (table["TargetGene"] == pair.gene)]
        over = same[(same["start"] < pair.end) & (same["end"] > pair.start)]
        assert (
            np.isnan(score) if same.empty else score == pytest.approx(over["powerlaw.Score"].max() if len(over) else 0)
        )
