"""Scoring: read ahead, written behind, stopped and gone on with, shared by several processes."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from run_builder import gene_row, random_masks

from model_core.errors import InputError
from model_core.model.checkpoint import load_with_metadata, save_checkpoint
from model_core.model.seq2exp import Seq2Exp
from model_core.run_folder.gene_scores import ScoredGene
from model_core.run_folder.run import Run
from model_core.scoring.distributed import ProcessGroup
from model_core.scoring.estimate import estimate
from model_core.scoring.predict import Stopwatch, default_workers, scored
from model_core.scoring.score import choose_genes, score
from model_core.scoring.write_behind import AT_ONCE, WriteBehind
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import World
from model_core.study.study import load_study
from model_core.training.dataset import GeneWindows, batches

SMALL = {"window": 1024, "promoter": 128, "d_model": 8, "n_layers": 1}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    world = World(genes=(24, 24, 12), validation_genes=8)
    return load_study(simulate_study(tmp_path_factory.mktemp("study"), seed=1, world=world))


@pytest.fixture(scope="module")
def checkpoint(study, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    signals = [{"name": signal.name, "transform": signal.transform} for signal in study.signal_specs]
    quantiles = {signal["name"]: [0.0, 0.0, 0.0] for signal in signals}
    metadata = {"signals": signals, "feature_scale": study.feature_scale().to_dict(), "signal_quantiles": quantiles}
    save_checkpoint(path, Seq2Exp(study.config(**SMALL)), metadata)
    return path


SCORE = """
import sys
from model_core.study.study import load_study
from model_core.scoring.score import choose_genes, run_for, score
study, checkpoint, out, processes = sys.argv[1:]
study = load_study(study)
genes = choose_genes(study.genes(), everything=True)
score(run_for(study, checkpoint, out), study, genes, checkpoint, "cpu", processes=int(processes))
"""


def start(folder, study, checkpoint, out, processes) -> subprocess.Popen:
    """A scoring of all genes in a session of its own."""
    (folder / "go.py").write_text(SCORE)
    words = [sys.executable, folder / "go.py", study.path, checkpoint, out, str(processes)]
    here = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": here}
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def contents(run: Path) -> dict[str, bytes]:
    """What scoring must give the same each time, by name."""
    paths = [run / "scores.jsonl", run / "genes.tsv", run / "tracks" / "mask.bigWig"]
    return {str(path.relative_to(run)): path.read_bytes() for path in [*paths, *(run / "masks.zarr").glob("*/c.*")]}


@pytest.fixture(scope="module")
def alone(study, checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    process = start(folder, study, checkpoint, folder / "run", 1)
    assert (process.communicate(timeout=300), process.returncode)[1] == 0
    return folder / "run"


def test_two_processes_leave_the_files_of_one(study, checkpoint, alone, tmp_path):
    process = start(tmp_path, study, checkpoint, tmp_path / "run", 2)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "process 2 of 2" in said
    assert "distributed" not in said  # no banner
    assert contents(tmp_path / "run") == contents(alone)
    assert not (tmp_path / "run" / "parts").exists()
    took = Run.open(tmp_path / "run").metrics["scoring"]
    assert (took["processes"], took["windows"]) == (2, 30)


def test_what_killed_processes_scored_is_not_scored_again(study, checkpoint, alone, tmp_path):
    run = tmp_path / "run"
    process = start(tmp_path, study, checkpoint, run, 2)
    try:
        deadline = time.monotonic() + 200
        while not list(run.glob("parts/*/scores.jsonl")) and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = sum(path.read_text().count("\n") for path in run.glob("parts/*/scores.jsonl"))
    assert 0 < done < 60
    again = start(tmp_path, study, checkpoint, run, 1)
    _, said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    found = Run.open(run)
    assert found.metrics["scoring"]["windows"] == 60 - done
    assert (run / "genes.tsv").read_bytes() == (alone / "genes.tsv").read_bytes()
    expected = Run.open(alone)
    for gene in expected.scored:
        assert np.array_equal(found.mask(gene).alpha, expected.mask(gene).alpha)


def test_a_numbered_device_is_not_for_several_processes(monkeypatch):
    monkeypatch.setattr("model_core.scoring.distributed.choose_device", torch.device)  # there may be no GPU here
    with pytest.raises(InputError, match="device cuda:1 for 2 processes"):
        ProcessGroup(2, 1, "cuda:1")


def test_batches_read_ahead_are_those_read_in_turn(study, checkpoint):
    model, _ = load_with_metadata(checkpoint, "cpu")
    data = GeneWindows(study, study.genes().head(5), model.config, study.feature_scale())
    watch = Stopwatch()
    for one, other in zip(batches(data, 2), watch.waits(batches(data, 2, workers=1)), strict=True):
        for left, right in zip(one, other, strict=True):
            assert torch.equal(left.nan_to_num(-1.0), right.nan_to_num(-1.0))
    assert watch.seconds > 0
    found = np.concatenate([result.arrays()[0] for result in scored(model, batches(data, 2))])
    one = next(batches(data, 5))
    expected = model.score(*(x.numpy() for x in (one.sequence, one.signals, one.gene_features, one.blacklist)))
    np.testing.assert_allclose(found, expected.expression, rtol=1e-6)


def test_a_window_that_cannot_be_read_is_told_in_the_readers_words_by_a_worker_too(study, checkpoint):
    model, _ = load_with_metadata(checkpoint, "cpu")
    genes = study.genes().head(3).assign(tss=[10_000, 10**9, 20_000])
    data = GeneWindows(study, genes, model.config, study.feature_scale())
    for workers in (0, 1):
        with pytest.raises(InputError, match="TSS 1,000,000,001") as caught:
            list(batches(data, 1, workers))
        assert "Traceback" not in str(caught.value)


def test_on_a_cpu_nobody_reads_ahead_by_default():
    assert default_workers(torch.device("cpu"), 10_000) == 0
    assert 1 <= default_workers(torch.device("cuda"), 10_000) <= 8
    assert default_workers(torch.device("cuda"), 3) == 0


def empty_run(folder: Path) -> Run:
    return Run.create(folder, window=64, promoter=8, chrom_sizes={"chr1": 10_000, "chr2": 10_000})


def some_genes(count: int) -> list[ScoredGene]:
    rng = np.random.default_rng(0)
    return [ScoredGene({**gene_row(i, count, 64, rng), "tss": 100 + i}, *random_masks(64, rng)) for i in range(count)]


def test_what_is_put_is_on_the_disk_in_its_order(tmp_path):
    run, genes, told = empty_run(tmp_path / "run"), some_genes(40), []
    with run.writing(), WriteBehind(run, lambda group: told.extend(gene["gene_id"] for gene in group)) as writer:
        for gene in genes:
            writer.put(lambda gene=gene: [gene])
    ids = [each.gene["gene_id"] for each in genes]
    assert told == ids
    again = Run.open(run.path)
    assert again.scored == set(ids)
    for gene, alpha, *_ in genes[::13]:
        np.testing.assert_allclose(again.mask(gene["gene_id"]).alpha, alpha, rtol=1e-3)


def test_a_failure_of_the_writer_stops_who_puts_and_keeps_what_was_written(tmp_path):
    run, genes = empty_run(tmp_path / "run"), some_genes(60)
    bad = genes[3]._replace(gene={**genes[3].gene, "chrom": "chrNone"})

    def put_all():
        with run.writing(), WriteBehind(run) as writer:
            for gene in [genes[0], genes[1]]:
                writer.put(lambda gene=gene: [gene])
            while len(run.scored) < 2:
                time.sleep(0.01)
            writer.put(lambda: [bad])
            for gene in genes[4:]:  # more than the queue holds: would wait for ever if nobody emptied it
                writer.put(lambda gene=gene: [gene])

    with pytest.raises(InputError, match="chrNone"):
        put_all()
    assert Run.open(run.path).scored == {"G0", "G1"}
    with run.writing():  # the lock is free again, and the failed gene left nothing behind
        run.append(*genes[2])
    assert Run.open(run.path).scored == {"G0", "G1", "G2"}


def test_an_interrupt_writes_what_waits_in_the_queue(tmp_path):
    run, genes, go = empty_run(tmp_path / "run"), some_genes(AT_ONCE), threading.Event()

    def slow(gene):
        go.wait(10)
        return [gene]

    def put_all():
        with run.writing(), WriteBehind(run) as writer:
            for gene in genes:
                writer.put(lambda gene=gene: slow(gene))
            go.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put_all()
    assert len(Run.open(run.path).scored) == AT_ONCE


def test_genes_of_another_run_are_taken_over_as_they_are(tmp_path):
    one, other, genes = empty_run(tmp_path / "one"), empty_run(tmp_path / "other"), some_genes(5)
    for run, part in ((one, genes[:2]), (other, genes[2:])):
        with run.writing():
            run.extend(part)
    with one.writing():
        one.adopt([(other, "G4"), (other, "G2")])
        with pytest.raises(InputError, match="gene 'G2' again"):
            one.adopt([(other, "G2")])
    shutil.rmtree(other.path)
    again = Run.open(one.path)
    assert again.scored == {"G0", "G1", "G4", "G2"}
    np.testing.assert_allclose(again.mask("G2").alpha, genes[2][1], rtol=1e-3)


def test_all_genes_of_a_study_are_chosen_once(study):
    genes = choose_genes(study.genes(), everything=True, names=[study.genes()["gene_id"].iloc[0]])
    assert genes["gene_id"].is_unique
    assert len(genes) == 60


def test_scoring_in_this_process_notes_what_it_took(study, checkpoint, tmp_path):
    from model_core.scoring.score import run_for

    genes = study.genes().head(3)
    run = score(run_for(study, checkpoint, tmp_path / "run"), study, genes, checkpoint, "cpu", batch_size=2)
    took = run.metrics["scoring"]
    assert (took["windows"], took["processes"], took["device"]) == (3, 1, "cpu")
    assert 0 < took["waited_for_windows_seconds"] < took["seconds"]


def seq2exp_viz(*words, **settings):
    """The command line, in a process of its own."""
    command = [sys.executable, "-m", "seq2exp_viz.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **settings)


def test_a_dry_run_says_what_scoring_takes_and_writes_nothing(study, checkpoint, alone, tmp_path):
    done = seq2exp_viz(
        *("score", tmp_path / "run", "--checkpoint", checkpoint, "--study", study.path),
        *("--all", "--dry-run", "--device", "cpu", "--batch-size", 4),
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "run").exists()
    assert "60 requested, 0 of them already scored" in done.stdout
    assert "60 of 1,024 bp in 15 batches" in done.stdout
    assert "measured on 60 windows" in done.stdout
    found = estimate(study, study.genes(), checkpoint, tmp_path / "run", "cpu")
    real = sum(path.stat().st_size for path in (alone / "masks.zarr").glob("*/c.*"))
    assert found.mask_bytes == real  # of so few genes all are measured
    assert found.track_bytes == (alone / "tracks" / "mask.bigWig").stat().st_size
    assert 0 < found.seconds < 60


def test_a_dry_run_of_a_begun_run_counts_what_is_left(study, checkpoint, alone, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(alone, run)
    before = sorted(path.stat().st_mtime_ns for path in run.rglob("*"))
    found = estimate(study, study.genes(), checkpoint, run, "cpu", processes=2)
    assert (found.windows, found.seconds) == (0, 0)
    assert "nothing to do" in found.text()
    assert sorted(path.stat().st_mtime_ns for path in run.rglob("*")) == before
