"""Checkpoints and pickles from strangers: each is refused in words, in little memory, before anything large is made."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_files import KINDS, write_all

ROOT = Path(__file__).parents[1]
MOST_MB = 300  # by which the process may grow


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Return name of the file in words -> (what was said of it, MB by which the process grew), and modules."""
    folder = tmp_path_factory.mktemp("hostile")
    names = {path.name: words for words, path in write_all(folder)}
    here = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, str(ROOT / "tests" / "hostile_files.py"), str(folder)]
    done = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": here}, capture_output=True, text=True, timeout=300, cwd=folder.parent
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return {names[name]: result for name, result in found["files"].items()}, found["modules"]


def test_every_hostile_file_is_refused_in_one_message(said):
    files, _ = said
    assert len(files) == sum(map(len, KINDS.values()))
    wrong = {name: words for name, (words, _) in files.items() if not words.startswith("refused: ")}
    assert not wrong
    for name, (words, _) in files.items():
        assert "found" in words, name
        assert "expected" in words, name
        assert len(words) < 1500, name


def test_refusing_them_takes_little_memory(said):
    files, _ = said
    most = max(grown for _, grown in files.values())
    assert most < MOST_MB, {name: grown for name, (_, grown) in files.items()}


def test_a_model_without_memory_does_not_import_the_compiler(said):
    assert said[1] == []
