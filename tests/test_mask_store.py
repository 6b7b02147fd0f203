"""How masks are packed into float16 and averaged into bins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.beta import beta_mean
from model_core.run_folder.mask_store import GeneMask, MaskStore, binned, packed


@given(st.lists(st.tuples(st.floats(2**-10, 5e5, width=32), st.floats(2**-10, 5e5, width=32)), min_size=1, max_size=30))
def test_packing_keeps_the_mean_and_on_which_side_of_one_half_it_lies(pairs):
    alpha, beta = np.array(pairs, np.float32).T
    packed_alpha, packed_beta = (x.astype(np.float32) for x in packed(alpha, beta))
    small_alpha, small_beta = packed_alpha.astype(np.float64), packed_beta.astype(np.float64)
    before, after = (a / (a + b) for a, b in ((alpha.astype(np.float64), beta), (small_alpha, small_beta)))
    assert np.isfinite(after).all()
    lost = np.maximum(alpha, beta) > 60_000 * np.minimum(alpha, beta) * 2**10  # beyond float16 as a pair
    np.testing.assert_allclose(after[~lost], before[~lost], atol=5e-4)
    # In float32, as the model compares it.
    kept, still = (beta_mean(a, b) >= 0.5 for a, b in ((alpha, beta), (packed_alpha, packed_beta)))
    np.testing.assert_array_equal(still, kept)


@given(
    st.lists(st.tuples(st.floats(2**-7, 1, width=32), st.floats(2**-7, 1, width=32)), min_size=1, max_size=30),
    st.floats(0.01, 0.99),
    st.sampled_from([0.05, 1, 1000]),
)
def test_packing_keeps_on_which_side_of_any_cutoff_the_mean_lies(pairs, cutoff, scale):
    alpha, beta = np.array(pairs, np.float32).T * np.float32(scale)
    beta[0] = alpha[0] * np.float32((1 - cutoff) / cutoff)  # on the edge
    small = [x.astype(np.float32) for x in packed(alpha, beta, cutoff)]
    np.testing.assert_array_equal(beta_mean(*small) >= cutoff, beta_mean(alpha, beta) >= cutoff)


def test_what_is_beyond_float16_keeps_its_mean():
    alpha, beta = packed(np.array([300_000], np.float32), np.array([100_000], np.float32))
    assert float(alpha[0]) / (float(alpha[0]) + float(beta[0])) == pytest.approx(0.75, abs=3e-4)


def test_bins_are_means_of_their_bases():
    assert binned(np.array([1, 3, 5, 9]), 2).tolist() == [2, 7]
    assert binned(np.array([1, 3]), 2).tolist() == [1, 3]


@pytest.mark.parametrize("values", [np.ones(5), np.ones((2, 2)), np.empty(0), np.array([1, np.nan]), np.array([1, -1])])
def test_values_that_are_no_mask_are_refused(values):
    with pytest.raises(ValueError, match="expected"):
        binned(values, 2)


def test_rows_are_read_as_they_were_written(tmp_path):
    store = MaskStore(tmp_path / "masks.zarr", 4)
    for row in range(3):
        store.write(row, np.full((1, 4), row + 1, np.float32), np.full((1, 4), 2, np.float32))
    assert store.rows == 3
    assert [store.read(row)[0][0] for row in range(3)] == [1, 2, 3]


def test_a_row_that_a_killed_writer_left_is_written_over(tmp_path):
    store = MaskStore(tmp_path / "masks.zarr", 4)
    for row in (0, 1, 2, 1):  # rows 1 and 2 had no line in the journal
        store.write(row, np.full((1, 4), row + 10, np.float32), np.full((1, 4), 2, np.float32))
    assert MaskStore(store.path, 4).rows == 2
    assert store.read(1)[0].tolist() == [11] * 4


def test_forced_bins_have_no_spread_and_their_own_value():
    ones, forced = np.ones(3, np.float32), np.array([-1, 0, 1], np.int8)
    mask = GeneMask("chr1", 0, 3, 1, ones, ones, forced)
    assert mask.mean.tolist() == [0.5, 0, 1]
    assert mask.sd.tolist() == [pytest.approx(12**-0.5), 0, 0]
    low, high = mask.interval(exact=True)
    assert (low.tolist(), high.tolist()) == (pytest.approx([0.025, 0, 1]), pytest.approx([0.975, 0, 1]))
    np.testing.assert_allclose(mask.interval(), (low, high), atol=1e-3)


def test_a_hard_mask_is_0_or_1_and_its_mean_is_not():
    alpha, forced = np.array([1, 2, 3], np.float32), np.full(3, -1, np.int8)
    mask = GeneMask("chr1", 0, 3, 1, alpha, np.full(3, 2, np.float32), forced, cutoff=0.5)
    assert mask.mask.tolist() == [0, 1, 1]
    assert mask.mean.tolist() == pytest.approx([1 / 3, 0.5, 0.6])
    assert mask.kept_fraction == pytest.approx(2 / 3)
