"""A study whose files are named by address: what study.toml takes, and how it is written down."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from model_core.remote.address import RemotePath
from model_core.study.study import Study

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
