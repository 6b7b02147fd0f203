"""Commands that are killed at random moments lose nothing that they promised, and end with the same bytes."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MORE = float(os.environ.get("SEQ2EXP_TORTURE", "1"))  # how many times as long the nightly tests look


def run(program: str, *options: str) -> str:
    """The words of a program of tests/torture, in a process of its own."""
    command = [sys.executable, "-m", f"tests.torture.{program}", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def test_a_scoring_that_is_killed_goes_on_without_loss():
    words = run("kills", "--command", "score", "--kills", "2", "--seed", "16")
    assert "2 signals" in words


@pytest.mark.nightly
@pytest.mark.parametrize("command", ["score", "effects", "train"])
def test_a_command_that_is_killed_at_random_moments_ends_with_the_same_bytes(command):
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}")
    run("kills", "--command", command, "--kills", str(round(30 * MORE)), "--seed", str(seed))


@pytest.mark.nightly
@pytest.mark.parametrize("command", ["score", "train"])
def test_several_processes_that_are_killed_at_random_moments_end_with_the_same_files(command):
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}")
    run("kills", "--command", command, "--processes", "2", "--kills", str(round(8 * MORE)), "--seed", str(seed))
