"""Scoring of genes by name: one window each, nothing twice, and unknown expression is not shown as a number."""

import pytest
from model_run import lively
from viewer_run import make_study

from model_core.data_folder import user_data
from model_core.errors import InputError
from model_core.model.checkpoint import save_checkpoint
from model_core.scoring.one_gene import GeneResult, prepare_genes
from model_core.signals.signal import BigWigSignal
from model_core.study.study import load_study


@pytest.fixture
def prepared(tmp_path):
    study = load_study(make_study(tmp_path / "study"))
    config = study.config(d_model=8, n_layers=1, apply="gate")
    signals = [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs]
    metadata = {"feature_scale": study.feature_scale().to_dict(), "signals": signals, "signal_quantiles": {}}
    save_checkpoint(tmp_path / "model.safetensors", lively(config, 3), metadata)
    return tmp_path / "run", load_study(study.path), tmp_path / "model.safetensors"


def test_a_second_gene_costs_its_window_and_a_known_one_nothing(prepared, monkeypatch):
    steps: list[str] = []
    _, first = prepare_genes(*prepared, ["MYC"], steps.append, "cpu")
    assert [result.symbol for result in first] == ["MYC"]
    assert steps[-1] == "scoring"
    assert "reading DNase" in steps
    read: list[int] = []
    values = BigWigSignal.values
    monkeypatch.setattr(BigWigSignal, "values", lambda self, *place: read.append(place[1]) or values(self, *place))
    run, both = prepare_genes(*prepared, ["MYC", "GATA1"], steps.append, "cpu")
    assert len(run.scored) == 2
    assert both[0].predicted == first[0].predicted
    assert len(set(read)) <= 2  # the start of the window and that of the promoter of the second gene
    read.clear()
    prepare_genes(*prepared, ["GATA1"], steps.append, "cpu")
    assert not read


def test_an_unknown_gene_gets_the_nearest_names(prepared):
    with pytest.raises(InputError, match="did you mean GATA1"):
        prepare_genes(*prepared, ["GATA"], device="cpu")
    assert not prepared[0].exists()


def test_an_unmeasured_expression_is_not_shown():
    shown = GeneResult("ENSG1", "GATA1", 1.5, None, 9.96, 1).text()
    assert shown == "GATA1: predicted 1.50, 10.0 % kept, 1 element"
    assert "observed 2.00" in GeneResult("ENSG1", "GATA1", 1.5, 2.0, 9.96, 2).text()


def test_the_data_folder_is_the_named_one_or_that_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.delenv("SEQ2EXP_DATA", raising=False)
    assert user_data() == tmp_path / "share" / "seq2exp-viz"
    monkeypatch.setenv("SEQ2EXP_DATA", str(tmp_path / "mine"))
    assert user_data() == tmp_path / "mine"
