"""Names of contigs in igv.js: tied one to one to the genome's, plain, and never one that igv.js takes for another."""

import re

from hypothesis import given
from hypothesis import strategies as st

from seq2exp_viz.runs.igv_names import IgvNames

NAME = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)
ALIKE = st.sampled_from(
    ["1", "chr1", "CHR1", "Chr1", "chrchr1", "all", "ALL", "__proto__", "constructor", "1.1", "contig.1"]
)


def spellings(name: str) -> set[str]:
    """What igv.js takes for `name` of itself."""
    prefixed = name[3:] if name.startswith("chr") else f"chr{name}"
    return {name, name.upper(), name.lower(), name[:1].upper() + name[1:], prefixed}


@given(st.lists(st.one_of(NAME, ALIKE), min_size=1, max_size=12, unique=True))
def test_names_are_plain_and_lead_back(contigs):
    names = IgvNames(dict.fromkeys(contigs, 100))
    given_names = [names.given(contig) for contig in contigs]
    assert [names.own(name) for name in given_names] == contigs
    assert len(set(given_names)) == len(contigs)
    for name in given_names:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
        assert name.lower() not in ("all", "constructor")
        assert not spellings(name) & set(given_names) - {name}
        assert names.own(name) == name or name not in contigs


def test_usual_names_stay_as_they_are():
    usual = [
        *(f"chr{i}" for i in range(1, 23)),
        "chrX",
        "chrY",
        "chrM",
        "chrUn_KI270302v1",
        "chr1_KI270706v1_random",
        "GL000192.1",
    ]
    assert IgvNames(dict.fromkeys(usual, 100)).renamed == {}


def test_the_file_of_aliases_ties_both_and_knows_the_mitochondrions_names():
    lines = IgvNames({"chrM": 5, "a:b": 6, "chr1": 7}).aliases().splitlines()
    assert lines == ["chrM\tMT\tM", "a_b.1\ta:b", "chr1"]
