"""`doctor`: each line is good or says what to do; nothing is fetched whole and no token is shown."""

import json

import pytest
from range_server import serve_ranges
from typer.testing import CliRunner
from viewer_run import make_study

from model_core.datasets.public_study import public_addresses
from model_core.errors import InputError
from model_core.remote.address import RemotePath
from model_core.remote.address_check import BYTES, try_address, without_query
from seq2exp_viz import machine
from seq2exp_viz.cli import app
from seq2exp_viz.cli.doctor import named_by_study

SECRET = "s3cr3t"


@pytest.fixture
def server():
    with serve_ranges(
        {f"/{name}": bytes(range(256)) * 400 for name in ("a.bw", "genes.gtf.gz", "g.fa", "g.fa.fai")}
    ) as server:
        yield server


@pytest.fixture
def study(tmp_path, server, monkeypatch):
    """The viewer's study with a signal and its annotation at addresses that hold a token."""
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEQ2EXP_DATA", str(tmp_path / "data"))
    path = make_study(tmp_path / "study")
    text = path.read_text().replace('"DNase.bw"', f'"{server.url("/a.bw")}?token={SECRET}"')
    path.write_text(text.replace('"genes.gtf"', f'"{server.url("/genes.gtf.gz")}"'))
    return path


def doctor(*words: str):
    return CliRunner().invoke(app, ["doctor", *map(str, words)])


def test_every_line_of_a_sound_study_is_good_and_little_is_read(study, server):
    done = doctor(study)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert not [line for line in lines if line.startswith("BAD")]
    (line,) = (line for line in lines if "signals.DNase" in line)
    assert all(word in line for word in ("status 206", "102 kB", "ranges", '"', "a.bw"))
    assert SECRET not in done.output
    assert len(server.asked) == 2
    assert all(count <= BYTES for count in server.sent.values())
    assert {wanted for _, wanted in server.asked} == {f"bytes=0-{BYTES - 1}"}


@pytest.mark.parametrize(
    ("fault", "words", "do"),
    [
        ("403", "403", "login"),
        ("404", "404", "correct the address"),
        ("429", "429", "try again later"),
        ("500", "500", "try again later"),
        ("html", "web page", "check the network"),
        ("whole", "no ranges", "sends ranges"),
        (f"to ftp://elsewhere/x?token={SECRET}", "redirect", "check the network"),
        ("to http://169.254.169.254/x", "lies on this machine or in its network", "check the network"),
    ],
)
def test_what_a_server_does_not_give_is_a_bad_line_with_what_to_do(study, server, fault, words, do):
    server.faults["/a.bw"] = fault
    done = doctor(study)
    assert done.exit_code == 2
    (line,) = (line for line in done.output.splitlines() if "signals.DNase" in line)
    assert line.startswith("BAD ")
    assert words in line
    assert do in line.partition(" -> ")[2]
    assert SECRET not in done.output
    assert server.sent.get("/a.bw", 0) <= len(server.content["/a.bw"]) + BYTES


def test_a_file_that_is_fetched_whole_needs_no_ranges(study, server):
    server.faults["/genes.gtf.gz"] = "whole"
    assert doctor(study).exit_code == 0


def test_a_dead_host_and_a_missing_file_are_bad_lines(study, server, tmp_path):
    (study.parent / "H3K27ac.bw").unlink()
    study.write_text(study.read_text().replace(server.url("/a.bw"), "http://127.0.0.1:9/a.bw"))
    done = doctor(study, "--json")
    found = {entry["what"]: entry for entry in json.loads(done.output)["findings"]}
    assert (done.exit_code, json.loads(done.output)["good"]) == (2, False)
    assert "no such file" in found["signals.H3K27ac"]["found"]
    assert "no connection" in found["signals.DNase"]["found"]
    assert SECRET not in done.output


def test_a_fasta_at_an_address_is_tried_with_its_index(server):
    found = machine.inputs({"genome.fasta": RemotePath(server.url("/g.fa"))})
    assert [(line.what, line.good) for line in found] == [("genome.fasta", True), ("genome.fasta index", True)]
    found = machine.inputs({"genome.fasta": RemotePath(server.url("/g.2bit"))})
    assert [(line.what, line.good) for line in found] == [("genome.fasta", False)]


def test_the_addresses_of_presets_are_known_without_a_network(monkeypatch):
    names = public_addresses("k562-hg38")
    assert {"genome.fasta", "genome.annotation", "signals.DNase", "signals.Hi-C"} <= set(names)
    assert "signals.Hi-C" not in public_addresses("h1-hg38")
    with pytest.raises(InputError, match="k562-hg38"):
        public_addresses("k563")
    monkeypatch.setenv("SEQ2EXP_OFFLINE", "1")
    assert all("no connection" in line.found for line in machine.inputs(names))


def test_the_machine_is_described_and_a_full_disk_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path))
    names = [line.what for line in machine.machine()]
    assert names[:4] == ["seq2exp-viz", "Python", "numpy", "torch"]
    assert {"igv.js", "data folder", "cache folder", "memory", "GPU", "cache of remote files", "network"} < set(names)
    monkeypatch.setattr(machine, "LEAST_DISK", 10**18)
    assert [(line.good, "SEQ2EXP_" in line.do) for line in machine.disk()] == [(False, True), (False, True)]
    monkeypatch.setenv("SEQ2EXP_CACHE_LIMIT", "much")
    assert not machine.cache().good


def test_a_study_that_is_none_is_told_as_by_every_command(tmp_path):
    (tmp_path / "study.toml").write_text("schema = 1\n")
    with pytest.raises(InputError):
        named_by_study(tmp_path)
    with pytest.raises(InputError, match="one of them"):
        CliRunner().invoke(app, ["doctor", str(tmp_path), "--preset", "k562-hg38"], catch_exceptions=False)


def test_addresses_are_shown_without_what_follows_a_question_mark(server):
    assert without_query("https://h/p/f.bw?X-Amz-Signature=1&x=2") == "https://h/p/f.bw"
    assert without_query("a redirect to 'https://h/p?token=1' which") == "a redirect to 'https://h/p which"
    trial = try_address(RemotePath(server.url("/a.bw") + "?token=1"))
    assert (trial.status, trial.size, trial.ranges, "token" in trial.address) == (206, 102_400, True, False)
