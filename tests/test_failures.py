"""What fails in the background reaches a person: caches that cannot be written, threads and processes that end."""

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from run_builder import make_run
from viewer_run import make_study, make_viewer_run

from model_core import cache
from model_core.cache import held_file, stand_in, user_cache, why_not_writable, writable_folder
from model_core.errors import InputError
from model_core.run_folder.run import Run
from model_core.scoring.write_behind import WriteBehind
from model_core.signals.bam_coverage import cached_coverage
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.page.selection import revision
from seq2exp_viz.runs import registry as shelf_runs
from seq2exp_viz.runs.check import check_runs
from seq2exp_viz.runs.gene_models import GeneModels
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.worker.jobs import Jobs

ROOT = Path(__file__).parents[1]
CACHES = ("HOME", "XDG_CACHE_HOME", "SEQ2EXP_CACHE")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("failures")
    return make_viewer_run(folder / "run", make_study(folder / "study"), name="here")


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """Give each test temporary files of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))


def full_disk(folder: Path) -> Path:
    """A disk without room, where this user may mount one."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    (disk / "filling").write_bytes(b"x" * 4096)
    return disk


BAD_PLACES = {  # variables of the environment that name a place where nothing can be kept
    "a home that is not there": lambda folder: {"HOME": "/proc/nohome"},
    "a home that is a file": lambda folder: {"HOME": str(a_file(folder))},
    "a read-only home": lambda folder: {"HOME": "/sys"},
    "XDG_CACHE_HOME under a file": lambda folder: {"XDG_CACHE_HOME": str(a_file(folder) / "cache")},
    "XDG_CACHE_HOME of others": lambda folder: {"XDG_CACHE_HOME": "/proc/1/cache"},
    "SEQ2EXP_CACHE that is a device": lambda folder: {"SEQ2EXP_CACHE": "/dev/full"},
    "a full disk": lambda folder: {"SEQ2EXP_CACHE": str(full_disk(folder))},
}


def a_file(folder: Path) -> Path:
    path = folder / "file"
    path.touch()
    return path


@pytest.fixture(params=BAD_PLACES)
def bad_place(request, tmp_path):
    yield BAD_PLACES[request.param](tmp_path)
    if os.path.ismount(tmp_path / "disk"):
        subprocess.run(["umount", tmp_path / "disk"], check=True)


@pytest.fixture
def no_cache(monkeypatch, bad_place):
    for name in CACHES:
        monkeypatch.delenv(name, raising=name != "HOME" and name in os.environ)
    for name, value in bad_place.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("bad_place", ["a home that is not there", "a full disk"], indirect=True)
@pytest.mark.usefixtures("no_cache")
def test_genes_are_drawn_without_a_cache_and_page_window_and_check_say_so(run_folder):
    told: list[str] = []
    registry = RunRegistry([run_folder])
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    registry.prepare(told.append)
    assert registry.first.models.wait(60)
    genes = client.get("/api/v1/here/models/gene?chrom=chr1&start=9000&end=12000").get_json()
    assert all(gene["exons"] and gene["end"] - gene["start"] > 1 for gene in genes)
    assert genes
    words = [line for line in told if "Gene models cannot be stored in" in line]
    assert len(words) == 1
    assert words[0].startswith("note on here:")
    assert any(
        "Gene models cannot be stored in" in note for note in revision(registry.first)["notes"]
    )  # asked by the page
    registry.close()
    lines: list[str] = []
    assert check_runs([run_folder], lines.append)
    assert any(line.startswith("  note: Gene models cannot be stored in") for line in lines)


def test_the_command_says_it_and_exits_well(run_folder):
    environ = {name: value for name, value in os.environ.items() if name not in CACHES}
    environ |= {"HOME": "/proc/nohome", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "seq2exp_viz.cli", "serve", str(run_folder), "--check"]
    done = subprocess.run(words, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert "note: Gene models cannot be stored in /proc/nohome/.cache/seq2exp-viz" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_damaged_cache_is_made_anew(run_folder, tmp_path):
    view = RunRegistry([run_folder], cache=tmp_path).first
    assert view.models.wait(60)
    for content in (b"", b"not an archive", view.models.cache.read_bytes()[:-300]):
        view.models.cache.write_bytes(content)
        told: list[str] = []
        again = GeneModels(view.models.path, tmp_path, lambda found, told=told: told.append(str(found)))
        assert again.wait(60)
        assert len(told) == 1
        assert "damaged" in told[0]
    assert GeneModels(view.models.path, tmp_path).wait(0.01)  # kept, and whole


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/nowhere/python"], "FileNotFoundError"),
        ([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], "killed"),
        ([sys.executable, "-c", "raise ValueError('no such luck')"], "no such luck"),
        ([sys.executable, "-c", "print('not an archive')"], "damaged"),
    ],
)
def test_a_parser_that_fails_is_told_however_it_fails(run_folder, tmp_path, monkeypatch, command, words):
    started = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _words, **options: started(command, **options))
    told: list[str] = []
    annotation = RunRegistry([run_folder]).first.study.genome_files.annotation
    models = GeneModels(annotation, tmp_path, lambda found: told.append(str(found)))
    models.start()
    end = time.monotonic() + 30
    while not told and time.monotonic() < end:
        models.table("gene")
        time.sleep(0.05)
    assert words in told[0]
    models.close()


def test_an_annotation_that_cannot_be_read_reaches_page_window_and_check(run_folder, tmp_path):
    shutil.copytree(run_folder.parent, tmp_path / "all")
    run = Run.open(tmp_path / "all" / "run")
    study = run.study
    gtf = Path(study["genome"]["annotation"])
    bad = tmp_path / "bad.gtf"
    bad.write_text("chr1\tonly\tthree\n")
    run.write_json("study.json", {**study, "genome": {**study["genome"], "annotation": str(bad)}})
    told: list[str] = []
    registry = RunRegistry([run.path], cache=tmp_path / "cache")
    registry.prepare(told.append)
    registry.first.models.wait(60)
    words = "Genes are not drawn, only start sites"
    assert any(words in line and "bad.gtf" in line for line in told)
    assert any(words in note for note in revision(registry.first)["notes"])
    registry.close()
    lines: list[str] = []
    check_runs([run.path], lines.append)
    assert any(words in line for line in lines)
    assert gtf.is_file()


def test_what_cannot_be_read_ahead_is_told(run_folder, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(shelf_runs, "gene_list", broken)
    told = queue.Queue()
    registry = RunRegistry([run_folder], cache=tmp_path)
    registry.prepare(told.put)
    lines = [told.get(timeout=30)]
    assert any("RuntimeError: a bug" in line for line in lines)
    assert any("a bug" in note for note in registry.first.notes)
    registry.close()


def test_peaks_that_cannot_be_read_do_not_take_the_page_away(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run" / "peaks" / "peaks.narrowPeak").write_text("chr1\tx\ty\n")
    registry = RunRegistry([tmp_path / "run"], cache=tmp_path / "cache")
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    gene = str(registry.first.run.genes["gene_id"].iloc[0])
    for path in (f"view?gene={gene}", f"genes/{gene}/elements", "peaks?chrom=chr1&start=0&end=9", "audit"):
        assert client.get(f"/api/v1/here/{path}").status_code == 200, path
    assert any(note.startswith("Peaks are not shown:") for note in registry.first.notes)
    registry.close()


def test_an_unexpected_failure_of_an_answer_is_json_that_the_page_can_show(run_folder, tmp_path, monkeypatch, capsys):
    registry = RunRegistry([run_folder], cache=tmp_path)
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    for problem in (OSError(28, "No space left on device"), ZeroDivisionError("a bug")):

        def fails(*_, problem=problem):
            raise problem

        monkeypatch.setattr(Run, "mask", fails)
        answer = client.get("/api/v1/here/genes/MYC/mask")
        assert answer.status_code == 500
        assert str(problem.args[-1]) in answer.get_json()["message"]
        assert "its terminal shows the details" in answer.get_json()["message"]
        assert "Traceback" in capsys.readouterr().err
    registry.close()


CHATTER = "import sys; sys.stdin.readline(); print('Segmentation rules', flush=True); sys.stdin.read()"
NO_ID = "import sys; sys.stdin.readline(); print('{}', flush=True); sys.stdin.read()"


@pytest.mark.parametrize("script", [CHATTER, NO_ID])
def test_a_model_process_that_talks_nonsense_does_not_leave_anybody_waiting(script, capfd):
    jobs = Jobs([sys.executable, "-c", script])
    task = jobs.start("run", Path("run"), "MYC", "effects")
    assert jobs.wait(task, 30).state == "failed"
    assert "could not be read" in task.message
    again = jobs.start("run", Path("run"), "MYC", "effects")  # a new process
    assert jobs.wait(again, 30).state == "failed"
    jobs.close()
    assert "Traceback" in capfd.readouterr().err


def test_a_model_process_that_is_told_nonsense_ends_and_says_so():
    words = [sys.executable, "-m", "seq2exp_viz.worker.model_process"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, input="no json\n", env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "JSONDecodeError" in done.stderr


def test_a_full_disk_is_heard_of_also_after_ctrl_c(tmp_path):
    """Ctrl-C says to run the same command again; where writing failed meanwhile, that is what counts."""
    run = make_run(tmp_path / "run", genes=0)
    failed = threading.Event()

    def fails():
        failed.set()
        raise OSError(28, "No space left on device")

    def interrupted():
        with run.writing(), WriteBehind(run) as writer:
            writer.put(fails)
            assert failed.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(OSError, match="No space left"):
        interrupted()


@pytest.mark.parametrize(
    "errno_words", [(28, "no space left on device; free disk space or"), (30, "read-only file system;")]
)
def test_a_disk_that_takes_nothing_is_one_line_and_exit_code_2(monkeypatch, capsys, errno_words):
    from seq2exp_viz import cli

    number, words = errno_words

    def fails():
        raise OSError(number, os.strerror(number), "/data/run/masks.zarr")

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert f"error: /data/run/masks.zarr: {words} choose another folder" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------- the cache itself


@pytest.mark.usefixtures("no_cache")
def test_a_folder_stands_in_for_one_that_cannot_be_written(capsys):
    wanted = user_cache()
    assert why_not_writable(wanted)
    found = writable_folder(wanted, "the coverage of x.bam")
    assert found == stand_in() == writable_folder(wanted, "another thing")
    assert found.stat().st_mode & 0o777 == 0o700
    (found / "x.bigWig").touch()
    assert held_file(wanted, "x.bigWig") == found / "x.bigWig"
    assert held_file(wanted, "y.bigWig") == wanted / "y.bigWig"
    assert capsys.readouterr().err.count("cannot be written") == 1  # said once
    assert len(cache.notices()) == 1


def test_a_stand_in_of_somebody_else_is_not_trusted(tmp_path):
    mine = stand_in()
    mine.chmod(0o777)
    cache._stand_in.cache_clear()
    other = stand_in()
    assert other != mine
    assert stand_in() == other
    cache._stand_in.cache_clear()


def test_where_nothing_at_all_can_be_written_there_is_one_clear_message(monkeypatch):
    monkeypatch.setattr(cache, "stand_in", lambda: Path("/proc/none"))
    with pytest.raises(InputError, match=r"no writable folder .* TMPDIR"):
        writable_folder("/proc/nohome", "the coverage of x.bam")


def test_coverage_goes_elsewhere_where_the_study_is_read_only(tmp_path):
    import pysam

    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 1000}]}
    with pysam.AlignmentFile(str(tmp_path / "reads.bam"), "wb", header=header) as bam:
        read = pysam.AlignedSegment()
        read.query_name, read.query_sequence, read.reference_id, read.reference_start = "r", "ACGT", 0, 100
        read.cigarstring = "4M"
        bam.write(read)
    made = cached_coverage(tmp_path / "reads.bam", "/proc/cache")
    assert made.parent == stand_in()
    stamp = made.stat().st_mtime_ns
    assert cached_coverage(tmp_path / "reads.bam", "/proc/cache").stat().st_mtime_ns == stamp  # found again
    assert any("reads.bam" in words for words in cache.notices())


def test_machine_code_is_kept_elsewhere_where_neither_installation_nor_home_can_be_written(tmp_path):
    """The kernels are imported out of a folder in which nothing can be made, with no home to write to."""
    code = """
import numba.core.caching as caching
def refuse(cls, *_):
    return None
for locator in (caching.InTreeCacheLocator, caching.UserWideCacheLocator):
    locator.from_function = classmethod(refuse)
from model_core.model.kernels.scan_cpu import _scan_forward
print(_scan_forward._cache.cache_path)
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "seq2exp-viz-"))
    assert "machine code is kept in" in done.stderr
