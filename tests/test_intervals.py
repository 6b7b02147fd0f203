"""Tables of intervals: what a person types, operations on three rows, BED and narrowPeak files good and bad."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core import intervals
from model_core.errors import InputError
from model_core.intervals import Site, parse_locus, parse_site, rasterise, read_bed, read_narrowpeak, runs

PEAK = "chr1\t10\t60\tpeak_1\t1500\t.\t7.5\t4.2\t2.1\t25"


def table(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def rows(frame):
    return [tuple(row) for row in frame[["chrom", "start", "end"]].itertuples(index=False)]


def write(folder, text, name="x.bed"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def outcome(function, argument):
    """What a function gives, or None and its complaint; any other error goes on."""
    try:
        return function(argument), ""
    except InputError as error:
        return None, str(error)


# What a person types


def test_typed_site_counts_from_one():
    assert parse_site("chr22:1,000:+") == Site("chr22", 999, "+")
    assert parse_site(" chr22:1000:- ") == Site("chr22", 999, "-")


def test_typed_site_without_strand_is_forward():
    assert parse_site("chrX:5") == Site("chrX", 4, "+")


def test_chromosome_name_may_hold_a_colon():
    assert parse_site("HLA:A*01:7:-") == Site("HLA:A*01", 6, "-")


def test_typed_locus_is_inclusive_and_counts_from_one():
    assert parse_locus("chr22:1,000-2,000") == ("chr22", 999, 2000)
    assert parse_locus("chr22:7") == ("chr22", 6, 7)


@pytest.mark.parametrize(
    "text", ["", "chr22", "chr22:0:+", "chr22:-5", "chr22:1,00", "chr22:1e3", ":5", "a b:5", "chr22:٣"]
)
def test_malformed_site_is_refused(text):
    with pytest.raises(InputError, match="counted from 1"):
        parse_site(text)


@pytest.mark.parametrize("text", ["", "chr1", "chr1:0-5", "chr1:9-5", "chr1:5-", "chr1:-5", "chr1:1-2-3", ":1-2"])
def test_malformed_locus_is_refused(text):
    with pytest.raises(InputError, match="start <= end"):
        parse_locus(text)


@given(st.text(max_size=30))
def test_any_typed_text_gives_a_place_or_one_clear_message(text):
    for parse in (parse_site, parse_locus):
        place, complaint = outcome(parse, text)
        assert "found" in complaint if place is None else place[0] and place[1] >= 0


@given(st.integers(0, 10**11), st.integers(1, 10**6))
def test_typed_locus_comes_back_as_it_was_shown(start, length):
    assert parse_locus(f"chr1:{start + 1:,}-{start + length:,}") == ("chr1", start, start + length)


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


def test_subtract_leaves_the_pieces_outside():
    frame = table(("chr1", 0, 10), ("chr1", 20, 30), ("chr2", 0, 5))
    left = intervals.subtract(frame, table(("chr1", 2, 4), ("chr1", 9, 20), ("chr2", 0, 9)))
    assert rows(left) == [("chr1", 0, 2), ("chr1", 4, 9), ("chr1", 20, 30)]


def test_distance_to_the_nearest_is_zero_where_they_touch_and_unknown_on_other_chromosomes():
    frame = table(("chr1", 10, 20), ("chr1", 40, 41), ("chr2", 0, 5), ("chr1", 25, 27))
    others = table(("chr1", 20, 21), ("chr1", 0, 6), ("chr1", 50, 60))
    assert intervals.distance_to_nearest(frame, others)[[0, 1, 3]].tolist() == [0, 9, 4]
    assert np.isnan(intervals.distance_to_nearest(frame, others)[2])


def test_operations_take_empty_tables():
    frame, empty = table(("chr1", 0, 10)), intervals.empty_table()
    assert rows(intervals.merge(empty)) == rows(intervals.subtract(empty, frame)) == []
    assert rows(intervals.subtract(frame, empty)) == rows(frame)
    assert intervals.overlaps(frame, empty).tolist() == [False]
    assert intervals.shared_bases(empty, frame).tolist() == []
    assert np.isnan(intervals.distance_to_nearest(frame, empty)).all()


@st.composite
def _tables(draw):
    spans = draw(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 30), st.integers(0, 9)), max_size=12))
    return table(*((chrom, start, start + length) for chrom, start, length in spans))


@given(_tables(), _tables())
@settings(deadline=None)
def test_operations_agree_with_counting_base_by_base(frame, others):
    masks = {chrom: rasterise(others, chrom, 0, 40) for chrom in "ab"}
    shared = [int(masks[chrom][start:end].sum()) for chrom, start, end in rows(frame)]
    assert intervals.shared_bases(frame, others).tolist() == shared
    assert intervals.overlaps(frame, others).tolist() == [count > 0 for count in shared]
    left = intervals.subtract(frame, others)
    for chrom in "ab":
        assert np.array_equal(rasterise(intervals.merge(frame), chrom, 0, 40), rasterise(frame, chrom, 0, 40))
        kept = rasterise(frame, chrom, 0, 40) & ~masks[chrom]
        assert np.array_equal(rasterise(left, chrom, 0, 40), kept)
    far = intervals.distance_to_nearest(frame, others)
    for distance, (chrom, start, end) in zip(far, rows(frame), strict=True):
        apart = [max(start - e, s - end, 0) for c, s, e in rows(others) if c == chrom]
        assert np.isnan(distance) if not apart else distance == min(apart)


# Names of chromosomes


def test_other_spelling_of_a_chromosome_is_named():
    with pytest.raises(InputError, match=r"x\.bw has no chromosome 'chr22', it has '22'; rename '22' to 'chr22'"):
        intervals.match_chromosomes({"1": 9, "22": 9}, "chr22", "x.bw")
    with pytest.raises(InputError, match="it has 'MT'"):
        intervals.match_chromosomes(["MT"], ["chrM"], "x.fa")


def test_unknown_chromosome_shows_what_there_is():
    names = [f"chr{i}" for i in range(1, 8)]
    with pytest.raises(InputError, match=re.escape("'chrQ' (and 1 more that are asked for), it has 'chr1'")) as caught:
        intervals.match_chromosomes(names, ["chr1", "chrQ", "chrR"], "x.bed")
    assert "(7 in all)" in str(caught.value)


def test_matching_chromosomes_pass():
    assert intervals.match_chromosomes(["chr1", "chr2"], ["chr2"], "x.bed") is None


# BED


def test_bed_is_read_past_comments_track_lines_and_empty_lines(tmp_path):
    text = 'browser position chr1:1-9\ntrack name="x y"\n# a comment\n\nchr2\t5\t9\tb\t1e3\t-\r\nchr1\t7\t8\ta\t.\t+\n'
    frame = read_bed(write(tmp_path, text))
    assert list(frame.columns) == ["chrom", "start", "end", "name", "score", "strand"]
    assert rows(frame) == [("chr1", 7, 8), ("chr2", 5, 9)]
    assert np.isnan(frame.score[0])
    assert frame.score[1] == 1000
    assert frame.start.dtype == frame.end.dtype == np.int64


def test_gzipped_bed_is_read_whatever_its_name(tmp_path):
    frame = read_bed(write(tmp_path, gzip.compress(b"chr1 1 2\nchr1 0 1\n"), "plain.bed"))
    assert rows(frame) == [("chr1", 0, 1), ("chr1", 1, 2)]


def test_unsorted_bed_can_be_told(tmp_path):
    path = write(tmp_path, "chr1\t5\t6\nchr1\t1\t2\n")
    assert not intervals.is_sorted(read_bed(path, sort=False))
    assert intervals.is_sorted(read_bed(path))


def test_header_line_names_the_columns(tmp_path):
    for start in ("#chrom", "chrom"):
        frame = read_bed(write(tmp_path, f"{start}\tstart\tend\tgene\tclass\nchr1\t1\t2\tG1\tcausal\n"))
        assert list(frame.columns) == ["chrom", "start", "end", "gene", "class"]
        assert frame.gene.tolist() == ["G1"]


def test_first_columns_can_be_named_and_the_rest_left_out(tmp_path):
    path = write(tmp_path, "chr1\t1\t2\tHigh Signal Region\tnot a score\nchr1\t3\t4\n")
    assert rows(read_bed(path, names=("chrom", "start", "end"))) == [("chr1", 1, 2), ("chr1", 3, 4)]


def test_empty_bed_gives_an_empty_table(tmp_path):
    frame = read_bed(write(tmp_path, "# nothing\n"))
    assert list(frame.columns) == ["chrom", "start", "end"]
    assert frame.empty
    assert list(read_narrowpeak(write(tmp_path, "")).columns)[-1] == "summit"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t1\t2\nchr1\t5\t3\n", "line 2: found start 5 after end 3"),
        ("chr1\t1\t2\nchr1\t-1\t3\n", "line 2: found '-1' as a position"),
        ("chr1\t1.5\t2\n", "line 1: found '1.5' as a position"),
        ("chr1\t1_0\t20\n", "line 1: found '1_0' as a position"),
        ("chr1\t1\t9999999999999\n", "line 1: found '9999999999999' as a position"),
        ("chr1\t1\t2\ta\nchr1\t1\t2\n", "line 2: found 3 columns; expected 4"),
        ("chr1\t1\n", "found 2 columns in the first row"),
        ("chr1\t1\t2\ta\tGATA1\n", "line 1: found 'GATA1' as a number"),
        ("chr1\t1\t2\ta\t0\tforward\n", "line 1: found 'forward' as a strand"),
        ("\t1\t2\n", "line 1: found no chromosome name"),
        (b"chr1\t1\t2\n\xff\xfe\x00", "bytes that are not text"),
        (gzip.compress(b"chr1\t1\t2\n" * 9999)[:-20], "cut-off gzip"),
    ],
)
def test_malformed_bed_is_refused_with_file_and_line(tmp_path, text, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_bed(write(tmp_path, text))
    assert "x.bed" in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_bed(tmp_path / "none.bed")
    with pytest.raises(InputError, match="is a directory"):
        read_bed(tmp_path)


# narrowPeak


def test_narrowpeak_accepts_scores_above_1000(tmp_path):
    peak = read_narrowpeak(write(tmp_path, f"{PEAK}\n")).iloc[0]
    assert (peak.score, peak.signal_value, peak.minus_log10_p, peak.minus_log10_q) == (1500, 7.5, 4.2, 2.1)
    assert peak.summit == 25


def test_narrowpeak_keeps_several_summits_of_one_peak(tmp_path):
    other = PEAK.replace("peak_1", "peak_2").replace("\t25", "\t-1")
    assert read_narrowpeak(write(tmp_path, f"{PEAK}\n{other}\n")).summit.tolist() == [25, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PEAK.replace("\t25", "\t50"), "line 1: found summit 50 in a peak of 50 bp"),
        (PEAK.rsplit("\t", 1)[0], "9 columns; expected the 10 of a narrowPeak"),
        (PEAK.replace("7.5", "high"), "line 1: found 'high' as a number"),
    ],
)
def test_malformed_narrowpeak_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_narrowpeak(write(tmp_path, text))


_FIELD = st.one_of(st.text(max_size=6), st.sampled_from(["chr1", "0", "5", "60", ".", "-1", "+", "1e9", "#", "track"]))
_LINES = st.lists(st.lists(_FIELD, max_size=12).map("\t".join), max_size=6).map("\n".join)


@given(st.one_of(_LINES.map(lambda text: text.encode("utf-8", "ignore")), st.binary(max_size=80)), st.booleans())
@settings(deadline=None, max_examples=300)
def test_any_bytes_give_a_sound_table_or_one_clear_message(tmp_path_factory, content, gzipped):
    path = write(tmp_path_factory.getbasetemp(), gzip.compress(content) if gzipped else content, "fuzz.bed")
    for read in (read_bed, read_narrowpeak):
        frame, complaint = outcome(read, path)
        if frame is None:
            assert str(path) in complaint
        else:
            assert (frame.start >= 0).all()
            assert (frame.end >= frame.start).all()
            assert intervals.is_sorted(frame)


def test_real_peaks_and_blacklist_are_read(shared_data):
    peaks = read_narrowpeak(shared_data / "K562.DNase.macs2_p0.1.narrowPeak.gz")
    assert len(peaks) > 20_000
    assert set(peaks.chrom) == {"chr22"}
    assert ((peaks.summit >= 0) & (peaks.summit < peaks.end - peaks.start)).all()
    blacklist = read_bed(shared_data / "hg38-blacklist.v2.chr22.bed", names=("chrom", "start", "end"))
    assert len(blacklist) == 10
    assert len(read_bed(shared_data / "K562.ABC_candidate_elements.chr22.bed")) == 17_732
