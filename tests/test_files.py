"""Files that a killed writer leaves whole: lines of JSON, and the lock that their writers hold."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.files import append_json_line, cut_torn_line, whole_lines
from model_core.lock import Lock


@given(rows=st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), max_size=5), cut=st.integers(1))
def test_what_is_left_of_a_torn_file_are_the_lines_before_the_tear(tmp_path_factory, rows, cut):
    path = tmp_path_factory.getbasetemp() / "rows.jsonl"
    path.unlink(missing_ok=True)
    for row in rows:
        append_json_line(path, row)
    assert [json.loads(line) for line in whole_lines(path)] == rows
    if rows:
        content = path.read_bytes()
        kept = content[: max(0, len(content) - cut)]
        path.write_bytes(kept)
        left = [json.loads(line) for line in whole_lines(path)]
        assert left == rows[: kept.count(b"\n")]
        cut_torn_line(path)
        append_json_line(path, {"next": 1})
        assert [json.loads(line) for line in whole_lines(path)] == [*left, {"next": 1}]


def test_a_long_torn_line_is_cut_to_the_byte(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"{}\n" + b"x" * 200_000)
    cut_torn_line(path)
    assert path.read_bytes() == b"{}\n"
    path.write_bytes(b"x" * 200_000)
    cut_torn_line(path)
    assert path.read_bytes() == b""
    cut_torn_line(tmp_path / "none.jsonl")
    assert list(whole_lines(tmp_path / "none.jsonl")) == []


def test_a_line_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    append_json_line(path, {"a": 1})

    def full(handle):
        raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match="JSON"):
        append_json_line(path, {"a": math.nan})
    monkeypatch.setattr("model_core.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        append_json_line(path, {"a": 2})
    assert path.read_text() == '{"a": 1}\n'


def test_a_lock_is_given_back_waited_for_and_not_looked_for_where_no_folder_is(tmp_path):
    with Lock(tmp_path / "lock").held():
        assert (tmp_path / "lock").exists()
        with pytest.raises(InputError, match="another writer"), Lock(tmp_path / "lock").held(0.1):
            pass
    assert not (tmp_path / "lock").exists()
    with pytest.raises(FileNotFoundError), Lock(tmp_path / "nowhere" / "lock").held(60):
        pass
