"""Models by name, by address and by path: listed, pinned, compared, kept for when there is no network."""

import hashlib

import pytest
from hf_server import serve_hub
from test_archives import zipped
from test_fetch import closed_port
from typer.testing import CliRunner

from model_core.datasets.hugging_face import UnreachableHubError
from model_core.datasets.known_models import REPOSITORY, TEST_CHROMOSOMES, model_file
from model_core.errors import InputError
from model_core.run_folder.seen_genes import seen_by_chromosome
from seq2exp_viz.cli import app

FILES = {
    "README.md": b"card",
    "K562/soft_seed22.ckpt": b"soft twenty-two",
    "K562/soft_seed2.ckpt": b"soft two",
    "K562/hard.ckpt": b"hard",
    "GM12878/soft-a.ckpt": b"a",
    "GM12878/soft-b.ckpt": b"b",
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "0")  # what the code sets is taken back at the end
    with serve_hub() as server:
        server.repositories[REPOSITORY] = dict(FILES)
        server.repositories["someone/models"] = {"x.safetensors": b"other"}
        monkeypatch.setenv("HF_ENDPOINT", server.url())
        yield server


def test_a_name_is_the_file_of_the_lowest_seed_at_the_commit_of_the_listing(hub):
    model = model_file("soft-k562")
    assert model.path.read_bytes() == b"soft two"
    assert model.path.suffix == ".ckpt"
    assert (model.cell_type, model.variant, model.revision) == ("K562", "soft", "a" * 40)
    assert model.sha256 == hashlib.sha256(b"soft two").hexdigest()
    assert model.source == f"hf://{REPOSITORY}@{'a' * 40}/K562/soft_seed2.ckpt"
    assert "chr22 and chrX" in model.trained_on
    assert model_file("soft-k562-seed22").path.read_bytes() == b"soft twenty-two"


def test_no_token_is_sent_and_only_this_repository_is_asked_for(hub):
    model_file("hard-k562")
    assert hub.asked
    assert all("authorization" not in {name.lower() for name in headers} for *_, headers in hub.log)
    assert all(REPOSITORY in path for _, path, _ in hub.log)


@pytest.mark.parametrize("how", ["offline", "closed"])
def test_what_was_fetched_is_used_again_without_a_request(hub, how, monkeypatch):
    first = model_file("soft-k562")
    hub.commit = "b" * 40
    hub.asked.clear()
    assert model_file("soft-k562") == first
    assert hub.asked == []
    if how == "offline":
        monkeypatch.setenv("SEQ2EXP_OFFLINE", "1")
    else:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    assert model_file("soft-k562") == first


def test_a_name_that_fits_several_files_or_none_lists_them(hub):
    with pytest.raises(InputError, match=r"2 files for soft-gm12878, of: GM12878/soft-a\.ckpt, GM12878/soft-b\.ckpt"):
        model_file("soft-gm12878")
    with pytest.raises(InputError, match=r"no files for hard-h1, of: K562/soft_seed22\.ckpt"):
        model_file("hard-h1")
    with pytest.raises(InputError, match="one of soft-k562, hard-k562"):
        model_file("soft-hepg2")


def test_other_content_than_listed_is_deleted_and_the_next_call_goes_on(hub):
    hub.replaced["K562/hard.ckpt"] = b"evil"
    with pytest.raises(InputError, match=r"K562/hard\.ckpt.*other content"):
        model_file("hard-k562")
    hub.replaced.clear()
    assert model_file("hard-k562").path.read_bytes() == b"hard"


def test_a_name_that_no_file_fits_is_looked_for_in_archives_by_their_listings(hub):
    files = {"x/soft_seed3.ckpt": b"three" * 50_000, "x/soft_seed4.ckpt": b"four", "x/notes.txt": b"no model"}
    hub.repositories[REPOSITORY] |= {
        "H1.zip": zipped({f"H1/{name}": content for name, content in files.items()}),
        "H1-rest.tar.gz": b"\x1f\x8b" + bytes(900),
    }
    model = model_file("soft-h1")
    assert (model.name, model.cell_type, model.variant, model.revision) == ("soft-h1", "H1", "soft", "a" * 40)
    assert model.path.read_bytes() == b"three" * 50_000
    assert model.source == f"hf://{REPOSITORY}@{'a' * 40}/H1.zip!/H1/x/soft_seed3.ckpt"
    assert model_file(f"hf://{REPOSITORY}/H1.zip!/H1/x/soft_seed4.ckpt").path.read_bytes() == b"four"
    with pytest.raises(InputError, match=r"H1-rest\.tar\.gz: an archive that is compressed .* download of 902 bytes"):
        model_file("hard-h1")
    with pytest.raises(InputError, match=r"no none\.zip at commit"):
        model_file(f"hf://{REPOSITORY}/none.zip!/x")


def test_archives_are_not_asked_for_where_a_file_fits(hub):
    hub.repositories[REPOSITORY]["all.zip"] = zipped({"K562/soft_seed1.ckpt": b"one"})
    assert model_file("soft-k562").path.read_bytes() == b"soft two"
    assert not [asked for asked in hub.log if "all.zip" in asked.target]


def test_any_file_on_hugging_face_is_taken_by_address_and_any_path(hub, tmp_path):
    model = model_file("hf://someone/models/x.safetensors")
    assert model.path.read_bytes() == b"other"
    assert (model.cell_type, model.trained_on, model.test_chromosomes) == (None, "", ())
    assert model_file(f"hf://someone/models@{'a' * 40}/x.safetensors").sha256 == model.sha256
    (tmp_path / "y.ckpt").write_bytes(b"mine")
    assert model_file(tmp_path / "y.ckpt").sha256 == hashlib.sha256(b"mine").hexdigest()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("hf://someone/models/none.ckpt", r"no none\.ckpt at commit aaaaaaaaaaaa"),
        ("hf://nobody/models/x.ckpt", "nobody/models"),
        (f"hf://someone/models@{'c' * 40}/x.safetensors", "someone/models"),
        ("hf://someone", "USER/REPOSITORY/FILE"),
    ],
)
def test_what_is_not_there_is_one_message(hub, address, words):
    with pytest.raises(InputError, match=words) as caught:
        model_file(address)
    assert "hf_secret" not in str(caught.value)


@pytest.mark.parametrize("how", ["offline", "closed"])
def test_without_a_connection_names_are_listed_and_the_rest_is_said(hub, how, monkeypatch):
    if how == "offline":
        monkeypatch.setenv("SEQ2EXP_OFFLINE", "1")
    else:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(UnreachableHubError):
        model_file("soft-k562")
    shown = CliRunner().invoke(app, ["models"])
    assert shown.exit_code == 0
    assert "soft-gm12878" in shown.output
    assert "need a connection" in shown.output
    assert hub.asked == []


def test_the_list_has_commit_licence_size_and_what_is_ambiguous(hub):
    shown = CliRunner().invoke(app, ["models"]).output
    assert "licence: mit" in shown
    assert "a" * 40 in shown
    assert "K562/soft_seed2.ckpt" in shown
    assert "2 files for soft-gm12878" in shown
    hub.commit, hub.licence = "b" * 40, None
    assert "licence: not stated" in CliRunner().invoke(app, ["models", "--update"]).output


def test_genes_off_the_test_chromosomes_were_seen_in_training():
    chroms = ["chr1", "chr22", "X", "chrX", "22", "chr2"]
    assert seen_by_chromosome(chroms, TEST_CHROMOSOMES) == [True, False, False, False, False, True]
    assert seen_by_chromosome(chroms, None, ["2"]) == [False, False, False, False, False, True]
    assert seen_by_chromosome(chroms, None) == [None] * 6
