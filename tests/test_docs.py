"""The documentation holds: its links, its command lines and its list of routes are those of the program."""

import re
import shlex
import string
import sys
from pathlib import Path

import pytest
import typer
from viewer_run import make_study, make_viewer_run

from seq2exp_viz import cli
from seq2exp_viz.app import create_app
from seq2exp_viz.runs.registry import RunRegistry

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGES.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(r"[a-z]+:")  # https:, mailto:
FENCE = re.compile(r"^```.*?^```", re.M | re.S)
ROUTES = ("/api/v1/", "/data/", "/allowed/", "/igv.js")
PROBLEMS = sys.modules[
    typer.BadParameter.__module__
]  # click's exceptions; some versions of typer bring their own click
CATCH_ALL = re.compile(r"/<path:rest>$")  # what answers where there is nothing


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    kept = string.ascii_lowercase + string.digits + "-_ "
    return {"".join(letter for letter in text.lower() if letter in kept).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if ELSEWHERE.match(target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(found), target


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


def test_every_promise_names_a_test_that_is_there():
    promised = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    part = promised[promised.index("## What is promised") : promised.index("## What is not promised")]
    rows = [line.split("|") for line in part.splitlines() if line.startswith("| ")]
    promises = [(row[1].strip(), row[2]) for row in rows if row[1].strip() != "promise"]
    assert len(promises) > 20
    for promise, tests in promises:
        files = re.findall(r"`((?:browser/)?test_\w+)`", tests)
        assert files, promise
        assert [file for file in files if not (ROOT / "tests" / f"{file}.py").is_file()] == []


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 100


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_names_a_folder_outside_the_repository(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w./])(?:\.\./)+[\w./-]*\w", text):
        target = (page.parent / path).resolve()
        assert target.is_relative_to(ROOT), path
        assert target.exists(), path
    assert not re.search(r"(?<![\w.:/])/(home|root|Users)/", text)


SOURCES = [
    path
    for folder in ("model_core", "seq2exp_viz", "assets", "benchmarks", "scripts")
    for path in (ROOT / folder).rglob("*")
]


def test_code_refers_to_pages_that_are_there():
    pages = set()
    for path in SOURCES:
        if path.suffix in (".py", ".js", ".toml") and "vendor" not in path.parts:
            pages |= set(re.findall(r"docs/[\w-]+\.md", path.read_text(encoding="utf-8")))
    assert len(pages) > 3
    assert {page for page in pages if not (ROOT / page).exists()} == set()


def command_lines(page: Path) -> list[tuple[str, bool]]:
    """(line, whole) of each `seq2exp-viz ...` of a page; what stands in running text may leave out arguments."""
    text = page.read_text(encoding="utf-8")
    blocks = [line.strip() for line in text.splitlines() if re.match(r" +seq2exp-viz ", line)]
    spoken = [words for words in re.findall(r"`(seq2exp-viz [^`]+)`", text) if not words.startswith("seq2exp-viz --")]
    return [(line, True) for line in blocks] + [(" ".join(words.split()), False) for words in spoken]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_line_parses(page):
    program = typer.main.get_command(cli.app)
    for line, whole in command_lines(page):
        command, *words = shlex.split(line, comments=True)[1:]
        assert command in program.commands, line
        try:
            program.commands[command].make_context(command, words).close()
        except PROBLEMS.MissingParameter:
            assert not whole, line
        except PROBLEMS.UsageError as problem:
            pytest.fail(f"{line}: {problem.format_message()}")


def shape(route: str) -> str:
    """A route with * for each name that a request fills in: <run> of the program, RUN of the page."""
    return re.sub(r"<[^>]+>|\b[A-Z]{2,}\b", "*", route)


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> set[tuple[str, str]]:
    """Method and route of all that the program answers below ROUTES."""
    folder = tmp_path_factory.mktemp("docs")
    registry = RunRegistry([make_viewer_run(folder / "run", make_study(folder / "study"))], cache=folder)
    rules = [
        (method, shape(rule.rule))
        for rule in create_app(registry).server.url_map.iter_rules()
        if rule.rule.startswith(ROUTES) and not CATCH_ALL.search(rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}
    ]
    registry.close()
    return set(rules)


def test_the_http_page_lists_every_route_and_no_other(served):
    text = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    documented = [(method, shape(route)) for method, route in re.findall(r"^\| (GET|POST) \| `([^`]+)` \|", text, re.M)]
    assert len(documented) == len(set(documented))
    assert set(documented) == served
