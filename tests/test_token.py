"""The secret of `serve`: given, read from the environment, or made."""

import pytest
from run_builder import make_run
from typer.testing import CliRunner

from seq2exp_viz import cli, serve
from seq2exp_viz.cli.options import with_token


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Function that starts `serve` with some words and returns the token that it would ask for."""
    make_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEQ2EXP_TOKEN", raising=False)
    seen = []
    monkeypatch.setattr(serve, "serve", lambda *words, **_: seen.append(words))

    def start(*words: str):
        done = CliRunner().invoke(cli.app, ["serve", *words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return seen[-1][5]

    return start


def test_a_token_without_a_value_is_made_anew_each_time(started):
    made = [started("run", "--token"), started("run", "--token", "--no-open"), started("--token", "--no-open", "run")]
    assert len(set(made)) == 3
    assert min(map(len, made)) >= 32


def test_the_command_line_wins_over_the_environment_which_wins_over_chance(started, monkeypatch):
    assert started("run") is None
    monkeypatch.setenv("SEQ2EXP_TOKEN", "of the environment")
    assert started("run") == "of the environment"
    assert started("run", "--token") == "of the environment"
    assert started("run", "--token", "given") == started("run", "--token=given") == "given"


@pytest.mark.parametrize("words", [["run", "--token="], ["run", "--token", " "], ["--token", "run", "run"]])
def test_what_cannot_be_meant_as_a_secret_is_refused(started, words):
    with pytest.raises(cli.InputError, match="expected a secret"):
        started(*words)


def test_only_the_option_itself_gets_a_value():
    assert with_token(["serve", "--", "--token"]) == ["serve", "--", "--token"]
    assert with_token(["--token=a", "--tokens", "x"]) == ["--token=a", "--tokens", "x"]
    assert with_token(["a", "--token", "-v"], "known") == ["a", "--token=known", "-v"]
