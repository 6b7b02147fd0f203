"""Bases from a FASTA or a .2bit at an address: those of the local FASTA, from few requests."""

import random
import shutil

import pysam
import pytest
from range_server import serve_ranges, suppress_named
from two_bit_writer import two_bit

from model_core.errors import InputError
from model_core.remote import session, whole_files
from model_core.study.genome import Genome

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
    return files


@pytest.fixture
def server(content, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)
    whole_files.forget()
    with serve_ranges(content) as files:
        yield files


KINDS = ["g.fa", "z.fa.gz", "v0.2bit", "v1.2bit", "alone.2bit"]


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
    assert len([wanted for path, wanted in server.asked if path == f"/{name}"]) <= (5 if name == "alone.2bit" else 3)
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
