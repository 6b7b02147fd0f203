"""What tells one state of a file from another."""

import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.fingerprint import PIECE, PIECES, fingerprint

LARGE = 2 * PIECES * PIECE


def put(path, content):
    """Write a file with the length of any other of these and a time that tells nothing."""
    path.write_bytes(content)
    os.utime(path, (1, 1))
    return fingerprint(path)


@given(st.binary(min_size=1, max_size=64), st.binary(min_size=1, max_size=64))
def test_two_contents_of_one_length_and_time_differ(tmp_path_factory, one, other):
    path = tmp_path_factory.getbasetemp() / "state"
    other = other[: len(one)].ljust(len(one), b"\0")
    assert (put(path, one) == put(path, other)) == (one == other)


@pytest.mark.parametrize("place", [0, 1, PIECE - 1, LARGE // 2, LARGE - 1])
def test_what_differs_from_some_byte_on_differs_in_a_large_file(tmp_path, place):
    content = bytearray(np.random.default_rng(0).bytes(LARGE))
    before = put(tmp_path / "a", content)
    content[place:] = content[place:][::-1] if place < LARGE - 1 else b"?"
    assert put(tmp_path / "a", content) != before


def test_a_copy_that_keeps_its_time_is_the_same_and_a_touched_file_another(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    shutil.copy2(tmp_path / "a", tmp_path / "b")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    os.utime(tmp_path / "b", (1, 1))
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        fingerprint(tmp_path / "none")
