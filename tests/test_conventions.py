"""What holds for the whole project: who may import whom, and what must start without torch."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
VIEWER_ONLY = {"dash", "dash_ag_grid", "dash_mantine_components", "flask", "plotly", "waitress", "seq2exp_viz"}


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_model_core_never_imports_the_viewer():
    offenders = {str(p.relative_to(ROOT)): imported(p) & VIEWER_ONLY for p in (ROOT / "model_core").rglob("*.py")}
    assert {path: names for path, names in offenders.items() if names} == {}


# The last two are rooms for what comes (docs/architecture.md).
TORCH_PACKAGES = ("model", "training", "scoring", "perturbation", "motifs", "variants")


def test_only_the_model_and_what_runs_it_import_torch():
    allowed = tuple(f"model_core/{package}/" for package in TORCH_PACKAGES)
    for path in [*(ROOT / "model_core").rglob("*.py"), *(ROOT / "seq2exp_viz").rglob("*.py")]:
        place = str(path.relative_to(ROOT))
        assert not (imported(path) & {"torch", "lightning", "numba", "triton"}) or place.startswith(allowed), place


@pytest.mark.parametrize(
    "module",
    ["model_core", "model_core.run_folder.run", "model_core.study.study", "seq2exp_viz.app", "seq2exp_viz.cli"],
)
def test_viewing_starts_without_torch(module):
    heavy = {"torch", "lightning", "numba", "triton", "hictkpy"}
    code = f"import sys, {module}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_model_runs_with_numpy_and_torch_alone():
    """On a bare GPU machine: no numba, no pandas, no safetensors."""
    code = """
import sys
for name in ("numba", "triton", "pandas", "safetensors", "lightning", "pydantic", "zarr", "scipy"):
    sys.modules[name] = None
import numpy as np
from model_core.config import recipe
from model_core.model.seq2exp import Seq2Exp
model = Seq2Exp(recipe("soft", window=64, promoter=8, d_model=8, n_layers=1))
out = model.score(np.zeros((1, 64, 4)), np.zeros((1, 64, 3)), np.zeros((1, 9)))
assert np.isfinite(out.expression).all()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("package", "above"),
    [
        ("worker", ("runs", "reports", "api", "page", "app", "serve", "wsgi", "cli")),
        ("serving", ("runs", "reports", "api", "page", "app", "serve", "wsgi", "cli")),
        ("runs", ("reports", "api", "page", "app", "serve", "wsgi", "cli")),
        ("reports", ("api", "page", "app", "serve", "wsgi", "cli")),
        ("api", ("page", "app", "serve", "wsgi", "cli")),
        ("page", ("app", "serve", "wsgi", "cli")),
        ("widget", ("app", "serve", "wsgi", "cli")),
        ("client", ("runs", "reports", "api", "page", "app", "serve", "wsgi", "cli")),
        ("cluster", ("api", "page", "app", "serve", "wsgi", "cli")),
    ],
)
def test_the_viewers_packages_stand_on_each_other_one_way(package, above):
    for path in (ROOT / "seq2exp_viz" / package).rglob("*.py"):
        lines = re.findall(r"^ *from seq2exp_viz\.(\w+)", path.read_text(), re.M)
        assert not set(lines) & set(above), path


def needed() -> dict[str, set[str]]:
    """The modules of model_core that each of them imports, wherever in the file the import stands."""
    paths = {}
    for path in (ROOT / "model_core").rglob("*.py"):
        paths[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    graph = {name: set() for name in paths}
    for name, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names} & set(paths)
            elif isinstance(node, ast.ImportFrom) and node.module:
                both = [f"{node.module}.{alias.name}" for alias in node.names]
                graph[name] |= {module if module in paths else node.module for module in both} & set(paths)
        graph[name].discard(name)
    return graph


def test_no_module_of_the_core_needs_itself_through_others():
    list(graphlib.TopologicalSorter(needed()).static_order())  # CycleError names the circle


def test_the_packages_of_the_core_stand_on_each_other_one_way():
    packages: dict[str, set[str]] = {}
    for name, modules in needed().items():
        package = ".".join(name.split(".")[:2])
        packages.setdefault(package, set()).update({".".join(module.split(".")[:2]) for module in modules} - {package})
    assert "model_core.study" in packages["model_core.training"]
    list(graphlib.TopologicalSorter(packages).static_order())


REFUSED_VERSIONS = {  # package -> versions that SECURITY.md refuses; the pinned one must be allowed
    "torch": ["2.9.1", "2.6.0"],
    "lightning": ["2.6.2", "2.6.3"],
    "werkzeug": ["3.1.4"],
    "waitress": ["3.0.1"],
}


@pytest.mark.parametrize("package", REFUSED_VERSIONS)
def test_versions_with_known_security_faults_cannot_be_installed(package):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*settings["dependencies"], *settings["optional-dependencies"]["model"]]
    allowed = {(need := Requirement(line)).name.lower(): need.specifier for line in declared}
    pinned = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    assert [version for version in REFUSED_VERSIONS[package] if version in allowed[package]] == []
    assert pinned[package] in allowed[package]
    assert f"| {package} |" in (ROOT / "SECURITY.md").read_text()


def test_folders_are_looked_through_in_one_place_where_strays_are_known():
    looks = re.compile(r"\.(r?glob|iterdir)\(|\b(listdir|scandir)\(|\bos\.walk\(|^import glob", re.M)
    spared = {"model_core/listing.py", "seq2exp_viz/serving/vendor.py"}  # the latter runs before the package is there
    for path in [*(ROOT / "model_core").rglob("*.py"), *(ROOT / "seq2exp_viz").rglob("*.py")]:
        if path.relative_to(ROOT).as_posix() not in spared:
            assert not looks.search(path.read_text(encoding="utf-8")), path


def test_every_package_that_is_imported_is_declared():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {Requirement(line).name.lower().replace("-", "_") for line in settings["dependencies"]}
    model = {Requirement(line).name.lower().replace("-", "_") for line in settings["optional-dependencies"]["model"]}
    # Packages that another one brings and whose names belong to its interface.
    brought = {"IPython": "igv_notebook", "triton": "torch", "llvmlite": "numba", "urllib3": "requests"}
    brought["sklearn"] = "scikit_learn"  # called otherwise when it is installed
    for path in [*(ROOT / "model_core").rglob("*.py"), *(ROOT / "seq2exp_viz").rglob("*.py")]:
        names = imported(path) - set(sys.stdlib_module_names) - {"model_core", "seq2exp_viz"}
        unknown = {name for name in names if brought.get(name, name).lower() not in declared | model}
        assert unknown == set(), path


def test_every_public_name_is_there():
    import model_core
    import seq2exp_viz

    for package in (model_core, seq2exp_viz):
        for name in package.__all__:
            assert getattr(package, name), f"{package.__name__}.{name}"
