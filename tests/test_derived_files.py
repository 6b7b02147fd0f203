"""What a page looks up beside a run: gene models, coverage, the genome; each its own file's and no other's."""

import os

import numpy as np
import pysam
import pytest
from viewer_run import make_study, make_viewer_run

from model_core.errors import InputError
from model_core.run_folder.run import Run
from model_core.run_folder.source import study_of
from model_core.signals.bam_coverage import cached_coverage
from model_core.study.genome import Genome
from seq2exp_viz.runs import gene_models
from seq2exp_viz.runs.gene_models import GeneModels
from seq2exp_viz.runs.run_view import RunView

GTF = 'chr1\ttest\texon\t101\t200\t.\t+\t.\tgene_id "A"; gene_name "{}"; transcript_id "A.1";\n'


def models_of(path, cache):
    models = GeneModels(path, cache)
    assert models.wait(60), models.problem
    return models


def test_another_annotation_of_the_same_length_and_time_has_its_own_models(tmp_path):
    path = tmp_path / "genes.gtf"
    for name in ("ONE", "TWO"):
        path.write_text(GTF.format(name))
        os.utime(path, (1, 1))
        assert models_of(path, tmp_path / "cache").table("gene").name.tolist() == [name]


def test_models_made_by_other_code_are_made_anew(tmp_path, monkeypatch):
    (tmp_path / "genes.gtf").write_text(GTF.format("ONE"))
    first = models_of(tmp_path / "genes.gtf", tmp_path / "cache")
    changed = tmp_path / "annotation.py"
    changed.write_text("# a parser that reads names in another way")
    monkeypatch.setattr(gene_models.annotation, "__file__", str(changed))
    assert not GeneModels(tmp_path / "genes.gtf", tmp_path / "cache").cache.exists()
    assert first.cache.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", "half", "another archive"])
def test_a_damaged_cache_of_models_is_made_anew(tmp_path, content):
    path, cache = tmp_path / "genes.gtf", tmp_path / "cache"
    path.write_text(GTF.format("ONE"))
    made = models_of(path, cache).cache
    if content == "another archive":
        np.savez(made, other=np.arange(3))
    else:
        whole = made.read_bytes()
        made.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    assert models_of(path, cache).table("transcript").id.tolist() == ["A.1"]


def test_a_cache_of_models_that_stays_damaged_is_told_and_not_made_for_ever(tmp_path, monkeypatch):
    path = tmp_path / "genes.gtf"
    path.write_text(GTF.format("ONE"))
    models_of(path, tmp_path / "cache")
    load, asked = GeneModels._load, []

    def from_a_bad_disk(models, level):
        if models._content is None:
            raise ValueError("bad disk")
        return load(models, level)

    monkeypatch.setattr(GeneModels, "_load", from_a_bad_disk)
    ask = GeneModels._ask
    monkeypatch.setattr(GeneModels, "_ask", lambda models: asked.append(1) or ask(models))
    said: list[str] = []
    models = GeneModels(path, tmp_path / "cache", lambda found: said.append(str(found)))
    assert models.wait(60)
    assert models.table("transcript").id.tolist() == ["A.1"]
    assert len(asked) == 1
    assert ["damaged (bad disk)" in words for words in said] == [True]


def test_bases_of_another_genome_than_the_runs_are_not_shown(tmp_path):
    study = make_study(tmp_path / "study")
    run = make_viewer_run(tmp_path / "run", study)
    fasta = tmp_path / "study" / "genome.fa"
    fasta.write_text(fasta.read_text().replace(">chr2\n", ">chr2\nACGTACGTACGT\n", 1))
    fasta.with_name("genome.fa.fai").unlink()
    view = RunView.open("tiny", Run.open(run), tmp_path / "cache")
    with pytest.raises(InputError, match="malformed FASTA"):
        _ = Genome(fasta).sizes
    assert view.genome is None
    fasta.write_text(fasta.read_text().replace("ACGTACGTACGT\n", "A" * 60 + "\n", 1))
    view = RunView.open("tiny", Run.open(run), tmp_path / "cache")
    assert view.genome is None
    assert "genome.fa" not in view.files
    assert "found 'chr2' with 40,060 bp; expected 40,000 bp" in " ".join(view.notes)


def test_a_run_of_other_lengths_than_its_studys_genome_is_not_computed_with(tmp_path):
    run = make_viewer_run(tmp_path / "run", make_study(tmp_path / "study"))
    assert study_of(Run.open(run)).genome().sizes == {"chr1": 40_000, "chr2": 40_000}
    (run / "chrom.sizes").write_text("chr1\t40000\nchr2\t40001\n")
    with pytest.raises(InputError, match="put back the genome that the run was made from"):
        study_of(Run.open(run))


def test_the_page_shows_a_bams_own_coverage_or_none(tmp_path):
    study = make_study(tmp_path / "study")
    folder = study.parent
    study.write_text(study.read_text().replace('"H3K27ac.bw"', '"reads.bam"\nextend = 50'))
    for name, start in (("reads.bam", 1_000), ("reads2.bam", 2_000), ("reads.more.bam", 3_000)):
        header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": c, "LN": 40_000} for c in ("chr1", "chr2")]}
        with pysam.AlignmentFile(str(folder / name), "wb", header=header) as bam:
            read = pysam.AlignedSegment(bam.header)
            read.query_name, read.reference_id, read.reference_start = "r", 0, start
            read.query_sequence, read.cigarstring, read.mapping_quality = "A" * 20, "20M", 60
            bam.write(read)
    run = Run.open(make_viewer_run(tmp_path / "run", study))
    others = [cached_coverage(folder / name, folder / "cache", 50) for name in ("reads2.bam", "reads.more.bam")]
    others.append(cached_coverage(folder / "reads.bam", folder / "cache"))  # with other settings
    view = RunView.open("tiny", run, tmp_path / "cache")
    assert "signal-0.bigWig" not in view.files
    assert f"H3K27ac is not shown: The coverage of {folder / 'reads.bam'} was not computed." in view.notes
    own = cached_coverage(folder / "reads.bam", folder / "cache", 50)
    for other in others:
        os.utime(other, (4_000_000_000, 4_000_000_000))  # later than its own
    assert RunView.open("tiny", run, tmp_path / "cache").files["signal-0.bigWig"] == own
    (folder / "reads.bam").write_bytes((folder / "reads2.bam").read_bytes())
    assert "signal-0.bigWig" not in RunView.open("tiny", run, tmp_path / "cache").files
    (folder / "reads.bam").unlink()
    assert RunView.open("tiny", run, tmp_path / "cache").files["signal-0.bigWig"] == own
