"""The run folder: what is written is what is read, and a killed writer costs at most the gene in hand."""

import numpy as np
import pytest
from run_builder import gene_row, make_run, random_masks

from model_core.errors import InputError
from model_core.run import Run


def test_a_run_that_was_written_reads_back(tmp_path):
    make_run(tmp_path / "run", genes=3)
    run = Run.open(tmp_path / "run")
    assert run.scored == {"G0", "G1", "G2"}
    assert list(run.genes["gene_id"]) == ["G0", "G2", "G1"]  # by chromosome and place
    mask = run.mask("GENE1")
    assert (mask.chrom, mask.start, mask.end, mask.mean.shape) == ("chr2", 1000, 3000, (2000,))
