"""Peaks: the real macs3 on real and on simulated files, and what is kept beside the peaks."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import bioframe
import numpy as np
import pandas as pd
import pyBigWig
import pytest
from two_bit_writer import write_two_bit

from model_core.bed import read_narrowpeak
from model_core.errors import InputError
from model_core.study import macs3, peaks
from model_core.study.genome import Genome
from model_core.study.genome_size import size_for_macs3
from model_core.study.macs3 import find_macs3, has_option, reads_format, refuse_inputs_and_outputs, run_macs3
from model_core.study.peaks import LIMITS, call_peaks, peaks_of_study
from model_core.study.study import load_study

pytest.importorskip("MACS3", reason="needs macs3 (pip install 'seq2exp-viz[model]')")

SITES = (3_000, 9_000, 15_000)  # of the reads below, 300 tags each within 200 bp
OPTIONS = ("--nomodel", "--shift", "-40", "--extsize", "80", "--keep-dup", "all", "-q", "0.01")


def write_reads(path, sites=SITES, chrom="chr1", background=2_000):
    """BED reads (gzipped where the name says so): some anywhere on 20 kb, and more at the sites."""
    rng = np.random.default_rng(0)
    starts = [rng.integers(0, 20_000, background), *(site + rng.integers(0, 200, 300) for site in sites)]
    starts = np.sort(np.concatenate(starts))
    lines = [f"{chrom}\t{start}\t{start + 36}\t.\t0\t+\n" for start in starts]
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        file.writelines(lines)
    return path


def write_bigwig(path, runs, size=20_000, chrom="chr1"):
    """A bigWig from (start, end, value); everything else is without value."""
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([(chrom, size)])
        starts, ends, values = (list(column) for column in zip(*runs, strict=True))
        file.addEntries([chrom] * len(starts), starts, ends=ends, values=[float(value) for value in values])
    return path


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """Folder and record of one call on reads with a control."""
    folder = tmp_path_factory.mktemp("peaks")
    reads = write_reads(folder / "dnase.bed.gz")
    control = write_reads(folder / "input.bed", sites=())
    record = call_peaks(folder / "made" / "K562.narrowPeak", [reads], [control], genome_size=20_000, options=OPTIONS)
    return folder, record


def test_callpeak_finds_the_sites_in_the_reads(called):
    folder, record = called
    table = read_narrowpeak(folder / "made" / "K562.narrowPeak")
    assert record["peaks"] == len(table) == len(SITES)
    for site, peak in zip(SITES, table.itertuples(), strict=True):
        assert peak.start < site + 100 < peak.end
        assert 150 < peak.end - peak.start < 500
        assert peak.name.startswith("K562_peak_")
    assert (table.minus_log10_q > 2).all()


def test_record_tells_command_version_and_inputs(called):
    folder, record = called
    assert json.loads((folder / "made" / "K562.json").read_text()) == record
    assert record["caller"] == "callpeak"
    assert record["command"].startswith("macs3 callpeak -t ")
    for words in ("-f BED", "-g 20000", "-n K562", "--shift -40 --extsize 80", "-q 0.01"):
        assert words in record["command"]
    said = subprocess.run([find_macs3()[0], "--version"], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["macs3", record["macs3"]]
    assert [(entry["role"], Path(entry["path"]).name) for entry in record["inputs"]] == [
        ("reads", "dnase.bed.gz"),
        ("control", "input.bed"),
    ]
    assert record["inputs"][1]["bytes"] == (folder / "input.bed").stat().st_size
    assert len(record["inputs"][0]["sha256"]) == 64
    assert record["limits"] == LIMITS["callpeak"]


def test_log_keeps_what_macs3_said_and_nothing_else_is_left(called):
    folder, _ = called
    assert "Call peaks" in (folder / "made" / "K562.log").read_text()
    assert sorted(path.name for path in (folder / "made").iterdir()) == ["K562.json", "K562.log", "K562.narrowPeak"]


def test_recorded_command_gives_the_same_peaks_when_typed(called, tmp_path):
    folder, record = called
    command = record["command"].replace("macs3", str(find_macs3()[0]), 1)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "K562_peaks.narrowPeak").read_bytes() == (folder / "made" / "K562.narrowPeak").read_bytes()


def test_peaks_are_not_called_again_until_something_changes(called, monkeypatch):
    folder, record = called
    runs = []
    run = peaks.run_macs3
    monkeypatch.setattr(peaks, "run_macs3", lambda *words: (runs.append(1), run(*words)))
    path, reads = folder / "made" / "K562.narrowPeak", [folder / "dnase.bed.gz"]
    same = {"control": [folder / "input.bed"], "genome_size": 20_000, "options": OPTIONS}
    assert call_peaks(path, reads, **same) == record
    assert runs == []
    path.write_text(path.read_text() + "chr1\t0\t9\tmine\t0\t.\t1\t1\t1\t1\n")
    assert call_peaks(path, reads, **same)["peaks"] == record["peaks"]
    assert runs == [1]
    other = call_peaks(path, reads, **{**same, "options": (*OPTIONS, "--call-summits")})
    assert runs == [1, 1]
    assert "--call-summits" in other["command"]


def test_callpeak_reads_bam(tmp_path):
    import pysam

    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6"}, "SQ": [{"SN": "chr1", "LN": 20_000}]})
    path = tmp_path / "reads.bam"
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam, write_reads(tmp_path / "r.bed").open() as bed:
        for line in bed:
            read = pysam.AlignedSegment(header)
            read.query_name, read.query_sequence, read.mapping_quality = "r", "A" * 36, 60
            read.reference_id, read.reference_start, read.cigarstring = 0, int(line.split("\t")[1]), "36M"
            bam.write(read)
    record = call_peaks(tmp_path / "bam.narrowPeak", [path], genome_size=20_000, options=OPTIONS)
    assert "-f BAM" in record["command"]
    assert record["peaks"] == len(SITES)


def test_failure_gives_the_last_words_of_macs3_and_keeps_old_peaks(tmp_path):
    path, reads = tmp_path / "made.narrowPeak", tmp_path / "broken.bed"
    path.write_text("chr1\t0\t9\told\t0\t.\t1\t1\t1\t1\n")
    reads.write_text("chr1\t5\n")
    with pytest.raises(InputError, match="macs3 callpeak: found exit status 1 with: IndexError") as caught:
        call_peaks(path, [reads], genome_size=20_000)
    assert "\n" not in str(caught.value)
    assert "Traceback" in (tmp_path / "made.log").read_text()
    assert "old" in path.read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["broken.bed", "made.log", "made.narrowPeak"]


def test_unknown_option_is_told_in_macs3s_words(tmp_path):
    reads = write_reads(tmp_path / "r.bed", background=10)
    with pytest.raises(InputError, match="--sharp"):
        call_peaks(tmp_path / "p.narrowPeak", [reads], genome_size=20_000, options=["--sharp"])


def test_missing_macs3_is_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(macs3.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    reads = write_reads(tmp_path / "r.bed", background=10)
    with pytest.raises(InputError, match=r"no program macs3.*pip install"):
        call_peaks(tmp_path / "p.narrowPeak", [reads], genome_size=20_000)


def test_macs3_on_the_path_is_found_where_none_is_beside_python(tmp_path, monkeypatch):
    program = find_macs3()[0]
    monkeypatch.setattr(macs3.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(program.parent))
    assert find_macs3()[0] == program


def test_missing_reads_and_missing_genome_size_are_told(tmp_path):
    with pytest.raises(InputError, match=r"nothing.bam: found no such file; expected a file \(reads\)"):
        call_peaks(tmp_path / "p.narrowPeak", [tmp_path / "nothing.bam"], genome_size=20_000)
    reads = write_reads(tmp_path / "r.bed", background=10)
    with pytest.raises(InputError, match="no genome size"):
        call_peaks(tmp_path / "p.narrowPeak", [reads])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.bam"], "BAM"),
        (["a.bed", "b.bed.gz"], "BED"),
        (["a.tagAlign.gz"], "BED"),
        (["a.BED.GZ"], "BED"),
        (["a.bedpe"], "BEDPE"),
    ],
)
def test_format_of_reads_follows_their_names(names, expected):
    assert reads_format(names) == expected


@pytest.mark.parametrize("names", [["a.cram"], ["a.gz"], ["a.bam", "b.bed"]])
def test_unknown_or_mixed_formats_are_refused(names):
    with pytest.raises(InputError):
        reads_format(names)


@pytest.mark.parametrize("word", ["-t", "-nK562", "--name=a", "--treat", "--outdir", "-cinput.bed", "--broad"])
def test_options_that_set_inputs_and_outputs_are_refused(word):
    with pytest.raises(InputError, match="remove it"):
        refuse_inputs_and_outputs("callpeak", ["-q", "0.01", word])


def test_other_options_pass():
    refuse_inputs_and_outputs("callpeak", (*OPTIONS, "--call-summits", "--nolambda", "-B"))
    refuse_inputs_and_outputs("bdgpeakcall", ("-c", "7", "--cutoff", "7", "--min-length=200", "-g", "50"))


def test_option_is_recognised_in_every_spelling():
    for words in (["-c", "7"], ["-c7"], ["--cutoff", "7"], ["--cutoff=7"], ["--cut=7"]):
        assert has_option(words, "-c", "--cutoff")
    for words in ([], ["-l", "7"], ["--min-length", "7"]):
        assert not has_option(words, "-c", "--cutoff")


def test_signal_peaks_are_what_reaches_the_cutoff(tmp_path):
    runs = [(1_000, 1_200, 9), (1_250, 1_400, 7), (5_000, 5_100, 9), (8_000, 8_300, 6.9), (12_000, 12_150, 7)]
    source = write_bigwig(tmp_path / "s.bigWig", runs)
    record = call_peaks(tmp_path / "p.narrowPeak", signal=source, options=["-c", "7"])
    table = read_narrowpeak(tmp_path / "p.narrowPeak")
    # Joined over 50 bp; too short; too low; just long and high enough.
    assert list(zip(table.start, table.end, strict=True)) == [(1_000, 1_400), (12_000, 12_150)]
    assert record["peaks"] == 2
    assert "-c 7" in record["command"]
    assert "-l 150 -g 75" in record["command"]
    assert "cutoff_rule" not in record
    assert "without a background model" in record["limits"]


def test_peaks_are_not_joined_across_bases_without_value(tmp_path):
    # bdgpeakcall takes neighbouring lines of a bedGraph for neighbouring intervals, however far apart they are.
    source = write_bigwig(tmp_path / "s.bigWig", [(1_000, 1_200, 9), (15_000, 15_200, 9)])
    call_peaks(tmp_path / "p.narrowPeak", signal=source, options=["-c", "7"])
    table = read_narrowpeak(tmp_path / "p.narrowPeak")
    assert list(zip(table.start, table.end, strict=True)) == [(1_000, 1_200), (15_000, 15_200)]


def test_default_cutoff_is_the_stated_quantile_of_all_bases(tmp_path):
    # 20 kb: 400 bases (2 %) at 5 or more, so the 0.98 quantile over all bases is the value below those: 3.
    source = write_bigwig(tmp_path / "s.bigWig", [(1_000, 2_000, 3), (4_000, 4_200, 5), (9_000, 9_200, 8)])
    record = call_peaks(tmp_path / "p.narrowPeak", signal=source)
    assert "-c 3 " in record["command"]
    assert record["cutoff_rule"] == "the 0.98 quantile of s.bigWig over all of its 20,000 bases"
    record = call_peaks(tmp_path / "p.narrowPeak", signal=source, quantile=0.985)
    assert "-c 5 " in record["command"]
    record = call_peaks(tmp_path / "p.narrowPeak", signal=source, quantile=0.5)
    assert "-c 3 " in record["command"]  # never 0: the smallest positive value


def test_signal_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "text.bigWig").write_text("no bigWig")
    with pytest.raises(InputError, match="found another format; expected a bigWig"):
        call_peaks(tmp_path / "p.narrowPeak", signal=tmp_path / "text.bigWig")
    flat = write_bigwig(tmp_path / "flat.bigWig", [(0, 20_000, 0)])
    with pytest.raises(InputError, match="no value above 0"):
        call_peaks(tmp_path / "p.narrowPeak", signal=flat)


def test_no_peak_is_an_empty_file(tmp_path):
    source = write_bigwig(tmp_path / "s.bigWig", [(1_000, 1_200, 9)])
    record = call_peaks(tmp_path / "p.narrowPeak", signal=source, options=["-c", "100"])
    assert record["peaks"] == 0
    assert read_narrowpeak(tmp_path / "p.narrowPeak").empty


def test_real_signal_gives_the_peaks_that_macs3_gave_before(shared_data, tmp_path):
    path = tmp_path / "K562.narrowPeak"
    source = shared_data / "K562.DNase.reconstructed.bigWig"
    record = call_peaks(path, signal=source, options=["-c", "7", "-l", "150", "-g", "75"])
    columns = ["chrom", "start", "end", "score", "summit"]
    expected = read_narrowpeak(shared_data / "K562.DNase.macs3_bdgpeakcall.narrowPeak")
    pd.testing.assert_frame_equal(read_narrowpeak(path)[columns], expected[columns])
    assert record["peaks"] == 3_018


def test_real_signal_with_default_cutoff(shared_data, tmp_path):
    record = call_peaks(tmp_path / "K562.narrowPeak", signal=shared_data / "K562.DNase.reconstructed.bigWig")
    table = read_narrowpeak(tmp_path / "K562.narrowPeak")
    assert "all of its 50,818,468 bases" in record["cutoff_rule"]
    share = (table.end - table.start).sum() / 50_818_468
    assert 0.005 < share < 0.04


def study_with(folder, peaks_table, genome="chr1"):
    """A study on disk with a tiny genome and the [peaks] given as TOML lines."""
    rng = np.random.default_rng(1)
    (folder / "g.fa").write_text(f">{genome}\n{''.join(rng.choice(list('ACGT'), 20_000))}\n")
    gene = 'gene_id "G1"; gene_type "protein_coding"; transcript_id "G1.t1";'
    rows = [f"{genome}\tx\t{kind}\t10001\t12000\t.\t+\t.\t{gene}\n" for kind in ("gene", "exon", "CDS")]
    (folder / "g.gtf").write_text("".join(rows))
    write_bigwig(folder / "DNase.bigWig", [(0, 12_000, 1), (12_000, 12_300, 9)], chrom=genome)
    (folder / "study.toml").write_text(
        f"""schema = 1
name = "tiny"
assembly = "tiny1"
[genome]
fasta = "g.fa"
annotation = "g.gtf"
[[signals]]
name = "DNase"
path = "DNase.bigWig"
prior = {{ b = 0.2, w = 0.4 }}
{peaks_table}
"""
    )
    return load_study(folder / "study.toml")


def test_study_calls_peaks_on_its_reads(tmp_path):
    write_reads(tmp_path / "r.bed.gz")
    options = ", ".join(f'"{word}"' for word in OPTIONS)
    study = study_with(tmp_path, f'[peaks]\nname = "DHS"\nreads = ["r.bed.gz"]\noptions = [{options}]')
    assert study.peaks() is None
    table, record = peaks_of_study(study)
    assert len(table) == len(SITES)
    assert "-g 20000" in record["command"]
    assert record["genome_size_rule"] == "-g 20000: the known bases of the 1 sequence of g.fa; 0 are N."
    assert study.peaks().equals(table)
    assert (tmp_path / "peaks" / "DHS.json").is_file()


def test_peaks_are_called_again_where_the_genome_size_is_another_one(tmp_path):
    write_reads(tmp_path / "r.bed.gz")
    options = ", ".join(f'"{word}"' for word in OPTIONS)
    study = study_with(tmp_path, f'[peaks]\nname = "DHS"\nreads = ["r.bed.gz"]\noptions = [{options}]')
    first = peaks_of_study(study)[1]
    assert peaks_of_study(study)[1] == first
    name, bases = (tmp_path / "g.fa").read_text().split()
    (tmp_path / "g.fa").write_text(f"{name}\n{'N' * 5_000}{bases[5_000:]}\n")
    other = peaks_of_study(load_study(tmp_path / "study.toml"))[1]
    assert "-g 15000" in other["command"]
    assert other["genome_size_rule"].endswith("5,000 are N.")
    assert json.loads((tmp_path / "peaks" / "DHS.json").read_text()) == other


def test_a_genome_size_in_the_options_is_taken_as_it_is(tmp_path):
    write_reads(tmp_path / "r.bed.gz")
    options = ", ".join(f'"{word}"' for word in (*OPTIONS, "-g", "12345"))
    record = peaks_of_study(study_with(tmp_path, f'[peaks]\nreads = ["r.bed.gz"]\noptions = [{options}]'))[1]
    assert record["command"].count("-g ") == 1
    assert "genome_size_rule" not in record


@pytest.mark.parametrize("suffix", [".fa", ".2bit"])
def test_known_bases_are_counted_without_n_and_without_alternative_contigs(tmp_path, suffix):
    sequences = {"chr1": "NNNacgtRACGTNN" * 3, "chr1_KI270762v1_alt": "ACGT", "chrUn_1": "ACG", "HLA-A*01:01": "AC"}
    path = tmp_path / f"g{suffix}"
    if suffix == ".fa":
        path.write_text("".join(f">{name}\n{bases}\n" for name, bases in sequences.items()))
    else:
        write_two_bit(path, {name: bases.replace("R", "N").encode() for name, bases in sequences.items()})
    value, rule = size_for_macs3(Genome(path), "hg38")
    assert value == "27"
    assert rule == (
        f"-g 27: the known bases of the 2 sequences of {path.name}, without 2 alternative sequences; 18 are N."
    )


@pytest.mark.parametrize(("assembly", "name"), [("hg38", "hs"), ("hg19", "hs"), ("mm10", "mm"), ("ce11", "ce")])
def test_a_whole_known_assembly_has_the_size_that_macs3_names(assembly, name):
    sizes = bioframe.assembly_info(assembly).chromsizes.to_dict()
    genome = SimpleNamespace(path=Path("g.fa"), sizes=sizes, known_bases=lambda chrom: 1)
    assert size_for_macs3(genome, assembly)[0] == name
    plain = {chrom.removeprefix("chr"): size for chrom, size in sizes.items() if chrom not in ("chrY", "chrM")}
    genome.sizes = plain  # another spelling, without Y and M
    assert size_for_macs3(genome, assembly)[0] == name
    del plain[next(iter(plain))]
    assert size_for_macs3(genome, assembly)[0] == str(len(plain))
    genome.sizes = sizes
    assert size_for_macs3(genome, "tiny1")[0] == str(len(sizes))


def test_a_genome_of_n_alone_is_refused(tmp_path):
    (tmp_path / "g.fa").write_text(">chr1\nNNNN\n")
    with pytest.raises(InputError, match="no base but N"):
        size_for_macs3(Genome(tmp_path / "g.fa"), "tiny1")


def test_study_calls_peaks_on_its_signal(tmp_path):
    table, record = peaks_of_study(study_with(tmp_path, '[peaks]\nsignal = "DNase"\noptions = ["-c", "5"]'))
    assert record["caller"] == "bdgpeakcall"
    assert list(zip(table.start, table.end, strict=True)) == [(12_000, 12_300)]


def test_given_narrowpeak_is_read_as_it_is(tmp_path):
    text = "chr1\t100\t300\tp1\t5120\t.\t12.5\t40.1\t38.0\t77\n"
    (tmp_path / "mine.narrowPeak").write_text(text)
    table, record = peaks_of_study(study_with(tmp_path, '[peaks]\nnarrowpeak = "mine.narrowPeak"'))
    assert table.score.tolist() == [5120.0]
    assert record["caller"] == "given"
    assert record["command"] is None
    assert record["peaks"] == 1
    assert record["inputs"][0]["role"] == "narrowpeak"
    assert (tmp_path / "mine.narrowPeak").read_text() == text
    assert not (tmp_path / "peaks").exists()


def test_study_without_peaks_is_told_what_to_add(tmp_path):
    with pytest.raises(InputError, match=r"no \[peaks\]"):
        peaks_of_study(study_with(tmp_path, ""))


def test_peaks_called_on_other_chromosome_names_are_refused(tmp_path):
    write_reads(tmp_path / "r.bed", chrom="1")
    options = ", ".join(f'"{word}"' for word in OPTIONS)
    study = study_with(tmp_path, f'[peaks]\nreads = ["r.bed"]\noptions = [{options}]')
    with pytest.raises(InputError, match=r"MACS3.narrowPeak: found chromosome '1'; expected 'chr1'"):
        peaks_of_study(study)


def test_module_does_not_import_torch_or_the_viewer():
    code = "import sys, model_core.study.peaks; sys.exit(bool({'torch', 'dash', 'flask'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        (
            "INFO  @ 1 Jan 2026 18:00:00: [100 MB] #2 Build Peak Model...\n"
            "CRITICAL @ 1 Jan 2026 18:00:00: [100 MB] Too few paired peaks (0)! We suggest to use --nomodel\n"
            "CRITICAL @ 1 Jan 2026 18:00:00: [100 MB] Process for pairing-model is terminated!\n",
            "Too few paired peaks (0)! We suggest to use --nomodel Process for pairing-model is terminated!",
        ),
        ("usage: macs3\nmacs3: error: argument -q: invalid\n", "macs3: error: argument -q: invalid"),
        ("Traceback (most recent call last):\n  File x\nValueError: bad\n", "ValueError: bad"),
        ("ERROR @ now: no tag\nTraceback\nSystemExit: 1\n", "no tag SystemExit: 1"),
        ("one\ntwo\n", "two"),
        ("", "no output"),
    ],
)
def test_the_advice_of_macs3_is_kept_whatever_it_says_last(stderr, told, tmp_path):
    program = tmp_path / "macs3"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.stderr.write({stderr!r})\nsys.exit(1)\n")
    program.chmod(0o755)
    with pytest.raises(InputError) as caught:
        run_macs3([str(program), "callpeak"], tmp_path, tmp_path / "log")
    assert f"found exit status 1 with: {told}; expected peaks" in str(caught.value)
