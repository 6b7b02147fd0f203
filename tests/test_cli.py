"""The command line as a user meets it: help, examples, one message and exit code 2."""

import errno
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from importlib import metadata
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from model_core.errors import InputError
from seq2exp_viz import cli
from seq2exp_viz.cli import options
from seq2exp_viz.worker.availability import require_packages

ROOT = Path(__file__).parents[1]
COMMANDS = [command.name or command.callback.__name__ for command in cli.app.registered_commands]


def run(*words, **settings):
    return subprocess.run(
        [sys.executable, "-m", "seq2exp_viz.cli", *map(str, words)], capture_output=True, text=True, **settings
    )


def options_of(command: str) -> list:
    """The options and arguments of a command, as click has them."""
    return [item for item in typer.main.get_command(cli.app).commands[command].params if item.name != "help"]


def parsed(line: str) -> dict:
    """The values of a command line, without `seq2exp-viz`; raises where it cannot be understood."""
    name, *words = shlex.split(line)
    return typer.main.get_command(cli.app).commands[name].make_context(name, words).params


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_of_the_command(command):
    shown = CliRunner().invoke(cli.app, [command, "--help"], terminal_width=100)
    assert shown.exit_code == 0
    last = [line for line in shown.output.splitlines() if line.strip()][-1]
    assert f"Example: seq2exp-viz {command}" in last


def test_commands_are_listed_in_the_order_of_use():
    study, model = ["init", "fetch", "check", "peaks"], ["train", "score", "convert", "models"]
    results = [
        "effects",
        "compare",
        "calibrate",
        "bench",
        "negative-controls",
        "export",
        "figure",
        "report",
        "serve",
        "demo",
    ]
    assert ["gene", *study, *model, *results, "doctor", "cache"] == COMMANDS
    shown = CliRunner().invoke(cli.app, ["--help"], terminal_width=100).output
    listed = re.findall(r"^\W+([a-z-]+)  ", shown, re.M)
    assert [name for name in listed if name in COMMANDS] == COMMANDS


def test_an_option_means_the_same_in_every_command():
    """What stands before a semicolon is the meaning; a command may add a detail behind it."""
    spellings, meanings = defaultdict(set), defaultdict(set)
    for command in COMMANDS:
        for item in options_of(command):
            argument = item.param_type_name == "argument"
            for name in [item.metavar] if argument else item.opts:
                spellings[name].add((name,) if argument else tuple(item.opts))
                meanings[name].add(item.help.split("; ")[0])
    shared = {"--genes", "--gene", "--output", "-o", "--out", "--all", "--device", "--seed", "--processes", "--nodes"}
    shared |= {"--workers", "--batch-size", "--resolution", "--threshold", "--port", "--cell-type", "RUN", "STUDY"}
    assert shared <= set(meanings)
    del meanings["FOLDER"]  # each command's own
    assert {name: found for name, found in meanings.items() if len(found) > 1} == {}
    assert {name: found for name, found in spellings.items() if len(found) > 1} == {}


def test_names_of_options_differ_by_more_than_a_plural():
    """`--block` and `--blocks` are old spellings of options whose names say what they are."""
    first = {item.opts[0] for command in COMMANDS for item in options_of(command) if item.param_type_name == "option"}
    assert {name for name in first if f"{name}s" in first} == {"--seed"}  # of one training, of several
    old, new = "train s --out r --blocks 3 --pretrain 2", "train s --output r --block-steps 3 --pretrain-steps 2"
    assert parsed(old) == parsed(new)
    assert parsed("effects r --block 64 --step 32") == parsed("effects r --block-size 64 --stride 32")
    assert parsed("compare r --beside a --beside b") == parsed("compare r --compared-with a --compared-with b")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_hundred_columns_and_loses_no_word(command):
    shown = CliRunner().invoke(cli.app, [*command.split(), "--help"], terminal_width=100, env={"COLUMNS": "100"})
    assert max(map(len, shown.output.splitlines())) <= 100
    assert "…" not in shown.output
    letters = re.sub(r"[\s│]+", "", shown.output)
    for item in options_of(command) if command else ():
        assert item.help, item.name
        assert "[" not in item.help, item.name  # would be taken for a mark of style, and left out
        assert re.sub(r"\s+", "", item.help) in letters, item.name
        assert item.help[0].islower() or item.help[:3].isupper(), item.help


@pytest.mark.parametrize("command", cli.COMMANDS, ids=COMMANDS)
def test_the_example_of_every_command_is_understood(command):
    assert command.example.startswith(command.function.__name__.replace("_", "-"))
    parsed(command.example)


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_every_command_line_of_the_documentation_is_understood(path):
    for line in re.findall(r"^ {4}seq2exp-viz (\w.*?)(?:  +#.*| *\[.*)?$", path.read_text(), re.M):
        parsed(line)


@pytest.mark.parametrize("command", ["score r", "effects r", "export r bed", "figure r", "report r"])
def test_genes_are_named_in_one_way_everywhere(command):
    for words in ("--genes A,B", "--gene A,B", "--genes 'A, B'", "--gene A --gene B", "--genes A --gene B,"):
        assert options.gene_names(parsed(f"{command} {words}")["genes"]) == ["A", "B"]
    assert options.gene_names(None) == []


@pytest.mark.parametrize("genes", ["A,B", ","])
def test_a_figure_is_of_one_gene(tmp_path, genes):
    done = run("figure", tmp_path, "--genes", genes)
    assert done.returncode == 2
    assert re.search(r"error: --genes: found [02] genes; expected exactly one gene; name one", done.stderr)


def test_an_interruption_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(cli, "app", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted. Run the same command again to resume.\n"


def test_every_command_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert all(f"seq2exp-viz {command}" in readme for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "nowhere.toml"), "no such file"),
        (("train", "nowhere.toml", "--out", "run"), "no such file"),
        (("score", "nowhere"), "no such folder"),
        (("export", "nowhere", "bed"), "no such folder"),
        (("serve", "nowhere", "--no-open"), "no such folder"),
        (("peaks", "nowhere"), "no such file"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(tmp_path, words, message):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_init_writes_a_study_and_never_over_one(tmp_path):
    assert run("init", tmp_path / "mine").returncode == 0
    again = run("init", tmp_path / "mine")
    assert again.returncode == 2
    assert (tmp_path / "mine" / "study.toml").read_text().startswith("#")


def test_without_torch_training_says_what_to_install(monkeypatch):
    monkeypatch.setattr("seq2exp_viz.worker.availability.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'seq2exp-viz\[model\]'"):
        require_packages()


def test_masks_and_seeds_are_read_from_words():
    assert options.mask_settings("macs3") == {"mask": "macs3"}
    assert options.mask_settings("top:10%") == {"decision": "top", "top_share": 0.1}
    assert options.parse_seeds("2, 22,222") == [2, 22, 222]
    for wrong in ("top:", "top:0", "top:200%"):
        with pytest.raises(InputError, match="percentage"):
            options.mask_settings(wrong)
    for wrong in ("2,2", "two", ""):
        with pytest.raises(InputError, match="whole numbers"):
            options.parse_seeds(wrong)


def test_the_version_is_that_of_the_package():
    shown = CliRunner().invoke(cli.app, ["--version"])
    assert (shown.exit_code, shown.output.strip()) == (0, f"seq2exp-viz {metadata.version('seq2exp-viz')}")


def a_limit_on_files(bytes_: int) -> str:
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes_}, {bytes_}))"


BEFORE = {  # what a person or the machine did -> (code that runs before the program, arguments, words)
    "a limit on the size of files": (a_limit_on_files(64), ["init", "mine"], "mine/study.toml.*file too large"),
    "no open files left": (
        "import resource, model_core.study.study; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
        ["init", "mine"],
        "too many open files",
    ),
    "a name of 300 letters": ("", ["check", "x" * 300], "file name too long"),
    "a device": ("", ["check", "/dev/null"], "found a device; expected a study.toml, in a regular file"),
}


@pytest.mark.parametrize("case", BEFORE)
def test_what_the_system_refuses_is_one_message_and_exit_code_2(tmp_path, case):
    before, words, message = BEFORE[case]
    code = f"import sys; sys.argv = {['x', *words]!r}\nfrom seq2exp_viz.cli import main\n{before}\nmain()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, said
    assert re.search(message, said), said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "a/b: no space left on device; free disk space"),
        (errno.EDQUOT, "a/b: disk quota exceeded; free disk space"),
        (errno.EROFS, "a/b: read-only file system; choose another folder"),
        (errno.EACCES, "a/b: permission denied; choose another folder"),
        (errno.EISDIR, "a/b: is a directory; give another path"),
        (errno.EFBIG, "a/b: file too large; raise the limit"),
        (errno.EMFILE, "a/b: too many open files; raise the limit"),
        (errno.EIO, "a/b: input/output error; check the disk"),
        (errno.ETXTBSY, "a/b: text file busy; check the file and its disk"),
    ],
)
def test_every_refusal_names_the_file_and_what_to_do(monkeypatch, capsys, number, message):
    assert message in told(monkeypatch, capsys, OSError(number, os.strerror(number), "a/b"), 2)


def test_memory_that_ran_out_and_names_that_are_no_text_are_told(monkeypatch, capsys):
    assert "memory: found no memory left" in told(monkeypatch, capsys, MemoryError(), 2)
    with pytest.raises(UnicodeEncodeError) as caught:
        "name\udce9".encode()
    assert "found a name that is not UTF-8; expected UTF-8; rename" in told(monkeypatch, capsys, caught.value, 2)
    without_number = OSError("Unable to open file")  # as h5py raises it
    assert "unable to open file; check the file" in told(monkeypatch, capsys, without_number, 2)


def test_a_fault_of_the_program_keeps_its_traceback_and_asks_for_a_report(monkeypatch, capsys):
    said = told(monkeypatch, capsys, ZeroDivisionError("a bug"), 1)
    assert "Traceback" in said
    assert "ZeroDivisionError: a bug" in said
    assert "Please report it" in said


def test_a_traceback_is_shown_with_a_message_where_it_is_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("SEQ2EXP_DEBUG", "1")
    assert "Traceback" in told(monkeypatch, capsys, InputError("a", found="b", expected="c", fix="d"), 2)


def told(monkeypatch, capsys, error: BaseException, code: int) -> str:
    """What `main` says where a command ends with this error, and with which exit code."""
    monkeypatch.setattr(cli, "app", lambda: (_ for _ in ()).throw(error))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    return capsys.readouterr().err


@pytest.mark.parametrize("words", ["--help", "check nowhere"])
def test_a_reader_that_ends_early_is_no_error(tmp_path, words):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "seq2exp_viz.cli", *words.split()]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_output_that_cannot_be_written_is_told(tmp_path):
    code = f"{a_limit_on_files(0)}\nimport sys; sys.argv = ['x', '--version']\nfrom seq2exp_viz.cli import main\nmain()"
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run([sys.executable, "-c", code], stdout=out, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "file too large; raise the limit" in done.stderr
    assert "Traceback" not in done.stderr
