"""Parts of a scoring on several processes: merged once, damaged ones named, foreign files left alone."""

import os
import shutil

import numpy as np
import pytest
from run_builder import gene_row, make_run, random_masks

from model_core import cache
from model_core.errors import InputError
from model_core.lock import Lock
from model_core.run_folder.run import MEANING, Run
from model_core.scoring.distributed import merge_parts

WINDOW = 2000


@pytest.fixture
def run(tmp_path):
    """A run with one gene, and two parts with one more each; the second left by a killed process."""
    run = make_run(tmp_path / "run", genes=1)
    meaning = {name: run.manifest[name] for name in MEANING if name != "decision"}
    for rank in (0, 1):
        part = Run.create(run.path / "parts" / str(rank), chrom_sizes=run.chrom_sizes, decision=run.decision, **meaning)
        rng = np.random.default_rng(rank)
        with part.writing():
            part.append({**gene_row(0, 3, WINDOW, rng), "gene_id": f"P{rank}"}, *random_masks(WINDOW, rng))
    (run.path / "parts" / "1" / "lock").write_text('{"pid": 1, "host": "elsewhere", "by": "flock"}')
    (run.path / "parts" / "1" / ".77.manifest.json").touch()
    return run


def merge(run):
    with run.writing():
        merge_parts(run, ["P1", "P0"])


def test_parts_are_merged_in_order_and_removed(run):
    (run.path / "parts" / "2").mkdir()
    (run.path / "parts" / "2" / "study.json").write_text("{}")  # its process was killed before it scored anything
    merge(run)
    assert list(run.scored) != []
    assert [record["gene_id"] for record in run._records().values()] == ["G0", "P1", "P0"]
    assert not (run.path / "parts").exists()
    merge(run)


def test_a_merge_that_was_killed_while_it_removed_a_part_is_repeated(run):
    part = run.path / "parts" / "0"
    merge_again = run.path.with_name("again")
    shutil.copytree(run.path, merge_again)
    merge(run)
    again = Run.open(merge_again)
    (merge_again / "parts" / "0" / "manifest.json").unlink()  # the first that is removed
    shutil.rmtree(merge_again / "parts" / "0" / "masks.zarr")
    merge(again)
    assert again.scored == {"G0", "P1"}
    assert not (merge_again / "parts").exists()
    assert not part.exists()


def test_a_damaged_part_is_named_and_nothing_is_removed(run):
    (run.path / "parts" / "0" / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"parts/0: its genes are then scored again"):
        merge(run)
    assert run.scored == {"G0"}
    assert sorted(os.listdir(run.path / "parts")) == ["0", "1"]
    shutil.rmtree(run.path / "parts" / "0")
    merge(run)
    assert run.scored == {"G0", "P1"}


def test_what_the_program_did_not_write_stays_and_is_told(run, capsys, monkeypatch):
    monkeypatch.setattr(cache, "_notices", {})
    (run.path / "parts" / "note.txt").write_text("mine")
    (run.path / "parts" / "0" / "thoughts.txt").write_text("mine, too")
    merge(run)
    assert run.scored == {"G0", "P0", "P1"}
    assert (run.path / "parts" / "note.txt").read_text() == "mine"
    assert os.listdir(run.path / "parts" / "0") == ["thoughts.txt"]
    told = capsys.readouterr().err
    assert "parts is kept, for it holds 'note.txt', which this program did not write" in told
    assert "parts/0 is kept, for it holds 'thoughts.txt'" in told


def test_a_part_that_an_orphan_still_writes_is_waited_for(run, monkeypatch):
    monkeypatch.setattr("model_core.scoring.distributed._ORPHAN_MAY_WRITE", 0.0)
    with Lock(run.path / "parts" / "1" / "lock").held(), pytest.raises(InputError, match="another writer"):
        merge(run)
    assert (run.path / "parts" / "1" / "manifest.json").exists()
    merge(run)
    assert run.scored == {"G0", "P0", "P1"}
