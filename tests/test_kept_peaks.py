"""Parsed peaks come from the cache the second time, of a study and of a run; the run's are written once."""

import gzip

import numpy as np
import pandas as pd
import pytest

from model_core import bed, kept_tables
from model_core.bed import read_narrowpeak
from model_core.errors import InputError
from model_core.kept_peaks import PEAKS, parsed_peaks

LINES = [
    "chr2\t500\t700\tb\t1500\t.\t8.25\t-1\t.\t3\n",
    "chr1\t100\t300\tä peak\t7\t+\t0.1\t2\tinf\t-1\n",
    "chr1\t100\t300\t\t.\t-\t1e-3\t2\t3\t199\n",
]


@pytest.fixture
def peaks(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_tables, "_LONG", 0.0)
    path = tmp_path / "called.bed.gz"
    path.write_bytes(gzip.compress("".join(LINES).encode()))
    return path


@pytest.fixture
def parses(monkeypatch):
    """Paths that were parsed."""
    seen = []
    monkeypatch.setattr(bed, "read_narrowpeak", lambda path: seen.append(path) or read_narrowpeak(path))
    return seen


def test_kept_peaks_are_those_of_the_file_in_values_types_and_order(peaks, parses):
    first, second = parsed_peaks(peaks), parsed_peaks(peaks)
    assert parses == [peaks]
    for table in (first, second):
        pd.testing.assert_frame_equal(table, read_narrowpeak(peaks), check_index_type="exact")
    assert second["name"].tolist() == ["ä peak", "", "b"]
    second.loc[0, "summit"] = 5  # a table of one's own
    pd.testing.assert_frame_equal(parsed_peaks(peaks), first)


def test_no_peaks_and_errors_are_as_without_a_cache(peaks, tmp_path):
    empty = tmp_path / "empty.narrowPeak"
    empty.write_text("")
    for _ in range(2):
        pd.testing.assert_frame_equal(parsed_peaks(empty), read_narrowpeak(empty))
    peaks.write_bytes(gzip.compress(b"chr1\t9\t5\ta\t0\t.\t1\t1\t1\t0\n"))
    for _ in range(2):
        with pytest.raises(InputError, match=r"line 1: found start 9 after end 5"):
            parsed_peaks(peaks)
    with pytest.raises(InputError, match="no such file"):
        parsed_peaks(tmp_path / "missing.narrowPeak")


def test_another_file_or_another_reader_is_parsed_anew(peaks, parses, monkeypatch):
    parsed_peaks(peaks)
    peaks.write_bytes(gzip.compress(LINES[0].encode()))
    assert len(parsed_peaks(peaks)) == 1
    monkeypatch.setattr(kept_tables, "_digest", lambda *files: "later")
    parsed_peaks(peaks)
    assert len(parses) == 3


def test_damaged_tables_are_never_used(peaks, tmp_path, parses):
    whole = parsed_peaks(peaks)
    (place,) = (tmp_path / "cache" / PEAKS.folder).iterdir()
    content, rng = place.read_bytes(), np.random.default_rng(17)
    for at in rng.integers(0, len(content), 20):
        place.write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.integers(8)]) + content[at + 1 :])
        pd.testing.assert_frame_equal(parsed_peaks(peaks), whole)
    assert len(parses) > 1
