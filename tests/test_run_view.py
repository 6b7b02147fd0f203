"""A run as the server holds it: what it says is what the run itself says, while it grows and afterwards."""

import numpy as np
import pandas as pd
import pytest
from run_builder import gene_row, make_run, random_masks

from model_core.run_folder.run import Run
from seq2exp_viz.runs.run_view import RunView


@pytest.mark.parametrize("genes", [0, 1, 3, 45, 70])
def test_page_and_model_cut_a_growing_run_by_one_rule(tmp_path, genes):
    run = make_run(tmp_path / "run", genes=genes, window=400, promoter=40)
    view = RunView("growing", Run.open(run.path), cache=tmp_path / "cache")
    assert view.rule == Run.open(run.path).rule
    for gene_id in list(run.scored)[:2]:
        pd.testing.assert_frame_equal(view.cut(gene_id), Run.open(run.path).cut(gene_id))


def test_a_gene_that_is_added_meanwhile_changes_both_alike(tmp_path):
    run = make_run(tmp_path / "run", genes=3, window=400, promoter=40)
    view = RunView("growing", Run.open(run.path), cache=tmp_path / "cache")
    before, rng = view.rule, np.random.default_rng(9)
    with run.writing():
        run.append({**gene_row(4, 9, 400, rng), "gene_id": "NEW"}, *random_masks(400, rng))
    assert view.rule == Run.open(run.path).rule != before
