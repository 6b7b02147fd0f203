"""Tracks that people bring: told by content, held against the genome, opened from allowed folders by id alone."""

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from track_files import all_files
from track_files import bigbed as bigbed_of
from track_files import bigwig as bigwig_of
from viewer_run import make_study, make_viewer_run

from model_core.errors import InputError
from model_core.run_folder.tracks import Block, write_bigwig
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs import user_tracks
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.user_tracks import check_bigwig, read_track
from seq2exp_viz.serving.allowed_files import AllowedFiles

SIZES = {"chr1": 40_000, "chr2": 40_000}
BED = b"chr1\t100\t200\tone\nchr2\t5\t9\t<b>two</b>\n"
PEAKS = b"chr1\t100\t200\tone\t1200\t.\t9.5\t-1\t-1\t50\n"


@pytest.fixture(scope="module")
def bigwig(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("bigwig") / "x.bw"
    write_bigwig(path, SIZES, [Block("chr1", 0, 10, [1.0, 2.0, 3.0])], 2)
    return path.read_bytes()


def test_bed_and_narrowpeak_are_told_by_their_content():
    bed, peaks = read_track(BED, "a.txt", SIZES), read_track(gzip.compress(PEAKS), "b.bed", SIZES)
    assert (bed["kind"], peaks["kind"]) == ("BED", "narrowPeak")
    assert bed["features"][1] == {"chr": "chr2", "start": 5, "end": 9, "name": "<b>two</b>"}
    assert peaks["features"][0]["signal_value"] == 9.5
    assert bed["notes"] == peaks["notes"] == []


def test_names_without_chr_are_read_in_the_genomes_spelling_and_the_rest_is_counted():
    text = b"1\t100\t200\n1\t39000\t41000\nscaffold9\t1\t5\nscaffold9\t2\t5\n"
    told = read_track(text, "a.bed", SIZES)
    assert [(f["chr"], f["start"]) for f in told["features"]] == [("chr1", 100)]
    assert told["notes"][0].startswith("2 rows lie on chromosomes")
    assert told["notes"][1].startswith("1 rows end beyond")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no row"),
        (b"\x89PNG\r\n\x1a\n\0\0", "mine.bed.*a picture"),
        (b"\x7fELF\0\1\2\3" * 9, "mine.bed.*not text"),
        (b"just words\n", "mine.bed"),
        (b"chr1\t5\tx\n", "mine.bed line 1"),
        (b"chrQ\t1\t2\n", "only chromosomes 'chrQ'"),
        (gzip.compress(BED)[:-9], "truncated gzip"),
        (gzip.compress(b"#" * 17_000_000), "16 MB"),
        (b"chr1\t1\t2\n" * 50_001, "50,001 rows"),
    ],
)
def test_what_cannot_be_shown_is_told_under_the_files_own_name(content, words):
    with pytest.raises(InputError, match=words) as told:
        read_track(content, "mine.bed", SIZES)
    assert "/tmp" not in str(told.value)


def _changed(made: tuple[str, int, int, bytes]) -> bytes:
    """A sound file with some of its bytes replaced."""
    name, at, length, others = made
    content = FILES[name]
    return content[:at] + others + content[at + length :]


FILES = {name: content for name, content in all_files().items() if len(content) < 1_000}
TEXTS = st.tuples(
    st.sampled_from(sorted(FILES)),
    st.integers(0, 300),
    st.integers(0, 20),
    st.sampled_from([b"", b"\t", b"x", b"-1", b"9,"]),
).map(_changed)


@settings(max_examples=200, deadline=None)
@given(st.one_of(TEXTS, st.binary(max_size=300), st.text(alphabet="chr12\t\n.+-0x#", max_size=200).map(str.encode)))
def test_any_bytes_give_features_inside_the_genome_or_one_message(content):
    try:
        told = read_track(content, "any", SIZES)
    except InputError:
        return
    assert all(0 <= f["start"] <= f["end"] <= SIZES[f["chr"]] for f in told["features"])


def test_a_bigwig_is_known_by_its_head_and_tail(bigwig):
    assert check_bigwig(bigwig, bigwig[-4:], "x", SIZES) == {"kind": "bigwig", "aliases": {}, "notes": []}
    assert "same assembly" in check_bigwig(bigwig, bigwig[-4:], "x", {"chr1": 50_000})["notes"][0]
    for head, tail, sizes, words in (
        (bigwig, b"\0\0\0\0", SIZES, "truncated"),
        (bigwig[:100], bigwig[-4:], SIZES, "damaged header"),
        (bigwig, bigwig[-4:], {"chrQ": 40_000}, "only chromosomes 'chr1'"),
        (b"\xeb\xf2\x89\x87" + bigwig[4:], bigwig[-4:], SIZES, "a complete bigBed"),
    ):
        with pytest.raises(InputError, match=words):
            check_bigwig(head, tail, "x.bw", sizes)


@pytest.mark.parametrize(
    ("own", "genome"),
    [("1", "chr1"), ("chr1", "1"), ("CHR1", "chr1"), ("MT", "chrM"), ("chrM", "MT"), ("M", "chrM"), ("chrMT", "M")],
)
def test_every_kind_of_file_is_read_in_every_spelling_of_a_chromosome(own, genome):
    sizes = {genome: 40_000, "chr9": 100}
    expected = {} if own == genome else {genome: own}
    for content in (bigwig_of({own: 40_000}, own), bigbed_of({own: 40_000, "chr8": 9}, own)):
        assert check_bigwig(content, content[-4:], "x", sizes)["aliases"] == expected
    for text in (f"{own}\t1\t5\n", f"{own}\t1\t5\t1.5\n", f"fixedStep chrom={own} start=2\n7\n"):
        told = read_track(text.encode(), "x", sizes)
        assert (told["features"][0]["chr"], told["features"][0]["start"], told["notes"]) == (genome, 1, [])
    arc = read_track(f"{own}\t1\t5\t{own}\t7\t9\n".encode(), "x", sizes)["features"][0]
    assert (arc["chr1"], arc["chr2"]) == (genome, genome)


def test_a_files_own_spelling_goes_before_an_alias():
    content = bigwig_of({"1": 40_000, "chr1": 40_000}, "chr1")
    assert check_bigwig(content, content[-4:], "x", {"chr1": 40_000})["aliases"] == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fixedStep chrom=chr1 start=1\n1\nx\n", "mine.wig line 3: found 'x' as a value; expected a finite number"),
        (
            "fixedStep chrom=chr1 start=0\n1\n",
            "mine.wig line 1: found '0' as a position; expected a whole number from 1",
        ),
        ("variableStep span=5\n1 2\n", "mine.wig line 1: found 'variableStep span=5'; expected variableStep chrom=..."),
        ("variableStep chrom=chr1\n1\n", "mine.wig line 2: found 1 columns; expected a position and a value"),
        ("variableStep chrom=chr1\n1 inf\n", "mine.wig line 2: found 'inf' as a value"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(text, words):
    with pytest.raises(InputError, match=words):
        read_track(text.encode(), "mine.wig", SIZES)


def test_gene_models_are_drawn_once_with_their_coding_part():
    notes = 'gene_id "G"; gene_name "A"; transcript_id "T";'
    rows = [("gene", 101, 900, 'gene_id "G";'), ("transcript", 101, 900, notes), ("exon", 101, 300, notes)]
    rows += [
        ("exon", 701, 900, notes),
        ("CDS", 201, 300, notes),
        ("CDS", 701, 750, notes),
        ("gene", 1001, 1100, 'gene_id "H";'),
    ]
    text = "".join(f"chr1\tx\t{kind}\t{a}\t{b}\t.\t-\t.\t{more}\n" for kind, a, b, more in rows)
    told = read_track(text.encode(), "x.gtf", SIZES)["features"]
    assert [(f["name"], f["start"], f["end"]) for f in told] == [("A", 100, 900), ("H", 1000, 1100)]
    assert told[0]["exons"] == [{"start": 100, "end": 300, "cdStart": 200}, {"start": 700, "end": 900, "cdEnd": 750}]
    assert "exons" not in told[1]


# ---------------------------------------------------------------------------------------------- through the server


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bigwig) -> Path:
    folder = tmp_path_factory.mktemp("allowed")
    (folder / "in" / "deep").mkdir(parents=True)
    (folder / "in" / "deep" / "a.bed").write_bytes(BED)
    (folder / "in" / "b.bw").write_bytes(bigwig)
    (folder / "in" / "notes.txt").write_text("no track")
    (folder / "in" / ".hidden.bed").write_bytes(BED)
    (folder / "secret.bed").write_bytes(BED)
    os.symlink(folder / "secret.bed", folder / "in" / "link.bed")
    os.symlink(folder / "in" / "b.bw", folder / "in" / "same.bw")
    return folder


@pytest.fixture(scope="module")
def client(tmp_path_factory, folder):
    base = tmp_path_factory.mktemp("own")
    registry = RunRegistry(
        [make_viewer_run(base / "run", make_study(base / "study"), name="own", genes=1)], cache=base / "cache"
    )
    app = create_app(registry, Settings(igv="notebook", prefix="/p/", allowed=AllowedFiles([folder / "in"])))
    yield app.server.test_client()
    registry.close()


def test_a_dropped_file_is_checked_and_forgotten(client, bigwig):
    told = client.post("/p/api/v1/own/own?name=mine.bed", data=BED)
    assert told.status_code == 200
    assert len(told.get_json()["features"]) == 2
    tail = bigwig[-4:].hex()
    assert client.post(f"/p/api/v1/own/own?name=x.bw&tail={tail}", data=bigwig).get_json()["kind"] == "bigwig"
    for query, content, status in (
        ("name=x.bed", b"nonsense", 400),
        ("name=x.bw&tail=zz", bigwig, 400),
        ("name=x.bw", bigwig, 400),
        ("name=x.bed", b"#" * (user_tracks.MOST_BYTES + 1), 413),
    ):
        answer = client.post(f"/p/api/v1/own/own?{query}", data=content)
        assert answer.status_code == status
        assert "x.b" in answer.get_json()["message"] or "tail" in answer.get_json()["message"]
    foreign = client.post("/p/api/v1/own/own", data=BED, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403


def test_allowed_files_are_listed_by_id_and_nothing_else_opens(client, bigwig):
    listed = client.get("/p/api/v1/own/allowed").get_json()
    assert [file["name"] for file in listed] == ["b.bw", "same.bw", "deep/a.bed"]
    by_name = {file["name"]: file["id"] for file in listed}
    assert len(client.get(f"/p/api/v1/own/allowed/{by_name['deep/a.bed']}").get_json()["features"]) == 2
    told = client.get(f"/p/api/v1/own/allowed/{by_name['b.bw']}").get_json()
    part = client.get(told["url"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.data) == (206, bigwig[:4])
    for text in ("secret.bed", "..%2Fsecret.bed", "link.bed", "0" * 20, "deep/a.bed", "%00"):
        assert client.get(f"/p/api/v1/own/allowed/{text}").status_code == 404, text
        assert client.get(f"/p/allowed/{text}").status_code == 404, text


@given(st.text(max_size=60))
def test_no_text_but_an_id_leads_to_a_file(folder, text):
    allowed = AllowedFiles([folder / "in"])
    assert allowed.path(text) is None or text in {file.id for file in allowed.files()}


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="correct --allow"):
        AllowedFiles([tmp_path / "nope"])


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("x.bedGraph", "chr1\t1\t20\tinf"),
        ("x.bed", "chr1\t1\t20\tx\t-inf\t+"),
        ("x.narrowPeak", "chr1\t1\t20\tx\t5\t.\tinf\tnan\t1\t-1"),
        ("x.bedpe", "chr1\t1\t20\tchr1\t30\t40\tx\tinf\t+\t-"),
    ],
)
def test_infinite_numbers_of_a_track_are_left_out_of_its_json(name, row):
    track = read_track(f"{row}\n".encode(), name, {"chr1": 40_000})
    assert len(track["features"]) == 1
    json.dumps(track, allow_nan=False)
