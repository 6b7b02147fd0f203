"""Public names are documented: each has an example that runs, and names its parameters and what it returns."""

import doctest
import inspect
import re
import shutil
import sys
from pathlib import Path

import pytest
from model_run import score_with
from viewer_run import make_study

import model_core
import seq2exp_viz
from model_core.study.study import load_study

SYMBOLS = ("MYC", "GATA1", "HBB", "BCR", "TP53", "MYC2")
SCORED = 4  # of the six genes; the example of `score` scores the rest
NAMES = [f"{package.__name__}.{name}" for package in (model_core, seq2exp_viz) for name in package.__all__]


def named(path: str) -> object:
    package, name = path.split(".")
    return getattr(sys.modules[package], name)


CALLED = [path for path in NAMES if callable(named(path))]


@pytest.fixture(scope="session")
def example_files(tmp_path_factory) -> Path:
    """The files that examples name: my-study, model.safetensors, and my-run, scored with it."""
    folder = tmp_path_factory.mktemp("examples")
    study = load_study(make_study(folder / "my-study", symbols=SYMBOLS))
    genes = study.genes().iloc[:SCORED]
    score_with(study, folder, genes, name="my-run", d_model=8, n_layers=1, apply="gate")
    return folder


@pytest.fixture
def beside_examples(example_files, tmp_path, monkeypatch) -> None:
    """A working directory with those files, and what `browse` needs of a notebook."""
    shutil.copytree(example_files, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)


def example_of(path: str) -> doctest.DocTest:
    """The example of a public name; that of a value which is no function or class stands in its package."""
    package = sys.modules[path.split(".")[0]]
    documented = named(path) if path in CALLED else package
    doc = inspect.cleandoc(documented.__doc__ or "")
    _, _, section = doc.partition("\nExamples\n--------\n")
    example = doctest.DocTestParser().get_doctest(section, {}, path, None, None)
    assert any(path in one.source or path.split(".")[1] in one.source for one in example.examples), f"{path}: none"
    return example


@pytest.mark.parametrize("path", NAMES)
def test_the_example_of_a_public_name_runs(path, beside_examples):
    example, failures = example_of(path), []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=failures.append)
    assert not failures, "".join(failures)


def sections(doc: str) -> dict[str, list[str]]:
    """Names of a docstring's numpydoc sections -> their lines."""
    parts = re.split(r"^(\w+)\n-{3,}\n", inspect.cleandoc(doc), flags=re.M)
    return {name: text.splitlines() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def described(doc: str) -> set[str]:
    """The parameters, or attributes, that a docstring describes: lines such as "low, high : float", "**settings"."""
    found = sections(doc)
    lines = [line for name in ("Parameters", "Attributes") for line in found.get(name, [])]
    heads = [line.partition(" :")[0] for line in lines if line and not line.startswith(" ")]
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


@pytest.mark.parametrize("path", CALLED)
def test_a_public_name_describes_each_of_its_parameters(path):
    public = named(path)
    parameters = set(getattr(public, "model_fields", None) or inspect.signature(public).parameters)
    assert parameters - described(public.__doc__) == set()


@pytest.mark.parametrize("path", [path for path in CALLED if not inspect.isclass(named(path))])
def test_a_public_function_describes_what_it_returns_and_raises(path):
    assert {"Returns", "Raises"} <= set(sections(named(path).__doc__))


def test_a_run_is_opened_by_one_function():
    assert seq2exp_viz.open_run is model_core.open_run
