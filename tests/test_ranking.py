"""Rankings from binned counts agree with scikit-learn on the scores themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

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
from model_core.evaluation.resampling import average_precision, average_precision_interval, prediction_intervals

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
