"""The stand-in for the public places answers as they do, so that what is read of it is what a study would read."""

import hashlib
import json
import struct
import urllib.error
import urllib.request
from urllib.parse import urlencode

import cooler
import huggingface_hub
import numpy as np
import pysam
import pytest
from public_world import COMMIT, ENTRIES, MODELS, RESOLUTION, make_world, serve_world

from model_core.errors import InputError
from model_core.remote import session, whole_files
from model_core.remote.address import RemotePath
from model_core.remote.hic_file import HicFile
from model_core.remote.remote_file import RemoteFile
from model_core.remote.whole_files import local_copy

USES = ("sequence", "annotation", *(entry.use for entry in ENTRIES))
TSS = 39_900_000  # in the middle of a window of 200 kb with contacts
HIC_MOST = 6_000_000  # bytes of one window


@pytest.fixture(scope="module")
def made(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    checkpoint = folder / "soft.ckpt"
    checkpoint.write_bytes(b"weights" * 50_000)
    return make_world(shared_data, folder, checkpoint)


@pytest.fixture
def world(made, tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEQ2EXP_OFFLINE", raising=False)
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)
    whole_files.forget()
    with serve_world(made) as world:
        for name, value in world.environment().items():
            monkeypatch.setenv(name, value)
        yield world


def asked(world, path):
    with urllib.request.urlopen(world.url(path)) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("use", USES)
def test_each_address_of_a_preset_gives_ranges_of_the_local_file(world, made, use):
    content = made[use].read_bytes()
    file = RemoteFile(RemotePath(world.address(use)))
    assert file.size == len(content)
    middle, length = len(content) // 2, min(1_000, len(content) // 4)
    assert file.read_at(middle, length) == content[middle:][:length]
    assert world.sent[world.path(use)] < max(len(content) / 2, 200_000)


def test_a_download_of_encode_is_a_redirect_to_a_signed_address_with_a_tag(world):
    request = urllib.request.Request(RemotePath(world.address("dnase")).url, method="HEAD")
    with urllib.request.urlopen(request) as answer:
        assert "X-Amz-Signature=" in answer.url
        assert answer.headers["ETag"]
        assert int(answer.headers["Content-Length"]) == len(world.content[world.path("dnase")])


def test_records_state_size_and_md5_of_what_is_sent(world, made):
    for entry in ENTRIES:
        record = asked(world, f"/www.encodeproject.org/files/{entry.accession}/?format=json")
        content = made[entry.use].read_bytes()
        assert (record["file_size"], record["md5sum"]) == (len(content), hashlib.md5(content).hexdigest())


def test_a_search_finds_by_all_terms_and_answers_404_where_nothing_fits(world):
    terms = {"type": "File", "file_format_type": "narrowPeak", "dataset": "/experiments/ENCSR000EOT/"}
    found = asked(world, f"/www.encodeproject.org/search/?{urlencode(terms)}")
    assert [entry["accession"] for entry in found["@graph"]] == ["ENCFF274YGF"]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        asked(world, f"/www.encodeproject.org/search/?{urlencode({**terms, 'assembly': 'hg19'})}")
    assert world.searches[0]["type"] == ["File"]


def test_the_2bit_has_the_bases_of_the_fasta(world, made, shared_data):
    content = made["sequence"].read_bytes()
    magic, _, count, _ = struct.unpack_from("<4I", content)
    assert (magic, count) == (0x1A412743, 1)
    place = struct.unpack_from("<I", content, 22)[0]
    size, runs = struct.unpack_from("<2I", content, place)
    unknown = np.frombuffer(content, "<u4", 2 * runs, place + 8).reshape(2, runs).astype(int)
    place += 8 + 8 * runs
    runs = struct.unpack_from("<I", content, place)[0]
    lower = np.frombuffer(content, "<u4", 2 * runs, place + 4).reshape(2, runs).astype(int)
    packed = np.frombuffer(content, np.uint8, offset=place + 8 + 8 * runs)
    codes = np.stack([packed >> 6, packed >> 4 & 3, packed >> 2 & 3, packed & 3], 1).ravel()[:size]
    bases = np.frombuffer(b"TCAG", np.uint8)[codes].copy()
    for start, length in unknown.T:
        bases[start : start + length] = ord("N")
    for start, length in lower.T:
        bases[start : start + length] += 32
    with pysam.FastaFile(str(shared_data / "hg38.chr22.partial.fa.gz")) as fasta:
        assert bases.tobytes() == fasta.fetch("chr22").encode()


def test_a_row_of_the_hic_over_ranges_is_the_balanced_row_of_the_mcool_and_stays_in_its_budget(world, shared_data):
    anchor, first, last = (place // RESOLUTION for place in (TSS, TSS - 100_000, TSS + 100_000))
    file = HicFile(RemoteFile(RemotePath(world.address("hic"))))
    row = file.row("chr22", RESOLUTION, "SCALE", anchor, first, last)
    contacts = cooler.Cooler(f"{shared_data / 'K562.hic.chr22.mcool'}::/resolutions/{RESOLUTION}")
    span = f"chr22:{first * RESOLUTION}-{last * RESOLUTION}"
    expected = contacts.matrix(balance=True).fetch(f"chr22:{anchor * RESOLUTION}-{(anchor + 1) * RESOLUTION}", span)[0]
    assert np.count_nonzero(np.nan_to_num(expected)) > 10
    np.testing.assert_allclose(np.nan_to_num(row), np.nan_to_num(expected), rtol=1e-6)
    assert world.sent[world.path("hic")] < HIC_MOST


def test_hugging_face_lists_and_sends_the_checkpoint(world, made, tmp_path):
    api = huggingface_hub.HfApi(endpoint=world.url(""), token=False)
    info = api.repo_info(MODELS, files_metadata=True)
    assert (info.sha, [file.rfilename for file in info.siblings]) == (COMMIT, ["K562/soft_seed22.ckpt"])
    content = made["checkpoint"].read_bytes()
    assert info.siblings[0].lfs.sha256 == hashlib.sha256(content).hexdigest()
    copy = local_copy(RemotePath(f"hf://{MODELS}/K562/soft_seed22.ckpt"))
    assert copy.read_bytes() == content


@pytest.mark.parametrize("fault", ["403", "500", "html", "cut"])
@pytest.mark.parametrize("use", ["sequence", "dnase", "hic"])
def test_a_fault_of_a_public_place_is_one_message_and_the_same_read_goes_on_afterwards(world, made, use, fault):
    address = RemotePath(world.address(use))
    world.faults[world.path(use)] = fault
    with pytest.raises(InputError) as caught:
        RemoteFile(address).read_at(0, 100)
    assert address.name in str(caught.value)
    assert address.host in str(caught.value)
    world.faults.clear()
    assert RemoteFile(address).read_at(0, 100) == made[use].read_bytes()[:100]
