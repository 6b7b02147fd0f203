"""Mean, width and range of the Beta of z, and which bases are forced."""

import numpy as np
import pytest

from model_core.beta import (
    BLACKLISTED,
    LEARNED,
    PROMOTER,
    beta_certainty,
    beta_interval,
    beta_interval_for_drawing,
    beta_mean,
    beta_sd,
    forced_state,
    kept_fraction,
    promoter_bases,
)
from model_core.config import Seq2ExpConfig


def bools(text: str) -> np.ndarray:
    """ "0110" -> [False, True, True, False]."""
    return np.array([letter == "1" for letter in text])


def test_mean_and_spread_of_beta_2_3_are_the_textbook_values():
    assert beta_mean(np.array([2.0]), np.array([3.0])) == pytest.approx(0.4)
    assert beta_sd(np.array([2.0]), np.array([3.0])) == pytest.approx(0.2)  # sqrt(0.4 * 0.6 / 6)


def test_interval_of_the_uniform_is_cut_at_both_tails():
    low, high = beta_interval(np.array([1.0]), np.array([1.0]), level=0.9)
    assert (low[0], high[0]) == (pytest.approx(0.05), pytest.approx(0.95))


def test_interval_of_beta_2_1_is_the_root_of_the_tails():
    low, high = beta_interval(np.array([2.0]), np.array([1.0]))  # its distribution function is z squared
    assert (low[0] ** 2, high[0] ** 2) == (pytest.approx(0.025), pytest.approx(0.975))


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_drawing_interval_is_within_a_thousandth_of_the_exact_one(level):
    rng = np.random.default_rng(3)
    alpha, beta = np.exp(rng.uniform(np.log(6e-5), np.log(65_000), (2, 20_000)))
    wide = (alpha >= 0.5) | (beta >= 0.5)
    exact = np.stack(beta_interval(alpha[wide], beta[wide], level))
    drawn = np.stack(beta_interval_for_drawing(alpha[wide], beta[wide], level))
    assert np.abs(drawn - exact).max() < 0.001


def test_the_drawing_interval_is_a_number_between_0_and_1_for_all_that_float16_stores():
    alpha, beta = np.meshgrid([6.1e-5, 0.01, 1, 65_504], [6.1e-5, 0.01, 1, 65_504])
    low, high = beta_interval_for_drawing(alpha.ravel(), beta.ravel())
    assert ((low >= 0) & (low <= high) & (high <= 1)).all()


def test_a_level_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        beta_interval(np.ones(1), np.ones(1), level=95)


def test_promoter_is_kept_even_where_blacklisted():
    assert forced_state(bools("0110"), bools("0011")).tolist() == [LEARNED, PROMOTER, PROMOTER, BLACKLISTED]


def test_a_bin_is_forced_where_half_of_it_is():
    promoter, blacklist = bools("1000 1100 0000".replace(" ", "")), bools("0000 1111 0011".replace(" ", ""))
    assert forced_state(promoter, blacklist, 4).tolist() == [LEARNED, PROMOTER, BLACKLISTED]


@pytest.mark.parametrize(("window", "promoter"), [(10, 4), (10, 3), (11, 3), (8, 8)])
def test_the_promoter_lies_where_the_model_puts_it(window, promoter):
    model = Seq2ExpConfig(window=window, promoter=promoter).promoter_in(window)
    assert np.flatnonzero(promoter_bases(window, promoter)).tolist() == list(range(window))[model]


def test_kept_fraction_leaves_out_what_is_forced():
    state = np.array([PROMOTER, LEARNED, LEARNED, BLACKLISTED], np.int8)
    assert kept_fraction(np.array([1, 0.2, 0.4, 0], np.float32), state) == pytest.approx(0.3)
    assert kept_fraction(np.array([1, 0, 1, 0], np.float32), state) == 0.5


def test_kept_fraction_of_a_window_without_learned_bases_is_unknown():
    assert np.isnan(kept_fraction(np.ones(3, np.float32), np.full(3, PROMOTER, np.int8)))


def test_surely_kept_and_hidden_are_the_tails_of_beta_2_1():
    """P(z >= t) of Beta(2, 1) is 1 - t squared: above 0.95 up to t = 0.2236, below 0.05 from t = 0.9747 on."""
    alpha, beta = np.full(1, 2.0), np.full(1, 1.0)
    answers = [[bool(side[0]) for side in beta_certainty(alpha, beta, t)] for t in (0.223, 0.224, 0.974, 0.975, 0, 1)]
    assert answers == [[True, False], [False, False], [False, False], [False, True], [True, False], [False, True]]
