"""Inputs on servers: their addresses."""

import pytest

from model_core.remote.address import RemotePath


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("s3://encode-public/2020/a.bigWig", "https://encode-public.s3.amazonaws.com/2020/a.bigWig"),
        (
            "s3://igv.broadinstitute.org/genomes/hg38.fa",
            "https://s3.amazonaws.com/igv.broadinstitute.org/genomes/hg38.fa",
        ),
    ],
)
def test_a_bucket_with_dots_in_its_name_is_asked_by_path(monkeypatch, address, url):
    monkeypatch.delenv("SEQ2EXP_MIRROR", raising=False)
    assert RemotePath(address).url == url
