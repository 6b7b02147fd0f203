"""Programs that a test needs beside the packages: where one is missing it is skipped with words, under CI it fails."""

import os
import shutil
import subprocess

import pytest


def missing(words: str) -> None:
    """Skip with a reason, or fail where CI=true: there everything must be present."""
    if os.environ.get("CI") == "true":
        pytest.fail(words)
    pytest.skip(words)


def bedtools(*words) -> str:
    """What bedtools prints."""
    if shutil.which("bedtools") is None:
        missing("needs bedtools: `apt-get install bedtools`")
    done = subprocess.run(["bedtools", *map(str, words)], capture_output=True, text=True, check=True)
    assert done.stderr == ""  # no complaint about the file
    return done.stdout
