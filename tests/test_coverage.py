"""Coverage of a BAM: which reads count, extension, the cache, and files that are cut off or unsorted."""

import os
import pickle
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.signals import bam_coverage as module
from model_core.signals.bam_coverage import cached_coverage, coverage, held_coverage
from model_core.signals.signal import BamSignal, BigWigSignal
from model_core.window import Window

PAIRED, MATE_UNMAPPED = 1, 8
UNMAPPED, REVERSE, SECONDARY, FAILED, DUPLICATE, SUPPLEMENTARY = 4, 16, 256, 512, 1024, 2048


def bam(folder, *reads, sizes=(("chr1", 30), ("chr2", 10)), name="reads.bam", mode="wb"):
    """A BAM of reads (chromosome number, start, CIGAR, flag), in this order."""
    path = folder / name
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": chrom, "LN": size} for chrom, size in sizes]}
    with pysam.AlignmentFile(str(path), mode, header=header) as file:
        for number, (chromosome, start, cigar, flag) in enumerate(reads):
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.flag, read.mapping_quality = f"r{number}", flag, 60
            read.reference_id, read.reference_start, read.cigarstring = chromosome, start, cigar
            length = read.infer_query_length()
            read.query_sequence = "A" * (5 if length is None else length) or None
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


# Odd reads that the format allows

ODD = {
    "without a CIGAR": [(0, 5, None, 0), (0, 6, None, REVERSE)],
    "clips alone": [(0, 5, "5S", 0), (0, 6, "4S", REVERSE)],
    "an insertion alone": [(0, 5, "5I", 0)],
    "no base of any kind": [(0, 5, "0M", 0)],
    "without a place but not flagged as unmapped": [(-1, -1, None, 0), (-1, -1, "5M", 0)],
    "a chromosome and no place": [(0, -1, None, 0), (0, -1, "5M", REVERSE)],
}


@pytest.mark.parametrize("extend", [None, 1, 8, 150])
@pytest.mark.parametrize("odd", ODD)
def test_reads_that_align_no_base_are_passed_over(tmp_path, odd, extend):
    placed = sorted((read for read in ODD[odd] if read[0] >= 0), key=lambda read: read[1])
    early, late = ([read for read in placed if (read[1] < 2) == first] for first in (True, False))
    unplaced = [read for read in ODD[odd] if read[0] < 0]
    path = bam(tmp_path, *early, (0, 2, "5M", 0), *late, (0, 9, "4M", REVERSE), *unplaced)
    spans = ((2, 7), (9, 13)) if extend is None else ((2, 2 + extend), (13 - extend, 13))
    assert depths(coverage(path, tmp_path / "x.bw", extend)) == stack(30, *spans)


@pytest.mark.parametrize("extend", [None, 150])
def test_bam_of_reads_that_align_no_base_is_refused(tmp_path, extend):
    with pytest.raises(InputError, match="no usable read"):
        coverage(bam(tmp_path, (0, 4, None, 0), (0, 5, "3S", REVERSE)), tmp_path / "x.bw", extend)


@pytest.mark.parametrize(
    ("read", "covered", "extended"),
    [
        ((0, 29, "1M", 0), [(29, 30)], (29, 37)),  # the last base
        ((0, 29, "1M", REVERSE), [(29, 30)], (22, 30)),
        ((0, 27, "6M", 0), [(27, 30)], (27, 35)),  # beyond the end
        ((0, 27, "6M", REVERSE), [(27, 30)], (25, 33)),
        ((0, 40, "6M", 0), [], (40, 48)),
        ((0, 0, "4S3M", 0), [(0, 3)], (0, 8)),  # clips beyond the start
        ((0, 5, "3M4N2M2H", REVERSE), [(5, 8), (12, 14)], (6, 14)),
        ((0, 5, "2=1X2D1=", 0), [(5, 8), (10, 11)], (5, 13)),
        ((0, 5, "2M1P1I1P2M", 0), [(5, 9)], (5, 13)),
        ((0, 5, "2D3M", REVERSE), [(7, 10)], (2, 10)),
    ],
)
def test_one_read_covers_its_aligned_bases_or_its_extension(tmp_path, read, covered, extended):
    path = bam(tmp_path, read, (1, 0, "1M", 0))
    assert depths(coverage(path, tmp_path / "x.bw")) == stack(30, *covered)
    assert depths(coverage(path, tmp_path / "y.bw", extend=8)) == stack(30, extended)


def genomecov(path, chrom, size):
    """Depth of each base as bedtools counts it."""
    words = ["bedtools", "genomecov", "-split", "-bga", "-ibam", str(path)]
    rows = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    depth = np.zeros(size, int)
    for where, start, end, count in (row.split("\t") for row in rows):
        if where == chrom:
            depth[int(start) : int(end)] = int(count)
    return depth.tolist()


FLAGS = [0, REVERSE, PAIRED, PAIRED | REVERSE, PAIRED | MATE_UNMAPPED, UNMAPPED, PAIRED | UNMAPPED]
LEFT_OUT = [SECONDARY, FAILED, DUPLICATE, SUPPLEMENTARY]
CIGARS = ["5M", "1M", "3M2D3M", "2M6N2M", "2M1N1M1D2M", "3S4M", "4M2S", "2H3M1S", "3M2I3M", "2=1X2=", "5S", None, "40M"]


@pytest.mark.skipif(shutil.which("bedtools") is None, reason="needs bedtools")
@given(
    reads=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 49), st.sampled_from(CIGARS), st.sampled_from(FLAGS + LEFT_OUT)),
        min_size=1,
        max_size=30,
    )
)
@settings(deadline=None, max_examples=40)
def test_any_reads_are_counted_as_by_bedtools(tmp_path_factory, reads):
    folder, sizes = tmp_path_factory.getbasetemp(), (("chr1", 50), ("chr2", 50))
    # An unmapped read lies with its mate, without a CIGAR.
    reads = [(*read[:2], None if read[3] & UNMAPPED else read[2], read[3]) for read in reads]
    reads = [*sorted(reads, key=lambda read: read[:2]), (-1, -1, None, UNMAPPED)]
    path = bam(folder, (0, 0, "1M", 0), *reads, sizes=sizes)
    made = coverage(path, folder / "bedtools.bw")
    # bedtools counts all mapped reads: those that ours leaves out are taken away first.
    kept = [read for read in reads if not any(read[3] & flag for flag in LEFT_OUT)]
    # A read at base 0 that aligns no base ends before the chromosome, and bedtools then counts it everywhere.
    kept = [read for read in kept if not (read[1] == 0 and read[2] == "5S")]
    filtered = bam(folder, (0, 0, "1M", 0), *kept, sizes=sizes, name="kept.bam")
    for chrom, size in sizes:
        assert depths(made, chrom, size) == genomecov(filtered, chrom, size)


def test_mates_on_other_chromosomes_and_unplaced_mates_change_nothing(tmp_path):
    path = bam(tmp_path, (0, 2, "5M", PAIRED | MATE_UNMAPPED), (0, 2, None, PAIRED | UNMAPPED), (1, 3, "5M", PAIRED))
    with pysam.AlignmentFile(str(path)) as reads:
        header, found = reads.header, list(reads.fetch(until_eof=True))
    found[0].next_reference_id, found[0].next_reference_start = 0, 2
    found[2].next_reference_id, found[2].next_reference_start, found[2].template_length = 0, 25, 0
    with pysam.AlignmentFile(str(tmp_path / "mates.bam"), "wb", header=header) as out:
        for read in found:
            out.write(read)
    made = coverage(tmp_path / "mates.bam", tmp_path / "x.bw", extend=6)
    assert depths(made) == stack(30, (2, 8))
    assert depths(made, "chr2", 10) == stack(10, (3, 9))


@pytest.mark.parametrize("suffix", [".bai", ".csi"])
def test_an_index_that_is_not_the_bams_changes_nothing(tmp_path, suffix, capfd):
    path = bam(tmp_path, (0, 2, "5M", 0))
    other = bam(tmp_path, *[(1, 3, "5M", 0)] * 50, name="other.bam")
    for index in (b"nonsense", None):
        if index is None:
            pysam.index(*(["-c"] if suffix == ".csi" else []), str(other))
            index = (tmp_path / f"other.bam{suffix}").read_bytes()
        (tmp_path / f"reads.bam{suffix}").write_bytes(index)
        os.utime(tmp_path / f"reads.bam{suffix}", (1, 1))
        assert depths(coverage(path, tmp_path / "x.bw")) == stack(30, (2, 7))
    assert capfd.readouterr().err == ""


# The cache


def test_coverage_is_computed_once_for_each_state_of_the_file_and_settings(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(module, "coverage_apart", lambda *given: made.append(given) or coverage(*given))
    path, cache = bam(tmp_path, (0, 2, "5M", 0)), tmp_path / "cache" / "coverage"
    first = cached_coverage(path, cache)
    assert cached_coverage(path, cache) == first
    assert len(made) == 1
    assert cached_coverage(path, cache, extend=10) != first
    os.utime(path, (1, 1))
    assert cached_coverage(path, cache) != first
    assert len(made) == 3


@pytest.mark.parametrize("keep", ["copied over", "moved into its place"])
def test_another_bam_of_the_same_length_and_times_has_its_own_coverage(tmp_path, keep):
    path = bam(tmp_path, (0, 2, "5M", 0), mode="wbu")
    other = bam(tmp_path, (0, 3, "5M", 0), name="other.bam", mode="wbu")
    assert path.stat().st_size == other.stat().st_size
    os.utime(path, (1, 1))
    os.utime(other, (1, 1))
    assert depths(cached_coverage(path, tmp_path / "cache")) == stack(30, (2, 7))
    if keep == "copied over":
        path.write_bytes(other.read_bytes())
        shutil.copystat(other, path)
    else:
        other.replace(path)
    assert depths(cached_coverage(path, tmp_path / "cache")) == stack(30, (3, 8))


def test_a_change_in_the_middle_of_a_large_bam_is_seen(tmp_path):
    rng = np.random.default_rng(0)
    reads = [(0, place, "36M", 0) for place in range(70_000)]
    path, sizes = bam(tmp_path, *reads, sizes=(("chr1", 80_000),)), (("chr1", 80_000),)
    with path.open("ab") as file:  # what is behind the end mark is no read, but makes the file large
        file.write(rng.bytes(6_000_000))
    os.utime(path, (1, 1))
    before = cached_place(path, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(
        bam(tmp_path, *reads[:-9], *[reads[-9]] * 9, sizes=sizes, name="b.bam").read_bytes().ljust(len(whole))
    )
    os.utime(path, (1, 1))
    assert cached_place(path, tmp_path) != before


def cached_place(path, cache):
    return module._place(path, cache, None, 0)


def test_another_rule_of_what_counts_takes_over_no_old_coverage(tmp_path, monkeypatch):
    path, cache = bam(tmp_path, (0, 2, "5M", 0)), tmp_path / "cache"
    first = cached_coverage(path, cache)
    monkeypatch.setattr(module, "_RULE", module._RULE + 1)
    assert held_coverage(path, cache) is None
    assert cached_coverage(path, cache) != first


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_damaged_coverage_is_computed_anew(tmp_path, share):
    path, cache = bam(tmp_path, (0, 2, "5M", 0)), tmp_path / "cache"
    made = cached_coverage(path, cache)
    content = made.read_bytes()
    made.write_bytes(content[: int(len(content) * share)])
    assert held_coverage(path, cache) is None
    assert cached_coverage(path, cache) == made
    assert made.read_bytes() == content


def test_coverage_that_is_there_is_found_without_computing_and_never_anothers(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    paths = [
        bam(tmp_path, (0, start, "5M", 0), name=name) for start, name in ((2, "a.bam"), (9, "a.b.bam"), (4, "a2.bam"))
    ]
    (tmp_path / "elsewhere").mkdir()
    paths.append(bam(tmp_path / "elsewhere", (0, 7, "5M", 0), name="a.bam"))
    assert [held_coverage(path, cache) for path in paths] == [None] * 4
    made = [cached_coverage(path, cache) for path in paths]
    extended = cached_coverage(paths[0], cache, 8, -2)
    monkeypatch.setattr(module, "coverage_apart", lambda *_: pytest.fail("computed"))
    for number in (0, 2, 1, 3):  # whichever was written last
        os.utime(made[number])
        assert [held_coverage(path, cache) for path in paths] == made
    assert held_coverage(paths[0], cache, 8, -2) == extended
    assert held_coverage(paths[0], cache, 8) is None
    for path in paths:
        path.unlink()
    assert [held_coverage(path, cache) for path in paths] == made
    assert held_coverage(tmp_path / "[a].bam", cache) is None


def test_workers_that_ask_at_once_compute_it_once(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(module, "coverage_apart", lambda *given: made.append(given) or coverage(*given))
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


def test_unwritable_cache_is_said_and_another_folder_taken(tmp_path, monkeypatch, capsys):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = cached_coverage(bam(tmp_path, (0, 2, "5M", 0)), tmp_path / "cache")
    assert path.parent.parent == tmp_path
    assert path.parent.name.startswith("seq2exp-viz-")
    assert "cannot be written (file exists): the coverage of " in capsys.readouterr().err


# What goes wrong


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_bam_cut_off_is_refused_and_leaves_nothing_behind(tmp_path, share, capfd):
    reads = [(0, start // 40, f"{start % 5 + 1}M", 0) for start in range(1000)]
    path = bam(tmp_path, *reads)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"truncated|no readable file"):
        coverage(path, tmp_path / "x.bw")
    assert [file.name for file in tmp_path.iterdir()] == ["reads.bam"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("reads", [[(1, 0, "5M", 0), (0, 0, "5M", 0)], [(0, 9, "5M", 0), (0, 3, "5M", 0)]])
def test_unsorted_bam_is_refused(tmp_path, reads):
    with pytest.raises(InputError, match=r"samtools sort reads\.bam"):
        coverage(bam(tmp_path, *reads), tmp_path / "x.bw")


def test_bam_without_reads_that_count_is_refused(tmp_path):
    with pytest.raises(InputError, match="no usable read"):
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
