"""What `check` says of a study, and which mistakes it catches."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyBigWig
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_study import SIZES, edit, open_chromatin, small_genes, write_bigwig, write_small_study

from benchmarks.real_study import real_study_toml
from model_core.signals.signal import BigWigSignal
from model_core.study.annotation import read_gtf
from model_core.study.check import check_study
from model_core.study.check_assembly import (
    fitting_assemblies,
    judge_annotation,
    judge_lengths,
    judge_signal,
    judge_start_sites,
    random_places,
)
from model_core.study.check_tracks import quantile_warnings, signal_quantiles
from model_core.study.genome import Genome
from model_core.study.study import load_study


@pytest.fixture(scope="session")
def small_template(tmp_path_factory):
    return write_small_study(tmp_path_factory.mktemp("small")).parent


@pytest.fixture
def small(small_template, tmp_path):
    """Path of a small study that a test may change."""
    shutil.copytree(small_template, tmp_path / "small")
    return tmp_path / "small" / "study.toml"


def rows_of(report, title):
    """First column -> other columns of the table whose title begins so."""
    (table,) = [table for table in report.tables if table.title.startswith(title)]
    return {row[0]: row[1:] for row in table.rows}


def only(messages, *words):
    """The one message that holds all of these words."""
    (message,) = [text for text in map(str, messages) if all(word in text for word in words)]
    return message


def signals(reach=(300, 150), height=(5.0, 3.0), background=(0.1, 0.05)):
    return [open_chromatin(*values) for values in zip(reach, height, background, strict=True)]


def test_a_sound_study_is_ready_and_its_builds_agree(small):
    report = check_study(small)
    assert report.ok
    verdicts = {what: row[-1] for what, row in rows_of(report, "Do the builds agree").items()}
    assert verdicts.pop("FASTA and assembly name") == "not judged"
    assert len(verdicts) == 6
    assert set(verdicts.values()) == {"builds agree"}
    assert report.text().rstrip().endswith(f"Ready: 0 problems, {len(report.warnings)} warnings.")


def test_genes_are_counted_by_split_and_chromosome(small):
    genes = rows_of(check_study(small), "Genes")
    assert genes["all"][:2] == ("50", "49")
    assert genes["split train"][:2] == ("40", "39")
    assert genes["split test"][:2] == ("10", "10")
    assert genes["chr2"] == genes["split test"]


def test_signals_are_described_as_the_model_sees_them(small):
    rows = rows_of(check_study(small), "Signals, as transformed, in 50 windows")
    # Each window of 4,000 bp has 600 bases at 5 and the rest at 0.1, and 300 at 3, shown as ln(1 + 3).
    assert rows["H3K27ac"] == ("chr1, chr2", "100.0%", "0.1", "5", "5", "5", "5")
    assert rows["ATAC"] == ("chr1, chr2", "100.0%", "0.0488", "0.0488", "1.39", "1.39", "1.39")


def test_unlabelled_genes_are_counted_and_named(small):
    only(check_study(small).warnings, "1 of 50 genes without a label (gene0)", "only scored")


def test_a_study_without_validation_genes_is_told_so(small):
    only(check_study(small).warnings, "no labelled validation genes", "[genes.split]")


def test_training_windows_that_overlap_held_out_ones_are_counted_until_a_gap_sets_them_aside(small):
    edit(small, 'validation = []\ntest = ["chr2"]', 'column = "gene_id"\nvalidation = ["G30"]\ntest = ["G5", "G20"]')
    edit(small, "window = 4_000", "window = 6_001")
    report = check_study(small)
    only(report.warnings, "4 of 46 training windows that overlap a test window (gene4, gene6, gene19, ...)")
    only(report.warnings, "2 of 46 training windows that overlap a validation window (gene29, gene31)", "gap = 6001")
    edit(small, 'test = ["G5", "G20"]', 'test = ["G5", "G20"]\ngap = 6_001')
    report = check_study(small)
    assert not any("overlap" in str(warning) for warning in report.warnings)
    assert rows_of(report, "Genes")["split aside"][0] == "6"


def test_windows_at_chromosome_ends_are_counted(small):
    edit(small, "window = 4_000", "window = 6_002")
    only(
        check_study(small).warnings,
        "4 windows of 6,002 bp beyond their chromosome's ends",
        "(gene0, gene39, gene40, ...)",
    )
    edit(small, "window = 6_002", "window = 6_000")
    assert not any("beyond their chromosome" in str(warning) for warning in check_study(small).warnings)


def test_unknown_bases_in_windows_are_reported(small):
    fasta = small.parent / "genome.fa"
    lines = fasta.read_text().split("\n")
    lines[1] = lines[1][:1_000] + "N" * 1_000 + lines[1][2_000:]
    fasta.write_text("\n".join(lines))
    report = check_study(small)
    only(report.warnings, "1 of 50 checked windows", "gene0 25%")
    assert rows_of(report, "Sequence")["N in the worst of them"] == ("25.0%",)


def test_missing_features_are_counted_and_their_replacement_is_told(small):
    gtf = small.parent / "genes.gtf"
    lines = gtf.read_text().splitlines()
    gtf.write_text("\n".join(line for line in lines if '"G7"' not in line))
    report = check_study(small)
    only(report.warnings, "1 of 50 genes with missing features (gene7)", "the mean of the training genes")
    assert rows_of(report, "Gene features")["CDSLEN"] == ("computed", "1", "183")


def test_a_promoter_activity_that_drowns_the_others_is_told_with_its_remedy(small):
    only(check_study(small).warnings, "promoter activities up to 16,463 RPM", "zscore_promoter_activity = true")
    edit(small, 'label = "cage"', 'label = "cage"\nzscore_promoter_activity = true')
    assert not any("promoter activities" in str(warning) for warning in check_study(small).warnings)


def test_weights_that_do_not_add_up_to_one_are_told(small):
    edit(small, "b = 1.5, w = 0.5", "b = 1.5, w = 2")
    only(check_study(small).warnings, "add up to 2.5")


def test_genes_of_the_annotation_are_checked_without_a_table(small):
    edit(small, 'table = "genes.tsv"\nlabel = "cage"\nlabel_transform = "log10p1"\n', "")
    report = check_study(small)
    assert report.ok
    assert rows_of(report, "Genes")["all"][:2] == ("50", "0")
    assert "gene table's TSSs and annotation" not in rows_of(report, "Do the builds")


# Builds


def test_a_displaced_signal_is_caught(small):
    moved = {chrom: np.roll(values, 3_000) for chrom, values in signals()[1].items()}
    write_bigwig(small.parent / "ATAC.bw", moved)
    report = check_study(small)
    assert not report.ok
    problem = only(report.problems, "ATAC at TSSs over elsewhere")
    assert "at least 3 times" in problem
    assert "(50 TSSs," in problem
    assert rows_of(report, "Do the builds")["ATAC at TSSs over elsewhere"][-1] == "BUILDS DISAGREE"
    assert rows_of(report, "Do the builds")["H3K27ac at TSSs over elsewhere"][-1] == "builds agree"


def test_a_signal_that_is_no_part_of_promoter_activity_may_avoid_promoters(small):
    write_bigwig(small.parent / "ATAC.bw", open_chromatin(300, 0.0, 1.0))
    edit(small, 'label = "cage"', 'label = "cage"\npromoter_activity = ["H3K27ac"]')
    report = check_study(small)
    assert report.ok
    only(report.warnings, "ATAC at TSSs over elsewhere")


def test_a_simulation_is_warned_of_what_would_be_a_wrong_build(small):
    write_bigwig(small.parent / "ATAC.bw", open_chromatin(300, 1.0, 1.0))
    edit(small, 'assembly = "toy1"', 'assembly = "toy1"\nsimulated = true')
    report = check_study(small)
    assert report.ok
    only(report.warnings, "ATAC at TSSs over elsewhere", "= 1.0 times")


def test_contact_is_not_judged_at_start_sites(small):
    write_bigwig(small.parent / "ATAC.bw", open_chromatin(300, 1.0, 1.0))
    edit(small, 'name = "ATAC"', 'name = "contact"\ncontact = true')
    report = check_study(small)
    assert report.ok
    assert not any("contact at TSSs" in what for what in rows_of(report, "Do the builds"))


def test_one_tower_does_not_make_builds_agree(small):
    signal = open_chromatin(300, 1.0, 1.0)
    signal["chr1"][2_900:3_100] = 1e6
    write_bigwig(small.parent / "ATAC.bw", signal)
    only(check_study(small).problems, "ATAC at TSSs over elsewhere")


def test_a_displaced_annotation_is_caught_by_codons_splice_sites_and_the_gene_table(small):
    gtf = small.parent / "genes.gtf"
    lines = [line.split("\t") for line in gtf.read_text().splitlines()]
    moved = [[*row[:3], str(int(row[3]) + 7_000), str(int(row[4]) + 7_000), *row[5:]] for row in lines]
    gtf.write_text("\n".join("\t".join(row) for row in moved if int(row[4]) < SIZES[row[0]]))
    report = check_study(small)
    for what in ("start codons", "splice donors", "splice acceptors", "gene table's TSSs"):
        only(report.problems, what, "one assembly")


def test_an_annotation_beyond_the_chromosome_is_caught(small):
    gtf = small.parent / "genes.gtf"
    edit(gtf, "chr1\ttoy\tgene\t3001\t3400", "chr1\ttoy\tgene\t3001\t240001")
    only(check_study(small).problems, "genes.gtf", "1 rows beyond the chromosome's end", "240,000")


def test_a_fasta_that_is_not_the_assembly_it_is_called_is_caught(small):
    edit(small, 'assembly = "toy1"', 'assembly = "mm39"')
    only(check_study(small).problems, "FASTA and assembly name", "chr1 of 240,000 bp", "195,154,279 bp in mm39")


def test_assemblies_are_told_by_the_lengths_of_their_chromosomes():
    assert judge_lengths("hg38", {"chr22": 51_304_566}).agrees is False
    assert "as in hg19" in judge_lengths("hg38", {"chr22": 51_304_566}).measured
    assert judge_lengths("GRCh38", {"22": 50_818_468, "chrUn_1": 5}).agrees is True
    assert judge_lengths("mine", {"chr22": 50_818_468}).agrees is None
    assert judge_lengths("mine", {"chr22": 50_818_468}).measured == "lengths of hg38"
    assert judge_lengths("mine", {"chr1": 5}).measured == "lengths of no known assembly"
    assert fitting_assemblies({"chr1": 195_471_971}) == ["mm10"]


def test_too_few_genes_are_not_judged(small):
    study = load_study(small)
    genome, genes, gtf = study.genome(), study.gene_sites(), study.annotation()
    places = random_places(genes, genome, 2_000)
    assert judge_signal(study.signals()[0], genes[:19], places, genome.sizes).agrees is None
    assert judge_signal(study.signals()[0], genes[:20], places, genome.sizes).agrees is True
    assert judge_start_sites(genes[:19], gtf).agrees is None
    first = gtf[gtf.gene_id.isin([f"G{number}" for number in range(5)])]
    assert [verdict.agrees for verdict in judge_annotation(first, genome)] == [None] * 3


def test_places_elsewhere_are_known_bases_away_from_every_start_site(small):
    study = load_study(small)
    places = random_places(study.gene_sites(), study.genome(), 500)
    assert len(places) == 500
    for chrom, tss, _ in small_genes():
        assert (np.abs(places.tss[places.chrom == chrom] - tss) >= 2_000).all()
    assert places.equals(random_places(study.gene_sites(), study.genome(), 500))


# Damaged or odd files


def test_a_negative_signal_is_caught(small):
    signal = signals()[0]
    signal["chr2"][10] = -0.5
    write_bigwig(small.parent / "H3K27ac.bw", signal)
    only(check_study(small).problems, "H3K27ac.bw", "values down to -0.5", "0 or more")


def test_nan_in_a_signal_is_told_and_read_as_zero(small):
    signal = signals()[0]
    signal["chr1"][2_900:2_950] = np.nan
    write_bigwig(small.parent / "H3K27ac.bw", signal)
    report = check_study(small)
    assert report.ok
    only(report.warnings, "H3K27ac.bw", "NaN")
    assert np.isfinite(load_study(small).genes().PROMOTERACTIVITY).all()


def test_an_empty_signal_is_caught(small):
    write_bigwig(small.parent / "H3K27ac.bw", {chrom: np.zeros(size) for chrom, size in SIZES.items()})
    only(check_study(small).problems, "H3K27ac.bw", "no value above 0")


def test_a_signal_damaged_in_the_middle_is_caught(small):
    path = small.parent / "H3K27ac.bw"
    data = bytearray(path.read_bytes())
    data[500:1_000] = bytes(500)
    path.write_bytes(data)
    only(check_study(small).problems, "H3K27ac.bw", "damaged")


def test_a_truncated_signal_is_caught(small):
    path = small.parent / "H3K27ac.bw"
    path.write_bytes(path.read_bytes()[:-100])
    only(check_study(small).problems, "H3K27ac.bw", "truncated")


def test_a_signal_shorter_than_the_genome_is_caught(small):
    write_bigwig(small.parent / "H3K27ac.bw", {chrom: np.ones(size - 1) for chrom, size in SIZES.items()})
    only(check_study(small).problems, "H3K27ac.bw", "shorter than the genome")


@pytest.mark.parametrize("table", [True, False])
def test_a_signal_of_other_chromosome_names_is_one_problem(small, table):
    write_bigwig(small.parent / "H3K27ac.bw", {name.removeprefix("chr"): v for name, v in signals()[0].items()})
    if not table:
        edit(small, 'table = "genes.tsv"\nlabel = "cage"\nlabel_transform = "log10p1"\n', "")
    report = check_study(small)
    assert len(report.problems) == 1
    only(report.problems, "H3K27ac.bw: found chromosome '1'; expected 'chr1'")


@pytest.mark.parametrize("table", [True, False])
def test_a_signal_that_lists_not_every_chromosome_is_warned_of_with_the_genes_that_miss_it(small, table):
    write_bigwig(small.parent / "H3K27ac.bw", {"chr1": signals()[0]["chr1"]}, {"chr1": SIZES["chr1"]})
    if not table:
        edit(small, 'table = "genes.tsv"\nlabel = "cage"\nlabel_transform = "log10p1"\n', "")
    report = check_study(small)
    assert report.problems == []
    only(report.warnings, "H3K27ac.bw", "no chromosome 'chr2' (10 of 50 genes)", "read as 0 there")
    verdicts = rows_of(report, "Do the builds agree")
    assert verdicts["H3K27ac at TSSs over elsewhere"][-1] == "builds agree"
    assert "(40 TSSs" in verdicts["H3K27ac at TSSs over elsewhere"][0]
    assert load_study(small).genes().PROMOTERACTIVITY[40:].tolist() == [0] * 10


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("held", ["chr9", "scaffold_1"])
def test_a_signal_with_none_of_the_study_s_chromosomes_is_one_problem(small, table, held):
    write_bigwig(small.parent / "H3K27ac.bw", {held: np.ones(9)})
    if not table:
        edit(small, 'table = "genes.tsv"\nlabel = "cage"\nlabel_transform = "log10p1"\n', "")
    (problem,) = check_study(small).problems
    assert problem.where.name == "H3K27ac.bw"
    assert problem.expected.startswith("'chr1'")


@pytest.mark.parametrize("table", [True, False])
def test_a_signal_with_no_chromosome_of_the_genes_is_one_problem(small, table):
    write_bigwig(small.parent / "H3K27ac.bw", {"chr2": signals()[0]["chr2"]})
    lines = (small.parent / "genes.tsv").read_text().splitlines()
    (small.parent / "genes.tsv").write_text("\n".join(line for line in lines if "chr2" not in line))
    gtf = (small.parent / "genes.gtf").read_text().splitlines()
    (small.parent / "genes.gtf").write_text("\n".join(line for line in gtf if not line.startswith("chr2")))
    edit(small, 'test = ["chr2"]', "test = []")
    if not table:
        edit(small, 'table = "genes.tsv"\nlabel = "cage"\nlabel_transform = "log10p1"\n', "")
    report = check_study(small)
    only(report.problems, "H3K27ac.bw: found chromosome 'chr2'; expected 'chr1'", "assembly")
    assert len(report.problems) == 1


def test_an_unsorted_bed_is_told(small):
    (small.parent / "blacklist.bed").write_text("chr1\t5000\t5500\nchr1\t100\t200\n")
    report = check_study(small)
    only(report.warnings, "blacklist.bed", "unsorted")
    assert rows_of(report, "Intervals")["blacklist"] == ("blacklist.bed", "2", "600", "1")


def test_intervals_on_other_chromosomes_and_beyond_the_end_are_told(small):
    lines = "chr1\t5000\t5500\nchr1\t239000\t250000\nchr9\t1\t2\n"
    (small.parent / "blacklist.bed").write_text(lines)
    report = check_study(small)
    only(report.warnings, "blacklist.bed", "1 of 3 intervals on 'chr9'")
    only(report.warnings, "blacklist.bed", "1 intervals beyond the chromosome (chr1:239,001-250,000)", "240,000")


def test_every_problem_of_every_file_is_told_at_once(small):
    write_bigwig(small.parent / "ATAC.bw", {chrom: np.roll(v, 3_000) for chrom, v in signals()[1].items()})
    negative = signals()[0]
    negative["chr1"][:10] = -3
    write_bigwig(small.parent / "H3K27ac.bw", negative)
    edit(small.parent / "genes.gtf", "chr1\ttoy\tgene\t3001\t3400", "chr1\ttoy\tgene\t3001\t240001")
    edit(small, "promoter = 400", "promotor = 400")
    (small.parent / "ATAC.narrowPeak").unlink()
    report = check_study(small)
    for words in (
        ["ATAC at TSSs"],
        ["H3K27ac.bw", "-3"],
        ["genes.gtf", "beyond"],
        ["promotor", "did you mean 'promoter'"],
        ["ATAC.narrowPeak", "no such file"],
    ):
        only(report.problems, *words)
    assert len(report.problems) == 5


def test_a_study_that_cannot_be_read_is_a_report_too(tmp_path, small):
    assert check_study(tmp_path / "nowhere").problems[0].found == "no such file"
    edit(small, "schema = 1", "shema = 1")
    report = check_study(small)
    assert not report.ok
    only(report.problems, "unknown key 'shema'", "did you mean 'schema'")
    only(report.warnings, "check again")


@pytest.mark.parametrize("window", ['"wide"', "0", "-1", "true", "[]", "1"])
def test_an_impossible_window_is_one_problem_and_the_rest_is_checked(small, window):
    edit(small, "window = 4_000", f"window = {window}")
    report = check_study(small)
    only(report.problems, "window")
    assert len(report.problems) == 1
    assert rows_of(report, "Genes")["all"][0] == "50"


def test_broken_genes_leave_the_rest_checked(small):
    edit(small.parent / "genes.tsv", "chr1\t45000\t-", "chr1\t45000\tx")
    report = check_study(small)
    assert len(report.problems) == 1
    assert rows_of(report, "Signals")["ATAC"][0] == "chr1, chr2"
    assert rows_of(report, "Do the builds")["start codons in the sequence"][-1] == "builds agree"


def test_a_missing_genome_is_one_problem(small):
    (small.parent / "genome.fa").unlink()
    only(check_study(small).problems, "genome.fa", "no such file")


def test_the_text_is_plain_whatever_stands_in_the_messages(small):
    edit(small.parent / "genes.tsv", "\tgene3\t", "\t[bold]gene[/bold]\t")
    edit(small.parent / "genes.tsv", "chr1\t21000\t-\t3", "chr1\t21000\t-\t")
    report = check_study(small)
    text = report.text(width=100)
    assert "\x1b" not in text
    assert "[bold]gene[/bold]" in text
    assert max(map(len, text.splitlines())) <= 100
    assert check_study(small).text() == report.text()


# One fault is told as itself, whatever stands where

FAULTS = {
    "a position": ("genes.tsv", "chr1\t45000\t-", "chr1\tx\t-", ["genes.tsv", "'x' in line", "tss"]),
    "a strand": ("genes.tsv", "chr1\t45000\t-", "chr1\t45000\tx", ["genes.tsv", "'x' in line", "strand"]),
    "a chromosome": ("genes.tsv", "chr1\t45000\t-", "chrQ\t45000\t-", ["genes.tsv", "'chrQ'", "1 genes"]),
    "a cell": ("genes.tsv", "chr1\t45000\t-", "chr1\t45000", ["genes.tsv line", "cells; expected 6"]),
    "an end": (
        "genes.gtf",
        "chr1\ttoy\tgene\t3001\t3400",
        "chr1\ttoy\tgene\t3001\t240001",
        ["genes.gtf", "1 rows beyond"],
    ),
    "a line": ("genes.gtf", "chr1\ttoy\tgene\t3001\t3400", "chr1\ttoy\tgene\t3001", ["genes.gtf line", "columns"]),
    "an interval": ("blacklist.bed", "chr1\t5000", "chr1\tx", ["blacklist.bed line", "'x'"]),
    "a setting": ("study.toml", "promoter = 400", "promotor = 400", ["promotor", "did you mean 'promoter'"]),
    "a path": ("study.toml", "ATAC.bw", "ATACC.bw", ["ATACC.bw", "no such file"]),
}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fault=st.sampled_from(sorted(FAULTS)), random=st.randoms(use_true_random=False))
def test_one_fault_is_the_one_problem_in_whatever_order_rows_and_sections_stand(small_template, fault, random):
    with TemporaryDirectory() as folder:
        study = Path(shutil.copytree(small_template, Path(folder) / "small")) / "study.toml"
        name, old, new, words = FAULTS[fault]
        edit(study.parent / name, old, new)
        for table, head in (("genes.tsv", 1), ("genes.gtf", 0), ("blacklist.bed", 0)):
            lines = (study.parent / table).read_text().splitlines()
            rows = random.sample(lines[head:], len(lines) - head)
            (study.parent / table).write_text("\n".join(lines[:head] + rows) + "\n")
        first, *sections = study.read_text().split("\n\n")
        study.write_text("\n\n".join([first, *random.sample(sections, len(sections))]))
        problems = check_study(study).problems
        assert len(problems) == 1, problems
        assert all(word in str(problems[0]) for word in words), problems


def test_an_annotation_that_begins_with_a_chromosome_which_the_genome_lacks_is_used(small):
    gtf = small.parent / "genes.gtf"
    row = 'chrUn_1\ttoy\tgene\t1\t9\t.\t+\t.\tgene_id "other"; gene_type "lncRNA";\n'
    gtf.write_text(row + gtf.read_text())
    report = check_study(small)
    assert report.ok
    only(report.warnings, "genes.gtf", "1 of", "'chrUn_1'", "skipped")


def test_a_gff3_file_is_called_so_on_loading(small):
    (small.parent / "genes.gtf").write_text("##gff-version 3\nchr1\tx\tgene\t1\t9\t.\t+\t.\tID=gene:G1;Name=x\n")
    (problem,) = check_study(small).problems
    assert "a GFF3 file" in problem.found
    assert "gffread" in problem.fix


# Quantiles


def test_signals_of_other_units_than_trained_on_are_told(small):
    study = load_study(small)
    windows = study.windows(study.gene_sites())
    trained = signal_quantiles(study.signals(), windows)
    assert trained["H3K27ac"] == pytest.approx({"0.5": 0.1, "0.9": 5, "0.99": 5, "0.999": 5})
    assert quantile_warnings(trained, trained) == []
    edit(small, 'path = "H3K27ac.bw"', 'path = "H3K27ac.bw"\nscale = 10.0')
    found = signal_quantiles(load_study(small).signals(), windows)
    (warning,) = quantile_warnings(found, trained)
    assert "signal H3K27ac: found a 99.9% quantile of 50; expected about 5" in str(warning)


# Real data


@pytest.fixture
def real(shared_data, tmp_path):
    (tmp_path / "study.toml").write_text(real_study_toml(shared_data))
    return tmp_path / "study.toml"


def displace(source, target, by):
    """Write a bigWig whose values lie `by` bp further on than in `source`; header as before."""
    with pyBigWig.open(str(source)) as old:
        new = pyBigWig.open(str(target), "w")
        new.addHeader(list(old.chroms().items()))
        for chrom, size in old.chroms().items():
            values = np.nan_to_num(old.values(chrom, 0, size, numpy=True))
            values = np.concatenate([np.zeros(by, np.float32), values[: size - by]])
            edges = np.flatnonzero(np.diff(values)) + 1
            starts, ends = np.r_[0, edges], np.r_[edges, size]
            kept = values[starts] != 0
            starts, ends = starts[kept], ends[kept]
            heights = values[starts].astype(float)
            new.addEntries([chrom] * len(starts), starts.astype(np.int64), ends=ends.astype(np.int64), values=heights)
        new.close()


def test_the_real_study_is_ready_and_its_builds_agree(real):
    report = check_study(real)
    assert report.problems == []
    verdicts = rows_of(report, "Do the builds agree")
    assert len(verdicts) == 7
    assert {row[-1] for row in verdicts.values()} == {"builds agree"}
    only(report.warnings, "training windows that overlap a validation window")
    only(report.warnings, "55 of 517 genes without a label")
    only(report.warnings, "hg38.chr22.partial.fa.gz", "more than 10% N")


def test_the_real_signal_displaced_by_300_kb_is_caught(real, shared_data):
    source = shared_data / "K562.DNase.reconstructed.bigWig"
    moved = real.parent / "moved.bigWig"
    displace(source, moved, 300_000)
    genome, genes = load_study(real).genome(), load_study(real).gene_sites()
    places = random_places(genes, genome, 2_000)
    ratios = [
        float(judge_signal(BigWigSignal("DNase", path), genes, places, genome.sizes).measured.split()[4])
        for path in (source, moved)
    ]
    assert ratios[0] > 15
    assert ratios[1] < 2
    edit(real, str(source), str(moved))
    problem = only(check_study(real).problems, "DNase at TSSs over elsewhere")
    assert f"= {ratios[1]:.1f} times" in problem


def test_the_real_annotation_fits_its_sequence_and_not_300_kb_away(shared_data):
    genome = Genome(shared_data / "hg38.chr22.partial.fa.gz")
    gtf = read_gtf(shared_data / "genes.chr22.gtf.gz")
    assert [verdict.agrees for verdict in judge_annotation(gtf, genome)] == [True] * 3
    moved = gtf.assign(start=gtf.start + 300_000, end=gtf.end + 300_000)
    assert [verdict.agrees for verdict in judge_annotation(moved, genome)] == [False] * 3


def test_the_real_fasta_is_not_hg19(real):
    edit(real, 'assembly = "hg38"', 'assembly = "hg19"')
    only(check_study(real).problems, "FASTA and assembly name", "chr22 of 50,818,468 bp, as in hg38", "51,304,566")
