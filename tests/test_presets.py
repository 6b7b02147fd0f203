"""Studies of public files: what they name, where from, and that they load once the files are there."""

import gzip
import re
import tomllib

import pytest
from contact_maps import write_map
from file_server import serve_whole
from small_study import SIZES, edit, write_small_study

from model_core.config import Seq2ExpConfig
from model_core.datasets.fetch import fetch_study, read_sources
from model_core.datasets.presets import DOWNLOADS, PRESETS, study_to_download
from model_core.errors import InputError, Problems
from model_core.study.study import Study, load_study

ACCESSIONS = {
    "k562-hg38": ("ENCFF465GBD", "ENCFF414OGC", "4DNFITUOMFUQ"),
    "gm12878-hg38": ("ENCFF798KYP", "ENCFF960FMM", "4DNFI1UEG1HD"),
    "h1-hg38": ("ENCFF771GNB", "ENCFF232GUZ", "4DNFIFI6NIKJ"),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_the_paper_s_files_in_the_paper_s_order(name, tmp_path):
    path = study_to_download(name, tmp_path / name)
    study = Study.model_validate(tomllib.loads(path.read_text()), context={"folder": path.parent})
    assert [spec.path.name.partition(".")[0] for spec in study.signal_specs] == list(ACCESSIONS[name])
    config, paper = study.config(), Seq2ExpConfig()
    assert (config.signals, config.prior.b, config.prior.w) == (paper.signals, paper.prior.b, paper.prior.w)
    assert (config.window, config.promoter) == (200_000, 2_000)


@pytest.mark.parametrize("name", PRESETS)
def test_every_file_of_the_study_has_a_source_and_no_other_is_named(name, tmp_path):
    path = study_to_download(name, tmp_path)
    folder, sources = read_sources(path)
    study = Study.model_validate(tomllib.loads(path.read_text()), context={"folder": path.parent})
    named = {*study.genome_files.model_dump().values(), *(spec.path for spec in study.signal_specs)}
    assert named == {folder / source.path for source in sources}
    for source in sources:
        assert source.url.startswith("https://")
        assert source.listing.startswith("https://")
        accession = re.search(r"(ENCFF|4DNF)\w+", source.path)
        assert accession is None or source.url.count(accession[0]) == 2
    assert [source.path for source in sources if source.login] == [f"data/{ACCESSIONS[name][2]}.hic"]


@pytest.mark.parametrize("name", PRESETS)
def test_the_study_says_that_labels_have_no_public_file_and_which_table_to_put_where(name, tmp_path):
    text = study_to_download(name, tmp_path).read_text()
    assert "EXPRESSION LABELS HAVE NO SINGLE PUBLIC FILE. Scoring needs none" in text
    assert "data/genes.tsv" in text
    assert "--from-airs" in text


def test_before_fetching_every_missing_file_is_named(tmp_path):
    with pytest.raises(Problems) as caught:
        load_study(study_to_download("k562-hg38", tmp_path))
    assert len(caught.value.problems) == 6
    assert all("no such file" in problem.found for problem in caught.value.problems)


def test_unknown_presets_and_existing_studies_are_refused(tmp_path):
    with pytest.raises(InputError, match="one of k562-hg38, gm12878-hg38, h1-hg38"):
        study_to_download("hepg2", tmp_path)
    path = study_to_download("k562-hg38", tmp_path)
    before = path.read_text()
    with pytest.raises(InputError, match="a new folder"):
        study_to_download("h1-hg38", tmp_path)
    assert path.read_text() == before


@pytest.fixture
def portals(tmp_path, monkeypatch):
    """A server that has a small genome's files under the addresses of the K562 preset."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "made").mkdir()
    made = write_small_study(tmp_path / "made").parent
    write_map(made / "x.hic", SIZES, [(0, 4, 2), (3, 4, 3), (4, 4, 7)], [5_000])
    with serve_whole() as server:
        for pattern, file in (
            (r"hg38\.fa\.gz$", "genome.fa"),
            (r"\.gtf\.gz$", "genes.gtf"),
            (r"ENCFF356LFX\.bed\.gz$", "blacklist.bed"),
            (r"ENCFF465GBD\.bigWig$", "H3K27ac.bw"),
            (r"ENCFF414OGC\.bigWig$", "ATAC.bw"),
            (r"\.hic$", "x.hic"),
        ):
            content = (made / file).read_bytes()
            server.content[pattern] = gzip.compress(content) if pattern.endswith(r"\.gz$") else content
        yield server


def test_a_preset_loads_and_reads_windows_once_it_is_fetched(portals, tmp_path):
    path = study_to_download("k562-hg38", tmp_path / "study")
    listing = path.parent / DOWNLOADS
    listing.write_text(re.sub(r"https://[^/]+", portals.url(), listing.read_text()))
    addresses = [source.url.removeprefix(portals.url()) for source in read_sources(path)[1]]
    for pattern in list(portals.content):
        (address,) = (address for address in addresses if re.search(pattern, address))
        portals.content[address] = portals.content.pop(pattern)
    fetch_study(path)
    edit(path, 'normalisation = "VC"', 'normalisation = "NONE"')
    edit(path, "window = 200000", "window = 4000")
    edit(path, '["chr22", "chrX"]', '["chr2"]')
    study = load_study(path)
    genes = study.genes()
    assert len(genes) == 50
    assert genes.label.isna().all()
    assert set(genes.split) == {"train", "test"}
    data = study.reader().read(study.windows(genes)[3])
    assert data.sequence.sum() == 4_000
    assert (data.signals.max(axis=0) > 0).all()
