"""Members of archives: those that lie uncompressed are read as the file is, others are named, hostile ones refused."""

import io
import random
import struct
import tarfile
import zipfile

import h5py
import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from range_server import serve_ranges
from test_remote_bigwig import write

from model_core.errors import InputError
from model_core.remote import archive, session, whole_files
from model_core.remote.address import RemotePath, input_path
from model_core.remote.archive import Member, located, members
from model_core.remote.ranges import require_inside
from model_core.remote.remote_file import forget, open_ranges
from model_core.remote.whole_files import local_copy
from model_core.signals.remote_rows import remote_vector
from model_core.signals.signal import BigWigSignal
from model_core.study.genome import Genome
from seq2exp_viz.serving.remote_ranges import remote_answer

NOISE = random.Random(1).randbytes(1 << 20)


class Bytes:
    """Ranges in memory, of a file that may claim to be longer. asked: number of reads."""

    def __init__(self, content, size=None):
        self.name, self.content, self.size, self.asked = "a", content, size or len(content), 0

    def read_at(self, offset, length):
        require_inside(self, offset, length)
        self.asked += 1
        return self.content[offset : offset + length].ljust(length, b"\0")

    def read_many(self, ranges):
        return [self.read_at(*piece) for piece in ranges]


class Unseekable(io.RawIOBase):
    """A sink to which zipfile writes the lengths behind each member."""

    def __init__(self):
        self.content = bytearray()

    def writable(self):
        return True

    def write(self, piece):
        self.content += piece
        return len(piece)


def zipped(files, packed=(), streamed=False, zip64=False, prefix=b""):
    sink = Unseekable() if streamed else io.BytesIO()
    sink.write(b"" if streamed else prefix)
    with zipfile.ZipFile(sink, "w") as out:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED if name in packed else zipfile.ZIP_STORED
            with out.open(info, "w", force_zip64=zip64) as member:
                member.write(content)
    return bytes(sink.content) if streamed else sink.getvalue()


def tarred(files, kind=tarfile.PAX_FORMAT, **fields):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=kind) as out:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in fields.items():
                setattr(info, key, value)
            out.addfile(info, io.BytesIO(content))
    return sink.getvalue()


def content_of(file, name, member):
    found = located(file, name, members(file, name), member)
    return None if found is None else file.read_at(found[0], found[1].size)


NAMES = st.text("abcäß./- é", min_size=1, max_size=120).filter(
    lambda name: not name.startswith("./") and name[-1] != "/"
)
FILES = st.dictionaries(NAMES, st.integers(0, 70_000).map(lambda size: NOISE[size : 2 * size]), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(FILES, st.data())
def test_a_stored_member_of_a_zip_is_its_bytes_and_a_compressed_one_is_named(files, data):
    packed = data.draw(st.sets(st.sampled_from(sorted(files))))
    flags = data.draw(st.tuples(st.booleans(), st.booleans(), st.sampled_from([b"", b"#!/bin/sh\n"])))
    file = Bytes(zipped(files, packed, *flags))
    for name, content in files.items():
        if name in packed:
            with pytest.raises(InputError, match=r"a whole download of .*fetch a, unpack it"):
                content_of(file, "a.zip", name)
        else:
            assert content_of(file, "a.ZIP", name) == content
    assert content_of(file, "a.zip", "absent") is None


@settings(max_examples=30, deadline=None)
@given(FILES, st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), st.booleans())
def test_a_member_of_a_tar_is_its_bytes(files, kind, dotted):
    file = Bytes(tarred({f"{'./' * dotted}{name}": content for name, content in files.items()}, kind))
    for name, content in files.items():
        assert content_of(file, "a.tar", name) == content
    assert content_of(file, "a.tar", "absent") is None


HELD = {"a/x.bw": NOISE[:3000], "a/long" * 30: NOISE[:700], "ü": b""}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["a.zip", "a.tar"]), st.data())
def test_a_damaged_archive_is_refused_or_read_within_its_bytes(name, data):
    whole = zipped(HELD, {"ü"}, zip64=True) if name == "a.zip" else tarred(HELD, pax_headers={"comment": "x"})
    # Most places of interest are headers; the rest is content.
    heads = [*range(3200, len(whole))] if name == "a.zip" else [*range(512), *range(3584, len(whole))]
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.sampled_from(heads))] = data.draw(st.integers(0, 255))
    if name == "a.tar" and data.draw(st.booleans()):
        content = with_sums(content)
    content = content[: data.draw(st.sampled_from([len(whole), len(whole) - 1, len(whole) - 600]))]
    file = Bytes(bytes(content), data.draw(st.sampled_from([None, len(content), 1 << 60])))
    try:
        for member in members(file, name):
            try:
                found = located(file, name, members(file, name), member.name)
            except InputError:
                continue
            assert found is not None
            assert 0 <= found[0] <= found[0] + found[1].size <= file.size
    except InputError:
        pass
    assert file.asked < 1000


def with_sums(content):
    """The .tar with right checksums of its headers, so that other fields count."""
    for start in range(0, len(content) - 511, 512):
        block = content[start : start + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            content[start + 148 : start + 156] = f"{sum(block):06o}\0 ".encode()
    return content


def refusal(content, name, member):
    with pytest.raises(InputError) as raised:
        content_of(Bytes(content), name, member)
    return str(raised.value)


def test_members_of_one_name_are_refused():
    assert "one of 2 of this name" in refusal(PLAIN.replace(b"y", b"x"), "a.zip", "x")
    both = tarred({"x": b"one"})[:1024] + tarred({"./x": b"two"})
    assert "one of 2 of this name" in refusal(both, "a.tar", "x")


def directory(content):
    """Offsets of the entries of a zip's directory."""
    return [place for place in range(len(content)) if content[place : place + 4] == b"PK\1\2"]


def changed(content, place, layout, *values):
    content = bytearray(content)
    struct.pack_into(layout, content, place, *values)
    return bytes(content)


PLAIN = zipped({"x": b"1" * 100, "y": b"2" * 100})
FIRST, SECOND = directory(PLAIN)


@pytest.mark.parametrize(
    ("content", "member", "words"),
    [
        (changed(PLAIN, SECOND + 42, "<I", 0), "x", "shares its bytes"),
        (changed(PLAIN, SECOND + 42, "<I", 0), "y", "shares its bytes"),
        (changed(changed(PLAIN, FIRST + 20, "<II", 150, 150), 18, "<II", 150, 150), "x", "behind byte"),
        (changed(PLAIN, FIRST + 20, "<II", 99, 99), "x", "contradicts the archive's directory"),
        (changed(PLAIN, FIRST + 20, "<II", 99, 100), "x", "contradictory lengths"),
        (changed(PLAIN, FIRST + 8, "<H", 1), "x", "an encrypted member"),
        (changed(PLAIN, 6, "<H", 1), "x", "contradicts the archive's directory"),
        (changed(PLAIN, 8, "<H", 8), "x", "contradicts the archive's directory"),
        (changed(PLAIN, 30, "<c", b"z"), "x", "another name in its header"),
        (changed(PLAIN, FIRST + 42, "<I", 1), "x", "contradicts the archive's directory"),
        (changed(PLAIN, FIRST + 42, "<I", len(PLAIN)), "x", "a header at byte"),
        (changed(PLAIN, FIRST + 38, "<I", 0o120777 << 16), "x", "a link"),
        (changed(PLAIN, len(PLAIN) - 10, "<I", 5), "x", "a damaged archive"),
        (b"<html>", "x", "File is not a zip file"),
        (zipped({"d/": b""}), "d/", "a folder"),
    ],
)
def test_a_zip_that_lies_is_refused(content, member, words):
    assert words in refusal(content, "a.zip", member)


def pax(*records, name="x", content=b"1" * 100, **fields):
    """A .tar of one member below an extended header with these records."""
    text = b"".join(records)
    head = tarfile.TarInfo("pax")
    head.type, head.size = fields.pop("type", tarfile.XHDTYPE), len(text)
    return head.tobuf(tarfile.USTAR_FORMAT) + text.ljust(-(-len(text) // 512) * 512, b"\0") + tarred({name: content})


def test_the_length_and_name_of_an_extended_header_count():
    assert content_of(Bytes(pax(b"11 size=99\n")), "a.tar", "x") == b"1" * 99
    assert content_of(Bytes(pax(b"10 path=z\n")), "a.tar", "z") == b"1" * 100


@pytest.mark.parametrize(
    ("content", "member", "words"),
    [
        (pax(b"11 size=-5\n"), "x", "a member of -1 bytes"),
        (pax(b"22 size=999999999999\n"), "x", "without order"),
        (pax(b"21 size=999999999999\n"), "x", "a member of 999,999,999,999 bytes"),
        (pax(b"0 size=1\n"), "x", "without order"),
        (pax(b"99999 size=1\n"), "x", "without order"),
        (pax(b"10 path=z\n", type=tarfile.XGLTYPE), "x", "for all members"),
        (pax(b"22 GNU.sparse.major=1\n"), "x", "a sparse member"),
        (pax(b"x" * 70_000), "x", "an extended header of 70,000 bytes"),
        (tarred({"x": b""}, type=tarfile.SYMTYPE), "x", "a link or a device"),
        (tarred({"x": b""}, type=tarfile.DIRTYPE), "x", "a folder"),
        (tarred({"x": b"1" * 2000})[:1024], "x", "a member of 2,000 bytes"),
        (tarred({"x": b"1"})[:1024] + b"?" * 512, "x", "no header at byte 1,024"),
        (b"", "x", "no header at byte 0"),
        (b"<html>", "x", "no header at byte 0"),
    ],
)
def test_a_tar_that_lies_is_refused(content, member, words):
    assert words in refusal(content, "a.tar", member)


def test_a_chain_of_headers_and_a_list_of_members_end(monkeypatch):
    endless = pax(b"13 comment=x\n")[:1024] * 3000
    assert members(Bytes(endless + tarred({"x": b""})), "a.tar") == [
        Member("x", len(endless) + 512, 0, len(endless) + 512)
    ]
    monkeypatch.setattr(archive, "MOST_MEMBERS", 20)
    many = {str(number): b"" for number in range(21)}
    assert "more than 20 members" in refusal(zipped(many), "a.zip", "1")
    assert "more than 20 members" in refusal(tarred(many), "a.tar", "1")
    monkeypatch.setattr(archive, "MOST_DIRECTORY", 500)
    assert "a directory of" in refusal(zipped(many), "a.zip", "1")
    monkeypatch.setattr(archive, "MOST_PIECES", 3)
    assert "in more than 3 places" in refusal(tarred(dict.fromkeys("abcde", NOISE[:200_000])), "a.tar", "a")


@pytest.mark.parametrize(
    ("text", "host", "name", "member", "url"),
    [
        ("https://e.org/d/a.zip!/b/x y.bw", "e.org", "x y.bw", "b/x y.bw", "https://e.org/d/a.zip"),
        ("https://e.org/a.tar?download=1!/x.fa", "e.org", "x.fa", "x.fa", "https://e.org/a.tar?download=1"),
        ("https://e.org/wow!/x.fa", "e.org", "x.fa", "", "https://e.org/wow!/x.fa"),
        (
            "hf://datasets/u/r/a.tar.gz!/x",
            "huggingface.co",
            "x",
            "x",
            "https://huggingface.co/datasets/u/r/resolve/main/a.tar.gz",
        ),
    ],
)
def test_an_address_names_a_member_behind_the_archive(text, host, name, member, url, monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    path = input_path(text)
    assert (path.host, path.name, path.member, path.url) == (host, name, member, url)
    assert path.with_ending(".fai").name == f"{name}.fai"


@pytest.mark.parametrize("text", ["a.zip!/..", "a.zip!/x\n", "a.zip!/d/..", "%2e%2e", "x%2f%2e%2e", "a%00", "a" * 300])
def test_a_name_that_no_file_here_may_have_is_refused(text):
    with pytest.raises(InputError):
        input_path(f"https://e.org/{text}")


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    """Files that the readers read, by name."""
    folder = tmp_path_factory.mktemp("inside")
    write(folder / "a.bw", 3)
    (folder / "g.fa").write_text(">chr1\n" + "\n".join("ACGT" * 15 for _ in range(400)) + "\n")
    pysam.faidx(str(folder / "g.fa"))
    with h5py.File(folder / "v.h5", "w") as out:
        out["K562/gene"] = np.arange(5000.0)
    (folder / "m.ckpt").write_bytes(NOISE[:200_000])
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}, folder


@pytest.fixture
def server(inside, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)
    whole_files.forget()
    forget()
    files = {f"d/{name}": content for name, content in inside[0].items()}
    large = {f"large{number}": NOISE[: 300_000 + number] for number in range(12)}
    packed = zipped({**files, **large}, packed={"d/m.ckpt"})
    content = {"/a.zip": zipped({**files, **large}), "/a.tar": tarred({**files, **large}), "/p.zip": packed}
    with serve_ranges({**content, "/a.tar.gz": b"\x1f\x8b" + NOISE}) as running:
        yield running


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_every_reader_reads_a_member_as_it_reads_the_file(server, inside, kind):
    at, (_, folder) = server.url(f"/a.{kind}!/d/"), inside
    window = ("chr1", 50_000, 52_000)
    signals = [BigWigSignal("a", place) for place in (folder / "a.bw", f"{at}a.bw")]
    assert signals[0].values(*window).tobytes() == signals[1].values(*window).tobytes()
    assert Genome(f"{at}g.fa").sequence("chr1", 100, 9_000) == Genome(folder / "g.fa").sequence("chr1", 100, 9_000)
    np.testing.assert_array_equal(remote_vector(RemotePath(f"{at}v.h5"), "K562/gene"), np.arange(5000.0))
    assert local_copy(RemotePath(f"{at}m.ckpt")).read_bytes() == NOISE[:200_000]
    asked = len(server.asked)
    whole_files.forget()
    assert local_copy(RemotePath(f"{at}m.ckpt")).name == "m.ckpt"
    assert len(server.asked) == asked


def test_a_listing_costs_few_requests_and_that_of_a_tar_is_kept(server):
    assert open_ranges(RemotePath(server.url("/a.zip!/large7"))).read_at(5, 9) == NOISE[5:14]
    assert len(server.asked) <= 4
    server.asked.clear()
    assert open_ranges(RemotePath(server.url("/a.tar!/large7"))).read_at(5, 9) == NOISE[5:14]
    assert len(server.asked) <= 18  # of 17 members
    forget()
    server.asked.clear()
    member = open_ranges(RemotePath(server.url("/a.tar!/large9")))
    assert [wanted for _, wanted in server.asked] == ["bytes=0-0"]
    assert member.size == 300_009
    with pytest.raises(InputError, match="of a file of 300,009"):
        member.read_at(300_000, 10)


def test_a_member_is_served_by_ranges(server):
    path = RemotePath(server.url("/a.tar!/large3"))
    answer = remote_answer(path, {"HTTP_RANGE": "bytes=300000-", "REQUEST_METHOD": "GET"})
    assert (answer.status, b"".join(answer.body)) == (206, NOISE[300_000:300_003])
    assert dict(answer.headers)["Content-Range"] == "bytes 300000-300002/300003"


def test_what_is_a_whole_download_is_said_to_be_one(server):
    for place, words in (("p.zip!/d/m.ckpt", r"deflate, 200 kB unpacked"), ("a.tar.gz!/x", "compressed as a whole")):
        for read in (open_ranges, local_copy):
            with pytest.raises(InputError, match=words) as raised:
                read(RemotePath(server.url(f"/{place}")))
            assert "this would be a whole download of " in str(raised.value)
    with pytest.raises(InputError, match=r"no such member; expected one of its members: d/a\.bw"):
        open_ranges(RemotePath(server.url("/a.zip!/d/none")))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_with_another_checksum_is_not_kept(server, kind):
    content = bytearray(server.content[f"/a.{kind}"])
    content[content.index(b"d/m.ckpt") + 60_000] ^= 1
    server.content[f"/b.{kind}"] = bytes(content)
    address = RemotePath(server.url(f"/b.{kind}!/d/m.ckpt"))
    if kind == "zip":
        with pytest.raises(InputError, match=r"with CRC-32 \w{8} \(deleted\)"):
            local_copy(address)
        assert not whole_files.kept_files()
    else:  # which states none
        assert local_copy(address).stat().st_size == 200_000
