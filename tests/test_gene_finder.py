"""Genes by what people call them: ids, ids without version, symbols; what is ambiguous is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.gene_finder import GeneFinder, matched

IDS = ["ENSG00000102145.12", "ENSG00000000001", "ENSG00000000002.3", "ENSG00000000002.3_PAR_Y", "AC012345.1", "GATA1"]
SYMBOLS = ["GATA1", "HBE1", "twin", "TWIN", "AC012345.1", "other"]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("ENSG00000102145.12", [0]),
        ("ENSG00000102145", [0]),
        ("ENSG00000102145.3", [0]),
        ("ensg00000102145", [0]),
        ("ENSG00000000001.7", [1]),
        ("ENSG00000000002", [2]),
        ("ENSG00000000002_PAR_Y", [3]),
        ("GATA1", [5]),
        ("gata1", [0]),
        ("hbe1", [1]),
        ("twin", [2]),
        ("Twin", [2, 3]),
        ("AC012345.1", [4]),
        ("AC012345", [4]),
        ("AC012345.2", []),
        ("NOSUCH", []),
        ("", []),
    ],
)
def test_a_gene_is_found_by_every_name_it_has(name, rows):
    finder = GeneFinder(IDS, SYMBOLS)
    assert finder.rows(name) == rows
    assert finder.row(name) == (rows[0] if len(rows) == 1 else None)
    assert (finder.problem(name) is None) == (len(rows) == 1)


def test_what_is_wrong_with_a_name_is_told():
    finder = GeneFinder(IDS, SYMBOLS)
    assert finder.problem("Twin") == "2 genes named 'Twin' ('ENSG00000000002.3', 'ENSG00000000002.3_PAR_Y')"
    assert finder.problem("HBE2") == "no gene 'HBE2' (did you mean HBE1?)"
    assert finder.row("Twin", "ENSG00000000002") == 2
    assert finder.row("HBE1", "ENSG999") == 1
    assert matched(["HBE1", "Twin", "x", "HBE1"], finder).tolist() == [1, -1, -1, 1]


@given(st.lists(st.text(max_size=6), max_size=6), st.text(max_size=6))
def test_any_id_finds_itself_first(ids, name):
    finder = GeneFinder(ids)
    for gene_id in ids:
        assert finder.rows(gene_id) == [row for row, other in enumerate(ids) if other == gene_id]
    assert all(0 <= row < len(ids) for row in finder.rows(name))
