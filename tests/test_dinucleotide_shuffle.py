"""Sequences with the same dinucleotides: exact counts, ends and N in place, and every such sequence equally likely."""

import itertools
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from model_core.dinucleotide_shuffle import codes_of, one_hot_of, shuffled
from model_core.study.genome import one_hot

sequences = st.lists(st.integers(0, 4), max_size=60) | st.lists(st.sampled_from([0, 1, 4]), max_size=40)


def codes(values) -> np.ndarray:
    return np.array(values, np.uint8)


def stretches(values: np.ndarray) -> list[tuple[int, list[int]]]:
    """(start, bases) of each stretch of known bases."""
    parts = itertools.groupby(enumerate(values.tolist()), lambda pair: pair[1] < 4)
    lists = [list(pairs) for known, pairs in parts if known]
    return [(pairs[0][0], [base for _, base in pairs]) for pairs in lists]


def walks(base: int, left: Counter):
    """Every sequence from a base that takes each of the steps that are left once."""
    if not any(left.values()):
        yield (base,)
    for step in [step for step, count in left.items() if count and step[0] == base]:
        for rest in walks(step[1], left - Counter([step])):
            yield (base, *rest)


@given(sequences, st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_dinucleotides_ends_and_unknown_bases_are_kept(values, seed):
    before = codes(values)
    after = shuffled(before, np.random.default_rng(seed))
    assert after.dtype == np.uint8
    assert before.tolist() == values  # the input is not changed
    assert ((before == 4) == (after == 4)).all()
    for (start, old), (place, new) in zip(stretches(before), stretches(after), strict=True):
        assert start == place
        assert (old[0], old[-1]) == (new[0], new[-1])
        assert Counter(itertools.pairwise(old)) == Counter(itertools.pairwise(new))
    again = shuffled(before, np.random.default_rng(seed))
    assert (after == again).all()


@pytest.mark.parametrize("text", ["ACAGATACA", "AACAGAACA", "ACGTTGCAACG", "AAACCCAC"])
def test_every_sequence_with_these_dinucleotides_is_equally_likely(text):
    before = codes(["ACGT".index(letter) for letter in text])
    pairs = Counter(itertools.pairwise(before.tolist()))
    possible = set(walks(int(before[0]), pairs))
    assert len(possible) > 2
    rng = np.random.default_rng(7)
    found = Counter(tuple(shuffled(before, rng).tolist()) for _ in range(100 * len(possible)))
    assert set(found) == possible
    assert chisquare(list(found.values())).pvalue > 1e-3


def test_a_base_that_is_left_once_in_many_is_no_matter():
    before = codes([0] * 3_000 + [1, 0] * 3_000 + [1, 2])
    after = shuffled(before, np.random.default_rng(0))
    assert (np.bincount(after) == np.bincount(before)).all()
    assert (after != before).any()


def test_one_hot_rows_and_codes_are_the_same_sequence():
    rows = one_hot("ACGTNacgtn")
    assert codes_of(rows).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert (one_hot_of(codes_of(rows)) == rows).all()


def test_a_window_of_the_paper_takes_a_fraction_of_a_second():
    before = np.random.default_rng(0).integers(0, 4, 200_000).astype(np.uint8)
    began = time.perf_counter()
    after = shuffled(before, np.random.default_rng(1))
    assert time.perf_counter() - began < 1
    assert (after != before).mean() > 0.5
