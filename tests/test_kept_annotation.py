"""A parsed annotation comes from the cache the second time, and only where it is that of this very file."""

import multiprocessing
import os

import numpy as np
import pandas as pd
import pytest

from model_core import kept_tables
from model_core.errors import InputError
from model_core.study import annotation
from model_core.study.annotation import read_gtf
from model_core.study.kept_annotation import ANNOTATIONS, parsed_gtf


def write_gtf(path, genes=300, symbol="GENE"):
    rows = []
    for number in range(genes):
        start, strand = 1_000 * number + 1, "+-"[number % 2]
        about = f'gene_id "ENSG{number}.1"; gene_name "{symbol}{number} é;"; gene_type "protein_coding";'
        where = f"{start}\t{start + 500}\t.\t{strand}\t."
        rows.append(f"chr{number % 3}\tmade\tgene\t{where}\t{about}\n")
        for kind in ("exon", "CDS"):
            rows.append(f'chr{number % 3}\tmade\t{kind}\t{where}\t{about} transcript_id "T{number}";\n')
    path.write_text("".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def gtf(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_tables, "_LONG", 0.0)
    return write_gtf(tmp_path / "genes.gtf")


@pytest.fixture
def parses(monkeypatch):
    """Paths that were parsed."""
    seen = []
    monkeypatch.setattr(annotation, "read_gtf", lambda path: seen.append(path) or read_gtf(path))
    return seen


def kept(folder):
    return sorted((folder / "cache" / "annotations").glob("*"))


def test_the_second_start_reads_the_same_table_without_parsing(gtf, parses):
    first, second = parsed_gtf(gtf), parsed_gtf(gtf)
    assert parses == [gtf]
    pd.testing.assert_frame_equal(second, first)
    pd.testing.assert_frame_equal(second, read_gtf(gtf))


def test_another_content_of_the_same_length_and_time_is_parsed(gtf, parses):
    parsed_gtf(gtf)
    before = gtf.stat()
    write_gtf(gtf, symbol="NAME")
    os.utime(gtf, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert gtf.stat().st_size == before.st_size
    assert parsed_gtf(gtf).symbol.iloc[0].startswith("NAME")
    assert len(parses) == 2


def test_another_version_of_the_parser_parses_again(gtf, parses, monkeypatch):
    parsed_gtf(gtf)
    monkeypatch.setattr(kept_tables, "_digest", lambda *files: "later")
    parsed_gtf(gtf)
    assert len(parses) == 2


def test_damage_is_never_read_and_the_file_is_written_anew(gtf, tmp_path, parses):
    whole = parsed_gtf(write_gtf(gtf, 20))
    (place,) = kept(tmp_path)
    content, rng = place.read_bytes(), np.random.default_rng(17)
    damaged = [b"", b"PK", b"\x93NUMPY", content[:-1], content[: len(content) // 2]]
    for at in rng.integers(0, len(content), 40):
        damaged.append(content[:at] + bytes([content[at] ^ 1 << rng.integers(8)]) + content[at + 1 :])
    for bad in damaged:
        place.write_bytes(bad)
        pd.testing.assert_frame_equal(parsed_gtf(gtf), whole)
    place.write_bytes(damaged[0])
    before = len(parses)
    parsed_gtf(gtf)
    assert len(parses) == before + 1
    assert place.stat().st_size == len(content)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("chrom", np.array([{"a": 1}], dtype=object)),
        ("chrom", np.zeros(3, np.int8)),
        ("start", np.zeros(900, np.float64)),
        ("gene_id", np.full(900, 10_000, np.int32)),
        ("symbol.words", np.frombuffer(b"\xff\xfe", np.uint8)),
    ],
)
def test_what_is_no_table_is_parsed_again(gtf, tmp_path, parses, name, array):
    whole = parsed_gtf(gtf)
    (place,) = kept(tmp_path)
    with np.load(place) as held:
        arrays = {key: held[key] for key in held}
    with place.open("wb") as file:
        np.savez(file, **{**arrays, name: array})
    pd.testing.assert_frame_equal(parsed_gtf(gtf), whole)
    assert len(parses) == 2


def _in_another_process(path):
    return hash(tuple(parsed_gtf(path).symbol))


def test_processes_that_start_together_leave_one_whole_file(gtf, tmp_path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert len(set(pool.map(_in_another_process, [gtf] * 6, chunksize=1))) == 1
    assert len(kept(tmp_path)) == 1
    assert np.load(kept(tmp_path)[0])["start"].shape == (900,)


def test_the_annotations_used_last_are_kept(gtf, tmp_path, parses):
    for number in range(ANNOTATIONS.most + 2):
        parsed_gtf(write_gtf(tmp_path / f"{number}.gtf", 3, f"S{number}"))
    assert len(kept(tmp_path)) == ANNOTATIONS.most


def test_a_cache_that_cannot_be_written_is_no_obstacle_and_errors_stay(gtf, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert len(parsed_gtf(gtf)) == 900
    gtf.write_text("nothing\n")
    with pytest.raises(InputError, match="9 columns"):
        parsed_gtf(gtf)
    with pytest.raises(InputError):
        parsed_gtf(tmp_path / "missing.gtf")
