"""What the data folder and the cache keep for a user: studies, models and runs stay; the cache is shown and cleared."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from model_run import lively
from range_server import RangeServer, serve_files, serve_ranges
from test_known_models import hub  # noqa: F401  a fixture
from typer.testing import CliRunner
from viewer_run import make_study

from model_core.datasets import kept
from model_core.datasets.encode import UnansweredError
from model_core.datasets.known_models import REPOSITORY, ModelFile, model_file, model_for
from model_core.errors import InputError
from model_core.model.checkpoint import save_checkpoint
from model_core.remote import session, whole_files
from model_core.remote.address import RemotePath
from model_core.remote.block_store import BlockStore, State, stored
from model_core.remote.remote_file import RemoteFile
from model_core.remote.whole_files import local_copy
from model_core.scoring.one_gene import prepare_genes
from model_core.study.study import load_study
from seq2exp_viz import cli


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    whole_files.forget()
    return tmp_path / "data"


@pytest.fixture
def places(data_folder, monkeypatch):
    """A server with two files, both of which are held: one by blocks, one whole."""
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)
    content = {"/a.example/signal.bigWig": bytes(300_000), "/b.example/genes.gtf": b"genes\n" * 1_000}
    with serve_ranges(content) as server:
        monkeypatch.setenv("SEQ2EXP_MIRROR", server.url(""))
        RemoteFile(RemotePath("https://a.example/signal.bigWig")).read_at(70_000, 10)
        local_copy(RemotePath("https://b.example/genes.gtf"))
        yield server


def told(*words):
    done = CliRunner().invoke(cli.app, ["cache", *words])
    assert done.exit_code == 0, done.output
    return done.output


# ---- the data folder


def write_study(cell_type, folder, tell, whole):
    assert whole
    tell(cell_type)
    (folder / "sources.json").write_text("{}")
    (folder / "study.toml").write_text("schema = 1\n")


def test_a_study_is_written_once_for_all_spellings_and_processes(data_folder, monkeypatch):
    monkeypatch.setattr(kept, "study_of_cell", write_study)
    lines = []
    with ThreadPoolExecutor() as threads:
        paths = set(threads.map(lambda cell: kept.kept_study(cell, lines.append), ["K562", "k562"] * 4))
    assert paths == {data_folder / "studies" / "K562" / "study.toml"}
    assert lines.count("K562") + lines.count("k562") == 1
    assert kept.kept_study("Hep G2", lines.append).parent.name == "hep-g2"


def test_a_study_whose_writing_was_cut_off_is_written_again(data_folder, monkeypatch):
    monkeypatch.setattr(kept, "study_of_cell", write_study)
    (data_folder / "studies" / "K562").mkdir(parents=True)
    (data_folder / "studies" / "K562" / "sources.json").write_text("{")
    assert kept.kept_study("K562", lambda line: None).read_text() == "schema = 1\n"


def test_a_study_that_encode_was_not_asked_about_is_not_kept(data_folder, monkeypatch):
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)
    portal = RangeServer()
    portal.fault = lambda path: "html"  # a network that wants a sign-in
    with serve_files(portal) as server:
        monkeypatch.setenv("SEQ2EXP_MIRROR", server.url(""))
        with pytest.raises(UnansweredError):
            kept.kept_study("K562", lambda line: None)
    assert not (data_folder / "studies" / "K562").exists()


@pytest.mark.parametrize("cell_type", ["../..", "", "///", "\n"])
def test_no_name_leads_out_of_the_data_folder(data_folder, cell_type):
    with pytest.raises(InputError, match="expected letters or digits"):
        kept.kept_study(cell_type)


def test_a_run_folder_has_the_names_of_study_and_model_and_stays_in_the_data_folder(data_folder):
    assert kept.kept_run("k562-hg38", "soft-k562") == data_folder / "runs" / "k562-hg38-soft-k562"
    assert kept.kept_run("k562-hg38", "../../x.ckpt").parent == data_folder / "runs"


def test_a_fetched_model_outlives_the_cache_and_a_local_one_is_taken_where_it_is(hub, data_folder, tmp_path):  # noqa: F811  the fixture
    fetched = model_file("soft-k562")
    path = kept.kept_model(fetched)
    told("--clear")
    assert not fetched.path.exists()
    assert path.read_bytes() == b"soft two"
    assert kept.kept_model(fetched) == path
    own = tmp_path / "own.ckpt"
    own.write_bytes(b"own")
    assert kept.kept_model(ModelFile(own, "own.ckpt", str(own))) == own


# ---- the model of a cell type


@pytest.mark.parametrize(
    ("cell_type", "asked", "name"),
    [
        ("K562", "soft", "soft-k562"),
        ("k562", "HARD", "hard-k562"),
        ("GM12878", "soft", "soft-gm12878"),
        ("GM12878", "hard", "hard-k562"),  # none was released
        ("HepG2", None, "soft-k562"),
        ("HepG2", "hf://someone/models/x.safetensors", "hf://someone/models/x.safetensors"),
        ("K562", "soft-k562-seed22", "soft-k562-seed22"),
    ],
)
def test_soft_and_hard_are_the_models_of_the_cell_type_or_of_k562(hub, cell_type, asked, name):  # noqa: F811  the fixture
    assert model_for(cell_type, asked) == name


# ---- a scoring that was cut off


def test_a_scoring_that_ended_before_its_tables_were_derived_is_completed(tmp_path):
    study = load_study(make_study(tmp_path / "study"))
    signals = [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs]
    metadata = {"feature_scale": study.feature_scale().to_dict(), "signals": signals, "signal_quantiles": {}}
    weights = tmp_path / "model.safetensors"
    save_checkpoint(weights, lively(study.config(d_model=8, n_layers=1, apply="gate"), 3), metadata)
    run, first = prepare_genes(tmp_path / "run", study, weights, ["MYC"], device="cpu")
    run.update(assembled=None)
    (run.path / "genes.tsv").unlink()
    _, again = prepare_genes(tmp_path / "run", study, weights, ["MYC"], device="cpu")
    assert again == first


# ---- the cache


def test_the_cache_is_shown_by_file_with_what_is_held_of_it(places):
    shown = told()
    assert "131 kB of 300 kB  https://a.example/signal.bigWig" in shown
    assert "6.0 kB  https://b.example/genes.gtf" in shown
    assert "b.example" not in told("a.example")


def test_clearing_removes_what_is_shown_and_the_next_read_brings_it_back(places):
    assert "removed 131 kB" in told("a.example", "--clear")
    assert "a.example" not in told()
    assert "b.example" in told()
    file = RemoteFile(RemotePath("https://a.example/signal.bigWig"))
    assert file.read_at(70_000, 10) == bytes(10)
    told("--clear")
    assert not stored()
    assert not whole_files.kept_files()
    assert file.read_at(200_000, 10) == bytes(10)  # a reader that was open all the while
    assert [entry.held for entry in stored()] == [65_540]
    assert local_copy(RemotePath("https://b.example/genes.gtf")).read_bytes() == b"genes\n" * 1_000


def test_parsed_tables_are_shown_and_cleared_with_all_the_rest_only(places, tmp_path):
    folder, peaks = tmp_path / "cache" / "annotations", tmp_path / "cache" / "peaks"
    for place in (folder, peaks):
        place.mkdir()
        (place / "0a.npz").write_bytes(bytes(2_000))
    (tmp_path / "cache" / "genes-1b.npz").write_bytes(bytes(2_000))
    assert "2.0 kB  a parsed annotation, 0a.npz" in told()
    assert "0a.npz" not in told("a.example", "--clear")
    assert "2.0 kB  parsed peaks, 0a.npz" in told()
    assert "removed 12 kB" in told("--clear")  # with the whole file
    assert not list(folder.iterdir())
    assert not list(peaks.iterdir())


def test_a_block_is_kept_although_another_process_clears_the_cache_at_that_moment(data_folder, monkeypatch):
    store = BlockStore("https://a.example/x", State(10, "tag"))
    store.write(0, bytes(10))
    put, tries = BlockStore._put, []

    def cleared_meanwhile(self, temporary, path, block):
        if not tries:
            tries.append(path)
            self.remove()
            raise FileNotFoundError(2, "gone", str(temporary))
        put(self, temporary, path, block)

    monkeypatch.setattr(BlockStore, "_put", cleared_meanwhile)
    assert store.write(0, bytes(10))
    assert store.read(0) == bytes(10)


def test_a_listing_of_a_repository_is_kept_apart_from_its_files(hub, data_folder):  # noqa: F811  the fixture
    model_file("soft-k562")
    assert f"hf://{REPOSITORY}@{'a' * 40}/K562/soft_seed2.ckpt" in told()
