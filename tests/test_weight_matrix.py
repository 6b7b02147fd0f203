"""Weight matrices: sites, log odds on both strands, thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.motifs.weight_matrix import IUPAC, NOWHERE, WeightMatrix

MOTIF = WeightMatrix.of_consensus("A", "RTGASTCAY", 0.9)


def codes(text):
    return np.array(["ACGTN".index(letter) for letter in text], np.uint8)


@given(st.text(sorted(IUPAC), min_size=1, max_size=12), st.floats(0.3, 0.99))
def test_rows_are_probabilities_and_the_consensus_has_its_share(consensus, certainty):
    motif = WeightMatrix.of_consensus("x", consensus, certainty)
    assert motif.probabilities.sum(axis=1) == pytest.approx(np.ones(len(consensus)))
    for letter, row in zip(consensus, motif.probabilities, strict=True):
        inside = row[["ACGT".index(base) for base in IUPAC[letter]]].sum()
        assert inside == pytest.approx(1.0 if letter == "N" else certainty)
    assert 0 <= motif.information <= 2 * motif.width


def test_log_odds_are_sums_over_positions():
    sequence = codes("CCATGACTCATGG")
    found = MOTIF.log_odds(sequence)
    expected = sum(np.log2(MOTIF.probabilities[i, sequence[2 + i]] / 0.25) for i in range(9))
    assert found[2] == pytest.approx(expected, rel=1e-5)
    assert found.argmax() == 2
    assert (found[-8:] == NOWHERE).all()  # a site would pass the end
    assert MOTIF.log_odds(codes("ATGACNCAT"))[0] == NOWHERE


@given(st.text("ACGT", min_size=9, max_size=40))
def test_the_reverse_complement_reads_the_other_strand(text):
    forward = MOTIF.log_odds(codes(text))[: len(text) - 8]
    other = (3 - codes(text))[::-1]
    backward = MOTIF.reverse_complement.log_odds(other)[: len(text) - 8]
    assert forward == pytest.approx(backward[::-1], abs=1e-4)


def test_sites_follow_the_matrix_and_the_threshold_is_theirs():
    rng = np.random.default_rng(0)
    sites = np.array([MOTIF.site(rng) for _ in range(4_000)])
    shares = np.stack([(sites == base).mean(axis=0) for base in range(4)], axis=1)
    assert np.abs(shares - MOTIF.probabilities).max() < 0.03
    scores = np.array([MOTIF.log_odds(site)[0] for site in sites])
    assert (scores >= MOTIF.threshold(0.75)).mean() == pytest.approx(0.75, abs=0.05)
