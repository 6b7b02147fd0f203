"""Coverage of a BAM: which reads count, extension, the cache, and files that are cut off or unsorted."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.inputs import coverage as module
from model_core.inputs.coverage import cached_coverage, coverage
from model_core.inputs.signals import BamSignal, BigWigSignal
from model_core.intervals import Window

UNMAPPED, REVERSE, SECONDARY, FAILED, DUPLICATE, SUPPLEMENTARY = 4, 16, 256, 512, 1024, 2048


def bam(folder, *reads, sizes=(("chr1", 30), ("chr2", 10)), name="reads.bam"):
    """A BAM of reads (chromosome number, start, CIGAR, flag), in this order."""
    path = folder / name
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": chrom, "LN": size} for chrom, size in sizes]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for number, (chromosome, start, cigar, flag) in enumerate(reads):
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.flag, read.mapping_quality = f"r{number}", flag, 60
            read.reference_id, read.reference_start, read.cigarstring = chromosome, start, cigar
            read.query_sequence = "A" * (read.infer_query_length() or 5)
            file.write(read)
    return path


def depths(path, chrom="chr1", length=30):
    return BigWigSignal("reads", path).values(chrom, 0, length).astype(int).tolist()


def stack(length, *spans):
    depth = np.zeros(length, int)
    for start, end in spans:
        depth[max(start, 0) : end] += 1
    return depth.tolist()


def test_reads_pile_up_over_the_bases_they_align_to(tmp_path):
    path = bam(tmp_path, (0, 2, "5M", 0), (0, 4, "3S5M", REVERSE), (0, 28, "2M", 0), (1, 0, "10M", 0))
    made = coverage(path, tmp_path / "x.bw")
    assert depths(made) == stack(30, (2, 7), (4, 9), (28, 30))
    assert depths(made, "chr2", 10) == [1] * 10


def test_deletions_and_introns_are_not_covered(tmp_path):
    made = coverage(bam(tmp_path, (0, 0, "3M2D3M", 0), (0, 10, "2M6N2M", 0)), tmp_path / "x.bw")
    assert depths(made) == stack(30, (0, 3), (5, 8), (10, 12), (18, 20))


@pytest.mark.parametrize("flag", [SECONDARY, FAILED, DUPLICATE, SUPPLEMENTARY, UNMAPPED])
def test_reads_that_do_not_count_are_passed_over(tmp_path, flag):
    made = coverage(bam(tmp_path, (0, 2, "5M", 0), (0, 4, "5M", flag), (-1, -1, None, UNMAPPED)), tmp_path / "x.bw")
    assert depths(made) == stack(30, (2, 7))


def test_extension_runs_from_the_five_prime_end_along_the_strand_and_stops_at_the_ends(tmp_path):
    path = bam(tmp_path, (0, 5, "4M", 0), (0, 12, "4M", REVERSE), (0, 27, "2M", 0))
    assert depths(coverage(path, tmp_path / "x.bw", extend=8)) == stack(30, (5, 13), (8, 16), (27, 30))
    shifted = coverage(path, tmp_path / "y.bw", extend=8, shift=-4)
    assert depths(shifted) == stack(30, (1, 9), (12, 20), (23, 30))


def test_every_base_has_a_depth_so_that_zero_is_not_missing(tmp_path):
    made = coverage(bam(tmp_path, (0, 5, "4M", 0), (1, 0, "1M", 0)), tmp_path / "x.bw")
    assert BigWigSignal("reads", made).summary() == (40, 5, 5 / 40, 0, 1)


def test_chromosome_without_reads_is_zero(tmp_path):
    assert depths(coverage(bam(tmp_path, (0, 5, "4M", 0)), tmp_path / "x.bw"), "chr2", 10) == [0] * 10


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 25), st.integers(1, 12)), min_size=1, max_size=30))
@settings(deadline=None, max_examples=40)
def test_any_reads_agree_with_counting_base_by_base(tmp_path_factory, reads):
    folder = tmp_path_factory.getbasetemp()
    sizes = (("chr1", 40), ("chr2", 40))
    path = bam(folder, *((chrom, start, f"{length}M", 0) for chrom, start, length in sorted(reads)), sizes=sizes)
    made = coverage(path, folder / "any.bw")
    for number, chrom in enumerate(("chr1", "chr2")):
        spans = [(start, start + length) for where, start, length in reads if where == number]
        assert depths(made, chrom, 40) == stack(40, *spans)


# The cache


def test_coverage_is_computed_once_for_each_state_of_the_file_and_settings(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(module, "coverage", lambda *given: made.append(given) or coverage(*given))
    path, cache = bam(tmp_path, (0, 2, "5M", 0)), tmp_path / "cache" / "coverage"
    first = cached_coverage(path, cache)
    assert cached_coverage(path, cache) == first
    assert len(made) == 1
    assert cached_coverage(path, cache, extend=10) != first
    os.utime(path, (1, 1))
    assert cached_coverage(path, cache) != first
    assert len(made) == 3


def test_workers_that_ask_at_once_compute_it_once(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(module, "coverage", lambda *given: made.append(given) or coverage(*given))
    path = bam(tmp_path, (0, 2, "5M", 0))
    with ThreadPoolExecutor(4) as pool:
        paths = {job.result() for job in [pool.submit(cached_coverage, path, tmp_path / "cache") for _ in range(8)]}
    assert len(paths) == len(made) == 1


def test_bam_signal_knows_its_sizes_without_computing_anything(tmp_path):
    signal = BamSignal("reads", bam(tmp_path, (0, 2, "5M", 0)), tmp_path / "cache")
    assert signal.sizes == {"chr1": 30, "chr2": 10}
    assert not (tmp_path / "cache").exists()


def test_bam_signal_reads_windows_and_can_be_pickled(tmp_path):
    signal = BamSignal("reads", bam(tmp_path, (0, 2, "5M", 0)), tmp_path / "cache", "sqrt", scale=4)
    told = []
    signal.prepare(told.append)
    assert told[-1] == 1
    for one in (signal, pickle.loads(pickle.dumps(signal))):
        assert one.read(Window("chr1", 3, "+", 6)).tolist() == [0, 0, 2, 2, 2, 2]
    assert signal.total() == 5


def test_unwritable_cache_is_said(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="no place to write to"):
        cached_coverage(bam(tmp_path, (0, 2, "5M", 0)), tmp_path / "cache")


# What goes wrong


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_bam_cut_off_is_refused_and_leaves_nothing_behind(tmp_path, share, capfd):
    reads = [(0, start // 40, f"{start % 5 + 1}M", 0) for start in range(1000)]
    path = bam(tmp_path, *reads)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"cut off|unreadable"):
        coverage(path, tmp_path / "x.bw")
    assert [file.name for file in tmp_path.iterdir()] == ["reads.bam"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("reads", [[(1, 0, "5M", 0), (0, 0, "5M", 0)], [(0, 9, "5M", 0), (0, 3, "5M", 0)]])
def test_unsorted_bam_is_refused(tmp_path, reads):
    with pytest.raises(InputError, match=r"samtools sort reads\.bam"):
        coverage(bam(tmp_path, *reads), tmp_path / "x.bw")


def test_bam_without_reads_that_count_is_refused(tmp_path):
    with pytest.raises(InputError, match="no read that counts"):
        coverage(bam(tmp_path, (0, 4, "5M", DUPLICATE)), tmp_path / "x.bw")
    assert not (tmp_path / "x.bw").exists()


def test_missing_file_other_format_and_impossible_settings_are_refused(tmp_path):
    (tmp_path / "x.bam").write_text("chr1\t0\t5\n" * 10)
    for use in (lambda path: coverage(path, tmp_path / "x.bw"), lambda path: BamSignal("reads", path, tmp_path).sizes):
        with pytest.raises(InputError, match="no such file"):
            use(tmp_path / "none.bam")
        with pytest.raises(InputError, match="found a BED file; expected a BAM"):
            use(tmp_path / "x.bam")
    with pytest.raises(InputError, match="no such file"):
        cached_coverage(tmp_path / "none.bam", tmp_path / "cache")
    for settings_ in ({"extend": 0}, {"shift": 5}):
        with pytest.raises(InputError, match="extend of 1 bp or more"):
            coverage(bam(tmp_path, (0, 2, "5M", 0)), tmp_path / "x.bw", **settings_)
