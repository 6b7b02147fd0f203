"""Strays in any folder change nothing: the rule itself, and a run, its study and its seeds full of them."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_run import WORLD, make_planted_run, make_planted_study

from model_core.evaluation.compare import compare
from model_core.evaluation.seed_stability import runs_of_seeds
from model_core.files import remove_leftovers
from model_core.listing import files_below, files_in, folders_in, is_empty, is_stray
from model_core.run_folder.assemble import assemble
from model_core.run_folder.run import Run
from model_core.run_folder.source import study_of
from model_core.scoring.distributed import merge_parts
from model_core.simulation.simulate import simulate_study
from model_core.study.check import check_study
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.reports.comparison_report import write_report
from seq2exp_viz.reports.export import export
from seq2exp_viz.runs.check import check_runs
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving.allowed_files import AllowedFiles

APPLE_DOUBLE = bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(range(256)) * 4  # as macOS writes it
ENDINGS = ("narrowPeak", "tsv", "json", "jsonl", "bed", "bigWig", "npz", "svg", "csv", "html", "safetensors", "ckpt")


def beside_each(name_of):
    """A maker of strays: bytes that are no data beside each file of a folder, under a name made of the file's."""

    def make(folder: Path) -> None:
        for path in [path for path in folder.iterdir() if path.is_file()]:
            (folder / name_of(path.name)).write_bytes(APPLE_DOUBLE)

    return make


def one(*names: str):
    """A maker of strays of fixed names."""

    def make(folder: Path) -> None:
        for name in names:
            (folder / name).write_bytes(APPLE_DOUBLE)

    return make


def for_each_ending(make_one):
    """A maker of things that are named like data and are none: zz.narrowPeak, zz.tsv, ..."""

    def make(folder: Path) -> None:
        for ending in ENDINGS:
            make_one(folder / f"zz.{ending}")

    return make


def not_utf8(folder: Path) -> None:
    for ending in ENDINGS:
        Path(os.fsdecode(os.fsencode(folder) + b"/z\xe9\xff." + ending.encode())).write_bytes(APPLE_DOUBLE)


def unreadable(path: Path) -> None:
    path.write_bytes(APPLE_DOUBLE)
    path.chmod(0)


STRAYS = {
    "._*, as macOS writes them": beside_each(lambda name: f"._{name}"),
    "of desktops": one(".DS_Store", "Thumbs.db", "desktop.ini", "Icon\r", ".directory", ".localized"),
    "backups": beside_each(lambda name: f"{name}~"),
    "saved by editors": beside_each(lambda name: f"#{name}#"),
    "swap files": beside_each(lambda name: f".{name}.swp"),
    "half-copied": beside_each(lambda name: f"{name}.part"),
    "temporary": beside_each(lambda name: f"{name}.tmp"),
    "of NFS": one(".nfs000000000a2b3c4d00000001", ".nfs0001"),
    "folders named like files": for_each_ending(lambda path: path.mkdir()),
    "dangling links": for_each_ending(lambda path: path.symlink_to("nowhere")),
    "links to themselves": for_each_ending(lambda path: path.symlink_to(path.name)),
    "pipes": for_each_ending(os.mkfifo),
    "files without a byte": for_each_ending(Path.touch),
    "names that are not UTF-8": not_utf8,
}
if os.geteuid():  # root may read everything
    STRAYS["unreadable files"] = for_each_ending(unreadable)


GROUPS = {  # what is tried together, so that the test stays short: each group can be told from its names
    "names": ("._*, as macOS writes them", "of desktops", "of NFS"),
    "copies": ("backups", "saved by editors", "swap files", "half-copied", "temporary"),
    "named like files": ("folders named like files",),
    "links": ("dangling links",),
    "loops": ("links to themselves",),
    "pipes": ("pipes",),
    "no bytes": ("files without a byte",),
    "not UTF-8": ("names that are not UTF-8",),
}
if os.geteuid():
    GROUPS["unreadable"] = ("unreadable files",)


def together(group: str) -> list:
    return [STRAYS[kind] for kind in GROUPS[group]]


def scatter(root: Path, make) -> None:
    """Put strays into `root` and every folder below it."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]:
        make(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a study and the runs of two seeds of it, compared, with reports."""
    root = tmp_path_factory.mktemp("clean") / "all"
    study = make_planted_study(root / "study")
    runs = [make_planted_run(root / "runs" / f"seed-{seed}", study, seed, resolution=64) for seed in (1, 2)]
    (root / "runs" / "seeds.json").write_text("{}")
    found = compare(runs[0])
    write_report(runs[0].path / "compare", found)
    (runs[0].path / "effects" / "occlusion").mkdir(parents=True)
    return root


def answers(root: Path, out: Path) -> dict:
    """All that people see of a run and its study: the page, exports, comparison, checks."""
    run = Run.open(root / "runs" / "seed-1")
    registry = RunRegistry([run, root / "runs" / "seed-2"], cache=out / "cache")
    client = create_app(registry, Settings(igv="notebook", allowed=AllowedFiles([root / "study"]))).server.test_client()
    gene = str(run.genes["gene_id"].iloc[0])
    found = {}
    place = "chrom=chr1&start=0&end=100000"
    for path in (f"view?gene={gene}", "genes", f"peaks?{place}", "audit", "allowed", f"genes/{gene}/elements"):
        answer = client.get(f"/api/v1/seed-1/{path}")
        found[path] = answer.status_code, re.sub(rb"v=[0-9a-f-]+", b"", answer.data)
    for panel in ("quality", "compare", "files"):
        body = {
            "output": f"{panel}-content.children",
            "outputs": {"id": f"{panel}-content", "property": "children"},
            "inputs": [
                {"id": "tab", "property": "data", "value": panel},
                {"id": "run", "property": "value", "value": "seed-1"},
                {"id": "revision", "property": "data", "value": None},
            ],
            "changedPropIds": ["tab.data"],
        }
        if panel != "files":
            key, name = ("gene", "data") if panel == "quality" else ("threshold", "value")
            body["state"] = [{"id": key, "property": name, "value": None}]
        answer = client.post("/_dash-update-component", json=body)
        found[panel] = answer.status_code, answer.data
    registry.close()
    for kind in ("bed", "narrowpeak", "gff3", "bigwig"):
        found[kind] = export(run, kind, output=out / f"x.{kind}").read_bytes()
    compared = compare(Run.open(run.path))
    found["compare"] = {name: table.to_csv() for name, table in compared.tables.items()}
    found["limits"] = compared.summary["limits"], compared.summary["peak_sets"]
    lines: list[str] = []
    found["--check"] = check_runs([run.path], lines.append), lines
    report = check_study(root / "study")
    found["check"] = [str(message) for message in (*report.problems, *report.warnings)]
    found["seeds"] = [path.name for path in runs_of_seeds(run)]
    found["tree"] = sorted(str(path.relative_to(root)) for path in files_below(root) if path.stat().st_size)
    return json.loads(json.dumps(found, default=lambda value: value.decode("latin-1")).replace(str(root), "ROOT"))


@pytest.fixture(scope="module")
def plain(made, tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("plain")
    shutil.copytree(made, out / "all", symlinks=True)
    return answers(out / "all", out)


@pytest.mark.parametrize("kind", GROUPS)
def test_strays_in_every_folder_change_no_answer(made, plain, kind, tmp_path):
    shutil.copytree(made, tmp_path / "all", symlinks=True)
    for make in together(kind):
        scatter(tmp_path / "all", make)
    found = answers(tmp_path / "all", tmp_path)
    for name in plain:
        assert found[name] == plain[name], name


@pytest.mark.parametrize("kind", GROUPS)
def test_strays_do_not_keep_a_run_from_being_written(made, kind, tmp_path):
    shutil.copytree(made, tmp_path / "all", symlinks=True)
    for make in together(kind):
        scatter(tmp_path / "all", make)
    run = Run.open(tmp_path / "all" / "runs" / "seed-1")
    before = (run.path / "elements" / "elements.bed").read_bytes()
    with run.writing():
        merge_parts(run)
    assemble(run, study_of(run).peaks_path())
    assert (run.path / "elements" / "elements.bed").read_bytes() == before
    assert [path.name for path in run.peak_files] == ["MACS3.narrowPeak"]
    remove_leftovers(run.path)


def test_a_folder_that_holds_strays_alone_is_as_good_as_an_empty_one(tmp_path):
    one(".DS_Store", "Thumbs.db", "._x")(tmp_path)
    assert is_empty(tmp_path)
    Run.create(tmp_path, window=100, promoter=10, chrom_sizes={"chr1": 1_000})
    assert Run.open(tmp_path).scored == set()


def test_a_copy_of_a_seed_is_no_seed(made, tmp_path):
    shutil.copytree(made / "runs", tmp_path / "runs")
    for name in ("seed-2 copy", "seed-2~", "._seed-2", "seed-2.bak", "seed-two"):
        shutil.copytree(made / "runs" / "seed-2", tmp_path / "runs" / name)
    assert [path.name for path in runs_of_seeds(Run.open(tmp_path / "runs" / "seed-1"))] == ["seed-2"]


def test_the_only_peaks_may_be_none(made, tmp_path):
    """MACS3 that found nothing leaves a file without a byte: no peak is not the same as no file."""
    shutil.copytree(made / "runs" / "seed-1", tmp_path / "run")
    (tmp_path / "run" / "peaks" / "MACS3.narrowPeak").write_bytes(b"")
    assert len(Run.open(tmp_path / "run").peaks) == 0


@pytest.mark.parametrize("name", ["elements.bed", "β-globin.bed", "MACS3.narrowPeak", "a b.tsv", "c.12.0", "x.part1"])
def test_names_of_data_are_no_strays(name):
    assert not is_stray(name)


@given(st.text(min_size=1, max_size=12), st.sampled_from(["._", ".", "~$"]))
def test_every_hidden_name_is_a_stray(name, before):
    assert is_stray(before + name)


def test_what_is_not_there_holds_nothing(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "none", tmp_path / "file"):
        assert files_in(folder) == folders_in(folder) == list(files_below(folder)) == []


def test_a_study_can_be_simulated_into_a_folder_that_a_desktop_has_looked_into(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / ".DS_Store").write_bytes(APPLE_DOUBLE)
    assert simulate_study(tmp_path / "study", 1, WORLD).is_file()
