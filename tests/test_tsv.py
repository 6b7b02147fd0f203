"""Tab-separated tables: a row a line whatever the quotes, and what is written is read back the same."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.tsv import cell_text, cells_of, read_table, table_text

ANYWHERE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# What a reader might stumble on, much of it quotes, and no tab or line end.
CELL = st.text(st.sampled_from('"" #,;\\\'aé1.N\u00a0\u2028'), max_size=7)
ODD = st.sampled_from(['"5 prime', '5"', '"', '""', '"""', '"a, ""b"""', '"a', 'a"b"', "#1", "NA", "", '" a "', "'x"])


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('"5 prime nucleotidase\tb', ['"5 prime nucleotidase', "b"]),
        ('5" end\t"\t""\t"""', ['5" end', '"', "", '"""']),
        ('"a, ""b"""\t"plain"', ['a, "b"', "plain"]),
        ('"a"b"\t"a" "b"', ['"a"b"', '"a" "b"']),
        (" a \t\t NA ", ["a", "", "NA"]),
        ('"a\tb"', ['"a', 'b"']),
    ],
)
def test_a_quote_is_a_character_unless_a_spreadsheet_put_it_round_the_cell(line, cells):
    assert cells_of(line) == cells


@pytest.mark.parametrize(
    ("line", "cells"), [('"a, b",c', ["a, b", "c"]), ('a"b,c', ['a"b', "c"]), (' "a""b", c', ['a"b', "c"])]
)
def test_between_commas_a_quoted_cell_may_hold_one(line, cells):
    assert cells_of(line, ",") == cells


@pytest.mark.parametrize("line", ['"a,b', '"a"b,c'])
def test_between_commas_a_quote_without_its_partner_is_an_error(line, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(f"one,two\n1,2\n{line}\n3,4\n")
    with pytest.raises(InputError, match=r"x\.csv line 3: found .*quote"):
        read_table(path, separator=",")


@given(st.one_of(CELL, ODD, st.text(max_size=5)))
def test_a_cell_that_is_written_is_read_back(value):
    expected = re.sub(r"[\t\r\n]+", " ", value)
    assert cells_of(f"x\t{cell_text(value)}\ty") == ["x", expected, "y"]


@ANYWHERE
@given(
    rows=st.lists(st.lists(st.one_of(CELL, ODD), min_size=3, max_size=3), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
    last=st.booleans(),
    zipped=st.booleans(),
    hashed=st.booleans(),
)
def test_what_is_written_is_read_back_whatever_the_line_ends(tmp_path, rows, end, mark, last, zipped, hashed):
    table = pd.DataFrame([[f"g{number}", *row] for number, row in enumerate(rows)], columns=["id", "a", "b", 'c"'])
    text = ("#" if hashed else "") + table_text(table)
    text = text.replace("\n", end)
    text = text if last else text.removesuffix(end)
    content = text.encode("utf-8-sig" if mark else "utf-8")
    path = tmp_path / "x.tsv"
    path.write_bytes(gzip.compress(content) if zipped else content)
    found = read_table(path)
    assert found.columns.tolist() == table.columns.tolist()
    assert found.index.tolist() == list(range(2, len(rows) + 2))
    assert found.to_numpy().tolist() == table.to_numpy().tolist()


@ANYWHERE
@given(lines=st.lists(st.lists(st.one_of(CELL, ODD), min_size=1, max_size=4).map("\t".join), max_size=8))
def test_there_are_as_many_rows_as_lines_or_one_line_is_named(tmp_path, lines):
    path = tmp_path / "x.tsv"
    path.write_text("\n".join(["gene_id\tdescription", *lines]))
    said, found = None, None
    try:
        found = read_table(path)
    except InputError as error:
        said = str(error)
    if said is not None:
        assert "x.tsv line" in said or "a header only" in said
        return
    texts = [line for line in lines if line.strip()]
    assert len(found) == len(texts)
    assert [cells_of(line) for line in texts] == found.to_numpy().tolist()


def test_comments_may_stand_before_the_header_and_nothing_after_it_is_lost(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("##made by hand\n# three genes\n#gene_id\tsymbol\n#1\ta\nG2\tb\n\n#3\tc\n")
    found = read_table(path)
    assert found.columns.tolist() == ["gene_id", "symbol"]
    assert found.gene_id.to_dict() == {4: "#1", 5: "G2", 7: "#3"}
    path.write_text("# a remark\ngene_id\tsymbol\nG2\tb\n")
    assert read_table(path).to_dict("list") == {"gene_id": ["G2"], "symbol": ["b"]}


def test_a_short_first_row_is_named_though_the_header_begins_with_a_hash(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("#gene_id\tsymbol\tchrom\nG1\ta\nG2\tb\tchr1\nG3\tc\tchr1\n")
    with pytest.raises(InputError, match="line 2: found 2 cells; expected 3"):
        read_table(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty file"),
        ("a\tb\n", "a header only; expected a header and"),
        ("a\tb\na\t1\n\nb\n", "line 4: found 1 cells; expected 2 cells, as in the header, separated by tabs"),
        ("a\ta\n1\t2\n", "repeated column names: 'a'"),
        ("gene_id,chrom\nG1,chr1\n", "cells separated by commas; expected cells separated by tabs"),
        ("gene_id;chrom\nG1;chr1\n", "cells separated by semicolons"),
        ('a\tb\n1\t"two\nlines"\n', "line 3: found 1 cells.*a quote never joins cells or lines"),
        ('a\tb\n1\t"two\tcells"\n', "line 2: found 3 cells.*a quote never joins cells or lines"),
    ],
)
def test_what_is_no_table_is_told_with_its_line(text, words, tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_table(path)


def test_a_header_alone_may_do(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("a\tb\n")
    found = read_table(path, None)
    assert found.columns.tolist() == ["a", "b"]
    assert found.empty


def test_numbers_are_written_as_asked_and_missing_ones_are_empty():
    table = pd.DataFrame(
        {
            "whole": pd.array([1, None], "Int64"),
            "share": [0.123456789, np.nan],
            "word": pd.Categorical(["x\ty", None]),
            "yes": [True, False],
        }
    )
    assert table_text(table, "%.3g") == "whole\tshare\tword\tyes\n1\t0.123\tx y\tTrue\n\t\t\tFalse\n"
    assert table_text(table[["share"]]) == 'share\n0.123456789\n""\n'  # a line without text is no row
