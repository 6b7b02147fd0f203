"""A study whose files are named by address: what study.toml takes, and how it is written down."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from viewer_run import make_study

from model_core.errors import InputError, Problem
from model_core.remote.address import RemotePath, input_path
from model_core.scoring.score import choose_genes, with_features
from model_core.study import study as study_module
from model_core.study.check import check_study
from model_core.study.gene_features import FEATURES, standardise
from model_core.study.study import Study, load_study
from model_core.window import Site

BASE = "https://www.encodeproject.org/files"
VALUES = {
    "schema": 1,
    "name": "public",
    "assembly": "hg38",
    "genome": {"fasta": "https://hgdownload.soe.ucsc.edu/hg38.2bit", "annotation": "genes.gtf.gz"},
    "genes": {"table": "hf://datasets/lab/tables/genes.tsv"},
    "signals": [
        {"name": "DNase", "path": f"{BASE}/ENCFF414OGC/@@download/ENCFF414OGC.bigWig", "prior": {"b": 0.2, "w": 0.5}},
        {"name": "H3K27ac", "path": "s3://bucket/a.bw", "prior": {"b": 1.5, "w": 0.5}},
    ],
    "peaks": {"narrowpeak": f"{BASE}/ENCFF274YGF/@@download/ENCFF274YGF.bed.gz"},
}


def study(folder: Path, **changes: object) -> Study:
    return Study.model_validate({**VALUES, **changes}, context={"folder": folder})


def test_addresses_stay_as_they_are_and_paths_are_against_the_folder(tmp_path):
    found = study(tmp_path)
    assert found.genome_files.fasta == RemotePath("https://hgdownload.soe.ucsc.edu/hg38.2bit")
    assert found.genome_files.annotation == (tmp_path / "genes.gtf.gz").resolve()
    assert found.inputs()["signals.H3K27ac"] == RemotePath("s3://bucket/a.bw")
    assert found.peaks_path() == RemotePath(VALUES["peaks"]["narrowpeak"])


def test_a_study_of_addresses_is_written_down_and_restored(tmp_path):
    found = study(tmp_path)
    again = Study.restore(found.resolved(), tmp_path / "study.toml")
    assert again.inputs() == found.inputs()
    assert found.resolved()["signals"][0]["path"] == VALUES["signals"][0]["path"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signals": [{"name": "D", "path": "https://h/a.bam", "prior": {"b": 1, "w": 1}}]}, "reads on this disk"),
        ({"peaks": {"reads": ["https://h/reads.bed.gz"]}}, "reads on this disk"),
        ({"peaks": {"narrowpeak": "ftp://h/a.narrowPeak"}}, "begins with https://"),
        ({"peaks": {"narrowpeak": "https://user:secret@h/a.narrowPeak"}}, "without a password"),
        ({"signals": [{"name": "D", "path": "https://h/download", "prior": {"b": 1, "w": 1}}]}, "a file that ends in"),
    ],
)
def test_what_no_address_can_be_is_refused_with_a_reason(tmp_path, changes, message):
    with pytest.raises(ValidationError, match=message):
        study(tmp_path, **changes)


SECRET = "hunter2"
LOGINS = (
    f"https://anna:{SECRET}@host.org",
    f"https://{SECRET}@host.org",
    f"HTTPS://anna:{SECRET}@host.org:8443",
    f"https://anna:{SECRET}/x@host.org",
    f"https://{'a' * 90}:{SECRET}@host.org",
    f"s3://anna:{SECRET}@bucket",
    f"hf://anna:{SECRET}@user/repo",
    f"ftp://anna:{SECRET}@host.org",
)


@pytest.mark.parametrize("address", LOGINS)
def test_no_message_shows_the_password_of_an_address(address):
    for make in (input_path, RemotePath):
        with pytest.raises(InputError) as caught:
            make(f"{address}/a.bw")
        assert SECRET not in str(caught.value)
        assert SECRET not in repr(caught.value.problems)


@pytest.mark.parametrize("address", LOGINS[:1] + LOGINS[3:])
@pytest.mark.parametrize(
    "line",
    [
        'fasta = "genome.fa"',
        'annotation = "genes.gtf"',
        'table = "genes.tsv"',
        'path = "DNase.bw"',
        'narrowpeak = "peaks.narrowPeak"',
        'causal = "causal.bed"',
    ],
)
def test_a_study_with_a_password_is_refused_without_showing_it(tmp_path, address, line):
    path = make_study(tmp_path)
    key, _, file = line.partition(" = ")
    text = path.read_text()
    assert line in text
    path.write_text(text.replace(line, f'{key} = "{address}/{file.strip(chr(34))}"'))
    with pytest.raises(InputError) as caught:
        load_study(path)
    assert SECRET not in str(caught.value)
    assert key in str(caught.value)
    report = check_study(path)
    assert not report.ok
    assert SECRET not in report.text()


def test_other_texts_with_an_address_are_told_without_its_login_and_else_unchanged():
    told = Problem(Path(f"https://anna:{SECRET}@host.org/a.bw"), f"'{LOGINS[0]}/b'", "a path", "correct it")
    assert str(told).startswith("https:/***@host.org/a.bw: found 'https://***@host.org/b';")
    kept = "https://h:80/files/X/@@download/X.bw, hf://user/repo@v1/x, me@host, C:/me@here/x"
    assert Problem(kept, kept, kept, kept).found == kept


def test_the_scale_for_some_genes_is_that_of_all_in_what_they_need(tmp_path):
    found = load_study(make_study(tmp_path))
    genes = found.genes().head(2)
    some, whole = found.feature_scale(genes), found.feature_scale()
    assert np.array_equal(standardise(genes, some), standardise(genes, whole))
    lacking = genes.assign(UTR5GC=np.nan, PROMOTERACTIVITY=np.nan)
    assert np.array_equal(standardise(lacking, found.feature_scale(lacking)), standardise(lacking, whole))


def test_the_features_of_chosen_genes_are_computed_alone(tmp_path, monkeypatch):
    found = load_study(make_study(tmp_path))
    whole = found.genes()
    asked: list[int] = []
    compute = study_module.raw_features
    monkeypatch.setattr(
        study_module, "raw_features", lambda genes, *rest: asked.append(len(genes)) or compute(genes, *rest)
    )
    chosen = choose_genes(found.gene_sites(), ["GATA1"], [Site("chr1", 20_000, "+")])
    table = with_features(found, chosen)
    assert asked == [1]
    assert table.iloc[0][list(FEATURES)].tolist() == pytest.approx(
        whole[whole.symbol == "GATA1"].iloc[0][list(FEATURES)].tolist(), nan_ok=True, rel=0, abs=0
    )
    assert table.iloc[1][list(FEATURES)].isna().all()


def test_means_of_all_genes_are_not_read_over_the_web(tmp_path, monkeypatch, capsys):
    found = load_study(make_study(tmp_path))
    lacking = found.genes().head(1).assign(UTR5GC=np.nan)
    monkeypatch.setattr(study_module, "MEAN_OF", 2)
    monkeypatch.setattr(Study, "_read_over_the_web", lambda _, name: name.endswith("GC"))
    asked: list[tuple] = []
    compute = study_module.raw_features
    monkeypatch.setattr(
        study_module, "raw_features", lambda genes, *rest: asked.append((len(genes), rest[-1])) or compute(genes, *rest)
    )
    found.feature_scale(lacking)
    assert (2, ["UTR5GC"]) in asked
    assert not any("UTR5GC" in names for count, names in asked if count > 2)
    assert "no mean of 'UTR5GC' over all genes" in capsys.readouterr().err
