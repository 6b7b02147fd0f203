"""Pre-training reads no base of a held-out gene's window, wherever the genes lie."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import edit, write_small_study

from model_core.model.build import build_model
from model_core.study.study import load_study
from model_core.study.windows import WindowData, WindowReader
from model_core.training.dataset import GeneWindows
from model_core.training.pretrain import _some, pretrain, shift_bounds
from model_core.window import Window

SIZES = {"chr1": 3_000, "chr2": 700}
SITES = st.lists(st.sampled_from([(c, t) for c, size in SIZES.items() for t in range(0, size, 7)]), max_size=12)


def bases(window):
    return {(window.chrom, base) for base in range(window.start, window.end)}


def read_when_shifted(windows, held_out, draws=60, seed=0):
    """Return (row, window read) of pre-training's draws from these windows, one row at a time."""
    shifts, found = shift_bounds(windows, held_out), []
    for row, window in enumerate(windows):
        seen = []

        def read(window, seen=seen):
            seen.append(window)
            empty = np.zeros((window.length, 4), np.uint8)
            return WindowData(empty, np.zeros((window.length, 1), np.float32), np.zeros(window.length, bool))

        reader = SimpleNamespace(genome=SimpleNamespace(sizes=SIZES), read=read)
        genes = SimpleNamespace(windows=[window], reader=reader)
        _some(genes, shifts[row : row + 1], draws, np.random.default_rng(seed), torch.device("cpu"))
        found += [(row, shifted) for shifted in seen]
    return found


@settings(deadline=None, max_examples=60)
@given(SITES, SITES, st.integers(1, 400))
def test_no_layout_of_genes_lets_a_shift_read_a_held_out_base_that_training_does_not(train, others, length):
    windows = [Window(chrom, tss, "+", length) for chrom, tss in train]
    held_out = pd.DataFrame(others, columns=["chrom", "tss"])
    forbidden = set().union(*(bases(Window(chrom, tss, "+", length)) for chrom, tss in others)) if others else set()
    for row, shifted in read_when_shifted(windows, held_out, draws=20):
        assert not (bases(shifted) - bases(windows[row])) & forbidden


def test_without_held_out_genes_near_a_window_moves_by_up_to_half_its_length():
    windows = [Window("chr1", 1_000, "+", 400), Window("chr1", 1_000, "-", 401), Window("chr2", 300, "+", 1)]
    far = pd.DataFrame({"chrom": ["chr1", "chr2", "chr1"], "tss": [2_000, 900, 100]})
    assert shift_bounds(windows, far).tolist() == [[-200, 200], [-200, 200], [0, 1]]


def test_bounds_end_where_the_next_base_would_be_of_a_held_out_window():
    windows = [Window("chr1", 1_000, "+", 400)]
    near = pd.DataFrame({"chrom": ["chr1", "chr1"], "tss": [1_450, 590]})
    assert shift_bounds(windows, near).tolist() == [[-10, 51]]
    overlapping = pd.DataFrame({"chrom": ["chr1"], "tss": [1_100]})
    assert shift_bounds(windows, overlapping).tolist() == [[-200, 1]]  # away from it only


def test_pretraining_of_a_study_with_a_gap_reads_no_base_of_its_held_out_genes(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    path = write_small_study(tmp_path / "study")  # genes 6,000 bp apart
    edit(path, 'test = ["chr2"]', 'column = "gene_id"\nvalidation = ["G9"]\ntest = ["G5"]\ngap = 5_000')
    edit(path, "validation = []\n", "")
    study = load_study(path)
    config = study.config(variant="causal", encoder=16, window=5_000, promoter=128, d_model=16, n_layers=1)
    genes = study.genes()
    read, seen = WindowReader.read, []
    monkeypatch.setattr(WindowReader, "read", lambda reader, window: seen.append(window) or read(reader, window))
    data = GeneWindows(study, genes[genes["split"] == "train"], config, study.feature_scale())
    seen.clear()
    recipe = dataclasses.replace(study.train_config(batch_size=8), pretrain_steps=20)
    pretrain(build_model(config), study, data, recipe, tmp_path / "pretrained.safetensors", "cpu")
    held_out = genes[genes["split"].isin(("validation", "test"))]
    forbidden = set().union(*(bases(Window(g.chrom, g.tss, "+", 5_000)) for g in held_out.itertuples()))
    assert len(seen) >= 160
    assert len(held_out) == 2
    assert not any(bases(window) & forbidden for window in seen)
