"""The genome's bases: edges, letters, indexes that do not fit, and files that are not what they should be."""

import gzip
import multiprocessing
import os
import pickle
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.study import fasta_index as module
from model_core.study.genome import Genome, one_hot

FASTA = b">chr1 a comment\nACGT\nNacc\nRt\n>chr2\nGGGG\n"


def write(folder, content=FASTA, name="genome.fa"):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.fixture(params=["plain", "bgzipped"])
def fasta(request, tmp_path):
    path = write(tmp_path)
    if request.param == "bgzipped":
        pysam.tabix_compress(str(path), f"{path}.gz")
        path = path.with_name("genome.fa.gz")
    return path


def test_sizes_are_those_of_the_sequences(fasta):
    assert Genome(fasta).sizes == {"chr1": 10, "chr2": 4}


def test_lower_case_counts_as_upper(fasta):
    assert Genome(fasta).sequence("chr1", 0, 10) == "ACGTNACCRT"


def test_beyond_either_end_there_is_n(fasta):
    genome = Genome(fasta)
    assert genome.sequence("chr2", -3, 6) == "NNNGGGGNN"
    assert genome.sequence("chr2", -5, -2) == "NNN"
    assert genome.sequence("chr2", 9, 12) == "NNN"
    assert genome.sequence("chr2", 2, 2) == ""


@given(start=st.integers(-15, 15), length=st.integers(0, 20))
@settings(deadline=None)
def test_any_stretch_is_a_piece_of_the_padded_sequence(tmp_path_factory, start, length):
    path = tmp_path_factory.getbasetemp() / "stretch.fa"
    genome = Genome(path if path.exists() else write(path.parent, name=path.name))
    padded = "N" * 20 + "ACGTNACCRT" + "N" * 30
    assert genome.sequence("chr1", start, start + length) == padded[20 + start : 20 + start + length]


def test_start_after_end_is_refused(fasta):
    with pytest.raises(InputError, match="start <= end"):
        Genome(fasta).sequence("chr1", 5, 4)


def test_genome_can_be_pickled_after_use(fasta):
    genome = Genome(fasta)
    genome.sequence("chr1", 0, 4)
    assert pickle.loads(pickle.dumps(genome)).sequence("chr1", 0, 4) == "ACGT"


def test_one_hot_is_in_the_order_acgt_with_everything_else_zero():
    codes = one_hot("ACGTacgtNnRü-")
    assert codes.dtype == np.uint8
    assert codes.tolist() == [*np.eye(4, dtype=int).tolist() * 2, *[[0] * 4] * 5]
    assert one_hot("").shape == (0, 4)


@given(st.text(max_size=50))
def test_one_hot_has_one_row_a_letter(text):
    codes = one_hot(text)
    assert codes.shape == (len(text), 4)
    assert codes.sum(axis=1).tolist() == [letter in "ACGTacgt" for letter in text]


def test_missing_chromosome_names_its_other_spelling(tmp_path):
    with pytest.raises(InputError, match="found chromosome '22'; expected 'chr22'"):
        Genome(write(tmp_path, b">22\nACGT\n")).sequence("chr22", 0, 3)


def test_index_is_written_beside_the_file_and_nothing_else(fasta):
    Genome(fasta).sequence("chr1", 0, 1)
    extra = {path.name for path in fasta.parent.iterdir()} - {"genome.fa", "genome.fa.gz"}
    assert extra == ({"genome.fa.fai"} if fasta.suffix == ".fa" else {"genome.fa.gz.fai", "genome.fa.gz.gzi"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("genome.fa.gz", gzip.compress(FASTA), "plain gzip, which has no random access; expected bgzip"),
        ("genome.fa", b"chr1\t1\t2\n", "beginning with '>name'"),
        ("genome.fa", b"", "beginning with '>name'"),
        ("genome.fa", b">chr1\nACGT\nAC\nACGT\n", "malformed FASTA"),
        ("genome.fa", b">chr1\n", "malformed FASTA"),
    ],
)
def test_what_is_no_indexable_fasta_is_refused(tmp_path, capfd, name, content, message):
    with pytest.raises(InputError, match=re.escape(message)):
        _ = Genome(write(tmp_path, content, name)).sizes
    assert capfd.readouterr().err == ""


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        _ = Genome(tmp_path / "none.fa").sizes
    with pytest.raises(InputError, match="is a directory"):
        _ = Genome(tmp_path).sizes


def test_file_cut_off_after_it_was_indexed_is_refused(fasta):
    whole = fasta.read_bytes()
    assert Genome(fasta).sizes
    fasta.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError, match="truncated"):
        _ = Genome(fasta).sizes


def test_file_that_grew_after_it_was_indexed_is_refused(tmp_path):
    path = write(tmp_path)
    assert Genome(path).sizes
    path.write_bytes(FASTA + b">chr3\n" + b"ACGT" * 50 + b"\n")
    with pytest.raises(InputError, match=r"delete genome\.fa\.fai if the FASTA was changed on purpose"):
        _ = Genome(path).sizes


def test_bgzipped_file_with_the_index_of_another_is_refused(tmp_path):
    for name, content in (("a.fa", FASTA), ("b.fa", FASTA + b">chr3\n" + b"ACGT" * 50 + b"\n")):
        pysam.tabix_compress(str(write(tmp_path, content, name)), f"{tmp_path}/{name}.gz")
        assert Genome(tmp_path / f"{name}.gz").sizes
    (tmp_path / "b.fa.gz.fai").replace(tmp_path / "a.fa.gz.fai")
    with pytest.raises(InputError, match="an index that fits"):
        _ = Genome(tmp_path / "a.fa.gz").sizes


def test_index_that_is_no_index_is_refused(tmp_path):
    path = write(tmp_path)
    write(tmp_path, b"nonsense\n", "genome.fa.fai")
    with pytest.raises(InputError, match=r"genome\.fa\.fai: found not a FASTA index"):
        _ = Genome(path).sizes


def test_bgzipped_file_of_many_blocks_passes_its_check_and_reads_across_them(tmp_path):
    bases = "".join(np.random.default_rng(1).choice(list("ACGT"), 300_000))
    path = write(tmp_path, f">chr1\n{bases}\n".encode())
    pysam.tabix_compress(str(path), f"{path}.gz")
    genome = Genome(f"{path}.gz")
    assert genome.sizes == {"chr1": 300_000}
    assert genome.sequence("chr1", 65_000, 265_000) == bases[65_000:265_000]


# An index that is not its file's


def as_fasta(records, width=4, line_end="\n"):
    """FASTA of (header, bases) in lines of `width`."""
    lines = [
        line for header, bases in records for line in (f">{header}", *re.findall(f".{{1,{width}}}", bases, re.DOTALL))
    ]
    return "".join(line + line_end for line in lines).encode()


def bases_of(records):
    return {header.split()[0]: bases for header, bases in records}


def read_all(path):
    genome = Genome(path)
    return {chrom: genome.sequence(chrom, 0, size) for chrom, size in genome.sizes.items()}


def put(path, content, compressed):
    """Write a FASTA in its place, older than any index beside it, so that time tells nothing."""
    path.write_bytes(content)
    if compressed:
        pysam.tabix_compress(str(path), f"{path}.gz", force=True)
        path = path.with_name(f"{path.name}.gz")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


RECORDS = [("chr1", "ACGTNACCRT" * 5), ("chr2", "GGGGTTTTCA" * 5), ("chr3", "TTTTTAAAAACCC")]
ONE, TWO, THREE = RECORDS
CHANGES = {
    "header lengthened": [("chr1 AC:CM000663.2 gi:568336023", ONE[1]), TWO, THREE],
    "header of the last record lengthened": [ONE, TWO, ("chr3 of an older assembly", THREE[1])],
    "header far longer": [("chr1 " + "x" * 5_000, ONE[1]), TWO, THREE],
    "names swapped": [("chr2", ONE[1]), ("chr1", TWO[1]), THREE],
    "records reordered": [TWO, ONE, THREE],
    "name of the same length": [ONE, ("chrX", TWO[1]), THREE],
    "record taken out and another lengthened by as much": [ONE, ("chr3", THREE[1] + "A" * 56)],
    "record before the first": [("chrM", "ACGT" * 5), *RECORDS],
    "record put between": [ONE, ("chrM", "ACGT" * 5), TWO, THREE],
    "bases put in and others taken out": [(ONE[0], ONE[1] + "ACGT"), (TWO[0], TWO[1][:-4]), THREE],
}


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "bgzipped"])
@pytest.mark.parametrize("change", CHANGES)
def test_index_of_an_earlier_state_is_made_anew_with_a_warning(tmp_path, capfd, change, compressed):
    path = put(tmp_path / "genome.fa", as_fasta(RECORDS), compressed)
    assert read_all(path) == bases_of(RECORDS)
    assert capfd.readouterr().err == ""
    put(tmp_path / "genome.fa", as_fasta(CHANGES[change]), compressed)
    assert read_all(path) == bases_of(CHANGES[change])
    (warning,) = capfd.readouterr().err.splitlines()
    assert warning.startswith(f"warning: {path}: found an index of another file")
    assert warning.endswith("the index was made again")
    assert read_all(path) == bases_of(CHANGES[change])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "bgzipped"])
@pytest.mark.parametrize(
    ("before", "after"), [((4, "\n"), (5, "\n")), ((5, "\n"), (4, "\n")), ((4, "\n"), (4, "\r\n"))]
)
def test_lines_of_another_length_are_never_read_by_the_old_index(tmp_path, before, after, compressed):
    path = put(tmp_path / "genome.fa", as_fasta([ONE], *before), compressed)
    assert read_all(path) == bases_of([ONE])
    put(tmp_path / "genome.fa", as_fasta([ONE], *after), compressed)
    assert read_all(path) == bases_of([ONE])


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "bgzipped"])
def test_other_bases_in_the_same_places_are_read_by_the_same_index(tmp_path, capfd, compressed):
    path = put(tmp_path / "genome.fa", as_fasta([ONE, TWO]), compressed)
    assert read_all(path) == bases_of([ONE, TWO])
    other = [ONE, ("chr2", TWO[1].replace("GGGG", "GATG"))]
    put(tmp_path / "genome.fa", as_fasta(other), compressed)
    assert read_all(path) == bases_of(other)
    assert capfd.readouterr().err == ""


SOME_RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "10", "X"]), st.sampled_from(["", " of toy", "\tx"]), st.text("ACGTn", min_size=1)
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda record: record[0],
)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "bgzipped"])
@given(
    states=st.tuples(*[st.tuples(SOME_RECORDS, st.integers(1, 9), st.sampled_from(["\n", "\r\n"]))] * 2),
    kept=st.sampled_from([(".fai", ".gzi"), (".fai",), (".gzi",)]),
)
@settings(deadline=None, max_examples=30)
def test_no_index_gives_bases_that_the_file_does_not_hold(tmp_path_factory, compressed, states, kept):
    folder = tmp_path_factory.mktemp("states")
    for number, (parts, width, line_end) in enumerate(states):
        records = [(name + more, bases) for name, more, bases in parts]
        path = put(folder / "genome.fa", as_fasta(records, width, line_end), compressed)
        try:
            found = read_all(path)
        except InputError as refusal:
            found = str(refusal)
        truth = {name: bases.upper() for name, bases in bases_of(records).items()}
        assert found == truth or (number == 1 and "an index that fits" in found)
        if compressed and number == 0:
            for suffix in {".fai", ".gzi"} - set(kept):
                (folder / f"genome.fa.gz{suffix}").unlink()
    shutil.rmtree(folder)


@pytest.mark.parametrize("change", ["header lengthened", "records reordered", "names swapped"])
def test_wrong_index_is_refused_where_none_can_be_written(tmp_path, monkeypatch, change):
    path = put(tmp_path / "genome.fa", as_fasta(RECORDS), False)
    assert Genome(path).sizes
    put(path, as_fasta(CHANGES[change]), False)
    forbid_writing(monkeypatch)
    with pytest.raises(InputError, match=r"an index of another file \(.*\), and none can be written .*samtools faidx"):
        _ = Genome(path).sizes


def test_missing_index_is_told_where_none_can_be_written(fasta, monkeypatch):
    forbid_writing(monkeypatch)
    with pytest.raises(InputError, match="no index, and none can be written"):
        _ = Genome(fasta).sizes


def forbid_writing(monkeypatch):
    def refuse(*_, **given):
        if "dir" in given:
            raise PermissionError(13, "Permission denied")
        return made(**given)

    made = module.tempfile.TemporaryDirectory
    monkeypatch.setattr(module.tempfile, "TemporaryDirectory", refuse)


def test_index_older_than_its_file_is_read_where_it_fits_and_none_can_be_written(fasta, monkeypatch, capfd):
    assert Genome(fasta).sizes
    before = {file.name: file.read_bytes() for file in fasta.parent.iterdir()}
    os.utime(fasta, (4_000_000_000, 4_000_000_000))
    forbid_writing(monkeypatch)
    assert Genome(fasta).sequence("chr1", 0, 10) == "ACGTNACCRT"
    assert {file.name: file.read_bytes() for file in fasta.parent.iterdir()} == before
    assert capfd.readouterr().err == ""


def test_index_older_than_its_file_is_made_anew_once(fasta, monkeypatch, capfd):
    made = []
    write = module._write_index
    monkeypatch.setattr(module, "_write_index", lambda *given: made.append(given) or write(*given))
    assert Genome(fasta).sizes
    os.utime(fasta, (4_000_000_000, 4_000_000_000))  # a clock that is ahead
    for _ in range(3):
        assert Genome(fasta).sequence("chr1", 0, 10) == "ACGTNACCRT"
    assert len(made) == 2
    assert capfd.readouterr().err == ""


def test_line_end_moved_inside_a_sequence_is_refused(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_bytes(as_fasta([("chr1", "ACGTACGTACGTACGTACGTACGT")]))
    assert Genome(path).sizes
    path.write_bytes(path.read_bytes().replace(b"ACGT\nACGT\nACGT\nACGT", b"ACGT\nACG\nTACGT\nACGT"))
    with pytest.raises(InputError, match="malformed FASTA"):
        _ = Genome(path).sizes


@pytest.mark.parametrize("content", [">chr1\nACGT\n>chr1\nGGGG\n", ">chr1\nACGT\n>chr1\nGGGG\n>chr2\nTTTT\n"])
def test_two_records_of_one_name_are_refused(tmp_path, content):
    for _ in range(2):
        with pytest.raises(InputError, match=r"chr1|malformed FASTA") as refusal:
            _ = Genome(write(tmp_path, content.encode())).sizes
        assert "a unique name" in str(refusal.value)


@pytest.mark.parametrize("damage", ["cut", "one entry short", "shifted", "another's"])
def test_block_index_that_is_not_the_files_never_gives_wrong_bases(tmp_path, damage, capfd):
    bases = "".join(np.random.default_rng(1).choice(list("ACGT"), 300_000))
    path = write(tmp_path, f">chr1\n{bases}\n".encode())
    pysam.tabix_compress(str(path), f"{path}.gz")
    path = path.with_name("genome.fa.gz")
    assert Genome(path).sizes == {"chr1": 300_000}
    blocks = tmp_path / "genome.fa.gz.gzi"
    content = np.frombuffer(blocks.read_bytes(), "<u8").copy()
    if damage == "cut":
        blocks.write_bytes(content[:-1].tobytes())
        with pytest.raises(InputError, match=r"genome\.fa\.gz\.gzi: found not a block index"):
            _ = Genome(path).sizes
        return
    if damage == "another's":
        with pysam.BGZFile(str(tmp_path / "other.gz"), "wb") as other:
            for start in range(0, 300_000, 10_000):
                other.write(bases[start : start + 10_000].encode())
                other.flush()
        pysam.tabix_compress(str(tmp_path / "genome.fa"), str(tmp_path / "other.gz"), force=True)
    content[0] -= damage == "one entry short"
    changed = content[:-2] if damage == "one entry short" else content + np.uint64(damage == "shifted")
    changed[0] = content[0]
    if damage == "another's":
        changed[1::2] += 7
    blocks.write_bytes(changed.tobytes())
    genome = Genome(path)
    assert genome.sequence("chr1", 65_000, 265_000) == bases[65_000:265_000]
    assert "the index was made again" in capfd.readouterr().err


def test_damaged_block_is_told(tmp_path):
    bases = "".join(np.random.default_rng(1).choice(list("ACGT"), 300_000))
    path = write(tmp_path, f">chr1\n{bases}\n".encode())
    pysam.tabix_compress(str(path), f"{path}.gz")
    path = path.with_name("genome.fa.gz")
    whole = bytearray(path.read_bytes())
    assert Genome(path).sizes
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"genome\.fa\.gz: found a damaged block at byte"):
        _ = Genome(path).sizes


# Reading by many at once, and while the file changes


def test_file_cut_off_while_it_is_open_gives_no_short_sequence(tmp_path):
    path = write(tmp_path, as_fasta([("chr1", "ACGT" * 50_000)], 60))
    genome = Genome(path)
    assert len(genome.sequence("chr1", 0, 200_000)) == 200_000
    os.truncate(path, 50_000)
    with pytest.raises(InputError, match=r"bases at chr1:0-200000; expected 200000"):
        genome.sequence("chr1", 0, 200_000)


def check_places(genome, bases, seed):
    starts = np.random.default_rng(seed).integers(0, len(bases) - 500, 300).tolist()
    return all(genome.sequence("chr1", start, start + 500) == bases[start : start + 500] for start in starts)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "bgzipped"])
def test_forked_processes_and_threads_read_right_bases_at_once(tmp_path, compressed):
    bases = "".join(np.random.default_rng(2).choice(list("ACGT"), 300_000))
    path = put(tmp_path / "genome.fa", as_fasta([("chr1", bases)], 60), compressed)
    genome = Genome(path)
    assert genome.sequence("chr1", 0, 60) == bases[:60]  # open before the fork
    context = multiprocessing.get_context("fork")
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda seed: check_places(genome, bases, seed), range(8)))
    children = [context.Process(target=_exit_by, args=(genome, bases, seed)) for seed in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 4


def _exit_by(genome, bases, seed):
    os._exit(0 if check_places(genome, bases, seed) else 1)


@pytest.mark.parametrize("compressed", [False, True])
def test_content_counts_and_not_the_ending_of_the_name(tmp_path, compressed):
    path = put(tmp_path / "other.fa", as_fasta(RECORDS), compressed)
    misnamed = path.rename(tmp_path / ("genome.fa" if compressed else "genome.fa.gz"))
    assert read_all(misnamed) == bases_of(RECORDS)


def test_real_introns_begin_with_gt_and_end_with_ag(shared_data):
    genome, exons = Genome(shared_data / "hg38.chr22.partial.fa.gz"), {}
    with gzip.open(shared_data / "genes.chr22.gtf.gz", "rt") as lines:
        for fields in (line.split("\t") for line in lines):
            if len(fields) == 9 and fields[2] == "exon" and fields[6] == "+":
                exons.setdefault(fields[8], []).append((int(fields[3]) - 1, int(fields[4])))
    introns = {(a[1], b[0]) for spans in exons.values() for a, b in pairwise(sorted(spans))}
    ends = [
        genome.sequence("chr22", start, start + 2) + genome.sequence("chr22", end - 2, end) for start, end in introns
    ]
    known = [letters for letters in ends if "N" not in letters]
    assert len(known) > 1000
    assert known.count("GTAG") / len(known) > 0.95


def test_real_sequence_is_padded_beyond_its_end(shared_data):
    genome = Genome(shared_data / "hg38.chr22.partial.fa.gz")
    assert genome.sizes == {"chr22": 50_818_468}
    assert genome.sequence("chr22", 50_818_460, 50_818_480)[8:] == "N" * 12
