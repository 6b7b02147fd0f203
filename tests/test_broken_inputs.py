"""Broken files of every kind that the program reads are refused in words, or read as the whole ones."""

import json
import os
import pickle
import random
import secrets
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from torture.broken_inputs import KINDS
from torture.mutations import CALLING, bytes_mutations, jsonl_mutations

ROOT = Path(__file__).parents[1]
MORE = float(os.environ.get("SEQ2EXP_TORTURE", "1"))  # how many times as long the nightly tests look

EVERY_CHANGE = (  # one kind of file for each way of reading; the nightly tests have all
    *("study.toml", "GTF", "bigWig", "BAM", "cool", "manifest.json", "scores.jsonl", "elements.bed"),
    *("chunk of masks", "chunk of effects", "released .ckpt", "own BED", "own bigWig"),
)


def broken(tmp_path: Path, *options: str) -> list[dict]:
    """The results of the program, in a process of its own: its children must not inherit pytest's threads."""
    command = [sys.executable, "-m", "tests.torture.broken_inputs", "--json", tmp_path / "results.json", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout)
    assert (tmp_path / "results.json").exists(), done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert not done.returncode, done.stdout
    return results


def test_broken_files_are_refused_in_words_or_read_as_before(tmp_path):
    kinds = [word for kind in EVERY_CHANGE for word in ("--kind", kind)]
    results = broken(tmp_path, "--count", "1", "--readers", "1", "--seed", "16", *kinds)
    assert {result["kind"] for result in results} == set(EVERY_CHANGE) <= set(KINDS)
    assert {"refused", "as the whole file"} <= {result["verdict"] for result in results}


@pytest.mark.nightly
@pytest.mark.parametrize("shard", [0, 1])
def test_random_broken_files_of_each_kind_are_refused_in_words_or_read_as_before(tmp_path, shard):
    seed, names = secrets.randbelow(10**6), list(KINDS)[shard::2]
    print(f"seed {seed}")
    kinds = [word for name in names for word in ("--kind", name)]
    results = broken(tmp_path, "--count", str(round(12 * MORE)), "--seed", str(seed), *kinds)
    assert {result["kind"] for result in results} == set(names)


def test_the_same_seed_breaks_the_same_files():
    whole = bytes(range(256)) * 9
    first, again, other = (list(islice(bytes_mutations(whole, random.Random(seed)), 40)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_value_of_another_type_is_no_other_valid_file():
    made = list(islice(jsonl_mutations(b'{"row": 0, "symbol": "MYC"}\n', random.Random(1)), 300))
    of_row = {mutation.words: mutation.valid for mutation in made if "row = " in mutation.words}
    assert of_row["line 1: row = '-1' (int)"]
    assert not of_row["line 1: row = 'x' (str)"]
    assert not of_row["line 1: row = 'True' (bool)"]


def test_the_hostile_pickle_would_call_a_function(capsys):
    pickle.loads(CALLING)
    assert capsys.readouterr().out == "this pickle was carried out\n"


WRONG = """
import os, sys, time
from pathlib import Path
from tests.torture import forked

def refuses(): print("error: found x"); sys.exit(2)
def refuses_without_a_word(): sys.exit(2)
def fails(): print("oh"); sys.exit(1)
def raises(): raise ValueError("x")
def aborts(): os.abort()
def never_ends(): time.sleep(600)
def swallows(): print("Traceback (most recent call last):"); return {}
def answers(): return {"a": b"x"}

for action in (refuses, refuses_without_a_word, fails, raises, aborts, never_ends, swallows, answers):
    print(action.__name__, forked.run(action, Path(sys.argv[1]), seconds=1).fault)
"""


def test_what_a_program_must_never_do_is_found(tmp_path):
    command = [sys.executable, "-c", WRONG, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert found.pop("never_ends").startswith("still running after")
    assert found == {
        "refuses": "None",
        "refuses_without_a_word": "exit code 2 without a word",
        "fails": "exit code 1: oh",
        "raises": "traceback, exit code 1: ValueError: x",
        "aborts": "ended by SIGABRT",
        "swallows": "traceback, exit code 0: Traceback (most recent call last):",
        "answers": "None",
    }
