"""study.toml: what it may say, what is wrong with it, and what a study gives."""

import os
import pickle
import re
import shutil
import tomllib
from inspect import signature
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_study import SIZES, edit, open_chromatin, write_bigwig, write_small_study

from benchmarks.real_study import real_study_toml
from model_core.config import Seq2ExpConfig
from model_core.errors import InputError, Problems
from model_core.signals.signal import TRANSFORMS
from model_core.study.gene_features import FEATURES, standardise
from model_core.study.schema import Genes, GenomeFiles, Peaks, SignalSpec, Split, Truth
from model_core.study.study import Study, load_study, write_template
from seq2exp_viz.cli.model import settings_of, train
from seq2exp_viz.cli.negative_controls import negative_controls


@pytest.fixture(scope="session")
def small_template(tmp_path_factory):
    return write_small_study(tmp_path_factory.mktemp("small")).parent


@pytest.fixture
def small(small_template, tmp_path):
    """Path of a small study that a test may change."""
    shutil.copytree(small_template, tmp_path / "small")
    return tmp_path / "small" / "study.toml"


def problems_of(path):
    with pytest.raises(Problems) as caught:
        load_study(path)
    return [str(problem) for problem in caught.value.problems]


def one_problem(path, *words):
    """The only problem of a study; it must hold these words."""
    (problem,) = problems_of(path)
    assert all(word in problem for word in words), problem
    return problem


def add_column(path, name, values):
    """Append a column to the gene table of a study."""
    table = path.parent / "genes.tsv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(f"{line}\t{cell}" for line, cell in zip(lines, [name, *values], strict=True)))


# What a study gives


def test_a_study_gives_its_genes_in_the_table_s_order(small):
    genes = load_study(small).genes()
    assert genes.columns.tolist() == ["gene_id", "symbol", "chrom", "tss", "strand", "label", "split", *FEATURES]
    assert genes.loc[7, ["gene_id", "symbol", "chrom", "tss", "strand"]].tolist() == [
        "G7",
        "gene7",
        "chr1",
        45_000,
        "-",
    ]
    assert genes.index.tolist() == list(range(50))
    assert genes.tss.dtype == np.int64


def test_labels_are_transformed_and_missing_ones_are_kept_for_scoring(small):
    genes = load_study(small).genes()
    assert np.isnan(genes.label[0])
    assert genes.label[1:8].tolist() == pytest.approx(np.log10(np.array([1, 2, 3, 4, 5, 6, 0]) + 1))


def test_genes_are_split_by_chromosome(small):
    genes = load_study(small).genes()
    assert genes.groupby("chrom").split.unique().map(list).to_dict() == {"chr1": ["train"], "chr2": ["test"]}


def test_genes_are_split_by_any_column_whatever_the_type_of_its_values(small):
    edit(small, 'validation = []\ntest = ["chr2"]', 'column = "fold"\nvalidation = [1]\ntest = [2.0, "x"]')
    add_column(small, "fold", ["1", "1.0", "2", "x", *["3"] * 46])
    assert load_study(small).gene_sites().split.tolist() == ["validation"] * 2 + ["test"] * 2 + ["train"] * 46


def test_a_split_of_genes_finds_them_by_id_without_version_and_symbol(small):
    table = small.parent / "genes.tsv"
    table.write_text(table.read_text().replace("G4\tgene4\t", "G4.12\tgene4\t"))
    split = 'column = "gene_id"\nvalidation = ["GENE7", "G4", "nobody"]\ntest = ["G5", "G4711", "g4712"]'
    edit(small, 'validation = []\ntest = ["chr2"]', split)
    study = load_study(small)
    names = study.gene_sites().split.tolist()
    assert [number for number, name in enumerate(names) if name == "validation"] == [4, 7]
    assert [number for number, name in enumerate(names) if name == "test"] == [5]
    warnings = study.warnings(study.gene_sites())
    assert len(warnings) == 2
    assert "1 of 3 values of validation that no gene has ('nobody')" in str(warnings[0])
    assert "2 of 3 values of test that no gene has ('G4711', 'g4712')" in str(warnings[1])
    edit(small, '"G5", "G4711", "g4712"', '"G4711", "g4712"')
    one_problem(small, "no gene with gene_id 'G4711', 'g4712'", "test genes")


def test_chromosomes_of_a_split_that_no_gene_is_on_are_counted(small):
    edit(small, 'test = ["chr2"]', 'test = ["chr2", "chr8", "chr21"]')
    study = load_study(small)
    (warning,) = study.warnings(study.gene_sites())
    assert "2 of 3 values of test that no gene has ('chr21', 'chr8')" in str(warning)


def test_training_genes_inside_the_gap_are_set_aside(small):
    edit(small, 'validation = []\ntest = ["chr2"]', 'column = "gene_id"\ntest = ["G5"]\ngap = 6_000')
    split = load_study(small).gene_sites().split.tolist()
    assert [split.index("test"), split.count("test")] == [5, 1]
    assert [number for number, name in enumerate(split) if name == "aside"] == [4, 6]


def test_without_a_split_all_genes_train(small):
    edit(small, 'test = ["chr2"]', "test = []")
    assert set(load_study(small).gene_sites().split) == {"train"}


def test_features_are_computed_where_the_table_has_none(small):
    genes = load_study(small).genes()
    # 100 bp exon, 100 bp intron, 200 bp exon; coding from 10 to 293, the stop codon inside.
    assert genes[["UTR5LEN", "CDSLEN", "INTRONLEN", "UTR3LEN"]].drop_duplicates().values.tolist() == [
        [10, 183, 100, 107]
    ]
    assert genes.ORFEXONDENSITY.unique() == pytest.approx([1000 / 183])
    assert genes[["UTR5GC", "CDSGC", "UTR3GC"]].stack().between(0, 1).all()
    h3k27ac, atac = (1e6 * signal["chr1"][2500:3500].sum() / sum(map(np.sum, signal.values())) for signal in SIGNALS)
    assert genes.PROMOTERACTIVITY[0] == pytest.approx(np.sqrt(h3k27ac * atac), rel=1e-6)


SIGNALS = (open_chromatin(300, 5.0, 0.1), open_chromatin(150, 3.0, 0.05))


def test_features_come_from_the_table_one_by_one(small):
    add_column(small, "utr", [str(number) for number in range(50)])
    add_column(small, "z", ["-1.5", *["0.5"] * 48, ""])
    edit(small, "[[signals]]\nname = \"H", '[genes.features]\nUTR5LEN = "utr"\n'
         'CDSLEN = { column = "z", zscored = true }\n\n[[signals]]\nname = "H')  # fmt: skip
    study = load_study(small)
    genes = study.genes()
    assert genes.UTR5LEN.tolist() == list(range(50))
    assert genes.CDSLEN.isna().tolist() == [False] * 49 + [True]
    assert genes.INTRONLEN.tolist() == [100] * 50
    assert study.zscored == {"CDSLEN"}
    inputs = standardise(genes, study.feature_scale())
    training = genes.split == "train"
    assert inputs[:3, 1].tolist() == [-1.5, 0.5, 0.5]
    assert inputs[49, 1] == pytest.approx(genes.CDSLEN[training].mean())
    assert inputs[training.to_numpy(), 0].mean() == pytest.approx(0, abs=1e-5)


def test_promoter_activity_takes_the_signals_that_are_named(small):
    edit(small, 'label = "cage"', 'promoter_activity = ["ATAC"]\nlabel = "cage"')
    study = load_study(small)
    assert [signal.name for signal in study.activity_signals()] == ["ATAC"]
    share = SIGNALS[1]["chr1"][2500:3500].sum() / sum(map(np.sum, SIGNALS[1].values()))
    assert study.genes().PROMOTERACTIVITY[0] == pytest.approx(1e6 * share, rel=1e-6)


def test_contact_is_never_part_of_promoter_activity_by_default(small):
    edit(small, 'name = "H3K27ac"', 'name = "H3K27ac"\ncontact = true')
    assert [signal.name for signal in load_study(small).activity_signals()] == ["ATAC"]


def test_one_based_tables_are_moved_by_one(small):
    edit(small, 'label = "cage"', 'one_based = true\nlabel = "cage"')
    assert load_study(small).gene_sites().tss[0] == 2_999


def test_columns_may_have_any_names(small):
    table = small.parent / "genes.tsv"
    edit(table, "gene_id\tsymbol\tchrom\ttss\tstrand\tcage", "#id\tname\tseqid\tstart site\tdir\ty")
    names = 'id = "id"\nsymbol = "name"\nchrom = "seqid"\ntss = "start site"\nstrand = "dir"\nlabel = "y"'
    edit(small, 'label = "cage"', names)
    assert load_study(small).gene_sites().symbol[3] == "gene3"


def test_without_symbols_the_ids_stand_in(small):
    table = small.parent / "genes.tsv"
    edit(table, "gene_id\tsymbol", "gene_id\tother")
    assert load_study(small).gene_sites().symbol[3] == "G3"


def test_without_a_table_the_genes_come_from_the_annotation_and_have_no_label(small):
    edit(small, 'table = "genes.tsv"\nlabel = "cage"\nlabel_transform = "log10p1"\n', "")
    genes = load_study(small).genes()
    assert len(genes) == 50
    assert genes.label.isna().all()
    assert genes.tss.tolist() == [tss for size in SIZES.values() for tss in range(3_000, size, 6_000)]
    assert genes.CDSLEN.tolist() == [183] * 50
    assert set(genes.split[genes.chrom == "chr2"]) == {"test"}


def test_the_model_s_configuration_takes_signals_priors_and_settings(small):
    config = load_study(small).config(variant="hard", window=4_000)
    assert config.signals == ("H3K27ac", "ATAC")
    assert config.prior.b == (1.5, 0.2)
    assert config.prior.w == (0.5, 0.5)
    assert (config.window, config.promoter, config.variant, config.prior.beta_min) == (4_000, 400, "hard", 0.0)


@pytest.mark.parametrize("command", [train, negative_controls])
def test_a_study_s_variant_holds_where_no_option_names_another(small, command):
    edit(small, "[model]", '[model]\nvariant = "causal"')
    unsaid = signature(command).parameters["variant"].default
    config, training = settings_of(load_study(small), {"variant": unsaid}, {"steps": 10})
    assert config.variant == "causal"
    assert training.motif_seeds == 32
    assert settings_of(load_study(small), {"variant": "hard"}, {})[0].variant == "hard"


def test_a_readout_over_the_window_is_weighted_by_contact_unless_told_otherwise(small):
    edit(small, 'name = "ATAC"', 'name = "ATAC"\ncontact = true')
    study = load_study(small)
    assert study.config(variant="causal").predictor.contact == "ATAC"
    assert study.config(variant="causal", contact=None).predictor.contact is None


def test_settings_of_the_model_may_stand_in_tables(small):
    flat = load_study(small).config(d_model=8, mask="signal", decision="top", top_share=0.2, beta_min=0.5)
    edit(small, "window = 4_000", "window = 4_000\nprior.beta_min = 0.5\nbackbone = { d_model = 8 }")
    with small.open("a") as file:
        file.write('\n[model.mask]\nkind = "signal"\n[model.mask.decision]\nkind = "top"\nshare = 0.2\n')
    study = load_study(small)
    assert study.config() == flat
    assert study.config(mask="random", d_model=4).mask.kind == "random"  # what the command line says counts
    assert (study.window, study.promoter) == (4_000, 400)
    assert Study.restore(study.resolved(), study.path).config() == flat


def test_a_setting_that_is_empty_by_default_may_be_given(small):
    edit(small, "window = 4_000", 'window = 4_000\ncontact = "ATAC"\nbackbone.dt_rank = 3')
    config = load_study(small).config()
    assert (config.predictor.contact, config.backbone.dt_rank) == ("ATAC", 3)


def test_training_settings_are_the_paper_s_where_the_study_says_nothing(small):
    small.write_text(small.read_text() + "\n[training]\nsteps = 7\n")
    training = load_study(small).train_config(batch_size=2)
    assert (training.steps, training.batch_size, training.lr) == (7, 2, 5e-4)


def test_windows_are_read_with_the_signals_in_order(small):
    study = load_study(small)
    data = study.reader().read(study.windows(study.gene_sites())[0])
    assert data.signals.shape == (4_000, 2)
    assert data.signals[2_000].tolist() == pytest.approx([5, np.log1p(3)])
    assert data.blacklist.sum() == 0
    assert pickle.loads(pickle.dumps(study.reader())).signals[1].name == "ATAC"


def test_peaks_are_those_named_or_those_called_beside_the_study(small):
    assert len(load_study(small).peaks()) == 1
    edit(small, 'narrowpeak = "ATAC.narrowPeak"', 'signal = "ATAC"')
    study = load_study(small)
    assert study.peaks() is None
    (small.parent / "peaks").mkdir()
    shutil.copy(small.parent / "ATAC.narrowPeak", small.parent / "peaks" / "MACS3.narrowPeak")
    assert len(study.peaks()) == 1


def test_a_resolved_study_needs_no_file_to_be_read_again(small):
    study = load_study(small)
    values = study.resolved()
    assert values["genome"]["fasta"] == str(small.parent / "genome.fa")
    shutil.rmtree(small.parent)
    again = Study.restore(values, small)
    assert again.resolved() == values
    assert again.folder == small.parent
    assert again.peaks_path() == study.peaks_path()


def test_a_bam_gives_its_coverage_once(small):
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": c, "LN": n} for c, n in SIZES.items()]}
    with pysam.AlignmentFile(str(small.parent / "reads.bam"), "wb", header=header) as bam:
        for chrom in range(2):
            read = pysam.AlignedSegment(bam.header)
            read.query_name, read.reference_id, read.reference_start = "r", chrom, 2_990
            read.query_sequence, read.cigarstring, read.mapping_quality = "A" * 20, "20M", 60
            bam.write(read)
    edit(small, 'path = "ATAC.bw"', 'path = "reads.bam"\nextend = 40')
    study = load_study(small)
    assert not (small.parent / "cache").exists()  # loading computes nothing
    signal = study.signals()[1]
    assert signal.read(study.windows(study.gene_sites())[0]).sum() == pytest.approx(40 * np.log(2))
    assert len(list((small.parent / "cache").glob("*.bigWig"))) == 1


def test_an_index_made_before_the_genome_was_changed_changes_nothing(small, capfd):
    before = load_study(small)
    genes, windows = before.genes(), before.windows(before.gene_sites())
    seen = [before.reader().read(window) for window in windows[:3]]
    fasta = small.parent / "genome.fa"
    index = (small.parent / "genome.fa.fai").stat()
    edit(fasta, ">chr1\n", ">chr1 AC:CM000663.2 gi:568336023\n")
    os.utime(fasta, ns=(index.st_mtime_ns - 1, index.st_mtime_ns - 1))
    after = load_study(small)
    assert "genome.fa: found an index of another file" in capfd.readouterr().err
    assert after.genes().equals(genes)
    for window, one in zip(windows, seen, strict=False):
        for name, values in zip(one._fields, after.reader().read(window), strict=True):
            assert np.array_equal(getattr(one, name), values), name
    assert capfd.readouterr().err == ""


# What is wrong with it


def test_all_problems_are_told_at_once(small):
    edit(small, 'fasta = "genome.fa"', 'fatsa = "genome.fa"')
    edit(small, "b = 1.5", "b = -1.5")
    edit(small, 'transform = "log1p"', 'transform = "log2"')
    edit(small, 'label = "cage"', 'label = "cagge"')
    edit(small, 'narrowpeak = "ATAC', 'narrowpeak = "lost')
    edit(small, "window = 4_000", "windw = 4_000")
    expected = [
        ("fatsa", "did you mean 'fasta'"),
        ("[[signals]] number 1 prior.b", "-1.5"),
        ("[[signals]] number 2 transform", "log2", "log10p1"),
        ("genes.tsv", "cagge", "did you mean 'cage'"),
        ("lost.narrowPeak", "no such file"),
        ("[model]", "windw", "did you mean 'window'"),
    ]
    problems = problems_of(small)
    assert len(problems) == len(expected)
    for words in expected:
        assert sum(all(word in problem for word in words) for problem in problems) == 1, (words, problems)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema = 1", "schema = 2", ["schema", "found 2", "expected 1"]),
        ('name = "small"', 'name = "a/b"', ["name", "a/b"]),
        ('assembly = "toy1"', "", ["assembly", "nothing"]),
        ('fasta = "genome.fa"', 'fasta = "lost.fa"', ["lost.fa", "no such file"]),
        ('annotation = "genes.gtf"', 'annotation = "lost.gtf"', ["lost.gtf", "no such file"]),
        ('blacklist = "blacklist.bed"', 'blacklist = "lost.bed"', ["lost.bed", "no such file"]),
        ('table = "genes.tsv"', 'table = "lost.tsv"', ["lost.tsv", "no such file"]),
        ('path = "ATAC.bw"', 'path = "lost.bw"', ["lost.bw", "no such file"]),
        ('path = "ATAC.bw"', 'path = "lost.bam"', ["lost.bam", "no such file"]),
        ('path = "ATAC.bw"', 'path = "ATAC.bed"', ["ATAC.bed", ".bigwig"]),
        ('path = "ATAC.bw"', 'path = "ATAC.bw"\nresolution = 5000', ["resolution", "Hi-C"]),
        ('path = "ATAC.bw"', 'path = "ATAC.bw"\nextend = 150', ["extend", "BAM"]),
        ('name = "ATAC"', 'name = "H3K27ac"', ["[[signals]]", "the same name", "rename"]),
        ('label_transform = "log10p1"', "", ["label_transform", "log10p1"]),
        ('label_transform = "log10p1"', 'label_transform = "ln"', ["label_transform", "ln", "log10p1"]),
        ('table = "genes.tsv"', "", ["[genes]", "a table with label"]),
        ('test = ["chr2"]', 'test = ["chr3"]', ["no gene with chrom 'chr3'", "'chr1', 'chr2'", "test"]),
        ('validation = []\ntest = ["chr2"]', 'validation = ["chr2"]\ntest = ["chr2"]', ["'chr2' in both validation"]),
        ("validation = []", 'validation = []\ncolumn = "fold"', ["no column 'fold'", "split"]),
        ('label = "cage"', 'label = "cage"\npromoter_activity = ["DNase"]', ["promoter_activity", "'DNase'", "'ATAC'"]),
        ('narrowpeak = "ATAC.narrowPeak"', "", ["[peaks]", "exactly one of narrowpeak, reads, signal"]),
        ('narrowpeak = "ATAC.narrowPeak"', 'signal = "DNase"', ["[peaks] signal", "'DNase'", "'ATAC'"]),
        ('narrowpeak = "ATAC.narrowPeak"', 'reads = ["lost.bam"]', ["lost.bam", "no such file"]),
        ("window = 4_000", 'window = "wide"', ["[model] window", "'wide'", "200000"]),
        ("window = 4_000", "window = true", ["[model] window", "True"]),
        ("window = 4_000", "window = 300", ["promoter of 400 bp in a window of 300"]),
        ("window = 4_000", 'window = 4_000\nsignals = ["x"]', ["'signals'", "[[signals]]"]),
        ("window = 4_000", 'window = 4_000\nvariant = "sfot"', ["variant", "soft"]),
        ("window = 4_000", "window = 4_000\nprior.b = [1.0, 2.0]", ["'prior.b'", "[[signals]]"]),
        ("window = 4_000", "window = 4_000\nmask.kl_mo = 0.1", ["'mask.kl_mo'", "did you mean 'mask.kl_mu'"]),
        ("window = 4_000", 'window = 4_000\nmask.kl_mu = "low"', ["[model] mask.kl_mu", "'low'", "0.1"]),
        ("window = 4_000", "window = 4_000\nprior_scale = 0.0", ["found prior_scale = 0", "above 0"]),
        ("window = 4_000", "window = 4_000\nprior.scale = 0.0", ["found prior.scale = 0", "above 0"]),
        ("window = 4_000", "window = 4_000\ncontact = 3", ["[model] contact", "found 3", "str"]),
        ("window = 4_000", "window = 4_000\nbackbone = 3", ["backbone = 3", "a table with d_model"]),
        ("[model]", "[modle]", ["unknown key 'modle'", "did you mean 'model'"]),
        ("[[signals]]\nname = \"A", "[[signals]]\ncolour = 1\nname = \"A", ["number 2 colour", "unknown key"]),
    ],
)  # fmt: skip
def test_one_mistake_gives_one_message(small, old, new, words):
    edit(small, old, new)
    one_problem(small, *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("G7\tgene7", "G6\tgene7", ["1 repeated gene ids", "'G6'"]),
        ("G7\tgene7", "\tgene7", ["'' in line 9", "an id"]),
        ("chr1\t45000\t-", "chr1\t45000\tminus", ["strand", "'minus' in line 9", "+ or -"]),
        ("chr1\t45000\t-", "chr1\t45000.5\t-", ["tss", "'45000.5' in line 9", "whole"]),
        ("chr1\t45000\t-", "chr1\t\t-", ["tss", "'' in line 9"]),
        ("chr1\t45000\t-", "chr1\t240000\t-", ["1 TSSs off the chromosome", "G7 at chr1:240,001", "same assembly"]),
        ("chr1\t45000\t-", "chr1\t-1\t-", ["1 TSSs off the chromosome"]),
        ("chr1\t45000\t-", "chr9\t45000\t-", ["1 genes", "'chr9'"]),
        ("chr1\t45000\t-\t0", "chr1\t45000\t-\tlots", ["'lots' in line 9", "numbers"]),
        ("chr1\t45000\t-\t0", "chr1\t45000\t-\tinf", ["'inf' in line 9", "numbers"]),
        ("chr1\t45000\t-\t0", "chr1\t45000\t-\t-3", ["'-3' in line 9", "log10p1"]),
        ("chr1\t45000\t-\t0", "chr1\t45000\t-", ["line 9", "5 cells", "6"]),
        ("gene_id\tsymbol", "gene_id\tgene_id", ["repeated column names: 'gene_id'"]),
        ("gene_id\tsymbol", "gen_id\tsymbol", ["no column 'gene_id'", "did you mean 'gen_id'"]),
    ],
)
def test_a_mistake_in_the_table_names_its_line(small, old, new, words):
    edit(small.parent / "genes.tsv", old, new)
    one_problem(small, "genes.tsv", *words)


def test_other_spellings_of_chromosomes_are_named(small):
    table = small.parent / "genes.tsv"
    table.write_text(table.read_text().replace("\tchr1", "\t1").replace("\tchr2", "\t2"))
    problems = problems_of(small)
    assert "50 genes on chromosomes that the FASTA does not have" in problems[0]
    assert "'chr1' to '1'" in problems[0]


def test_a_signal_of_other_spelling_is_refused(small):
    write_bigwig(small.parent / "ATAC.bw", {name.removeprefix("chr"): v for name, v in SIGNALS[1].items()})
    one_problem(small, "ATAC.bw: found chromosome '1'; expected 'chr1'", "rename")


def test_an_annotation_of_other_spelling_is_refused(small):
    gtf = small.parent / "genes.gtf"
    gtf.write_text(gtf.read_text().replace("chr", ""))
    one_problem(small, "genes.gtf", "'1'", "'chr1'")


@pytest.mark.parametrize(("change", "kind"), [(-1_000, "shorter"), (1_000, "longer")])
def test_a_signal_of_other_length_is_of_another_build(small, change, kind):
    sizes = {chrom: size + change for chrom, size in SIZES.items()}
    write_bigwig(small.parent / "ATAC.bw", {chrom: np.ones(1_000) for chrom in SIZES}, sizes)
    one_problem(small, "ATAC.bw", f"'chr1' with {240_000 + change:,} bp, {kind}", "and 1 more", "240,000")


def test_a_signal_without_the_chromosome_of_some_genes_is_read_as_0_there(small):
    write_bigwig(small.parent / "ATAC.bw", {"chr1": SIGNALS[1]["chr1"]})
    study = load_study(small)
    genes = study.gene_sites()
    data = [study.reader().read(window) for window in study.windows(genes.iloc[[0, 45]])]
    assert [one.signals[:, 1].max() > 0 for one in data] == [True, False]
    assert data[1].signals[:, 0].max() > 0
    (warning,) = study.warnings(genes)
    assert "ATAC.bw: found no chromosome 'chr2' (10 of 50 genes)" in str(warning)
    assert study.warnings(genes[:40]) == []


def test_a_signal_of_another_length_is_refused_though_it_lists_not_every_chromosome(small):
    write_bigwig(small.parent / "ATAC.bw", {"chr1": np.ones(1_000)}, {"chr1": 239_999})
    one_problem(small, "ATAC.bw", "'chr1' with 239,999 bp, shorter")


@pytest.mark.parametrize("chroms", [["2", "chr1"], ["chr1", "2"], ["chrM", "2"]])
def test_another_spelling_is_the_cause_whatever_else_the_file_lists(small, chroms):
    write_bigwig(small.parent / "ATAC.bw", {chrom: np.ones(9) for chrom in chroms}, {
        chrom: SIZES.get(chrom, 60_000) for chrom in chroms
    })  # fmt: skip
    assert any("found chromosome '2'; expected 'chr2'; rename '2' to 'chr2'" in text for text in problems_of(small))


def test_a_truncated_signal_is_refused(small):
    path = small.parent / "ATAC.bw"
    path.write_bytes(path.read_bytes()[:-5_000])
    one_problem(small, "ATAC.bw", "truncated")


def test_a_hic_file_takes_no_transform(small):
    edit(small, 'path = "ATAC.bw"', 'path = "ATAC.hic"')
    assert any("no transform for Hi-C" in problem for problem in problems_of(small))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema = \nname = 'x'", ["not TOML", "line 1"]),
        ("schema = 1\nschema = 1\n", ["not TOML", "overwrite"]),
    ],
)
def test_what_is_no_toml_is_told(tmp_path, text, words):
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_study(tmp_path)
    assert all(word in str(caught.value) for word in words)


def test_a_missing_study_says_how_to_begin(tmp_path):
    with pytest.raises(InputError, match=r"no such file.*seq2exp-viz init"):
        load_study(tmp_path)


def test_a_table_instead_of_a_value_and_the_reverse_are_told(tmp_path):
    (tmp_path / "study.toml").write_text('schema = 1\nname = []\nassembly = {}\ngenome = 5\nsignals = "x"\n')
    places = ("name", "[assembly]", "genome", "signals")
    problems = problems_of(tmp_path)
    assert all(any(f"study.toml {place}: found" in problem for problem in problems) for place in places)


# The template


def test_the_template_is_a_whole_study_whose_files_are_missing(tmp_path):
    path = write_template(tmp_path / "new")
    problems = problems_of(path)
    assert all("no such file" in problem for problem in problems)
    assert len(problems) == 7


def test_every_setting_that_the_template_shows_can_be_switched_on(tmp_path):
    lines = write_template(tmp_path).read_text().splitlines()
    settings = [line.removeprefix("# ") for line in lines if line.startswith("# ") and " = " in line.split("#")[1]]
    assert len(settings) >= 17
    assert all(len(tomllib.loads(setting)) == 1 for setting in settings)
    text = "\n".join(line.removeprefix("# ") if line.removeprefix("# ") in settings else line for line in lines)
    (tmp_path / "study.toml").write_text(text)
    problems = problems_of(tmp_path)
    assert all("no such file" in problem for problem in problems), problems


def test_an_existing_study_is_never_overwritten(small):
    before = small.read_text()
    with pytest.raises(InputError, match="new path"):
        write_template(small.parent)
    assert small.read_text() == before


# Quotes


@pytest.mark.parametrize("cell", ['"5 prime nucleotidase', '5" end', '"a, ""b"""', '"', '""', "#1", "NA", "it's"])
@pytest.mark.parametrize("place", ["description", "last column"])
def test_quotes_in_a_gene_table_lose_no_gene(small, cell, place):
    table = small.parent / "genes.tsv"
    lines = [line.split("\t") for line in table.read_text().splitlines()]
    at = 2 if place == "description" else 6
    for number, line in enumerate(lines):
        line.insert(at, "description" if number == 0 else cell if number in (21, 26) else "plain")
    table.write_bytes("\r\n".join("\t".join(line) for line in lines).encode("utf-8-sig"))
    genes = load_study(small).gene_sites()
    assert genes.gene_id.tolist() == [f"G{number}" for number in range(50)]
    assert genes.label.notna().sum() == 49


def test_a_cell_over_several_lines_is_named_by_its_line(small):
    edit(small.parent / "genes.tsv", "G7\tgene7\t", 'G7\t"gene\n7"\t')
    one_problem(small, "genes.tsv line 9", "2 cells", "a quote never joins cells or lines")


@pytest.mark.parametrize(("separator", "name"), [(",", "commas"), (";", "semicolons")])
def test_a_table_with_other_separators_is_one_problem(small, separator, name):
    table = small.parent / "genes.tsv"
    table.write_text(table.read_text().replace("\t", separator))
    one_problem(small, "genes.tsv", f"cells separated by {name}", "tabs")


# Any input at all


KEYS = st.sampled_from(["name", "path", "prior", "b", "w", "column", "test", "x"])
TOML_VALUE = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.sampled_from(["", "genes.tsv", "genome.fa", "ATAC.bw", "chr1", "none", "../..", "\0", "a" * 300, "+", "0"]),
        st.text(max_size=5),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "path", "prior", "b", "w", "column", "test", "x"]), values, max_size=3
        ),
    ),
    max_leaves=6,
)
PLACES = (
    *(("schema",), ("name",), ("simulated",), ("genome",), ("genome", "fasta"), ("genome", "blacklist"), ("genes",)),
    *(("genes", "table"), ("genes", "label"), ("genes", "split"), ("genes", "split", "test"), ("genes", "features")),
    *(("genes", "split", "column"), ("genes", "promoter_activity"), ("signals",), ("peaks",), ("peaks", "reads")),
    *(("truth",), ("model",), ("model", "window"), ("model", "promoter"), ("training",), ("unknown",)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=TOML_VALUE)
def test_any_value_anywhere_is_a_study_or_an_input_error(small_template, place, value):
    from model_core.study import study as module

    raw = tomllib.loads((small_template / "study.toml").read_text())
    table = raw
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_toml", lambda *about: raw)
        try:
            study = load_study(small_template)
        except InputError:
            return
    assert study.config().window == study.window
    assert study.resolved()["name"] == study.name


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.lists(
            st.one_of(
                st.sampled_from(["G1", "chr1", "chr2", "5", "+", "-1", "", "NA", "1e400", "nan", '"', '"a', "1_0"]),
                st.text(max_size=4),
            ),
            min_size=5,
            max_size=6,
        ),
        max_size=4,
    )
)
def test_any_gene_table_is_read_or_an_input_error(small_template, tmp_path, rows):
    header = "gene_id\tchrom\ttss\tstrand\tcage\textra"
    table = tmp_path / "any.tsv"
    lines = [header, *("\t".join(row) for row in rows)]
    table.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    values = load_study(small_template).resolved()
    values["genes"] |= {"table": str(table), "split": {}}
    study = Study.restore(values, small_template / "study.toml")
    try:
        genes = study.gene_sites()
    except InputError:
        return
    assert genes.gene_id.is_unique
    assert genes.strand.isin(["+", "-"]).all()
    assert ((genes.tss >= 0) & (genes.tss < genes.chrom.map(SIZES))).all()


@given(name=st.text(max_size=10))
def test_a_signal_s_name_can_always_name_a_file(name):
    try:
        spec = SignalSpec(name=name, path="x.bw", prior={"b": 1, "w": 1})
    except ValueError:
        return
    assert spec.name.isascii()
    assert not set(spec.name) & set("/\\ \0:")


# The real data


@pytest.fixture
def real(shared_data, tmp_path):
    (tmp_path / "study.toml").write_text(real_study_toml(shared_data))
    return tmp_path / "study.toml"


def test_the_real_study_loads(real):
    study = load_study(real)
    genes = study.genes()
    assert len(genes) == 517
    assert genes.label.notna().sum() == 462
    assert genes.split.value_counts().to_dict() == {"train": 376, "test": 71, "validation": 70}
    inputs = standardise(genes, study.feature_scale())
    assert np.isfinite(inputs).all()
    assert np.abs(inputs).max() < 30
    data = study.reader().read(study.windows(genes)[250])
    assert (data.signals.max(axis=0) > 0).all()


def test_the_repeated_id_of_the_real_table_is_found(real):
    edit(real, 'id = "symbol"', 'id = "gene_id"')
    one_problem(real, "genes.chr22.tsv", "'ENSG00000273032'")


def test_a_normalisation_that_the_real_hic_lacks_is_named_with_those_it_has(real):
    edit(real, 'normalisation = "weight"', 'normalisation = "VC"')
    one_problem(real, "K562.hic.chr22.mcool", "'VC'", "weight")


# The reference


def test_every_setting_stands_in_the_reference():
    text = (Path(__file__).parents[1] / "docs" / "study.md").read_text()
    for section in (GenomeFiles, Genes, Split, SignalSpec, Peaks, Truth):
        for name, field in section.model_fields.items():
            assert f"`{field.alias or name}`" in text or f"[genes.{name}]" in text, (section.__name__, name)
    for name in (*TRANSFORMS, *FEATURES):
        assert f"`{name}`" in text
    for table in (info.alias or name for name, info in Study.model_fields.items()):
        assert f"[{table}]" in text or f"{table} = " in text, table


def test_the_examples_of_the_reference_are_right(tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "study.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 7
    rest = '[genome]\nfasta = "a.fa"\nannotation = "a.gtf"\n[genes]\ntable = "a.tsv"\n'
    head, split, features, signal, *forms = examples
    tables, dots, flat = (Seq2ExpConfig.from_dict(tomllib.loads(form)["model"]) for form in forms)
    assert tables == dots == flat != Seq2ExpConfig()
    (tmp_path / "study.toml").write_text("\n".join([head, rest, split, features, signal]))
    assert all("no such file" in problem for problem in problems_of(tmp_path))
