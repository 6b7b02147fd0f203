"""Bytes and requests of a window of 200 kb, of files that are as dense and, at night, as large as the public ones."""

import pytest
from large_world import GENE, MEGABASE, SECOND, SIZES, make_large_world, write_random_fasta
from public_world import serve_world
from range_server import serve_ranges

from model_core.datasets.public_study import study_of_cell
from model_core.remote import remote_file, whole_files
from model_core.remote.address import RemotePath
from model_core.scoring.one_gene import read_inputs
from model_core.scoring.score import choose_genes, with_features
from model_core.study.genome import Genome
from model_core.study.study import load_study

BUDGETS = {"sequence": 500_000, "h3k27ac": 2_000_000, "dnase": 2_000_000, "hic": 6_000_000}  # bytes of a window
MOST_REQUESTS = 40  # of all of these files
LEAST = {"h3k27ac": 250_000_000, "hic": 500_000_000, "sequence": 3_000_000_000 // 4}  # bytes of real files


def read_window(world, folder, symbol):
    """Read what scoring of a gene reads, as a new process does; (bytes, requests) by use."""
    remote_file.forget()
    whole_files.forget()
    world.asked.clear()
    world.sent.clear()
    path = folder / "study.toml"
    if not path.exists():
        text = study_of_cell("K562", folder, lambda line: None).read_text()
        text = text.replace("ENCFF621AIY.hic", "ENCFF621AIY.mcool").replace('"SCALE"', '"weight"')
        path.write_text(text)
    study = load_study(path)
    chosen = choose_genes(study.gene_sites(), [symbol])
    for window in study.windows(chosen):
        read_inputs(study, window, lambda step: None)
    with_features(study, chosen)
    paths = {use: world.path(use) for use in BUDGETS}
    return {use: (world.sent.get(path, 0), sum(path == at for at, _ in world.asked)) for use, path in paths.items()}


def require_budgets(made, sizes, folder, monkeypatch):
    lengths = "".join(f"{name}\t{size}\n" for name, size in sizes.items())
    monkeypatch.setenv("SEQ2EXP_CACHE", str(folder / "cache"))
    monkeypatch.delenv("SEQ2EXP_OFFLINE", raising=False)
    with serve_world(made, chrom_sizes=lengths) as world:
        for name, value in world.environment().items():
            monkeypatch.setenv(name, value)
        for symbol in (GENE, SECOND):
            moved = read_window(world, folder, symbol)
            assert {use: pair for use, pair in moved.items() if pair[0] > BUDGETS[use]} == {}
            assert sum(count for _, count in moved.values()) <= MOST_REQUESTS, moved


def test_a_window_of_dense_files_stays_in_its_budget(shared_data, tmp_path, monkeypatch):
    small = {"megabases": (33, 6), "pixels": 100, "copies": {"annotation": 1, "peaks": 1}}
    sizes = {"chr22": SIZES["chr22"]}
    made = make_large_world(shared_data, tmp_path, **small, sizes=sizes)
    require_budgets(made, sizes, tmp_path, monkeypatch)


@pytest.mark.nightly
def test_a_window_of_files_of_real_sizes_stays_in_its_budget(shared_data, tmp_path, monkeypatch):
    made = make_large_world(shared_data, tmp_path)
    assert {use: least for use, least in LEAST.items() if made[use].stat().st_size < least} == {}
    require_budgets(made, SIZES, tmp_path, monkeypatch)


@pytest.mark.parametrize("names", [["chr21", "chr22"], pytest.param(list(SIZES), marks=pytest.mark.nightly)], ids=len)
def test_a_window_of_a_fasta_of_whole_chromosomes_stays_in_its_budget(tmp_path, monkeypatch, names):
    path = tmp_path / "hg38.fa"
    write_random_fasta(path, {name: SIZES[name] for name in names})
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "cache"))
    index = path.with_name("hg38.fa.fai")
    with serve_ranges({"/h.example/hg38.fa": path, "/h.example/hg38.fa.fai": index.read_bytes()}) as server:
        monkeypatch.setenv("SEQ2EXP_MIRROR", server.url(""))
        remote_file.forget()
        whole_files.forget()
        genome = Genome(RemotePath("https://h.example/hg38.fa"))
        start = 25 * MEGABASE
        found = [genome.sequence(name, start, start + 200_000) for name in (names[0], names[-1])]
        assert found[0] == found[1]  # the bases repeat
        assert set(found[0]) == set("ACGT")
        assert sum(server.sent.values()) <= 2 * BUDGETS["sequence"]
        assert len(server.asked) <= 8
    path.unlink()  # gigabytes
