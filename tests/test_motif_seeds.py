"""Words that stand where a signal is high."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.training.motif_seeds import K, _number, chosen_words, word_matrix, word_scores


def letters(word):
    return "".join("ACGT"[base] for base in word)


def planted(count=60, length=600, word="TGACTCAT", seed=0):
    """Random windows with a word, on either strand, in the middle of a stretch of signal."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (count, length)).astype(np.uint8)
    signal = rng.random((count, length))
    bases = np.array(["ACGT".index(letter) for letter in word], np.uint8)
    for row in range(count):
        for start in range(40, length - 40, 120):
            codes[row, start : start + K] = bases if rng.random() < 0.5 else (3 - bases)[::-1]
            signal[row, start - 20 : start + 28] += 5
    return codes, signal, np.ones(codes.shape, bool)


def test_a_word_where_the_signal_is_high_is_found_on_either_strand():
    codes, signal, counted = planted()
    z, places = word_scores(codes, signal, counted)
    word = chosen_words(z, 5)[0]
    assert letters(word) in ("TGACTCAT", "ATGAGTCA")
    assert places[_number(word)] == pytest.approx(300, abs=3)
    matrix = word_matrix(word, z, places)
    assert matrix.sum(axis=1) == pytest.approx(np.ones(K))
    assert matrix.argmax(axis=1).tolist() == word.tolist()


def test_chosen_words_do_not_resemble_each_other():
    codes, signal, counted = planted()
    z, _ = word_scores(codes, signal, counted)
    words = [letters(word) for word in chosen_words(z, 30)]
    assert not {"GACTCATA", "TTGACTCA"} & set(words)  # the same word, shifted by a base


def test_places_that_do_not_count_and_unknown_bases_have_no_word():
    codes, signal, counted = planted()
    z, places = word_scores(codes, signal, np.zeros_like(counted))
    assert not z.any()
    assert not places.any()
    codes[:] = 4
    assert not word_scores(codes, signal, counted)[1].any()
    assert chosen_words(z, 5) == []


@given(st.lists(st.integers(0, 3), min_size=K, max_size=K))
def test_a_word_and_its_reverse_complement_are_one(bases):
    word = np.array(bases, np.uint8)
    assert _number(word) == _number((3 - word)[::-1])
