"""The genome's bases: edges, letters, indexes that do not fit, and files that are not what they should be."""

import gzip
import pickle
import re
from itertools import pairwise

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.inputs.genome import Genome, one_hot

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
    with pytest.raises(InputError, match="has no chromosome 'chr22', it has '22'"):
        Genome(write(tmp_path, b">22\nACGT\n")).sequence("chr22", 0, 3)


def test_index_is_written_beside_the_file_and_nothing_else(fasta):
    Genome(fasta).sequence("chr1", 0, 1)
    extra = {path.name for path in fasta.parent.iterdir()} - {"genome.fa", "genome.fa.gz"}
    assert extra == ({"genome.fa.fai"} if fasta.suffix == ".fa" else {"genome.fa.gz.fai", "genome.fa.gz.gzi"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("genome.fa.gz", gzip.compress(FASTA), "plain gzip, which cannot be read piece by piece; expected bgzip"),
        ("genome.fa", b"chr1\t1\t2\n", "'>name' first"),
        ("genome.fa", b"", "'>name' first"),
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
    with pytest.raises(InputError, match="cut off"):
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
