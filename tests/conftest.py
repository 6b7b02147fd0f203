"""Fixtures shared by all tests: where the real data and the golden numbers are."""

import os
from pathlib import Path

import pytest

from model_core import cache

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
SHARED = Path(os.environ.get("SEQ2EXP_SHARED", Path(__file__).parents[1] / ".." / "shared")).resolve()


def _shared(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"needs the shared data in {path} (set SEQ2EXP_SHARED to the folder that holds data/ and golden/)")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real human data (K562, chromosome 22)."""
    return _shared("data/k562-chr22")


@pytest.fixture(scope="session")
def shared_pairs() -> Path:
    """Folder of element-gene pairs that CRISPR tested in K562, and of predictions for them."""
    return _shared("data/crispr-k562")


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """Folder of numbers recorded from the published model."""
    return _shared("golden")


def pytest_make_parametrize_id(val):
    """Bytes are named by their length: what gzip writes holds the time, and parallel workers must agree on names."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def no_notices_of_other_tests(monkeypatch):
    """Notices about caches are kept for the whole process, and pages list them: each test begins without any."""
    monkeypatch.setattr(cache, "_notices", {})
