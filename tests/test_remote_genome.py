"""Bases from a FASTA or a .2bit at an address: those of the local FASTA, from few requests."""

import random
import shutil
import struct

import numpy as np
import pysam
import pytest
from range_server import serve_ranges, suppress_named
from two_bit_writer import two_bit

from model_core.errors import InputError
from model_core.remote import session, whole_files
from model_core.remote.address import RemotePath
from model_core.study.genome import Genome
from model_core.study.two_bit import is_two_bit

RNG = random.Random(5)
SEQUENCES = {
    name: "N" * gap + "".join(RNG.choices("ACGTacgtN", [9, 9, 9, 9, 4, 4, 4, 4, 1], k=length))
    for name, gap, length in (("chr1", 10_000, 400_003), ("chr2", 0, 90_001), ("chrM", 0, 7))
}
SIZES = "".join(f"{name}\t{len(bases)}\n" for name, bases in SEQUENCES.items()).encode()


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome")
    plain = folder / "g.fa"
    with plain.open("w") as file:
        for name, bases in SEQUENCES.items():
            file.write(f">{name} of a test\n")
            file.writelines(f"{bases[start : start + 60]}\n" for start in range(0, len(bases), 60))
    shutil.copy(plain, folder / "z.fa")
    pysam.tabix_compress(str(plain), str(folder / "z.fa.gz"))
    for name in ("g.fa", "z.fa.gz"):
        pysam.faidx(str(folder / name))
    files = {f"/{path.name}": path.read_bytes() for path in folder.iterdir() if path.name != "z.fa"}
    for version in (0, 1):
        files |= {f"/v{version}.2bit": two_bit(SEQUENCES, version), f"/v{version}.chrom.sizes": SIZES}
    files["/alone.2bit"] = two_bit(SEQUENCES)
    files["/big.2bit"] = two_bit(SEQUENCES, 1, ">")
    return files


@pytest.fixture
def server(content, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)
    whole_files.forget()
    with serve_ranges(content) as files:
        yield files


KINDS = ["g.fa", "z.fa.gz", "v0.2bit", "v1.2bit", "alone.2bit", "big.2bit"]


@pytest.mark.parametrize("name", KINDS)
def test_bases_at_an_address_are_those_of_the_file(server, name):
    genome = Genome(server.url(f"/{name}"))
    assert genome.sizes == {chrom: len(bases) for chrom, bases in SEQUENCES.items()}
    for _ in range(60):
        chrom = RNG.choice(list(SEQUENCES))
        start = RNG.randrange(-50, len(SEQUENCES[chrom]) + 50)
        end = start + RNG.choice([0, 1, 3, 59, 60, 61, 5000])
        bases = SEQUENCES[chrom].upper()
        wanted = "".join(bases[place] if 0 <= place < len(bases) else "N" for place in range(start, end))
        assert genome.sequence(chrom, start, end) == wanted


@pytest.mark.parametrize("name", KINDS)
def test_a_window_costs_few_requests(server, name):
    genome = Genome(server.url(f"/{name}"))
    assert len(genome.sequence("chr1", 100_000, 300_000)) == 200_000
    most = {"alone.2bit": 5, "big.2bit": 5, "v0.2bit": 4, "v1.2bit": 4}.get(name, 3)  # one for the end of a .2bit
    assert len([wanted for path, wanted in server.asked if path == f"/{name}"]) <= most
    assert sum(server.sent.values()) < 500_000


def test_a_local_two_bit_file_is_read_as_well(content, tmp_path):
    (tmp_path / "g.2bit").write_bytes(content["/v0.2bit"])
    assert Genome(tmp_path / "g.2bit").sequence("chr2", 5, 70) == SEQUENCES["chr2"][5:70].upper()


@pytest.mark.parametrize("name", ["g.fa", "z.fa.gz"])
def test_an_index_that_is_missing_or_of_another_file_is_named(server, name):
    index = server.content[f"/{name}.fai"]
    server.content[f"/{name}.fai"] = index.replace(b"\t60\t61", b"\t59\t60")
    genome = Genome(server.url(f"/{name}"))
    with pytest.raises(InputError):
        genome.sequence("chr2", 0, 90_000)
    del server.content[f"/{name}.fai"]
    whole_files.forget()
    with pytest.raises(InputError, match=f"no {name}.fai"):
        _ = Genome(server.url(f"/{name}")).sizes


OTHER = {  # what another file of the same size would have -> as it is here, in its .fai
    "names in another order": (b"chr1\t", b"chrX\t"),
    "another line width": (b"\t60\t61", b"\t50\t51"),
    "Windows line ends": (b"\t60\t61", b"\t59\t61"),
    "another place": (b"chr1\t410003\t16", b"chr1\t410003\t17"),
}


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("name", ["g.fa", "z.fa.gz"])
def test_not_even_one_base_is_read_by_the_index_of_another_file(server, name, other):
    index = server.content[f"/{name}.fai"]
    assert OTHER[other][0] in index
    server.content[f"/{name}.fai"] = index.replace(*OTHER[other])
    genome = Genome(server.url(f"/{name}"))
    with pytest.raises(InputError, match="the file of its index"):
        genome.sequence("chrX" if "names" in other else "chr1", 20_000, 20_001)


@pytest.mark.parametrize("change", ["missing", "of another file", "of fewer blocks", "out of order", "cut"])
def test_a_gzi_that_is_missing_or_of_another_file_is_named(server, change):
    blocks = np.frombuffer(server.content["/z.fa.gz.gzi"][8:], "<i8").reshape(-1, 2).copy()
    if change == "of another file":
        blocks[:, 1] -= 100
    blocks = blocks[:2] if change == "of fewer blocks" else blocks[::-1] if change == "out of order" else blocks
    content = struct.pack("<Q", len(blocks)) + blocks.tobytes()
    server.content["/z.fa.gz.gzi"] = content[:-3] if change == "cut" else content
    if change == "missing":
        del server.content["/z.fa.gz.gzi"]
    genome = Genome(server.url("/z.fa.gz"))
    with pytest.raises(InputError, match=r"\.gzi|the file of its index") as error:
        genome.sequence("chr1", 300_000, 300_500)
    assert "127.0.0.1" in str(error.value)


@pytest.mark.parametrize("name", ["g.fa", "z.fa.gz", "v0.2bit"])
def test_a_server_that_refuses_meanwhile_is_named_with_what_it_said(server, name):
    genome = Genome(server.url(f"/{name}"))
    assert genome.sizes
    server.faults[f"/{name}"] = "403"
    with pytest.raises(InputError, match=r"127\.0\.0\.1: 403"):
        genome.sequence("chr1", 300_000, 300_500)


def test_a_query_stays_behind_the_ending_of_the_index():
    path = RemotePath("https://h/a/g.fa?download=1").with_ending(".fai")
    assert (path.address, path.name) == ("https://h/a/g.fa.fai?download=1", "g.fa.fai")
    assert is_two_bit("https://h/hg38.2bit?download=1")


def test_lines_that_end_as_on_windows_and_a_sequence_on_one_line_are_read(server):
    bases = SEQUENCES["chr2"][:1_000]
    text = f">one\n{bases}\n>two\r\n{bases[:90]}\r\n{bases[90:150]}\r\n".encode()
    index = f"one\t1000\t5\t1000\t1001\ntwo\t150\t{5 + 1001 + 6}\t90\t92\n".encode()
    server.content |= {"/w.fa": text, "/w.fa.fai": index}
    genome = Genome(server.url("/w.fa"))
    assert genome.sequence("one", 3, 997) == bases[3:997].upper()
    assert genome.sequence("two", 80, 150) == bases[80:150].upper()


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_two_bit_file_ends_in_words(content, tmp_path, seed):
    rng, damaged = random.Random(seed), bytearray(content["/v1.2bit" if seed % 2 else "/alone.2bit"])
    for _ in range(rng.choice([1, 4])):
        damaged[rng.randrange(rng.choice([16, 100, 40_000]))] = rng.choice([0, 1, 127, 255])
    path = tmp_path / "d.2bit"
    path.write_bytes(damaged[: rng.choice([len(damaged), len(damaged), rng.randrange(len(damaged))])])
    with suppress_named(path):
        genome = Genome(path)
        for chrom, size in genome.sizes.items():
            assert len(genome.sequence(chrom, 0, min(size, 1000))) == min(size, 1000)
