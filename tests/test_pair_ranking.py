"""Rankings of tested pairs: AUPRC with genes resampled whole, and paired differences, against slow computations."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from model_core.evaluation.pair_ranking import difference_table, pair_table, ranking_of
from model_core.evaluation.resampling import cluster_counts, clustered_average_precision


def drawn_pairs(seed, n=60, genes=9):
    """Pairs of a few genes, with two scores that have ties."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    positive[:2] = True, False
    return {
        "positive": positive,
        "genes": rng.integers(0, genes, n).astype(str),
        "good": np.round(positive + rng.normal(0, 1, n), 1),
        "poor": rng.integers(0, 4, n).astype(float),
        "weight": rng.random(n),
    }


def by_hand(made, score, counts, weights):
    """AUPRC of each resampling: rows of a gene stand as often as it was drawn, and scikit-learn ranks them."""
    names = np.unique(made["genes"])
    found = []
    for row in counts:
        again = np.concatenate(
            [np.repeat(np.flatnonzero(made["genes"] == n), k) for n, k in zip(names, row, strict=True)]
        )
        positive = made["positive"][again]
        one = average_precision_score(positive, made[score][again], sample_weight=weights[again])
        found.append(one if positive.any() else np.nan)
    return np.array(found)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore:No positive class")
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_resampled_genes_are_those_of_a_direct_bootstrap(weighted, seed):
    made = drawn_pairs(seed)
    weights = made["weight"] if weighted else np.ones(60)
    names = np.unique(made["genes"])
    found = clustered_average_precision(
        made["positive"], [made["good"], made["poor"]], made["genes"], weights if weighted else None, times=40, seed=3
    )
    counts = cluster_counts(len(names), 40, 3)
    assert (counts.sum(axis=1) == len(names)).all()
    wanted = [by_hand(made, score, counts, weights) for score in ("good", "poor")]
    for number, score in enumerate(("good", "poor")):
        whole = average_precision_score(made["positive"], made[score], sample_weight=weights)
        np.testing.assert_allclose(found.draws[number], wanted[number], atol=1e-12)
        assert found.interval(number)[0] == pytest.approx(whole)
        np.testing.assert_allclose(found.interval(number)[1:], np.nanquantile(wanted[number], [0.025, 0.975]))
    difference, low, high = found.difference(0, 1)
    np.testing.assert_allclose([low, high], np.nanquantile(wanted[0] - wanted[1], [0.025, 0.975]), atol=1e-12)
    assert difference == pytest.approx(found.values[0] - found.values[1])


def test_pairs_that_repeat_within_a_gene_make_no_interval_narrower():
    made = drawn_pairs(1)
    scores, genes = made["good"], made["genes"]
    one = clustered_average_precision(made["positive"], [scores], genes)
    many = clustered_average_precision(np.repeat(made["positive"], 5), [np.repeat(scores, 5)], np.repeat(genes, 5))
    np.testing.assert_allclose(one.interval(0), many.interval(0))


def test_the_order_of_pairs_and_the_names_of_genes_change_nothing():
    made = drawn_pairs(2)
    order = np.random.default_rng(0).permutation(60)
    one = clustered_average_precision(made["positive"], [made["good"]], made["genes"], made["weight"])
    named = np.char.add("gene ", made["genes"])
    again = clustered_average_precision(
        made["positive"][order], [made["good"][order]], named[order], made["weight"][order]
    )
    np.testing.assert_allclose(one.interval(0), again.interval(0))


@pytest.mark.parametrize("positive", [np.zeros(4, bool), np.ones(4, bool), np.zeros(0, bool)])
def test_without_both_classes_nothing_is_stated(positive):
    found = clustered_average_precision(positive, [np.arange(len(positive)) * 1.0], np.arange(len(positive)))
    assert np.isnan(found.interval(0)).all()
    weightless = clustered_average_precision(np.arange(4) < 2, [np.arange(4.0)], np.arange(4), np.array([0, 0, 1, 1]))
    assert np.isnan(weightless.interval(0)).all()


def pairs_of(seed=4):
    made = drawn_pairs(seed, n=200, genes=30)
    table = pd.DataFrame({"gene": made["genes"], "positive": made["positive"], "weight": made["weight"]})
    distance = np.random.default_rng(seed).integers(0, 100_000, 200)
    return table.assign(**{"good": made["good"], "1/distance": 1 / np.maximum(distance, 1), "distance": distance})


def test_differences_are_narrower_than_intervals_that_are_not_paired():
    """A score and nearly the same score: alone each is uncertain, their difference is not."""
    pairs = pairs_of()
    near = pairs.assign(near=pairs["good"] + np.random.default_rng(1).normal(0, 0.02, 200))
    found = ranking_of(near, ["good", "near"], ["good"])
    row, (difference,) = found.rows[0], found.differences
    assert (difference["score"], difference["than"]) == ("near", "good")
    assert difference["difference_high"] - difference["difference_low"] < 0.5 * (row["auprc_high"] - row["auprc_low"])
    assert row["genes"] == near["gene"].nunique()


def test_weights_are_those_of_scikit_learn():
    pairs = pairs_of()
    (row,) = ranking_of(pairs, ["good"], weight="weight").rows
    wanted = average_precision_score(pairs["positive"], pairs["good"], sample_weight=pairs["weight"])
    assert row["auprc"] == pytest.approx(wanted)
    share = np.average(pairs["positive"], weights=pairs["weight"])
    assert row["positive_share"] == pytest.approx(share)


def test_each_difference_is_over_pairs_that_have_both_scores():
    pairs = pairs_of().assign(few=np.nan)
    pairs.loc[:80, "few"] = pairs.loc[:80, "good"]
    table = difference_table(pairs, ["good", "few", "1/distance"]).set_index("score")
    assert list(table.index) == ["good", "few"]
    for score in ("good", "few"):
        part = pairs.dropna(subset=[score])
        wanted = average_precision_score(part["positive"], part[score]) - average_precision_score(
            part["positive"], part["1/distance"]
        )
        assert table.loc[score, "pairs"] == len(part)
        assert table.loc[score, "difference"] == pytest.approx(wanted)
    assert difference_table(pairs, ["good", "few"]).empty


def test_bins_of_distance_hold_their_pairs_and_genes():
    pairs = pairs_of()
    table = pair_table(pairs, ["good"]).set_index("distance")
    near = pairs[pairs["distance"] < 10_000]
    row = table.loc["0-10 kb"]
    assert (row["pairs"], row["genes"]) == (len(near), near["gene"].nunique())
    assert row["auprc"] == pytest.approx(average_precision_score(near["positive"], near["good"]))
    assert table.loc["all in the window", "pairs"] == 200
