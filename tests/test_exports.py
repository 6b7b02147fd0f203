"""Exports: files that other programs take, the same each time."""

import gzip
import re
from urllib.parse import unquote

import numpy as np
import pyBigWig
import pysam
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from needs import bedtools
from run_builder import make_run
from typer.testing import CliRunner

from model_core.bed import read_lines, read_narrowpeak
from model_core.errors import InputError
from model_core.run_folder.assemble import assemble
from model_core.run_folder.elements import CLASS_COLOURS, ElementRule, read_elements
from model_core.run_folder.run import Run
from model_core.run_folder.tracks import LONGEST_FOR_TBI, write_gff3
from model_core.track_formats import format_of
from seq2exp_viz.cli import app
from seq2exp_viz.reports.export import SUFFIXES, default_name, export
from seq2exp_viz.runs.text_tracks import gff_features

KINDS = ("bed", "bigwig", "narrowpeak", "gff3", "bedpe")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    run = make_run(tmp_path_factory.mktemp("exports") / "run", genes=5)
    assemble(run, rule=ElementRule(0.4, smooth_bp=20, max_gap=20, min_length=20))
    return run


def rows_of(text: str) -> list[list[str]]:
    return [line.split("	") for line in text.splitlines() if not line.startswith("#")]


def test_the_command_line_offers_every_kind(run, tmp_path):
    assert tuple(SUFFIXES) == KINDS
    for kind in KINDS:
        done = CliRunner().invoke(app, ["export", str(run.path), kind, "-o", str(tmp_path / kind)])
        assert done.exit_code == 0, done.output
        assert (tmp_path / kind).read_bytes() == export(run, kind, output=tmp_path / "same").read_bytes()


@pytest.mark.parametrize("gene", [None, "GENE2"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_export_done_twice_has_the_same_bytes(run, tmp_path, kind, gene):
    first, second = (export(run, kind, gene, tmp_path / name) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes() != b""


def test_bed_has_the_columns_browsers_know(run, tmp_path):
    path = export(run, "bed", output=tmp_path / "a.bed")
    lines = path.read_text().splitlines()
    header = [line for line in lines if line.startswith("#")]
    assert 'run="tiny"' in header[0]
    assert '"threshold": 0.4' in header[2]
    assert header[-1].startswith("#chrom\tstart\tend\tname\tscore\tstrand\tthickStart\tthickEnd\titemRgb\tgene_id")
    for line in lines[len(header) :]:
        fields = line.split("\t")
        assert int(fields[4]) == pytest.approx(1000 * float(fields[12]), abs=0.51)
        assert int(fields[1]) <= int(fields[6]) < int(fields[7]) <= int(fields[2])
        assert fields[5] in "+-"
        assert fields[8] == CLASS_COLOURS[fields[11]]
        assert fields[3].startswith(fields[10] + ":")
    assert len(read_elements(path)) == len(run.elements)


@pytest.mark.parametrize("kind", ["bed", "narrowpeak", "gff3"])
def test_bedtools_sorts_and_merges_an_export(run, tmp_path, kind):
    path = export(run, kind, output=tmp_path / "a.bed")
    rows = rows_of(path.read_text())
    assert rows_of(bedtools("sort", "-i", path)) == rows
    merged = rows_of(bedtools("merge", "-i", path))
    assert 0 < len(merged) <= len(rows)


def test_bedtools_takes_the_compressed_export(run, tmp_path):
    path = export(run, "bed", output=tmp_path / "a.bed.gz", bgzip=True)
    assert len(rows_of(bedtools("sort", "-i", path))) == len(run.elements)


def test_tabix_finds_elements_of_a_compressed_export(run, tmp_path):
    path = export(run, "bed", output=tmp_path / "a.bed.gz", bgzip=True)
    element = run.elements.iloc[0]
    with pysam.TabixFile(str(path)) as bed:
        found = list(bed.fetch(element["chrom"], element["start"], element["start"] + 1))
        assert any(row.split("\t")[1] == str(element["start"]) for row in found)
        assert bed.header[0].startswith("##seq2exp-viz")


def test_pybigwig_reads_the_mask_of_a_gene(run, tmp_path):
    path = export(run, "bigwig", "GENE1", tmp_path / "a.bigWig", decimals=None)
    mask = run.mask("GENE1")
    with pyBigWig.open(str(path)) as bigwig:
        assert bigwig.header()["nLevels"] > 0
        np.testing.assert_array_equal(bigwig.values(mask.chrom, mask.start, mask.end, numpy=True), mask.mask)
        assert bigwig.intervals("chr1") is None


def test_a_whole_export_is_the_merged_track_of_the_run(run, tmp_path):
    assert export(run, "bigwig", output=tmp_path / "a.bigWig").read_bytes() == run.merged_track.read_bytes()


def test_a_coarser_rounded_bigwig_is_smaller(run, tmp_path):
    whole = export(run, "bigwig", "GENE1", tmp_path / "a.bigWig", decimals=None)
    small = export(run, "bigwig", "GENE1", tmp_path / "b.bigWig", resolution=16, decimals=2)
    assert small.stat().st_size < whole.stat().st_size / 3
    mask = run.mask("GENE1")
    first = -(-mask.start // 16) * 16
    with pyBigWig.open(str(small)) as bigwig:
        value = bigwig.values(mask.chrom, first, first + 1)[0]
    offset = first - mask.start
    assert value == pytest.approx(mask.mask[offset : offset + 16].mean(), abs=0.0051)


def test_narrowpeak_is_the_elements_without_promoters(run, tmp_path):
    peaks = read_narrowpeak(export(run, "narrowpeak", output=tmp_path / "a.narrowPeak"))
    elements = run.elements[run.elements["class"] != "promoter"]
    assert len(peaks) == len(elements)
    assert peaks["score"].between(0, 1000).all()
    assert (peaks["start"] + peaks["summit"]).tolist() == elements["thickStart"].tolist()
    assert peaks["signal_value"].tolist() == pytest.approx(elements["max_mask"].tolist())


def attributes_of(row: list[str]) -> dict[str, str]:
    """The ninth column as the specification says to read it: split first, then decoded."""
    return {key: unquote(value) for key, _, value in (part.partition("=") for part in row[8].split(";"))}


def test_gff3_is_the_elements_with_1_based_places(run, tmp_path):
    text = export(run, "gff3", output=tmp_path / "a.gff3").read_text()
    lines = text.splitlines()
    assert lines[0] == "##gff-version 3"
    assert lines[1:3] == [f"##sequence-region {chrom} 1 {run.chrom_sizes[chrom]}" for chrom in ("chr1", "chr2")]
    assert 'run="tiny"' in lines[3]
    assert sum(line.startswith("##") for line in lines) == 3
    rows, elements = rows_of(text), run.elements
    assert [row[0] for row in rows] == elements["chrom"].tolist()
    assert [(int(row[3]) - 1, int(row[4])) for row in rows] == list(
        zip(elements["start"], elements["end"], strict=True)
    )
    assert {(row[1], row[7]) for row in rows} == {("seq2exp-viz", ".")}
    assert [row[6] for row in rows] == elements["strand"].tolist()
    for row, element in zip(rows, elements.to_dict("records"), strict=True):
        assert row[2] == ("promoter" if element["class"] == "promoter" else "regulatory_region")
        assert attributes_of(row) == {
            "ID": f"{element['gene_id']}:{element['name']}",
            "Name": f"{element['symbol']}:{element['name']}",
            "gene_id": element["gene_id"],
            "class": element["class"],
            "mean_mask": row[5],
        }
        assert float(row[5]) == pytest.approx(element["mean_mask"], abs=0.000051)
    assert len({attributes_of(row)["ID"] for row in rows}) == len(rows)


def test_gff3_and_bed_cover_the_same_bases(run, tmp_path):
    paths = [export(run, kind, output=tmp_path / f"a.{kind}") for kind in ("bed", "gff3")]
    merged = [rows_of(bedtools("merge", "-i", path)) for path in paths]
    assert merged[0] == merged[1] != []


def test_gff3_is_recognised_and_read_back_as_a_track_of_ones_own(run, tmp_path):
    path = export(run, "gff3", output=tmp_path / "a.gff3")
    assert format_of(path) == "GFF3"
    found = [(row["chr"], row["start"], row["end"], row["name"]) for row in gff_features(read_lines(path), "GFF3")]
    elements = run.elements
    names = elements["symbol"] + ":" + elements["name"]
    assert found == list(zip(elements["chrom"], elements["start"], elements["end"], names, strict=True))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
@example("a;b=c&d,e%f\tg\nh\ri\x7fj k|l:β")
@example(">chr 1~")
def test_any_name_comes_back_from_gff3(run, tmp_path_factory, text):
    path = tmp_path_factory.mktemp("odd") / "a.gff3"
    table = run.elements.iloc[:2].assign(chrom=text, gene_id=text, symbol=text)
    write_gff3(path, table, {text: 9000}, ["from here"])
    version, region, comment, *rows = path.read_bytes().decode().removesuffix("\n").split("\n")
    assert (version, comment) == ("##gff-version 3", "#from here")
    _, seqid, *bounds = region.split(" ")
    assert (unquote(seqid), bounds) == (text, ["1", "9000"])
    assert re.fullmatch(r"([a-zA-Z0-9.:^*$@!+_?|-]|%[0-9A-F]{2})+", seqid)
    for row, name in zip(rows, table["name"], strict=True):
        fields = row.split("\t")
        assert len(fields) == 9
        assert fields[0] == seqid
        notes = attributes_of(fields)
        assert list(notes) == ["ID", "Name", "gene_id", "class", "mean_mask"]
        assert [notes[key] for key in ("ID", "Name", "gene_id")] == [f"{text}:{name}", f"{text}:{name}", text]
        assert not re.search(r"[\x00-\x1f\x7f,&]", fields[8])


def test_gff3_encodes_what_the_specification_reserves_and_nothing_else(run, tmp_path):
    table = run.elements.iloc[:1].assign(chrom="HLA-A*01:01", gene_id="a;b", symbol="β glob,in+50%|x:y")
    write_gff3(tmp_path / "a.gff3", table, {"HLA-A*01:01": 9000})
    row = rows_of((tmp_path / "a.gff3").read_text(encoding="utf-8"))[0]
    assert row[0] == "HLA-A*01:01"
    assert f"Name=β glob%2Cin+50%25|x:y:{table['name'].iloc[0]};gene_id=a%3Bb;" in row[8]


def test_gff3_of_no_element_is_its_head(run, tmp_path):
    for bgzip, name in ((False, "a.gff3"), (True, "a.gff3.gz")):
        write_gff3(tmp_path / name, run.elements.iloc[:0], run.chrom_sizes, ["from here"], bgzip)
    plain = (tmp_path / "a.gff3").read_bytes()
    assert plain == gzip.decompress((tmp_path / "a.gff3.gz").read_bytes()) == b"##gff-version 3\n#from here\n"


@pytest.mark.parametrize(("far", "ending"), [(0, ".tbi"), (LONGEST_FOR_TBI, ".csi")])
def test_tabix_finds_features_of_a_compressed_gff3(run, tmp_path, far, ending):
    table = run.elements.assign(start=run.elements["start"] + far, end=run.elements["end"] + far)
    path = tmp_path / "a.gff3.gz"
    write_gff3(path, table, {chrom: size + far for chrom, size in run.chrom_sizes.items()}, bgzip=True)
    element = table.iloc[0]
    index = f"{path}{ending}"
    with pysam.TabixFile(str(path), index=index, parser=pysam.asGFF3()) as gff:
        assert gff.header[0] == "##gff-version 3"
        first = next(iter(gff.fetch(element["chrom"], element["start"], element["start"] + 1)))
        assert (first.start, first.end, first.gene_id) == (element["start"], element["end"], element["gene_id"])


def test_a_compressed_gff3_is_named_and_holds_the_same(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed, plain = (export(run, "gff3", "G3", bgzip=bgzip) for bgzip in (True, False))
    assert packed.name == "tiny.GENE3.elements.gff3.gz"
    assert (tmp_path / "tiny.GENE3.elements.gff3.gz.tbi").exists()
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()


def test_the_export_of_a_gene_holds_that_gene_alone(run, tmp_path):
    table = read_elements(export(run, "bed", "gene3", tmp_path / "a.bed"))
    assert set(table["gene_id"]) == {"G3"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_of_several_genes_is_that_of_each_together(run, tmp_path, kind):
    both = export(run, kind, ["G3", "GENE1", "G1"], tmp_path / "both")
    each = [export(run, kind, name, tmp_path / name) for name in ("G1", "G3")]
    if kind == "bigwig":
        masks, found = [run.mask(name) for name in ("G1", "G3")], {}
        for mask in masks:
            for base, value in zip(range(mask.start, mask.end), np.round(mask.mask, 3), strict=True):
                found[mask.chrom, base] = max(value, found.get((mask.chrom, base), 0))
        with pyBigWig.open(str(both)) as bigwig:
            shown = {(c, b): v for c in bigwig.chroms() for s, e, v in bigwig.intervals(c) or () for b in range(s, e)}
        assert shown == pytest.approx(found, abs=1e-6)
    else:
        rows = [row for path in each for row in rows_of(path.read_text())]
        start = 3 if kind == "gff3" else 1
        assert rows_of(both.read_text()) == sorted(rows, key=lambda row: (row[0], int(row[start]), int(row[start + 1])))


def test_names_are_made_from_the_run_and_the_gene(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export(run, "bed", "G3").name == "tiny.GENE3.elements.bed"
    assert default_name(run, "narrowpeak", bgzip=True) == "tiny.elements.narrowPeak.gz"
    assert (tmp_path / "tiny.GENE3.elements.bed").exists()


def test_a_run_or_gene_named_like_a_path_does_not_leave_the_folder(tmp_path):
    run = Run.create(tmp_path / "run", window=8, promoter=2, chrom_sizes={"chr1": 20}, name="../../etc")
    with run.writing():
        gene = {"gene_id": "chr1:11:+", "symbol": "../x", "chrom": "chr1", "tss": 10, "strand": "+", "predicted": 1}
        run.append(gene, np.ones(8), np.ones(8))
    assert default_name(run, "bed", "chr1:11:+") == "etc.x.elements.bed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "gff"}, "kind 'gff'; expected one of bed, bigwig, narrowpeak, gff3"),
        ({"kind": "bigwig", "bgzip": True}, "bgzip for a bigWig"),
        ({"kind": "bed", "resolution": 10}, "found --resolution for bed; expected bigwig"),
        ({"kind": "gff3", "resolution": 10}, "found --resolution for gff3; expected bigwig"),
        ({"kind": "bigwig", "resolution": 0}, "at least the run's 1 bp"),
        ({"kind": "bed", "genes": "GENE9"}, "no gene 'GENE9'"),
        ({"kind": "bed", "genes": ["GENE1", "GENE2"]}, "expected a file name for several genes; give it with --output"),
        ({"kind": "bed", "output": "/nowhere/a.bed"}, "no folder /nowhere"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_message(run, arguments, message):
    with pytest.raises(InputError, match=message):
        export(run, **arguments)


def test_before_assembling_a_gene_can_be_exported_but_the_run_cannot(tmp_path):
    run = make_run(tmp_path / "run", genes=2)
    assert export(run, "bed", "G0", tmp_path / "a.bed").exists()
    for kind in KINDS:
        with pytest.raises(InputError, match="no elements yet"):
            export(run, kind, output=tmp_path / "b")


def test_an_export_before_the_first_gene_says_to_score(tmp_path):
    with pytest.raises(InputError, match=r"no scored gene.*seq2exp-viz score"):
        export(make_run(tmp_path / "run", genes=0), "bed")
