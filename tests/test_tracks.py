"""Browser files: what is written is what other programs read, and the same each time."""

import gzip
import subprocess
import sys

import numpy as np
import pandas as pd
import pybigtools
import pyBigWig
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.bed import read_narrowpeak
from model_core.errors import InputError
from model_core.run_folder.tracks import Block, summary, write_bed, write_bigwig, write_narrowpeak

SIZES = {"chr2": 1000, "chr1": 3000, "chr10": 50}
NAN = float("nan")


def block(chrom: str, start: int, values, span: int = 1) -> Block:
    return Block(chrom, start, span, np.asarray(values, np.float32))


def read(path, chrom: str, start: int, end: int) -> list[float]:
    with pyBigWig.open(str(path)) as bigwig:
        return bigwig.values(chrom, start, end, numpy=True).tolist()


def same(found, expected) -> bool:
    return np.allclose(found, np.asarray(expected, np.float32), rtol=0, atol=0, equal_nan=True)


def test_values_stand_where_they_were_put_and_gaps_stay_gaps(tmp_path):
    path = tmp_path / "a.bigWig"
    blocks = [block("chr1", 5, [0.1, 0.2, NAN, 0.4]), block("chr1", 20, [0.5, 0.5], 10), block("chr2", 0, [1])]
    write_bigwig(path, SIZES, blocks)
    assert same(read(path, "chr1", 4, 10), [NAN, 0.1, 0.2, NAN, 0.4, NAN])
    assert same(read(path, "chr1", 19, 41), [NAN] + [0.5] * 20 + [NAN])
    assert same(read(path, "chr2", 0, 2), [1, NAN])
    with pyBigWig.open(str(path)) as bigwig:
        assert bigwig.chroms() == SIZES


def test_a_last_bin_ends_with_its_chromosome(tmp_path):
    path = tmp_path / "a.bigWig"
    write_bigwig(path, SIZES, [block("chr10", 30, [0.1, 0.2, 0.3], 8)])  # 30 ... 54 of 50
    with pyBigWig.open(str(path)) as bigwig:
        assert [x[:2] for x in bigwig.intervals("chr10")] == [(30, 38), (38, 46), (46, 50)]


def test_equal_neighbours_are_stored_once(tmp_path):
    rng = np.random.default_rng(0)
    values = np.repeat(rng.random(30), 100)
    write_bigwig(tmp_path / "a.bigWig", SIZES, [block("chr1", 0, values)])
    with pyBigWig.open(str(tmp_path / "a.bigWig")) as bigwig:
        assert len(bigwig.intervals("chr1")) == 30
    assert same(read(tmp_path / "a.bigWig", "chr1", 0, 3000), values)


@pytest.mark.parametrize("decimals", [None, 2])
def test_a_streamed_bigwig_reads_as_one_written_in_memory(tmp_path, monkeypatch, decimals):
    rng = np.random.default_rng(0)
    first = np.where(rng.random(2000) < 0.1, np.nan, rng.random(2000))
    blocks = [block("chr1", 5, first), block("chr1", 2500, [0.5] * 40), block("chr10", 30, [0.1, 0.2, 0.3], 8)]
    write_bigwig(tmp_path / "a", SIZES, blocks, decimals)
    monkeypatch.setattr("model_core.run_folder.tracks.MOST_VALUES", 1000)
    for name in "bc":
        write_bigwig(tmp_path / name, SIZES, blocks, decimals, values=2043)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes() != (tmp_path / "a").read_bytes()
    for chrom in ("chr1", "chr10"):
        assert same(read(tmp_path / "b", chrom, 0, SIZES[chrom]), read(tmp_path / "a", chrom, 0, SIZES[chrom]))
    assert same(summary(tmp_path / "b", "chr1", 2500, 2540, 1)[0], summary(tmp_path / "a", "chr1", 2500, 2540, 1)[0])
    assert sorted(x.name for x in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_streamed_bigwig_that_fails_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("model_core.run_folder.tracks.MOST_VALUES", 1)
    with pytest.raises(ValueError, match="off its chromosome"):
        write_bigwig(tmp_path / "a", SIZES, [block("chr1", 0, [0.1, 0.2]), block("chr1", 3000, [1])], values=3)
    with pytest.raises(InputError, match="no value to write"):
        write_bigwig(tmp_path / "a", SIZES, [block("chr1", 0, [NAN])], values=2)
    monkeypatch.setattr(
        "model_core.run_folder.tracks._intervals", lambda *_: (np.array([0]), np.array([9]), np.array([]))
    )
    with pytest.raises(OSError, match="0 of 9 bases"):
        write_bigwig(tmp_path / "a", SIZES, [block("chr1", 0, [0.1, 0.2])], values=2)
    assert not list(tmp_path.iterdir())


MEMORY = """
import resource, sys
import numpy as np
from model_core.run_folder import tracks
tracks.MOST_VALUES = 1000
count = int(sys.argv[2])
rng = np.random.default_rng(0)
blocks = (tracks.Block("chr1", start, 1, rng.random(100_000)) for start in range(0, count, 100_000))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tracks.write_bigwig(sys.argv[1], {"chr1": count}, blocks, 3, values=count)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_memory_of_streaming_does_not_grow_with_the_genome(tmp_path):
    grown = []
    for count in (500_000, 2_000_000):
        words = [sys.executable, "-c", MEMORY, tmp_path / "a", str(count)]
        grown.append(int(subprocess.run(words, capture_output=True, text=True, check=True, timeout=100).stdout))
    assert grown[1] - grown[0] < 10_000  # kB; zoom levels in memory would take 21,000 more


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.sampled_from([0.0, 0.5, 1.0, NAN]), st.floats(0, 1, width=32)), min_size=1, max_size=80
    ),
    span=st.integers(1, 12),
    start=st.integers(0, 100),
)
def test_what_is_written_is_what_is_read(tmp_path_factory, values, span, start):
    path = tmp_path_factory.mktemp("bw") / "a.bigWig"
    if np.isnan(values).all():
        with pytest.raises(InputError, match="no value to write"):
            write_bigwig(path, SIZES, [block("chr1", start, values, span)])
        assert not list(path.parent.iterdir())
        return
    write_bigwig(path, SIZES, [block("chr1", start, values, span)])
    expected = np.full(3000, NAN, np.float32)
    expected[start : start + span * len(values)] = np.repeat(np.asarray(values, np.float32), span)
    assert same(read(path, "chr1", 0, 3000), expected)


def test_a_bigwig_has_zoom_levels_and_the_same_bytes_each_time(tmp_path):
    values = np.random.default_rng(0).random(3000)
    for name in ("a.bigWig", "b.bigWig"):
        write_bigwig(tmp_path / name, SIZES, [block("chr1", 0, values[:1000]), block("chr1", 1000, values[1000:])])
    assert (tmp_path / "a.bigWig").read_bytes() == (tmp_path / "b.bigWig").read_bytes()
    with pybigtools.open(str(tmp_path / "a.bigWig")) as bigwig:
        assert bigwig.zooms()


def test_decimals_round(tmp_path):
    write_bigwig(tmp_path / "a", SIZES, [block("chr1", 0, [0.1234, 0.1236])], decimals=3)
    assert same(read(tmp_path / "a", "chr1", 0, 2), [0.123, 0.124])


@pytest.mark.parametrize(
    "blocks",
    [
        [block("chr2", 0, [1]), block("chr1", 0, [1])],
        [block("chr1", 5, [1, 1]), block("chr1", 6, [1])],
        [block("chr1", 3000, [1])],
        [block("chr10", 40, [1, 1, 1], 9)],
    ],
)
def test_blocks_out_of_order_or_off_the_chromosome_are_a_mistake_and_leave_no_file(tmp_path, blocks):
    with pytest.raises(ValueError, match="chr"):
        write_bigwig(tmp_path / "a", SIZES, blocks)
    assert not list(tmp_path.iterdir())


def test_a_summary_is_mean_and_highest_of_each_bin(tmp_path):
    write_bigwig(tmp_path / "a", SIZES, [block("chr1", 0, [0, 1, NAN, 0.5, NAN, NAN])])
    mean, highest = summary(tmp_path / "a", "chr1", 0, 6, 3)
    assert same(mean, [0.5, 0.5, NAN])
    assert same(highest, [1, 0.5, NAN])
    assert (mean.dtype, highest.dtype) == (np.float32, np.float32)


def test_a_summary_through_zoom_levels_is_near_the_exact_one(tmp_path):
    places = np.arange(400_000)
    values = (0.5 + 0.5 * np.sin(places / 5000)).astype(np.float32)
    write_bigwig(tmp_path / "a", {"chr1": 400_000}, [block("chr1", 0, values)])
    mean, highest = summary(tmp_path / "a", "chr1", 0, 400_000, 400)
    exact = values.reshape(400, 1000)
    np.testing.assert_allclose(mean, exact.mean(axis=1), atol=0.01)
    np.testing.assert_allclose(highest, exact.max(axis=1), atol=0.05)  # what half a bin changes at the steepest


def test_a_summary_off_the_chromosome_or_of_one_without_values_is_empty(tmp_path):
    write_bigwig(tmp_path / "a", SIZES, [block("chr10", 0, np.full(50, 0.5))])
    assert same(summary(tmp_path / "a", "chr10", -20, 80, 5)[0], [NAN, 0.5, 0.5, NAN, NAN])
    assert np.isnan(summary(tmp_path / "a", "chrX", 0, 10, 2)).all()
    assert np.isnan(summary(tmp_path / "a", "chr2", 0, 10, 2)).all()


def test_a_summary_of_what_is_no_bigwig_is_refused(tmp_path):
    (tmp_path / "text").write_text("chr1\t1\t2\n" * 100)
    whole = np.random.default_rng(0).random(3000)
    write_bigwig(tmp_path / "whole", SIZES, [block("chr1", 0, whole)])
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[:3000])
    pybigtools.open(str(tmp_path / "elements.bb"), "w").write(SIZES, [("chr1", 0, 10, "x")])
    words = {"missing": "no such file", "text": "a BED file", "cut": "a truncated file", "elements.bb": "a bigBed file"}
    for name, found in words.items():
        with pytest.raises(InputError, match=f"{name}: found {found}"):
            summary(tmp_path / name, "chr1", 0, 3000, 1)


TABLE = pd.DataFrame(
    {"chrom": ["chr1", "chr1"], "start": [1, 5], "end": [3, 9], "name": ["a", "b"], "mean_mask": [0.12345, 1.0]}
)


def test_a_bed_file_says_what_it_is_and_what_its_columns_are(tmp_path):
    write_bed(tmp_path / "a.bed", [TABLE[:0], TABLE[:1], TABLE[1:]], ["made here"])
    lines = (tmp_path / "a.bed").read_text().splitlines()
    assert lines[:2] == ["##made here", "#chrom\tstart\tend\tname\tmean_mask"]
    assert lines[2:] == ["chr1\t1\t3\ta\t0.1235", "chr1\t5\t9\tb\t1.0000"]


@pytest.mark.parametrize(("end", "suffix"), [(9, ".tbi"), (600_000_000, ".csi")])
def test_a_compressed_bed_has_an_index_that_finds_its_rows(tmp_path, end, suffix):
    table = TABLE.assign(end=[3, end])
    for name in ("a.bed.gz", "b.bed.gz"):
        write_bed(tmp_path / name, [table], ["made here"], bgzip=True)
    assert sorted(x.name for x in tmp_path.iterdir()) == [
        "a.bed.gz",
        f"a.bed.gz{suffix}",
        "b.bed.gz",
        f"b.bed.gz{suffix}",
    ]
    assert (tmp_path / "a.bed.gz").read_bytes() == (tmp_path / "b.bed.gz").read_bytes()
    index = [(tmp_path / f"{name}.bed.gz{suffix}").read_bytes() for name in "ab"]
    assert gzip.decompress(index[0]) == gzip.decompress(index[1])
    with pysam.TabixFile(str(tmp_path / "a.bed.gz"), index=str(tmp_path / f"a.bed.gz{suffix}")) as bed:
        assert [row.split("\t")[3] for row in bed.fetch("chr1", 6, 8)] == ["b"]


def test_a_write_that_fails_leaves_no_file(tmp_path):
    def tables():
        yield TABLE
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_bed(tmp_path / "a.bed", tables())
    assert not list(tmp_path.iterdir())


def test_narrowpeak_scores_above_1000_are_clamped(tmp_path):
    table = pd.DataFrame(
        {
            **{"chrom": ["chr2", "chr1"], "start": [1, 5], "end": [4, 9], "name": ["a", "b"], "score": [3071.0, NAN]},
            **{
                "strand": ".",
                "signal_value": [3.14159265, 2],
                "minus_log10_p": -1,
                "minus_log10_q": -1,
                "summit": [2, -1],
            },
        }
    )
    write_narrowpeak(tmp_path / "a.narrowPeak", table)
    assert (tmp_path / "a.narrowPeak").read_text().splitlines() == [
        "chr1\t5\t9\tb\t0\t.\t2\t-1\t-1\t-1",
        "chr2\t1\t4\ta\t1000\t.\t3.14159\t-1\t-1\t2",
    ]
    assert read_narrowpeak(tmp_path / "a.narrowPeak")["score"].tolist() == [0, 1000]


def test_real_macs3_peaks_come_through(shared_data, tmp_path):
    peaks = read_narrowpeak(shared_data / "K562.DNase.macs2_q0.01.narrowPeak")
    write_narrowpeak(tmp_path / "a.narrowPeak", peaks)
    again = read_narrowpeak(tmp_path / "a.narrowPeak")
    pd.testing.assert_frame_equal(again.drop(columns="score"), peaks.drop(columns="score"), rtol=1e-5)
    assert again["score"].tolist() == peaks["score"].clip(upper=1000).tolist()
