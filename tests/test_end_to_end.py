"""The whole way on files: commands on a simulated study, a scoring that is killed, and real human input at 200 kb."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pyBigWig
import pytest
from needs import bedtools

from benchmarks.real_study import real_study_toml
from model_core.run_folder.run import Run
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import World

WORDS = [sys.executable, "-m", "seq2exp_viz.cli"]
ENVIRONMENT = {**os.environ, "COLUMNS": "200"}


def command(*words, cwd=None):
    done = subprocess.run([*WORDS, *map(str, words)], capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A small simulated study, trained for a few steps, as the commands leave it."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate_study(folder / "study", seed=3, world=World(genes=(40, 40, 16), validation_genes=10))
    command("peaks", folder / "study")
    small = ["--window", 4096, "--width", 16, "--depth", 1, "--steps", 6, "--warmup", 2, "--batch-size", 4]
    command("train", folder / "study", "--variant", "soft", "--out", folder / "run", *small, "--device", "cpu")
    command("score", folder / "run", "--device", "cpu")
    return folder


def test_check_finds_a_simulated_study_ready(simulated):
    shown = command("check", simulated / "study")
    assert "builds agree" in shown
    assert "BUILDS DISAGREE" not in shown


def test_a_run_has_masks_predictions_elements_and_a_track(simulated):
    run = Run.open(simulated / "run")
    assert len(run.genes) == 16
    assert (run.genes["split"] == "test").all()
    assert run.peaks is not None
    with pyBigWig.open(str(run.merged_track)) as track:
        gene = run.genes.iloc[0]
        tss = int(gene["tss"])
        assert track.values(gene["chrom"], tss, tss + 1) == [1.0]  # the promoter is always kept
    assert run.manifest["simulated"] is True


def test_exports_are_the_same_bytes_twice_and_bedtools_takes_them(simulated, tmp_path):
    for kind in ("bed", "bigwig", "narrowpeak", "gff3"):
        for name in ("one", "two"):
            command("export", simulated / "run", kind, "-o", tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()
    assert bedtools("merge", "-i", tmp_path / "one.bed")


def test_a_killed_scoring_loses_at_most_the_gene_in_hand_and_goes_on(simulated, tmp_path):
    shutil.copytree(simulated / "run", tmp_path / "run")
    for left in ("scores.jsonl", "genes.tsv"):
        (tmp_path / "run" / left).unlink()
    shutil.rmtree(tmp_path / "run" / "masks.zarr")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    relative = {"study": {**manifest["study"], "path": str(simulated / "study" / "study.toml")}, "element_rule": None}
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({**manifest, **relative}))
    scoring = subprocess.Popen([*WORDS, "score", tmp_path / "run", "--device", "cpu"], stderr=subprocess.DEVNULL)
    journal = tmp_path / "run" / "scores.jsonl"
    limit = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        assert scoring.poll() is None or journal.exists(), "the scoring ended before it was killed"
        assert time.monotonic() < limit
        time.sleep(0.005)
    scoring.send_signal(signal.SIGKILL)
    scoring.wait()
    done = len(Run.open(tmp_path / "run").scored)
    assert done >= 3
    command("score", tmp_path / "run", "--device", "cpu")
    ours, theirs = Run.open(tmp_path / "run"), Run.open(simulated / "run")
    assert ours.genes["predicted"].tolist() == theirs.genes["predicted"].tolist()
    assert ours.elements.equals(theirs.elements)


def test_compare_finds_the_faithful_soft_mask_to_be_its_signal_prior(simulated):
    shown = command("compare", simulated / "run")
    assert "The mask is its signal prior" in shown
    folder = simulated / "run" / "compare"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["rank_correlation_with_prior"] >= 0.99
    assert summary["judged"] == {"genes": 16, "split": "test"}
    scores = pd.read_csv(folder / "scores.tsv", sep="\t").set_index("score")
    assert {"mask elements", "mask", "signal prior", "DNase", "MACS3", "random", "nearest the TSS"} <= set(scores.index)


def test_the_authors_checkpoint_scores_a_study_into_a_new_run(simulated, shared_golden, tmp_path):
    theirs = shared_golden / "tiny_soft" / "checkpoint.ckpt"
    gene = Run.open(simulated / "run").genes["symbol"].iloc[0]
    words = ["--checkpoint", theirs, "--study", simulated / "study", "--genes", gene, "--resolution", 4]
    shown = command("score", tmp_path / "theirs", *words, "--device", "cpu")
    assert "a soft model, 4,096 bp, width 32" in shown
    run = Run.open(tmp_path / "theirs")
    assert run.mask(gene).alpha.shape == (1024,)
    assert run.manifest["checkpoint"]["sha256"]
    refused = subprocess.run(
        [
            *WORDS,
            "score",
            tmp_path / "theirs",
            *map(str, [*words[:1], simulated / "run/checkpoint.safetensors", *words[2:]]),
        ],
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 2
    assert "other weights than the run was scored with (sha256 " in refused.stderr


@pytest.mark.slow
def test_real_input_from_check_to_export_at_200_kb(shared_data, tmp_path):
    """K562, chromosome 22: enough to run every step, not to judge the model (see the data's README)."""
    (tmp_path / "study.toml").write_text(real_study_toml(shared_data))
    assert "builds agree" in command("check", tmp_path)
    shown = command("peaks", tmp_path)
    assert "Read as given" in shown
    small = ["--window", 8192, "--promoter", 2000, "--width", 16, "--depth", 1]
    command("train", tmp_path, "--out", tmp_path / "short", *small, "--steps", 4, "--warmup", 1, "--batch-size", 2)
    wide = ["--window", 200_000, "--width", 16, "--depth", 1, "--steps", 1, "--warmup", 1, "--batch-size", 1]
    command("train", tmp_path, "--out", tmp_path / "run", *wide)
    command("score", tmp_path / "run", "--genes", "MAPK1,SMARCB1", "--at", "chr22:31,000,000:-")
    run = Run.open(tmp_path / "run")
    assert len(run.genes) == 3
    mask = run.mask("MAPK1")
    assert mask.end - mask.start == 200_000
    assert 0 < mask.kept_fraction < 1
    elements = run.elements
    assert set(elements["class"]) <= {"promoter", "with_peak", "without_peak"}
    shown = command("compare", run.path, "--crispr", shared_data / "crispr_pairs.chr22.tsv")
    assert "The genome file has 65 %" in shown  # the study's limits stand above its numbers
    assert "105 tested pairs can" in shown
    assert (run.path / "compare" / "report.html").stat().st_size > 10_000
    command("export", run.path, "bed", "--gene", "MAPK1", "-o", tmp_path / "MAPK1.bed")
    command("export", run.path, "bigwig", "--resolution", 16, "-o", tmp_path / "all.bigWig")
    with pyBigWig.open(str(tmp_path / "all.bigWig")) as track:
        assert track.chroms()["chr22"] == 50_818_468
