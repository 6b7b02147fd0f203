"""A run that was written as schema 1 is read, shown, exported, and scored on; what is written to it is schema 2."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_study import edit, write_small_study
from typer.testing import CliRunner

from model_core.errors import InputError
from model_core.perturbation.rank import choose_scored, effects_of
from model_core.perturbation.run_model import RunModel
from model_core.run_folder.assemble import assemble
from model_core.run_folder.elements import ELEMENT_COLUMNS, ElementRule, read_elements
from model_core.run_folder.run import Run
from model_core.scoring.score import score
from model_core.study.study import load_study
from model_core.training.train import train
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.cli import app
from seq2exp_viz.runs.registry import RunRegistry

STORED = Path(__file__).with_name("data") / "schema1_run.tar.gz"
RULE = ElementRule(0.65, smooth_bp=20, max_gap=10, min_length=16)
# (start, end, effect, control_rank of 5) of the elements of G0, as the program of then wrote and meant them
G0 = {"E1": (2854, 2936, -0.729555, 0), "E2": (3064, 3151, 0.001342, 2)}
BETA_SD = [0.0571, 0.0573, 0.0571, 0.0571, 0.0570, 0.0570]  # of all six elements, left to right


@pytest.fixture
def folder(tmp_path):
    """beta/run and logit/run as they were, with the study that they were scored from beside them."""
    with tarfile.open(STORED) as stored:
        stored.extractall(tmp_path, filter="data")
    (tmp_path / "study").mkdir()
    write_small_study(tmp_path / "study")
    return tmp_path


def manifest(run: Run) -> dict:
    return json.loads((run.path / "manifest.json").read_text())


def elements_of(run: Run) -> pd.DataFrame:
    return run.elements[run.elements["class"] != "promoter"]


def test_it_reads_as_schema_2_and_reading_writes_nothing(folder):
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run, logit = Run.open(folder / "beta" / "run"), Run.open(folder / "logit" / "run")
    assert (run.manifest["schema"], run.band, logit.band, run.decision.kind) == (2, "beta", "none", "soft")
    assert run.rule == RULE
    assert tuple(run.elements.columns) == ELEMENT_COLUMNS
    np.testing.assert_allclose(elements_of(run)["beta_sd"], BETA_SD, atol=5e-5)
    effects = run.effects[run.effects["gene_id"] == "G0"].set_index("element")
    found = effects[["start", "end", "effect", "control_rank"]].loc[["E1", "E2"]].to_numpy(float)
    np.testing.assert_allclose(found, list(G0.values()), atol=1e-6)
    assert run.effects["control_rank"].tolist() == [2, 0, 2, 0, 1, 0]
    assert run.effects["control_n"].tolist() == [5] * 6
    np.testing.assert_allclose(run.genes["predicted"], [2.147534, 2.156481, 2.164422], atol=1e-6)
    assert np.isfinite(run.occlusion("gene0").effects).any()
    stored = run.elements[run.elements["gene_id"] == "G0"]
    pd.testing.assert_frame_equal(run.cut("G0"), stored, atol=6e-5, check_dtype=False)
    assert files == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_page_shows_it(folder, tmp_path):
    registry = RunRegistry([folder / "beta" / "run", folder / "logit" / "run"], cache=tmp_path / "cache")
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    beta, logit = (view.key for view in registry)
    shown = client.get(f"/api/v1/{beta}/genes/G0/elements").json["elements"]
    assert [item["beta_sd"] for item in shown if item["class"] != "promoter"] == pytest.approx(BETA_SD[:2], abs=5e-5)
    of_logit = client.get(f"/api/v1/{logit}/genes/G0/elements").json["elements"]
    assert len(of_logit) == 4
    assert {item["beta_sd"] for item in of_logit} == {None}
    rows = {row["element"]: row for row in client.get(f"/api/v1/{beta}/genes/G0/effects").json["rows"]}
    assert {name: rows[name]["control_rank"] for name in G0} == {name: rank for name, (*_, rank) in G0.items()}
    assert rows["E1"]["fold_change"] == pytest.approx(10 ** G0["E1"][2], rel=1e-5)
    lines = [line.split("\t") for line in client.get(f"/api/v1/{beta}/elements.tsv").text.splitlines()]
    table = pd.DataFrame(lines[1:], columns=lines[0])
    assert table["control_rank"].astype(float).tolist() == [0, 2, 0, 2, 0, 1]
    assert "low" in client.get(f"/api/v1/{beta}/genes/G0/mask").json
    assert "low" not in client.get(f"/api/v1/{logit}/genes/G0/mask").json
    registry.close()


def test_it_is_exported(folder, tmp_path):
    done = CliRunner().invoke(app, ["export", str(folder / "beta" / "run"), "bed", "-o", str(tmp_path / "e.bed")])
    assert done.exit_code == 0, done.output
    exported, elements = read_elements(tmp_path / "e.bed"), Run.open(folder / "beta" / "run").elements
    named = elements.assign(name=elements["symbol"] + ":" + elements["name"])
    pd.testing.assert_frame_equal(exported, named)
    assert "spread" not in (tmp_path / "e.bed").read_text()


def test_it_is_scored_on_and_what_is_then_there_is_whole(folder):
    run, study = Run.open(folder / "beta" / "run"), load_study(folder / "study" / "study.toml")
    before = {gene: run.mask(gene).mask for gene in run.scored}
    score(run, study, study.genes().iloc[3:4], run.checkpoint, "cpu")
    assert manifest(run)["schema"] == 2
    assert manifest(run)["element_rule"].keys() == RULE.to_dict().keys()  # of all genes' masks, as scoring ends
    assert manifest(run)["band"] == "beta"
    old_lines = (run.path / "effects" / "effects.jsonl").read_text().splitlines()
    assemble(run, rule=RULE)
    run = Run.open(run.path)
    assert run.scored == {"G0", "G1", "G2", "G3"}
    assert "spread" not in (run.path / "elements" / "elements.bed").read_text()
    np.testing.assert_allclose(elements_of(run)["beta_sd"][:6], BETA_SD, atol=5e-5)
    for gene, mask in before.items():
        np.testing.assert_array_equal(run.mask(gene).mask, mask)
    effects_of(RunModel(run, "cpu"), choose_scored(run, everything=True), 5)
    lines = (run.path / "effects" / "effects.jsonl").read_text().splitlines()
    assert lines[:3] == old_lines  # they count, and each line says how it is to be read
    assert [json.loads(line).get("schema") for line in lines] == [None, None, None, 2]
    effects = Run.open(run.path).effects
    assert effects["gene_id"].nunique() == 4
    assert effects["control_rank"].tolist()[:6] == [2, 0, 2, 0, 1, 0]
    table = pd.read_csv(run.path / "effects" / "effects.tsv", sep="\t")
    assert table["control_rank"].tolist() == effects["control_rank"].tolist()


def test_new_effects_are_the_old_ones(folder):
    run = Run.open(folder / "beta" / "run")
    old = run.effects
    (run.path / "effects" / "effects.jsonl").unlink()
    new = effects_of(RunModel(run, "cpu"), choose_scored(run, everything=True), 5)
    pd.testing.assert_frame_equal(new, old, atol=2e-5, rtol=0)
    assert manifest(run)["schema"] == 1  # only the run's writer rewrites it; the lines stand for themselves


def test_the_first_writer_rewrites_the_manifest_and_meaning_stays_fixed(folder):
    run = Run.open(folder / "logit" / "run")
    with run.writing():
        pass
    assert (manifest(run)["schema"], manifest(run)["band"]) == (2, "none")
    assert Run.open(run.path).manifest == run.manifest
    with pytest.raises(InputError, match="a new band"):
        run.update(band="beta")


def test_its_training_goes_on(folder):
    edit(folder / "study" / "study.toml", 'validation = []\ntest = ["chr2"]', 'validation = ["chr2"]\ntest = []')
    study = load_study(folder / "study" / "study.toml")
    config = study.config(window=1024, promoter=128, d_model=8, n_layers=1)
    one, two = (study.train_config(steps=steps, warmup=1, batch_size=2) for steps in (1, 2))
    run = train(study, config, one, folder / "trained", "cpu")
    older = {name: value for name, value in manifest(run).items() if name not in ("band", "decision")}
    (run.path / "manifest.json").write_text(json.dumps({**older, "schema": 1, "checkpoint": None}))
    run.write_json("config.json", {**run.config, "training": two.to_dict()})
    run = train(study, config, two, run.path, "cpu")
    assert (manifest(run)["schema"], manifest(run)["band"], manifest(run)["decision"]["kind"]) == (2, "beta", "soft")
    assert manifest(run)["checkpoint"]["sha256"] == run.checkpoint_sha256 is not None


def test_a_band_that_is_none_of_the_words_is_refused(folder):
    run = Run.open(folder / "beta" / "run")
    (run.path / "manifest.json").write_text(json.dumps({**run.manifest, "band": "seeds"}))
    with pytest.raises(InputError, match="found band 'seeds'; expected one of none, beta, members"):
        Run.open(run.path)
