"""Files that are read: strict JSON and TOML, declared fields, regular files only, and words for every damage."""

import gzip
import json
import math
import os
import re
import shutil
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from calibrated import write_calibration
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from run_builder import make_run
from viewer_run import make_study, make_viewer_run

from model_core.bed import read_lines
from model_core.errors import InputError
from model_core.input_file import open_input, read_input
from model_core.records import Record, read_json, read_json_lines, read_toml
from model_core.run_folder.audit_log import append_decision, read_decisions
from model_core.run_folder.effects import append_effects
from model_core.run_folder.occlusion import Occlusion, occlusion_path, write_occlusion
from model_core.run_folder.run import Run
from model_core.study.study import load_study
from seq2exp_viz.api.genes import api
from seq2exp_viz.runs.check import describe
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.worker.jobs import Jobs

FIXED = settings(max_examples=50, deadline=None, derandomize=True)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


# ------------------------------------------------------------------------------------------------ JSON and TOML


@FIXED
@given(value=st.dictionaries(st.text(), JSON, max_size=4), plain=st.booleans())
def test_what_is_strict_json_is_read_as_it_is(tmp_path_factory, value, plain):
    path = tmp_path_factory.getbasetemp() / "value.json"
    path.write_bytes(json.dumps(value, ensure_ascii=plain, allow_nan=False).encode("utf-8", "surrogatepass"))
    found, said = outcome(lambda: read_json(path))
    if said:
        with pytest.raises(UnicodeEncodeError):  # a lone surrogate, which no text of UTF-8 has
            json.dumps(value, ensure_ascii=False).encode()
    else:
        assert found == value


def outcome(read: Callable[[], object]) -> tuple[object, str]:
    """What a reader gives, or its words where it refuses; anything else is raised."""
    try:
        return read(), ""
    except InputError as error:
        return None, str(error)


@FIXED
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_read_or_told(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(content)
    for read in (read_json, lambda path: read_toml(path, "TOML", "make it"), lambda path: list(read_lines(path))):
        _, said = outcome(lambda read=read: read(path))
        assert not said or said.startswith(str(path))


REFUSED = {  # what is wrong -> (JSON, words)
    "a deep list": (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "recursion limit"),
    "a deep object": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "recursion limit"),
    "10,000 digits": (b'{"a": ' + b"9" * 10_000 + b"}", "out of range"),
    "65 bits": (b'{"a": [9223372036854775808]}', "a whole number of 64 bits"),
    "an infinite number": (b'{"a": {"b": 1e400}}', "not finite"),
    "NaN": (b'{"a": NaN}', "expected value"),
    "a lone surrogate": (b'{"a": "\\ud800"}', "hex escape"),
    "bytes that are no text": (b'{"a": "\xff"}', "invalid unicode"),
    "a NUL byte": (b'{"a": "\0"}', "control character"),
    "a byte-order mark": (b"\xef\xbb\xbf{}", "a byte-order mark"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "damaged JSON"),
    "a key twice": (b'{"a": {"b": 1, "b": 2}}', "the key 'b' twice"),
    "a list": (b"[1]", "a list; expected a JSON object"),
    "nothing": (b"", "EOF"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_json_that_is_not_strict_is_refused_with_its_reason(tmp_path, kind):
    content, words = REFUSED[kind]
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match=f"x.json: found .*{words}"):
        read_json(tmp_path / "x.json")


TOML = {
    "a deep array": ("x = " + "[" * 100_000 + "]" * 100_000, "without end"),
    "a deep table": ("[" + ".".join(["a"] * 5_000) + "]\n", "more than 200 lists"),
    "5,000 digits": ("x = " + "9" * 5_000, "no TOML|not TOML"),
    "5,000 digits in base 16": ("x = 0x" + "f" * 5_000, "a whole number of 20,000 bits"),
    "nan": ("x = nan", "not finite"),
    "inf": ("x = [inf]", "not finite"),
}


@pytest.mark.parametrize("kind", TOML)
def test_toml_that_no_study_can_hold_is_refused_with_its_reason(tmp_path, kind):
    content, words = TOML[kind]
    (tmp_path / "study.toml").write_text(content)
    with pytest.raises(InputError, match=words):
        load_study(tmp_path)


class Line(Record):
    number: int
    note: str | None = None


def test_a_line_is_named_with_its_field(tmp_path):
    path = tmp_path / "x.jsonl"
    lines = [
        b'{"number": 1, "later": [2]}\n',
        b'{"number": 2.5}\n',
        b"{}\n",
        b'{"number": true}\n',
        b"[]\n",
        b'{"number": 3}\n',
    ]
    path.write_bytes(b"".join(lines))
    problems = []
    found = [(number, record) for number, _, record in read_json_lines(path, Line, "correct it", problems)]
    assert found == [(1, {"number": 1, "later": [2]}), (6, {"number": 3})]
    said = [str(problem).removeprefix(str(path)) for problem in problems]
    assert said[0].startswith(" line 2 number: found 2.5; expected a valid integer")
    assert said[1].startswith(" line 3: found no number;")
    assert said[2].startswith(" line 4 number: found True; expected a valid integer")
    assert said[3].startswith(" line 5: found a list; expected an object")
    with pytest.raises(InputError, match="line 2 number"):
        list(read_json_lines(path, Line, "correct it"))


@pytest.mark.parametrize("torn", [b'{"number": 2}', b'{"number', b'{"number\n', b"\0\0\0\n", b"\n"])
def test_only_a_torn_last_line_is_left_out(tmp_path, torn):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"number": 1}\n' + torn)
    assert [record["number"] for _, _, record in read_json_lines(path, Line, "correct it")] == [1]
    for last in (b'{"number": "x"}\n', b'{"number": NaN}\n', b"[]\n"):  # whole lines, and wrong
        path.write_bytes(b'{"number": 1}\n' + last)
        with pytest.raises(InputError, match=r"x\.jsonl line 2"):
            list(read_json_lines(path, Line, "correct it"))


# ------------------------------------------------------------------------------------------------ files


def test_only_regular_files_are_opened_and_nothing_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        os.chdir(tmp_path)  # a socket's path is short
        bound.bind("socket")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, words in {
        "pipe": "a pipe",
        "link": "a pipe",
        "socket": "a socket",
        "/dev/zero": "a device",
        ".": "is a directory",
        "loop": "too many levels of symbolic links",
        "x" * 300: "file name too long",
        "a\0b": "a NUL byte in the path",
        "nowhere": "no such file",
    }.items():
        with pytest.raises(InputError, match=words):
            open_input(tmp_path / name)
        with pytest.raises(InputError, match=words):
            list(read_lines(tmp_path / name))
    (tmp_path / "file").write_bytes(b"12345")
    assert read_input(tmp_path / "file", 5) == b"12345"
    with pytest.raises(InputError, match="more than 4 bytes"):
        read_input(tmp_path / "file", 4)


def test_a_gzip_file_is_not_unpacked_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("model_core.input_file.MOST_UNPACKED", 1 << 20)
    path = tmp_path / "x.bed.gz"
    path.write_bytes(gzip.compress(b"chr1\t1\t2\n" * 1_000_000, mtime=0))
    with pytest.raises(InputError, match=r"x\.bed\.gz: found a gzip file that unpacks to more than"):
        sum(1 for _ in read_lines(path))
    path.write_bytes(gzip.compress(b"chr1\t1\t2\n" * 100_000, mtime=0))
    assert sum(1 for _ in read_lines(path)) == 100_000
    monkeypatch.setattr("model_core.input_file.LONGEST_LINE", 1 << 16)
    path.write_bytes(b"a\n" + b"x" * 200_000)
    with pytest.raises(InputError, match=r"line 2: found more than 65,536 bytes"):
        list(read_lines(path))


# ------------------------------------------------------------------------------------------------ the run folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run with every file that a run folder may hold."""
    folder = tmp_path_factory.mktemp("records")
    run = Run.open(make_viewer_run(folder / "run", make_study(folder / "study"), genes=2))
    gene = run.genes.iloc[0]
    row = ["E1", 9000, 9100, 0.5, 3, 0.1, 0.2, 1]
    record = {"gene_id": gene["gene_id"], "symbol": gene["symbol"], "chrom": "chr1", "predicted": 1.0, "rows": [row]}
    about = {"label_transform": "log10p1", "rule": run.rule.to_dict(), "checkpoint": None, "controls": 3}
    for _ in range(2):
        append_effects(run.path, {**record, **about})
    item = {"gene_id": gene["gene_id"], "symbol": "S", "kind": "peak", "chrom": "chr1", "start": 1, "end": 2}
    for decision in ("agree", "note"):
        append_decision(run.path, {**item, "decision": decision})
    track = Occlusion(gene["gene_id"], "chr1", 8000, 4000, 128, 64, np.zeros(63, np.float32), 1.0, "None")
    write_occlusion(run.path, track)
    run.write_json("metrics.json", {"prediction": {"test": {"genes": 3, "mse": 0.5}}})
    write_calibration(run)
    (run.path / "blacklist.bed").write_text("chr1\t5000\t5500\n")
    (run.path / "training").mkdir(exist_ok=True)
    (run.path / "training" / "history.csv").write_text("step,loss\n1,0.5\n2,0.25\n")
    return run.path


LINES = ("scores.jsonl", "effects/effects.jsonl", "audit.jsonl")
TABLES = ("chrom.sizes", "genes.tsv", "elements/elements.bed", "blacklist.bed", "peaks/peaks.narrowPeak")
VALUES = (None, True, -1, 1.5, 10**30, "", "x", "a\0b", [], {}, [[[]]], {"a": 1}, "../" * 200, 2**63)
CELLS = ("", "-1", "nan", "inf", "1e309", "99999999999999999999999", "x", "1.5", "\x1b[31m")
BYTES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2] + b"\n",
    "a NUL byte": lambda data: data.replace(b"\n", b"\0\n", 1),
    "no text": lambda data: data[:9] + b"\xff\xfe" + data[9:],
    "deep": lambda data: b'{"a":' + b"[" * 100_000 + b"\n" + data,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "gzipped": lambda data: gzip.compress(data, mtime=0),
}
ROUTES = (
    *(
        "view",
        "genes",
        "search?q=MYC",
        "genes/MYC/mask",
        "genes/MYC/elements",
        "genes/MYC/elements.bed",
        "elements.tsv",
    ),
    *(
        "peaks?chrom=chr1",
        "blacklist?chrom=chr1",
        "owners?chrom=chr1&start=9000&end=12000",
        "audit",
        "audit.tsv",
        "suggest?q=M",
    ),
    *("genes/MYC/effects", "genes/MYC/occlusion", "whatif", "genes/MYC/igv-session.json"),
)


def read_all(path: Path) -> None:
    """Read a run as the program does: each reader gives something, or an InputError."""
    run, said = outcome(lambda: Run.open(path))
    if said:
        assert str(path) in said
        return
    names = ("genes", "elements", "effects", "metrics", "config", "study", "chrom_sizes", "peaks", "blacklist", "rule")
    reads = [lambda name=name: getattr(run, name) for name in (*names, "model_config", "checkpoint", "calibration")]
    reads += [lambda: read_decisions(path), lambda: run.occlusion("MYC"), lambda: run.cut("MYC")]
    for read in reads:
        _, said = outcome(read)
        assert not said or str(path) in said or "no gene" in said


def show(path: Path, cache: Path) -> None:
    """Open a run as a server does; each route answers, with words where something is damaged."""
    try:
        registry = RunRegistry([path], cache=cache)
    except InputError:
        return
    app = Flask("records")
    app.register_blueprint(api(registry, "/", Jobs()))
    client = app.test_client()
    for route in ROUTES:
        answer = client.get(f"/api/v1/{registry.first.key}/{route}")
        assert answer.status_code < 500 or answer.status_code == 503, (route, answer.data)
        assert answer.status_code == 200 or "message" in answer.json, route
    registry.close()


def broken(file: str, data: bytes, rng: np.random.Generator, count: int) -> list[bytes]:
    """The content of a file, broken in some ways."""
    found = [change(data) for change in BYTES.values()]
    for _ in range(count):
        lines = data.decode().splitlines()
        at = int(rng.integers(len(lines)))
        if file in TABLES or file.endswith(".csv"):
            separator = "," if file.endswith(".csv") else "\t"
            cells = lines[at].split(separator)
            cells[int(rng.integers(len(cells)))] = str(rng.choice(CELLS))
            lines[at] = separator.join(cells[int(rng.integers(2)) :])
        else:
            value = json.loads(lines[at] if file in LINES else data)
            here, keys = value, list(value)
            while True:
                key = keys[int(rng.integers(len(keys)))]
                inner = here[key]
                keys = (
                    list(inner)
                    if isinstance(inner, dict)
                    else list(range(len(inner)))
                    if isinstance(inner, list)
                    else []
                )
                if not keys or rng.random() < 0.4:
                    break
                here = inner
            here[key] = VALUES[int(rng.integers(len(VALUES)))]
            lines = [*lines[:at], json.dumps(value), *lines[at + 1 :]] if file in LINES else [json.dumps(value)]
        found.append(("\n".join(lines) + "\n").encode())
    return found


JSON = ("manifest.json", "study.json", "config.json", "metrics.json", "calibration.json")
FILES = (*LINES, *TABLES, *JSON, "training/history.csv")


@pytest.mark.parametrize("file", FILES)
def test_a_broken_file_of_a_run_is_read_or_told_by_every_reader(whole, tmp_path, file):
    folder = shutil.copytree(whole, tmp_path / "run")
    rng = np.random.default_rng(FILES.index(file))
    for number, content in enumerate(broken(file, (whole / file).read_bytes(), rng, 4)):
        (folder / file).write_bytes(content)
        read_all(folder)
        if number % 10 == 0:
            show(folder, whole.parent / "cache")


@pytest.mark.parametrize("file", [*FILES, "occlusion"])
def test_a_pipe_in_place_of_a_file_of_a_run_does_not_hold_its_readers_up(whole, tmp_path, file):
    folder = shutil.copytree(whole, tmp_path / "run")
    path = occlusion_path(folder, Run.open(folder).gene("MYC")["gene_id"]) if file == "occlusion" else folder / file
    path.unlink()
    os.mkfifo(path)
    read_all(folder)
    show(folder, whole.parent / "cache")


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("metrics.json", "Metrics of the run are not shown"),
        ("calibration.json", "The chance of elements is not shown"),
        ("effects/effects.jsonl", "Effects of elements are not shown"),
        ("audit.jsonl", "Decisions of the peak audit are left out"),
        ("study.json", "The study of the run could not be read"),
        ("config.json", "Settings of the model are not known"),
        ("occlusion", "An occlusion track is not shown"),
        ("training/history.csv", "The history of the training is not shown"),
        ("peaks/peaks.narrowPeak", "Peaks are not shown"),
    ],
)
def test_a_damaged_file_that_is_not_needed_is_listed_and_the_rest_is_shown(whole, tmp_path, file, what):
    folder = shutil.copytree(whole, tmp_path / "run")
    gene_id = Run.open(folder).gene("MYC")["gene_id"]
    path = occlusion_path(folder, gene_id) if file == "occlusion" else folder / file
    path.write_bytes(b"{damaged\n" + (b"" if file == "occlusion" else path.read_bytes()))
    registry = RunRegistry([folder], cache=whole.parent / "cache")
    app = Flask("records")
    app.register_blueprint(api(registry, "/", Jobs()))
    client, view = app.test_client(), registry.first
    assert client.get(f"/api/v1/{view.key}/genes/MYC/mask").status_code == 200
    assert client.get(f"/api/v1/{view.key}/view").status_code == 200
    _ = view.metrics, view.effects, view.config, view.decisions, view.occlusion(gene_id), view.history, view.peaks
    _ = view.calibration
    notes = [note for note in view.notes if note.startswith(what)]
    assert len(notes) == 1
    assert path.name in notes[0]
    assert any(what in line for line in describe(view))
    registry.close()


def test_the_words_on_a_damaged_journal_have_file_line_and_field(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    lines = (folder / "scores.jsonl").read_text().splitlines()
    for field, value, words in (
        ("tss", "10000", "found '10000'; expected a valid integer"),
        ("strand", ".", "found '.'; expected '+' or '-'"),
        ("predicted", "1", "found '1'; expected a valid number"),
        ("symbol", "a\tb", "expected a text without tabs"),
        ("tss", -1, "expected greater than or equal to 0"),
    ):
        wrong = json.dumps({**json.loads(lines[1]), field: value})
        (folder / "scores.jsonl").write_text(f"{lines[0]}\n{wrong}\n")
        with pytest.raises(InputError, match=rf"scores\.jsonl line 2 {field}: .*{re.escape(words)}"):
            Run.open(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("chrom.sizes", "chr2\t40000", "chr2\t-4", r"chrom\.sizes line 2: found the line 'chr2\\t-4'"),
        ("chrom.sizes", "chr2\t40000", "chr1\t40000", r"line 2: found chromosome 'chr1' a second time"),
        ("genes.tsv", "\n", "\tx\n", "cells"),
        ("elements/elements.bed", "\twith_peak\t", "\tno_class\t", "elements.bed line [0-9]+ class: found 'no_class'"),
        ("elements/elements.bed", "\tE1\t", "\tE1\tE1\t", r"line [0-9]+: found 18 cells"),
    ],
)
def test_a_wrong_cell_is_named_with_its_line(whole, tmp_path, file, old, new, words):
    folder = shutil.copytree(whole, tmp_path / "run")
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 2))
    with pytest.raises(InputError, match=words):
        _read_tables(folder)


def _read_tables(folder: Path) -> None:
    run = Run.open(folder)
    _ = run.genes, run.elements


def test_occlusion_tracks_that_claim_more_than_they_hold_are_refused(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    run = Run.open(folder)
    gene_id = str(run.gene("MYC")["gene_id"])
    path = occlusion_path(folder, gene_id)
    with zipfile.ZipFile(path) as stored:
        arrays = {name: stored.read(name) for name in stored.namelist()}
    for claimed in ("(10**12,)", "(1000000000000,)", "(-1,)", "(63, 63)"):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {claimed}, }}".encode()
        header += b" " * (117 - len(header)) + b"\n"
        made = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + arrays["effects.npy"][-252:]
        with zipfile.ZipFile(path, "w") as stored:
            for name, content in {**arrays, "effects.npy": made}.items():
                stored.writestr(name, content)
        with pytest.raises(InputError, match="a damaged file"):
            run.occlusion("MYC")


def test_a_run_of_schema_2_reads_back_what_was_written(tmp_path):
    run = make_run(tmp_path / "run", genes=3)
    again = Run.open(run.path)
    assert again.manifest == run.manifest == json.loads((run.path / "manifest.json").read_text())
    lines = [json.loads(line) for line in (run.path / "scores.jsonl").read_text().splitlines()]
    assert list(again._records().values()) == lines
    assert math.isnan(again.gene("G2")["observed"])
