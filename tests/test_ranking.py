"""Rankings from binned counts agree with scikit-learn on the scores themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from model_core.evaluation.gene_counts import GeneCounts, group_count, level_groups
from model_core.evaluation.ranking import (
    LEVELS,
    ScoreHistogram,
    cut_at,
    kept_of,
    levels,
    rank_correlation,
    ranking,
    split,
)
from model_core.evaluation.resampling import (
    auprc_difference,
    auprc_draws,
    average_precision,
    average_precision_interval,
    prediction_differences,
    prediction_intervals,
)

numbers = st.floats(0, 1e6, allow_nan=False, width=32)


@given(st.lists(numbers, min_size=2, max_size=50))
def test_levels_rise_with_the_score_and_lie_close(values):
    scores = np.array(values, np.float32)
    level = levels(scores)
    order = np.argsort(scores, kind="stable")
    assert (np.diff(level[order].astype(int)) >= 0).all()
    for one, two in zip(scores[order], scores[order][1:], strict=False):
        if one >= 1e-9 and two > one * 1.002:
            assert levels(np.array([one])) < levels(np.array([two]))


@pytest.mark.parametrize("kind", ["mask", "counts", "mostly zero", "ties"])
@pytest.mark.parametrize("seed", range(3))
def test_ranking_agrees_with_scikit_learn(kind, seed):
    rng = np.random.default_rng(seed)
    n = 20_000
    positive = rng.random(n) < 0.1
    shift = np.where(positive, 0.8, 0)
    scores = {
        "mask": 1 / (1 + np.exp(-rng.normal(shift, 1))),
        "counts": rng.lognormal(shift, 1) * 300,
        "mostly zero": np.where(rng.random(n) < 0.8, 0, rng.lognormal(shift, 1)),
        "ties": rng.poisson(1 + shift),
    }[kind].astype(np.float32)
    histogram = ScoreHistogram(2)
    histogram.add(levels(scores), split(positive.astype(np.int8)))
    auprc, auroc = ranking(histogram.counts[1], histogram.counts[0])
    assert auprc == pytest.approx(average_precision_score(positive, scores), abs=1e-3)
    assert auroc == pytest.approx(roc_auc_score(positive, scores), abs=1e-3)
    assert average_precision(positive, scores)[0] == pytest.approx(average_precision_score(positive, scores), abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_what_is_kept_adds_up_and_ties_are_shared(seed, share):
    counts = np.zeros((3, LEVELS), np.int64)
    rng = np.random.default_rng(seed)
    counts[:, rng.integers(0, LEVELS, 20)] = rng.integers(0, 50, (3, 20))
    total = counts.sum()
    kept = kept_of(counts, share * total)
    assert kept.sum() == pytest.approx(share * total, abs=1e-6)
    assert (kept <= counts.sum(axis=1) + 1e-9).all()
    level, part = cut_at(counts.sum(axis=0), share * total)
    assert 0 <= level < LEVELS
    assert 0 <= part <= 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=40))
def test_rank_correlation_is_spearmans_with_ties(pairs):
    one, two = (np.array(x, np.uint16) for x in zip(*pairs, strict=True))
    found = rank_correlation(one, two)
    if np.ptp(one) and np.ptp(two):
        assert found == pytest.approx(stats.spearmanr(one, two).statistic)
    else:
        assert np.isnan(found)


def test_one_class_alone_has_no_ranking():
    assert np.isnan(ranking(np.zeros(4), np.ones(4))).all()
    assert np.isnan(average_precision_interval(np.zeros(3, bool), np.arange(3.0))).all()


@given(st.integers(0, 2**32 - 1))
def test_a_weight_is_an_entry_written_again(seed):
    rng = np.random.default_rng(seed)
    positive, scores = rng.random(12) < 0.4, rng.integers(0, 5, 12).astype(float)
    positive[0] = True
    weights = rng.integers(1, 4, (1, 12))
    again = np.repeat(np.arange(12), weights[0])
    expected = average_precision_score(positive[again], scores[again])
    assert average_precision(positive, scores, weights)[0] == pytest.approx(expected)


def test_intervals_hold_the_value_and_narrow_with_more_entries():
    rng = np.random.default_rng(1)
    widths = []
    for n in (60, 2_000):
        positive = rng.random(n) < 0.3
        value, low, high = average_precision_interval(positive, positive + rng.normal(0, 1, n), times=200)
        assert low < value < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    observed = rng.normal(1, 0.5, 300)
    found = prediction_intervals(observed, observed + rng.normal(0, 0.3, 300), times=200)
    for value, low, high in found.values():
        assert low < value < high
    assert found["mse"][0] == pytest.approx(0.09, abs=0.03)
    assert np.isnan(prediction_intervals(np.ones(2), np.ones(2))["pearson"][0])
    assert np.isnan(prediction_intervals(np.empty(0), np.empty(0))["mse"][0])


def made_genes(count, rng):
    """For each gene its positives and two scores, of which the second is the first one with more noise."""
    genes = []
    for _ in range(count):
        n = int(rng.integers(300, 900))
        positive = rng.random(n) < rng.uniform(0.02, 0.15)
        first = (1 / (1 + np.exp(-rng.normal(np.where(positive, 1.2, -1), 1)))).astype(np.float32)
        second = (first * rng.lognormal(0, 0.25, n)).astype(np.float32)
        genes.append((positive, first, second))
    return genes


def counted(genes, which, groups=1024):
    """`GeneCounts` of one of the scores."""
    positive, all_of = (np.zeros(LEVELS, np.int64) for _ in range(2))
    for gene in genes:
        positive += np.bincount(levels(gene[which][gene[0]]), minlength=LEVELS)
        all_of += np.bincount(levels(gene[which]), minlength=LEVELS)
    found = GeneCounts(len(genes), positive, all_of, groups)
    for row, gene in enumerate(genes):
        found.add(row, levels(gene[which]), gene[0])
    return found


@pytest.mark.parametrize("groups", [1024, 64])
def test_the_paired_difference_of_auprc_is_that_of_a_direct_bootstrap(groups):
    genes = made_genes(25, np.random.default_rng(3))
    value, low, high = auprc_difference(*(auprc_draws(counted(genes, which, groups).counts, 120) for which in (1, 2)))
    rng, direct = np.random.default_rng(0), []
    for weights in [np.ones(25, int), *rng.multinomial(25, np.full(25, 1 / 25), size=120)]:
        drawn = [gene for gene, times in zip(genes, weights, strict=True) for _ in range(times)]
        positive, first, second = (np.concatenate(part) for part in zip(*drawn, strict=True))
        direct.append(average_precision_score(positive, first) - average_precision_score(positive, second))
    near = {1024: 2e-3, 64: 8e-3}[groups]
    assert value == pytest.approx(direct[0], abs=near)
    assert [low, high] == pytest.approx(np.quantile(direct[1:], [0.025, 0.975]), abs=near)
    assert low > 0


def test_marginal_intervals_overlap_where_the_paired_one_excludes_0():
    """1.9: genes differ much more than the models do."""
    rng = np.random.default_rng(0)
    observed, hard = rng.normal(0, 1, 80), rng.lognormal(0, 1, 80)
    first = observed + hard * rng.normal(0, 1, 80)
    second = observed + 1.1 * (first - observed)
    marginal = [prediction_intervals(observed, predicted)["mse"] for predicted in (first, second)]
    assert marginal[0][2] > marginal[1][1]
    value, low, high = prediction_differences(observed, first, second)["mse"]
    assert low < value < high < 0
    assert value == pytest.approx(marginal[0][0] - marginal[1][0])


def test_a_run_does_not_differ_from_itself_and_nothing_is_nothing():
    rng = np.random.default_rng(1)
    observed = rng.normal(0, 1, 20)
    same = prediction_differences(observed, observed + 1, observed + 1, times=50)
    assert same == dict.fromkeys(("mse", "mae", "pearson", "spearman"), (0, 0, 0))
    assert np.isnan(prediction_differences(np.empty(0), np.empty(0), np.empty(0))["mse"]).all()
    genes = made_genes(5, rng)
    counts = counted(genes, 1).counts
    assert auprc_difference(*2 * [auprc_draws(counts, 50)]) == (0, 0, 0)
    assert np.isnan(auprc_difference(*2 * [auprc_draws(counts[:0])])).all()
    assert np.isnan(auprc_difference(*2 * [auprc_draws(counts * [[[0], [1]]])])).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 300))
def test_groups_of_levels_rise_and_hold_few_positives(seed, groups):
    rng = np.random.default_rng(seed)
    positive, others = (np.bincount(rng.integers(0, LEVELS, 500), minlength=LEVELS) for _ in range(2))
    found = level_groups(positive, positive + others, groups)
    assert (np.diff(found) >= 0).all()
    assert (found.min() >= 0) & (found.max() == groups - 1)
    joined = np.bincount(found, weights=positive, minlength=groups)
    single = np.bincount(found, minlength=groups) == 1
    assert (joined[~single] <= 2 * 500 / groups + positive.max()).all()


def test_more_genes_get_fewer_groups_and_memory_stays_bounded():
    assert group_count(100, 20) == 1024
    assert group_count(10_000, 20) * 10_000 * 20 * 2 * 4 <= 128 * 2**20
    assert group_count(10**6, 100) == 64
