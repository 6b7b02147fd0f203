"""A gene of public files, end to end, against a stand-in for the public places: mask, traffic, offline use, faults."""

import gzip
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.file_download
import huggingface_hub.utils._http
import pytest
from gene_command import gene_words, score_gene, small_checkpoint, study_file
from public_world import ENTRIES, FILES, MODELS, make_world, serve_world

from model_core.remote import remote_file, session
from model_core.remote.block_store import BLOCK

GENE, SECOND = "TRIOBP", "LARGE1"  # 4 Mb apart
PLACE = 37_746_233  # of the first
USES = (*FILES, *(entry.use for entry in ENTRIES), "checkpoint")
RANGED = ("sequence", "h3k27ac", "dnase", "hic")
BUDGETS = {"sequence": 500_000, "h3k27ac": 2_000_000, "dnase": 2_000_000, "hic": 6_000_000}  # bytes of a window
REQUESTS = {"sequence": 8, "h3k27ac": 10, "dnase": 10, "hic": 10}
WINDOW = 10_000  # bp of the model of tests that look at failures


@pytest.fixture(scope="module")
def made(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return make_world(shared_data, folder, small_checkpoint(folder / "soft.ckpt"))


@pytest.fixture(scope="module")
def few(made, tmp_path_factory):
    """The world with the annotation and the peaks of one megabase, and a model of a small window."""
    folder = tmp_path_factory.mktemp("few")
    ours = {"annotation": folder / "genes.gtf.gz", "peaks": folder / "peaks.narrowPeak.gz"}
    for use, (first, last) in {"annotation": (3, 4), "peaks": (1, 2)}.items():
        lines = gzip.decompress(made[use].read_bytes()).decode().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("#") and _near(line.split("\t"), first, last)]
        ours[use].write_bytes(gzip.compress("".join(kept).encode(), mtime=0))
    return {**made, **ours, "checkpoint": small_checkpoint(folder / "soft.ckpt", WINDOW)}


def _near(fields, first, last):
    return abs(int(fields[first]) - PLACE) < 500_000 and abs(int(fields[last]) - PLACE) < 500_000


@pytest.fixture
def places(monkeypatch, tmp_path):
    """Point the program at a world, with an empty cache in tmp_path."""
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(session, "first_pause", lambda: 0.0)

    def point(world):
        for name, value in world.environment().items():
            monkeypatch.setenv(name, value)
        return world

    monkeypatch.delenv("SEQ2EXP_OFFLINE", raising=False)
    return point


def masks(run: Path) -> dict[str, bytes]:
    """Every file of the masks of a run, and of the track that is made of them."""
    files = sorted(path for path in (run / "masks.zarr").rglob("*") if path.is_file())
    return {str(path.relative_to(run)): path.read_bytes() for path in (*files, run / "tracks" / "mask.bigWig")}


def named(text: str, made, world, use: str) -> str:
    """A study with a local file in place of an address."""
    return text.replace(f'"{world.address(use)}"', json.dumps(str(made[use])))


def require_whole(cache: Path, world) -> int:
    """Check that all that the cache holds are whole blocks and whole files of the server; return how many."""
    content = {world.address(use): world.content[world.path(use)] for use in USES if use != "checkpoint"}
    count = 0
    for folder in (cache / "blocks").iterdir() if (cache / "blocks").is_dir() else ():
        stored = content.get(json.loads((folder / "file.json").read_text())["address"])
        if stored is None:
            continue
        for path in folder.iterdir():
            if path.name != "file.json":
                start = int(path.name) * BLOCK  # a name of a temporary file is no number
                assert path.read_bytes()[:-4] == stored[start : start + BLOCK], path
                count += 1
    for folder in (cache / "files").iterdir() if (cache / "files").is_dir() else ():
        note = folder / "file.json"
        if note.exists():
            address = json.loads(note.read_text())["address"]
            if address in content:
                assert (folder / address.rpartition("/")[2]).read_bytes() == content[address]
                count += 1
    return count


def test_the_mask_of_addresses_is_that_of_local_files_a_second_gene_costs_its_window_and_offline_nothing_is_asked(
    made, places, tmp_path, monkeypatch
):
    with serve_world(made) as world:
        places(world)
        first = score_gene(tmp_path, GENE)
        assert first.code == 0, first.said
        paths = {use: world.path(use) for use in USES}
        for use in RANGED:
            assert 0 < world.sent[paths[use]] <= BUDGETS[use], use
            assert sum(path == paths[use] for path, _ in world.asked) <= REQUESTS[use], use
        for use in set(USES) - set(RANGED):  # once each, whole: a byte more is the question for the file's state
            assert world.sent[paths[use]] <= made[use].stat().st_size + 1, use
        assert require_whole(tmp_path / "cache", world) > 8

        local = tmp_path / "local"
        text = study_file(tmp_path).read_text()
        for use in USES[:-1]:
            text = named(text, made, world, use)
        assert "http" not in "".join(line for line in text.splitlines() if not line.startswith("#"))
        study_file(local).parent.mkdir(parents=True)
        study_file(local).write_text(text)
        asked = len(world.asked)
        answer = score_gene(local, GENE)
        assert answer.code == 0, answer.said
        assert len(world.asked) == asked
        assert masks(local / "run") == masks(tmp_path / "run")

        world.asked.clear()
        before = dict(world.sent)
        second = score_gene(tmp_path, SECOND)
        assert second.code == 0, second.said
        sent = {use: world.sent[paths[use]] - before[paths[use]] for use in USES}
        for use in set(USES) - set(RANGED):
            assert sent[use] <= 1, use  # whether it is still the same
        assert sum(sent.values()) < 1_000_000
        assert len(world.asked) < 30
        held = masks(tmp_path / "run")
        world.asked.clear()
        shutil.rmtree(tmp_path / "run")
        monkeypatch.setenv("SEQ2EXP_OFFLINE", "1")
        offline = score_gene(tmp_path, GENE, SECOND)
        assert offline.code == 0, offline.said
        assert world.asked == []
        assert masks(tmp_path / "run") == held
    monkeypatch.delenv("SEQ2EXP_OFFLINE")
    monkeypatch.setenv("SEQ2EXP_DATA", str(tmp_path / "data"))
    program = [sys.executable, "-c", "from seq2exp_viz.cli import main; main()"]
    done = subprocess.run([*program, *gene_words(tmp_path, GENE)[1:]], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "cannot be reached" in done.stderr
    assert f"{GENE}: predicted" in done.stdout
    assert masks(tmp_path / "run") == held


def named_as(world, use: str) -> str:
    return f"{MODELS}/{world.model}" if use == "checkpoint" else world.address(use)


# fault -> words of the message
FAULTS = {
    "slow": "timed out",
    "403": "403",
    "404": "404",
    "429": "429",
    "500": "500",
    "cut": "",
    "html": "",
    "to ftp://192.0.2.1/x": "ftp",
    "to file:///etc/passwd": "file:",
    "to http://10.0.0.1/x": "redirect to 10.0.0.1",
    "to http://127.0.0.2:9/x": "redirect to 127.0.0.2",
    "to http://169.254.169.254/x": "redirect to 169.254.169.254",
    "changed": "",
    "whole": "does not send ranges",
}
WHOLE = ("annotation", "peaks", "checkpoint")  # need no ranges


@pytest.fixture
def impatient(monkeypatch):
    """Wait for a fraction of a second where the program waits for seconds."""
    monkeypatch.setattr(session, "TIMEOUT", (0.3, 0.3))
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setattr(huggingface_hub.file_download.constants, name, 0.3)
    for module in (huggingface_hub.utils._http, huggingface_hub.file_download):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda seconds: None, time=time.time))


@pytest.mark.parametrize("use", ["sequence", "dnase", "hic", "annotation", "peaks", "checkpoint"])
def test_each_fault_of_a_place_is_one_message_and_the_same_command_goes_on(
    few, places, impatient, tmp_path, monkeypatch, use
):
    monkeypatch.setattr(remote_file, "WHOLE", 1_000)
    with serve_world(few) as world:
        places(world)
        world.patience = 0.5
        for fault, words in FAULTS.items():
            if fault == "whole" and use in WHOLE:
                continue
            world.faults = {world.path(use): fault}
            answer = score_gene(tmp_path, GENE)
            said = f"{use}, {fault}: {answer.said}"
            assert answer.code == 2, said
            assert answer.said.count("error:") == 1, said
            assert named_as(world, use) in said
            assert "127.0.0.1" in said.replace(str(world.port), "")  # the host that is asked
            assert words in said
            world.faults.clear()
            require_whole(tmp_path / "cache", world)
        world.faults.clear()
        answer = score_gene(tmp_path, GENE)
        assert answer.code == 0, answer.said
        assert require_whole(tmp_path / "cache", world)
