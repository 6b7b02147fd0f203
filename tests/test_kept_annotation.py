"""Parsed rows of an annotation are kept until the file changes, and are those that parsing gives."""

import os

import pandas as pd
import pytest

from model_core.study import kept_annotation
from model_core.study.annotation import read_gtf
from model_core.study.kept_annotation import kept_gtf

ROW = 'chr1\tx\t{kind}\t{start}\t{end}\t.\t+\t.\tgene_id "{gene}"; gene_name "N{gene}"; transcript_id "{gene}.1";\n'


@pytest.fixture
def gtf(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_annotation, "LEAST", 10)
    return write(tmp_path / "genes.gtf", "ABC")


def write(path, genes):
    rows = [(kind, gene, 100 * n + 1) for n, gene in enumerate(genes) for kind in ("gene", "exon")]
    path.write_text("".join(ROW.format(kind=kind, gene=gene, start=at, end=at + 50) for kind, gene, at in rows))
    return path


@pytest.fixture
def parsed(monkeypatch):
    calls = []
    monkeypatch.setattr(kept_annotation, "read_gtf", lambda path: calls.append(path) or read_gtf(path))
    return calls


def test_the_rows_are_parsed_once_and_are_the_same(gtf, parsed):
    for _ in range(2):
        pd.testing.assert_frame_equal(kept_gtf(gtf), read_gtf(gtf))
    assert len(parsed) == 1


def test_a_changed_file_is_parsed_again_also_with_the_length_and_date_of_the_old_one(gtf, parsed):
    kept_gtf(gtf)
    state = gtf.stat()
    write(gtf, "ABE")
    os.utime(gtf, ns=(state.st_atime_ns, state.st_mtime_ns))
    pd.testing.assert_frame_equal(kept_gtf(gtf), read_gtf(gtf))
    assert len(parsed) == 2


@pytest.mark.parametrize("damage", [lambda old: b"", lambda old: old[:-30], lambda old: old[:400] + b"?" + old[401:]])
def test_what_is_damaged_is_parsed_again(gtf, parsed, damage, tmp_path):
    kept_gtf(gtf)
    (kept,) = (tmp_path / "cache" / "annotations").iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    pd.testing.assert_frame_equal(kept_gtf(gtf), read_gtf(gtf))
    assert len(parsed) == 2


def test_a_cache_that_cannot_be_written_costs_time_only(gtf, parsed, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    for _ in range(2):
        pd.testing.assert_frame_equal(kept_gtf(gtf), read_gtf(gtf))
    assert len(parsed) == 2
