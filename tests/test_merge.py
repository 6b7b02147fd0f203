"""Many masks become one track: the highest at each base."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.tracks import merged_by_max

SIZE = 120


def mask_at(start: int, values, resolution: int = 1) -> GeneMask:
    values = np.asarray(values, np.float32)
    end = start + len(values) * resolution
    return GeneMask("chr1", start, end, resolution, values, 1 - values, np.full(len(values), -1, np.int8))


def track(masks, resolution: int = 1, size: int = SIZE) -> np.ndarray:
    """float32 (bins,): the whole chromosome, NaN where there is no value."""
    values = np.full(-(-size // resolution), np.nan, np.float32)
    last = 0
    for chrom, start, span, part in merged_by_max(masks, size, resolution):
        assert (chrom, span, start % resolution) == ("chr1", resolution, 0)
        assert start >= last, "blocks overlap"
        values[start // resolution : start // resolution + len(part)] = part
        last = start + len(part) * resolution
    return values


def test_of_two_overlapping_masks_the_higher_counts():
    values = track([mask_at(2, [0.25, 0.5, 0.25]), mask_at(4, [0.5, 0.125])])
    np.testing.assert_array_equal(
        values[:8], np.array([np.nan, np.nan, 0.25, 0.5, 0.5, 0.125, np.nan, np.nan], np.float32)
    )


def test_a_coarse_bin_is_the_mean_of_its_bases_that_lie_in_a_window():
    values = track([mask_at(2, [0.25, 0.5, 0.25, 0.5])], resolution=4)
    np.testing.assert_array_equal(values[:3], np.array([0.375, 0.375, np.nan], np.float32))


def test_what_is_off_the_chromosome_is_left_out():
    values = track([mask_at(-2, [0.1, 0.1, 0.5]), mask_at(SIZE - 1, [0.25, 0.9])])
    assert (values[0], values[-1]) == (0.5, 0.25)
    assert np.isnan(values[1:-1]).all()


def test_masks_out_of_order_are_a_mistake():
    with pytest.raises(ValueError, match="further right"):
        track([mask_at(50, [0.1]), mask_at(2, [0.1])])


def test_only_the_bases_that_may_still_change_are_held():
    masks = (mask_at(i * 10_000, np.full(20_000, 0.5)) for i in range(100))
    blocks = list(merged_by_max(masks, 2_000_000, 1))
    assert max(len(block.values) for block in blocks) <= 20_000
    assert sum(len(block.values) for block in blocks) == 1_010_000


@given(
    st.lists(
        st.tuples(st.integers(-10, 110), st.lists(st.integers(0, 8), min_size=1, max_size=30)), min_size=1, max_size=6
    ),
    st.integers(1, 7),
    st.integers(1, 3),
)
def test_streaming_gives_what_a_whole_chromosome_in_memory_gives(windows, resolution, bin_size):
    masks = [mask_at(start, np.array(values) / 8, bin_size) for start, values in sorted(windows)]
    whole = np.full(SIZE, np.nan, np.float32)
    for mask in masks:
        for i, value in enumerate(np.repeat(mask.mask, bin_size)):
            if 0 <= mask.start + i < SIZE:
                whole[mask.start + i] = np.fmax(whole[mask.start + i], value)
    parts = [whole[i : i + resolution] for i in range(0, SIZE, resolution)]
    expected = [np.nan if np.isnan(x).all() else np.nanmean(x.astype(np.float64)) for x in parts]
    np.testing.assert_allclose(track(masks, resolution), expected, rtol=1e-6)
