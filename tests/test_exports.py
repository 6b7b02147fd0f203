"""Exports: files that other programs take, the same each time."""

import numpy as np
import pyBigWig
import pysam
import pytest
from needs import bedtools
from run_builder import make_run

from model_core.bed import read_narrowpeak
from model_core.errors import InputError
from model_core.run_folder.assemble import assemble
from model_core.run_folder.elements import CLASS_COLOURS, ElementRule, read_elements
from model_core.run_folder.run import Run
from seq2exp_viz.reports.export import default_name, export

KINDS = ("bed", "bigwig", "narrowpeak")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    run = make_run(tmp_path_factory.mktemp("exports") / "run", genes=5)
    assemble(run, rule=ElementRule(0.4, smooth_bp=20, max_gap=20, min_length=20))
    return run


def rows_of(text: str) -> list[list[str]]:
    return [line.split("	") for line in text.splitlines() if not line.startswith("#")]


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


@pytest.mark.parametrize("kind", ["bed", "narrowpeak"])
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


def test_the_export_of_a_gene_holds_that_gene_alone(run, tmp_path):
    table = read_elements(export(run, "bed", "gene3", tmp_path / "a.bed"))
    assert set(table["gene_id"]) == {"G3"}


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
        ({"kind": "gff"}, "kind 'gff'; expected one of bed, bigwig, narrowpeak"),
        ({"kind": "bigwig", "bgzip": True}, "bgzip for a bigWig"),
        ({"kind": "bed", "resolution": 10}, "a resolution for bed"),
        ({"kind": "bigwig", "resolution": 0}, "at least the run's 1 bp"),
        ({"kind": "bed", "gene": "GENE9"}, "no gene 'GENE9'"),
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
