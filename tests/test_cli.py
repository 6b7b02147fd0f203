"""The command line as a user meets it: help, examples, one message and exit code 2."""

import subprocess
import sys
from importlib import metadata

import pytest
from typer.testing import CliRunner

from model_core.errors import InputError
from seq2exp_viz import cli
from seq2exp_viz.cli import options

COMMANDS = [command.name or command.callback.__name__ for command in cli.app.registered_commands]


def run(*words, **settings):
    return subprocess.run(
        [sys.executable, "-m", "seq2exp_viz.cli", *map(str, words)], capture_output=True, text=True, **settings
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_of_the_command(command):
    shown = CliRunner().invoke(cli.app, [command, "--help"], terminal_width=100)
    assert shown.exit_code == 0
    last = [line for line in shown.output.splitlines() if line.strip()][-1]
    assert f"Example: seq2exp-viz {command}" in last


def test_commands_are_listed_in_the_order_of_use():
    prepare, model = ["init", "fetch", "check", "peaks"], ["train", "score", "effects", "compare", "convert"]
    assert [*prepare, *model, "export", "figure", "report", "serve", "demo"] == COMMANDS


def test_every_command_is_in_the_readme():
    readme = (cli.Path(__file__).parents[1] / "README.md").read_text()
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
        cli.needs_model()


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
