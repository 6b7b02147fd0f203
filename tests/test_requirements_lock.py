"""requirements.lock: complete, hashed, and the versions that the tests run with."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-built.lock", "requirements-torch-cpu.lock")


def pinned(name: str) -> dict[str, Requirement]:
    """Return package -> requirement of one lock file; every package has a hash."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        line, *hashes = entry.split(" \\\n")
        assert hashes, f"{name}: no hash for {line}"
        assert all(re.fullmatch(r"\s+--hash=sha256:[0-9a-f]{64}", item) for item in hashes), entry
        requirement = Requirement(line)
        found[canonicalize_name(requirement.name)] = requirement
    return found


@pytest.fixture(scope="module")
def locked() -> dict[str, Requirement]:
    return {package: found for name in LOCKS for package, found in pinned(name).items()}


def needed() -> set[str]:
    """Return all packages that the project with its extra `model` needs here, without torch's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["model"]]
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        found.add(name)
        for extra in {"", *requirement.extras} if name != "torch" else ():
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            lines = metadata.requires(requirement.name) or []
            others = [Requirement(line) for line in lines]
            waiting += [
                other for other in others if other.marker is None or other.marker.evaluate(environment={"extra": extra})
            ]
    return found


def test_every_package_that_the_project_needs_is_locked(locked):
    assert needed() - locked.keys() == set()


def test_each_lock_pins_one_version(locked):
    for requirement in locked.values():
        (only,) = requirement.specifier
        assert only.operator == "==", requirement


def test_locked_versions_are_those_of_the_tests(locked):
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line}
    versions = {name: next(iter(requirement.specifier)).version.split("+")[0] for name, requirement in locked.items()}
    assert {name: versions[name] for name in versions.keys() & tested.keys()} == {
        name: tested[name] for name in versions.keys() & tested.keys()
    }


def test_locks_name_no_server():
    for name in LOCKS:
        assert "://" not in (ROOT / name).read_text(encoding="utf-8")
