"""BED and narrowPeak files, good and bad: what is read, and what the user is told."""

import gzip
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from range_server import serve_ranges, suppress_named
from track_files import peaks_bigbed

from model_core import intervals
from model_core.bed import read_bed, read_narrowpeak
from model_core.errors import InputError
from model_core.remote.address import RemotePath
from model_core.study.whole_inputs import read_whole

PEAK = "chr1\t10\t60\tpeak_1\t1500\t.\t7.5\t4.2\t2.1\t25"


def rows(frame):
    return [tuple(row) for row in frame[["chrom", "start", "end"]].itertuples(index=False)]


def write(folder, content, name="x.bed"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def outcome(function, argument):
    """What a function gives, or None and its complaint; any other error goes on."""
    try:
        return function(argument), ""
    except InputError as error:
        return None, str(error)


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
        (gzip.compress(b"chr1\t1\t2\n" * 9999)[:-20], "truncated gzip"),
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
        (PEAK.rsplit("\t", 2)[0], "a BED file with 8 columns; expected called peaks: narrowPeak (10 columns)"),
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


def some_peaks(folder, count=3_000):
    """A narrowPeak, sorted as a bigBed is, and the bigBed of its rows."""
    rng = np.random.default_rng(4)
    starts = np.sort(rng.integers(0, 200_000_000, count))
    rows = "".join(
        f"chr{1 + (number > count // 2)}\t{start}\t{start + 300}\tpeak{number}\t{number % 900}\t.\t{number / 7:.4f}"
        f"\t3.5\t-1\t{number % 300}\n"
        for number, start in enumerate(starts.tolist())
    )
    (folder / "a.narrowPeak").write_text(rows)
    (folder / "a.bigBed").write_bytes(peaks_bigbed(folder / "a.narrowPeak"))
    return folder / "a.narrowPeak", folder / "a.bigBed"


def test_a_bigbed_is_read_as_the_file_that_it_was_made_from(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    text, bigbed = some_peaks(tmp_path)
    for read in (read_narrowpeak, read_bed):
        assert read(bigbed).equals(read(text))
    with serve_ranges({"/a.bigBed": bigbed.read_bytes()}) as server:
        assert read_whole(RemotePath(server.url("/a.bigBed")), read_narrowpeak).equals(read_narrowpeak(text))


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_bigbed_ends_in_words_or_is_read(tmp_path, seed):
    _, path = some_peaks(tmp_path, 200)
    rng, content = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 5, 50])):
        content[rng.randrange(rng.choice([64, 700, len(content)]))] = rng.choice([0, 1, 127, 255])
    path.write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])
    with suppress_named(path):
        read_narrowpeak(path)
