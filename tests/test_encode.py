"""Studies of public addresses: what ENCODE is asked, what is chosen and why, and what an odd answer does."""

import json
import random
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from encode_server import EncodePages, file_entry
from file_server import serve_whole
from test_fetch import closed_port

from model_core.datasets.encode import EncodeFile, UnansweredError, file_record, search_files
from model_core.datasets.encode_choice import DNASE, choose, find
from model_core.datasets.presets import PRESETS
from model_core.datasets.public_study import (
    SOURCES,
    study_from_encode,
    study_from_preset,
    study_of_cell,
)
from model_core.errors import InputError
from model_core.remote.address import RemotePath, input_path

NARROW = {"file_format": "bed", "file_format_type": "narrowPeak"}
HEPG2 = [
    file_entry("ENCFF001AAA", biological_replicates=[1, 2], preferred_default=True),
    file_entry("ENCFF002AAA"),
    file_entry("ENCFF003AAA", "peaks", **NARROW, preferred_default=True),
    file_entry("ENCFF004AAA", "peaks", **NARROW),
    file_entry("ENCFF005AAA", "fold change over control", assay_title="Histone ChIP-seq", target={"label": "H3K27ac"}),
    file_entry("ENCFF006AAA", "signal p-value", assay_title="Histone ChIP-seq", target={"label": "H3K27ac"}),
    file_entry(
        "ENCFF007AAA", "mapping quality thresholded contact matrix", assay_title="in situ Hi-C", file_format="hic"
    ),
]


@pytest.fixture
def encode(monkeypatch):
    """The pages of a stand-in for ENCODE that is asked in place of every host."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve_whole() as server:
        server.content = EncodePages(HEPG2)
        monkeypatch.setenv("SEQ2EXP_MIRROR", server.url())
        yield server.content


def accessions(path):
    return {file["use"]: file["accession"] for file in json.loads((path.parent / SOURCES).read_text())["files"]}


def addresses(study):
    named = [*study["genome"].values(), *(signal["path"] for signal in study["signals"])]
    return named + [study["peaks"]["narrowpeak"]] * ("peaks" in study)


# The choice


def chosen(*files):
    shuffled = list(files)
    random.Random(7).shuffle(shuffled)
    return choose(shuffled, DNASE)


SIGNAL = {"file_format": "bigWig", "output_type": "read-depth normalized signal", "assay": "DNase-seq"}


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        ({}, {"summary": "treated with 100 nM dexamethasone", "preferred": True}, "treated with"),
        ({}, {"output_type": "signal", "preferred": True, "replicates": 4}, "signal"),
        ({"preferred": True}, {"replicates": 4}, "not its experiment's default"),
        ({"replicates": 2}, {"replicates": 1, "created": "2025-01-01"}, "1 biological replicates"),
        ({"created": "2024-05-31"}, {"created": "2023-12-31"}, "of 2023-12-31"),
        ({"created": "2001-01-01"}, {}, "of an unknown date"),
    ],
)
def test_each_step_of_the_rule_decides_before_the_next_and_is_told(better, worse, reason):
    good, bad = EncodeFile("ENCFF009ZZZ", **{**SIGNAL, **better}), EncodeFile("ENCFF001AAA", **{**SIGNAL, **worse})
    choice = chosen(bad, good)
    assert choice.file == good
    assert choice.passed_over[0][0] == bad
    assert reason in choice.passed_over[0][1]


def test_equal_files_are_told_apart_by_accession_and_untreated_is_not_treated():
    files = [EncodeFile(f"ENCFF00{n}AAA", **SIGNAL, summary="untreated") for n in (3, 1, 2)]
    assert chosen(*files).file.accession == "ENCFF001AAA"
    assert not files[0].perturbed


def test_files_of_another_unit_are_never_chosen():
    assert chosen(EncodeFile("ENCFF001AAA", "bigWig", "signal p-value", "DNase-seq")) is None
    assert chosen() is None


# Studies


def test_a_cell_type_is_written_down_with_what_was_chosen_and_why(encode, tmp_path):
    told = []
    path = study_from_encode("HepG2", tmp_path / "s", told.append)
    study, text = tomllib.loads(path.read_text()), path.read_text()
    assert accessions(path) | {"sequence": 0, "annotation": 0} == {
        "sequence": 0,
        "annotation": 0,
        "blacklist": "ENCFF356LFX",
        "H3K27ac": "ENCFF005AAA",
        "DNase": "ENCFF001AAA",
        "Hi-C": "ENCFF007AAA",
        "peaks": "ENCFF003AAA",
    }
    assert [signal["name"] for signal in study["signals"]] == ["H3K27ac", "DNase", "Hi-C"]
    assert study["signals"][2]["normalisation"] == "SCALE"
    assert "md5 0123456789abcdef0123456789abcdef" in text
    assert "passed over ENCFF002AAA: not its experiment's default" in "\n".join(told)
    assert all(isinstance(input_path(address), RemotePath) for address in addresses(study))
    assert "evil.example" not in text + (path.parent / SOURCES).read_text()


def test_without_hic_the_power_law_is_taken_and_said(encode, tmp_path):
    encode.files = [file for file in HEPG2 if file["file_format"] != "hic"]
    told = []
    study = tomllib.loads(study_from_encode("HepG2", tmp_path, told.append).read_text())
    assert study["signals"][2]["path"] == "powerlaw"
    assert "resolution" not in study["signals"][2]
    assert any("power law" in sentence for sentence in study["limits"])
    assert any("power law" in line for line in told)


def test_atac_stands_in_for_dnase_and_that_is_said(encode, tmp_path):
    encode.files = [*HEPG2[4:], file_entry("ENCFF008AAA", "fold change over control", assay_title="ATAC-seq")]
    path = study_from_encode("HepG2", tmp_path, [].append)
    assert accessions(path)["DNase"] == "ENCFF008AAA"
    assert any("ATAC-seq" in sentence for sentence in tomllib.loads(path.read_text())["limits"])


def test_a_biosample_that_encode_does_not_have_is_named_and_nothing_is_written(encode, tmp_path):
    with pytest.raises(InputError, match=r"hepg2.*no released GRCh38 bigWig of H3K27ac.*and DNase or ATAC"):
        study_from_encode("hepg2", tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_asks_for_the_peaks_of_its_own_dnase_experiment(encode, name, tmp_path):
    preset = PRESETS[name]
    encode.files = [
        file_entry(preset.dnase, dataset="/experiments/ENCSR999ZZZ/", biosample=preset.cell_type),
        file_entry("ENCFF100AAA", "peaks", **NARROW, dataset="/experiments/ENCSR999ZZZ/"),
        file_entry("ENCFF101AAA", "peaks", **NARROW, dataset="/experiments/ENCSR000AAA/", preferred_default=True),
    ]
    told = []
    path = study_of_cell(preset.cell_type, tmp_path, told.append)
    study = tomllib.loads(path.read_text())
    assert study["name"] == name
    assert accessions(path)["peaks"] == "ENCFF100AAA"
    assert study["peaks"]["narrowpeak"].endswith("/ENCFF100AAA.bed.gz")
    assert study["signals"][2]["path"] == "powerlaw" or preset.hic in study["signals"][2]["path"]
    assert any(preset.paper_hic in sentence for sentence in study["limits"])
    assert any("needs a login" in line for line in told)


@pytest.mark.parametrize("how", ["closed", "offline", "portal"])
def test_a_preset_is_written_without_peaks_where_encode_does_not_answer(encode, how, tmp_path, monkeypatch):
    if how == "closed":
        monkeypatch.setenv("SEQ2EXP_MIRROR", f"http://127.0.0.1:{closed_port()}")
    elif how == "offline":
        monkeypatch.setenv("SEQ2EXP_OFFLINE", "1")
    encode.answer = b"<html>Log in to this network</html>"
    told = []
    path = study_from_preset("k562-hg38", tmp_path, told.append)
    study = tomllib.loads(path.read_text())
    assert "peaks" not in study
    assert "# narrowpeak = " in path.read_text()
    assert "ENCFF621AIY" in study["signals"][2]["path"]
    assert sum("ENCODE did not answer" in line for line in told) == 1
    with pytest.raises(UnansweredError):
        study_from_encode("HepG2", tmp_path / "other")


def test_unknown_presets_and_existing_studies_are_refused(encode, tmp_path):
    with pytest.raises(InputError, match="one of k562-hg38, gm12878-hg38, h1-hg38"):
        study_from_preset("hepg2", tmp_path)
    path = study_from_encode("HepG2", tmp_path, [].append)
    before = path.read_text()
    with pytest.raises(InputError, match="a new folder"):
        study_from_preset("h1-hg38", tmp_path)
    assert path.read_text() == before


# Expression

GTF = "".join(
    f'{chrom}\tX\tgene\t{start}\t{start + 99}\t.\t{strand}\t.\tgene_id "{gene}"; gene_name "{name}"; '
    f'gene_type "{kind}";\n'
    for chrom, start, strand, gene, name, kind in [
        ("chr1", 101, "+", "ENSG01.5", "A", "protein_coding"),
        ("chr1", 301, "-", "ENSG02.1", "B", "protein_coding"),
        ("chr1", 501, "+", "ENSG03.1", "C", "lncRNA"),
        ("chrX", 101, "+", "ENSG04.2", "D", "protein_coding"),
        ("chrY", 101, "+", "ENSG04.2_PAR_Y", "D", "protein_coding"),
    ]
)
TPM = "gene_id\tlength\tTPM\n10904\t90\t7.00\nENSG01.9\t90\t1.50\nENSG04.3\t90\t2.00\nENSG04.3_PAR_Y\t90\t0.00\n"


@pytest.fixture
def quantified(encode, tmp_path, monkeypatch):
    """An accession of expression, whose file and the annotation are fetched whole."""
    encode.files = [*HEPG2, file_entry("ENCFF200AAA", "gene quantifications", file_format="tsv", assay_title="RNA-seq")]
    (tmp_path / "x.tsv").write_text(TPM)
    (tmp_path / "x.gtf").write_text(GTF)
    copies = SimpleNamespace(
        local_copy=lambda place, about: tmp_path / f"x.{'tsv' if place.suffix == '.tsv' else 'gtf'}"
    )
    monkeypatch.setitem(sys.modules, "model_core.remote.whole_files", copies)
    return "ENCFF200AAA"


def test_expression_becomes_the_labels_of_the_annotation_s_genes(quantified, tmp_path):
    path = study_from_encode("HepG2", tmp_path / "s", [].append, quantified)
    genes = tomllib.loads(path.read_text())["genes"]
    assert (genes["table"], genes["label"], genes["label_transform"]) == ("genes.tsv", "TPM", "log10p1")
    rows = [line.split("\t") for line in (path.parent / "genes.tsv").read_text().splitlines()]
    assert rows == [
        ["gene_id", "symbol", "chrom", "tss", "strand", "TPM"],
        ["ENSG01", "A", "chr1", "100", "+", "1.5"],
        ["ENSG02", "B", "chr1", "399", "-", ""],
        ["ENSG04", "D", "chrX", "100", "+", "2.0"],
    ]
    assert accessions(path)["expression"] == quantified
    assert any("not the paper's CAGE" in sentence for sentence in tomllib.loads(path.read_text())["limits"])


@pytest.mark.parametrize("table", ["gene_id\tFPKM\nENSG01\t1\n", "gene_id\tTPM\nENSG01\t-1\n", "gene_id\tTPM\nX\t1\n"])
def test_a_table_without_expression_of_these_genes_is_refused(quantified, tmp_path, table):
    (tmp_path / "x.tsv").write_text(table)
    with pytest.raises(InputError, match=r"x\.tsv"):
        study_from_encode("HepG2", tmp_path / "s", [].append, quantified)
    with pytest.raises(InputError, match="gene quantifications"):
        study_from_encode("HepG2", tmp_path / "s", [].append, "ENCFF001AAA")
    assert not (tmp_path / "s").exists()


# Answers that are not trusted


@pytest.mark.parametrize(
    "fields",
    [
        {"accession": "../../etc/passwd"},
        {"accession": "ENCFF001AAA\n[training]"},
        {"accession": "https://evil.example/x"},
        {"dataset": "/experiments/../../x/"},
        {"dataset": "https://evil.example/ENCSR000AAA/"},
        {"output_type": "peaks\nschema = 2"},
        {"md5sum": "x" * 32},
        {"file_size": -1},
        {"file_size": "1"},
        {"biological_replicates": [1] * 1_001},
        {"simple_biosample_summary": "a" * 300},
        {"date_created": "yesterday"},
        {"status": None},
    ],
)
def test_a_hostile_field_is_refused_with_the_host_s_name(encode, fields, tmp_path):
    encode.answer = json.dumps({"@graph": [file_entry(**{"accession": "ENCFF001AAA", **fields})]}).encode()
    with pytest.raises(InputError, match=r"www\.encodeproject\.org"):
        find(DNASE, biosample="HepG2")
    with pytest.raises(InputError):
        study_from_encode("HepG2", tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"7", b"{", b"\xff", b"x" * 6_000_000])
def test_what_is_no_answer_of_encode_is_one_message(encode, answer):
    encode.answer = answer
    with pytest.raises(UnansweredError, match=r"www\.encodeproject\.org"):
        search_files({"file_format": "bigWig"})


def test_more_files_than_are_read_and_files_not_asked_for_are_refused(encode):
    encode.answer = json.dumps({"@graph": [file_entry("ENCFF001AAA")] * 501}).encode()
    with pytest.raises(InputError, match="500"):
        search_files({})
    encode.answer = json.dumps({"@graph": [file_entry("ENCFF001AAA", status="revoked")]}).encode()
    with pytest.raises(InputError, match="not asked for"):
        search_files({})


def test_a_record_is_that_of_the_accession_asked_for(encode):
    assert file_record("ENCFF001AAA").replicates == 2
    with pytest.raises(InputError, match="no such file"):
        file_record("ENCFF999ZZZ")
    encode.answer = json.dumps(file_entry("ENCFF002AAA")).encode()
    with pytest.raises(InputError, match="the record of ENCFF002AAA"):
        file_record("ENCFF001AAA")
    for text in ("", "ENCSR000EOT", "ENCFF001AAA/../x", "ENCFF001AAA\n"):
        with pytest.raises(InputError, match="accession"):
            file_record(text)


def test_sources_and_study_name_the_same_files(encode, tmp_path):
    path = study_from_encode("HepG2", tmp_path, [].append)
    listed = {file["url"] for file in json.loads(Path(path.parent, SOURCES).read_text())["files"]}
    assert listed == set(addresses(tomllib.loads(path.read_text())))


@pytest.mark.parametrize(("size", "words"), [(12_345, "12 kB"), (999, "999 bytes"), (1_400_000_000, "1.4 GB")])
def test_the_size_of_a_file_is_told_in_a_unit_that_fits(size, words):
    assert EncodeFile("ENCFF001AAA", "bed", "peaks", size=size).words() == f"peaks, {words}"
