"""What a person types as a place: names first, then positions counted from 1, in whatever way they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.places import ContigNames, NoSuchPlace, NotAPlace, example, parse_place, parse_site, read_place, shown
from model_core.window import Site

HLA, NESTED, GI = "HLA-A*01:01:01:01", "chr1:1000-51000", "gi|568336023|gb|CM000663.2|"
ODD = [HLA, NESTED, GI, "a,b", "50%", "x#y", "p/q", "it's", 'say"so', "<b>x</b>", "β–γ", "7", "MYC", "1-2", "chr1.2"]
SIZES = {
    "chr1": 3_000_000,
    "chr2": 60_000,
    "chr3": 9_000,
    "chrM": 16_569,
    "A": 100,
    "a": 200,
    **dict.fromkeys(ODD, 99_000),
}
NAMES = ContigNames(SIZES)


def outcome(parse, text: str):
    try:
        return parse(text), ""
    except InputError as problem:
        return None, str(problem)


# ---------------------------------------------------------------------------------------------- ways to write a range

RANGES = [
    "chr1:1000-2000",
    "chr1:1,000-2,000",
    "chr1:1,000..2,000",
    "chr1:1000\u20132000",  # en dash
    "chr1:1000\u20142000",  # em dash
    "chr1:1000\u22122000",  # minus sign
    "chr1:1000\u20112000",  # dash that does not break
    "chr1:1000\uff0d2000",  # full width
    "chr1\uff1a1000-2000",
    "chr1:1000\u20262000",  # one letter of three dots
    "chr1 1000 2000",
    "chr1  1,000   2,000",
    "chr1\u00a01000\u00a02000",  # blanks that do not break
    "chr1 1000-2000",
    "chr1: 1000 - 2000",
    "chr1:1000 to 2000",
    "chr1-1000-2000",
    "chr1\u20131000\u20132000",
    "chr1_1000_2000",
    "chr1:1\u2009000-2\u2009000",  # thin spaces set off thousands
    "chr1:1\u202f000\u20132\u202f000",
    "chr1:1 000-2 000",
    "chr1:1'000-2'000",
    "chr1:1\u2019000-2\u2019000",
    "chr1:1.000-2.000",
    "chr1:1k-2k",
    "chr1:1kb-2kb",
    "chr1:1-2kb",
    "chr1:1.0K..2.0Kbp",
    "chr1:2000-1000",  # swapped
    "chr1:1000-2000:+",
    "chr1:1000-2000(-)",
    "1:1000-2000",
    "CHR1:1000-2000",
    "Chr1 1000 2000",
    "chromosome 1:1000-2000",
    " chr1:1000-2000 ",
    "\ufeffchr1:1000-2000",
    "chr1:\u200b1000-2000",
    "1000-2000",  # on the contig that is shown
    "1,000..2,000",
    "1k\u20132k",
]


@pytest.mark.parametrize("text", RANGES)
def test_a_range_is_understood_however_it_is_written(text):
    assert parse_place(text, NAMES, "chr1") == ("chr1", 999, 2_000)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("chr1:1.5mb-2mb", ("chr1", 1_499_999, 2_000_000)),
        ("chr1:1.5-2Mb", ("chr1", 1_499_999, 2_000_000)),
        ("chr1:1,5 Mb - 2 Mb", ("chr1", 1_499_999, 2_000_000)),
        ("chr1:1.500kb-2kb", ("chr1", 1_499, 2_000)),
        ("chr1:1.000.000-2.000.000", ("chr1", 999_999, 2_000_000)),
        ("chr1:1000", ("chr1", 999, 1_000)),
        ("chr1 1000", ("chr1", 999, 1_000)),
        ("chr1:1k", ("chr1", 999, 1_000)),
        ("chr2:59,000-90,000", ("chr2", 58_999, 60_000)),
        ("chr2", ("chr2", 0, 60_000)),
        ("2", ("chr2", 0, 60_000)),
        ("MT", ("chrM", 0, 16_569)),
        ("mt:5-10", ("chrM", 4, 10)),
        ("chrMT 5 10", ("chrM", 4, 10)),
        ("A:5", ("A", 4, 5)),
        ("a:5", ("a", 4, 5)),
    ],
)
def test_places_of_every_sort(text, place):
    assert parse_place(text, NAMES) == place


@pytest.mark.parametrize(
    "text",
    ["chr1\t1000\t2000", "1\t1000\t2000", "chr1\t1000\t2000\tname\t0\t+", "chr1\t2000\t1000", "chr1\t1000\t2000\r\n"],
)
def test_a_row_of_a_bed_file_is_counted_as_bed_counts(text):
    assert parse_place(text, NAMES) == ("chr1", 1_000, 2_000)


def test_a_mitochondrion_by_any_name_that_is_not_another_contigs():
    assert ContigNames({"MT": 5}).find("chrM") == "MT"
    assert ContigNames({"chrM": 5, "chrMT": 6}).find("MT") == "chrMT"


# ---------------------------------------------------------------------------------------------- names before places


@pytest.mark.parametrize("name", ODD)
def test_a_contigs_name_is_that_contig_whatever_it_looks_like(name):
    assert parse_place(name, NAMES, "chr1") == (name, 0, 99_000)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("end", [":5-10", " 5 10", ":5..10", " 5\u201310", ":5-10:-", "\u00a05\u00a010"])
def test_a_place_behind_any_name(name, end):
    assert parse_place(name + end, NAMES, "chr1") == (name, 4, 10)
    assert parse_place(shown(name, 4, 10), NAMES) == (name, 4, 10)


def test_the_longest_name_goes_first_and_the_genomes_own_before_other_spellings():
    assert parse_place("chr1:1000-51000:5-10", NAMES) == (NESTED, 4, 10)
    assert parse_place("chr1:1000-51001", NAMES) == ("chr1", 999, 51_001)
    assert parse_place(HLA.lower() + ":5-10", NAMES) == (HLA, 4, 10)
    assert parse_place("7 5 10", NAMES, "chr1") == ("7", 4, 10)
    assert parse_place("7-10", NAMES, "chr1") == ("chr1", 6, 10)  # two positions, no name with a position


@given(st.text(min_size=1, max_size=30).filter(lambda name: not any(c.isspace() or not c.isprintable() for c in name)))
def test_any_name_without_blanks_comes_back_as_it_was_shown(name):
    names = ContigNames({name: 5_000, "chr1": 9_000, f"{name}:1-2": 7_000})
    assert parse_place(f"{name}:1,001-2,000", names) == (name, 1_000, 2_000)
    assert parse_place(name, names) == (name, 0, names.sizes[name])
    for contig in names.sizes:
        assert read_place(f"{contig}:1001-2000", names) == (contig, 1_000, 2_000)


def test_what_the_program_wrote_is_read_back_where_two_readings_are_possible():
    assert read_place("chr1:1000-51000", NAMES) == ("chr1", 999, 51_000)  # so the page writes it
    assert parse_place("chr1:1000-51000", NAMES) == (NESTED, 0, 99_000)  # so a person types it
    assert read_place("chr1 1000 2000", NAMES) == ("chr1", 999, 2_000)  # a link that was changed by hand


# ---------------------------------------------------------------------------------------------- what is no place


@pytest.mark.parametrize(
    "text",
    ["", "x", "chr1:", "chr1:1e3", "chr1:1,00", "chr1:1-2-3", "chr1:-5", "chr1:0-5", "chr1:٣", "chr1:1.5", "1000"],
)
def test_what_has_no_form_of_a_place_is_told_with_one_that_works(text):
    with pytest.raises(NotAPlace, match="1-based, such as chr1:1,000-2,000"):
        parse_place(text, NAMES, "chr1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chr9:1-5", "no chromosome chr9"),
        ("chr9\t1\t5", "no chromosome chr9"),
        ("HLA-B*07:02:5-10", r"no chromosome HLA-B\*07:02 "),
        ("chr3:9,001-9,500", "chr3 ends at 9,000"),
        ("5000-6000", "On which chromosome"),
    ],
)
def test_a_place_that_this_genome_does_not_have_is_told_so(text, words):
    with pytest.raises(NoSuchPlace, match=words):
        parse_place(text, NAMES)


def test_a_spelling_that_two_contigs_share_is_nobodys():
    names = ContigNames({"hla": 5_000, "HLA": 5_000})
    with pytest.raises(NoSuchPlace, match="can mean 'hla', 'HLA'"):
        parse_place("Hla:1-5", names)


@given(st.text(max_size=40))
def test_any_typed_text_gives_a_place_of_the_genome_or_one_clear_message(text):
    place, complaint = outcome(lambda typed: parse_place(typed, NAMES, "chr2"), text)
    assert complaint if place is None else 0 <= place[1] < place[2] <= SIZES[place[0]]


@given(st.integers(0, 10**11), st.integers(1, 10**6))
def test_a_place_comes_back_as_it_was_shown(start, length):
    assert parse_place(shown("chr1", start, start + length), ContigNames({"chr1": 10**12})) == (
        "chr1",
        start,
        start + length,
    )


@pytest.mark.parametrize("sizes", [SIZES, {HLA: 3_181}, {"a,b": 50}, {"1:5-9": 9}])
def test_the_example_of_a_genome_works_in_it(sizes):
    assert parse_place(example(sizes), ContigNames(sizes))[0] in sizes


# ---------------------------------------------------------------------------------------------- sites


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("chr1:1,000:+", Site("chr1", 999, "+")),
        (" chr1:1000:- ", Site("chr1", 999, "-")),
        ("chr1:5", Site("chr1", 4, "+")),
        ("1 5 -", Site("chr1", 4, "-")),
        ("chr1:1.5mb:-", Site("chr1", 1_499_999, "-")),
        (f"{HLA}:7:-", Site(HLA, 6, "-")),
        (f"{NESTED}:7", Site(NESTED, 6, "+")),
        (f"{GI}:7:+", Site(GI, 6, "+")),
        ("7:5:+", Site("7", 4, "+")),
    ],
)
def test_a_site_is_a_name_a_position_and_a_strand(text, site):
    assert parse_site(text, NAMES) == site


def test_without_a_genome_the_name_of_a_site_ends_at_the_last_colon():
    assert parse_site("HLA:A*01:7:-") == Site("HLA:A*01", 6, "-")


@pytest.mark.parametrize("text", ["", "chr1", "chr1:0:+", "chr1:-5", "chr1:1,00", "chr1:1e3", ":5", "a b:5", "chr1:٣"])
@pytest.mark.parametrize("names", [None, ContigNames({"chr1": 9_000})])
def test_a_malformed_site_is_refused(text, names):
    with pytest.raises(InputError, match=r"1-based|no chromosome"):
        parse_site(text, names)


@pytest.mark.parametrize(("text", "words"), [("chr9:5:+", "no chromosome chr9"), ("chr3:9001:+", "1 to 9,000 on chr3")])
def test_a_site_off_the_genome_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        parse_site(text, NAMES)


@given(st.text(max_size=30))
def test_any_typed_text_gives_a_site_or_one_clear_message(text):
    for names in (None, NAMES):
        site, complaint = outcome(lambda typed, names=names: parse_site(typed, names), text)
        assert complaint if site is None else site.chrom and site.position >= 0
