"""Tables of intervals: what a person types, operations on tables of a few rows."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core import intervals
from model_core.errors import InputError
from model_core.intervals import rasterise, runs


def table(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def rows(frame):
    return [tuple(row) for row in frame[["chrom", "start", "end"]].itertuples(index=False)]


def outcome(function, argument):
    """What a function gives, or None and its complaint; any other error goes on."""
    try:
        return function(argument), ""
    except InputError as error:
        return None, str(error)


# Masks and tables


def test_rasterise_marks_the_bases_of_intervals_that_overlap_and_reach_beyond_the_window():
    marked = rasterise(table(("chr1", 0, 3), ("chr1", 2, 5), ("chr1", 8, 99), ("chr2", 5, 8)), "chr1", -2, 10)
    assert marked.dtype == bool
    assert marked.astype(int).tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1]


def test_rasterise_of_an_empty_table_marks_nothing():
    assert not rasterise(intervals.empty_table(), "chr1", 0, 5).any()


def test_runs_are_half_open():
    starts, ends = runs(np.array([1, 1, 0, 0, 1, 0, 1], bool))
    assert (starts.tolist(), ends.tolist()) == ([0, 4, 6], [2, 5, 7])
    assert starts.dtype == ends.dtype == np.int64


def test_no_runs_in_an_empty_mask():
    assert [edges.tolist() for edges in runs(np.zeros(0, bool))] == [[], []]


@given(st.lists(st.booleans(), max_size=60))
def test_runs_and_rasterise_undo_each_other(mask):
    starts, ends = runs(np.array(mask, bool))
    back = rasterise(table(*zip(["c"] * len(starts), starts, ends, strict=True)), "c", 0, len(mask))
    assert back.tolist() == mask


def test_sorting_keeps_the_order_of_equal_rows():
    frame = table(("chr2", 5, 6), ("chr1", 5, 9), ("chr1", 5, 6), ("chr2", 5, 6)).assign(name=list("abcd"))
    assert intervals.sort(frame).name.tolist() == ["c", "b", "a", "d"]


def test_a_table_is_sorted_in_any_order_of_chromosomes_but_not_when_one_comes_twice():
    assert intervals.is_sorted(table(("chr2", 1, 2), ("chr2", 1, 5), ("chr10", 0, 1)))
    assert not intervals.is_sorted(table(("chr2", 1, 2), ("chr1", 1, 2), ("chr2", 3, 4)))
    assert not intervals.is_sorted(table(("chr2", 3, 4), ("chr2", 1, 2)))
    assert intervals.is_sorted(intervals.empty_table())


def test_merge_joins_what_touches_and_what_lies_within_the_gap():
    frame = table(("chr1", 20, 25), ("chr1", 0, 5), ("chr1", 5, 9), ("chr1", 3, 4), ("chr2", 21, 22))
    assert rows(intervals.merge(frame)) == [("chr1", 0, 9), ("chr1", 20, 25), ("chr2", 21, 22)]
    assert rows(intervals.merge(frame, gap=11)) == [("chr1", 0, 25), ("chr2", 21, 22)]
    assert rows(intervals.merge(frame, gap=10)) == rows(intervals.merge(frame))


def test_touching_intervals_do_not_overlap():
    frame, others = table(("chr1", 0, 5), ("chr1", 5, 9), ("chr2", 0, 5)), table(("chr1", 4, 5), ("chr1", 0, 1))
    assert intervals.overlaps(frame, others).tolist() == [True, False, False]
    assert [part.tolist() for part in intervals.overlap_pairs(frame, others)] == [[0, 0], [0, 1]]


def test_shared_bases_are_counted_once():
    frame = table(("chr1", 0, 10), ("chr1", 20, 30))
    assert intervals.shared_bases(frame, table(("chr1", 2, 6), ("chr1", 4, 8), ("chr1", 9, 25))).tolist() == [7, 5]


def test_distance_to_the_nearest_is_zero_where_they_touch_and_unknown_on_other_chromosomes():
    frame = table(("chr1", 10, 20), ("chr1", 40, 41), ("chr2", 0, 5), ("chr1", 25, 27))
    others = table(("chr1", 20, 21), ("chr1", 0, 6), ("chr1", 50, 60))
    assert intervals.distance_to_nearest(frame, others)[[0, 1, 3]].tolist() == [0, 9, 4]
    assert np.isnan(intervals.distance_to_nearest(frame, others)[2])


def test_operations_take_empty_tables():
    frame, empty = table(("chr1", 0, 10)), intervals.empty_table()
    assert rows(intervals.merge(empty)) == []
    assert intervals.overlaps(frame, empty).tolist() == [False]
    assert intervals.shared_bases(empty, frame).tolist() == []
    assert np.isnan(intervals.distance_to_nearest(frame, empty)).all()


@st.composite
def _tables(draw):
    spans = draw(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 30), st.integers(0, 9)), max_size=12))
    return table(*((chrom, start, start + length) for chrom, start, length in spans))


@given(_tables(), _tables())
@settings(deadline=None, max_examples=40)
def test_operations_agree_with_counting_base_by_base(frame, others):
    masks = {chrom: rasterise(others, chrom, 0, 40) for chrom in "ab"}
    shared = [int(masks[chrom][start:end].sum()) for chrom, start, end in rows(frame)]
    assert intervals.shared_bases(frame, others).tolist() == shared
    assert intervals.overlaps(frame, others).tolist() == [count > 0 for count in shared]
    for chrom in "ab":
        assert np.array_equal(rasterise(intervals.merge(frame), chrom, 0, 40), rasterise(frame, chrom, 0, 40))
    far = intervals.distance_to_nearest(frame, others)
    for distance, (chrom, start, end) in zip(far, rows(frame), strict=True):
        apart = [max(start - e, s - end, 0) for c, s, e in rows(others) if c == chrom]
        assert np.isnan(distance) if not apart else distance == min(apart)


# Names of chromosomes


def test_other_spelling_of_a_chromosome_is_named():
    with pytest.raises(InputError, match=r"x\.bw: found chromosome '22'; expected 'chr22'; rename '22' to 'chr22'"):
        intervals.match_chromosomes({"1": 9, "22": 9}, "chr22", "x.bw")
    with pytest.raises(InputError, match="found chromosome 'MT'"):
        intervals.match_chromosomes(["MT"], ["chrM"], "x.fa")


def test_unknown_chromosome_shows_what_there_is():
    names = [f"chr{i}" for i in range(1, 8)]
    with pytest.raises(InputError, match=re.escape("expected 'chrQ' (and 1 more)")) as caught:
        intervals.match_chromosomes(names, ["chr1", "chrQ", "chrR"], "x.bed")
    assert "(7 in all)" in str(caught.value)


@pytest.mark.parametrize("asked", [["chrUn_1", "chr2"], ["chr2", "chrUn_1"], ["chr1", "chrUn_1", "chr2", "chrX"]])
def test_another_spelling_is_named_whichever_chromosome_is_asked_for_first(asked):
    with pytest.raises(InputError, match=r"found chromosome '2'; expected 'chr2'.*rename '2' to 'chr2'"):
        intervals.match_chromosomes(["chr1", "2"], asked, "x.bw")
    with pytest.raises(InputError, match=r"found chromosome '2'; expected 'chr2'.*rename '2' to 'chr2'"):
        intervals.unlisted(["chr1", "2"], asked, "x.bw")


def test_chromosomes_that_a_file_does_not_list_are_given_in_the_order_asked_for():
    assert intervals.unlisted(["chr1"], ["chr3", "chr1", "chr2"], "x.bw") == ["chr3", "chr2"]
    assert intervals.unlisted(["chr1"], "chr1", "x.bw") == []


@pytest.mark.parametrize("names", [[], ["chr9"], ["9", "x"]])
def test_a_file_of_none_of_the_genome_s_chromosomes_is_refused(names):
    with pytest.raises(InputError, match=r"x\.bw: found chromosome "):
        intervals.require_shared(names, {"chr1": 5, "chr2": 5}, "x.bw")
    intervals.require_shared([*names, "chr2"], {"chr1": 5, "chr2": 5}, "x.bw")
    intervals.require_shared(names, None, "x.bw")


def test_matching_chromosomes_pass():
    assert intervals.match_chromosomes(["chr1", "chr2"], ["chr2"], "x.bed") is None
